"""The end of a deleted tenant after thirty days: every row of it, its files, its key.

What stays is the tenant's row without a name, and its audit log, which proves what was done and names nobody:
people appear in it by identifiers that no table resolves any more, customers by a hash under a key that is
destroyed. See ADR 0025.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from sqlalchemy import text

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.db import Database, go_on_for
from cohortlens.core.errors import CohortLensError, FailedPrecondition
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

ErasureStep = Callable[[TenantId], Awaitable[None]]
"""Ends what a tenant has outside of this installation; may run again, fails until it is done."""


class TenantErasure:
    """Erases tenants whose time to come back is over.

    Args:
        db: Database as the runtime role.
        tenant_keys: The tenants' keys.
        artifacts: Folder of the artifact store.
        before: Steps before anything is erased: what they need to know is in the rows.
    """

    def __init__(
        self, db: Database, tenant_keys: TenantKeys, artifacts: Path, before: Sequence[ErasureStep] = ()
    ) -> None:
        self._db = db
        self._tenant_keys = tenant_keys
        self._artifacts = artifacts
        self._before = before

    async def run(self) -> int:
        """Erase every tenant that is due; answers how many. Cut off, the next run goes on.

        Raises:
            CohortLensError: One could not be erased; the others were. It is tried again with the next run.
        """
        erased, failed = 0, dict[TenantId, CohortLensError]()
        while True:
            # Those that failed stay at the front: ask for as many more.
            most = _TENANTS_AT_ONCE + len(failed)
            due = await self._due(most)
            for tenant_id in [one for one in due if one not in failed]:
                try:
                    await self.erase(tenant_id)
                    erased += 1
                except CohortLensError as fault:
                    failed[tenant_id] = fault
                    _LOG.error("tenant_not_erased", tenant=tenant_id, reason=fault.reason, error=str(fault))
            if len(due) < most:
                break
        if failed:
            raise next(iter(failed.values()))
        return erased

    async def _due(self, most: int) -> list[TenantId]:
        async with self._db.transaction() as tx:
            found = await tx.scalars(text("SELECT app.tenants_to_erase(:limit)"), {"limit": most})
            return [TenantId(plain_uuid(value)) for value in found]

    async def erase(self, tenant_id: TenantId) -> None:
        """Erase one tenant that is due: what it has outside, files, rows in batches, key and proof last.

        Raises:
            FailedPrecondition: Its time to come back is not over.
            CohortLensError: A step before could not be done; nothing was erased.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            if not await tx.scalar(text(_DUE), {"tenant": tenant_id}):
                raise FailedPrecondition("the tenant is not to be erased now", reason="TENANT_NOT_DELETED")
            uses = await artifact_uses(tx)
        for step in self._before:
            await step(tenant_id)
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
