"""The shifted-beta-geometric model of who stays: fitted to counts, projected with intervals.

Each customer has a chance of its own to leave in a period, the same in every period; over customers the
chances follow a beta distribution (alpha, beta). For periods of a contract, or of activity in a cohort.

Source:
    Fader, Hardie, How to Project Customer Retention, Journal of Interactive Marketing 21(1) 2007.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cohortlens.core.errors import InvalidArgument

FloatArray = NDArray[np.float64]

NO_LOSS = "NO_LOSS"
"""Boundary: nobody has left, so the projection says nobody will."""
ALL_LOST = "ALL_LOST"
"""Boundary: nobody has stayed a single period."""
EQUAL_CHANCES = "EQUAL_CHANCES"
"""Boundary: all customers have the same chance, so the curve is a plain geometric one."""
TWO_KINDS = "TWO_KINDS"
"""Boundary: some leave at once and the others never."""

PERIODS_MAX = 1200
"""Periods that a history or a projection may have: a hundred years of months."""

_LOGIT_MAX, _SIZE_MAX = 20.0, 12.0
_ROUNDS = 100


class SurvivalInvalid(InvalidArgument):
    """Counts that no group of customers can have, or too few periods to learn from."""

    reason = "SURVIVAL_INVALID"


@dataclass(frozen=True)
class SbgFit:
    """A fitted model.

    Attributes:
        alpha: First parameter, > 0; alpha / (alpha + beta) is the mean chance to leave in the first period.
        beta: Second parameter, > 0.
        log_likelihood: Of the counts, natural log.
        standard_errors: Of ``alpha`` and ``beta`` by Laplace; empty at a boundary, where they do not exist.
        boundary: Empty, ``NO_LOSS``, ``ALL_LOST``, ``EQUAL_CHANCES`` or ``TWO_KINDS``.
    """

    alpha: float
    beta: float
    log_likelihood: float
    standard_errors: dict[str, float]
    boundary: str

    def interval(self, name: str, level_ratio: float = 0.95) -> tuple[float, float] | None:
        """Interval of a parameter on the log scale, positive at both ends.

        Args:
            name: ``alpha`` or ``beta``.
            level_ratio: Share of samples whose interval holds the true value, between 0 and 1.

        Returns:
            Both ends, or None at a boundary.
        """
        if name not in self.standard_errors:
            return None
        value: float = getattr(self, name)
        width = NormalDist().inv_cdf(0.5 + 0.5 * level_ratio) * self.standard_errors[name] / value
        factor = float(np.exp(min(width, 700.0)))
        return value / factor, value * factor


@dataclass(frozen=True)
class SbgProjection:
    """A survival curve with its interval; columns of shape (periods + 1,), 0..1, from period 0 on.

    Attributes:
        survival: Share of customers still there after each period.
        lower: Lower end of the interval of the curve.
        upper: Upper end.
        level_ratio: Level of the interval.
        fit: The model behind it.
    """

    survival: FloatArray
    lower: FloatArray
    upper: FloatArray
    level_ratio: float
    fit: SbgFit


def survival(alpha: float, beta: float, periods: int) -> FloatArray:
    """Share of customers still there after each period.

    Args:
        alpha: First parameter, > 0.
        beta: Second parameter, > 0.
        periods: Periods to go, 0..1,200.

    Returns:
        Shape (periods + 1,), starting at 1.
    """
    curve: FloatArray = _curves(np.array([alpha]), np.array([beta]), periods)[0]
    return curve


def log_likelihood(alpha: float, beta: float, lost: ArrayLike, kept: ArrayLike) -> float:
    """Log-likelihood of counts.

    Args:
        alpha: First parameter, > 0.
        beta: Second parameter, > 0.
        lost: Customers who left in period 1, 2, ..., shape (k,).
        kept: Customers who were still there after period 1, 2, ... and not seen any longer, shape (k,).

    Raises:
        SurvivalInvalid: Counts that cannot be.
    """
    at_risk, left = _exposure(lost, kept)
    step = np.arange(len(left), dtype=np.float64)
    stayed = at_risk - left
    terms = left * np.log(alpha) + stayed * np.log(beta + step) - at_risk * np.log(alpha + beta + step)
    return float(terms.sum())


def counts_of(survivors: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Counts from the sizes of one group over time.

    Args:
        survivors: Customers there at the start and after each period, not ascending, shape (k + 1,).

    Returns:
        ``lost`` and ``kept`` as ``fit`` takes them, shape (k,) each.

    Raises:
        SurvivalInvalid: Fewer than two sizes, an ascending or negative one, or no finite number.
    """
    sizes = np.asarray(survivors, np.float64)
    if sizes.ndim != 1 or len(sizes) < 2 or not np.isfinite(sizes).all():
        raise SurvivalInvalid("survivors: give the size at the start and after at least one period.")
    if sizes[-1] < 0 or (np.diff(sizes) > 0).any():
        raise SurvivalInvalid("survivors: sizes are at least 0 and never grow; count each customer once.")
    kept = np.zeros(len(sizes) - 1)
    kept[-1] = sizes[-1]
    return -np.diff(sizes), kept


