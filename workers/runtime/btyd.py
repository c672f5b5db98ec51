"""Buy-till-you-die models in service: what a customer will buy, whether it still does, and when.

Training, the backtest and the replicas call these same functions, so they cannot differ. Parameters hold
times in days; every array is float64 of shape (n,), or a number that stands for all rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from cohortlens.contracts.artifacts import ArtifactCorrupt
from workers.runtime import btyd_beta, btyd_pareto

FloatArray = NDArray[np.float64]

FAMILIES = {
    "bgnbd": ("r", "alpha", "a", "b"),
    "mbgnbd": ("r", "alpha", "a", "b"),
    "paretonbd": ("r", "alpha", "s", "beta"),
}
"""Names of each family's parameters; ``alpha`` and ``beta`` are days."""

NO_DROPOUT = "NO_DROPOUT"
"""Boundary of a fit in which nobody ever leaves: the family is then the NBD, ``r`` and ``alpha`` alone."""

AT_BOUND = "AT_BOUND"
"""Boundary of a fit that ended at the edge of what is searched, as when all customers buy equally often."""

_BOUNDARIES = ("", NO_DROPOUT, AT_BOUND)
STEP_DAYS = 30
"""Length of a discounted period of lifetime value."""
_YEAR_DAYS = 365.0


@dataclass(frozen=True)
class BtydParameters:
    """A fitted model of purchases.

    Attributes:
        family: One of ``FAMILIES``.
        values: Its parameters in that order; only r and alpha where the boundary is ``NO_DROPOUT``.
        boundary: Empty, ``NO_DROPOUT`` or ``AT_BOUND``.
    """

    family: str
    values: tuple[float, ...]
    boundary: str = ""

    def __post_init__(self) -> None:
        names = FAMILIES.get(self.family, ())
        count = 2 if self.boundary == NO_DROPOUT else len(names)
        sound = len(self.values) == count and all(0.0 < value < np.inf for value in self.values)
        if not names or not sound or self.boundary not in _BOUNDARIES:
            raise ArtifactCorrupt("The parameters of a purchase model are not usable; train again.")

    @property
    def named(self) -> dict[str, float]:
        """The parameters by name."""
        return dict(zip(FAMILIES[self.family], self.values, strict=False))

    def to_dict(self) -> dict[str, float]:
        """The entry of ``manifest.btyd``: parameters by name, ``boundary`` as a number if there is one."""
        code = _BOUNDARIES.index(self.boundary)
        return {**self.named, **({"boundary": float(code)} if code else {})}

    @staticmethod
    def from_dict(family: str, entry: Mapping[str, float]) -> BtydParameters:
        """Parameters from an entry of ``manifest.btyd``.

        Args:
            family: The entry's key.
            entry: What ``to_dict`` gave; other names are ignored.

        Raises:
            ArtifactCorrupt: Not such an entry.
        """
        try:
            values = tuple(float(entry[name]) for name in FAMILIES[family] if name in entry)
            return BtydParameters(family, values, _BOUNDARIES[int(entry.get("boundary", 0.0))])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ArtifactCorrupt(
                "The parameters of a purchase model are not usable; train again."
            ) from error


def expected_purchases(
    p: BtydParameters, x: ArrayLike, t_x: ArrayLike, age: ArrayLike, horizon: ArrayLike
) -> FloatArray:
    """Purchase-days expected within a horizon.

    Args:
        p: Parameters.
        x: Repeat purchase-days so far, >= 0.
        t_x: Days from the first purchase to the last, 0..age; outside it counts as the nearer end.
        age: Days from the first purchase to the cut, >= 0.
        horizon: Days ahead, >= 0.

    Returns:
        Shape (n,), finite, >= 0. With x = t_x = age = 0 the mean of customers from their first day on.
    """
    bought, last, old, ahead = _history(x, t_x, age, horizon)
    return _alive(p, bought, last, old) * purchases_if_alive(p, bought, old, ahead)


def probability_alive(p: BtydParameters, x: ArrayLike, t_x: ArrayLike, age: ArrayLike) -> FloatArray:
    """Probability that a customer has not left for good; no measure of churn, see ``probability_of_none``.

    Args:
        p: Parameters.
        x: Repeat purchase-days so far, >= 0.
        t_x: Days from the first purchase to the last, 0..age.
        age: Days from the first purchase to the cut, >= 0.

    Returns:
        Shape (n,), 0..1. Under BG/NBD 1 for everybody with x = 0.
    """
    bought, last, old, _ = _history(x, t_x, age, 0.0)
    return _alive(p, bought, last, old)


