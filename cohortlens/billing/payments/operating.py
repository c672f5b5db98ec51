"""What the staff of the installation do with payments: look at events, follow one again, look at a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.billing.payments.event_types import RECONCILE
from cohortlens.billing.payments.inbox_rows import InboxRows
from cohortlens.billing.payments.notifications import ProviderEvent
from cohortlens.core import idempotency
from cohortlens.core.clock import now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, go_on_for
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.ids import PLATFORM_TENANT_ID, TenantId, plain_uuid, uuid7_text
from cohortlens.identity.tenancy.roles import missing
from cohortlens.identity.tenancy.tenant_rows import tenant_overviews


@dataclass(frozen=True)
class BillingEvent:
    """An event of the inbox, as the staff see it.

    Attributes:
        event_id: Identifier.
        type: Such as ``invoice.paid``.
        livemode: Whether it is about real money.
        api_version: In which shape it came.
        customer_id: Customer of the provider; empty while nobody is known.
        object_id: What it is about.
        tenant_id: Who pays as this customer; None for nobody.
        happened_at: When it happened.
        state: PENDING, DONE, IGNORED or DEAD.
        attempts: How often it was tried.
        next_try_at: When it is tried next; means nothing once it has ended.
        last_error: Why the last attempt failed; empty for none.
        received_at: When it came.
        ended_at: When it ended; None while it waits.
    """

    event_id: str
    type: str
    livemode: bool
    api_version: str
    customer_id: str
    object_id: str
    tenant_id: TenantId | None
    happened_at: datetime
    state: str
    attempts: int
    next_try_at: datetime
    last_error: str
    received_at: datetime
    ended_at: datetime | None


class BillingOperations:
    """The inbox for the staff of the platform; every call is in the platform's audit log.

    Args:
        db: Database as the runtime role.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(
        self,
        who: RequestContext | Actor,
        *,
        state: str = "",
        event_type: str = "",
        before: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> list[BillingEvent]:
        """Events, newest first; those of one state and type if they are named."""
        async with self._db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
            found = await _read(tx, state=state or None, type=event_type or None, before=before, limit=limit)
            await AuditTrail(tx).append(
                who, "platform.billing.listed", details={"state": state, "rows": len(found)}
            )
        return found

    async def replay(self, who: RequestContext | Actor, event_id: str, reason: str) -> BillingEvent:
        """Follow an event again, from its first attempt; one that a worker has ends as it does.

        Raises:
            NotFound: There is no such event.
        """
        async with self._db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
            known = await tx.scalar(text("SELECT app.billing_event_replay(:event)"), {"event": event_id})
            if not known:
                raise missing("event")
            idempotency.made(event=event_id)
            await AuditTrail(tx).append(
                who,
                "platform.billing.replayed",
                resource=f"billing/events/{event_id}",
                details={"reason": reason},
            )
            return (await _read(tx, event=event_id, limit=1))[0]

    async def event(self, event_id: str) -> BillingEvent:
        """An event that a call has worked on, for a repeat of a call whose answer was lost.

        Raises:
            NotFound: It is not there any more.
        """
        async with self._db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
            found = await _read(tx, event=event_id, limit=1)
        if not found:
            raise missing("event")
        return found[0]

    async def reconcile(self, who: RequestContext | Actor, tenant_id: UUID, reason: str) -> BillingEvent:
        """Have a tenant's subscription compared with the provider's now; answers the event that does it.

        Raises:
            NotFound: There is no such tenant.
            FailedPrecondition: SUBSCRIPTION_INACTIVE: nobody ever paid for it.
        """
        wanted = TenantId(tenant_id)
        async with self._db.tenant_transaction(wanted) as tx:
            if not await tenant_overviews(tx, tenant=wanted):
                raise missing("tenant")
            profile = (
                await tx.execute(
                    text(
                        "SELECT stripe_customer_id, livemode FROM billing_profiles WHERE tenant_id = :tenant"
                    ),
                    {"tenant": wanted},
                )
            ).one_or_none()
            if profile is None:
                raise FailedPrecondition(
                    "the tenant never began a checkout, so the payment provider knows nothing of it",
                    reason="SUBSCRIPTION_INACTIVE",
                )
            event = ProviderEvent(
                id=f"asked-{uuid7_text()}",
                type=RECONCILE,
                livemode=profile.livemode,
                api_version="",
                created_at=now(),
                customer_id=profile.stripe_customer_id,
                object_id="",
            )
            await InboxRows(tx).store(event)
            idempotency.made(event=event.id)
            trail, details = AuditTrail(tx), {"reason": reason}
            await trail.append(who, "platform.billing.reconciled", resource="subscription", details=details)
            await go_on_for(tx, PLATFORM_TENANT_ID)
            await trail.append(
                who, "platform.billing.reconciled", resource=f"tenants/{wanted}", details=details
            )
            return (await _read(tx, event=event.id, limit=1))[0]


async def _read(
    tx: AsyncConnection,
    *,
    event: str | None = None,
    state: str | None = None,
    type: str | None = None,  # noqa: A002 - the column's name
    before: tuple[datetime, str] | None = None,
    limit: int,
) -> list[BillingEvent]:
    at, last = before or (None, None)
    rows = await tx.execute(
        text(
            "SELECT * FROM app.billing_events(CAST(:event AS text), CAST(:state AS text),"
            " CAST(:type AS text), CAST(:at AS timestamptz), CAST(:last AS text), :limit)"
        ),
        {"event": event, "state": state, "type": type, "at": at, "last": last, "limit": limit},
    )
    return [_event(row) for row in rows]


def _event(row: Row[Any]) -> BillingEvent:
    values = dict(row._mapping)
    tenant = values.pop("tenant_id")
    return BillingEvent(**values, tenant_id=None if tenant is None else TenantId(plain_uuid(tenant)))
