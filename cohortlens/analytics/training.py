"""Trainings: start, look at, cancel. The work is in ``training_work.py``, triggers in ``retraining.py``."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.models import TRAINING_REQUESTED, AsOfInFuture, ResourceMissing, TrainingInProgress
from cohortlens.analytics.subjects import CustomerData
from cohortlens.analytics.training_runs import (
    Cause,
    NewRun,
    SegmentsInvalid,
    TrainingRun,
    TrainingRunsRepository,
)
from cohortlens.analytics.training_work import MIN_CUSTOMERS, TRAINER, TrainingWork
from cohortlens.analytics.work import DIED
from cohortlens.audit.trail import AuditTrail
from cohortlens.core import idempotency
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import TenantId, TrainingRunId, uuid7
from cohortlens.core.outbox import Outbox
from cohortlens.customers.usability import Activity
from cohortlens.registry.models import SEGMENTATION
from cohortlens.registry.service import RegistryService


class TrainingService:
    """Use cases of trainings.

    Args:
        db: The database.
        customers: Gives snapshots.
        registry: Tells which models serve.
        work: Does the runs.
        clock: The time.
    """

    def __init__(
        self,
        db: Database,
        customers: CustomerData,
        registry: RegistryService,
        work: TrainingWork,
        *,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._customers = customers
        self._registry = registry
        self._work = work
        self._clock = clock

    async def start(
        self, ctx: RequestContext, model: str, seed: int, as_of: date | None = None, segments: int = 0
    ) -> list[TrainingRun]:
        """Store a run of one model, or of each that can be trained when ``model`` is empty; a job does it.

        Args:
            ctx: The request.
            model: ``segmentation``, ``prediction`` or empty.
            seed: Seed of everything random.
            as_of: Last day of data to train on; None for all there is.
            segments: Number of segments, 2 to 20; chosen by the rule when 0.

        Raises:
            SegmentsInvalid: A number of segments that cannot be, or for another model.
            HistoryTooShort: There are fewer customers than the model needs: 30 for segments, 1 for
                predictions.
            AsOfInFuture: The data ends before ``as_of``.
            TrainingInProgress: One of the models is being trained; nothing was stored.
        """
        if segments == 1 or (segments and model != SEGMENTATION):
            raise SegmentsInvalid(segments, model)
        models = await self._work.trainable(ctx.tenant_id, model)
        if as_of is not None:
            state = await self._customers.data_state(ctx.tenant_id)
            if state.as_of is not None and as_of > state.as_of:
                raise AsOfInFuture(as_of, state.as_of)
        runs = []
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = TrainingRunsRepository(tx)
            for name in models:
                run_id = await self._request(
                    tx,
                    name,
                    Cause.REQUESTED,
                    seed=seed,
                    as_of=as_of,
                    segments=segments,
                    created_by=ctx.caller.id,
                )
                if run_id is None:
                    raise TrainingInProgress(name)
                run = await repository.get(run_id)
                assert run is not None
                runs.append(run)
            idempotency.made(runs=[str(run.run_id) for run in runs])
            for run in runs:
                await AuditTrail(tx).append(
                    ctx,
                    "analytics.training.requested",
                    resource=f"trainingRuns/{run.run_id}",
                    details={"model": run.model},
                )
        return runs

    async def start_first(self, tenant_id: TenantId) -> list[TrainingRunId]:
        """After an import: train what does not serve yet, once 30 customers are there."""
        if (await self._customers.count_customers(tenant_id, Activity.TRAINING))[0] < MIN_CUSTOMERS:
            return []
        async with self._db.tenant_transaction(tenant_id) as tx:
            models = await self._registry.inactive_models(tx)
            started = [await self.start_by_itself(tx, model, Cause.FIRST_IMPORT) for model in models]
        return [run_id for run_id in started if run_id is not None]

    async def start_by_itself(
        self, tx: AsyncConnection, model: str, cause: Cause, drift_report: UUID | None = None
    ) -> TrainingRunId | None:
        """Store a run that nobody asked for; None when one of the model is pending or running already.

        Args:
            tx: A transaction of the tenant.
            model: ``segmentation`` or ``prediction``.
            cause: Why.
            drift_report: Drift report that asks for it.
        """
        run_id = await self._request(tx, model, cause, drift_report=drift_report)
        if run_id is not None:
            await AuditTrail(tx).append(
                TRAINER,
                "analytics.training.requested",
                resource=f"trainingRuns/{run_id}",
                details={"model": model, "cause": cause.value},
            )
        return run_id

    async def cancel(self, ctx: RequestContext, run_id: UUID) -> TrainingRun:
        """End a run; one that has ended already stays as it is. Nothing of it is registered after the answer.

        Raises:
            ResourceMissing: No such run.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = TrainingRunsRepository(tx)
            has_ended = await repository.cancel(run_id, self._clock())
            found = await repository.get(run_id)
            if found is None:
                raise ResourceMissing("run")
            if has_ended:
                await AuditTrail(tx).append(
                    ctx,
                    "analytics.training.cancelled",
                    resource=f"trainingRuns/{run_id}",
                    details={"model": found.model},
                )
        return found

    async def get(self, ctx: RequestContext, run_id: UUID) -> TrainingRun:
        """One run.

        Raises:
            ResourceMissing: No such run.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await TrainingRunsRepository(tx).get(run_id)
        if found is None:
            raise ResourceMissing("run")
        return found

    async def page(self, ctx: RequestContext, before: UUID | None, limit: int) -> list[TrainingRun]:
        """Runs older than ``before``, newest first."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await TrainingRunsRepository(tx).page(before, limit)

    async def run(self, tenant_id: TenantId, run_id: UUID) -> None:
        """As ``TrainingWork.run``."""
        await self._work.run(tenant_id, run_id)

    async def fail(self, tenant_id: TenantId, run_id: UUID, fault: CohortLensError = DIED) -> None:
        """As ``TrainingWork.fail``."""
        await self._work.fail(tenant_id, run_id, fault)

    async def _request(
        self,
        tx: AsyncConnection,
        model: str,
        cause: Cause,
        *,
        seed: int = 0,
        as_of: date | None = None,
        segments: int = 0,
        created_by: UUID | None = None,
        drift_report: UUID | None = None,
    ) -> TrainingRunId | None:
        run_id = TrainingRunId(uuid7())
        run = NewRun(run_id, model, cause, seed, as_of, created_by, self._clock(), drift_report, segments)
        if not await TrainingRunsRepository(tx).insert(run):
            return None
        await Outbox(tx).record(TRAINING_REQUESTED, f"training:{model}", {"training_run_id": str(run_id)})
        return run_id
