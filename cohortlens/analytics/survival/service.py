"""The use cases of survival and retention: the histories of cohorts, by customer instead of by period."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.cohorts.groups import Grouped
from cohortlens.analytics.cohorts.models import CELLS_MAX, DataState, check_population, refuse
from cohortlens.analytics.cohorts.periods import zone_of
from cohortlens.analytics.cohorts.service import PopulationReader, state_of
from cohortlens.analytics.survival.durations import Durations, until_order, until_silence, usual_gap
from cohortlens.analytics.survival.kaplan_meier import Curve, kaplan_meier
from cohortlens.analytics.survival.models import (
    CohortCurve,
    RetentionAnswer,
    RetentionQuery,
    SurvivalAnswer,
    SurvivalEvent,
    SurvivalQuery,
)
from cohortlens.analytics.survival.retention import TOO_SHORT, counts, projected
from cohortlens.contracts import sbg
from cohortlens.core.context import RequestContext

_LEVEL, _PROJECTION_LEVEL = 0.95, 0.8
_DAYS, _NUMBER = 365, 2
COHORTS_MAX = 120
"""Curves or projections of a reply."""


class SurvivalService:
    """Answers questions about survival and retention.

    Args:
        reader: Reads histories.
    """

    def __init__(self, reader: PopulationReader) -> None:
        self._reader = reader

    async def survival(self, ctx: RequestContext, query: SurvivalQuery) -> SurvivalAnswer:
        """One curve for each cohort; none when there are no orders.

        Raises:
            InvalidArgument: FIELD_INVALID: parts of the question contradict, or the answer is too large.
            RunNotPublished: Segments are asked for and none are published.
            TooManyOrders: The orders would not fit into a process.
        """
        check_population(query.population)
        zone_of(query.population.time_zone)
        if query.event is SurvivalEvent.ORDER and query.gap_days:
            refuse("gap_days", "is for SURVIVAL_EVENT_INACTIVITY only")
        if query.event is SurvivalEvent.INACTIVITY and query.order_number:
            refuse("order_number", "is for SURVIVAL_EVENT_ORDER only")
        if query.order_number == 1:
            refuse("order_number", "is at least 2: everybody has placed the first order")
        made = await self._reader.worked(
            ctx, query.population, lambda found: (_curves(found, query), found.excluded_no_consent)
        )
        if made is None:
            return SurvivalAnswer((), query.gap_days, DataState())
        ((curves, gap), excluded), standing = made
        return SurvivalAnswer(curves, gap, state_of(standing, query.population.time_zone, excluded))

    async def retention(self, ctx: RequestContext, query: RetentionQuery) -> RetentionAnswer:
        """One projection for each cohort, or the one of the given survivors.

        Raises:
            InvalidArgument: FIELD_INVALID: as ``survival``; survivors that grow or are too few.
            RunNotPublished: Segments are asked for and none are published.
            TooManyOrders: The orders would not fit into a process.
        """
        check_population(query.population)
        zone_of(query.population.time_zone)
        if query.survivors:
            return _given(query)
        made = await self._reader.worked(
            ctx, query.population, lambda found: (_projections(found, query), found.excluded_no_consent)
        )
        if made is None:
            return RetentionAnswer((), query.gap_days, query.period.days, DataState())
        (answer, excluded), standing = made
        return replace(answer, data=state_of(standing, query.population.time_zone, excluded))


def _curves(found: Grouped, query: SurvivalQuery) -> tuple[tuple[CohortCurve, ...], int]:
    most = query.max_days or _DAYS
    _check_size(found)
    first = np.where(found.members.cohort >= 0, found.members.first_day, -1)
    if query.event is SurvivalEvent.ORDER:
        gap = 0
        lives = until_order(found.orders, first, found.last_day, query.order_number or _NUMBER)
    else:
        gap = query.gap_days or usual_gap(found.orders)
        lives = until_silence(found.orders, first, found.last_day, gap)
    sizes = _sizes(found)
    curves = []
    for place, rows in enumerate(_by_cohort(found, lives)):
        curve = kaplan_meier(lives.days[rows], lives.ended[rows], query.level_ratio or _LEVEL)
        shown = int(np.searchsorted(curve.days, most, side="right"))
        cut = Curve(*(column[:shown] for column in vars(curve).values()))
        events = int(cut.events.sum())
        curves.append(CohortCurve(found.keys[place], found.names[place], int(sizes[place]), events, cut))
    if sum(len(one.curve.days) for one in curves) > CELLS_MAX:
        refuse("max_days", f"the curves have over {CELLS_MAX} steps; ask for fewer days or fewer cohorts")
    return tuple(curves), gap


def _projections(found: Grouped, query: RetentionQuery) -> RetentionAnswer:
    _check_size(found)
    first = np.where(found.members.cohort >= 0, found.members.first_day, -1)
    gap = query.gap_days or usual_gap(found.orders)
    lives = until_silence(found.orders, first, found.last_day, gap)
    sizes = _sizes(found)
    made = []
    for place, rows in enumerate(_by_cohort(found, lives)):
        own = Durations(lives.customer[rows], lives.days[rows], lives.ended[rows], lives.seen[rows])
        lost, kept = counts(own, query.period.days)
        made.append(
            projected(
                found.keys[place],
                found.names[place],
                int(sizes[place]),
                lost,
                kept,
                query.periods,
                level_ratio=query.level_ratio or _PROJECTION_LEVEL,
                seed=query.seed,
                cohorts=len(found.keys),
            )
        )
    return RetentionAnswer(tuple(made), gap, query.period.days, DataState())


def _given(query: RetentionQuery) -> RetentionAnswer:
    try:
        lost, kept = sbg.counts_of(query.survivors)
    except sbg.SurvivalInvalid:
        refuse("survivors", "sizes at the start and behind each period, at least 0 and never growing")
    level = query.level_ratio or _PROJECTION_LEVEL
    made = projected(
        "", "", query.survivors[0], lost, kept, query.periods, level_ratio=level, seed=query.seed
    )
    if made.reason == TOO_SHORT:
        refuse("survivors", "needs a start above 0 and sizes behind at least two periods")
    return RetentionAnswer((made,), 0, 0, DataState())


def _check_size(found: Grouped) -> None:
    if len(found.keys) > COHORTS_MAX:
        refuse(
            "cohort_by",
            f"makes {len(found.keys)} cohorts, at most {COHORTS_MAX} are possible; "
            "take longer ones, or fewer by filter.first_from and filter.first_to",
        )


def _sizes(found: Grouped) -> NDArray[np.int64]:
    member = found.members.cohort >= 0
    return np.bincount(found.members.cohort[member], minlength=len(found.keys))


def _by_cohort(found: Grouped, lives: Durations) -> list[NDArray[np.intp]]:
    """Rows of the durations of each cohort."""
    cohort = found.members.cohort[lives.customer]
    order = np.argsort(cohort, kind="stable")
    bounds = np.searchsorted(cohort[order], np.arange(len(found.keys) + 1))
    return [order[low:high] for low, high in pairwise(bounds)]
