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
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.purchase_days import PurchaseDays
from workers.runtime.shap_explainer import ShapExplainer
from workers.runtime.tree_arrays import TreeArrays
from workers.training.boosting import Boosted, tree_arrays
from workers.training.datasets import Rows, Snapshot
from workers.training.faults import TrainingFault

FloatArray = NDArray[np.float64]
Features = NDArray[np.float32]
Source = Callable[[Rows], FloatArray]
"""The model that answers: rows to values >= 0 of one target, shape (n,), finite."""
Weekly = Callable[[PurchaseDays, int, int], Features]
"""``cohortlens.contracts.sequences.weekly_sequences``."""

FIDELITY_R2 = 0.95
"""Least share of the variance of the log value that the trees must explain; below it nothing is promoted."""

FIDELITY_R2_OF_FEW = 0.7
"""The same in a shop of fewer than ``FEW_CUSTOMERS``: of 80 customers 16 are left out, and one of them who is
unlike the others decides. Predictions are not withheld for that; the version's metrics tell the figure."""

FEW_CUSTOMERS = 500
"""Customers under which a shop has no blend either (``ladder.BLEND_CUSTOMERS``)."""

_LEAST_SHARE = 1e-3
"""Smaller values are learnt as this share of the mean: their logarithms would outweigh all others."""

_ROUNDS = 150
_LEAVES = 15
_LEARNING_RATE = 0.15
_LEAF_ROWS = 10
_LEFT_OUT_SHARE = 0.2
_MAX_ROWS = 40_000
_IMPORTANCE_ROWS = 2_000
_AHEAD_DAYS = (0, 15, 30, 60)
_BACK_DAYS = (30, 90)
_STEP_BACK_LEAST_DAYS = 30
_SWAP_SHARE = 0.15
_NO_DAY = -1


@dataclass(frozen=True)
class Distilled:
    """Trees that imitate a model.

    Attributes:
        trees: They add up to the log value.
        fidelity_r2: Share of the log value's variance that they explain at ``as_of`` on customers left out,
            at most 1; on the only customer where there is one.
        importance: Mean absolute contribution of each feature by its name, log space.
    """

    trees: TreeArrays
    fidelity_r2: float
    importance: dict[str, float]


def least_fidelity(customers: int) -> float:
    """Fidelity that the trees must reach in a shop of so many customers."""
    return FIDELITY_R2 if customers >= FEW_CUSTOMERS else FIDELITY_R2_OF_FEW


def rows_to_imitate(
    snapshot: Snapshot, horizons_days: tuple[int, ...], seed: int, weekly: Weekly | None = None
) -> Rows:
    """Rows on which trees learn what a model says; nobody needs to know what came after them.

    Customers are shown as they stand at the end of the data, as they stood before, and as they will stand in
    the weeks to come if they buy nothing: a version explains until the next one is trained, and trees know no
    age that they have not seen.

    Args:
        snapshot: The data.
        horizons_days: Horizons the model was trained for; each row has one of them, in turn.
        seed: Seed of the choice of customers, when there are too many.
        weekly: Gives the rows their sequences; None when no member wants them.

    Returns:
        At most 40,000 rows without targets; ``cut`` is the day each row is of, and ``_NO_DAY`` for rows with
        some features of another customer: without them trees would credit a feature with what the model
        reads from one that goes along with it.
    """
    rng = np.random.default_rng(seed)
    days, number = snapshot.days, snapshot.customers
    back = [b for b in _BACK_DAYS if snapshot.history_days - b >= _STEP_BACK_LEAST_DAYS]
    cuts = [snapshot.as_of - b for b in back] + [snapshot.as_of + a for a in _AHEAD_DAYS]
    share = _MAX_ROWS / max(1, 2 * len(cuts) * number)
    drawn = rng.random(number) < share if share < 1 else np.ones(number, np.bool_)
    parts = []
    for at, cut in enumerate(cuts):
        features = featurize(days, cut, number)
        seen = np.flatnonzero(drawn & ~np.isnan(features[:, SCHEMA.index("age")]))
        features = features[seen]
        turn = (np.arange(len(seen)) + at) % len(horizons_days)
        features[:, SCHEMA.index("horizon")] = np.array(horizons_days, np.float32)[turn]
        sequence = None if weekly is None else weekly(days, cut, number)[seen]
        parts.append((features, seen.astype(np.int32), np.full(len(seen), cut, np.int32), sequence))
    columns = list(zip(*parts, strict=True))
    features, customer, cut_days = (np.concatenate(column) for column in columns[:3])
    sequence = None if weekly is None else np.concatenate(columns[3])
    swapped = _swapped(features, rng)
    return Rows(
        np.concatenate([features, swapped]),
        {},
        np.concatenate([customer, customer]),
        np.concatenate([cut_days, np.full_like(cut_days, _NO_DAY)]),
        None if sequence is None else np.concatenate([sequence, sequence]),
    )


