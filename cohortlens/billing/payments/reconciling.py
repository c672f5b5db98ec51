"""What heals the loss of events: the provider is asked what happened, and about every customer daily."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text

from cohortlens.audit.trail import AuditTrail
from cohortlens.billing.entitlements.rows import EntitlementRows
from cohortlens.billing.models import Access
from cohortlens.billing.payments.alarms import DEAD, EVENTS, OLDEST, WAITING
from cohortlens.billing.payments.event_types import PROVIDER_TYPES
from cohortlens.billing.payments.inbox_rows import InboxRows
from cohortlens.billing.payments.notifications import ProviderEvent
from cohortlens.billing.payments.ports import ProviderReads
from cohortlens.billing.payments.projecting import WHO
from cohortlens.billing.payments.rows import PaymentRows, overdue
from cohortlens.billing.payments.telling import Telling
from cohortlens.core.clock import now
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId
from cohortlens.core.mail import MailSealer
from cohortlens.core.telemetry import get_logger

KEEP_S = 30 * 86_400.0
_OVERLAP = timedelta(hours=1)
_FIRST = timedelta(days=3)
_SPREAD_S = 3_600.0
_TOGETHER = 100
_LOG = get_logger(__name__)


class Reconciling:
    """Keeps what is stored true, whatever notifications were lost; safe in several processes at once.

    Args:
        db: Database as the role of jobs.
        provider: The payment provider.
        sealer: Seals mails.
        grace: How long an unpaid invoice changes nothing.
    """

    def __init__(self, db: Database, provider: ProviderReads, sealer: MailSealer, grace: timedelta) -> None:
        self._db, self._provider, self._sealer, self._grace = db, provider, sealer, grace

    async def list_missed(self) -> int:
        """Store the events of the last hour, or since the last listing, that were never received.

        Raises:
            PaymentProviderUnavailable: The provider cannot be reached; the next run begins at the same place.
        """
        began = now()
        since = await self._listed_until(began)
        missed, together = 0, list[ProviderEvent]()
        async for event in self._provider.events_since(since - _OVERLAP, PROVIDER_TYPES):
            together.append(event)
            if len(together) == _TOGETHER:
                missed += await self._store(together)
                together = []
        missed += await self._store(together)
        async with self._db.transaction() as tx:
            await tx.execute(
                text(
                    "INSERT INTO stripe_cursors (livemode, listed_until) VALUES (:livemode, :until)"
                    " ON CONFLICT (livemode) DO UPDATE"
                    " SET listed_until = greatest(stripe_cursors.listed_until, EXCLUDED.listed_until)"
                ),
                {"livemode": self._provider.livemode, "until": began},
            )
        if missed:
            EVENTS.labels("missed").inc(missed)
            _LOG.warning("billing_events_missed", count=missed)
        return missed

    async def ask_all(self) -> int:
        """Have every customer looked at once a day, spread over an hour; answers how many were asked for."""
        async with self._db.transaction() as tx:
            return int(
                await tx.scalar(
                    text("SELECT app.billing_ask_all(:livemode, :day, :spread)"),
                    {
                        "livemode": self._provider.livemode,
                        "day": f"{now():%Y-%m-%d}",
                        "spread": _SPREAD_S,
                    },
                )
                or 0
            )

    async def _listed_until(self, now: datetime) -> datetime:
        async with self._db.transaction() as tx:
            found: datetime | None = await tx.scalar(
                text("SELECT listed_until FROM stripe_cursors WHERE livemode = :livemode"),
                {"livemode": self._provider.livemode},
            )
        return found or now - _FIRST

    async def _store(self, events: list[ProviderEvent]) -> int:
        stored = 0
        async with self._db.transaction() as tx:
            inbox = InboxRows(tx)
            # In one order everywhere: two processes that list the same events do not wait crosswise.
            for event in sorted(events, key=lambda one: one.id):
                stored += await inbox.store(event)
        return stored


class Grace:
    """Ends the grace of unpaid invoices when it is over, without an event of the provider.

    Args:
        db: Database as the role of jobs.
        sealer: Seals mails.
        grace: How long an unpaid invoice changes nothing.
    """

    def __init__(self, db: Database, sealer: MailSealer, grace: timedelta) -> None:
        self._db, self._sealer, self._grace = db, sealer, grace

    async def end_due(self) -> int:
        """Let tenants only read whose invoice is unpaid for too long; answers how many."""
        async with self._db.transaction() as tx:
            found = await overdue(tx, self._grace.total_seconds())
        return sum([await self._end(tenant_id) for tenant_id in found])

    async def _end(self, tenant_id: TenantId) -> bool:
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = PaymentRows(tx, tenant_id)
            record = await rows.subscription(lock=True)
            # Again, behind the lock: it may have been paid meanwhile.
            if record is None or record.past_due_since is None or record.access != Access.FULL.value:
                return False
            if now() - record.past_due_since < self._grace or not record.plan_id:
                return False
            await rows.put_access(Access.READ_ONLY.value)
            await EntitlementRows(tx).project(
                tenant_id, record.plan_id, Access.READ_ONLY, record.anchor, plan_version=record.plan_version
            )
            await Telling(tx, tenant_id, self._sealer, self._grace).read_only(record)
            await AuditTrail(tx).append(
                WHO,
                "billing.subscription.changed",
                resource="subscription",
                details={"status": record.status, "plan": record.plan_id, "access": Access.READ_ONLY.value},
            )
        return True


async def watch_inbox(db: Database) -> int:
    """Set the metrics of the inbox; answers how many events wait."""
    async with db.transaction() as tx:
        waiting, dead, age_s = await InboxRows(tx).figures()
    WAITING.labels().set(waiting)
    DEAD.labels().set(dead)
    OLDEST.labels().set(age_s)
    return waiting


async def purge_events(db: Database) -> int:
    """Drop events that ended well 30 days ago; dead ones stay until they are replayed."""
    async with db.transaction() as tx:
        return await InboxRows(tx).purge(KEEP_S)
