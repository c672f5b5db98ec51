"""How a challenger's answers compare with the champion's: sums that can be added up, and their figures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from cohortlens.analytics.models import Task
from cohortlens.analytics.ports import Scores

_SAME = 1e-9
"""Spread of values, as a share of their mean, below which they are one value."""


@dataclass(frozen=True, slots=True)
class ShadowTotals:
    """Sums over rows that both versions answered; values in the task's unit.

    Attributes:
        rows: Rows compared, >= 1.
        champion_mean: Mean value of the champion.
        challenger_mean: Mean value of the challenger.
        champion_squares: Sum of squared distances of the champion's values from their mean.
        challenger_squares: The same of the challenger's.
        products: Sum of products of both distances.
        absolute_difference: Sum of absolute differences.
        outside: Rows in which the challenger's value lies outside the champion's interval.
        timed_calls: Calls in which both versions scored the same rows one after the other.
        champion_ms: Sum of the champion's times over those calls.
        challenger_ms: Sum of the challenger's times.
    """

    rows: int
    champion_mean: float
    challenger_mean: float
    champion_squares: float
    challenger_squares: float
    products: float
    absolute_difference: float
    outside: int
    timed_calls: int = 0
    champion_ms: float = 0.0
    challenger_ms: float = 0.0

    @staticmethod
    def of(champion: Scores, challenger: Scores, times_ms: tuple[float, float] | None = None) -> ShadowTotals:
        """Sums of some rows.

        Args:
            champion: ``value``, ``lower`` and ``upper``, shape (n,), n >= 1.
            challenger: ``value``, shape (n,).
            times_ms: What champion and challenger took for these rows, when both were timed.
        """
        old, new = champion["value"], challenger["value"]
        old_mean, new_mean = float(old.mean()), float(new.mean())
        old_away, new_away = old - old_mean, new - new_mean
        return ShadowTotals(
            rows=len(old),
            champion_mean=old_mean,
            challenger_mean=new_mean,
            champion_squares=float(old_away @ old_away),
            challenger_squares=float(new_away @ new_away),
            products=float(old_away @ new_away),
            absolute_difference=float(np.abs(new - old).sum()),
            outside=int(((new < champion["lower"]) | (new > champion["upper"])).sum()),
            timed_calls=0 if times_ms is None else 1,
            champion_ms=0.0 if times_ms is None else times_ms[0],
            challenger_ms=0.0 if times_ms is None else times_ms[1],
        )

    def __add__(self, other: ShadowTotals) -> ShadowTotals:
        """Sums of both.

        Source:
            Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances
            (1979).
        """
        rows = self.rows + other.rows
        old_step = other.champion_mean - self.champion_mean
        new_step = other.challenger_mean - self.challenger_mean
        weight = self.rows * other.rows / rows
        return ShadowTotals(
            rows=rows,
            champion_mean=self.champion_mean + old_step * other.rows / rows,
            challenger_mean=self.challenger_mean + new_step * other.rows / rows,
            champion_squares=self.champion_squares + other.champion_squares + old_step**2 * weight,
            challenger_squares=self.challenger_squares + other.challenger_squares + new_step**2 * weight,
            products=self.products + other.products + old_step * new_step * weight,
            absolute_difference=self.absolute_difference + other.absolute_difference,
            outside=self.outside + other.outside,
            timed_calls=self.timed_calls + other.timed_calls,
            champion_ms=self.champion_ms + other.champion_ms,
            challenger_ms=self.challenger_ms + other.challenger_ms,
        )

    @property
    def mean_difference(self) -> float:
        """Mean of challenger minus champion."""
        return self.challenger_mean - self.champion_mean

    @property
    def mean_absolute_difference(self) -> float:
        """Mean absolute difference."""
        return self.absolute_difference / self.rows

    @property
    def correlation(self) -> float | None:
        """Pearson's correlation in [-1, 1]; None when either version answered one value only."""
        for squares, mean in (
            (self.champion_squares, self.champion_mean),
            (self.challenger_squares, self.challenger_mean),
        ):
            # Equal values leave distances of some last digits, which correlate by chance.
            if squares <= self.rows * (_SAME * mean) ** 2:
                return None
        scale = math.sqrt(self.champion_squares * self.challenger_squares)
        return max(-1.0, min(1.0, self.products / scale))

    @property
    def outside_ratio(self) -> float:
        """Share of rows outside the champion's interval."""
        return self.outside / self.rows


@dataclass(frozen=True, slots=True)
class ShadowKey:
    """What is compared with what.

    Attributes:
        champion_version: Version that answered.
        challenger_version: Version in its shadow.
        task: What is predicted.
        horizon_days: Days looked ahead.
    """

    champion_version: int
    challenger_version: int
    task: Task
    horizon_days: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the report.

    Attributes:
        key: What is compared.
        totals: How.
        updated_at: When rows were added last.
    """

    key: ShadowKey
    totals: ShadowTotals
    updated_at: datetime
