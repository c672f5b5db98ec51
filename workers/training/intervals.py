"""Intervals around predictions by normalised split conformal, by decile of the prediction.

Residuals of the hold-out are divided by a scale that grows with the prediction; their quantiles per decile
give the bounds. One share of misses, the same for all deciles, is sought so that the interval covers the
wanted share of the hold-out although most customers buy nothing. Where buying nothing is common, the interval
starts at zero: a bound between zero and the prediction would be right or wrong for all of them at once.

Source: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, JASA 113 (2018), section 5.2.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.manifest import IntervalCalibration
from workers.runtime.intervals import Interval

FloatArray = NDArray[np.float64]

LEVEL_RATIO = 0.8
WORST_FOLD_SLACK = 0.02
_NOISE = 0.005
"""A share of some thousand customers is not known better."""

_LEVELS = 21
_DOWN_TO_ZERO = 1e6
"""Multiples of the scale that lead from any prediction to zero."""

_DECILE_ROWS = 50
"""Rows a decile needs at least; fewer rows make fewer, larger groups."""

_MISSES = np.linspace(1.25, 0.1, 47)
"""Shares of a decile that may be missed, in multiples of the share of all; at 80 % the largest leaves .75 of
every decile covered. Customers who hardly buy are covered more often whatever is done, and a larger share
would let the best customers pay for it: .63 of a decile were left on a cut before the hold-outs."""


def calibrate(
    predicted: FloatArray, actual: FloatArray, level_ratio: float = LEVEL_RATIO
) -> IntervalCalibration:
    """Measure the interval on a hold-out.

    Args:
        predicted: Predictions of customers the model has not learnt from, > 0, shape (n,), n >= 1.
        actual: What happened, shape (n,).
        level_ratio: Share of customers to cover.

    Returns:
        The calibration with the most misses that still covers ``level_ratio`` of these rows.
    """
    groups = int(np.clip(len(predicted) // _DECILE_ROWS, 1, 10))
    edges = _edges(predicted, groups)
    decile = np.searchsorted(edges, predicted, side="right")
    offset = max(float(predicted.mean()), float(np.finfo(np.float32).tiny))
    deciles = [_Decile.of(predicted[decile == i], actual[decile == i], offset) for i in range(len(edges) + 1)]
    shares = np.minimum(_MISSES * (1.0 - level_ratio), 1.0)
    trials = [float(share) for share in shares]

    def covers(misses: float) -> bool:
        trial = _build(level_ratio, edges, deciles, misses, offset)
        return coverage(trial, predicted, actual) >= level_ratio

    # Fewer misses cover more, so the first share that covers enough is found by halving; the last one stands
    # where none does.
    first = bisect_left(trials, True, hi=len(trials) - 1, key=covers)
    return _build(level_ratio, edges, deciles, trials[first], offset)


def _edges(predicted: FloatArray, groups: int) -> FloatArray:
    """Edges between groups of about equal size, none empty: an empty one has no residuals to tell of."""
    edges = np.unique(np.quantile(predicted, np.arange(1, groups) / groups))
    rows = np.bincount(np.searchsorted(edges, predicted, side="right"), minlength=len(edges) + 1)
    return edges[rows[:-1] > 0]


def across(folds: Sequence[tuple[FloatArray, FloatArray]], level_ratio: float) -> IntervalCalibration:
    """Measure the interval on several periods so that it covers the wanted share of the next one.

    Conformal intervals hold for rows drawn alike, and one season is not drawn like the next. So each fold is
    covered by an interval measured on the others, at the smallest nominal level that covers the wanted share
    of them on average, and in the worst fold but for ``WORST_FOLD_SLACK``; that level then serves.

    Args:
        folds: Predictions and what happened, shape (n,) each, by fold; at least one.
        level_ratio: Share of customers to cover.

    Returns:
        The calibration on all folds, named by ``level_ratio``.
    """
    nominal = 1.0 - (1.0 - level_ratio) / _LEVELS
    for level in np.linspace(level_ratio, 1.0, _LEVELS)[:-1]:
        shares = _held_out(folds, float(level))
        if np.mean(shares) >= level_ratio - _NOISE and min(shares) >= level_ratio - WORST_FOLD_SLACK:
            nominal = float(level)
            break
    return replace(calibrate(*_joined(folds), level_ratio=nominal), level_ratio=level_ratio)


def _held_out(folds: Sequence[tuple[FloatArray, FloatArray]], level_ratio: float) -> list[float]:
    """Share of each fold inside an interval measured on the other folds; 1 of a single fold."""
    if len(folds) < 2:
        return [1.0]
    shares = []
    for at, (predicted, actual) in enumerate(folds):
        others = [fold for position, fold in enumerate(folds) if position != at]
        trial = calibrate(*_joined(others), level_ratio=level_ratio)
        shares.append(coverage(trial, predicted, actual))
    return shares


def _joined(folds: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    return np.concatenate([fold[0] for fold in folds]), np.concatenate([fold[1] for fold in folds])


def coverage(calibration: IntervalCalibration, predicted: FloatArray, actual: FloatArray) -> float:
    """Share of rows whose actual value lies within their interval."""
    lower, upper = Interval(calibration).bounds(predicted)
    return float(np.mean((lower <= actual) & (actual <= upper)))


@dataclass(frozen=True)
class _Decile:
    """Residuals of one decile in multiples of the scale.

    Attributes:
        residuals: Actual less predicted, ascending, shape (n,).
        zeros: Share of rows in which nothing happened.
        reach: Distance from the largest prediction down to zero.
    """

    residuals: FloatArray
    zeros: float
    reach: float

    @staticmethod
    def of(predicted: FloatArray, actual: FloatArray, offset: float) -> _Decile:
        scale = np.sqrt(offset * (predicted + offset))
        zeros = float(np.mean(actual == 0)) if len(actual) else 1.0
        return _Decile(
            np.sort((actual - predicted) / scale), zeros, float(np.max(predicted / scale, initial=0.0))
        )

    def bounds(self, misses: float) -> tuple[float, float]:
        """Multiples of the scale below and above, both >= 0, that miss this share."""
        below = misses / 2 if self.zeros < misses / 2 else 0.0
        lower = _ranked(-self.residuals[::-1], below) if below else self.reach
        return max(0.0, lower), max(0.0, _ranked(self.residuals, misses - below))


def _build(
    level_ratio: float, edges: FloatArray, deciles: list[_Decile], misses: float, offset: float
) -> IntervalCalibration:
    bounds = [decile.bounds(misses) for decile in deciles]
    return IntervalCalibration(
        level_ratio=level_ratio,
        edges=tuple(float(edge) for edge in edges),
        lower=tuple(lower for lower, _ in bounds),
        upper=tuple(upper for _, upper in bounds),
        offset=offset,
    )


def _ranked(ascending: FloatArray, tail: float) -> float:
    """Conformal upper quantile: the ceil((n + 1)(1 - tail))-th smallest, at most the largest."""
    if not len(ascending):
        return 0.0
    rank = math.ceil((len(ascending) + 1) * (1 - tail))
    return float(ascending[min(rank, len(ascending)) - 1])


def unjudged(
    expected: float, seen: float, level_ratio: float, money: tuple[float, float] = (1.0, 1.0)
) -> IntervalCalibration:
    """A wide interval where no period has shown how much may come: from nothing to what a long tail allows.

    Args:
        expected: Purchase-days that the mean of all is given, > 0.
        seen: Repeat purchase-days that this mean rests on, >= 0.
        level_ratio: Share of customers to cover.
        money: Mean and largest money of a purchase-day for an interval of money.

    Source:
        Quantile of the geometric distribution, the Poisson of customers whose paces are exponential, at two
        standard errors above the mean; never under one purchase-day.
    """
    mean, most = money
    high = expected * (1.0 + 2.0 / math.sqrt(seen + 0.5))
    days = max(1.0, math.ceil(math.log(1.0 - level_ratio) / math.log(high / (1.0 + high)) - 1.0))
    value = expected * mean
    offset = max(value, float(np.finfo(np.float32).tiny))
    upper = max(0.0, days * most - value) / math.sqrt(offset * (value + offset))
    return IntervalCalibration(level_ratio, (), (_DOWN_TO_ZERO,), (upper,), offset)
