"""Between the messages of ``internal.v1`` and numpy: no copy of a matrix on the way in, one going out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.varints import varint
from cohortlens.core.errors import InvalidArgument
from cohortlens.internal.v1 import inference_pb2 as pb

MAX_ROWS = 100_000
"""Rows that one call may carry at most."""

FEATURE = np.dtype("<f4")
VALUE = np.dtype("<f8")

_COLUMN = b"\x0a"
"""Tag of ``ScoreResponse.columns``, field 1, length-delimited."""

_COLUMN_VALUES = b"\x12"
"""Tag of ``Column.values``, field 2, length-delimited."""


class Attributions(Protocol):
    """Attributions of rows to features in log space."""

    @property
    def bases(self) -> NDArray[np.float64]:
        """Base values, float64 of shape (rows,)."""

    @property
    def contributions(self) -> NDArray[np.float64]:
        """Contributions, float64 of shape (rows, columns)."""

    @property
    def values(self) -> NDArray[np.float64]:
        """Predicted values as ``score`` gives them, float64 of shape (rows,)."""

    @property
    def explained(self) -> NDArray[np.float64]:
        """What the explained model gives in log space, float64 of shape (rows,)."""

    @property
    def fidelities(self) -> NDArray[np.float64]:
        """Share of the variance that the explained model reproduces, float64 of shape (rows,)."""

    @property
    def imputed(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the columns of each row that were filled in; may be empty."""


def features(matrix: pb.Matrix, most: int = MAX_ROWS) -> NDArray[np.float32]:
    """The rows of a request, float32 of shape (rows, columns); a view of the message's bytes, not writable.

    Args:
        matrix: Message.
        most: Rows that this call may carry.

    Raises:
        InvalidArgument: ``MATRIX_INVALID``: no rows, too many rows, no columns, or bytes that do not fit.
    """
    rows, columns = matrix.rows, matrix.columns
    if not 1 <= rows <= most:
        raise InvalidArgument(f"features.rows is {rows}; expected 1 to {most}", reason="MATRIX_INVALID")
    if columns < 1:
        raise InvalidArgument("features.columns is 0; expected at least 1", reason="MATRIX_INVALID")
    expected = rows * columns * FEATURE.itemsize
    if len(matrix.values) != expected:
        raise InvalidArgument(
            f"features.values has {len(matrix.values)} bytes; {rows} x {columns} float32 need {expected}",
            reason="MATRIX_INVALID",
        )
    return np.frombuffer(matrix.values, dtype=FEATURE).reshape(rows, columns)


def matrix(values: NDArray[np.float32]) -> pb.Matrix:
    """Rows as a message; ``values`` is float32 of shape (rows, columns)."""
    return pb.Matrix(
        rows=values.shape[0], columns=values.shape[1], values=np.ascontiguousarray(values, FEATURE).tobytes()
    )


def packed(values: NDArray[np.float64]) -> bytes:
    """Values as little-endian float64, row-major."""
    return np.ascontiguousarray(values, VALUE).tobytes()


def columns(results: Mapping[str, NDArray[np.float64]]) -> list[pb.Column]:
    """Named results, float64 of shape (rows,) each, as messages."""
    return [pb.Column(name=name, values=packed(values)) for name, values in results.items()]


def score_response(results: Mapping[str, NDArray[np.float64]]) -> list[bytes | memoryview]:
    """The bytes of a ``ScoreResponse`` in parts: values are taken as they lie."""
    parts: list[bytes | memoryview] = []
    for name, values in results.items():
        raw = np.ascontiguousarray(values, VALUE).data.cast("B")
        parts += (_column_head(name, len(raw)), raw)
    return parts


def explanation(found: Attributions) -> pb.ExplainResponse:
    """Attributions as a message."""
    same = bool((found.bases == found.bases[0]).all())
    return pb.ExplainResponse(
        base_value=float(found.bases[0]) if same else 0.0,
        bases=b"" if same else packed(found.bases),
        contributions=packed(found.contributions),
        values=packed(found.values),
        explained=packed(found.explained),
        fidelities=packed(found.fidelities),
        imputed=[pb.ImputedFeatures(columns=one) for one in found.imputed] if any(found.imputed) else (),
    )


@lru_cache(maxsize=4096)
def _column_head(name: str, length: int) -> bytes:
    inner = pb.Column(name=name).SerializeToString() + _COLUMN_VALUES + varint(length)
    return _COLUMN + varint(len(inner) + length) + inner
