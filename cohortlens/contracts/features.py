"""The feature schema: what each column of a feature vector means, its bounds, and the hash that names it.

The control plane checks vectors at the door with it, training stores its hash in the manifest, and a replica
refuses rows of another hash. Order of the columns is part of the contract.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cohortlens.core.errors import InvalidArgument

_DAYS_MAX = 40_000.0
_MONEY_MAX = 1e18
_COUNT_MAX = 1e9
TREND_MAX = 100.0
"""Largest population trend that is told apart: beyond it, the 90 days before were practically empty."""

WINDOWS_DAYS = (14, 30, 60, 90, 180)
"""Lengths of the windows that end at the cut."""


class ContractFault(InvalidArgument):
    """Rows that do not keep to the feature schema.

    Args:
        message: What is wrong and what is expected.
        reason: ``FEATURE_OUT_OF_RANGE``, ``VALUE_NOT_FINITE`` or ``FEATURE_SCHEMA_MISMATCH``.
        column: Name of the faulty column; empty when the shape is wrong.
        row: Index of the first faulty row; -1 when the shape is wrong.
    """

    reason = "FEATURE_SCHEMA_MISMATCH"

    def __init__(self, message: str, *, reason: str, column: str = "", row: int = -1) -> None:
        metadata = {"column": column, "row": str(row)} if column else {}
        super().__init__(message, reason=reason, metadata=metadata)
        self.column = column
        self.row = row


@dataclass(frozen=True)
class FeatureColumn:
    """One column of the schema.

    Attributes:
        name: Name, lower snake case.
        dtype: Type on the wire, ``float32``.
        unit: Unit: ``d``, ``count``, ``money`` (major unit of the tenant's currency), ``ratio`` or ``1/30d``.
        minimum: Smallest accepted value.
        maximum: Largest accepted value.
        nullable: Whether NaN (unknown) is accepted.
        description: What it means, one sentence.
    """

    name: str
    dtype: str
    unit: str
    minimum: float
    maximum: float
    nullable: bool
    description: str


@dataclass(frozen=True)
class FeatureSchema:
    """Ordered columns under a name and version.

    Attributes:
        name: Name of the schema.
        version: Version, from 1.
        columns: Columns in the order of the vector.
    """

    name: str
    version: int
    columns: tuple[FeatureColumn, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def hash(self) -> str:
        """SHA-256 in hex of the canonical JSON of name, version and columns; bounds as text, no floats."""
        document = {
            "name": self.name,
            "version": self.version,
            "columns": [
                {
                    "name": column.name,
                    "dtype": column.dtype,
                    "unit": column.unit,
                    "min": format(column.minimum, "g"),
                    "max": format(column.maximum, "g"),
                    "nan": column.nullable,
                }
                for column in self.columns
            ],
        }
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @cached_property
    def _indexes(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def _bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        return (
            np.array([column.minimum for column in self.columns], np.float32),
            np.array([column.maximum for column in self.columns], np.float32),
            np.array([column.nullable for column in self.columns], np.bool_),
        )

    def index(self, name: str) -> int:
        """Position of a column.

        Raises:
            ContractFault: The schema has no such column.
        """
        index = self._indexes.get(name)
        if index is None:
            raise ContractFault(
                f"The schema {self.name} v{self.version} has no column {name[:40]!r}.",
                reason="FEATURE_SCHEMA_MISMATCH",
            )
        return index

    def check(self, matrix: NDArray[np.float32]) -> None:
        """Check rows against the schema.

        Args:
            matrix: Rows, shape (n, columns), float32.

        Raises:
            ContractFault: Wrong shape or type (``FEATURE_SCHEMA_MISMATCH``), an infinity, or NaN where it is
                not allowed (``VALUE_NOT_FINITE``), or a value out of bounds (``FEATURE_OUT_OF_RANGE``); names
                the first faulty row and column.
        """
        if matrix.ndim != 2 or matrix.shape[1] != len(self.columns) or matrix.dtype != np.float32:
            raise ContractFault(
                f"Expected float32 rows of {len(self.columns)} columns ({self.name} v{self.version}), "
                f"found {matrix.dtype} of shape {matrix.shape}.",
                reason="FEATURE_SCHEMA_MISMATCH",
            )
        minimum, maximum, nullable = self._bounds
        inside = (matrix >= minimum) & (matrix <= maximum)
        # Most rows miss nothing, and a row at a time every operation shows in the time of a call: looking for
        # a zero byte costs a fraction of numpy's own pass.
        if b"\0" not in inside.tobytes():
            return
        fine = inside | (np.isnan(matrix) & nullable)
        if not fine.all():
            self._refuse(matrix, int(np.argmin(fine.ravel())))

    def _refuse(self, matrix: NDArray[np.float32], position: int) -> None:
        row, at = divmod(position, len(self.columns))
        column, value = self.columns[at], float(matrix[row, at])
        if not np.isfinite(value):
            raise ContractFault(
                f"Row {row}, column {column.name}: {value} is not a finite number.",
                reason="VALUE_NOT_FINITE",
                column=column.name,
                row=row,
            )
        raise ContractFault(
            f"Row {row}, column {column.name}: {value:g} is not within {column.minimum:g} to "
            f"{column.maximum:g} ({column.unit}).",
            reason="FEATURE_OUT_OF_RANGE",
            column=column.name,
            row=row,
        )


def _column(
    name: str, unit: str, maximum: float, description: str, *, nullable: bool = False
) -> FeatureColumn:
    return FeatureColumn(name, "float32", unit, 0.0, maximum, nullable, description)


def _window(days: int) -> tuple[FeatureColumn, ...]:
    return (
        _column(f"n_{days}", "count", float(days), f"Purchase-days in the last {days} days."),
        _column(f"s_{days}", "money", _MONEY_MAX, f"Money spent in the last {days} days."),
        _column(f"exposure_{days}", "ratio", 1.0, f"Share of the last {days} days since the first purchase."),
    )


SCHEMA = FeatureSchema(
    name="customer_features",
    version=1,
    columns=(
        _column("x", "count", _DAYS_MAX, "Purchase-days after the first."),
        _column("t_x", "d", _DAYS_MAX, "Days from the first purchase to the last."),
        _column("age", "d", _DAYS_MAX, "Days since the first purchase."),
        _column("since", "d", _DAYS_MAX, "Days since the last purchase."),
        _column("rate_30", "1/30d", 30.0, "Repeat purchase-days per 30 days of age."),
        _column("gap_mean", "d", _DAYS_MAX, "Mean days between purchases.", nullable=True),
        _column("gap_sd", "d", _DAYS_MAX, "Standard deviation of the days between purchases.", nullable=True),
        _column(
            "overdue_ratio",
            "ratio",
            _DAYS_MAX,
            "Days since the last purchase over the mean gap.",
            nullable=True,
        ),
        _column("sum", "money", _MONEY_MAX, "Money spent in all."),
        _column("mean", "money", _MONEY_MAX, "Money spent on a purchase-day, mean."),
        _column(
            "sd", "money", _MONEY_MAX, "Money spent on a purchase-day, standard deviation.", nullable=True
        ),
        _column("max", "money", _MONEY_MAX, "Money spent on the largest purchase-day."),
        _column("first", "money", _MONEY_MAX, "Money spent on the first purchase-day."),
        _column("last", "money", _MONEY_MAX, "Money spent on the last purchase-day."),
        _column("zbar", "money", _MONEY_MAX, "Mean money of repeat purchase-days that were not free."),
        *(column for days in WINDOWS_DAYS for column in _window(days)),
        _column(
            "trend_30", "ratio", TREND_MAX, "All customers' purchase rate, last 30 days over the 90 before."
        ),
        _column("items_mean", "count", _COUNT_MAX, "Items on a purchase-day, mean.", nullable=True),
        _column(
            "skus_distinct", "count", _COUNT_MAX, "Distinct products on a purchase-day, mean.", nullable=True
        ),
        _column("lines_mean", "count", _COUNT_MAX, "Order lines on a purchase-day, mean.", nullable=True),
        _column("return_ratio", "ratio", 1.0, "Money returned over money spent and returned.", nullable=True),
        _column("horizon", "d", 730.0, "Days ahead that the prediction covers; 0 in stored snapshots."),
    ),
)
"""``customer_features`` v1, without the weekly sequence."""


SNAPSHOT_BYTES = 16
"""Bytes of a feature vector's name; written as twice as many hex digits."""


def snapshot_digests(schema_hash: str, matrix: NDArray[np.float32]) -> bytes:
    """Name feature vectors by their content.

    Args:
        schema_hash: Hash of their schema, hex.
        matrix: Values, shape (n, columns), float32.

    Returns:
        ``SNAPSHOT_BYTES`` per row: the bytes whose hex digits ``snapshot_id`` gives.
    """
    raw = np.ascontiguousarray(matrix, dtype="<f4")
    if len(raw) == 1:
        return hashlib.sha256(schema_hash.encode() + raw.tobytes()).digest()[:SNAPSHOT_BYTES]
    # The schema's hash is one block of SHA-256: it is hashed once and its state copied.
    start = hashlib.sha256(schema_hash.encode()).copy
    digests = []
    for row in raw.view(f"V{raw.shape[1] * raw.itemsize}").ravel().tolist():
        state = start()
        state.update(row)
        digests.append(state.digest()[:SNAPSHOT_BYTES])
    return b"".join(digests)


def snapshot_id(schema_hash: str, vector: NDArray[np.float32]) -> str:
    """Name a feature vector by its content.

    Args:
        schema_hash: Hash of its schema, hex.
        vector: Values, shape (columns,), float32.

    Returns:
        The first 32 hex digits of SHA-256 over the schema's hash and the little-endian bytes.
    """
    return snapshot_digests(schema_hash, vector[None, :]).hex()
