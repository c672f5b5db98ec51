"""Gradient boosting on point-in-time features, with the horizon as a feature: means, amounts and chances.

Each can also be learnt as a correction of another model, as a ratio to what that model expects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from cohortlens.contracts.features import SCHEMA
from workers.runtime.tree_arrays import TreeArrays
from workers.training.binning import WeightedRegressor
from workers.training.lineup import MemberDropped

_HORIZON, _TREND = SCHEMA.index("horizon"), SCHEMA.index("trend_30")

_LEARNING_RATE = 0.04
_SHARE_OF_ROWS = 100
"""A leaf holds at least this part of the rows, where they are few."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """How far trees are grown.

    Attributes:
        rounds: Trees.
        leaves: Leaves of a tree at most.
        leaf_rows: Rows of a leaf at least, where there are rows enough.
    """

    rounds: int
    leaves: int
    leaf_rows: int


WHOLE = Settings(rounds=150, leaves=15, leaf_rows=40)
"""For a target learnt from nothing."""

CORRECTION = Settings(rounds=60, leaves=7, leaf_rows=120)
"""For what another model has left over, and for a chance: less to learn, so less is grown. Chosen on cuts of
both public sets whose horizons end before their hold-outs begin."""


@dataclass(frozen=True)
class Boosted:
    """A fitted ensemble.

    Attributes:
        estimator: Learnt on the target divided by ``scale``, or on its logarithm.
        scale: Unit of the target, > 0; 1 for a chance.
        link: ``exp`` where the trees add up to a logarithm, ``sigmoid`` for one of odds.
    """

    estimator: Any
    scale: float
    link: str = "exp"

    def predict(self, features: NDArray[np.float32]) -> FloatArray:
        """Values in the target's unit, or probabilities, shape (n,)."""
        rows = features.astype(np.float64)
        if self.link == "sigmoid":
            return np.asarray(self.estimator.predict_proba(rows)[:, 1], np.float64)
        raw = np.asarray(self.estimator.predict(rows), np.float64)
        is_log = self.estimator.loss != "poisson"
        return (np.exp(raw) if is_log else raw) * self.scale


def fit_count(
    features: NDArray[np.float32],
    actual: FloatArray,
    seed: int,
    settings: Settings = WHOLE,
    expected: FloatArray | None = None,
) -> Boosted:
    """Fit a mean by Poisson loss, alone or as a ratio to what another model expects.

    Args:
        features: Rows, shape (n, columns).
        actual: What happened, >= 0, shape (n,).
        seed: Seed of the estimator.
        settings: How far the trees are grown.
        expected: What the other model expects, > 0, shape (n,); the trees then give actual over expected,
            each row weighing as much as is expected of it.

    Raises:
        MemberDropped: ``NOTHING_TO_LEARN``: the target is zero in every row.
    """
    scale = _scale(actual) if expected is None else _scale(actual) / float(expected.mean())
    weights = np.ones_like(actual) if expected is None else expected
    estimator = _regressor("poisson", features, settings, seed, rising=expected is None)
    estimator.fit(_learnable(features), actual / weights / scale, sample_weight=weights)
    return Boosted(estimator, scale)


def fit_amount(
    features: NDArray[np.float32],
    actual: FloatArray,
    seed: int,
    settings: Settings = WHOLE,
    expected: FloatArray | None = None,
) -> Boosted:
    """Fit a heavy-tailed amount on the logarithm, alone or as a ratio; the mean is put right by smearing.

    Args:
        features: Rows, shape (n, columns).
        actual: Amounts > 0, shape (n,).
        seed: Seed of the estimator.
        settings: How far the trees are grown.
        expected: What another model expects, > 0, shape (n,); the trees then give actual over expected.

    Raises:
        MemberDropped: ``NOTHING_TO_LEARN``: no rows.

    Source:
        Duan, Smearing estimate, JASA 78 (1983); here weighted by the amount, so that totals agree.
    """
    if not len(actual):
        raise MemberDropped("NOTHING_TO_LEARN")
    base = np.ones_like(actual) if expected is None else expected
    wanted = np.log(actual / base)
    estimator = _regressor("squared_error", features, settings, seed, rising=expected is None)
    learnable = _learnable(features)
    estimator.fit(learnable, wanted)
    scale = float(actual.sum() / (base * np.exp(estimator.predict(learnable))).sum())
    return Boosted(estimator, scale)


