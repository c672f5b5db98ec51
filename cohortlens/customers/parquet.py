"""Parquet files of transactions; used by the reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cohortlens.contracts.columns import recognise
from cohortlens.customers.batches import RawBatch
from cohortlens.customers.models import (
    MAX_EXPANSION,
    MAX_ROWS,
    FileEmpty,
    FileFault,
    ImportOptions,
    ImportTooLarge,
)

_BATCH_ROWS = 65_536
_FREE_EXPANSION_BYTES = 64 << 20
_TEXT_BYTES = 4_096
_TIMES = frozenset({"time", "known_at"})
_NUMBERS = frozenset({"amount", "unit_price", "quantity"})


class ParquetSource:
    """A Parquet file whose used columns have types that can be read.

    Args:
        path: The file.
        options: How to read it; only the columns matter.

    Raises:
        FileFault: PARQUET_UNREADABLE, EXPANSION_TOO_LARGE, IMPORT_TOO_LARGE or FILE_EMPTY.
    """

    delimiter = ""

    def __init__(self, path: Path, options: ImportOptions) -> None:
        self._path = path
        try:
            with pq.ParquetFile(path) as file:
                schema, metadata = file.schema_arrow, file.metadata
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable("the file is not Parquet, or its end is damaged or missing") from error
        self._rows = metadata.num_rows
        if self._rows == 0:
            raise FileEmpty("the file holds no rows")
        if self._rows > MAX_ROWS:
            raise ImportTooLarge(f"the file holds {self._rows} rows; one import takes at most {MAX_ROWS}")
        if any("\0" in name for name in schema.names):
            raise _unreadable("the name of a column holds a NUL character; rename it")
        self.column_map = recognise(schema.names, options.columns)
        for field, name in self.column_map.columns_used.items():
            _check_type(field, name, schema.field(name).type)
        self._texts = [
            name for name in self.column_map.columns_used.values() if _is_text(schema.field(name).type)
        ]
        _check_expansion(path, metadata, set(self.column_map.columns_used.values()))

    def batches(self, progress: Callable[[float], None] | None = None) -> Iterator[RawBatch]:
        """The rows from the start; see ``Source``."""
        used = self.column_map.columns_used
        done = 0
        try:
            with pq.ParquetFile(self._path, read_dictionary=self._texts) as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=list(used.values()), use_threads=False):
                    columns = {field: _plain(batch.column(name)) for field, name in used.items()}
                    rows = np.arange(done + 1, done + batch.num_rows + 1, dtype=np.int64)
                    done += batch.num_rows
                    yield RawBatch(columns, rows, np.zeros(batch.num_rows, np.int64))
                    if progress is not None:
                        progress(done / self._rows)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(f"the file is damaged after row {done}") from error


def _unreadable(message: str, **metadata: str) -> FileFault:
    return FileFault(message, reason="PARQUET_UNREADABLE", metadata=metadata)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _check_type(field: str, name: str, kind: pa.DataType) -> None:
    whole = pa.types.is_integer(kind)
    number = whole or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if _is_text(kind) or pa.types.is_null(kind):
        return
    if field in _TIMES:
        fine, expected = (
            whole or pa.types.is_timestamp(kind) or pa.types.is_date(kind),
            "a time, a date or text",
        )
    elif field in _NUMBERS:
        fine, expected = number, "a number or text"
    elif field == "cancelled":
        fine, expected = whole or pa.types.is_boolean(kind), "true or false, a whole number or text"
    else:
        fine, expected = whole or pa.types.is_floating(kind), "text or a whole number"
    if not fine:
        raise _unreadable(
            f"the column {name[:80]!r}, used for {field}, is of type {str(kind)[:80]}; expected {expected}",
            column=name[:80],
            field=field,
        )


def _check_expansion(path: Path, metadata: Any, used: set[str]) -> None:
    size = 0
    for group in range(metadata.num_row_groups):
        chunks = metadata.row_group(group)
        for at in range(chunks.num_columns):
            chunk = chunks.column(at)
            size += chunk.total_uncompressed_size if chunk.path_in_schema in used else 0
    if size > max(_FREE_EXPANSION_BYTES, MAX_EXPANSION * path.stat().st_size):
        raise FileFault(
            f"the columns in use unpack to more than {MAX_EXPANSION} times the file",
            reason="EXPANSION_TOO_LARGE",
        )


def _plain(column: pa.Array) -> pa.Array:
    """A column without a dictionary; long texts are cut, so that a repeated giant cannot fill the memory."""
    if not pa.types.is_dictionary(column.type):
        return column
    words = column.dictionary.cast(pa.string())
    if len(words) and (pc.max(pc.binary_length(words)).as_py() or 0) > _TEXT_BYTES:
        words = pc.utf8_slice_codeunits(words, 0, _TEXT_BYTES)
    return words.take(column.indices)
