"""From orders to purchase-days: one row per customer and day, same-day reversals taken out.

One implementation for the import, for training and for the benchmarks, so that a model is asked about what it
learned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cohortlens.core.errors import InvalidArgument

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

DAY_MONEY_MAX = 1e15
"""Money of one customer and day at most, major units; a thousand such days still fit the feature schema."""


class PurchaseDaysInvalid(InvalidArgument):
    """Columns of unequal length, missing columns, or values that no purchase-day can have."""

    reason = "PURCHASE_DAYS_INVALID"


@dataclass(frozen=True)
class PurchaseDays:
    """Purchase-days of many customers, sorted by customer and day; columns of shape (n,).

    A row with ``orders`` 0 is no purchase-day: it only carries money returned on a day without a sale.

    Attributes:
        customer: Row number of the customer, from 0.
        day: Days since 1970-01-01.
        amount: Sales of the day after reversals, major units, >= 0.
        orders: Orders left after reversals; 0 for a day of returns only.
        items: Items sold; NaN when unknown.
        skus: Distinct products; 0 when unknown.
        lines: Order lines; 0 when unknown.
        returns: Money of negative orders that reverse no sale of the same day, >= 0.
        known: Day since which the row is known; the row counts from the later of ``day`` and ``known``.
    """

    customer: IntArray
    day: IntArray
    amount: FloatArray
    orders: IntArray
    items: FloatArray
    skus: IntArray
    lines: IntArray
    returns: FloatArray
    known: IntArray

    def __len__(self) -> int:
        return len(self.customer)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name, as the training snapshot stores them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> PurchaseDays:
        """The rows where ``keep`` (a mask of shape (n,), or positions) says so."""
        return PurchaseDays(*(getattr(self, field.name)[keep] for field in fields(self)))

    def until(self, day: int) -> PurchaseDays:
        """The rows that had happened and were known by the end of ``day``."""
        return self.select((self.day <= day) & (self.known <= day))

    @staticmethod
    def from_columns(columns: Mapping[str, ArrayLike]) -> PurchaseDays:
        """Rows from stored columns, sorted.

        Args:
            columns: ``customer, day, amount, orders, items, skus, lines, returns`` and optionally ``known``
                (``day`` where absent), each of shape (n,).

        Raises:
            PurchaseDaysInvalid: A column is missing or of another length, a customer and day stand twice,
                or a value is not finite or out of bounds.
        """
        missing = [f.name for f in fields(PurchaseDays) if f.name != "known" and f.name not in columns]
        if missing:
            raise PurchaseDaysInvalid(f"Columns missing from the purchase-days: {', '.join(missing)}.")
        rows = PurchaseDays(
            customer=np.asarray(columns["customer"], np.int32),
            day=np.asarray(columns["day"], np.int32),
            amount=np.asarray(columns["amount"], np.float64),
            orders=np.asarray(columns["orders"], np.int32),
            items=np.asarray(columns["items"], np.float64),
            skus=np.asarray(columns["skus"], np.int32),
            lines=np.asarray(columns["lines"], np.int32),
            returns=np.asarray(columns["returns"], np.float64),
            known=np.asarray(columns["known"] if "known" in columns else columns["day"], np.int32),
        )
        return _sorted(rows)


def purchase_days(
    customer: ArrayLike,
    day: ArrayLike,
    amount: ArrayLike,
    *,
    items: ArrayLike | None = None,
    skus: ArrayLike | None = None,
    lines: ArrayLike | None = None,
    known: ArrayLike | None = None,
) -> PurchaseDays:
    """Fold orders into purchase-days.

    A sale is dropped when the same customer has a negative order of the same absolute amount (to .01) on the
    same day, and so is that negative order. Other negative orders are returns of their own day. A day is a
    purchase-day when an order of amount >= 0 is left; a zero amount counts.

    Args:
        customer: Row number of the customer, integers >= 0, shape (n,).
        day: Days since 1970-01-01 in the tenant's zone, integers, shape (n,).
        amount: Total of the order, major units, finite; negative for a cancellation, shape (n,).
        items: Items of the order; unknown when None.
        skus: Distinct products of the order; unknown when None.
        lines: Lines of the order; unknown when None.
        known: Day since which the order is known; ``day`` when None.

    Returns:
        Sorted purchase-days, equal to the last bit whatever the order of the rows.

    Raises:
        PurchaseDaysInvalid: Columns of unequal length, a negative customer number, or an amount that is not
            finite.
    """
    who = np.asarray(customer, np.int64)
    when = np.asarray(day, np.int64)
    total = np.asarray(amount, np.float64)
    since = when if known is None else np.asarray(known, np.int64)
    given = {
        name: np.asarray(column, np.float64)
        for name, column in (("items", items), ("skus", skus), ("lines", lines))
        if column is not None
    }
    if any(len(column) != len(who) for column in (when, total, since, *given.values())):
        raise PurchaseDaysInvalid("The columns of the orders differ in length.")
    if len(who) and (who.min() < 0 or not np.isfinite(total).all()):
        raise PurchaseDaysInvalid("Customer numbers start at 0 and amounts are finite numbers.")
    # All that is summed takes part in the order: only then do sums not depend on the order of the rows.
    order = np.lexsort((*given.values(), total, (who << 32) + when))
    orders = _Orders(
        who=who[order],
        when=when[order],
        total=total[order],
        since=since[order],
        given={name: column[order] for name, column in given.items()},
    )
    return _fold(orders)


@dataclass(frozen=True)
class _Orders:
    """Orders sorted by customer, day and amount."""

    who: NDArray[np.int64]
    when: NDArray[np.int64]
    total: FloatArray
    since: NDArray[np.int64]
    given: dict[str, FloatArray]

    def days(self) -> NDArray[np.intp]:
        """Number of the customer's day each order belongs to, shape (n,)."""
        fresh = np.ones(len(self.who), np.bool_)
        fresh[1:] = (self.who[1:] != self.who[:-1]) | (self.when[1:] != self.when[:-1])
        return np.cumsum(fresh) - 1


