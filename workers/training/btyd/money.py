"""Fit the Gamma-Gamma model of what a purchase-day brings."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.runtime.btyd import AT_BOUND
from workers.runtime.btyd_money import GammaGamma
from workers.training.btyd.likelihoods import gamma_gamma
from workers.training.btyd.search import Optimum, maximise
from workers.training.faults import TrainingFault

FloatArray = NDArray[np.float64]

MEAN_FIXED = "MEAN_FIXED"
"""Boundary of a fit whose likelihood alone would have no mean: the sample's mean was kept instead."""

_Q_MIN = 1.05
"""Nearer to 1 the model's mean is ruled by customers that no sample holds."""
_STARTS = ((2.0, 3.0), (10.0, 2.0), (0.5, 5.0))


@dataclass(frozen=True)
class GammaGammaFit:
    """A fitted money model.

    Attributes:
        parameters: What predicts, major units.
        log_likelihood: Sum over customers, of the mean money in major units.
        boundary: Empty, ``MEAN_FIXED`` or ``AT_BOUND``.
        standard_errors: Of the parameters by Laplace, by name; empty at a boundary.
        correlation: Of x with zbar; the model takes them as independent. 0 where one of them is constant.
        iterations: Iterations of the search.
        cpu_s: CPU seconds of it all.
        customers: Customers it was fitted to: those with money on a repeat purchase-day.
    """

    parameters: GammaGamma
    log_likelihood: float
    boundary: str
    standard_errors: dict[str, float]
    correlation: float
    iterations: int
    cpu_s: float
    customers: int


def fit_gamma_gamma(x: ArrayLike, zbar: ArrayLike) -> GammaGammaFit:
    """Fit by maximum likelihood to the customers with x > 0 and zbar > 0.

    Args:
        x: Repeat purchase-days, >= 0, shape (n,).
        zbar: Their mean money, major units, >= 0, shape (n,).

    Raises:
        TrainingFault: ``HISTORY_INVALID``, or ``NO_REPEAT_PURCHASES``: nobody has paid on a second day.
    """
    started = time.process_time()
    count, money = _payers(x, zbar)
    scale = float(np.median(money))
    rows = (count, money / scale, np.ones(len(count)))
    optimum, boundary = _fit(rows)
    p, q, gamma = (float(value) for value in optimum.values)
    errors = {}
    if optimum.covariance is not None and not boundary:
        spread = np.sqrt(np.diag(optimum.covariance) / len(count)) * optimum.values * [1.0, 1.0, scale]
        errors = dict(zip(("p", "q", "gamma"), (float(value) for value in spread), strict=True))
    return GammaGammaFit(
        parameters=GammaGamma(p, q, gamma * scale, boundary),
        log_likelihood=optimum.value * len(count) - len(count) * float(np.log(scale)),
        boundary=boundary,
        standard_errors=errors,
        correlation=_correlation(count, money),
        iterations=optimum.iterations,
        cpu_s=time.process_time() - started,
        customers=len(count),
    )


def _payers(x: ArrayLike, zbar: ArrayLike) -> tuple[FloatArray, FloatArray]:
    count, money = np.asarray(x, np.float64), np.asarray(zbar, np.float64)
    if count.ndim != 1 or count.shape != money.shape:
        raise TrainingFault("HISTORY_INVALID", "x and zbar: give one number for each of the customers.")
    if not (np.isfinite(count).all() and np.isfinite(money).all()):
        raise TrainingFault("HISTORY_INVALID", "x and zbar: finite numbers.")
    paid = (count > 0) & (money > 0)
    if not paid.any():
        raise TrainingFault(
            "NO_REPEAT_PURCHASES",
            "No customer has paid on a second day, so there is no amount to learn. Import a longer history.",
        )
    # One order for every sum, so that the order of the rows changes no bit.
    order = np.lexsort((money[paid], count[paid]))
    return count[paid][order], money[paid][order]


def _fit(rows: tuple[FloatArray, FloatArray, FloatArray]) -> tuple[Optimum, str]:
    count, money, weight = rows
    n = len(count)

    def free(values: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = gamma_gamma(values, count, money, weight)
        return value / n, gradient / n

    optimum = maximise(free, [(p, q, (q - 1.0) / p) for p, q in _STARTS])
    if optimum.values[1] > _Q_MIN:
        return optimum, AT_BOUND if optimum.at_bound else ""
    mean = float(count @ money / count.sum())

    def fixed(values: FloatArray) -> tuple[float, FloatArray]:
        p, excess = values
        q = _Q_MIN + excess
        gamma = (q - 1.0) * mean / p
        value, (by_p, by_q, by_gamma) = gamma_gamma(np.array([p, q, gamma]), count, money, weight)
        slopes = [by_p - by_gamma * gamma / p, by_q + by_gamma * mean / p]
        return value / n, np.array(slopes) / n

    held = maximise(fixed, [(p, q) for p, q in _STARTS])
    p, excess = held.values
    q = _Q_MIN + excess
    values = np.array([p, q, (q - 1.0) * mean / p])
    return Optimum(values, held.value, None, held.at_bound, optimum.iterations + held.iterations), MEAN_FIXED


def _correlation(count: FloatArray, money: FloatArray) -> float:
    if np.ptp(count) == 0 or np.ptp(money) == 0:
        return 0.0
    return float(np.corrcoef(count, money)[0, 1])
