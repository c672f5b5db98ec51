"""Training as a job: take the snapshot, let the workers train, register what they made."""

from __future__ import annotations

import asyncio
import io
import time
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cohortlens.analytics.models import AsOfInFuture, HistoryTooShort
from cohortlens.analytics.ports import InferenceClient, TrainingOrder, TrainingProgress, TrainingResult
from cohortlens.analytics.segmentation import SegmentationService
from cohortlens.analytics.subjects import CustomerData
from cohortlens.analytics.training_runs import TrainingRun, TrainingRunsRepository
from cohortlens.analytics.warmup import ModelWarmup
from cohortlens.analytics.work import DIED, run_to_end
from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.manifest import ModelManifest
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, Internal
from cohortlens.core.ids import TenantId
from cohortlens.core.telemetry import get_logger
from cohortlens.customers.usability import Activity
from cohortlens.registry.models import MODELS, PREDICTION, SEGMENTATION, NoActiveModel, Outcome
from cohortlens.registry.service import RegistryService

MIN_CUSTOMERS = 30
"""Fewest customers that a training starts with by itself, and that segments are made of."""

LEAST_CUSTOMERS = {SEGMENTATION: MIN_CUSTOMERS, PREDICTION: 1}
"""Fewest customers of each model: a prediction can always rest on the mean of all there are."""

LIMIT_S = 1800.0
"""Seconds a run may take over all its attempts."""

TRAINER = Actor("job", "training")
"""Who starts trainings and promotes versions when nobody asked."""

_LOAD_LIMIT_S = 60.0
_SAY_EVERY_S = 0.5
_LOOK_EVERY_S = 1.0
_ACTIONS = {
    Outcome.PROMOTED: "registry.model.promoted",
    Outcome.CHALLENGER: "registry.challenger.set",
    Outcome.REJECTED: "registry.model.rejected",
    Outcome.KEPT: "registry.model.registered",
}
_EPOCH = date(1970, 1, 1)
_log = get_logger(__name__)