def probability_of_none(
    p: BtydParameters, x: ArrayLike, t_x: ArrayLike, age: ArrayLike, horizon: ArrayLike
) -> FloatArray:
    """Probability of no purchase within a horizon: churn.

    It is the likelihood of the same history seen until age + horizon over the one until age.

    Args:
        p: Parameters.
        x: Repeat purchase-days so far, >= 0.
        t_x: Days from the first purchase to the last, 0..age.
        age: Days from the first purchase to the cut, >= 0.
        horizon: Days ahead, >= 0.

    Returns:
        Shape (n,), 0..1.
    """
    bought, last, old, ahead = _history(x, t_x, age, horizon)
    odds = log_odds_dead(p, bought, last, old)
    none: FloatArray = expit(odds) + expit(-odds) * none_if_alive(p, bought, old, ahead)
    return np.minimum(1.0, none)


def cumulative(
    p: BtydParameters, x: ArrayLike, t_x: ArrayLike, age: ArrayLike, horizons: ArrayLike
) -> FloatArray:
    """Purchase-days expected by each of several horizons.

    Args:
        p: Parameters.
        x: Repeat purchase-days so far, >= 0.
        t_x: Days from the first purchase to the last, 0..age.
        age: Days from the first purchase to the cut, >= 0.
        horizons: Days ahead, ascending, shape (k,).

    Returns:
        Shape (n, k); each row ascends.
    """
    bought, last, old, _ = _history(x, t_x, age, 0.0)
    return _alive(p, bought, last, old)[:, None] * timing(p, bought, old, horizons)


def timing(p: BtydParameters, x: ArrayLike, age: ArrayLike, horizons: ArrayLike) -> FloatArray:
    """Purchase-days expected by each horizon of a customer that has not left: the shape of its future.

    Unlike ``cumulative`` it is positive at every positive horizon, so its quotients always exist; and they
    are the same, because the probability of having left cancels.

    Args:
        p: Parameters.
        x: Repeat purchase-days so far, >= 0.
        age: Days from the first purchase to the cut, >= 0.
        horizons: Days ahead, ascending, shape (k,).

    Returns:
        Shape (n, k).
    """
    bought, _, old, _ = _history(x, 0.0, age, 0.0)
    pairs, position = _distinct(bought, old)
    ahead = np.atleast_1d(np.asarray(horizons, np.float64))
    n, k = len(pairs), len(ahead)
    curve = purchases_if_alive(p, np.repeat(pairs[:, 0], k), np.repeat(pairs[:, 1], k), np.tile(ahead, n))
    return np.maximum.accumulate(curve.reshape(n, k), axis=1)[position]


def horizon_ratio(
    p: BtydParameters, x: ArrayLike, age: ArrayLike, horizon: float, trained: float
) -> FloatArray:
    """What a horizon brings over what another does, by each customer's own curve.

    Args:
        p: Parameters.
        x: Repeat purchase-days so far, >= 0.
        age: Days from the first purchase to the cut, >= 0.
        horizon: Days ahead that are asked for, > 0.
        trained: Days ahead of the value at hand, > 0.

    Returns:
        Shape (n,), > 0; 1 where both are equal.
    """
    bought, _, old, _ = _history(x, 0.0, age, 0.0)
    asked = purchases_if_alive(p, bought, old, np.full(len(bought), float(horizon)))
    return asked / purchases_if_alive(p, bought, old, np.full(len(bought), float(trained)))


def steps_days(horizon: float) -> FloatArray:
    """Ends of the discounted periods of a horizon: every 30 days, and the horizon itself; shape (k,)."""
    whole = np.arange(STEP_DAYS, horizon, STEP_DAYS, dtype=np.float64)
    return np.append(whole, float(horizon))


def discount_ratio(curve: ArrayLike, ends_days: ArrayLike, annual_discount_ratio: float) -> FloatArray:
    """Present value of money over its plain sum, by when it comes in.

    Args:
        curve: Cumulative purchases or money by the end of each period, shape (n, k) or (k,); > 0 at the end.
        ends_days: Ends of the periods, ascending, shape (k,).
        annual_discount_ratio: Effective discount of a year, 0..1.

    Returns:
        Shape (n,), in 0..1; 1 without discount. Times an undiscounted value it gives the lifetime value.

    Source:
        sum over k of [N(t_k) - N(t_(k-1))] / (1 + d)^(t_k / 365), over N(t_last).
    """
    table = np.atleast_2d(np.asarray(curve, np.float64))
    factors = (1.0 + annual_discount_ratio) ** (-np.asarray(ends_days, np.float64) / _YEAR_DAYS)
    # Summed by parts: differences of a long curve would cancel.
    weights = np.append(factors[:-1] - factors[1:], factors[-1])
    share: FloatArray = table @ weights / table[:, -1]
    return np.minimum(1.0, share)


