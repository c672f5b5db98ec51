"""Train: start a run, do it as a job, register what it made, promote it when it is good enough."""

from __future__ import annotations

import asyncio
import io
import time
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from cohortlens.analytics.models import (
    TRAINING_REQUESTED,
    HistoryTooShort,
    ResourceMissing,
    TrainingInProgress,
    TrainingRun,
    WorkState,
)
from cohortlens.analytics.ports import InferenceClient, TrainingOrder, TrainingProgress, TrainingResult
from cohortlens.analytics.runs import TrainingRunsRepository
from cohortlens.analytics.segmentation import SegmentationService
from cohortlens.analytics.subjects import CustomerData
from cohortlens.analytics.warmup import ModelWarmup
from cohortlens.analytics.work import DIED, run_to_end
from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.manifest import ModelManifest
from cohortlens.core import idempotency
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, Internal
from cohortlens.core.ids import TenantId, TrainingRunId, uuid7
from cohortlens.core.outbox import Outbox
from cohortlens.core.telemetry import get_logger
from cohortlens.registry.models import MODELS, SEGMENTATION
from cohortlens.registry.service import RegistryService

MIN_CUSTOMERS = 30
"""Fewest customers that a model is trained on."""

_LOAD_LIMIT_S = 60.0
_SAY_EVERY_S = 0.5
_TRAINER = Actor("job", "training")
_log = get_logger(__name__)


