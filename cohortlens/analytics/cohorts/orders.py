"""The orders of many customers as columns, and which of them count.

An order is what one customer bought under one reference; rows without a reference are orders of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.cohorts.periods import local_days
from cohortlens.contracts.purchase_days import purchase_days

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_RECORD = np.dtype([("at", ">i8"), ("amount", ">i8")])
RECORD_BYTES = _RECORD.itemsize
_YEAR_2000_US = 946_684_800_000_000
"""PostgreSQL's binary timestamps count from 2000-01-01."""


@dataclass(frozen=True)
class Orders:
    """Orders sorted by customer and, within one, by day; columns of shape (n,).

    Attributes:
        customer: Row number of the customer, 0 to ``customers`` - 1.
        day: Local day of the order, days since 1970-01-01.
        amount: Total in minor units; 0 or less for what was given back.
        count: Orders the row stands for: 1, or those of a day where reversals were taken out.
        customers: Number of customers, also of those without a row.
    """

    customer: IntArray
    day: IntArray
    amount: IntArray
    count: IntArray
    customers: int

    def select(self, keep: BoolArray) -> Orders:
        """The rows that a mask of shape (n,) keeps."""
        return Orders(
            self.customer[keep], self.day[keep], self.amount[keep], self.count[keep], self.customers
        )


def unpacked(packed: bytes, sizes: NDArray[np.integer], zone: ZoneInfo) -> Orders:
    """Orders from the histories that the database keeps.

    Args:
        packed: Histories one behind another, 16 bytes an order: PostgreSQL's binary timestamp, then the
            amount in minor units, both big-endian 8-byte integers; sorted by time within a customer.
        sizes: Orders of each customer, in the same sequence, shape (customers,).
        zone: Whose calendar decides on the day.
    """
    records = np.frombuffer(packed, _RECORD)
    at = records["at"].astype(np.int64) + _YEAR_2000_US
    customer = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
    day = local_days(at, zone)
    return sorted_orders(customer, day, records["amount"].astype(np.int64), len(sizes))


def sorted_orders(customer: IntArray, day: IntArray, amount: IntArray, customers: int) -> Orders:
    """Orders from columns in any sequence, each of shape (n,)."""
    count = np.ones(len(customer), np.int64)
    key = (customer << 32) + day
    # A clock set back over midnight puts a later order on the day before.
    if (key[1:] < key[:-1]).any():
        order = np.argsort(key, kind="stable")
        customer, day, amount = customer[order], day[order], amount[order]
    return Orders(customer, day, amount, count, customers)


def within(orders: Orders, lowest: int | None, highest: int | None) -> Orders:
    """Orders whose amount, without its sign, lies between two bounds in minor units, both included."""
    size = np.abs(orders.amount)
    keep = np.ones(len(size), np.bool_)
    if lowest is not None:
        keep &= size >= lowest
    if highest is not None:
        keep &= size <= highest
    return orders.select(keep)


def counted(orders: Orders, *, net: bool) -> Orders:
    """The orders that count: those with an amount above zero.

    Args:
        orders: All of them.
        net: Take sales out that the same customer gave back on the same day for the same amount, and add up
            what is left by day, as the features of the models do.
    """
    if not net:
        return orders.select(orders.amount > 0)
    # In hundreds of minor units nothing is lost: the fold pairs amounts that agree to a hundredth.
    days = purchase_days(orders.customer, orders.day, orders.amount / 100.0)
    kept = days.select((days.orders > 0) & (days.amount > 0))
    return Orders(
        kept.customer.astype(np.int64),
        kept.day.astype(np.int64),
        np.rint(kept.amount * 100.0).astype(np.int64),
        kept.orders.astype(np.int64),
        orders.customers,
    )


def first_days(orders: Orders) -> IntArray:
    """Day of the first order of each customer, shape (customers,); -1 for who has none."""
    first = np.full(orders.customers, -1, np.int64)
    if len(orders.customer):
        fresh = np.ones(len(orders.customer), np.bool_)
        fresh[1:] = orders.customer[1:] != orders.customer[:-1]
        first[orders.customer[fresh]] = orders.day[fresh]
    return first
