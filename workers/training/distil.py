"""Teaches one ensemble of trees what a whole line-up predicts, so that predictions can be explained exactly.

A blend of formulas, trees and nets has no exact attribution of its own. Trees that imitate it in log space
have one, and how well they imitate it is measured on customers they never saw. Called by the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from cohortlens.contracts.features import SCHEMA
from workers.runtime.shap_explainer import ShapExplainer
from workers.runtime.tree_arrays import TreeArrays
from workers.training.boosting import Boosted, tree_arrays
from workers.training.faults import TrainingFault

FloatArray = NDArray[np.float64]
Rows = NDArray[np.float32]
LogValue = Callable[[Rows], FloatArray]
"""Rows, shape (n, columns or wider), to natural logarithms of values, shape (n,), finite."""

FIDELITY_R2 = 0.95
"""Least share of the variance of the log value that the trees must explain; below it nothing is promoted."""

LEAST_VALUE = 1e-6
"""Smaller values are explained as this one: a logarithm has no room for nothing at all."""

_ROUNDS = 150
_LEAVES = 15
_LEARNING_RATE = 0.12
_LEAF_ROWS = 10
_LEFT_OUT_SHARE = 0.2
_MAX_ROWS = 40_000
_IMPORTANCE_ROWS = 2_000


@dataclass(frozen=True)
class Distilled:
    """Trees that imitate a model.

    Attributes:
        trees: They add up to the log value.
        fidelity_r2: Share of the log value's variance they explain on customers left out, at most 1.
        importance: Mean absolute contribution of each feature by its name, log space.
    """

    trees: TreeArrays
    fidelity_r2: float
    importance: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether the trees are true enough to explain with."""
        return self.fidelity_r2 >= FIDELITY_R2


def log_of(values: FloatArray) -> FloatArray:
    """Natural logarithms of values >= 0 of any shape, with ``LEAST_VALUE`` as the least."""
    return np.log(np.maximum(values, LEAST_VALUE))


def distil(rows: Rows, source: LogValue, customers: NDArray[np.int64], seed: int) -> Distilled:
    """Imitate a model by trees.

    Args:
        rows: Rows as the model takes them, shape (n, w), float32, the horizon set; the trees learn from the
            first columns, those of ``SCHEMA``, w may be larger (a weekly sequence behind them). Give each
            horizon that will be asked for.
        source: The model: rows to log values (``log_of`` of what is predicted).
        customers: Whose row each is, shape (n,): the rows of one customer are never on both sides.
        seed: Seed of the choice of customers.

    Raises:
        TrainingFault: ``NOTHING_TO_LEARN``: no rows, or the model gives a value that is not finite.

    Source:
        Hinton, Vinyals, Dean, Distilling the knowledge in a neural network (2015), with trees as the pupil.
    """
    rng = np.random.default_rng(seed)
    rows, customers = _sample(rows, customers, rng)
    wanted = np.asarray(source(rows), np.float64)
    if not len(rows) or not np.isfinite(wanted).all():
        raise TrainingFault(
            "NOTHING_TO_LEARN",
            "The model gives no finite values to explain; import more transactions and train again.",
        )
    features = np.ascontiguousarray(rows[:, : len(SCHEMA.columns)])
    left_out = _left_out(customers, rng)
    estimator = HistGradientBoostingRegressor(
        loss="squared_error",
        max_iter=_ROUNDS,
        max_leaf_nodes=_LEAVES,
        learning_rate=_LEARNING_RATE,
        min_samples_leaf=int(np.clip(len(rows) // 100, 2, _LEAF_ROWS)),
        # It would split by row, so one customer's cuts would stand on both sides.
        early_stopping=False,
        random_state=seed % 2**32,
    )
    estimator.fit(_learnable(features[~left_out]), wanted[~left_out])
    trees = tree_arrays(Boosted(estimator, 1.0))
    fidelity = _r2(wanted[left_out], estimator.predict(features[left_out].astype(np.float64)))
    return Distilled(trees, fidelity, importance_of(trees, features))


def own_trees(trees: TreeArrays, rows: Rows, multiplier: float = 1.0) -> Distilled:
    """The trees of a boosted member that serves alone, which explain it without any imitation.

    Args:
        trees: The member's, in log space.
        rows: Rows to measure the importance on, shape (n, w), float32, the horizon set.
        multiplier: What calibration multiplies the member's value by, > 0.
    """
    levelled = replace(trees, base=np.array(float(trees.base) + np.log(multiplier), np.float64))
    return Distilled(levelled, 1.0, importance_of(levelled, rows[:, : len(SCHEMA.columns)]))


def importance_of(trees: TreeArrays, features: Rows) -> dict[str, float]:
    """Mean absolute contribution of each feature by its name, log space.

    Args:
        trees: The explained trees.
        features: Rows, shape (n, columns), float32; at most 2,000 of them, evenly spread, are looked at.
    """
    step = max(1, len(features) // _IMPORTANCE_ROWS)
    shares = np.abs(ShapExplainer(trees).contributions(features[::step][:_IMPORTANCE_ROWS])).mean(axis=0)
    return dict(zip(SCHEMA.names, shares.tolist(), strict=True))


def _sample(
    rows: Rows, customers: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Rows, NDArray[np.int64]]:
    if len(rows) <= _MAX_ROWS:
        return rows, customers
    drawn = np.sort(rng.choice(len(rows), _MAX_ROWS, replace=False))
    return rows[drawn], customers[drawn]


def _left_out(customers: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Rows of every fifth customer; of at least one, and never of all."""
    known = np.unique(customers)
    if len(known) < 2:
        raise TrainingFault("NOTHING_TO_LEARN", "One customer alone cannot teach and judge an explanation.")
    chosen = rng.permutation(known)[: max(1, round(len(known) * _LEFT_OUT_SHARE))]
    return np.isin(customers, chosen)


def _learnable(features: Rows) -> FloatArray:
    """The rows as the estimator takes them: it cannot bin a column of NaN, and never splits a constant."""
    learnable = features.astype(np.float64)
    learnable[:, np.isnan(features).all(axis=0)] = 0.0
    return learnable


def _r2(wanted: FloatArray, found: FloatArray) -> float:
    spread = float(np.sum((wanted - wanted.mean()) ** 2))
    missed = float(np.sum((wanted - found) ** 2))
    # One value for everybody is imitated exactly or not at all; a variance of nothing cannot be shared out.
    if spread <= 1e-12 * len(wanted):
        return 1.0 if missed <= 1e-8 * len(wanted) else 0.0
    return 1.0 - missed / spread
