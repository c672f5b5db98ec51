"""Intervals around predictions by normalised split conformal, by decile of the prediction.

Residuals of the hold-out are divided by a scale that grows with the prediction; their quantiles per decile
give the bounds. One share of misses, the same for all deciles, is sought so that the interval covers the
wanted share of the hold-out although most customers buy nothing. Where buying nothing is common, the interval
starts at zero: a bound between zero and the prediction would be right or wrong for all of them at once.

Source: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, JASA 113 (2018), section 5.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.manifest import IntervalCalibration
from workers.runtime.intervals import Interval

FloatArray = NDArray[np.float64]

LEVEL_RATIO = 0.8
_DECILE_ROWS = 50
"""Rows a decile needs at least; fewer rows make fewer, larger groups."""

_MISSES = np.linspace(1.5, 0.1, 57)
"""Shares of a decile that may be missed, in multiples of the share of all; at 80 % the largest leaves .7 of
every decile covered."""


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
    edges = np.unique(np.quantile(predicted, np.arange(1, groups) / groups))
    decile = np.searchsorted(edges, predicted, side="right")
    offset = max(float(predicted.mean()), float(np.finfo(np.float32).tiny))
    deciles = [_Decile.of(predicted[decile == i], actual[decile == i], offset) for i in range(len(edges) + 1)]
    shares = np.minimum(_MISSES * (1.0 - level_ratio), 1.0)
    found = _build(level_ratio, edges, deciles, float(shares[-1]), offset)
    for misses in shares[:-1]:
        trial = _build(level_ratio, edges, deciles, float(misses), offset)
        if coverage(trial, predicted, actual) >= level_ratio:
            return trial
    return found


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
