"""Questions about survival and retention and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.cohorts.models import DataState, Population
from cohortlens.analytics.cohorts.periods import Period
from cohortlens.analytics.survival.kaplan_meier import Curve

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class SurvivalEvent(StrEnum):
    """What ends: the customer falls silent, or places the order of a number."""

    INACTIVITY = "INACTIVITY"
    ORDER = "ORDER"


@dataclass(frozen=True)
class SurvivalQuery:
    """A question about survival.

    Attributes:
        population: Whose orders, and one curve for which cohorts.
        event: What ends.
        gap_days: Silence that counts; 0 for the usual gap.
        order_number: Number of the order; 0 for the second.
        max_days: Days to show; 0 for 365.
        level_ratio: Level of the intervals; 0 for 0.95.
    """

    population: Population
    event: SurvivalEvent = SurvivalEvent.INACTIVITY
    gap_days: int = 0
    order_number: int = 0
    max_days: int = 0
    level_ratio: float = 0.0


@dataclass(frozen=True)
class CohortCurve:
    """The survival of one cohort: ``curve`` is cut at the days asked for, ``events`` counts up to there."""

    key: str
    name: str
    size: int
    events: int
    curve: Curve


@dataclass(frozen=True)
class SurvivalAnswer:
    """Curves by cohort, the silence that counted (0 where an order was asked for), the data behind them."""

    curves: tuple[CohortCurve, ...]
    gap_days: int
    data: DataState


@dataclass(frozen=True)
class RetentionQuery:
    """A question about how many customers will stay.

    Attributes:
        population: Whose orders, and one projection for which cohorts.
        survivors: Sizes of a given group at the start and behind each period; empty for the tenant's own.
        periods: Periods from the start on; 0 for twice the observed ones.
        period: Length of a rolling period.
        gap_days: Silence behind which a customer counts as lost; 0 for the usual gap.
        level_ratio: Level of the intervals; 0 for 0.8.
        seed: Seed of the bootstrap.
    """

    population: Population
    survivors: tuple[int, ...] = ()
    periods: int = 0
    period: Period = Period.MONTH
    gap_days: int = 0
    level_ratio: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Projection:
    """The retention of one cohort; columns of shape (periods + 1,), or (0,) when ``reason`` says why.

    Attributes:
        key: Key of the cohort.
        name: Its name.
        size: Customers.
        observed: Share observed, period 0 and those behind it; NaN where none is.
        at_risk: Customers seen through the period.
        projected: Share by the model.
        lower: Lower end of the interval.
        upper: Upper end of the interval.
        alpha: First parameter; NaN without a fit.
        beta: Second parameter; NaN without a fit.
        boundary: What the fit ran into; empty for nothing.
        reason: Why there is no projection; empty when there is one.
    """

    key: str
    name: str
    size: int
    observed: FloatArray
    at_risk: IntArray
    projected: FloatArray
    lower: FloatArray
    upper: FloatArray
    alpha: float = float("nan")
    beta: float = float("nan")
    boundary: str = ""
    reason: str = ""


@dataclass(frozen=True)
class RetentionAnswer:
    """Projections by cohort, the silence that counted, the days of a period (both 0 for given survivors)."""

    projections: tuple[Projection, ...]
    gap_days: int
    period_days: int
    data: DataState
