"""Weekly sequences of customers at a cut, point in time like the features; what the sequence members read.

A row with its sequence is one *wide row*: the 36 values of ``customer_features`` v1 and, beside them, 40
weeks of 4 values, oldest week first. The features' own schema and hash do not change with it: a version that
gives no weight to a sequence member never sees the second part, and stored vectors stay what they were.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.features import SCHEMA, ContractFault, FeatureColumn, FeatureSchema
from cohortlens.contracts.purchase_days import PurchaseDays

WEEKS = 40
"""Weeks of a sequence; the last one ends with the cut."""

CHANNELS = ("days", "money", "observed", "age")
"""What each week holds, in order."""

_WEEK_DAYS = 7
_YEAR_DAYS = 365.25
_LOG_DAYS_MAX = 2.1
_LOG_MONEY_MAX = 30.0
_AGE_MAX = 110.0


def _week(ago: int) -> tuple[FeatureColumn, ...]:
    when = "of the last week" if ago == 0 else f"{ago} weeks before the last"

    def column(name: str, unit: str, maximum: float, description: str) -> FeatureColumn:
        return FeatureColumn(f"w{ago}_{name}", "float32", unit, 0.0, maximum, False, description)

    return (
        column("days", "log1p count", _LOG_DAYS_MAX, f"Log of 1 + purchase-days, {when}."),
        column("money", "log1p ratio", _LOG_MONEY_MAX, f"Log of 1 + money over the tenant's mean, {when}."),
        column("observed", "ratio", 1.0, f"1 once the first purchase has happened, {when}."),
        column("age", "year", _AGE_MAX, f"Years since the first purchase at its end, {when}."),
    )


SEQUENCE = FeatureSchema(
    name="customer_sequence",
    version=1,
    columns=tuple(column for ago in reversed(range(WEEKS)) for column in _week(ago)),
)
"""``customer_sequence`` v1: the flattened sequence; ``w39`` is the oldest week, ``w0`` ends with the cut."""

WIDE_SCHEMA = FeatureSchema(
    name="customer_features_and_sequence", version=1, columns=SCHEMA.columns + SEQUENCE.columns
)
"""The wide row: features, then the sequence."""

FEATURE_COLUMNS = len(SCHEMA.columns)
WIDE_COLUMNS = len(WIDE_SCHEMA.columns)
SEQUENCE_BYTES = 4 * len(SEQUENCE.columns)
"""Bytes of a stored sequence, little-endian float32."""


def weekly_sequences(days: PurchaseDays, as_of_day: int, n_customers: int) -> NDArray[np.float32]:
    """Compute the weekly sequences of all customers at the end of a day.

    Computed in float64, stored in float32. Sums run per customer in day order (``numpy.bincount``), so rows
    after the cut and the order of the rows change no bit; other customers enter through the mean money alone.

    Args:
        days: Purchase-days; rows that happened or became known after ``as_of_day`` are ignored.
        as_of_day: Days since 1970-01-01; that day's orders count and it ends the last week.
        n_customers: Number of customers; customer numbers lie in 0..n_customers-1.

    Returns:
        Shape (n_customers, 40, 4), float32: log1p of purchase-days (count), log1p of money over the mean of
        all purchase-days that were not free (ratio), 1 from the week of the first purchase on, and years
        since that purchase at the end of the week. All 0 for a customer without a purchase-day by then.
    """
    known = days.until(as_of_day)
    bought = known.select(known.orders > 0)
    sequences = np.zeros((n_customers, WEEKS, len(CHANNELS)))
    if not len(bought):
        return sequences.astype(np.float32)
    ago = (as_of_day - bought.day.astype(np.int64)) // _WEEK_DAYS
    recent = ago < WEEKS
    cell = (bought.customer.astype(np.int64) * WEEKS + (WEEKS - 1 - ago))[recent]
    size, shape = n_customers * WEEKS, (n_customers, WEEKS)
    money = np.bincount(cell, weights=bought.amount[recent] / money_scale(bought), minlength=size)
    sequences[:, :, 0] = np.log1p(np.bincount(cell, minlength=size)).reshape(shape)
    sequences[:, :, 1] = np.log1p(money).reshape(shape)
    opening = np.r_[True, bought.customer[1:] != bought.customer[:-1]]
    age = np.full(n_customers, -1.0)
    age[bought.customer[opening]] = as_of_day - bought.day[opening]
    at_end = age[:, None] - _WEEK_DAYS * np.arange(WEEKS - 1, -1, -1)
    sequences[:, :, 2] = at_end >= 0
    sequences[:, :, 3] = np.maximum(at_end, 0.0) / _YEAR_DAYS
    return sequences.astype(np.float32)


def money_scale(bought: PurchaseDays) -> float:
    """Mean money of the purchase-days that were not free, major units; 1 when there is none.

    Args:
        bought: Purchase-days known by a cut.
    """
    paid = bought.amount[bought.amount > 0]
    return float(paid.mean()) if len(paid) else 1.0


def join(features: NDArray[np.float32], sequence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Wide rows.

    Args:
        features: Shape (n, 36), float32.
        sequence: Shape (n, 40, 4), float32.

    Returns:
        Shape (n, 196), float32.
    """
    return np.concatenate([features, sequence.reshape(len(features), -1)], axis=1)


def split(matrix: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Features and sequences of rows; nothing is copied.

    Args:
        matrix: Shape (n, 36) or (n, 196), float32.

    Returns:
        Features of shape (n, 36) and sequences of shape (n, 40, 4); None for rows without.

    Raises:
        ContractFault: ``FEATURE_SCHEMA_MISMATCH``: rows of another width.
    """
    width = matrix.shape[1] if matrix.ndim == 2 else 0
    if width == FEATURE_COLUMNS:
        return matrix, None
    if width != WIDE_COLUMNS:
        raise ContractFault(
            f"Expected rows of {FEATURE_COLUMNS} values, or of {WIDE_COLUMNS} with the weekly sequence, "
            f"found shape {matrix.shape}.",
            reason="FEATURE_SCHEMA_MISMATCH",
        )
    return matrix[:, :FEATURE_COLUMNS], matrix[:, FEATURE_COLUMNS:].reshape(-1, WEEKS, len(CHANNELS))
