"""The tenants of the installation as its staff see them: list, suspend, resume."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, go_on_for, retried
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.ids import PLATFORM_TENANT_ID, TenantId
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.tenancy.roles import missing
from cohortlens.identity.tenancy.tenant_rows import TenantOverview, TenantRows, tenant_overviews


@dataclass(frozen=True)
class _Change:
    """From which status to which, and how the audit logs call it."""

    source: str
    target: str
    verb: str


_SUSPEND = _Change("ACTIVE", "SUSPENDED", "suspended")
_RESUME = _Change("SUSPENDED", "ACTIVE", "resumed")


class PlatformService:
    """What the staff of the platform do with tenants; every call is in the platform's audit log.

    Args:
        db: Database as the runtime role.
        revocations: Told when a tenant may not call any more.
    """

    def __init__(self, db: Database, revocations: Revocations) -> None:
        self._db = db
        self._revocations = revocations

    async def page(
        self, ctx: RequestContext, status: str, after: UUID | None, limit: int
    ) -> list[TenantOverview]:
        """Tenants behind one, oldest first; those of one status if it is named."""
        async with self._db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
            found = await tenant_overviews(tx, status=status, after=after, limit=limit)
            await AuditTrail(tx).append(
                ctx, "platform.tenant.listed", details={"status": status, "rows": len(found)}
            )
        return found

    async def suspend(self, ctx: RequestContext, tenant_id: UUID, reason: str) -> TenantOverview:
        """Refuse the calls of a tenant from now on; a suspended one stays so.

        Raises:
            NotFound: There is no such tenant.
            FailedPrecondition: TENANT_NOT_ACTIVE: it is being deleted.
        """
        return await self._changed(ctx, tenant_id, reason, _SUSPEND)

    async def resume(self, ctx: RequestContext, tenant_id: UUID, reason: str) -> TenantOverview:
        """Let a suspended tenant call again; an active one stays so.

        Raises:
            NotFound: There is no such tenant.
            FailedPrecondition: TENANT_NOT_ACTIVE: it is being deleted.
        """
        return await self._changed(ctx, tenant_id, reason, _RESUME)

    async def _changed(
        self, ctx: RequestContext, tenant_id: UUID, reason: str, change: _Change
    ) -> TenantOverview:
        done = await retried(lambda: self._change(ctx, TenantId(tenant_id), reason, change))
        await self._revocations.publish()
        return done

    async def _change(
        self, ctx: RequestContext, tenant_id: TenantId, reason: str, change: _Change
    ) -> TenantOverview:
        async with self._db.tenant_transaction(tenant_id) as tx:
            if not await tenant_overviews(tx, tenant=tenant_id):
                raise missing("tenant")
            await _set(tx, ctx, tenant_id, reason, change)
            return (await tenant_overviews(tx, tenant=tenant_id))[0]


async def suspend_in(tx: AsyncConnection, who: Actor, tenant_id: TenantId, reason: str) -> bool:
    """Suspend the tenant of a transaction as part of it; False when it is not active.

    Args:
        tx: A connection inside ``Database.tenant_transaction`` of the tenant; it stays bound to it.
        who: Who did it.
        tenant_id: The tenant.
        reason: Why, for both audit logs.
    """
    found = await TenantRows(tx, tenant_id).get(lock=True)
    if found is None or found.status != _SUSPEND.source:
        return False
    await _set(tx, who, tenant_id, reason, _SUSPEND)
    await go_on_for(tx, tenant_id)
    return True


async def _set(
    tx: AsyncConnection, who: RequestContext | Actor, tenant_id: TenantId, reason: str, change: _Change
) -> None:
    """Change the status of a tenant; the transaction is bound to the platform afterwards."""
    rows = TenantRows(tx, tenant_id)
    before = await rows.get(lock=True)
    assert before is not None
    if before.status not in {change.source, change.target}:
        raise FailedPrecondition("the tenant is being deleted, or was erased", reason="TENANT_NOT_ACTIVE")
    if before.status == change.source:
        await rows.set_status(change.target)
    # Both chains or none: what the staff do to a tenant is in its log whenever it is in theirs.
    details = {"reason": reason, "was": before.status}
    trail = AuditTrail(tx)
    await trail.append(who, f"platform.tenant.{change.verb}", resource="tenant", details=details)
    await go_on_for(tx, PLATFORM_TENANT_ID)
    await trail.append(
        who, f"platform.tenant.{change.verb}", resource=f"tenants/{tenant_id}", details=details
    )
