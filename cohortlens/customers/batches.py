"""Batches of raw columns: what a reader of files gives and the validator takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cohortlens.contracts.columns import ColumnMap


@dataclass(frozen=True)
class RawBatch:
    """Some rows of a file, columns as they stand there.

    Attributes:
        columns: Column by field, each of n values: binary text (CSV) or whatever type the Parquet file has.
        rows: Row numbers in the file, the first is 1; shape (n,).
        lines: Lines of a CSV file, the header being 1; zeros for Parquet; shape (n,).
        ragged: (row, line, text) of rows with a wrong number of columns.
    """

    columns: dict[str, pa.Array]
    rows: NDArray[np.int64]
    lines: NDArray[np.int64]
    ragged: list[tuple[int, int, str]] = field(default_factory=list)


class Source(Protocol):
    """A file that can be read more than once."""

    @property
    def column_map(self) -> ColumnMap:
        """What each column is used for."""

    @property
    def delimiter(self) -> str:
        """Delimiter of CSV; empty for Parquet."""

    def batches(self, progress: Callable[[float], None] | None = None) -> Iterator[RawBatch]:
        """The rows from the start; calls ``progress`` with the share read.

        Raises:
            FileFault: The file cannot be read any further.
        """
