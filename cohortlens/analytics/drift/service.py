"""The calls of drift reports: request one, look, list; and those that the schedule and imports request."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.drift.models import (
    DRIFT_REQUESTED,
    MAX_WAITING,
    BaselineMissing,
    DaysInvalid,
    DriftCause,
    DriftConvention,
    DriftQueueFull,
    DriftReport,
)
from cohortlens.analytics.drift.repository import DriftRepository
from cohortlens.analytics.models import ResourceMissing
from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.contracts.baseline import BASELINE_FILE
from cohortlens.core import idempotency
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.core.outbox import Outbox
from cohortlens.registry.models import MODELS, PREDICTION, ModelVersion, NoActiveModel
from cohortlens.registry.service import RegistryService

_WATCHER = Actor("job", "drift")


class DriftService:
    """Use cases of drift reports; the work itself is ``work.py``.

    Args:
        db: The database.
        registry: Gives the active version.
        clock: The time.
    """

    def __init__(self, db: Database, registry: RegistryService, *, clock: Clock = now) -> None:
        self._db = db
        self._registry = registry
        self._clock = clock

    async def start(
        self,
        ctx: RequestContext,
        model: str = "",
        *,
        reference_as_of: date | None = None,
        as_of: date | None = None,
        convention: DriftConvention = DriftConvention.COHORTLENS,
    ) -> DriftReport:
        """Store a report on the version that is active now; a job does the work.

        Args:
            ctx: The request.
            model: ``prediction`` when empty, or ``segmentation``.
            reference_as_of: Day whose customers are the reference; None for the baseline of the version.
            as_of: Day whose customers are compared; None for the last day of data.
            convention: Whose rules decide.

        Raises:
            NoActiveModel: Nothing is trained yet.
            BaselineMissing: The version keeps no baseline and no day was given.
            DaysInvalid: A day in the future, or a reference that is not before ``as_of``.
            DriftQueueFull: Too many reports wait.
        """
        self._check_days(reference_as_of, as_of)
        version = await self._registry.active(ctx.tenant_id, model or PREDICTION)
        if reference_as_of is None and not _has_baseline(version):
            raise BaselineMissing(version.model, version.version)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = DriftRepository(tx)
            if await repository.count_unfinished() >= MAX_WAITING:
                raise DriftQueueFull
            report_id = await self._request(
                tx,
                version,
                DriftCause.REQUESTED,
                convention=convention,
                reference_as_of=reference_as_of,
                as_of=as_of,
                created_by=ctx.caller.id,
            )
            idempotency.made(drift_report=str(report_id))
            await AuditTrail(tx).append(
                ctx,
                "analytics.drift.requested",
                resource=f"driftReports/{report_id}",
                details={"model": version.model, "model_version": version.version},
            )
            stored = await repository.get(report_id)
        assert stored is not None
        return stored

    async def start_due(self, tenant_id: TenantId, cause: DriftCause, not_within: timedelta) -> int:
        """Request a report on each active version that keeps a baseline and was not looked at lately.

        Args:
            tenant_id: The tenant.
            cause: SCHEDULE or IMPORT.
            not_within: A version with a report younger than this is left out, and one whose report waits.

        Returns:
            How many were requested.
        """
        started = 0
        for model in MODELS:
            try:
                version = await self._registry.active(tenant_id, model)
            except NoActiveModel:
                continue
            if not _has_baseline(version):
                continue
            async with self._db.tenant_transaction(tenant_id) as tx:
                since = self._clock() - not_within
                if await DriftRepository(tx).has_since(model, version.version, since):
                    continue
                report_id = await self._request(tx, version, cause)
                await AuditTrail(tx).append(
                    _WATCHER,
                    "analytics.drift.requested",
                    resource=f"driftReports/{report_id}",
                    details={"model": model, "model_version": version.version, "cause": cause.value},
                )
            started += 1
        return started

    async def get(self, ctx: RequestContext, report_id: UUID) -> DriftReport:
        """One report with its columns.

        Raises:
            ResourceMissing: No such report.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            repository = DriftRepository(tx)
            found = await repository.get(report_id)
            if found is None:
                raise ResourceMissing("drift_report")
            return replace(found, columns=await repository.columns(report_id))

    async def page(
        self, ctx: RequestContext, model: str, before: UUID | None, limit: int
    ) -> list[DriftReport]:
        """Reports requested before ``before``, newest first, of one model or of both when empty."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await DriftRepository(tx).page(model, before, limit)

    async def _request(
        self,
        tx: AsyncConnection,
        version: ModelVersion,
        cause: DriftCause,
        *,
        convention: DriftConvention = DriftConvention.COHORTLENS,
        reference_as_of: date | None = None,
        as_of: date | None = None,
        created_by: UUID | None = None,
    ) -> UUID:
        report_id = uuid7()
        await DriftRepository(tx).insert(
            report_id,
            cause=cause,
            model=version.model,
            version=version.version,
            convention=convention,
            reference_as_of=reference_as_of,
            as_of=as_of,
            created_by=created_by,
            at=self._clock(),
        )
        # One key for all of a tenant's reports: they run one after another, whoever asked.
        await Outbox(tx).record(DRIFT_REQUESTED, "drift", {"drift_report_id": str(report_id)})
        return report_id

    def _check_days(self, reference_as_of: date | None, as_of: date | None) -> None:
        # A zone may be a day ahead of UTC.
        latest = self._clock().date() + timedelta(days=1)
        for field, day in (("reference_as_of", reference_as_of), ("as_of", as_of)):
            if day is not None and day > latest:
                raise DaysInvalid(field, f"{day} is in the future", reason="AS_OF_IN_FUTURE")
        if reference_as_of is not None and as_of is not None and reference_as_of >= as_of:
            raise DaysInvalid("reference_as_of", f"must be before as_of, {as_of}")


def _has_baseline(version: ModelVersion) -> bool:
    return BASELINE_FILE in version.manifest.files
