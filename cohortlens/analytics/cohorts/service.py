"""The use case of cohorts: read the histories once for each state of the data, count, pick the measure."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from cohortlens.analytics.cohorts.groups import Grouped, grouped
from cohortlens.analytics.cohorts.matrix import PERIODS_MAX, Matrix, count
from cohortlens.analytics.cohorts.models import (
    CELLS_MAX,
    CohortBy,
    CohortQuery,
    CohortTable,
    Criterion,
    DataState,
    FloatArray,
    IntArray,
    Measure,
    Population,
    check_query,
    refuse,
)
from cohortlens.analytics.cohorts.periods import day_text, local_days, zone_of
from cohortlens.analytics.cohorts.repository import Histories, HistoriesRepository, Standing
from cohortlens.analytics.models import RunNotPublished
from cohortlens.contracts.currency import minor_digits
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database

ResultT = TypeVar("ResultT")

_KEPT_CELLS = 1_000_000
"""Cells of all answers kept in memory: 48 MB."""
_AT_ONCE = 2
"""Questions counted at once in a process: each holds the orders of a tenant."""


@dataclass(frozen=True)
class _Counted:
    """What every measure of a question is picked from."""

    keys: tuple[str, ...]
    names: tuple[str, ...]
    matrix: Matrix
    excluded_no_consent: int = 0

    @property
    def cells(self) -> int:
        return self.matrix.observed.size + 1


class PopulationReader:
    """Reads whose orders a question is about; shared by cohorts, survival and projection.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def standing(self, ctx: RequestContext) -> Standing | None:
        """Which data there is; None before the first import."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await HistoriesRepository(tx).standing()

    async def worked(
        self, ctx: RequestContext, population: Population, work: Callable[[Grouped], ResultT]
    ) -> tuple[ResultT, Standing] | None:
        """Read a population and work on it in a thread.

        Args:
            ctx: The request.
            population: Whose orders.
            work: Takes ``Grouped``.

        Returns:
            What ``work`` gave and the data it saw; None before the first import.

        Raises:
            RunNotPublished: Segments are asked for and none are published.
            TooManyOrders: The orders would not fit into a process.
        """
        async with self._slots:
            async with self._db.tenant_transaction(ctx.tenant_id) as tx:
                repository = HistoriesRepository(tx)
                # Before the data: what is then read is never older than what it is kept under.
                standing = await repository.standing()
                if standing is None:
                    return None
                if uses_segments(population) and standing.run_id is None:
                    raise RunNotPublished
                histories = await repository.read(population, standing.orders)
                names = await repository.segment_names() if population.by is CohortBy.SEGMENT else {}
            return await asyncio.to_thread(_work, histories, population, standing, names, work), standing


class CohortsService:
    """Answers questions about cohorts.

    Args:
        reader: Reads histories.
    """

    def __init__(self, reader: PopulationReader) -> None:
        self._reader = reader
        self._kept: OrderedDict[tuple[Any, ...], _Counted] = OrderedDict()
        self._cells = 0

    async def query(self, ctx: RequestContext, query: CohortQuery) -> CohortTable:
        """One measure of all cohorts; without any cohort when there are no orders.

        Raises:
            InvalidArgument: FIELD_INVALID: parts of the question contradict, or the answer is too large.
            RunNotPublished: Segments are asked for and none are published.
            TooManyOrders: The orders would not fit into a process.
        """
        check_query(query)
        zone_of(query.population.time_zone)
        standing = await self._reader.standing(ctx)
        if standing is None:
            return _picked(_NOTHING, query, 1, DataState())
        if uses_segments(query.population) and standing.run_id is None:
            raise RunNotPublished
        key = _key(ctx, query, standing)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        else:
            made = await self._reader.worked(ctx, query.population, lambda it: _counted(it, query))
            if made is None:
                return _picked(_NOTHING, query, 1, DataState())
            found, standing = made
            self._keep(_key(ctx, query, standing), found)
        data = state_of(standing, query.population.time_zone, found.excluded_no_consent)
        return _picked(found, query, 10 ** minor_digits(standing.currency), data)

    def _keep(self, key: tuple[Any, ...], found: _Counted) -> None:
        if _is_volatile(key[1]) or found.cells > _KEPT_CELLS:
            return
        former = self._kept.pop(key, None)
        self._kept[key] = found
        self._cells += found.cells - (former.cells if former else 0)
        while self._cells > _KEPT_CELLS:
            self._cells -= self._kept.popitem(last=False)[1].cells


def uses_segments(population: Population) -> bool:
    """Whether a question needs a published segmentation run."""
    return population.by is CohortBy.SEGMENT or bool(population.filter.segments)


def state_of(standing: Standing, time_zone: str, excluded_no_consent: int) -> DataState:
    """What a reply tells about the data."""
    day = int(local_days(np.array([standing.last_us]), zone_of(time_zone))[0])
    return DataState(standing.currency, day_text(day), standing.revision, excluded_no_consent)


def _is_volatile(population: Population) -> bool:
    # Attributes change without a new revision of the data.
    return population.by is CohortBy.ATTRIBUTE or bool(population.filter.attribute)


def _key(ctx: RequestContext, query: CohortQuery, standing: Standing) -> tuple[Any, ...]:
    run = standing.run_id if uses_segments(query.population) else None
    data = (ctx.tenant_id, standing.revision, standing.customers, run, standing.consents)
    return data, query.population, query.unit, query.align, query.periods, query.at_least


def _work(
    histories: Histories,
    population: Population,
    standing: Standing,
    names: dict[str, str],
    work: Callable[[Grouped], ResultT],
) -> ResultT:
    return work(grouped(histories, population, standing.currency, standing.last_us, names))


def _counted(found: Grouped, query: CohortQuery) -> _Counted:
    cohorts = max(1, len(found.keys))
    if cohorts * max(1, query.periods) > CELLS_MAX:
        refuse(
            "periods",
            f"{cohorts} cohorts of {query.periods or 1} periods are over {CELLS_MAX} cells; "
            "ask for fewer periods, or for fewer cohorts by filter.first_from and filter.first_to",
        )
    most = min(PERIODS_MAX, CELLS_MAX // cohorts)
    matrix = count(
        found.orders,
        found.members,
        query.unit,
        query.align,
        query.periods,
        found.last_day,
        max(1, query.at_least),
        most,
    )
    return _Counted(found.keys, found.names, matrix, found.excluded_no_consent)


def _picked(found: _Counted, query: CohortQuery, unit: int, data: DataState) -> CohortTable:
    matrix = found.matrix
    observed = matrix.observed
    seen = observed > 0
    amounts, is_sum = _measured(matrix, query, unit)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_customer = np.where(seen, amounts / observed, np.nan)
        sums = np.where(seen, amounts, 0.0).sum(axis=0)
        all_seen = observed.sum(axis=0)
        mean = np.where(all_seen > 0, sums / all_seen, np.nan)
    if is_sum:
        values, total = np.where(seen, amounts, np.nan), np.where(all_seen > 0, sums, np.nan)
    else:
        # A value by customer is carried on: that of period k holds everything up to it.
        by_customer = np.cumsum(by_customer, axis=1)
        weights = np.where(seen, observed, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(seen, by_customer * weights, 0.0).sum(axis=0) / all_seen
        values, total = by_customer, mean
    return CohortTable(
        keys=found.keys,
        names=found.names,
        sizes=matrix.size,
        values=values,
        per_customer=by_customer,
        observed=observed,
        total=np.stack([total, mean, all_seen.astype(np.float64)]),
        data=data,
    )


def _measured(matrix: Matrix, query: CohortQuery, unit: int) -> tuple[FloatArray, bool]:
    """Amounts of the measure by cell, and whether they are sums rather than values by customer."""
    customers: dict[Criterion, IntArray] = {
        Criterion.ON: matrix.active,
        Criterion.ON_OR_AFTER: matrix.returning,
        Criterion.AT_LEAST_N: matrix.frequent,
    }
    if query.measure is Measure.CUSTOMERS:
        return customers[query.criterion].astype(np.float64), True
    if query.measure is Measure.ORDERS:
        return matrix.orders, True
    share = query.margin_ratio if query.margin_ratio is not None else 1.0
    return matrix.revenue / unit * share, query.measure is not Measure.LTV_PER_CUSTOMER


_EMPTY = np.zeros((0, 0), np.int64)
_NOTHING = _Counted(
    (),
    (),
    Matrix(np.zeros(0, np.int64), _EMPTY, _EMPTY, _EMPTY, _EMPTY, _EMPTY.astype(float), _EMPTY.astype(float)),
)
