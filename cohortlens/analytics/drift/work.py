"""The work behind a drift report: who is there now, what the version says of them, how far that has moved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Protocol
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cohortlens.analytics.drift.comparing import Pair, compare
from cohortlens.analytics.drift.models import (
    DRIFT_REPORTED,
    MIN_ROWS,
    BaselineMissing,
    ColumnKind,
    DaysInvalid,
    DriftColumn,
    DriftConvention,
    DriftReport,
    DriftVerdict,
    SampleTooSmall,
    TargetPerformance,
    reported_payload,
)
from cohortlens.analytics.drift.performance import actuals, judge, passed_horizons
from cohortlens.analytics.drift.populations import (
    AGE,
    OVERLAP_FROM,
    Population,
    Side,
    ages,
    customers_at,
    pairs_of,
    same_ages,
)
from cohortlens.analytics.drift.repository import DriftRepository
from cohortlens.analytics.ports import InferenceClient, Scores
from cohortlens.analytics.predictions import check_schema
from cohortlens.analytics.work import DIED, run_to_end
from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.baseline import BASELINE_FILE, Baseline
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.purchase_days import PurchaseDays
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, FailedPrecondition, Internal
from cohortlens.core.ids import TenantId
from cohortlens.core.outbox import Outbox
from cohortlens.core.telemetry import get_logger
from cohortlens.customers.models import TrainingSnapshot
from cohortlens.customers.usability import losses
from cohortlens.registry.models import PREDICTION, SEGMENTATION, ModelVersion
from cohortlens.registry.service import RegistryService

MOST_RESTARTS = 5
"""Comparisons of one report that withdrawals may overtake before it gives up."""

_EPOCH = date(1970, 1, 1)
_WATCHER = Actor("job", "drift")
_HORIZON = SCHEMA.index("horizon")
_CALL_ROWS = 1_000
_CALL_LIMIT_S = 60.0
_log = get_logger(__name__)


class SnapshotSource(Protocol):
    """Gives the purchase-days of a tenant; ``CustomersService`` does."""

    async def training_snapshot(self, tenant_id: TenantId) -> TrainingSnapshot:
        """Purchase-days of the customers whom models may be trained on, without identifiers."""


class ConsentsChanging(FailedPrecondition):
    """Customers withdrew so often that no report on those who are left came to its end."""

    reason = "DATA_CHANGING"

    def __init__(self, restarts: int) -> None:
        super().__init__(
            f"consents were withdrawn {restarts} times while customers were compared; start a report later",
            metadata={"restarts": str(restarts)},
        )


@dataclass(frozen=True)
class _Compared:
    reference: Side
    current: Side
    reference_ages: NDArray[np.float64]
    current_ages: NDArray[np.float64]
    overlap: float


class DriftWork:
    """Does the work of drift reports; repeating it changes nothing.

    Args:
        db: The database.
        customers: Gives the purchase-days.
        registry: Gives the version.
        client: Runs it.
        artifacts: Where baselines lie.
        clock: The time.
    """

    def __init__(
        self,
        db: Database,
        customers: SnapshotSource,
        registry: RegistryService,
        client: InferenceClient,
        artifacts: LocalArtifactStore,
        *,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._customers = customers
        self._registry = registry
        self._client = client
        self._artifacts = artifacts
        self._clock = clock

    async def run(self, tenant_id: TenantId, report_id: UUID) -> None:
        """Make a report; one that has ended, or is not there, is left alone.

        Raises:
            CohortLensError: A passing fault (no worker, no database); call again later.
        """
        await run_to_end(
            self._run(tenant_id, report_id), lambda fault: self.fail(tenant_id, report_id, fault)
        )

    async def fail(self, tenant_id: TenantId, report_id: UUID, fault: CohortLensError = DIED) -> None:
        """End a report badly; one that has ended is left alone."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            await DriftRepository(tx).fail(report_id, fault.reason, fault.message, self._clock())

    async def _run(self, tenant_id: TenantId, report_id: UUID) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            report = await DriftRepository(tx).get(report_id)
        if report is None or report.state.is_final:
            return
        version = await self._registry.version(tenant_id, report.model, report.model_version)
        check_schema(version)
        for _ in range(MOST_RESTARTS):
            taken = await self._customers.training_snapshot(tenant_id)
            found = await self._found(tenant_id, report, version, taken)
            if await self._finish(tenant_id, found, taken.losses):
                return
        raise ConsentsChanging(MOST_RESTARTS)

    async def _found(
        self, tenant_id: TenantId, report: DriftReport, version: ModelVersion, taken: TrainingSnapshot
    ) -> DriftReport:
        """What a comparison of the customers of a snapshot says."""
        await self._say(tenant_id, report, 0.1)
        days, last_day = await asyncio.to_thread(_purchase_days, taken.table), taken.as_of
        as_of = report.as_of or last_day
        if as_of > last_day:
            raise DaysInvalid(
                "as_of", f"{as_of} lies after the last day of data, {last_day}", reason="AS_OF_IN_FUTURE"
            )
        asked = _Asked(tenant_id, version, days, as_of)
        compared = await self._compared(asked, report)
        await self._say(tenant_id, report, 0.6)
        verdict, columns = await asyncio.to_thread(_findings, report.model, compared, report.convention)
        performance = await self._performance(asked) if report.is_baseline else ()
        return replace(
            report,
            reference_as_of=report.reference_as_of or date.fromisoformat(version.manifest.as_of),
            as_of=as_of,
            rows_reference=len(compared.reference_ages),
            rows_current=len(compared.current_ages),
            verdict=verdict,
            columns=columns,
            performance=performance,
            excluded_no_consent=taken.excluded_no_consent,
        )

    async def _compared(self, asked: _Asked, report: DriftReport) -> _Compared:
        """Both sides, equally many customers of each age, with what the version says of them."""
        present = await asked.population(asked.as_of)
        then: Population | None = None
        if report.is_baseline:
            reference = await asyncio.to_thread(self._baseline, asked.version)
        else:
            assert report.reference_as_of is not None
            then = (await asked.population(report.reference_as_of)).drawn()
            reference = Side(then.features, {})
        for side, rows in (("baseline", len(reference.features)), ("present", len(present))):
            if rows < MIN_ROWS:
                raise SampleTooSmall(side, rows)
        reference_ages, current_ages = ages(reference.features), ages(present.features)
        before, after, overlap = same_ages(reference_ages, current_ages)
        names = list(reference.predictions) or _reported(asked.version)
        current = await self._told(asked, present.take(after), names)
        reference = (
            reference.take(before) if then is None else await self._told(asked, then.take(before), names)
        )
        return _Compared(reference, current, reference_ages, current_ages, overlap)

    def _baseline(self, version: ModelVersion) -> Side:
        digest = version.manifest.files.get(BASELINE_FILE)
        if digest is None:
            raise BaselineMissing(version.model, version.version)
        stored = Baseline.from_npz(self._artifacts.read_verified(digest))
        return Side(stored.features, stored.predictions, stored.segments)

    async def _told(self, asked: _Asked, population: Population, names: Sequence[str]) -> Side:
        """What the version says of customers: predictions by ``target:days``, or segments."""
        if not len(population):
            return Side(population.features, {})
        if asked.version.model == SEGMENTATION:
            scores = await self._scores(asked, "", population, 0)
            keys = np.array([one.key for one in asked.version.manifest.segments])
            return Side(population.features, {}, keys[scores["segment"].astype(np.int64)])
        predictions = {}
        for name in names:
            target, _, horizon = name.partition(":")
            predictions[name] = (await self._scores(asked, target, population, int(horizon)))["value"]
        return Side(population.features, predictions)

    async def _performance(self, asked: _Asked) -> tuple[TargetPerformance, ...]:
        version = asked.version
        if version.model != PREDICTION:
            return ()
        manifest = version.manifest
        trained = date.fromisoformat(manifest.as_of)
        judged = []
        for horizon, day in passed_horizons(trained, asked.as_of, manifest.horizons_days).items():
            population = (await asked.population(day)).drawn()
            if not len(population):
                continue
            came = actuals(asked.days, population, _number(day), horizon)
            for target in manifest.targets:
                scores = await self._scores(asked, target, population, horizon)
                judged.append(judge(target, horizon, day, scores, came[target]))
        return tuple(judged)

    async def _scores(self, asked: _Asked, target: str, population: Population, horizon: int) -> Scores:
        rows = population.rows.copy()
        rows[:, _HORIZON] = horizon
        parts: list[Scores] = [
            await self._client.score(
                asked.version.model,
                asked.version.artifact_digest,
                asked.version.manifest.schema_hash,
                target,
                rows[start : start + _CALL_ROWS],
                deadline=time.monotonic() + _CALL_LIMIT_S,
                tenant=str(asked.tenant_id),
            )
            for start in range(0, len(rows), _CALL_ROWS)
        ]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if not all(np.isfinite(values).all() for values in joined.values()):
            raise Internal("a worker answered a number that is not finite", reason="WORKER_FAULT")
        return joined

    async def _finish(self, tenant_id: TenantId, found: DriftReport, mark: str) -> bool:
        """Store the findings and tell of them in one step, once; False when somebody withdrew since."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            repository = DriftRepository(tx)
            present = await repository.get(found.report_id, lock=True)
            if present is None or present.state.is_final:
                return True
            if await losses(tx) != mark:
                return False
            await repository.succeed(found, self._clock())
            await Outbox(tx).record(DRIFT_REPORTED, f"drift:{found.model}", reported_payload(found))
            await AuditTrail(tx).append(
                _WATCHER,
                "analytics.drift.reported",
                resource=f"driftReports/{found.report_id}",
                details={
                    "model": found.model,
                    "model_version": found.model_version,
                    "verdict": found.verdict.value,
                },
            )
        say = _log.warning if found.verdict is DriftVerdict.ACT else _log.info
        say(
            "drift_reported",
            model=found.model,
            version=found.model_version,
            verdict=found.verdict.value,
            columns=[one.name for one in found.columns if one.verdict is DriftVerdict.ACT],
        )
        return True

    async def _say(self, tenant_id: TenantId, report: DriftReport, ratio: float) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            await DriftRepository(tx).progress(report.report_id, ratio)


@dataclass(frozen=True)
class _Asked:
    """What a report is about."""

    tenant_id: TenantId
    version: ModelVersion
    days: PurchaseDays
    as_of: date

    async def population(self, day: date) -> Population:
        """The customers at the end of a day."""
        wants = self.version.model == PREDICTION and self.version.manifest.wants_sequence
        return await asyncio.to_thread(customers_at, self.days, _number(day), wants_sequence=wants)


def _findings(
    model: str, compared: _Compared, convention: DriftConvention
) -> tuple[DriftVerdict, tuple[DriftColumn, ...]]:
    age = Pair(AGE, ColumnKind.INPUT, compared.reference_ages, compared.current_ages)
    calm = frozenset({AGE}) if compared.overlap >= OVERLAP_FROM else frozenset[str]()
    return compare([age, *pairs_of(model, compared.reference, compared.current)], convention, calm=calm)


def _purchase_days(table: pa.Table) -> PurchaseDays:
    return PurchaseDays.from_columns({name: table.column(name).to_numpy() for name in table.column_names})


def _reported(version: ModelVersion) -> list[str]:
    """The columns of predictions for two days of one's own choice: each target at the longest horizon."""
    manifest = version.manifest
    return [f"{target}:{max(manifest.horizons_days)}" for target in manifest.targets]


def _number(day: date) -> int:
    return (day - _EPOCH) // timedelta(days=1)
