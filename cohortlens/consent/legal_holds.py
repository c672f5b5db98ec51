"""Legal holds: whose data the law forbids to erase, and why; ERASURE waits for their end."""

from __future__ import annotations

from sqlalchemy import text

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.subjects import People
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.tenant_keys import TenantKeys

REASON_COLUMN = "legal_holds.reason_enc"
_HOLD = """
INSERT INTO legal_holds (tenant_id, identity_id, reason_enc, created_by)
VALUES (app.tid(), :id, :reason, :by)
ON CONFLICT (tenant_id, identity_id) DO UPDATE SET reason_enc = excluded.reason_enc
"""
_END = "DELETE FROM legal_holds WHERE tenant_id = app.tid() AND identity_id = :id"


class LegalHolds:
    """The table ``legal_holds``.

    Args:
        db: The database.
        keys: Seal the reasons.
        people: Find the person.
    """

    def __init__(self, db: Database, keys: TenantKeys, people: People) -> None:
        self._db = db
        self._keys = keys
        self._people = people

    async def set(self, ctx: RequestContext, customer: str, reason: str, *, is_held: bool) -> None:
        """Hold a person's data, or let them go; the same twice changes nothing.

        Args:
            ctx: The request.
            customer: A customer's identifier, or ``external:`` and the tenant's own one.
            reason: What forbids the erasure, or why it does no more; sealed.
            is_held: Whether the data must be kept.

        Raises:
            ConsentRowMissing: There is no such customer.
            CustomerErased: The person was erased.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            person = await self._people.subject(tx, ctx.tenant_id, customer)
            if is_held:
                sealer = await self._keys.sealer(tx, ctx.tenant_id, REASON_COLUMN)
                sealed = sealer.seal(reason.encode(), person.identity_id.bytes)
                values = {"id": person.identity_id, "reason": sealed, "by": ctx.caller.actor}
                await tx.execute(text(_HOLD), values)
            else:
                await tx.execute(text(_END), {"id": person.identity_id})
            await AuditTrail(tx).append(
                ctx,
                "consent.legal_hold.set" if is_held else "consent.legal_hold.ended",
                resource=f"identities/{person.identity_id}",
            )
