"""From the predictions of members to one value: weights, level, horizon, discount.

Training chooses blends with these very functions and replicas serve with them, so the two cannot differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.asks import CHURN
from cohortlens.contracts.manifest import Blend

FloatArray = NDArray[np.float64]

STEP_DAYS = 30
"""Length of the parts of a horizon that are discounted one by one."""

_YEAR_DAYS = 365.0
_TINY = 1e-12


def mixed(weights: Mapping[str, float], predictions: Mapping[str, FloatArray]) -> FloatArray:
    """The weighted mean of members.

    Args:
        weights: Share of each member, by its id; they add up to 1.
        predictions: Predictions by member, shape (n,) each; those without a weight are not looked at.
    """
    items = iter(weights.items())
    member, weight = next(items)
    # Members are multiplied one after the other in the order of the manifest: sums are the same everywhere.
    total = predictions[member] * weight
    for member, weight in items:
        total += predictions[member] * weight
    return total


def levelled(blend: Blend, values: FloatArray, *, probability: bool = False) -> FloatArray:
    """Move weighted means to the level that the backtest found.

    Args:
        blend: Multiplier and knots; between two knots values are bent linearly, above the last one they keep
            its ratio.
        values: Weighted means >= 0, shape (n,).
        probability: Values are probabilities; they stay within 0 to 1.
    """
    if blend.multiplier != 1.0:
        values = values * blend.multiplier
    if blend.knots:
        values = _bent(values, blend.knots, probability=probability)
    return np.minimum(values, 1.0) if probability else values


def _bent(values: FloatArray, knots: Sequence[tuple[float, float]], *, probability: bool) -> FloatArray:
    given = np.array([knot[0] for knot in knots])
    meant = np.array([knot[1] for knot in knots])
    bent = np.interp(values, given, meant)
    if probability or not given[-1] > 0:
        return bent
    return np.where(values > given[-1], values * (meant[-1] / given[-1]), bent)


def blended(
    target: str, blend: Blend, predictions: Mapping[str, FloatArray], *, with_sequence: bool = True
) -> FloatArray:
    """The value of a target from the predictions of its members.

    Args:
        target: ``purchases``, ``spend`` or ``churn``.
        blend: How.
        predictions: Predictions by member at one trained horizon a row, shape (n,) each.
        with_sequence: Whether the rows have their weekly sequence.

    Returns:
        Shape (n,), >= 0; a probability for ``churn``.
    """
    weights = blend.weights if with_sequence else blend.weights_without_sequence
    return levelled(blend, mixed(weights, predictions), probability=target == CHURN)


def nearest(horizons_days: Sequence[int], horizon_days: float) -> int:
    """The trained horizon nearest to one asked, as a ratio; the longer one of two equally near."""
    return min(
        horizons_days,
        key=lambda days: (round(abs(math.log(days / max(horizon_days, 1.0))), 12), -days),
    )


def stretched(
    target: str,
    values: FloatArray,
    trained: FloatArray,
    asked: FloatArray,
    horizon_ratio: FloatArray | float,
) -> FloatArray:
    """Carry values from a trained horizon to the one asked, along each customer's own curve.

    Purchases and spend follow the ratio of expected purchases. A probability of none follows the ratio of its
    logarithms, so that it stays a probability and falls as the horizon grows.

    Args:
        target: ``purchases``, ``spend`` or ``churn``.
        values: At the trained horizon, shape (n,).
        trained: The curve there: expected purchases, or for ``churn`` the probability of none, shape (n,).
        asked: The curve at the horizon asked, shape (n,).
        horizon_ratio: Days asked over days trained; used where the curve is flat, so that it has no ratio.
    """
    if target == CHURN:
        below, above = -np.log(np.clip(trained, _TINY, 1.0)), -np.log(np.clip(asked, _TINY, 1.0))
    else:
        below, above = trained, asked
    flat = below < _TINY
    ratio = np.where(flat, horizon_ratio, above / np.where(flat, 1.0, below))
    return np.asarray(values**ratio if target == CHURN else values * ratio)


def steps_of(horizon_days: int) -> FloatArray:
    """Ends of the parts of a horizon: each ``STEP_DAYS``, and the rest; shape (steps,), days."""
    return np.append(np.arange(STEP_DAYS, horizon_days, STEP_DAYS, dtype=np.float64), float(horizon_days))


def discounted(cumulative: FloatArray, steps: FloatArray, annual_discount_ratio: float) -> FloatArray:
    """Share of a horizon's money that is left after discounting each part from its end.

    Args:
        cumulative: Expected purchases by the end of each step, shape (n, steps), rising.
        steps: ``steps_of`` the horizon.
        annual_discount_ratio: Effective discount a year, >= 0.

    Returns:
        Shape (n,), within 0 to 1; the discount at the end where nothing is expected at all.
    """
    factors = (1.0 + annual_discount_ratio) ** (-steps / _YEAR_DAYS)
    total = cumulative[:, -1]
    empty = total < _TINY
    # Summed by parts: the differences of one curve, never of two.
    weighted = (np.diff(cumulative, axis=1, prepend=0.0) * factors).sum(axis=1)
    return np.where(empty, factors[-1], weighted / np.where(empty, 1.0, total))
