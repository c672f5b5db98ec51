"""Puts a blend at the right level: totals, probabilities, medians, each learnt from the backtest's folds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

FloatArray = NDArray[np.float64]

MULTIPLIER_BOUNDS = (0.7, 1.4)
_LEAST_DEVIATION = 0.1
"""Standard deviation of a period's total that every shop has at least: one season is not the next."""

_KNOTS = 33
_LEAST_ROWS = 200
_LEAST_PROBABILITY = 1e-4
_BIN_ROWS = 50
_BINS = 20


@dataclass(frozen=True)
class Judged:
    """What a blend said of one fold at one horizon, and what came.

    Attributes:
        fold: Position of the fold.
        horizon: Days.
        predicted: Shape (n,).
        actual: Shape (n,).
    """

    fold: int
    horizon: int
    predicted: FloatArray
    actual: FloatArray


def multiplier(judged: Sequence[Judged], step_days: int) -> float:
    """How much more, or less, came than was predicted, as far as the folds agree on it.

    The mean logarithm of the ratios is shrunk by its standard error: folds whose seasons differ say nothing
    of the next one. Folds that overlap count for less than their number.

    Args:
        judged: Blends of all folds and horizons.
        step_days: Days between folds.

    Returns:
        Within ``MULTIPLIER_BOUNDS``; 1 where nothing was bought or predicted.
    """
    by_fold: dict[int, list[float]] = {}
    for one in judged:
        expected, came = float(one.predicted.sum()), float(one.actual.sum())
        if expected > 0 and came > 0:
            by_fold.setdefault(one.fold, []).append(math.log(came / expected))
    if not by_fold:
        return 1.0
    levels = np.array([float(np.mean(ratios)) for ratios in by_fold.values()])
    longest = max(one.horizon for one in judged)
    apart = 1.0 + (len(levels) - 1) * min(1.0, step_days / longest)
    deviation = max(float(levels.std(ddof=1)) if len(levels) > 1 else 0.0, _LEAST_DEVIATION)
    mean, error = float(levels.mean()), deviation**2 / apart
    shrunk = mean * mean**2 / (mean**2 + error) if mean else 0.0
    return float(np.clip(math.exp(shrunk), *MULTIPLIER_BOUNDS))


def probability_knots(judged: Sequence[Judged]) -> tuple[tuple[float, float], ...]:
    """Where a probability is bent so that it means what it says; strictly rising, so no order changes.

    Args:
        judged: Probabilities of all folds and horizons, with 0 or 1 as what came.

    Returns:
        Knots from (0, 0) to (1, 1); none with too few rows or only one outcome.

    Source:
        Platt, Probabilistic Outputs for Support Vector Machines (1999), on the log odds.
    """
    predicted = np.concatenate([one.predicted for one in judged]) if judged else np.zeros(0)
    actual = np.concatenate([one.actual for one in judged]) if judged else np.zeros(0)
    if len(actual) < _LEAST_ROWS or actual.min() == actual.max():
        return ()
    fitted = LogisticRegression(C=1.0).fit(_log_odds(predicted)[:, None], actual > 0.5)
    slope, level = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if not (math.isfinite(slope) and slope > 0 and math.isfinite(level)):
        return ()
    given = np.linspace(0.0, 1.0, _KNOTS)
    meant = 1.0 / (1.0 + np.exp(-(slope * _log_odds(given) + level)))
    meant[0], meant[-1] = 0.0, 1.0
    return tuple(zip(given.tolist(), np.maximum.accumulate(meant).tolist(), strict=True))


def inside(knots: tuple[tuple[float, float], ...], customers: int) -> tuple[tuple[float, float], ...]:
    """Knots that keep a probability off 0 and 1, as far as so many customers can tell it from them.

    What none of n did is given (0 + .5) / (n + 1): nobody knows that a customer will never come back. The
    order of customers stays.

    Args:
        knots: Of ``probability_knots``; none for a probability that means what it says.
        customers: Customers on whom it was judged, n.

    Source:
        Jeffreys' prior of a proportion (1946), at no case and at all cases.
    """
    least = 0.5 / (max(customers, 1) + 1.0)
    return tuple(
        (given, least + (1.0 - 2.0 * least) * meant) for given, meant in knots or ((0.0, 0.0), (1.0, 1.0))
    )


def median_knots(judged: Sequence[Judged]) -> tuple[tuple[float, float], ...]:
    """Where means are bent to medians, which have the least absolute error.

    Args:
        judged: Means of all folds and horizons.

    Returns:
        Knots from (0, 0) on, both sides rising; none with too few rows.
    """
    predicted = np.concatenate([one.predicted for one in judged]) if judged else np.zeros(0)
    actual = np.concatenate([one.actual for one in judged]) if judged else np.zeros(0)
    bins = min(_BINS, len(actual) // _BIN_ROWS)
    if bins < 2:
        return ()
    edges = np.unique(np.quantile(predicted, np.arange(1, bins) / bins))
    which = np.searchsorted(edges, predicted, side="right")
    knots = [(0.0, 0.0)]
    for at in np.unique(which):
        inside = which == at
        given = float(predicted[inside].mean())
        meant = max(knots[-1][1], float(np.median(actual[inside])))
        if given > knots[-1][0]:
            knots.append((given, meant))
    return tuple(knots)


def _log_odds(probability: FloatArray) -> FloatArray:
    inside = np.clip(probability, _LEAST_PROBABILITY, 1.0 - _LEAST_PROBABILITY)
    return np.asarray(np.log(inside) - np.log1p(-inside), np.float64)
