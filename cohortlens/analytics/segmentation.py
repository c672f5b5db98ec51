"""Segment: single rows at once, or all customers as a run that is published when it is complete."""

from __future__ import annotations

import time
from uuid import UUID

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.columns import Assignments
from cohortlens.analytics.models import (
    SEGMENTATION_REQUESTED,
    ResourceMissing,
    Rows,
    SegmentationRun,
    StoredSegment,
    Subjects,
)
from cohortlens.analytics.ports import Features, InferenceClient, Scores
from cohortlens.analytics.predictions import check_schema
from cohortlens.analytics.runs import SegmentationRepository
from cohortlens.analytics.serving import serving
from cohortlens.analytics.subjects import CustomerData, rows_of
from cohortlens.analytics.work import DIED, run_to_end
from cohortlens.audit.trail import AuditTrail
from cohortlens.contracts.currency import minor_digits
from cohortlens.contracts.features import SCHEMA
from cohortlens.core import idempotency
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, FailedPrecondition, Internal
from cohortlens.core.ids import CustomerId, SegmentationRunId, TenantId, uuid7
from cohortlens.core.outbox import Outbox
from cohortlens.core.telemetry import get_logger
from cohortlens.customers.models import FeatureRows
from cohortlens.customers.usability import Activity
from cohortlens.registry.models import SEGMENTATION, ModelVersion
from cohortlens.registry.service import RegistryService

CHUNK_ROWS = 8192
MOST_RESTARTS = 20
"""Imports that may come in between one after another before a run gives up."""

_CHUNK_LIMIT_S = 60.0
_SINCE, _REPEATS, _SUM = (SCHEMA.index(name) for name in ("since", "x", "sum"))
_log = get_logger(__name__)


class DataChanging(FailedPrecondition):
    """Imports changed the data so often that no run over all customers came to its end."""

    reason = "DATA_CHANGING"

    def __init__(self, restarts: int) -> None:
        super().__init__(
            f"imports came in between {restarts} times; start a run when they are over",
            metadata={"restarts": str(restarts)},
        )