class TrainingService:
    """Use cases of trainings.

    Args:
        db: The database.
        customers: Gives snapshots.
        registry: Registers and promotes.
        client: Trains, and loads versions on replicas.
        segmentation: Starts a run when a segmentation version was promoted.
        artifacts: Where snapshots and versions lie.
        clock: The time.
    """

    def __init__(
        self,
        db: Database,
        customers: CustomerData,
        registry: RegistryService,
        client: InferenceClient,
        segmentation: SegmentationService,
        artifacts: LocalArtifactStore,
        *,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._customers = customers
        self._registry = registry
        self._client = client
        self._warmup = ModelWarmup(client)
        self._segmentation = segmentation
        self._artifacts = artifacts
        self._clock = clock

    async def start(self, ctx: RequestContext, model: str, seed: int) -> list[TrainingRun]:
        """Store a run of one model, or of both when ``model`` is empty; a job does the work.

        Raises:
            HistoryTooShort: Fewer than 30 customers have features.
            TrainingInProgress: One of the models is being trained; nothing was stored.
        """
        await self._check_history(ctx.tenant_id)
        runs = []
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = TrainingRunsRepository(tx)
            for name in (model,) if model else MODELS:
                run_id = await self._request(repository, Outbox(tx), name, "REQUESTED", seed, ctx.caller.id)
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
        if await self._customers.count_customers(tenant_id) < MIN_CUSTOMERS:
            return []
        started = []
        async with self._db.tenant_transaction(tenant_id) as tx:
            repository = TrainingRunsRepository(tx)
            for model in await self._registry.inactive_models(tx):
                run_id = await self._request(repository, Outbox(tx), model, "FIRST_IMPORT", 0, None)
                if run_id is not None:
                    started.append(run_id)
            for run_id in started:
                await AuditTrail(tx).append(
                    _TRAINER,
                    "analytics.training.requested",
                    resource=f"trainingRuns/{run_id}",
                    details={"cause": "FIRST_IMPORT"},
                )
        return started

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
        """Do or resume a run; one that has ended, or is not there, is left alone.

        Each stage stores what it made, so a repeated run goes on behind it and registers once.

        Raises:
            CohortLensError: A passing fault (no worker, no database); call again later.
        """
        await run_to_end(self._run(tenant_id, run_id), lambda fault: self.fail(tenant_id, run_id, fault))

    async def fail(self, tenant_id: TenantId, run_id: UUID, fault: CohortLensError = DIED) -> None:
        """End a run badly; one that has ended is left alone."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            await TrainingRunsRepository(tx).fail(run_id, fault.reason, fault.message, self._clock())

    async def _run(self, tenant_id: TenantId, run_id: UUID) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            run = await TrainingRunsRepository(tx).get(run_id)
        if run is None or run.state in {WorkState.SUCCEEDED, WorkState.FAILED}:
            return
        if run.artifact_digest is None:
            result = await self._train(tenant_id, run, await self._order(tenant_id, run))
            digest, text = result.artifact_digest, result.manifest_json.encode()
            async with self._db.tenant_transaction(tenant_id) as tx:
                await TrainingRunsRepository(tx).set_artifact(run_id, digest, result.cpu_s)
        else:
            digest = run.artifact_digest
            text = await asyncio.to_thread(self._artifacts.read_verified, digest)
        manifest = ModelManifest.from_json(text)
        if manifest.digest != digest or manifest.model != run.model:
            raise Internal("the trained version does not match its digest", reason="ARTIFACT_CORRUPT")
        await self._register(tenant_id, run, manifest, digest)

    async def _order(self, tenant_id: TenantId, run: TrainingRun) -> TrainingOrder:
        """The stored snapshot of the run, made now if it is the first attempt."""
        if run.snapshot_digest is not None and run.as_of is not None and run.currency is not None:
            return TrainingOrder(run.model, run.snapshot_digest, run.as_of, run.currency, run.seed)
        await self._say(tenant_id, run, "snapshot", 0.0)
        await self._check_history(tenant_id)
        table, as_of, currency = await self._customers.training_snapshot(tenant_id)
        digest = await asyncio.to_thread(lambda: self._artifacts.put_bytes(_parquet(table)))
        async with self._db.tenant_transaction(tenant_id) as tx:
            await TrainingRunsRepository(tx).set_snapshot(run.run_id, digest, as_of, currency)
        return TrainingOrder(run.model, digest, as_of, currency, run.seed)

    async def _train(self, tenant_id: TenantId, run: TrainingRun, order: TrainingOrder) -> TrainingResult:
        said, stage, result = 0.0, "", None
        async for progress in self._client.train(order):
            result = progress.result or result
            if progress.stage != stage or time.monotonic() - said >= _SAY_EVERY_S:
                said, stage = time.monotonic(), progress.stage
                await self._say(tenant_id, run, stage, _overall(progress))
        if result is None:
            raise Internal("the training ended without a result", reason="TRAINING_INCOMPLETE")
        return result

    async def _register(
        self, tenant_id: TenantId, run: TrainingRun, manifest: ModelManifest, digest: str
    ) -> None:
        await self._say(tenant_id, run, "register", 0.97)
        if manifest.passed:
            # Warm before it is promoted: no call then waits for a load.
            await self._warmup.load(manifest.model, digest, deadline=time.monotonic() + _LOAD_LIMIT_S)
        async with self._db.tenant_transaction(tenant_id) as tx:
            repository = TrainingRunsRepository(tx)
            present = await repository.get(run.run_id, lock=True)
            if present is None or present.state in {WorkState.SUCCEEDED, WorkState.FAILED}:
                return
            version, promoted = await self._registry.register(tx, manifest, digest, run.run_id)
            await repository.succeed(run.run_id, version, self._clock())
            if promoted and manifest.model == SEGMENTATION:
                await self._segmentation.request(tx, version)
            await AuditTrail(tx).append(
                _TRAINER,
                "registry.model.promoted" if promoted else "registry.model.registered",
                resource=f"models/{manifest.model}/versions/{version}",
                details={"training_run": str(run.run_id), "artifact_sha256": digest},
            )
        self._registry.forget(tenant_id)
        _log.info("model registered", model=manifest.model, version=version, promoted=promoted)

    async def _request(
        self,
        repository: TrainingRunsRepository,
        outbox: Outbox,
        model: str,
        cause: str,
        seed: int,
        created_by: UUID | None,
    ) -> TrainingRunId | None:
        run_id = TrainingRunId(uuid7())
        stored = await repository.insert(
            run_id, model, cause=cause, seed=seed, created_by=created_by, created_at=self._clock()
        )
        if not stored:
            return None
        await outbox.record(TRAINING_REQUESTED, f"training:{model}", {"training_run_id": str(run_id)})
        return run_id

    async def _check_history(self, tenant_id: TenantId) -> None:
        customers = await self._customers.count_customers(tenant_id)
        if customers < MIN_CUSTOMERS:
            raise HistoryTooShort(customers, MIN_CUSTOMERS)

    async def _say(self, tenant_id: TenantId, run: TrainingRun, stage: str, progress_ratio: float) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            await TrainingRunsRepository(tx).progress(run.run_id, stage, progress_ratio)


def _overall(progress: TrainingProgress) -> float:
    return 0.05 + 0.9 * min(1.0, max(0.0, progress.progress_ratio))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
