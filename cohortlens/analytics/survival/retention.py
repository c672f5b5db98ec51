"""How many customers stay: counted by period, fitted and projected with the shifted-beta-geometric model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.survival.durations import Durations
from cohortlens.analytics.survival.models import Projection
from cohortlens.contracts import sbg

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

TOO_SHORT = "HISTORY_TOO_SHORT"
PROJECTED_MAX = 120
"""Periods of a projection at most."""
_DRAWS = 400
_DRAWS_OF_ALL = 8_000
"""Draws over all cohorts of an answer: about half a second."""


def counts(durations: Durations, period_days: int) -> tuple[FloatArray, FloatArray]:
    """Customers lost in, and last seen through, each period.

    Only whole periods count: who is seen through half a period and stays would drop out of it, and who leaves
    would not.

    Args:
        durations: Until silence.
        period_days: Days of a period.

    Returns:
        ``lost`` and ``kept`` as ``sbg.fit`` takes them, shape (k,) each.
    """
    whole = (durations.seen + 1) // period_days
    period = durations.days // period_days + 1
    lost = durations.ended & (period <= whole)
    stayed = ~lost & (whole >= 1)
    width = min(int(whole.max(initial=0)), sbg.PERIODS_MAX)
    left = np.bincount(period[lost] - 1, minlength=width)[:width]
    # Beyond the last period of the model everybody is simply still there.
    kept = np.bincount(np.minimum(whole[stayed], width) - 1, minlength=width) if width else np.zeros(0)
    return left.astype(np.float64), kept.astype(np.float64)


def projected(
    key: str,
    name: str,
    size: int,
    lost: FloatArray,
    kept: FloatArray,
    periods: int,
    *,
    level_ratio: float,
    seed: int,
    cohorts: int = 1,
) -> Projection:
    """Fit and project one cohort.

    Args:
        key: Key of the cohort.
        name: Its name.
        size: Customers.
        lost: Customers who left in period 1, 2, ..., shape (k,).
        kept: Customers last seen through period 1, 2, ..., shape (k,).
        periods: Periods to go; 0 for twice the observed ones.
        level_ratio: Level of the interval.
        seed: Seed of the bootstrap.
        cohorts: Cohorts of the answer, which share the draws.
    """
    at_risk = np.cumsum((lost + kept)[::-1])[::-1]
    seen = int(np.count_nonzero(at_risk))
    width = periods or min(PROJECTED_MAX, max(2, 2 * seen))
    draws = int(np.clip(_DRAWS_OF_ALL // cohorts, 100, _DRAWS))
    try:
        made = sbg.project(lost, kept, width, level_ratio=level_ratio, draws=draws, seed=seed)
    except sbg.SurvivalInvalid:
        nothing = np.zeros(0)
        return Projection(
            key, name, size, nothing, nothing.astype(np.int64), nothing, nothing, nothing, reason=TOO_SHORT
        )
    observed, exposed = np.full(width + 1, np.nan), np.zeros(width + 1, np.int64)
    known = min(seen, width)
    observed[0], exposed[0] = 1.0, size
    observed[1 : known + 1] = np.cumprod(1.0 - lost[:known] / at_risk[:known])
    exposed[1 : known + 1] = at_risk[:known]
    return Projection(
        key,
        name,
        size,
        observed,
        exposed,
        made.survival,
        made.lower,
        made.upper,
        made.fit.alpha,
        made.fit.beta,
        made.fit.boundary,
    )
