"""From orders to durations: days until something happens to a customer, or until nobody looks any longer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.cohorts.orders import Orders, first_days

IntArray = NDArray[np.int64]

GAP_SHARE = 0.9
"""Share of the returns so far that came within the silence that counts by default."""
GAP_WITHOUT_RETURNS = 90
"""Days of silence that count where nobody has ever come back."""
GAP_MAX = 3650


@dataclass(frozen=True)
class Durations:
    """One row for each customer that can be looked at; columns of shape (m,).

    Attributes:
        customer: Row number of the customer.
        days: Days from the first day to the event, or to the end of what was seen; the latter counts as seen.
        ended: Whether the event happened.
        seen: Days after the first day on which the event could have been seen.
    """

    customer: IntArray
    days: IntArray
    ended: NDArray[np.bool_]
    seen: IntArray


def usual_gap(orders: Orders) -> int:
    """Days within which 90 % of the returns so far came: what is longer is a silence.

    Returns:
        1 to 3,650; 90 where nobody has ever come back on another day.
    """
    same = orders.customer[1:] == orders.customer[:-1]
    gaps = (orders.day[1:] - orders.day[:-1])[same]
    gaps = gaps[gaps > 0]
    if not len(gaps):
        return GAP_WITHOUT_RETURNS
    return int(np.clip(np.ceil(np.quantile(gaps, GAP_SHARE)), 1, GAP_MAX))


def until_silence(orders: Orders, first_day: IntArray, last_day: int, gap: int) -> Durations:
    """Days from the first order to the last one before the first silence.

    A silence is known once ``gap`` days have passed without an order. A customer is looked at until ``gap``
    days before the last day of data, so that nobody who is merely between two orders counts as lost; a
    silence that a late order ends counts as one, however long the data goes on.

    Args:
        orders: Orders that count, sorted by customer and day.
        first_day: First day of each customer, -1 for those left out, shape (customers,).
        last_day: Last day of data.
        gap: Days without an order that are a silence, at least 1.
    """
    orders = _from_first(orders, first_day)
    customer, day = orders.customer, orders.day
    following = np.full(len(day), last_day + 1, np.int64)
    following[:-1] = np.where(customer[1:] == customer[:-1], day[1:], last_day + 1)
    silent = following - day > gap
    # The first silent row of each customer: the last write wins, so rows are written backwards.
    end = np.full(orders.customers, -1, np.int64)
    end[customer[silent][::-1]] = day[silent][::-1]
    seen = last_day - gap - first_day
    who = np.flatnonzero((first_day >= 0) & (seen >= 0))
    ended = (end >= 0)[who]
    return Durations(who, np.where(ended, end[who] - first_day[who], seen[who]), ended, seen[who])


def until_order(orders: Orders, first_day: IntArray, last_day: int, number: int) -> Durations:
    """Days from the first order to the order with a number, counted from the first.

    Args:
        orders: Orders that count, sorted by customer and day.
        first_day: First day of each customer, -1 for those left out, shape (customers,).
        last_day: Last day of data.
        number: At least 2.
    """
    orders = _from_first(orders, first_day)
    customer, day, count = orders.customer, orders.day, orders.count
    total = np.cumsum(count)
    before = np.zeros(orders.customers, np.int64)
    fresh = np.ones(len(customer), np.bool_)
    fresh[1:] = customer[1:] != customer[:-1]
    before[customer[fresh]] = (total - count)[fresh]
    reached = total - before[customer] >= number
    end = np.full(orders.customers, -1, np.int64)
    end[customer[reached][::-1]] = day[reached][::-1]
    who = np.flatnonzero((first_day >= 0) & (first_day <= last_day))
    seen, ended = last_day - first_day[who], (end >= 0)[who]
    return Durations(who, np.where(ended, end[who] - first_day[who], seen), ended, seen)


def _from_first(orders: Orders, first_day: IntArray) -> Orders:
    """Orders of the customers that take part, from their first day on; the first day always has one.

    A filter on what is counted may leave the order out that a cohort begins with.
    """
    own = first_day[orders.customer]
    kept = orders.select((own >= 0) & (orders.day >= own))
    missing = np.flatnonzero((first_day >= 0) & (first_days(kept) != first_day))
    if not len(missing):
        return kept
    customer = np.concatenate([kept.customer, missing])
    day = np.concatenate([kept.day, first_day[missing]])
    ones = np.ones(len(missing), np.int64)
    order = np.argsort((customer << 32) + day, kind="stable")
    return Orders(
        customer[order],
        day[order],
        np.concatenate([kept.amount, 0 * ones])[order],
        np.concatenate([kept.count, ones])[order],
        orders.customers,
    )