def lifetime_ratio(
    p: BtydParameters, x: ArrayLike, age: ArrayLike, horizon: float, annual_discount_ratio: float
) -> FloatArray:
    """Lifetime value over the undiscounted spend of the same horizon, by each customer's own curve.

    Args:
        p: Parameters.
        x: Repeat purchase-days so far, >= 0.
        age: Days from the first purchase to the cut, >= 0.
        horizon: Days ahead, > 0.
        annual_discount_ratio: Effective discount of a year, 0..1.

    Returns:
        Shape (n,), in 0..1.
    """
    ends = steps_days(horizon)
    bought, _, old, _ = _history(x, 0.0, age, 0.0)
    pairs, position = _distinct(bought, old)
    return discount_ratio(timing(p, pairs[:, 0], pairs[:, 1], ends), ends, annual_discount_ratio)[position]


def _history(
    x: ArrayLike, t_x: ArrayLike, age: ArrayLike, horizon: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    columns = [np.atleast_1d(np.asarray(column, np.float64)) for column in (x, t_x, age, horizon)]
    bought, last, old, ahead = np.broadcast_arrays(*columns)
    old = np.maximum(old, 0.0)
    return np.maximum(bought, 0.0), np.clip(last, 0.0, old), old, np.maximum(ahead, 0.0)


def _distinct(x: FloatArray, age: FloatArray) -> tuple[FloatArray, NDArray[np.intp]]:
    """Different (x, age), and which of them each row has: a shop has far fewer of them than customers."""
    if len(x) < 64:
        return np.column_stack([x, age]), np.arange(len(x))
    order = np.lexsort((age, x))
    fresh = np.r_[True, (np.diff(x[order]) != 0.0) | (np.diff(age[order]) != 0.0)]
    position = np.empty(len(x), np.intp)
    position[order] = np.cumsum(fresh) - 1
    kept = order[fresh]
    return np.column_stack([x[kept], age[kept]]), position


def _alive(p: BtydParameters, x: FloatArray, t_x: FloatArray, age: FloatArray) -> FloatArray:
    alive: FloatArray = expit(-log_odds_dead(p, x, t_x, age))
    return alive


def log_odds_dead(p: BtydParameters, x: FloatArray, t_x: FloatArray, age: FloatArray) -> FloatArray:
    """Log odds that customers have left, of histories that are known to be sound: nothing is checked.

    Args:
        p: Parameters.
        x: Repeat purchase-days so far, >= 0, shape (n,).
        t_x: Days from the first purchase to the last, 0..age, shape (n,).
        age: Days from the first purchase to the cut, shape (n,).
    """
    if p.boundary == NO_DROPOUT:
        return np.full(len(x), -np.inf)
    if p.family == "paretonbd":
        return btyd_pareto.log_odds_dead(*_four(p), x, t_x, age)
    return btyd_beta.log_odds_dead(*_four(p), x, t_x, age, first=p.family == "mbgnbd")


def log_odds_dead_of_one(p: BtydParameters, x: float, t_x: float, age: float) -> float:
    """``log_odds_dead`` of one history, as plain numbers where the family allows it."""
    if p.boundary == NO_DROPOUT:
        return -math.inf
    if p.family == "paretonbd":
        one = [np.array([number]) for number in (x, t_x, age)]
        return float(btyd_pareto.log_odds_dead(*_four(p), *one)[0])
    return btyd_beta.log_odds_dead_of_one(*_four(p), x, t_x, age, first=p.family == "mbgnbd")


def purchases_if_alive(p: BtydParameters, x: FloatArray, age: FloatArray, horizon: FloatArray) -> FloatArray:
    """Purchase-days expected within a horizon of customers that have not left; nothing is checked.

    Args:
        p: Parameters.
        x: Repeat purchase-days so far, >= 0, shape (n,).
        age: Days from the first purchase to the cut, >= 0, shape (n,).
        horizon: Days ahead, >= 0, shape (n,).
    """
    if p.boundary == NO_DROPOUT:
        r, alpha = p.values
        return (r + x) / (alpha + age) * horizon
    r, alpha, third, fourth = _four(p)
    if p.family == "paretonbd":
        return btyd_pareto.purchases_if_alive(r, alpha, third, fourth, x, age, horizon)
    after = fourth + 1.0 if p.family == "mbgnbd" else fourth
    return btyd_beta.purchases_if_alive(r, alpha, third, after, x, age, horizon)


def none_if_alive(p: BtydParameters, x: FloatArray, age: FloatArray, horizon: FloatArray) -> FloatArray:
    """Probability of no purchase within a horizon of customers that have not left; nothing is checked.

    Args:
        p: Parameters.
        x: Repeat purchase-days so far, >= 0, shape (n,).
        age: Days from the first purchase to the cut, >= 0, shape (n,).
        horizon: Days ahead, >= 0, shape (n,).
    """
    if p.family == "paretonbd" and p.boundary != NO_DROPOUT:
        return btyd_pareto.none_if_alive(*_four(p), x, age, horizon)
    # Without a purchase the coin is never thrown.
    r, alpha = p.values[:2]
    return np.exp(-(r + x) * np.log1p(horizon / (alpha + age)))


def _four(p: BtydParameters) -> tuple[float, float, float, float]:
    first, second, third, fourth = p.values
    return first, second, third, fourth
