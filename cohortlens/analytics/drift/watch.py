"""Drift reports that nobody asks for: once a day, after imports; and what operators see of all of them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from cohortlens.analytics.drift.models import RETENTION, DriftCause
from cohortlens.analytics.drift.service import DriftService
from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.models import Access
from cohortlens.core.clock import Clock, now
from cohortlens.core.counting import Gauge
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.core.telemetry import REGISTRY, get_logger

FEATURE = "drift"
"""Feature of plans."""

EVERY_S = 86_400.0
IMPORT_SHARE = 0.01
"""Share of all rows that an import must have added to be looked at by itself."""

_PAGE = 200
_NOBODY = UUID(int=0)
_SHARE = """
SELECT coalesce(sum(rows_accepted) FILTER (WHERE id = :import) / nullif(sum(rows_accepted), 0), 0)
FROM imports WHERE tenant_id = app.tid() AND state = 'SUCCEEDED'
"""
_DELETE = "DELETE FROM drift_reports WHERE tenant_id = app.tid() AND id = :id"
_PSI = Gauge(
    "drift_psi",
    "Largest population stability index of a column in the last reports of active versions",
    ("model", "column"),
    registry=REGISTRY,
)
_VERDICT = Gauge(
    "drift_report_verdict",
    "Active versions whose last report has this verdict",
    ("model", "verdict"),
    registry=REGISTRY,
)
_log = get_logger(__name__)


class DriftWatch:
    """Starts reports by the clock and after imports, keeps the metrics, forgets old reports.

    Args:
        db: The database; as the role of jobs for all but ``after_import``.
        service: Stores reports.
        entitlements: What each tenant may do.
        every_s: Seconds between the reports of a version; 0 for none by the clock.
        clock: The time.
    """

    def __init__(
        self,
        db: Database,
        service: DriftService,
        entitlements: Entitlements,
        *,
        every_s: float = EVERY_S,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._service = service
        self._entitlements = entitlements
        self._every_s = every_s
        self._clock = clock
        self._shown: tuple[set[tuple[str, str]], set[tuple[str, str]]] = (set(), set())

    async def run_schedule(self) -> int:
        """Request a report on every active version that had none for so long; answers how many."""
        if self._every_s <= 0:
            return 0
        every = timedelta(seconds=self._every_s)
        before, after, started = self._clock() - every, _NOBODY, 0
        while True:
            async with self._db.transaction() as tx:
                rows = await tx.scalars(
                    text("SELECT app.drift_due(:before, :after, :limit)"),
                    {"before": before, "after": after, "limit": _PAGE},
                )
                due = [TenantId(plain_uuid(value)) for value in rows]
            for tenant_id in due:
                if await self._may_watch(tenant_id):
                    started += await self._service.start_due(tenant_id, DriftCause.SCHEDULE, every)
            if len(due) < _PAGE:
                return started
            after = due[-1]

    async def after_import(self, tenant_id: TenantId, import_id: UUID) -> int:
        """Request reports when an import added over 1 % of the rows; answers how many."""
        if not await self._may_watch(tenant_id):
            return 0
        async with self._db.tenant_transaction(tenant_id) as tx:
            share = float(await tx.scalar(text(_SHARE), {"import": import_id}) or 0.0)
        if share <= IMPORT_SHARE:
            return 0
        return await self._service.start_due(tenant_id, DriftCause.IMPORT, timedelta(0))

    async def show(self) -> int:
        """Set the metrics to what the last reports say; answers how many versions ask to act."""
        async with self._db.transaction() as tx:
            verdicts = (await tx.execute(text("SELECT * FROM app.drift_figures()"))).all()
            columns = (await tx.execute(text("SELECT * FROM app.drift_column_figures()"))).all()
        said = {(row.model, row.verdict): float(row.tenants) for row in verdicts}
        far = {(row.model, row.name): float(row.psi) for row in columns}
        for gauge, now_known, before in ((_VERDICT, said, self._shown[0]), (_PSI, far, self._shown[1])):
            for gone in before - now_known.keys():
                gauge.labels(*gone).set(0.0)
            for key, value in now_known.items():
                gauge.labels(*key).set(value)
        self._shown = (self._shown[0] | said.keys(), self._shown[1] | far.keys())
        return int(sum(count for (_, verdict), count in said.items() if verdict == "ACT"))

    async def drop_old(self) -> int:
        """Delete reports that are older than they are kept; answers how many."""
        dropped = 0
        while True:
            async with self._db.transaction() as tx:
                old = (
                    await tx.execute(
                        text("SELECT * FROM app.drift_old(:before, :limit)"),
                        {"before": self._clock() - RETENTION, "limit": _PAGE},
                    )
                ).all()
            for row in old:
                async with self._db.tenant_transaction(plain_uuid(row.tenant_id)) as tx:
                    await tx.execute(text(_DELETE), {"id": row.id})
            dropped += len(old)
            if len(old) < _PAGE:
                return dropped

    async def _may_watch(self, tenant_id: TenantId) -> bool:
        found = await self._entitlements.of(tenant_id)
        return FEATURE in found.features and found.access is Access.FULL
