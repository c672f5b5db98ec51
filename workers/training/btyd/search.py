"""Maximum likelihood over positive parameters: the one search of all fits, and the errors at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

FloatArray = NDArray[np.float64]
Objective = Callable[[FloatArray], tuple[float, FloatArray]]

LOG_BOUND = 12.0
"""Parameters lie in e^-12..e^12, times measured in median ages."""

_AT_BOUND = LOG_BOUND - 0.05
_STEP = 1e-4
_POLISH = 4
_FLAT = 1e-10


@dataclass(frozen=True)
class Optimum:
    """Where a search ended.

    Attributes:
        values: Parameters, shape (k,).
        value: Mean log-likelihood of a customer.
        covariance: Of the logs of the parameters, for one customer, shape (k, k); None where the likelihood
            is not curved in every direction, as at a boundary.
        at_bound: Whether a parameter ended at the edge of what is searched, or on its way to it.
        iterations: Iterations of the search from all starts.
    """

    values: FloatArray
    value: float
    covariance: FloatArray | None
    at_bound: bool
    iterations: int


def maximise(
    objective: Objective, starts: Sequence[Sequence[float]], coarse: Objective | None = None
) -> Optimum:
    """Find the most likely parameters.

    Starts compete on ``coarse``, the best goes on with ``objective``, and Newton's steps end it, so that the
    result does not hang on where the search came from.

    Args:
        objective: Mean log-likelihood of a customer and its gradient by the parameters.
        starts: Parameters to start from, positive.
        coarse: The same over fewer rows; ``objective`` when None.
    """
    tried = [_climb(coarse or objective, np.log(start)) for start in starts]
    iterations = sum(steps for _, _, steps in tried)
    best = max(tried, key=lambda entry: entry[1])[0]
    if coarse is not None:
        best, _, steps = _climb(objective, best)
        iterations += steps
    theta, hessian = _polished(objective, best)
    value, _ = _in_logs(objective, theta)
    at_bound = bool((np.abs(theta) >= _AT_BOUND).any())
    covariance = None if at_bound else _inverse(hessian)
    # A likelihood that is flat in some direction rises towards an edge, whether or not the search got there.
    return Optimum(np.exp(theta), value, covariance, at_bound or covariance is None, iterations)


def _in_logs(objective: Objective, theta: FloatArray) -> tuple[float, FloatArray]:
    values = np.exp(theta)
    value, gradient = objective(values)
    return value, gradient * values


def _climb(objective: Objective, start: FloatArray) -> tuple[FloatArray, float, int]:
    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = _in_logs(objective, theta)
        return -value, -gradient

    found = minimize(
        loss,
        np.clip(start, -LOG_BOUND, LOG_BOUND),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-LOG_BOUND, LOG_BOUND)] * len(start),
        options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7},
    )
    return found.x, -float(found.fun), int(found.nit)


def _polished(objective: Objective, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Newton's steps to the top, as long as they help; and the Hessian there."""
    hessian = _hessian(objective, theta)
    for _ in range(_POLISH):
        value, gradient = _in_logs(objective, theta)
        covariance = _inverse(hessian)
        if covariance is None or np.abs(gradient).max() < _FLAT:
            break
        step = np.clip(theta + covariance @ gradient, -LOG_BOUND, LOG_BOUND)
        if not _in_logs(objective, step)[0] >= value:
            break
        moved, theta = float(np.abs(step - theta).max()), step
        if moved > 1e-3:
            hessian = _hessian(objective, theta)
    return theta, hessian


def _hessian(objective: Objective, theta: FloatArray) -> FloatArray:
    columns = []
    for axis in np.eye(len(theta)) * _STEP:
        ahead, behind = _in_logs(objective, theta + axis)[1], _in_logs(objective, theta - axis)[1]
        columns.append((ahead - behind) / (2.0 * _STEP))
    table = np.stack(columns)
    return 0.5 * (table + table.T)


def _inverse(hessian: FloatArray) -> FloatArray | None:
    """Inverse of the negative Hessian; None unless it is positive definite beyond rounding."""
    values, vectors = np.linalg.eigh(-hessian)
    if not values[0] > 1e-9 * max(values[-1], 1e-9):
        return None
    inverse: FloatArray = (vectors / values) @ vectors.T
    return inverse