def fit(lost: ArrayLike, kept: ArrayLike) -> SbgFit:
    """Fit the model to counts by maximum likelihood.

    Groups that were seen for different times are added up: each customer stands once, in one of both.

    Args:
        lost: Customers who left in period 1, 2, ..., shape (k,), k >= 2.
        kept: Customers who were still there after period 1, 2, ... and not seen any longer, shape (k,).

    Raises:
        SurvivalInvalid: Counts that cannot be, or nobody seen for two periods: one period says nothing about
            how chances differ.
    """
    at_risk, left = _exposure(lost, kept)
    u, w = _maximise(at_risk[None, :], left[None, :])
    alpha, beta = _shapes(u, w)
    boundary = _boundary(float(u[0]), float(w[0]), left, at_risk)
    return SbgFit(
        alpha=float(alpha[0]),
        beta=float(beta[0]),
        log_likelihood=log_likelihood(float(alpha[0]), float(beta[0]), lost, kept),
        standard_errors={} if boundary else _standard_errors(u, w, at_risk, left),
        boundary=boundary,
    )


def project(
    lost: ArrayLike,
    kept: ArrayLike,
    periods: int,
    *,
    level_ratio: float = 0.8,
    draws: int = 400,
    seed: int = 0,
) -> SbgProjection:
    """Project how many customers stay, with a bootstrap interval of the curve.

    Args:
        lost: Customers who left in period 1, 2, ..., shape (k,), k >= 2; whole numbers.
        kept: Customers who were still there after period 1, 2, ... and not seen any longer, shape (k,).
        periods: Periods to go from the start, 1..1,200.
        level_ratio: Level of the interval, between 0 and 1.
        draws: Samples of customers that are fitted anew, at least 50.
        seed: Seed of the samples; the same seed gives the same interval.

    Raises:
        SurvivalInvalid: Counts that cannot be, fewer than two periods, or a number out of its range.
    """
    if not (1 <= periods <= PERIODS_MAX and 0.0 < level_ratio < 1.0 and draws >= 50):
        raise SurvivalInvalid(
            f"periods lie in 1..{PERIODS_MAX}, level_ratio between 0 and 1, draws from 50 on."
        )
    model = fit(lost, kept)
    gone, there = (np.rint(np.asarray(column, np.float64)) for column in (lost, kept))
    cells = np.concatenate([gone, there])
    sample = np.random.default_rng(seed).multinomial(int(cells.sum()), cells / cells.sum(), size=draws)
    k = len(gone)
    left = sample[:, :k].astype(np.float64)
    at_risk = _at_risk(sample[:, :k] + sample[:, k:])
    alpha, beta = _shapes(*_maximise(at_risk, left))
    tail = 0.5 * (1.0 - level_ratio)
    low, high = np.quantile(_curves(alpha, beta, periods), [tail, 1.0 - tail], axis=0)
    curve = survival(model.alpha, model.beta, periods)
    low, high = _widened(low, high, model.boundary, tail, at_risk[0])
    return SbgProjection(curve, np.minimum(low, curve), np.maximum(high, curve), level_ratio, model)