def fit_chance(features: NDArray[np.float32], happened: FloatArray, seed: int) -> Boosted:
    """Fit a probability that falls with the horizon.

    Args:
        features: Rows, shape (n, columns).
        happened: 0 or 1, shape (n,).
        seed: Seed of the estimator.

    Raises:
        MemberDropped: ``NOTHING_TO_LEARN``: it happened in every row, or in none.
    """
    if not 0 < float(happened.mean() if len(happened) else 0.0) < 1:
        raise MemberDropped("NOTHING_TO_LEARN")
    constraint = np.zeros(features.shape[1], np.int8)
    constraint[_HORIZON] = -1
    grown = _grown(CORRECTION, len(features), seed)
    estimator = HistGradientBoostingClassifier(monotonic_cst=constraint, **grown)
    estimator.fit(_learnable(features), happened)
    return Boosted(estimator, 1.0, "sigmoid")


def _regressor(
    loss: str, features: NDArray[np.float32], settings: Settings, seed: int, *, rising: bool
) -> WeightedRegressor:
    constraint = np.zeros(features.shape[1], np.int8)
    constraint[_HORIZON] = 1 if rising else 0
    grown = _grown(settings, len(features), seed)
    return WeightedRegressor(loss=loss, monotonic_cst=constraint, **grown)


def _grown(settings: Settings, rows: int, seed: int) -> dict[str, Any]:
    return {
        "max_iter": settings.rounds,
        "max_leaf_nodes": settings.leaves,
        "learning_rate": _LEARNING_RATE,
        "min_samples_leaf": int(np.clip(rows // _SHARE_OF_ROWS, 2, settings.leaf_rows)),
        # It would split by row, so one customer's cuts would stand on both sides.
        "early_stopping": False,
        "random_state": seed % 2**32,
    }


def _scale(actual: FloatArray) -> float:
    scale = float(actual.mean()) if len(actual) else 0.0
    if not scale > 0:
        raise MemberDropped("NOTHING_TO_LEARN")
    return scale


def _learnable(features: NDArray[np.float32]) -> FloatArray:
    """The rows as the estimator takes them: it cannot bin a column of NaN, and never splits a constant.

    The trend of the population is held constant too: it is one number for each cut, and trees that tell the
    few cuts apart by it learn what happened after each of them instead of what customers do.
    """
    learnable = features.astype(np.float64)
    learnable[:, np.isnan(features).all(axis=0)] = 0.0
    learnable[:, _TREND] = 1.0
    return learnable


def tree_arrays(boosted: Boosted) -> TreeArrays:
    """The ensemble as arrays: thresholds rounded down to float32, leaves to float32, the scale in the base.

    Rounding a threshold down leaves ``x <= threshold`` as it was for every float32 x.
    """
    nodes = [predictors[0].nodes for predictors in boosted.estimator._predictors]
    sizes = np.array([len(tree) for tree in nodes])
    table = np.concatenate(nodes)
    leaf = table["is_leaf"].astype(np.bool_)

    def inner(column: NDArray[Any], in_leaf: float) -> NDArray[Any]:
        return np.where(leaf, in_leaf, column)

    left, right = table["left"].astype(np.int32), table["right"].astype(np.int32)
    default = np.where(table["missing_go_to_left"].astype(np.bool_), left, right)
    baseline = float(np.ravel(boosted.estimator._baseline_prediction)[0])
    return TreeArrays(
        base=np.array(baseline + np.log(boosted.scale), np.float64),
        features=np.array(boosted.estimator.n_features_in_, np.int32),
        starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
        left=inner(left, -1).astype(np.int32),
        right=inner(right, -1).astype(np.int32),
        default=inner(default, -1).astype(np.int32),
        feature=inner(table["feature_idx"], -1).astype(np.int32),
        threshold=inner(_down_to_float32(table["num_threshold"]), 0.0).astype(np.float64),
        value=table["value"].astype(np.float32).astype(np.float64),
        weight=table["count"].astype(np.float64),
    )


def _down_to_float32(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)
