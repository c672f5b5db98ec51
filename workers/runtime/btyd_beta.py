"""BG/NBD and MBG/NBD: a customer buys at a rate, and after each purchase leaves by a coin of its own.

Rates follow a gamma distribution (r, alpha), coins a beta distribution (a, b). ``workers/runtime/btyd.py``
alone calls this; everything is float64 of shape (n,), times in one unit of any kind.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, hyp2f1

FloatArray = NDArray[np.float64]

_SERIES_RATIO = 0.5
"""Up to this ratio of neighbouring terms the power series is summed; beyond it Euler's form is exact."""

_POLE = 0.004
"""Nearer than this to a pole of Euler's form it is interpolated; at the edge it has lost three digits."""

_POINTS = _POLE * np.array([-5.0, -3.0, -1.0, 1.0, 3.0, 5.0])
_TINY = 1e-300
_CHUNK = 2048
"""Rows summed at once: their terms stay in the cache."""


def log_odds_dead(
    r: float, alpha: float, a: float, b: float, x: FloatArray, t_x: FloatArray, age: FloatArray, first: bool
) -> FloatArray:
    """Log odds that a customer has left by the end of its age.

    Args:
        r: Shape of the rates.
        alpha: Scale of the rates, unit of the times.
        a: First parameter of the coins.
        b: Second parameter of the coins.
        x: Repeat purchases.
        t_x: Time of the last one.
        age: Time observed, at least ``t_x``.
        first: Whether the first purchase may end it too (MBG/NBD); without, x < 1 gives -inf.

    Source:
        Fader, Hardie, Computing P(alive) Using the BG/NBD Model (2008); Batislam, Denizel, Filiztekin,
        IJRM 24(3) 2007.
    """
    silent: FloatArray = (r + x) * np.log1p((age - t_x) / (alpha + t_x))
    if first:
        silent += np.log(a) - np.log(b + x)
        return silent
    bought = x >= 1.0
    left = silent + np.log(a) - np.log(b + np.where(bought, x, 1.0) - 1.0)
    return np.where(bought, left, -np.inf)


def log_odds_dead_of_one(
    r: float, alpha: float, a: float, b: float, x: float, t_x: float, age: float, first: bool
) -> float:
    """``log_odds_dead`` of one history, on plain numbers: a tenth of the time that arrays of one take."""
    if not first and x < 1.0:
        return -math.inf
    silent = (r + x) * math.log1p((age - t_x) / (alpha + t_x))
    return silent + math.log(a) - math.log(b + x - (not first))


def purchases_if_alive(
    r: float, alpha: float, a: float, b: float, x: FloatArray, age: FloatArray, horizon: FloatArray
) -> FloatArray:
    """Purchases expected within a horizon of a customer that has not left.

    With m = r + x, tau = horizon / (alpha + age) and p ~ Beta(a, b + x) this is E[(1 - (1 + p tau)^-m) / p].

    Args:
        r: Shape of the rates.
        alpha: Scale of the rates, unit of the times.
        a: First parameter of the coins.
        b: Second parameter of the coins; one more than fitted for MBG/NBD.
        x: Repeat purchases.
        age: Time observed.
        horizon: Time ahead.

    Source:
        Fader, Hardie, Lee, Marketing Science 24(2) 2005, (10), through Euler's transformation of the
        hypergeometric function; where its terms fall by half or more, the plain power series of the same.
    """
    m, tau = r + x, horizon / (alpha + age)
    c = a + b + x - 1.0
    ratio = tau * np.maximum(1.0, (m + 1.0) / (c + 1.0)) * max(1.0, a / 2.0)
    result = np.empty(np.shape(tau))
    small = ratio <= _SERIES_RATIO
    if small.any():
        largest = float(ratio[small].max())
        result[small] = _series(m[small], tau[small], a, c[small], largest)
    large = ~small
    if large.any():
        result[large] = _checked(m[large], tau[large], a, b + x[large])
    return result


