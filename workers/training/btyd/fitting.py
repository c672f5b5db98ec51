"""Fit a purchase model to the histories of customers, and say where its likelihood has no inner optimum."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.runtime.btyd import AT_BOUND, FAMILIES, NO_DROPOUT, BtydParameters
from workers.training.btyd.histories import Histories, fold
from workers.training.btyd.likelihoods import LIKELIHOODS, Likelihood, nbd
from workers.training.btyd.search import Objective, Optimum, maximise

FloatArray = NDArray[np.float64]

_COARSE_ROWS = 3000
"""Histories on which the starts compete."""
_ANY_DROPOUT = 1e-2
"""A likelihood that dropout lifts by less than this, over all customers, has its optimum without it."""
_DROPOUT_MIN = 1e-6
_LEAVING_MIN_PER_DAY = 1e-8
_DROPOUT_STARTS = {
    "bgnbd": ((1.0, 2.5), (0.3, 5.0), (0.5, 0.5)),
    "mbgnbd": ((1.0, 2.5), (0.3, 5.0), (0.5, 0.5)),
    "paretonbd": ((0.6, 0.4), (1.5, 2.0), (0.3, 0.1)),
}
_SHAPES = (0.3, 1.0, 0.1)


@dataclass(frozen=True)
class Fit:
    """A fitted purchase model.

    Attributes:
        parameters: What predicts; times in days.
        log_likelihood: Sum over customers, times in days.
        boundary: Empty, or the boundary of the parameters.
        standard_errors: Of the parameters by Laplace, by name; empty at a boundary, where they do not exist.
        iterations: Iterations of the search.
        cpu_s: CPU seconds of it all.
        customers: Customers it was fitted to.
    """

    parameters: BtydParameters
    log_likelihood: float
    boundary: str
    standard_errors: dict[str, float]
    iterations: int
    cpu_s: float
    customers: float

    def interval(self, name: str, level_ratio: float = 0.95) -> tuple[float, float] | None:
        """Interval of a parameter on the log scale, positive at both ends.

        Args:
            name: Name of the parameter.
            level_ratio: Share of samples whose interval holds the true value, between 0 and 1.

        Returns:
            Both ends, or None at a boundary.
        """
        if name not in self.standard_errors:
            return None
        value = self.parameters.named[name]
        width = NormalDist().inv_cdf(0.5 + 0.5 * level_ratio) * self.standard_errors[name] / value
        factor = float(np.exp(min(width, 700.0)))
        return value / factor, value * factor


def fit(family: str, x: ArrayLike, t_x: ArrayLike, age: ArrayLike, weights: ArrayLike | None = None) -> Fit:
    """Fit a family by maximum likelihood.

    Args:
        family: ``bgnbd``, ``mbgnbd`` or ``paretonbd``.
        x: Repeat purchase-days, >= 0, shape (n,).
        t_x: Days from the first purchase to the last, 0..age, shape (n,).
        age: Days from the first purchase to the cut, shape (n,).
        weights: Customers that each row stands for, > 0; 1 when None.

    Returns:
        The fit; equal to the last bit whatever the order of the rows.

    Raises:
        TrainingFault: ``HISTORY_INVALID``, or ``NO_REPEAT_PURCHASES``.
    """
    started = time.process_time()
    histories = fold(x, t_x, age, weights)
    unit = max(_median_age(histories), 1.0)
    scaled = histories.scaled(unit)
    still = _search(nbd, scaled, [(shape, shape / _rate(scaled)) for shape in _SHAPES])
    full = _search(LIKELIHOODS[family], scaled, _starts(family, scaled))
    iterations = still.iterations + full.iterations
    leaves = not _never_leaves(family, still, full, scaled.customers, unit)
    optimum = full if leaves else still
    boundary = NO_DROPOUT if not leaves else AT_BOUND if optimum.at_bound else ""
    days = np.array([unit if name in {"alpha", "beta"} else 1.0 for name in FAMILIES[family]])
    values = optimum.values * days[: len(optimum.values)]
    errors = _standard_errors(family, optimum, values, scaled.customers)
    # Every repeat purchase has a density in time, so the unit of time stands in the likelihood.
    jacobian = np.log(unit) * float(histories.weight @ histories.x)
    return Fit(
        parameters=BtydParameters(family, tuple(float(value) for value in values), boundary),
        log_likelihood=float(optimum.value * scaled.customers - jacobian),
        boundary=boundary,
        standard_errors={} if boundary else errors,
        iterations=iterations,
        cpu_s=time.process_time() - started,
        customers=histories.customers,
    )


def _median_age(histories: Histories) -> float:
    ages, customers, _ = histories.ages
    return float(ages[np.searchsorted(np.cumsum(customers), 0.5 * histories.customers)])


def _rate(histories: Histories) -> float:
    """Repeat purchases per unit of time, > 0 because somebody has bought twice."""
    _, _, bought = histories.ages
    return float(bought.sum() / max(float(histories.weight @ histories.age), 1e-9))


def _starts(family: str, histories: Histories) -> list[tuple[float, ...]]:
    rate = _rate(histories)
    pairs = zip(_SHAPES, _DROPOUT_STARTS[family], strict=True)
    return [(shape, shape / rate, *dropout) for shape, dropout in pairs]


def _search(likelihood: Likelihood, histories: Histories, starts: list[tuple[float, ...]]) -> Optimum:
    few = histories.sample(_COARSE_ROWS)
    coarse = None if few is histories else _mean(likelihood, few)
    return maximise(_mean(likelihood, histories), starts, coarse)


def _mean(likelihood: Likelihood, histories: Histories) -> Objective:
    """Per customer, so that the tolerance of the search does not hang on their number."""

    def objective(values: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = likelihood(values, histories)
        return value / histories.customers, gradient / histories.customers

    return objective


def _never_leaves(family: str, still: Optimum, full: Optimum, customers: float, unit: float) -> bool:
    if (full.value - still.value) * customers < _ANY_DROPOUT:
        return True
    third, fourth = full.values[2:]
    if family == "paretonbd":
        return bool(third / (fourth * unit) < _LEAVING_MIN_PER_DAY)
    return bool(third / (third + fourth) < _DROPOUT_MIN)


def _standard_errors(family: str, optimum: Optimum, values: FloatArray, customers: float) -> dict[str, float]:
    if optimum.covariance is None:
        return {}
    errors = values * np.sqrt(np.diag(optimum.covariance) / customers)
    return {name: float(error) for name, error in zip(FAMILIES[family], errors, strict=False)}