def _widened(
    low: FloatArray, high: FloatArray, boundary: str, tail: float, at_risk: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Where every sample looks alike, the bound such an outcome leaves open: ten who stayed prove little."""
    periods = np.arange(len(low), dtype=np.float64)
    if boundary == NO_LOSS:
        return np.exp(np.log(tail) / at_risk.sum() * periods), high
    if boundary == ALL_LOST:
        return low, np.where(periods > 0, -np.expm1(np.log(tail) / at_risk[0]), 1.0)
    return low, high


def _exposure(lost: ArrayLike, kept: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Customers at risk and lost in each period up to the last one that anybody was seen in."""
    left, there = np.asarray(lost, np.float64), np.asarray(kept, np.float64)
    if left.ndim != 1 or left.shape != there.shape or len(left) > PERIODS_MAX:
        raise SurvivalInvalid(f"lost and kept: one number per period each, at most {PERIODS_MAX} periods.")
    if not (np.isfinite(left).all() and np.isfinite(there).all()) or (left < 0).any() or (there < 0).any():
        raise SurvivalInvalid("lost and kept: counts are numbers of at least 0.")
    at_risk = _at_risk((left + there)[None, :])[0]
    seen = int(np.count_nonzero(at_risk))
    if seen == 1 and len(left) > 1 and there.sum() == 0:
        seen = 2
    if seen < 2:
        raise SurvivalInvalid(
            "lost and kept: somebody must have been seen for two periods; wait for another."
        )
    return at_risk[:seen], left[:seen]


def _at_risk(ended: NDArray[np.float64] | NDArray[np.int64]) -> FloatArray:
    """Customers at risk in each period from those last seen in it, shape (samples, k)."""
    at_risk: FloatArray = np.cumsum(ended[:, ::-1], axis=1)[:, ::-1].astype(np.float64)
    return at_risk


def _curves(alpha: FloatArray, beta: FloatArray, periods: int) -> FloatArray:
    step = np.arange(periods, dtype=np.float64)
    chance = alpha[:, None] / ((alpha + beta)[:, None] + step)
    logs = np.cumsum(np.log1p(-chance), axis=1)
    curves: FloatArray = np.exp(np.concatenate([np.zeros((len(alpha), 1)), logs], axis=1))
    return curves


def _shapes(u: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Parameters from u, the logit of the mean chance, and w, the log of alpha + beta."""
    return np.exp(w - np.logaddexp(0.0, -u)), np.exp(w - np.logaddexp(0.0, u))


def _value(u: FloatArray, w: FloatArray, at_risk: FloatArray, left: FloatArray) -> FloatArray:
    alpha, beta = (shape[:, None] for shape in _shapes(u, w))
    step = np.arange(left.shape[1], dtype=np.float64)
    terms = left * np.log(alpha) + (at_risk - left) * np.log(beta + step)
    total: FloatArray = (terms - at_risk * np.log(alpha + beta + step)).sum(axis=1)
    return total


def _derivatives(
    u: FloatArray, w: FloatArray, at_risk: FloatArray, left: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Gradient, shape (samples, 2), and Hessian, shape (samples, 2, 2), in (u, w)."""
    alpha, beta = (shape[:, None] for shape in _shapes(u, w))
    step = np.arange(left.shape[1], dtype=np.float64)
    stayed, all_of = at_risk - left, alpha + beta + step
    common, bend = (at_risk / all_of).sum(axis=1), (at_risk / all_of**2).sum(axis=1)
    by_alpha = (left / alpha).sum(axis=1) - common
    by_beta = (stayed / (beta + step)).sum(axis=1) - common
    alphas = bend - (left / alpha**2).sum(axis=1)
    betas = bend - (stayed / (beta + step) ** 2).sum(axis=1)
    a, b = alpha[:, 0], beta[:, 0]
    mixed = a * b / (a + b)
    lean = mixed * (b - a) / (a + b)
    gradient = np.stack([mixed * (by_alpha - by_beta), a * by_alpha + b * by_beta], axis=1)
    hessian = np.empty((len(u), 2, 2))
    hessian[:, 0, 0] = mixed**2 * (alphas - 2.0 * bend + betas) + lean * (by_alpha - by_beta)
    cross = mixed * (a * (alphas - bend) - b * (betas - bend)) + mixed * (by_alpha - by_beta)
    hessian[:, 0, 1] = hessian[:, 1, 0] = cross
    hessian[:, 1, 1] = a**2 * alphas + 2.0 * a * b * bend + b**2 * betas + gradient[:, 1]
    return gradient, hessian


def _maximise(at_risk: FloatArray, left: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Damped Newton steps from the best point of a coarse grid, for all samples at once."""
    u, w = _start(at_risk, left)
    best, damping = _value(u, w, at_risk, left), np.full(len(u), 1e-3)
    scale = 1.0 + at_risk[:, 0]
    for _ in range(_ROUNDS):
        gradient, hessian = _derivatives(u, w, at_risk, left)
        # Held at a bound, a step along the other axis must not be bent by the derivative across it.
        free = ~_pushed_out(u, w, gradient)
        step = _step(gradient * free, hessian, free, damping * scale)
        u_, w_ = (
            np.clip(u + step[:, 0], -_LOGIT_MAX, _LOGIT_MAX),
            np.clip(w + step[:, 1], -_SIZE_MAX, _SIZE_MAX),
        )
        value = _value(u_, w_, at_risk, left)
        better = value > best
        moved = np.where(better, np.maximum(np.abs(u_ - u), np.abs(w_ - w)), 0.0)
        u, w, best = np.where(better, u_, u), np.where(better, w_, w), np.where(better, value, best)
        damping = np.where(better, damping * 0.1, damping * 10.0)
        if (moved < 1e-12).all() and ((np.abs(step).max(axis=1) < 1e-9) | (damping > 1e12)).all():
            break
    return u, w


def _start(at_risk: FloatArray, left: FloatArray) -> tuple[FloatArray, FloatArray]:
    logits, sizes = np.linspace(-6.0, 6.0, 13), np.linspace(-4.0, 6.0, 6)
    grid = [(u, w) for u in logits for w in sizes]
    values = [_value(np.full(len(left), u), np.full(len(left), w), at_risk, left) for u, w in grid]
    chosen = np.array(grid)[np.argmax(np.stack(values), axis=0)]
    return chosen[:, 0], chosen[:, 1]


def _pushed_out(u: FloatArray, w: FloatArray, gradient: FloatArray) -> NDArray[np.bool_]:
    at = np.stack([u / _LOGIT_MAX, w / _SIZE_MAX], axis=1)
    return (np.abs(at) >= 1.0) & (at * gradient > 0.0)


def _step(
    gradient: FloatArray, hessian: FloatArray, free: NDArray[np.bool_], damping: FloatArray
) -> FloatArray:
    """Newton's step on the free axes; the Hessian is made negative definite by its eigenvalues first."""
    held = np.where(free[:, :, None] & free[:, None, :], hessian, 0.0)
    values, vectors = np.linalg.eigh(held)
    curvature = np.abs(values) + damping[:, None]
    along = np.einsum("nij,ni->nj", vectors, gradient) / curvature
    step: FloatArray = np.clip(np.einsum("nij,nj->ni", vectors, along), -3.0, 3.0)
    return step


def _boundary(u: float, w: float, left: FloatArray, at_risk: FloatArray) -> str:
    if left.sum() == 0:
        return NO_LOSS
    if (at_risk - left).sum() == 0 or left[0] == at_risk[0]:
        return ALL_LOST
    if w >= _SIZE_MAX - 0.5:
        return EQUAL_CHANCES
    if w <= -_SIZE_MAX + 0.5 or abs(u) >= _LOGIT_MAX - 0.5:
        return TWO_KINDS
    return ""


def _standard_errors(u: FloatArray, w: FloatArray, at_risk: FloatArray, left: FloatArray) -> dict[str, float]:
    information = -_derivatives(u, w, at_risk[None, :], left[None, :])[1][0]
    values, vectors = np.linalg.eigh(information)
    if values[0] <= 0.0:
        return {}
    covariance = (vectors / values) @ vectors.T
    alpha, beta = (float(shape[0]) for shape in _shapes(u, w))
    mixed = alpha * beta / (alpha + beta)
    slopes = {"alpha": np.array([mixed, alpha]), "beta": np.array([-mixed, beta])}
    return {name: float(np.sqrt(slope @ covariance @ slope)) for name, slope in slopes.items()}
