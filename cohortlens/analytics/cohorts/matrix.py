"""Cohort by period: customers who came back, orders and revenue; only what was wholly observed.

One pass over sorted columns counts everything, so that each further measure of a query is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.cohorts.orders import Orders, first_days
from cohortlens.analytics.cohorts.periods import Period, periods_of

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

PERIODS_MAX = 120
"""Periods of a query at most."""


class Align(StrEnum):
    """From where periods are counted.

    CALENDAR: period k is the k-th month, week or day of the calendar behind the one of the first order.
    ROLLING: period k is the k-th 30, 7 or 1 days from the day of the customer's own first order.
    """

    CALENDAR = "CALENDAR"
    ROLLING = "ROLLING"


@dataclass(frozen=True)
class Members:
    """Who belongs to which cohort.

    Attributes:
        cohort: Position of the customer's cohort, -1 for none, shape (customers,).
        first_day: Day the customer's periods are counted from, shape (customers,).
        cohorts: Number of cohorts.
        is_timed: Whether the cohorts are told by the time of the first order. Then a cell is observed when it
            is for the latest member; else it holds those members it is observed for.
    """

    cohort: IntArray
    first_day: IntArray
    cohorts: int
    is_timed: bool


@dataclass(frozen=True)
class Matrix:
    """Counts by cohort and period; arrays of shape (cohorts, periods) but for ``size``.

    Attributes:
        size: Customers of each cohort, shape (cohorts,).
        observed: Customers whose period is wholly observed; 0 marks a cell about which nothing can be said.
        active: Customers with an order in the period.
        returning: Customers with an order in the period or a later one, the unfinished last one included.
        frequent: Customers with at least ``at_least`` orders in the period.
        orders: Orders in the period.
        revenue: Their amounts, minor units.
    """

    size: IntArray
    observed: IntArray
    active: IntArray
    returning: IntArray
    frequent: IntArray
    orders: FloatArray
    revenue: FloatArray


def count(
    orders: Orders,
    members: Members,
    unit: Period,
    align: Align,
    periods: int,
    last_day: int,
    at_least: int = 1,
    most: int = PERIODS_MAX,
) -> Matrix:
    """Count what the members of cohorts did in each period.

    Args:
        orders: Orders that count, sorted by customer and day; those before a member's first day are left out.
        members: Who belongs to which cohort.
        unit: Length of a period.
        align: From where periods are counted.
        periods: Periods to count, 1..120; 0 for as many as any cohort has seen, at least 1.
        last_day: Last day of data; a period that ends behind it is not wholly observed.
        at_least: Orders that ``frequent`` asks for.
        most: Periods at most where ``periods`` is 0.
    """
    age, seen = _ages(orders, members, unit, align, last_day)
    width = periods or min(most, max(1, int(seen.max(initial=1))))
    member = members.cohort >= 0
    seen = np.minimum(seen, width)
    keep = member[orders.customer] & (orders.day >= members.first_day[orders.customer])
    customer, age = orders.customer[keep], age[keep]
    amount, number = orders.amount[keep], orders.count[keep]
    last = np.full(orders.customers, -1, np.int64)
    last[customer] = age  # rows of a customer ascend, so the last write is the latest
    keep = age < seen[customer]
    customer, age, amount, number = customer[keep], age[keep], amount[keep], number[keep]
    shape = (members.cohorts, width)
    cell = members.cohort[customer] * width + age
    starts = _starts(customer, age)
    often = np.add.reduceat(number, starts) >= at_least if len(starts) else np.zeros(0, np.bool_)
    return Matrix(
        size=np.bincount(members.cohort[member], minlength=members.cohorts),
        observed=_at_least_each(members, seen - 1, shape),
        active=_tally(cell[starts], shape),
        returning=_at_least_each(members, np.minimum(last, seen - 1), shape),
        frequent=_tally(cell[starts][often], shape),
        orders=_total(cell, shape, number),
        revenue=_total(cell, shape, amount),
    )


def timed_members(orders: Orders, unit: Period) -> tuple[Members, IntArray]:
    """Members of the cohorts of one period of the first order each, and the periods, ascending."""
    first = first_days(orders)
    has = first >= 0
    periods = periods_of(first[has], unit)
    found, place = np.unique(periods, return_inverse=True)
    cohort = np.full(orders.customers, -1, np.int64)
    cohort[has] = place
    return Members(cohort, first, len(found), is_timed=True), found


def _ages(
    orders: Orders, members: Members, unit: Period, align: Align, last_day: int
) -> tuple[IntArray, IntArray]:
    """Period of each order, shape (n,), and how many whole periods each customer has, shape (customers,)."""
    if align is Align.ROLLING:
        age = (orders.day - members.first_day[orders.customer]) // unit.days
        seen = (last_day + 1 - members.first_day) // unit.days
    else:
        begun = periods_of(members.first_day, unit)
        age = periods_of(orders.day, unit) - begun[orders.customer]
        # The period of the day behind the last one is the first that is not over.
        seen = int(periods_of(np.array([last_day + 1]), unit)[0]) - begun
    member = members.cohort >= 0
    if members.is_timed and members.cohorts:
        least = np.full(members.cohorts, np.iinfo(np.int64).max)
        np.minimum.at(least, members.cohort[member], seen[member])
        seen = least[members.cohort]
    return age, np.where(member, np.maximum(seen, 0), 0)


def _starts(customer: IntArray, age: IntArray) -> NDArray[np.intp]:
    """Where the rows of another customer or period begin, shape (m,)."""
    fresh = np.ones(len(customer), np.bool_)
    fresh[1:] = (customer[1:] != customer[:-1]) | (age[1:] != age[:-1])
    return np.flatnonzero(fresh)


def _tally(cell: IntArray, shape: tuple[int, int]) -> IntArray:
    return np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)


def _total(cell: IntArray, shape: tuple[int, int], weights: IntArray) -> FloatArray:
    # Floats are exact up to 2**53 minor units in a cell, and never overflow beyond.
    totals = np.bincount(cell, weights=weights, minlength=shape[0] * shape[1])
    return totals.astype(np.float64).reshape(shape)


def _at_least_each(members: Members, last: IntArray, shape: tuple[int, int]) -> IntArray:
    """Members of each cohort whose ``last`` is at least 0, 1, 2, ...; shape (cohorts, periods)."""
    has = (members.cohort >= 0) & (last >= 0)
    ends = _tally(members.cohort[has] * shape[1] + last[has], shape)
    return np.cumsum(ends[:, ::-1], axis=1)[:, ::-1]