def _swapped(features: Features, rng: np.random.Generator) -> Features:
    """The rows with each feature but the horizon taken from another row by chance."""
    made = features.copy()
    horizon, t_x, age = (SCHEMA.index(name) for name in ("horizon", "t_x", "age"))
    for column in range(features.shape[1]):
        if column != horizon:
            taken = np.flatnonzero(rng.random(len(features)) < _SWAP_SHARE)
            made[taken, column] = features[rng.integers(0, len(features), len(taken)), column]
    made[:, t_x] = np.minimum(made[:, t_x], made[:, age])
    return made


def distil(rows: Rows, source: Source, as_of: int, seed: int) -> Distilled:
    """Imitate a model by trees.

    Args:
        rows: ``rows_to_imitate``.
        source: The model that answers.
        as_of: Day on whose rows the fidelity is measured, days since 1970-01-01.
        seed: Seed of the choice of customers who are left out.

    Raises:
        TrainingFault: ``NOTHING_TO_LEARN``: no customer, or the model gives a value that is negative or not
            finite.

    Source:
        Hinton, Vinyals, Dean, Distilling the knowledge in a neural network (2015), with trees as the pupil.
    """
    values = np.asarray(source(rows), np.float64)
    if not len(rows) or not (np.isfinite(values) & (values >= 0)).all():
        raise TrainingFault(
            "NOTHING_TO_LEARN",
            "The model gives no finite values to explain; import more transactions and train again.",
        )
    wanted = _logs(values)
    left_out = _left_out(rows.customer, seed)
    estimator = HistGradientBoostingRegressor(
        loss="squared_error",
        max_iter=_ROUNDS,
        max_leaf_nodes=_LEAVES,
        learning_rate=_LEARNING_RATE,
        min_samples_leaf=int(np.clip(len(rows) // 100, 2, _LEAF_ROWS)),
        # It would split by row, so the rows of one customer would stand on both sides.
        early_stopping=False,
        random_state=seed % 2**32,
    )
    estimator.fit(_learnable(rows.features[~left_out]), wanted[~left_out])
    trees = tree_arrays(Boosted(estimator, 1.0))
    judged = (left_out if left_out.any() else ~left_out) & (rows.cut == as_of)
    features = rows.features[judged]
    fidelity = _r2(wanted[judged], estimator.predict(features.astype(np.float64)))
    return Distilled(trees, fidelity, importance_of(trees, rows.features[rows.cut == as_of]))


def own_trees(trees: TreeArrays, rows: Rows, multiplier: float = 1.0) -> Distilled:
    """The trees of a boosted member that serves alone, which explain it without any imitation.

    Args:
        trees: The member's, in log space.
        rows: Rows to measure the importance on.
        multiplier: What calibration multiplies the member's value by, > 0.
    """
    levelled = replace(trees, base=np.array(float(trees.base) + np.log(multiplier), np.float64))
    return Distilled(levelled, 1.0, importance_of(levelled, rows.features))


def importance_of(trees: TreeArrays, features: Features) -> dict[str, float]:
    """Mean absolute contribution of each feature by its name, log space.

    Args:
        trees: The explained trees.
        features: Rows, shape (n, columns), float32; at most 2,000 of them, evenly spread, are looked at.
    """
    step = max(1, len(features) // _IMPORTANCE_ROWS)
    shares = np.abs(ShapExplainer(trees).contributions(features[::step][:_IMPORTANCE_ROWS])).mean(axis=0)
    return dict(zip(SCHEMA.names, shares.tolist(), strict=True))


def _logs(values: FloatArray) -> FloatArray:
    """Logarithms, of at least a thousandth of the mean; of 1 where all values are 0."""
    mean = float(values.mean())
    return np.log(np.maximum(values, _LEAST_SHARE * mean if mean > 0 else 1.0))


def _left_out(customers: NDArray[np.int32], seed: int) -> NDArray[np.bool_]:
    """Rows of every fifth customer; of at least one, and never of all: none where there is only one."""
    known = np.unique(customers)
    count = min(len(known) - 1, max(1, round(len(known) * _LEFT_OUT_SHARE)))
    return np.isin(customers, np.random.default_rng(seed).permutation(known)[:count])


def _learnable(features: Features) -> FloatArray:
    """The rows as the estimator takes them: it cannot bin a column of NaN, and never splits a constant."""
    learnable = features.astype(np.float64)
    learnable[:, np.isnan(features).all(axis=0)] = 0.0
    return learnable


def _r2(wanted: FloatArray, found: FloatArray) -> float:
    if not len(wanted):
        return 0.0
    spread = float(np.sum((wanted - wanted.mean()) ** 2))
    missed = float(np.sum((wanted - found) ** 2))
    # One value for everybody is imitated exactly or not at all; a variance of nothing cannot be shared out.
    if spread <= 1e-12 * len(wanted):
        return 1.0 if missed <= 1e-8 * len(wanted) else 0.0
    return 1.0 - missed / spread