class SegmentationService:
    """Use cases of segments.

    Args:
        db: The database.
        customers: Gives features of customers.
        registry: Gives the active version.
        client: Runs it.
        clock: The time.
        chunk_rows: Customers of one step of a run.
    """

    def __init__(
        self,
        db: Database,
        customers: CustomerData,
        registry: RegistryService,
        client: InferenceClient,
        *,
        clock: Clock = now,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        self._db = db
        self._customers = customers
        self._registry = registry
        self._client = client
        self._clock = clock
        self._chunk_rows = chunk_rows

    async def segment(self, ctx: RequestContext, subjects: Subjects) -> Assignments:
        """The segment of each subject by the active version, in the order given; nothing is stored.

        Raises:
            As ``PredictionsService.predict``.
        """
        rows = await rows_of(ctx, subjects, self._customers, Activity.SEGMENTATION)
        version = await self._registry.active(ctx.tenant_id, SEGMENTATION)
        check_schema(version)
        return await self._assign(ctx.tenant_id, version, rows, ctx.deadline)

    async def score_matrix(
        self, ctx: RequestContext, matrix: Features, *, version: int | None = None
    ) -> tuple[Scores, ModelVersion]:
        """Assign rows of features to segments; nothing is stored.

        Args:
            ctx: The request.
            matrix: Shape (n, columns), float32, n >= 1, in schema order.
            version: A version that passed its gate; the active one when 0 or None.

        Returns:
            ``segment`` (index into the manifest's segments) and ``distance`` (standardised units), both of
            shape (n,), float64, and the version that made them.

        Raises:
            As ``PredictionsService.score_matrix``.
        """
        SCHEMA.check(matrix)
        found = await serving(self._registry, ctx.tenant_id, SEGMENTATION, version)
        check_schema(found)
        return await self._score(ctx.tenant_id, found, matrix, ctx.deadline), found

    async def start(self, ctx: RequestContext) -> SegmentationRun:
        """Store a run over all customers; a job does the work.

        Raises:
            NoActiveModel: No segmentation model is active.
        """
        version = await self._registry.active(ctx.tenant_id, SEGMENTATION)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            run_id = await self.request(tx, version.version)
            idempotency.made(run=str(run_id))
            run = await SegmentationRepository(tx).get(run_id)
            await AuditTrail(tx).append(
                ctx,
                "analytics.segmentation.requested",
                resource=f"segmentationRuns/{run_id}",
                details={"model_version": version.version},
            )
        assert run is not None
        return run

    async def cancel(self, ctx: RequestContext, run_id: UUID) -> SegmentationRun:
        """End a run that is not finished; one that has ended stays as it is.

        Raises:
            ResourceMissing: No such run.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = SegmentationRepository(tx)
            run = await repository.get(run_id, lock=True)
            if run is None:
                raise ResourceMissing("run")
            if await repository.cancel(run_id, self._clock()):
                await repository.drop_members(run)
                await AuditTrail(tx).append(
                    ctx, "analytics.segmentation.cancelled", resource=f"segmentationRuns/{run_id}"
                )
            idempotency.made(run=str(run_id))
            cancelled = await repository.get(run_id)
        assert cancelled is not None
        return cancelled

    async def request(self, tx: AsyncConnection, model_version: int) -> SegmentationRunId:
        """Store a run and its event in the caller's transaction."""
        run_id = SegmentationRunId(uuid7())
        await SegmentationRepository(tx).insert(run_id, model_version, self._clock())
        await Outbox(tx).record(SEGMENTATION_REQUESTED, "segmentation", {"run_id": str(run_id)})
        return run_id

    async def run(self, tenant_id: TenantId, run_id: UUID) -> None:
        """Do or resume a run; one that has ended, or is not there, is left alone.

        A chunk is committed with its cursor, so a repeated run goes on behind it.

        Raises:
            CohortLensError: A passing fault (no worker, no database); call again later.
        """
        await run_to_end(self._run(tenant_id, run_id), lambda fault: self.fail(tenant_id, run_id, fault))

    async def fail(self, tenant_id: TenantId, run_id: UUID, fault: CohortLensError = DIED) -> None:
        """End a run badly; one that has ended is left alone."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            await SegmentationRepository(tx).fail(run_id, fault.reason, fault.message, self._clock())

    async def _run(self, tenant_id: TenantId, run_id: UUID) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            run = await SegmentationRepository(tx).get(run_id)
        if run is None or run.state.is_final:
            return
        version = await self._registry.version(tenant_id, SEGMENTATION, run.model_version)
        check_schema(version)
        total, _ = await self._customers.count_customers(tenant_id, Activity.SEGMENTATION)
        while True:
            chunk = await self._customers.features_after(
                tenant_id,
                None if run.cursor is None else CustomerId(run.cursor),
                self._chunk_rows,
                Activity.SEGMENTATION,
            )
            if chunk is None:
                break
            following = await self._step(tenant_id, run, version, chunk, total)
            if following is None:
                return
            run = following
        await self._publish(tenant_id, run, version)

    async def _step(
        self,
        tenant_id: TenantId,
        run: SegmentationRun,
        version: ModelVersion,
        chunk: FeatureRows,
        total: int,
    ) -> SegmentationRun | None:
        """Assign one chunk and commit it with the cursor; None when the run has ended meanwhile."""
        rows = Rows(chunk.customer_ids, chunk.external_ids, chunk.matrix, chunk.as_of, chunk.currency)
        assignments = await self._assign(tenant_id, version, rows, time.monotonic() + _CHUNK_LIMIT_S)
        stored = _stored(assignments, chunk, 10 ** minor_digits(chunk.currency))
        async with self._db.tenant_transaction(tenant_id) as tx:
            repository = SegmentationRepository(tx)
            present = await repository.get(run.run_id, lock=True)
            if present is None or present.state.is_final:
                return None
            if present.cursor != run.cursor:
                # Another worker took the run over and is further: go on from there.
                return present
            if present.data_revision not in (None, chunk.data_revision):
                # An import came in between: half of the customers of one day, half of another, is no run.
                if present.restarts >= MOST_RESTARTS:
                    raise DataChanging(present.restarts)
                await repository.restart(present, chunk.data_revision)
                return await repository.get(run.run_id)
            await repository.advance(
                run,
                stored,
                total=total,
                as_of=chunk.as_of,
                currency=chunk.currency,
                data_revision=chunk.data_revision,
            )
            return await repository.get(run.run_id)

    async def _publish(self, tenant_id: TenantId, run: SegmentationRun, version: ModelVersion) -> None:
        segments = [(one.key, one.name, one.sentence) for one in version.manifest.segments]
        units = 10 ** minor_digits(run.currency or version.manifest.currency)
        async with self._db.tenant_transaction(tenant_id) as tx:
            repository = SegmentationRepository(tx)
            present = await repository.get(run.run_id, lock=True)
            if present is not None and not present.state.is_final:
                # Asked again here: who withdrew while the run went on is not published.
                await repository.drop_refused(present)
                await repository.publish(present, segments, minor_units=units, at=self._clock())
        _log.info("segmentation published", run_id=str(run.run_id), customers=run.customers)

    async def _score(
        self, tenant_id: TenantId, version: ModelVersion, matrix: Features, deadline: float
    ) -> Scores:
        manifest = version.manifest
        scores = await self._client.score(
            SEGMENTATION,
            version.artifact_digest,
            manifest.schema_hash,
            "",
            matrix,
            deadline=deadline,
            tenant=str(tenant_id),
        )
        segment = scores["segment"]
        if not ((segment >= 0) & (segment < len(manifest.segments))).all():
            raise Internal("a worker answered a segment that the model does not have", reason="WORKER_FAULT")
        if not np.isfinite(scores["distance"]).all():
            raise Internal("a worker answered a distance that is not finite", reason="WORKER_FAULT")
        return scores

    async def _assign(
        self, tenant_id: TenantId, version: ModelVersion, rows: Rows, deadline: float
    ) -> Assignments:
        scores = await self._score(tenant_id, version, rows.matrix, deadline)
        return Assignments(
            rows,
            version.manifest.schema_hash,
            version.version,
            version.manifest.segments,
            scores["segment"].astype(np.int64),
            scores["distance"],
        )


def _stored(assignments: Assignments, chunk: FeatureRows, minor_units: int) -> list[StoredSegment]:
    matrix = np.ascontiguousarray(chunk.matrix, "<f4")
    since, repeats, spend = (matrix[:, at].astype(np.float64) for at in (_SINCE, _REPEATS, _SUM))
    return [
        StoredSegment(
            assignment,
            matrix[row].tobytes(),
            float(since[row]),
            int(repeats[row]) + 1,
            round(float(spend[row]) * minor_units),
        )
        for row, assignment in enumerate(assignments)
    ]
