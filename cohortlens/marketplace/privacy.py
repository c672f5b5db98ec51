"""Noise that hides one person, and the rule by which a cell of an answer is shown; exact arithmetic only.

Everything here is integers and fractions: floating-point noise has gaps that give the person away. A query's
cells are disjoint and a customer falls into one of them, so a query costs its epsilon once, however many
cells it has.

Source:
    Canonne, Kamath, Steinke: The Discrete Gaussian for Differential Privacy (2020), algorithms 1 and 2, for
    the samplers; Korolova et al.: Releasing Search Queries and Clicks Privately (2009), for the threshold.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

MILLI = 1_000
LEAST_PERSONS = 10
"""k: a cell of fewer persons is never shown; an offer may ask for more, never for less."""
DELTA = Fraction(1, 1_000_000)
EPSILONS_MILLI = (100, 250, 500)
"""What a query may cost, in thousandths."""

Below = Callable[[int], int]
"""A uniform integer from 0 to below its argument."""


@dataclass(frozen=True)
class Released:
    """What may be said of one cell.

    Attributes:
        count: Persons with noise; None when the cell is suppressed.
        total: Sum in minor units with noise; None when it is suppressed, or was not asked.
    """

    count: int | None
    total: int | None = None

    @property
    def is_suppressed(self) -> bool:
        """Whether nothing may be said."""
        return self.count is None


def discrete_laplace(scale: Fraction, below: Below = secrets.randbelow) -> int:
    """An integer y with probability proportional to exp(-|y| / scale).

    Args:
        scale: Sensitivity over epsilon, > 0.
        below: Source of chance; the system's own in earnest.

    Returns:
        Noise around 0.

    Raises:
        ValueError: The scale is not positive.
    """
    if scale <= 0:
        raise ValueError("the scale of noise must be positive")
    t, s = scale.numerator, scale.denominator
    while True:
        u = below(t)
        if not _is_exp_of_unit(Fraction(u, t), below):
            continue
        v = 0
        while _is_exp_of_unit(Fraction(1), below):
            v += 1
        size, is_negative = (u + t * v) // s, bool(below(2))
        if size or not is_negative:
            return -size if is_negative else size


@cache
def threshold(epsilon: Fraction) -> int:
    """The least t >= 1 with P(noise >= t) <= DELTA, for noise of scale 1 / epsilon.

    P(noise >= t) = exp(-epsilon (t - 1)) / (exp(epsilon) + 1); the exponentials are bounded from below by
    their series, so the bound holds whatever is cut off.

    Args:
        epsilon: > 0.
    """
    t = 1
    while exp_at_least(epsilon * (t - 1)) * (exp_at_least(epsilon) + 1) * DELTA < 1:
        t += 1
    return t


def shown_from(epsilon: Fraction, least_persons: int = LEAST_PERSONS) -> int:
    """The least noisy count at which a cell is shown."""
    return least_persons + threshold(epsilon)


def release(
    count: int,
    total: int | None,
    *,
    epsilon_milli: int,
    clip_minor: int = 0,
    least_persons: int = LEAST_PERSONS,
    below: Below = secrets.randbelow,
) -> Released:
    """Add noise to one cell, and suppress it unless it is safely large.

    A cell is shown only if its true count is at least k and its noisy count at least k plus the threshold:
    one person more or less changes the chance of being shown by at most DELTA; a cell under k never appears.

    Args:
        count: Persons in the cell, >= 0.
        total: Sum of their clipped amounts in minor units; None when only the count is asked.
        epsilon_milli: What the query costs; with a sum, count and sum take half each.
        clip_minor: The most that one person adds to the sum, in minor units; with a sum > 0.
        least_persons: k, at least LEAST_PERSONS.
        below: Source of chance.

    Raises:
        ValueError: k is under LEAST_PERSONS, or the clip is missing.
    """
    if least_persons < LEAST_PERSONS:
        raise ValueError(f"an answer may not be about fewer than {LEAST_PERSONS} persons")
    if total is not None and clip_minor <= 0:
        raise ValueError("a sum needs the most that one person adds to it")
    epsilon = Fraction(epsilon_milli, MILLI) / (1 if total is None else 2)
    # Noise is drawn for every cell, shown or not, so that neither time nor chance tells them apart.
    noisy = count + discrete_laplace(1 / epsilon, below)
    noisy_total = None if total is None else total + discrete_laplace(clip_minor / epsilon, below)
    if count < least_persons or noisy < shown_from(epsilon, least_persons):
        return Released(None)
    return Released(noisy, noisy_total)


def expected_error(epsilon_milli: int, *, sensitivity: int = 1, is_shared: bool = False) -> int:
    """The expected absolute error of a count or a sum, rounded up to a whole unit.

    Args:
        epsilon_milli: What the query costs.
        sensitivity: The most that one person changes: 1 for a count, the clip for a sum, in minor units.
        is_shared: Whether count and sum share the epsilon.
    """
    epsilon = Fraction(epsilon_milli, MILLI) / (2 if is_shared else 1)
    # E|y| = 2 q / (1 - q^2) with q = exp(-epsilon / sensitivity), which is below sensitivity / epsilon.
    return -(-sensitivity * epsilon.denominator // epsilon.numerator)


def exp_at_least(x: Fraction) -> Fraction:
    """A lower bound of exp(x) for x >= 0, exact to far beyond what the threshold needs."""
    halvings = max(0, (x.numerator // x.denominator).bit_length())
    y = x / 2**halvings
    term = total = Fraction(1)
    for n in range(1, 16):
        term = term * y / n
        total += term
    # Rounding down keeps the bound and keeps the fractions short.
    for _ in range(halvings):
        total = Fraction(int(total * total * 2**128), 2**128)
    return total


def _is_exp_of_unit(x: Fraction, below: Below) -> bool:
    """True with probability exp(-x), for x in 0..1."""
    k = 1
    while below(x.denominator * k) < x.numerator:
        k += 1
    return k % 2 == 1
