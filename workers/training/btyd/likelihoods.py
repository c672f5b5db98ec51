"""Log-likelihoods of the purchase models with their gradients, over folded histories.

Each function takes parameters in the order of ``FAMILIES`` and gives the sum over customers and its
derivatives by the parameters themselves. Only differences of gamma functions of x occur, so those are taken
once per different x.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, expit, gammaln

from workers.runtime import btyd_pareto
from workers.training.btyd.histories import Histories

FloatArray = NDArray[np.float64]
Likelihood = Callable[[FloatArray, Histories], tuple[float, FloatArray]]

_FIT_NODES = 32
_Y, _WEIGHT = np.polynomial.legendre.leggauss(_FIT_NODES)
_RULE = (0.5 * (_Y + 1.0), 0.5 * _WEIGHT)
_CHUNK = 2048


def nbd(values: FloatArray, histories: Histories) -> tuple[float, FloatArray]:
    """Log-likelihood of customers who buy at gamma-distributed rates and never leave.

    Args:
        values: r and alpha.
        histories: Folded histories.

    Returns:
        The sum over customers, and its gradient, shape (2,).

    Source:
        Ehrenberg, Repeat-Buying (1988); the limit of the three families without dropout.
    """
    r, alpha = values
    x, customers = histories.counts
    ages, of_age, bought = histories.ages
    n = histories.customers
    logs = np.log(alpha + ages)
    value = customers @ gammaln(r + x) - n * gammaln(r) + n * r * np.log(alpha) - (r * of_age + bought) @ logs
    by_r = customers @ digamma(r + x) - n * digamma(r) + n * np.log(alpha) - of_age @ logs
    by_alpha = n * r / alpha - (r * of_age + bought) @ (1.0 / (alpha + ages))
    return float(value), np.array([by_r, by_alpha])


def bgnbd(values: FloatArray, histories: Histories) -> tuple[float, FloatArray]:
    """Log-likelihood of the BG/NBD.

    Args:
        values: r, alpha, a, b.
        histories: Folded histories.

    Returns:
        The sum over customers, and its gradient, shape (4,).

    Source:
        Fader, Hardie, Lee, Marketing Science 24(2) 2005, (6).
    """
    return _beta_family(values, histories, 0.0)


def mbgnbd(values: FloatArray, histories: Histories) -> tuple[float, FloatArray]:
    """Log-likelihood of the MBG/NBD.

    Args:
        values: r, alpha, a, b.
        histories: Folded histories.

    Returns:
        The sum over customers, and its gradient, shape (4,).

    Source:
        Batislam, Denizel, Filiztekin, IJRM 24(3) 2007; Hoppe, Wagner, Marketing JRM 2007.
    """
    return _beta_family(values, histories, 1.0)


def _beta_family(values: FloatArray, histories: Histories, first: float) -> tuple[float, FloatArray]:
    """Both families; ``first`` is 1 where the first purchase throws the coin too."""
    r, alpha, a, b = values
    value, (by_r, by_alpha) = nbd(values[:2], histories)
    x, customers = histories.counts
    thrown, n = x + first, histories.customers
    value += customers @ (gammaln(b + thrown) - gammaln(a + b + thrown)) - n * (gammaln(b) - gammaln(a + b))
    whole = customers @ digamma(a + b + thrown) - n * digamma(a + b)
    by_a, by_b = -whole, customers @ digamma(b + thrown) - n * digamma(b) - whole
    # Only who has thrown the coin can have left by it: no term for x = 0 in the BG/NBD, not even a zero.
    rows = slice(None) if first else histories.x >= 1.0
    m, last, age = r + histories.x[rows], alpha + histories.t_x[rows], alpha + histories.age[rows]
    weight, before = histories.weight[rows], b + histories.x[rows] + first - 1.0
    silent = np.log(age / last)
    odds = m * silent + np.log(a / before)
    # log(1 + e^odds), which is the odds themselves for a customer who is as good as gone.
    value += float(weight @ np.logaddexp(0.0, odds))
    dead = weight * expit(odds)
    by_r += dead @ silent
    by_alpha += dead @ (m * (1.0 / age - 1.0 / last))
    by_a += dead.sum() / a
    by_b -= dead @ (1.0 / before)
    return float(value), np.array([by_r, by_alpha, by_a, by_b])


def paretonbd(values: FloatArray, histories: Histories) -> tuple[float, FloatArray]:
    """Log-likelihood of the Pareto/NBD.

    Args:
        values: r, alpha, s, beta.
        histories: Folded histories.

    Returns:
        The sum over customers, and its gradient, shape (4,).

    Source:
        Fader, Hardie, A Note on Deriving the Pareto/NBD Model (2005), before its integral is resolved.
    """
    s, beta = values[2:]
    value, by_nbd = nbd(values[:2], histories)
    ages, of_age, _ = histories.ages
    value += histories.customers * s * np.log(beta) - s * (of_age @ np.log(beta + ages))
    by_s = histories.customers * np.log(beta) - of_age @ np.log(beta + ages)
    by_beta = histories.customers * s / beta - s * (of_age @ (1.0 / (beta + ages)))
    gradient = np.array([*by_nbd, by_s, by_beta])
    # Without a silent time there is no integral; the term is log(1 + 0).
    silent = np.flatnonzero(histories.age > histories.t_x)
    for start in range(0, len(silent), _CHUNK):
        more, slope = _left(values, histories, silent[start : start + _CHUNK])
        value, gradient = value + more, gradient + slope
    return float(value), gradient


def _left(values: FloatArray, histories: Histories, rows: NDArray[np.intp]) -> tuple[float, FloatArray]:
    """Sum of log(1 + odds of having left) over some rows, and its gradient."""
    r, alpha, s, beta = values
    x, last, age = histories.x[rows], histories.t_x[rows], histories.age[rows]
    m, weight = r + x, histories.weight[rows]
    nodes, log_alpha, log_beta = btyd_pareto.integrand(m, s, alpha, beta, last, age, _RULE)
    total = nodes.sum(axis=1)
    silent_alpha, silent_beta = np.log((alpha + age) / (alpha + last)), np.log((beta + age) / (beta + last))
    odds = np.log(total) + np.log(s / (beta + last)) + m * silent_alpha + s * silent_beta
    dead = weight * expit(odds)
    share = dead / total

    def mean(column: FloatArray) -> FloatArray:
        averaged: FloatArray = np.einsum("nk,nk->n", nodes, column)
        return averaged

    gradient = [
        dead @ silent_alpha - share @ mean(log_alpha),
        dead @ (m / (alpha + age)) - (share * m / (alpha + last)) @ mean(np.exp(-log_alpha)),
        dead.sum() / s + dead @ silent_beta - share @ mean(log_beta),
        dead @ (s / (beta + age)) - (share * (s + 1.0) / (beta + last)) @ mean(np.exp(-log_beta)),
    ]
    return float(weight @ np.logaddexp(0.0, odds)), np.array(gradient)


def gamma_gamma(
    values: FloatArray, x: FloatArray, zbar: FloatArray, weight: FloatArray
) -> tuple[float, FloatArray]:
    """Log-likelihood of the Gamma-Gamma model.

    Args:
        values: p, q, gamma.
        x: Repeat purchases, > 0, shape (n,).
        zbar: Their mean money, > 0, shape (n,).
        weight: Customers of each row, shape (n,).

    Returns:
        The sum over customers, and its gradient, shape (3,).

    Source:
        Fader, Hardie, The Gamma-Gamma Model of Monetary Value (2013), (1a).
    """
    p, q, gamma = values
    px, total, spent = p * x, p * x + q, gamma + x * zbar
    log_share = np.log(x * zbar / spent)
    terms = (
        gammaln(total) - gammaln(px) - gammaln(q) + q * np.log(gamma / spent) + px * log_share - np.log(zbar)
    )
    whole = digamma(total)
    gradient = [
        weight @ (x * (whole - digamma(px) + log_share)),
        weight @ (whole - digamma(q) + np.log(gamma / spent)),
        weight @ (q / gamma - total / spent),
    ]
    return float(weight @ terms), np.array(gradient)


LIKELIHOODS: dict[str, Likelihood] = {"bgnbd": bgnbd, "mbgnbd": mbgnbd, "paretonbd": paretonbd}
"""Log-likelihood of each family."""
