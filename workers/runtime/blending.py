"""From the predictions of members to one value: weights, level, the horizon they are made for.

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
    bent: FloatArray = np.interp(values, given, meant)
    if probability or not given[-1] > 0:
        return bent
    above: FloatArray = np.where(values > given[-1], values * (meant[-1] / given[-1]), bent)
    return above


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
