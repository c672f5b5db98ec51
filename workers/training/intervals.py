"""Intervals around predictions by normalised split conformal, by decile of the prediction.

Residuals of the hold-out are divided by a scale that grows with the prediction; their quantiles per decile
give the bounds. One tail share, the same for all deciles, is sought so that the interval covers the wanted
share of the hold-out although most customers buy nothing.

Source: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, JASA 113 (2018), section 5.2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.manifest import IntervalCalibration
from workers.runtime.bundle import interval

FloatArray = NDArray[np.float64]

LEVEL_RATIO = 0.8
_DECILE_ROWS = 50
"""Rows a decile needs at least; fewer rows make fewer, larger groups."""

_TAILS = np.linspace(0.25, 0.01, 49)


def calibrate(
    predicted: FloatArray, actual: FloatArray, level_ratio: float = LEVEL_RATIO
) -> IntervalCalibration:
    """Measure the interval on a hold-out.

    Args:
        predicted: Predictions of customers the model has not learnt from, > 0, shape (n,), n >= 1.
        actual: What happened, shape (n,).
        level_ratio: Share of customers to cover.

    Returns:
        The calibration with the largest tails that still cover ``level_ratio`` of these rows.
    """
    groups = int(np.clip(len(predicted) // _DECILE_ROWS, 1, 10))
    edges = np.unique(np.quantile(predicted, np.arange(1, groups) / groups))
    decile = np.searchsorted(edges, predicted, side="right")
    offset = max(float(predicted.mean()), float(np.finfo(np.float32).tiny))
    residual = (actual - predicted) / np.sqrt(offset * (predicted + offset))
    sorted_residuals = [np.sort(residual[decile == index]) for index in range(len(edges) + 1)]
    best = None
    for tail in _TAILS:
        best = _build(level_ratio, edges, sorted_residuals, float(tail), offset)
        if coverage(best, predicted, actual) >= level_ratio:
            return best
    assert best is not None
    return best


def coverage(calibration: IntervalCalibration, predicted: FloatArray, actual: FloatArray) -> float:
    """Share of rows whose actual value lies within their interval."""
    lower, upper = interval(calibration, predicted)
    return float(np.mean((lower <= actual) & (actual <= upper)))


def _build(
    level_ratio: float, edges: FloatArray, residuals: list[FloatArray], tail: float, offset: float
) -> IntervalCalibration:
    return IntervalCalibration(
        level_ratio=level_ratio,
        edges=tuple(float(edge) for edge in edges),
        lower=tuple(max(0.0, _ranked(-group[::-1], tail)) for group in residuals),
        upper=tuple(max(0.0, _ranked(group, tail)) for group in residuals),
        offset=offset,
    )


def _ranked(ascending: FloatArray, tail: float) -> float:
    """Conformal upper quantile: the ceil((n + 1)(1 - tail))-th smallest, at most the largest."""
    if not len(ascending):
        return 0.0
    rank = math.ceil((len(ascending) + 1) * (1 - tail))
    return float(ascending[min(rank, len(ascending)) - 1])
