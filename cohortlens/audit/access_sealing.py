"""Seals the access log: per tenant and minute one row of the audit chain, with the root over its entries."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.merkle import root_of
from cohortlens.audit.models import Actor, ChainFault, ChainReport, FaultKind
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId

SEALED = "audit.access_log.sealed"
_SEALER = Actor("job", "access_log")
_AT_A_TIME = 500
_MINUTE = timedelta(minutes=1)
_PARALLEL = 2


class AccessSealing:
    """Seals ended minutes, and holds sealed ones against their roots.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def seal_ended(self) -> int:
        """Seal the minutes that have ended, oldest first; answers how many."""
        async with self._db.transaction() as tx:
            query = text("SELECT tenant_id, minute FROM app.access_open_minutes(:limit)")
            found = (await tx.execute(query, {"limit": _AT_A_TIME})).all()
        places = asyncio.Semaphore(_PARALLEL)

        async def seal(tenant_id: TenantId, minute: datetime) -> bool:
            async with places:
                return await self._seal(tenant_id, minute)

        return sum(await asyncio.gather(*(seal(row.tenant_id, row.minute) for row in found)))

    async def checked(self, tenant_id: TenantId, report: ChainReport) -> ChainReport:
        """The report of a chain that holds, with the first sealed minute whose entries were changed."""
        seals = await self._seals(tenant_id, report.from_seq, report.to_seq)
        for seq, details in seals:
            if not await self._holds(tenant_id, details):
                text_ = f"the access log of {details['minute']} was changed after it was sealed"
                fault = ChainFault(seq, FaultKind.CONTENT, text_)
                return ChainReport(
                    report.from_seq, report.to_seq, seq - report.from_seq, report.checkpoints, fault
                )
        return report

    async def _seal(self, tenant_id: TenantId, minute: datetime) -> bool:
        async with self._db.tenant_transaction(tenant_id) as tx:
            if not await tx.scalar(text("SELECT app.access_lock(:minute)"), {"minute": minute}):
                return False
            entries = await _entries(tx, minute)
            root = await asyncio.to_thread(root_of, entries)
            seq = await AuditTrail(tx).append_now(
                _SEALER,
                SEALED,
                resource=f"accessMinutes/{minute:%Y-%m-%dT%H:%MZ}",
                details={"minute": minute.isoformat(), "rows": len(entries), "root": root.hex()},
            )
            query = text("SELECT app.access_sealed(:minute, :seq)")
            await tx.execute(query, {"minute": minute, "seq": seq})
        return True

    async def _seals(
        self, tenant_id: TenantId, from_seq: int, to_seq: int
    ) -> list[tuple[int, dict[str, Any]]]:
        # A minute whose month was removed cannot be looked at any more; its root stays in the chain.
        query = text(
            "SELECT seq, convert_from(canonical, 'UTF8')::jsonb -> 'details' AS details FROM audit_log"
            " WHERE action = :action AND actor = :actor AND seq BETWEEN :low AND :high"
            " AND created_at >= (SELECT app.access_log_begins()) ORDER BY seq"
        )
        values = {"action": SEALED, "actor": str(_SEALER), "low": from_seq, "high": to_seq}
        async with self._db.tenant_transaction(tenant_id) as tx:
            return [(row.seq, row.details) for row in await tx.execute(query, values)]

    async def _holds(self, tenant_id: TenantId, details: dict[str, Any]) -> bool:
        async with self._db.tenant_transaction(tenant_id) as tx:
            entries = await _entries(tx, datetime.fromisoformat(details["minute"]))
        root = await asyncio.to_thread(root_of, entries)
        return bool(len(entries) == details["rows"] and root.hex() == details["root"])


async def _entries(tx: AsyncConnection, minute: datetime) -> list[bytes]:
    query = text(
        "SELECT canonical FROM access_log WHERE created_at >= :since AND created_at < :until ORDER BY id"
    )
    rows = await tx.execute(query, {"since": minute, "until": minute + _MINUTE})
    return [bytes(row.canonical) for row in rows]
