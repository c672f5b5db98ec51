"""Pareto/NBD: a customer buys at a rate and leaves after a lifetime that nobody sees.

Rates follow a gamma distribution (r, alpha), the rates of leaving another (s, beta). The one integral of the
model is computed here for predictions and for the fit alike; float64 of shape (n,), times in one unit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_FALL = 42.0
"""An integrand that has fallen by e^-42 adds nothing to a float64."""

NODES = 48
_Y, _WEIGHT = np.polynomial.legendre.leggauss(NODES)
_Y, _WEIGHT = 0.5 * (_Y + 1.0), 0.5 * _WEIGHT
_CHUNK = 2048
"""Rows integrated at once: their nodes stay in the cache."""


def integrand(
    m: FloatArray,
    s: float,
    alpha: float,
    beta: float,
    low: FloatArray,
    high: FloatArray,
    rule: tuple[FloatArray, FloatArray] = (_Y, _WEIGHT),
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weighted nodes of the integral of (alpha + u)^-m (beta + u)^-(s + 1) over low..high.

    Nodes lie on log(min(alpha, beta) + u), up to where the integrand has fallen by e^-42; all is relative to
    the integrand at ``low``, so nothing overflows.

    Args:
        m: r + x.
        s: Shape of the rates of leaving.
        alpha: Scale of the purchase rates.
        beta: Scale of the rates of leaving.
        low: Lower end, at least 0.
        high: Upper end, at least ``low``.
        rule: Abscissas in 0..1 and weights of a quadrature, shape (k,) each; 48 Gauss-Legendre nodes if not
            given.

    Returns:
        Weights whose sum over the nodes, times (alpha + low)^-m (beta + low)^-(s + 1), is the integral, and
        log((alpha + u) / (alpha + low)) and log((beta + u) / (beta + low)) at the nodes, shape (n, k) each.
    """
    y, weight = rule
    floor = min(alpha, beta)
    reach = np.minimum(
        (alpha + low) * np.expm1(np.minimum(_FALL / m, 300.0)),
        (beta + low) * np.expm1(min(_FALL / (s + 1.0), 300.0)),
    )
    width = np.log1p(np.minimum(high - low, reach) / (floor + low))
    log_floor = width[:, None] * y
    ahead = (floor + low)[:, None] * np.expm1(log_floor)
    log_alpha = log_floor if alpha <= beta else np.log1p(ahead / (alpha + low)[:, None])
    log_beta = log_floor if beta <= alpha else np.log1p(ahead / (beta + low)[:, None])
    scale = (width * (floor + low))[:, None] * weight
    weights = scale * np.exp(log_floor - m[:, None] * log_alpha - (s + 1.0) * log_beta)
    return weights, log_alpha, log_beta


def log_integral(
    m: FloatArray, s: float, alpha: float, beta: float, low: FloatArray, high: FloatArray
) -> FloatArray:
    """Log of the integral of (alpha + u)^-m (beta + u)^-(s + 1) over low..high, relative to its start.

    Args:
        m: r + x.
        s: Shape of the rates of leaving.
        alpha: Scale of the purchase rates.
        beta: Scale of the rates of leaving.
        low: Lower end, at least 0.
        high: Upper end, at least ``low``.

    Returns:
        Log of the integral divided by the integrand at ``low``; -inf where the interval is empty.

    Source:
        Fader, Hardie, A Note on Deriving the Pareto/NBD Model and Related Expressions (2005), whose
        hypergeometric terms are this integral.
    """
    total = np.empty(len(m))
    for start in range(0, len(m), _CHUNK):
        rows = slice(start, start + _CHUNK)
        total[rows] = integrand(m[rows], s, alpha, beta, low[rows], high[rows])[0].sum(axis=1)
    with np.errstate(divide="ignore"):
        log_total: FloatArray = np.log(total)
    return log_total


def log_odds_dead(
    r: float, alpha: float, s: float, beta: float, x: FloatArray, t_x: FloatArray, age: FloatArray
) -> FloatArray:
    """Log odds that a customer has left by the end of its age.

    Args:
        r: Shape of the purchase rates.
        alpha: Scale of the purchase rates, unit of the times.
        s: Shape of the rates of leaving.
        beta: Scale of the rates of leaving, unit of the times.
        x: Repeat purchases.
        t_x: Time of the last one.
        age: Time observed, at least ``t_x``.

    Source:
        Schmittlein, Morrison, Colombo, Management Science 33(1) 1987, P(alive).
    """
    m, silent = r + x, age - t_x
    odds: FloatArray = log_integral(m, s, alpha, beta, t_x, age) + np.log(s) - np.log(beta + t_x)
    odds += m * np.log1p(silent / (alpha + t_x)) + s * np.log1p(silent / (beta + t_x))
    return odds


def purchases_if_alive(
    r: float, alpha: float, s: float, beta: float, x: FloatArray, age: FloatArray, horizon: FloatArray
) -> FloatArray:
    """Purchases expected within a horizon of a customer that has not left.

    Args:
        r: Shape of the purchase rates.
        alpha: Scale of the purchase rates, unit of the times.
        s: Shape of the rates of leaving.
        beta: Scale of the rates of leaving, unit of the times.
        x: Repeat purchases.
        age: Time observed.
        horizon: Time ahead.

    Source:
        Fader, Hardie, A Note on Deriving the Pareto/NBD Model (2005), conditional expectation.
    """
    rate, growth = (r + x) / (alpha + age), np.log1p(horizon / (beta + age))
    e = s - 1.0
    lived = growth if e == 0.0 else -np.expm1(-e * growth) / e
    return rate * (beta + age) * lived


def none_if_alive(
    r: float, alpha: float, s: float, beta: float, x: FloatArray, age: FloatArray, horizon: FloatArray
) -> FloatArray:
    """Probability of no purchase within a horizon of a customer that has not left.

    Args:
        r: Shape of the purchase rates.
        alpha: Scale of the purchase rates, unit of the times.
        s: Shape of the rates of leaving.
        beta: Scale of the rates of leaving, unit of the times.
        x: Repeat purchases.
        age: Time observed.
        horizon: Time ahead.
    """
    m = r + x
    stays = np.exp(-m * np.log1p(horizon / (alpha + age)) - s * np.log1p(horizon / (beta + age)))
    leaves = s / (beta + age) * np.exp(log_integral(m, s, alpha, beta, age, age + horizon))
    return stays + leaves
