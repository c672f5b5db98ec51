"""What jobs do for quota and usage: hours, notices, leases of dead processes, and the sum that must hold."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from cohortlens.billing.notices import tell
from cohortlens.billing.usage.leases import LeaseRows
from cohortlens.billing.usage.mails import QUOTA_NEAR, QUOTA_REACHED
from cohortlens.billing.usage.models import API_CALLS
from cohortlens.core.counting import Counter, Gauge
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.core.mail import MailSealer
from cohortlens.core.telemetry import REGISTRY, get_logger
from cohortlens.identity.models import ROLE_SCOPES

FORFEIT_AFTER_S = 300.0
KEEP_DAYS = 90
"""Days for which the leases of a period that ended, and the numbers of spools, are kept."""
_FOLDED_AT_ONCE = 2_000
_NOTICES_AT_ONCE = 200
_ALL = 100
_TOLD_ROLES = tuple(role for role, scopes in ROLE_SCOPES.items() if "billing.write" in scopes)
_DRIFT = Gauge(
    "quota_drift_periods",
    "Periods whose reserved units are not the sum of their leases; always 0",
    (),
    registry=REGISTRY,
)
_FORFEITED = Counter(
    "quota_leases_forfeited_total",
    "Leases whose process died and never gave them back",
    (),
    registry=REGISTRY,
)
_NOTICE = text(
    """
INSERT INTO quota_notices (tenant_id, meter, period_start, level)
VALUES (app.tid(), :meter, :start, :level) ON CONFLICT DO NOTHING RETURNING level
"""
)
_LOG = get_logger(__name__)


class UsageUpkeep:
    """Upkeep of quota and usage; each act may run at any time and in several processes.

    Args:
        db: Database as the role of jobs.
        sealer: Seals mails.
    """

    def __init__(self, db: Database, sealer: MailSealer) -> None:
        self._db = db
        self._sealer = sealer

    async def fold(self) -> int:
        """Add stored events to their hours and totals; answers how many batches of events."""
        folded = 0
        while True:
            async with self._db.transaction() as tx:
                found = await tx.scalar(text("SELECT app.usage_fold(:limit)"), {"limit": _FOLDED_AT_ONCE})
            folded += int(found or 0)
            if int(found or 0) < _FOLDED_AT_ONCE:
                return folded

    async def forfeit(self) -> int:
        """Close the leases of processes that died; answers how many."""
        async with self._db.transaction() as tx:
            found = await tx.scalar(text("SELECT app.quota_forfeit(:grace)"), {"grace": FORFEIT_AFTER_S})
        _FORFEITED.labels().inc(int(found or 0))
        return int(found or 0)

    async def check(self) -> int:
        """Compare what is reserved with the leases; answers how many periods differ, and logs each."""
        async with self._db.transaction() as tx:
            found = (await tx.execute(text("SELECT * FROM app.quota_drift()"))).all()
        _DRIFT.labels().set(len(found))
        for row in found:
            _LOG.error(
                "quota_drift",
                tenant=str(row.tenant_id),
                meter=row.meter,
                period_start=row.period_start.isoformat(),
                reserved=row.reserved,
                leased=row.leased,
            )
        return len(found)

    async def tidy(self) -> int:
        """Forget leases of periods that ended long ago; answers how many rows."""
        async with self._db.transaction() as tx:
            return int(await tx.scalar(text("SELECT app.usage_tidy(:days)"), {"days": KEEP_DAYS}) or 0)

    async def notify(self) -> int:
        """Tell owners and admins of quotas that reached 80 or 100 %, once each; answers how many notices."""
        async with self._db.transaction() as tx:
            due = (
                await tx.execute(
                    text("SELECT * FROM app.quota_notices_due(:limit)"), {"limit": _NOTICES_AT_ONCE}
                )
            ).all()
        return sum([await self._told(TenantId(plain_uuid(row.tenant_id)), row) for row in due])

    async def _told(self, tenant_id: TenantId, due: Any) -> int:
        async with self._db.tenant_transaction(tenant_id) as tx:
            values = {"meter": due.meter, "start": due.period_start, "level": due.level}
            if await tx.scalar(_NOTICE, values) is None:
                return 0
            now = await LeaseRows(tx, API_CALLS, "").current()
            if now.period_start != due.period_start:
                return 0
            told = {
                "reserved": f"{now.reserved:,}",
                "limit": f"{now.limit:,}",
                "resets_at": f"{now.period_end:%Y-%m-%d %H:%M}",
            }
            template = QUOTA_REACHED if due.level == _ALL else QUOTA_NEAR
            await tell(tx, tenant_id, self._sealer, template, told, _TOLD_ROLES)
        return 1
