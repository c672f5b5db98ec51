"""Keeps one mistyped order from ruling a training: money of a purchase-day far beyond the shop's is cut off.

A comma in the wrong place makes an order of ten thousand millions. Squared errors, means and totals would be
that order's alone. Training reads the day at a bound instead; replicas go on reading what was imported, so
only the customer whose data it is gets an odd answer.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from cohortlens.contracts.purchase_days import PurchaseDays
from workers.training.datasets import Snapshot

GIANT_RATIO = 100.0
"""Money of a purchase-day over the shop's large ones from which on it is taken for a mistake. The largest
days of the two public sets are 9 and 18 times theirs: no honest day is touched."""

LARGE_SHARE = 0.01
"""Purchase-days that count as large; one at least besides the largest, so that no day bounds itself."""


def bound_of(days: PurchaseDays) -> float:
    """The most that a purchase-day counts for, major units.

    Args:
        days: What was known by the day that asks: a bound must not tell of what came after it.

    Returns:
        ``GIANT_RATIO`` times the smallest of the largest days, infinite where fewer than two cost anything.
    """
    paid = np.sort(days.amount[(days.orders > 0) & (days.amount > 0)])
    if len(paid) < 2:
        return math.inf
    large = max(1, math.ceil(LARGE_SHARE * len(paid)))
    return GIANT_RATIO * float(paid[-1 - large])


def without_giants(snapshot: Snapshot, day: int) -> Snapshot:
    """The snapshot with money cut off at the bound of what was known by a day.

    Args:
        snapshot: The data, days after ``day`` included: what came is bounded by what was known.
        day: Days since 1970-01-01.

    Returns:
        The snapshot itself where nothing is beyond the bound.
    """
    bound = bound_of(snapshot.days.until(day))
    if not (snapshot.days.amount > bound).any():
        return snapshot
    return replace(snapshot, days=replace(snapshot.days, amount=np.minimum(snapshot.days.amount, bound)))