def _fold(orders: _Orders) -> PurchaseDays:
    group = orders.days()
    kept = ~_reversed(orders.total, group)
    group, total = group[kept], orders.total[kept]
    _, starts, group = np.unique(group, return_index=True, return_inverse=True)
    sale = total >= 0

    def add(values: NDArray[Any]) -> FloatArray:
        return np.bincount(group, weights=values, minlength=len(starts)).astype(np.float64)

    def given(name: str, unknown: float) -> FloatArray:
        column = orders.given.get(name)
        if column is None:
            return np.where(add(sale) > 0, unknown, 0.0)
        return add(np.where(sale, column[kept], 0.0))

    return PurchaseDays(
        customer=orders.who[kept][starts].astype(np.int32),
        day=orders.when[kept][starts].astype(np.int32),
        amount=add(np.where(sale, total, 0.0)),
        orders=add(sale).astype(np.int32),
        items=given("items", np.nan),
        skus=np.nan_to_num(given("skus", 0.0)).astype(np.int32),
        lines=np.nan_to_num(given("lines", 0.0)).astype(np.int32),
        returns=add(np.where(sale, 0.0, -total)),
        known=_latest(orders.since[kept], starts),
    )


def _latest(since: NDArray[np.int64], starts: NDArray[np.intp]) -> IntArray:
    return (np.maximum.reduceat(since, starts) if len(starts) else since).astype(np.int32)


def _reversed(total: FloatArray, group: NDArray[np.intp]) -> BoolArray:
    """Mark sales and negative orders of one absolute amount in one group; shape (n,)."""
    marked = np.zeros(len(total), np.bool_)
    if not (total < 0).any():
        return marked
    candidates = np.flatnonzero(np.bincount(group, weights=total < 0)[group] > 0)
    cents = np.rint(np.abs(total[candidates]) * 100)
    keys = np.stack([group[candidates], cents], axis=1)
    _, pair = np.unique(keys, axis=0, return_inverse=True)
    negative = total[candidates] < 0
    both = (np.bincount(pair, weights=negative) > 0) & (np.bincount(pair, weights=~negative) > 0)
    marked[candidates] = both[pair]
    return marked


def _sorted(rows: PurchaseDays) -> PurchaseDays:
    count = len(rows.customer)
    if any(len(column) != count for column in rows.columns().values()):
        raise PurchaseDaysInvalid("The columns of the purchase-days differ in length.")
    key = (rows.customer.astype(np.int64) << 32) + rows.day
    if count and not (np.diff(key) > 0).all():
        order = np.argsort(key, kind="stable")
        rows, key = rows.select(order), key[order]
        if not (np.diff(key) > 0).all():
            raise PurchaseDaysInvalid(
                "A customer has two rows of one day; fold orders with purchase_days first."
            )
    money = np.concatenate([rows.amount, rows.returns])
    sound = (money >= 0) & (money <= DAY_MONEY_MAX)
    if count and (rows.customer[0] < 0 or rows.orders.min() < 0 or not sound.all()):
        raise PurchaseDaysInvalid(
            f"Customer numbers and orders must be >= 0, amounts and returns within 0 to {DAY_MONEY_MAX:g}."
        )
    return rows
