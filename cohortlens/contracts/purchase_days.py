"""From orders to purchase-days: one row per customer and day, same-day reversals taken out.

One implementation for the import, for training and for the benchmarks, so that what a model learns from is what
it is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cohortlens.core.errors import InvalidArgument

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


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

    def columns(self) -> dict[str, NDArray[np.generic]]:
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
                or a value is out of bounds.
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

    A sale is dropped together with a negative order of the same customer, day and absolute amount (to .01), pair
    by pair. Other negative orders are returns of their own day. A day is a purchase-day when an order of amount
    >= 0 is left; a zero amount counts.

    Args:
        customer: Row number of the customer, integers >= 0, shape (n,).
        day: Days since 1970-01-01 in the tenant's zone, integers, shape (n,).
        amount: Total of the order, major units, finite; negative for a cancellation, shape (n,).
        items: Items of the order; unknown when None.
        skus: Distinct products of the order; unknown when None.
        lines: Lines of the order; unknown when None.
        known: Day since which the order is known; ``day`` when None.

    Returns:
        Sorted purchase-days, in no order-dependent way.

    Raises:
        PurchaseDaysInvalid: Columns of unequal length, a negative customer number, or an amount that is not finite.
    """
    who = np.asarray(customer, np.int64)
    when = np.asarray(day, np.int64)
    total = np.asarray(amount, np.float64)
    count = len(who)
    optional = [
        np.full(count, np.nan) if given is None else np.asarray(given, np.float64)
        for given in (items, skus, lines)
    ]
    since = when if known is None else np.asarray(known, np.int64)
    if any(len(column) != count for column in (when, total, since, *optional)):
        raise PurchaseDaysInvalid("The columns of the orders differ in length.")
    if count and (who.min() < 0 or not np.isfinite(total).all()):
        raise PurchaseDaysInvalid("Customer numbers start at 0 and amounts are finite numbers.")
    # A total order over everything summed makes the sums equal to the last bit whatever the order of the rows.
    order = np.lexsort((since, *optional, total, when, who))
    who, when, total, since = who[order], when[order], total[order], since[order]
    optional = [column[order] for column in optional]
    reversed_ = _reversed_pairs(who, when, total)
    sale, back = (total >= 0) & ~reversed_, (total < 0) & ~reversed_
    kept = sale | back
    who, when, total, since, sale, back = (a[kept] for a in (who, when, total, since, sale, back))
    optional = [np.where(sale, column[kept], 0.0) for column in optional]
    return _fold(who, when, total, since, sale, back, optional)


def _fold(
    who: NDArray[np.int64],
    when: NDArray[np.int64],
    total: FloatArray,
    since: NDArray[np.int64],
    sale: BoolArray,
    back: BoolArray,
    optional: list[FloatArray],
) -> PurchaseDays:
    starts = np.flatnonzero(np.r_[True, (who[1:] != who[:-1]) | (when[1:] != when[:-1])]) if len(who) else []
    starts = np.asarray(starts, np.intp)
    group = np.zeros(len(who), np.intp)
    group[starts[1:]] = 1
    group = np.cumsum(group)
    days = len(starts)

    def add(values: NDArray[np.generic]) -> FloatArray:
        return np.bincount(group, weights=values, minlength=days)[:days]

    items, skus, lines = (add(column) for column in optional)
    return PurchaseDays(
        customer=who[starts].astype(np.int32),
        day=when[starts].astype(np.int32),
        amount=add(np.where(sale, total, 0.0)),
        orders=add(sale).astype(np.int32),
        items=items,
        skus=np.nan_to_num(skus).astype(np.int32),
        lines=np.nan_to_num(lines).astype(np.int32),
        returns=add(np.where(back, -total, 0.0)),
        known=np.maximum.reduceat(since, starts).astype(np.int32) if days else np.zeros(0, np.int32),
    )


def _reversed_pairs(who: NDArray[np.int64], when: NDArray[np.int64], total: FloatArray) -> BoolArray:
    """Mark both orders of each same-day pair of a sale and its reversal; arrays sorted by customer and day."""
    marked = np.zeros(len(who), np.bool_)
    candidates = np.flatnonzero(_days_with_negative(who, when, total))
    if not len(candidates):
        return marked
    cents = np.rint(np.abs(total[candidates]) * 100)
    negative = total[candidates] < 0
    order = np.lexsort((negative, cents, when[candidates], who[candidates]))
    keys = np.stack([who[candidates][order], when[candidates][order], cents[order]])
    fresh = np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)]
    group = np.cumsum(fresh) - 1
    signs = negative[order]
    refunds = np.bincount(group, weights=signs).astype(np.intp)
    sales = np.bincount(group, weights=~signs).astype(np.intp)
    pairs = np.minimum(refunds, sales)
    position = np.arange(len(order)) - np.flatnonzero(fresh)[group]
    rank = np.where(signs, position - sales[group], position)
    marked[candidates[order]] = rank < pairs[group]
    return marked


def _days_with_negative(who: NDArray[np.int64], when: NDArray[np.int64], total: FloatArray) -> BoolArray:
    if not len(who):
        return np.zeros(0, np.bool_)
    group = np.cumsum(np.r_[True, (who[1:] != who[:-1]) | (when[1:] != when[:-1])]) - 1
    return np.asarray(np.bincount(group, weights=total < 0)[group] > 0)


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
    if count and (
        rows.customer[0] < 0 or rows.orders.min() < 0 or not (np.isfinite(money) & (money >= 0)).all()
    ):
        raise PurchaseDaysInvalid(
            "Customer numbers, orders, amounts and returns must be finite and not negative."
        )
    return rows
