"""The end of a deleted tenant after thirty days: every row of it, its files, its key.

What stays is the tenant's row without a name, and its audit log, which proves what was done and names nobody:
people appear in it by identifiers that no table resolves any more, customers by a hash under a key that is
destroyed. See ADR 0025.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import text

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.db import Database, go_on_for
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.ids import PLATFORM_TENANT_ID, TenantId, plain_uuid
from cohortlens.core.telemetry import get_logger
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.tenancy.erased_files import artifact_uses, erase_files

BATCH_ROWS = 20_000
_TENANTS_AT_ONCE = 10
_DUE = (
    "SELECT 1 FROM tenants WHERE id = :tenant AND kind = 'CUSTOMER' AND status = 'DELETING'"
    " AND erase_at <= clock_timestamp()"
)
_JOB = Actor("job", "tenant_erasure")
_LOG = get_logger(__name__)


class TenantErasure:
    """Erases tenants whose time to come back is over.

    Args:
        db: Database as the runtime role.
        tenant_keys: The tenants' keys.
        artifacts: Folder of the artifact store.
    """

    def __init__(self, db: Database, tenant_keys: TenantKeys, artifacts: Path) -> None:
        self._db = db
        self._tenant_keys = tenant_keys
        self._artifacts = artifacts

    async def run(self) -> int:
        """Erase every tenant that is due; answers how many. Cut off, the next run goes on."""
        erased = 0
        while True:
            async with self._db.transaction() as tx:
                due = (
                    await tx.scalars(text("SELECT app.tenants_to_erase(:limit)"), {"limit": _TENANTS_AT_ONCE})
                ).all()
            for value in due:
                await self.erase(TenantId(plain_uuid(value)))
                erased += 1
            if len(due) < _TENANTS_AT_ONCE:
                return erased

    async def erase(self, tenant_id: TenantId) -> None:
        """Erase one tenant that is due: files first, then rows in batches, last the key with the proof.

        Raises:
            FailedPrecondition: Its time to come back is not over.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            if not await tx.scalar(text(_DUE), {"tenant": tenant_id}):
                raise FailedPrecondition("the tenant is not to be erased now", reason="TENANT_NOT_DELETED")
            uses = await artifact_uses(tx)
        await asyncio.to_thread(erase_files, self._artifacts, tenant_id, uses)
        rows = 0
        while (gone := await self._batch(tenant_id, rows)) > 0:
            rows += gone
        _LOG.info("tenant_erased", tenant=tenant_id, rows=rows)

    async def _batch(self, tenant_id: TenantId, before: int) -> int:
        async with self._db.tenant_transaction(tenant_id) as tx:
            gone = int(await tx.scalar(text("SELECT app.tenant_erase(:limit)"), {"limit": BATCH_ROWS}) or 0)
            if gone == 0:
                await self._tenant_keys.destroy(tx, tenant_id)
                trail, details = AuditTrail(tx), {"rows": before}
                await trail.append(_JOB, "identity.tenant.erased", resource="tenant", details=details)
                await go_on_for(tx, PLATFORM_TENANT_ID)
                await trail.append(
                    _JOB, "identity.tenant.erased", resource=f"tenants/{tenant_id}", details=details
                )
        return gone