def _series(m: FloatArray, tau: FloatArray, a: float, c: FloatArray, ratio: float) -> FloatArray:
    """Sum of (-1)^(k+1) tau^k (m)_k (a)_(k-1) / ((c + 1)_(k-1) k!), k = 1, 2, ..."""
    terms = 1 if ratio < _TINY else 1 + int(np.ceil(-37.0 / np.log(ratio)))
    k = np.arange(1.0, terms + 1.0)
    falls = (a + k - 1.0) / (k + 1.0)
    total = np.empty(len(m))
    for start in range(0, len(m), _CHUNK):
        rows = slice(start, start + _CHUNK)
        ratios = (m[rows, None] + k) / (c[rows, None] + k) * (-tau[rows, None] * falls)
        total[rows] = 1.0 + np.cumprod(ratios, axis=1).sum(axis=1)
    return m * tau * total


def _checked(m: FloatArray, tau: FloatArray, a: float, after: FloatArray) -> FloatArray:
    """Euler's form, and the integral itself wherever that form leaves its bounds.

    The integrand is convex in p, so its value at the mean of p bounds it below, and at p = 0 above.
    """
    value = _euler(m, tau, a, after)
    mean = a / (a + after)
    low = -np.expm1(-m * np.log1p(mean * tau)) / mean
    wrong = ~((value >= low * (1.0 - 1e-9)) & (value <= m * tau * (1.0 + 1e-9)))
    if wrong.any():
        value[wrong] = [
            _integral(float(m_), float(tau_), a, float(after_))
            for m_, tau_, after_ in zip(m[wrong], tau[wrong], after[wrong], strict=True)
        ]
    return value


def _euler(m: FloatArray, tau: FloatArray, a: float, after: FloatArray) -> FloatArray:
    """Euler's form with its two removable poles, a = 1 and a + after = 1, interpolated."""
    if abs(a - 1.0) < _POLE:
        nodes = 1.0 + _POINTS
        return _lagrange(nodes, np.stack([_off_pole(m, tau, float(node), after) for node in nodes]), a)
    return _off_pole(m, tau, a, after)


def _off_pole(m: FloatArray, tau: FloatArray, a: float, after: FloatArray) -> FloatArray:
    near = np.abs(a + after - 1.0) < _POLE
    value = _closed(m, tau, a, np.where(near, after + 1.0, after))
    if near.any():
        m_, tau_ = m[near], tau[near]
        nodes = 1.0 - a + _POINTS
        table = np.stack([_closed(m_, tau_, a, np.full(m_.shape, node)) for node in nodes])
        value[near] = _lagrange(nodes, table, after[near])
    return value


def _closed(m: FloatArray, tau: FloatArray, a: float, after: FloatArray) -> FloatArray:
    c, e = a + after - 1.0, a - 1.0
    z = tau / (1.0 + tau)
    with np.errstate(all="ignore"):
        value: FloatArray = c / e * (1.0 - np.exp(-e * np.log1p(tau)) * hyp2f1(e, c - m, c, z))
    return value


def _lagrange(nodes: FloatArray, table: FloatArray, at: float | FloatArray) -> FloatArray:
    """Polynomial through (nodes, table) at one abscissa for all columns, or one for each."""
    total = np.zeros(table.shape[1:])
    for i, node in enumerate(nodes):
        others = np.delete(nodes, i)
        weight = np.ones_like(np.asarray(at, np.float64))
        for other in others:
            weight = weight * (at - other) / (node - other)
        total += weight * table[i]
    return total


def _integral(m: float, tau: float, a: float, after: float) -> float:
    """The expectation over p as an integral over y = logit(p): slow, and exact for any parameters.

    The trapezoidal rule on the whole line converges exponentially for an integrand that is analytic near the
    line and falls off on both sides; its step follows the narrowest scale of the density.
    """
    step = min(0.4, 0.5 / np.sqrt(min(a, after) + 1.0))
    centre = np.log(a / after)
    low = centre - 40.0 / a - 20.0 / np.sqrt(a)
    high = centre + 40.0 / after + 20.0 / np.sqrt(after)
    y = np.arange(max(low, -700.0), min(high, 700.0), step)
    log_p, log_q = -np.logaddexp(0.0, -y), -np.logaddexp(0.0, y)
    density = np.exp(a * log_p + after * log_q - betaln(a, after))
    p = np.exp(log_p)
    kernel = -np.expm1(-m * np.log1p(p * tau)) / p
    # Dividing by the rule's own sum of the density takes out what the ends cut off.
    return float((density * kernel).sum() / density.sum())
