"""Gradient boosting of purchases and spend on point-in-time features, with the horizon as a feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from cohortlens.contracts.features import SCHEMA
from workers.runtime.tree_arrays import TreeArrays
from workers.training.datasets import Rows
from workers.training.faults import TrainingFault

TARGETS = ("purchases", "spend")

_ROUNDS = 150
_LEAVES = 15
_LEARNING_RATE = 0.04
_LEAF_ROWS = 40


@dataclass(frozen=True)
class Boosted:
    """A fitted ensemble.

    Attributes:
        estimator: Learnt on the target divided by ``scale``.
        scale: Mean of the target over the training rows, its unit, > 0.
    """

    estimator: Any
    scale: float

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Values in the target's unit, shape (n,)."""
        raw = self.estimator.predict(features.astype(np.float64))
        return np.asarray(raw, np.float64) * self.scale


def fit(rows: Rows, target: str, seed: int) -> Boosted:
    """Fit one target.

    Args:
        rows: Training rows.
        target: ``purchases`` or ``spend``.
        seed: Seed of the estimator.

    Raises:
        TrainingFault: ``NOTHING_TO_LEARN``: the target is zero in every row.
    """
    actual = rows.targets[target]
    scale = float(actual.mean()) if len(actual) else 0.0
    if not scale > 0:
        raise TrainingFault(
            "NOTHING_TO_LEARN",
            f"No customer has any {target} after a cut of the training data, so there is nothing to predict. "
            "Import transactions of customers who bought more than once, with their amounts.",
        )
    rising = np.zeros(len(SCHEMA.columns), np.int8)
    rising[SCHEMA.index("horizon")] = 1
    estimator = HistGradientBoostingRegressor(
        loss="poisson",
        max_iter=_ROUNDS,
        max_leaf_nodes=_LEAVES,
        learning_rate=_LEARNING_RATE,
        min_samples_leaf=int(np.clip(len(rows) // 100, 2, _LEAF_ROWS)),
        monotonic_cst=rising,
        # It would split by row, so one customer's cuts would stand on both sides.
        early_stopping=False,
        random_state=seed % 2**32,
    )
    estimator.fit(_learnable(rows.features), actual / scale)
    return Boosted(estimator, scale)


def _learnable(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """The rows as the estimator takes them: it cannot bin a column of NaN, and never splits a constant."""
    learnable = features.astype(np.float64)
    learnable[:, np.isnan(features).all(axis=0)] = 0.0
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
        features=np.array(len(SCHEMA.columns), np.int32),
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
