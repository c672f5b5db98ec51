"""Chooses how members are blended: weights that would have predicted the folds best, held back by few folds.

Weights are >= 0 and add up to 1. They minimise the mean squared error over folds and horizons, each told as a
multiple of its own best constant's, with a pull towards equal weights whose strength is found by leaving one
fold out. A member of less than ``LEAST_WEIGHT`` is dropped, and so is one that says what another says.

Each row's error is divided by the root of its expected size, half-way to its variance, so that a handful of
the largest customers does not choose for all: measured on cuts before the hold-outs (ADR 0041).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from workers.training.backtest import Fold

FloatArray = NDArray[np.float64]

LEAST_WEIGHT = 0.05
ALIKE = 0.01
"""Members whose values differ by less than this share of the spread of what came are one member: the families
without dropout are all the same model, and would else have a vote each."""

_PULLS = (0.003, 0.01, 0.03, 0.1, 0.3)
_SUM_WEIGHT = 1e3


@dataclass(frozen=True)
class Quadratic:
    """Squared error of a blend as a function of its weights: w'Gw - 2 c'w + s, in multiples of a constant's.

    Attributes:
        g: Shape (members, members).
        c: Shape (members,).
        s: Error of predicting zero.
    """

    g: FloatArray
    c: FloatArray
    s: float

    def loss(self, weights: FloatArray) -> float:
        """Error of weights, >= 0."""
        return max(0.0, float(weights @ self.g @ weights - 2.0 * self.c @ weights + self.s))

    def of(self, keep: NDArray[np.intp]) -> Quadratic:
        """The same for some of the members."""
        return Quadratic(self.g[np.ix_(keep, keep)], self.c[keep], self.s)


def quadratics(folds: Sequence[Fold], target: str, members: Sequence[str]) -> list[Quadratic]:
    """Squared error of each fold, the mean over its horizons.

    Args:
        folds: The folds.
        target: The target.
        members: Members in the order of the weights; each predicted every fold.
    """
    found = []
    for fold in folds:
        parts = [_quadratic(fold, target, horizon, members) for horizon in fold.rows]
        found.append(_mean(parts))
    return found


def distinct(folds: Sequence[Fold], target: str, members: Sequence[str]) -> list[str]:
    """The members without those that say what an earlier one says, see ``ALIKE``."""
    kept: list[str] = []
    for member in members:
        if all(_difference(folds, target, member, other) >= ALIKE for other in kept):
            kept.append(member)
    return kept


def _difference(folds: Sequence[Fold], target: str, member: str, other: str) -> float:
    """Mean distance of two members over folds and horizons, as a share of the spread of what came."""
    found = [
        np.sqrt(np.mean((table[member] - table[other]) ** 2)) / fold.scale(target, horizon)
        for fold in folds
        for horizon in fold.rows
        if (table := fold.predictions[target, horizon])
    ]
    return float(np.mean(found))


def _quadratic(fold: Fold, target: str, horizon: int, members: Sequence[str]) -> Quadratic:
    table = fold.predictions[target, horizon]
    predicted = np.stack([table[member] for member in members], axis=1)
    actual = fold.actual(target, horizon)
    weights = _row_weights(np.mean(list(table.values()), axis=0))
    spread = float(weights @ (actual - weights @ actual) ** 2)
    weights = weights / spread if spread > 0 else weights
    weighted = predicted * weights[:, None]
    return Quadratic(predicted.T @ weighted, weighted.T @ actual, float(weights @ actual**2))


def _row_weights(expected: FloatArray) -> FloatArray:
    """Weights of rows by what is expected of them, adding up to 1, shape (n,)."""
    size = expected + expected.mean()
    weights = 1.0 / np.sqrt(size) if (size > 0).all() else np.ones_like(size)
    return np.asarray(weights / weights.sum(), np.float64)


def _mean(parts: Sequence[Quadratic]) -> Quadratic:
    count = len(parts)
    g = sum((part.g for part in parts[1:]), parts[0].g) / count
    c = sum((part.c for part in parts[1:]), parts[0].c) / count
    return Quadratic(g, c, sum(part.s for part in parts) / count)


def select(folds: Sequence[Fold], target: str, members: Sequence[str]) -> dict[str, float]:
    """Weights of the members that are kept.

    Args:
        folds: Folds to learn the weights from, at least one.
        target: The target.
        members: Members to choose from, at least one.

    Returns:
        Weight by member, each at least ``LEAST_WEIGHT``, adding up to 1.
    """
    members = distinct(folds, target, members)
    tables = quadratics(folds, target, members)
    pull = _pull(tables)
    keep = np.arange(len(members))
    weights = _solve(_mean(tables), pull)
    while len(keep) > 1 and weights.min() < LEAST_WEIGHT:
        keep = np.delete(keep, int(np.argmin(weights)))
        weights = _solve(_mean(tables).of(keep), pull)
    weights = weights / weights.sum()
    return {members[at]: float(weight) for at, weight in zip(keep.tolist(), weights, strict=True)}


def _pull(tables: list[Quadratic]) -> float:
    """Strength of the pull to equal weights that predicts a fold left out best; the strongest of one fold."""
    if len(tables) < 2:
        return _PULLS[-1]
    losses = []
    for pull in _PULLS:
        left_out = [
            tables[at].loss(_solve(_mean(tables[:at] + tables[at + 1 :]), pull)) for at in range(len(tables))
        ]
        losses.append(float(np.mean(left_out)))
    return _PULLS[int(np.argmin(losses))]


def _solve(table: Quadratic, pull: float) -> FloatArray:
    """Weights of the least penalised error under w >= 0 and sum 1, by non-negative least squares."""
    count = len(table.c)
    if count == 1:
        return np.ones(1)
    g = table.g + pull * np.eye(count)
    c = table.c + pull / count
    values, vectors = np.linalg.eigh(g)
    root = np.sqrt(np.maximum(values, 1e-12))
    rows = np.vstack([root[:, None] * vectors.T, np.full((1, count), _SUM_WEIGHT)])
    wanted = np.append((vectors.T @ c) / root, _SUM_WEIGHT)
    weights = np.asarray(nnls(rows, wanted)[0], np.float64)
    return np.asarray(weights / weights.sum())
