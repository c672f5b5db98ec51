"""Runs the verifier over a tenant's chain as the database holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from cohortlens.audit.models import (
    ChainedRow,
    ChainFault,
    ChainReport,
    FaultKind,
    RangeInvalid,
)
from cohortlens.audit.repository import AuditRows, Head
from cohortlens.audit.verifier import ChainVerifier
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId

PAGE_ROWS = 2000


class ChainReading:
    """Verifies spans of chains, page by page.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def verify(
        self, tenant_id: TenantId, keys: Mapping[str, bytes], from_seq: int = 0, to_seq: int = 0
    ) -> ChainReport:
        """Look at the rows from ``from_seq`` to ``to_seq``; 0 stands for the first and the last there is.

        Raises:
            RangeInvalid: There is no such range.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = AuditRows(tx)
            # Before the head: a checkpoint of a row that comes meanwhile must not seem to be of a lost one.
            seals = await rows.checkpoints(max(from_seq - 1, 0), 2**63 - 1)
            head = await rows.head()
            span = await _span(rows, head, from_seq, to_seq)
            previous = await _previous(rows, span[0])
        whole = span[1] == head.seq
        seals = [it for it in seals if span[0] - 1 <= it.seq and (whole or it.seq <= span[1])]
        verifier = ChainVerifier(tenant_id, keys, seals, span[0], previous)
        await self._take(tenant_id, verifier, *span)
        report = verifier.end(span[1])
        return _with_head(report, head, verifier.last_hash) if whole else report

    async def _take(self, tenant_id: TenantId, verifier: ChainVerifier, from_seq: int, to_seq: int) -> None:
        following = from_seq
        while following <= to_seq:
            async with self._db.tenant_transaction(tenant_id) as tx:
                rows = await AuditRows(tx).span(following, to_seq, PAGE_ROWS)
            if not rows or not await asyncio.to_thread(verifier.take, rows):
                return
            following = rows[-1].seq + 1


async def _span(rows: AuditRows, head: Head, from_seq: int, to_seq: int) -> tuple[int, int]:
    last = to_seq or head.seq
    if last > head.seq:
        raise RangeInvalid("to_seq", f"is beyond the last row, {head.seq}")
    if from_seq > last:
        raise RangeInvalid("from_seq", f"is behind to_seq, {last}")
    return from_seq or await first_kept(rows), last


async def first_kept(rows: AuditRows) -> int:
    """The first row there has to be: 1, or the one behind the months that were removed and sealed."""
    first = await rows.first_seq()
    if first is None or first == 1:
        return 1
    # Without a checkpoint at its end, what is missing was not removed by the rules.
    return first if await rows.checkpoints(first - 1, first - 1) else 1


async def _previous(rows: AuditRows, from_seq: int) -> bytes | None:
    if from_seq == 1:
        return None
    before: ChainedRow | None = await rows.get(from_seq - 1)
    return None if before is None else before.hash


def _with_head(report: ChainReport, head: Head, last_hash: bytes | None) -> ChainReport:
    """The report of a whole chain, held against where the chain says it ends."""
    if report.fault is not None or head.seq == 0 or last_hash == head.hash:
        return report
    fault = ChainFault(head.seq, FaultKind.LINK, "the chain does not end where its head says")
    return ChainReport(report.from_seq, report.to_seq, report.rows, report.checkpoints, fault)