class TrainingWork:
    """Does training runs.

    Args:
        db: The database.
        customers: Gives snapshots.
        registry: Registers and promotes.
        client: Trains, and loads versions on replicas.
        segmentation: Starts a run when a segmentation version was promoted.
        artifacts: Where snapshots and versions lie.
        clock: The time.
        limit_s: Seconds a run may take over all its attempts.
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
        limit_s: float = LIMIT_S,
    ) -> None:
        self._db = db
        self._customers = customers
        self._registry = registry
        self._client = client
        self._warmup = ModelWarmup(client)
        self._segmentation = segmentation
        self._artifacts = artifacts
        self._clock = clock
        self._limit_s = limit_s

    async def run(self, tenant_id: TenantId, run_id: UUID) -> None:
        """Do or resume a run; one that has ended, or is not there, is left alone.

        Each stage stores what it made, so a repeated run goes on behind it and registers once. A run that is
        cancelled meanwhile is given up within seconds; nothing of it is registered.

        Raises:
            CohortLensError: A passing fault (no worker, no database); call again later.
        """
        with suppress(_EndedMeanwhile):
            await run_to_end(self._run(tenant_id, run_id), lambda fault: self.fail(tenant_id, run_id, fault))

    async def fail(self, tenant_id: TenantId, run_id: UUID, fault: CohortLensError = DIED) -> None:
        """End a run badly; one that has ended is left alone."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            await TrainingRunsRepository(tx).fail(run_id, fault.reason, fault.message, self._clock())

    async def trainable(self, tenant_id: TenantId, model: str) -> tuple[str, ...]:
        """The models that there are enough customers for who may be trained on.

        Args:
            tenant_id: Whose customers.
            model: The one that is wanted, or empty for all that can be had.

        Raises:
            HistoryTooShort: There are fewer customers than the model needs, or than any model does.
        """
        customers, _ = await self._customers.count_customers(tenant_id, Activity.TRAINING)
        wanted = (model,) if model else MODELS
        found = tuple(one for one in wanted if customers >= LEAST_CUSTOMERS[one])
        if not found:
            raise HistoryTooShort(customers, min(LEAST_CUSTOMERS[one] for one in wanted))
        return found

    async def _run(self, tenant_id: TenantId, run_id: UUID) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            repository = TrainingRunsRepository(tx)
            await repository.begin(run_id, self._clock())
            run = await repository.get(run_id)
        if run is None or run.state.is_final:
            return
        if run.artifact_digest is None:
            run = await self._with_snapshot(tenant_id, run)
            result = await self._trained(tenant_id, run)
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

    async def _with_snapshot(self, tenant_id: TenantId, run: TrainingRun) -> TrainingRun:
        """The run with its stored snapshot, taken now if this is the first attempt."""
        if run.snapshot_digest is not None:
            return run
        await self._say(tenant_id, run, "snapshot", 0.0)
        await self.trainable(tenant_id, run.model)
        # Read before the data: what comes in between counts as new to the next training.
        revision = (await self._customers.data_state(tenant_id)).revision
        taken = await self._customers.training_snapshot(tenant_id)
        table, as_of, currency = taken.table, taken.as_of, taken.currency
        if run.wanted_as_of is not None:
            if run.wanted_as_of > as_of:
                raise AsOfInFuture(run.wanted_as_of, as_of)
            as_of = run.wanted_as_of
            table = await asyncio.to_thread(_until, table, (as_of - _EPOCH).days)
        digest = await asyncio.to_thread(lambda: self._artifacts.put_bytes(_parquet(table)))
        champion = await self._champion(tenant_id, run.model)
        async with self._db.tenant_transaction(tenant_id) as tx:
            await TrainingRunsRepository(tx).set_snapshot(
                run.run_id,
                digest,
                purchase_days=table.num_rows,
                as_of=as_of,
                currency=currency,
                champion=champion,
                data_revision=revision,
                excluded_no_consent=taken.excluded_no_consent,
                consent_version=taken.consent_version,
            )
        version, champion_digest = champion or (None, None)
        return replace(
            run,
            snapshot_digest=digest,
            as_of=as_of,
            currency=currency,
            champion_version=version,
            champion_digest=champion_digest,
        )

    async def _champion(self, tenant_id: TenantId, model: str) -> tuple[int, str] | None:
        # Not what this process remembers: another one may have promoted a moment ago.
        self._registry.forget(tenant_id)
        try:
            active = await self._registry.active(tenant_id, model)
        except NoActiveModel:
            return None
        return active.version, active.artifact_digest

    async def _trained(self, tenant_id: TenantId, run: TrainingRun) -> TrainingResult:
        """What the workers made, unless the run is ended by somebody or takes too long."""
        work = asyncio.create_task(self._train(tenant_id, run))
        watch = asyncio.create_task(self._until_ended(tenant_id, run.run_id))
        try:
            await asyncio.wait({work, watch}, timeout=self._left_s(run), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if watch.done():
                raise _EndedMeanwhile
            raise Internal("the training took too long", reason="TRAINING_TIMEOUT")
        finally:
            # Whoever stops listening ends the training in the workers.
            for task in (work, watch):
                task.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)

    def _left_s(self, run: TrainingRun) -> float:
        spent = timedelta(0) if run.started_at is None else self._clock() - run.started_at
        return max(0.0, self._limit_s - spent.total_seconds())

    async def _until_ended(self, tenant_id: TenantId, run_id: UUID) -> None:
        """Return when the run is not open any more, whoever ended it."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            with suppress(CohortLensError, OSError):
                async with self._db.tenant_transaction(tenant_id) as tx:
                    run = await TrainingRunsRepository(tx).get(run_id)
                if run is None or run.state.is_final:
                    return

    async def _train(self, tenant_id: TenantId, run: TrainingRun) -> TrainingResult:
        said, stage, result = 0.0, "", None
        async for progress in self._client.train(_order(run)):
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
            if present is None or present.state.is_final:
                return
            made = await self._registry.register(tx, manifest, digest, run.run_id, run.champion_digest)
            await repository.succeed(run.run_id, made.version, made.outcome, self._clock())
            if made.outcome is Outcome.PROMOTED and manifest.model == SEGMENTATION:
                await self._segmentation.request(tx, made.version)
            await AuditTrail(tx).append(
                TRAINER,
                _ACTIONS[made.outcome],
                resource=f"models/{manifest.model}/versions/{made.version}",
                details={"training_run": str(run.run_id), "artifact_sha256": digest, "cause": run.cause},
            )
        self._registry.forget(tenant_id)
        _log.info("model registered", model=manifest.model, version=made.version, outcome=made.outcome)

    async def _say(self, tenant_id: TenantId, run: TrainingRun, stage: str, progress_ratio: float) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            if not await TrainingRunsRepository(tx).progress(run.run_id, stage, progress_ratio):
                raise _EndedMeanwhile


class _EndedMeanwhile(Exception):
    """The run is not open any more."""


def _order(run: TrainingRun) -> TrainingOrder:
    assert run.snapshot_digest is not None
    assert run.as_of is not None
    assert run.currency is not None
    return TrainingOrder(
        model=run.model,
        snapshot_digest=run.snapshot_digest,
        as_of=run.as_of,
        currency=run.currency,
        seed=run.seed,
        champion_digest=run.champion_digest or "",
        cause=run.cause.value,
        run=str(run.run_id),
        segments=run.segments,
    )


def _overall(progress: TrainingProgress) -> float:
    return 0.05 + 0.9 * min(1.0, max(0.0, progress.progress_ratio))


def _until(table: pa.Table, last_day: int) -> pa.Table:
    """What was known of the purchase-days by the end of a day; customers numbered anew, without gaps."""
    kept = table.filter(pc.less_equal(table["day"], last_day))
    if "known" in kept.column_names:
        kept = kept.filter(pc.less_equal(kept["known"], last_day))
    customers = kept["customer"].to_numpy()
    numbered = np.unique(customers, return_inverse=True)[1].astype(customers.dtype)
    return kept.set_column(kept.column_names.index("customer"), "customer", pa.array(numbered))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
