"""Whom an import leaves out: persons who were erased. Nothing but a keyed hash of them is kept."""

from __future__ import annotations

import hashlib
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.identities import IDENTITY_INDEX
from cohortlens.consent.models import field_fault
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, locked_in_tenant
from cohortlens.core.errors import NotFound
from cohortlens.core.ids import uuid7
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.erased import ErasedPeople

IMPORT_LOCK = "import "
"""Lock that an import holds while it writes (``customers.loading``): no import reads half an erasure."""
_ANY = "SELECT ident_bidx FROM suppressions WHERE tenant_id = app.tid()"
_ADD = """
INSERT INTO suppressions (tenant_id, id, ident_bidx)
SELECT app.tid(), :id, ident_bidx FROM consent_identities WHERE tenant_id = app.tid() AND id = :identity
ON CONFLICT (tenant_id, ident_bidx) DO NOTHING
"""
_LIFT = "DELETE FROM suppressions WHERE tenant_id = app.tid() AND ident_bidx = :bidx"
# The erased identity keeps its events; it must not be found by the name again, which may get a new one.
_UNNAME = """
UPDATE consent_identities SET ident_bidx = :fresh
 WHERE tenant_id = app.tid() AND ident_bidx = :bidx AND erased_at IS NOT NULL
"""


class Suppressions:
    """The table ``suppressions``.

    Args:
        db: The database.
        keys: Give the secret of the keyed hash.
    """

    def __init__(self, db: Database, keys: TenantKeys) -> None:
        self._db = db
        self._keys = keys

    async def add(self, tx: AsyncConnection, identity_id: UUID) -> None:
        """Suppress a person for good; waits for an import that is writing.

        Args:
            tx: A connection inside ``Database.tenant_transaction``.
            identity_id: Whose decisions belong to the person.

        Raises:
            Aborted: SERIALIZATION_RETRY: an import writes for longer than 3 s.
        """
        await locked_in_tenant(tx, IMPORT_LOCK)
        await tx.execute(text(_ADD), {"id": uuid7(), "identity": identity_id})

    async def erased(self, tx: AsyncConnection, tenant_id: UUID) -> ErasedPeople:
        """Whom an import leaves out.

        Args:
            tx: As for ``add``.
            tenant_id: Its tenant.
        """
        hashes = frozenset(bytes(one) for one in await tx.scalars(text(_ANY)))
        if not hashes:
            return ErasedPeople()
        return ErasedPeople(await self._keys.mac_key(tx, tenant_id, IDENTITY_INDEX), hashes)

    async def lift(self, ctx: RequestContext, external_id: str, reason: str) -> None:
        """Let a person be imported and decide again, as a new one; what was erased stays erased.

        Args:
            ctx: The request.
            external_id: The tenant's identifier of the person.
            reason: Why, 10 to 500 characters; stands in the audit log, so it names nobody.

        Raises:
            NotFound: No suppressed person has this identifier.
            InvalidArgument: The reason is no reason.
        """
        if not 10 <= len(reason.strip()) <= 500:
            raise field_fault("reason", "needs 10 to 500 characters")
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            bidx = await self._keys.blind_index(tx, ctx.tenant_id, IDENTITY_INDEX, external_id)
            if (await tx.execute(text(_LIFT), {"bidx": bidx})).rowcount != 1:
                raise NotFound(
                    "external_id: no suppressed person has it",
                    reason="RESOURCE_NOT_FOUND",
                    metadata={"field": "external_id"},
                )
            fresh = hashlib.sha256(uuid7().bytes + bidx).digest()
            await tx.execute(text(_UNNAME), {"bidx": bidx, "fresh": fresh})
            await AuditTrail(tx).append(ctx, "consent.suppression.lifted", details={"reason": reason.strip()})
