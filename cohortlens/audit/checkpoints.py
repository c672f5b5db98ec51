"""Signed statements of where a chain stood: hourly, at the end of each month, and at the end of an export.

Whatever is signed was verified before, from the checkpoint before it on: a chain that was broken meanwhile
is never given a signature. A copy lies in the artifact store, out of reach of whoever can write the database.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

from prometheus_client import Counter

from cohortlens.audit import lines
from cohortlens.audit.chain_reading import ChainReading
from cohortlens.audit.files import AuditFolder, written
from cohortlens.audit.models import ChainFault, Checkpoint
from cohortlens.audit.ports import CheckpointSigner
from cohortlens.audit.repository import AuditRows, month_ends, unsealed_tenants
from cohortlens.audit.verifier import checkpoint_message
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.errors import Code, CohortLensError
from cohortlens.core.ids import TenantId
from cohortlens.core.telemetry import REGISTRY, get_logger

BROKEN = Counter("audit_chain_faults_total", "Faults found in audit chains", ("kind",), registry=REGISTRY)
_MONTHS_KEPT = 25
_LOG = get_logger(__name__)


class ChainBroken(CohortLensError):
    """A chain that is to be sealed does not hold.

    Attributes:
        fault: What is wrong.
    """

    code = Code.DATA_LOSS
    reason = "AUDIT_CHAIN_BROKEN"

    def __init__(self, fault: ChainFault) -> None:
        super().__init__(f"row {fault.seq} of the audit log, {fault.kind}: {fault.detail}")
        self.fault = fault


class Checkpoints:
    """Makes checkpoints.

    Args:
        db: The database.
        signer: Signs.
        root: Folder of the artifact store.
        clock: The time.
    """

    def __init__(self, db: Database, signer: CheckpointSigner, root: Path, clock: Clock = now) -> None:
        self._db = db
        self._signer = signer
        self._root = root
        self._clock = clock
        self._reading = ChainReading(db)

    async def seal(self, tenant_id: TenantId, seq: int = 0) -> Checkpoint | None:
        """Sign the row at ``seq``, or the last one; a row that is sealed keeps its checkpoint.

        Returns:
            The checkpoint; None for a chain without rows.

        Raises:
            ChainBroken: The chain does not hold up to there; nothing is signed.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = AuditRows(tx)
            at = seq or (await rows.head()).seq
            last = await rows.last_checkpoint(at)
            row = await rows.get(at) if at else None
        if at == 0 or (last is not None and last.seq == at):
            return last
        keys = await self._signer.public_keys()
        report = await self._reading.verify(tenant_id, keys, last.seq + 1 if last is not None else 0, at)
        if report.fault is not None:
            BROKEN.labels(report.fault.kind).inc()
            raise ChainBroken(report.fault)
        assert row is not None
        return await self._signed(tenant_id, at, row.hash)

    async def seal_all(self) -> int:
        """Sign the last row of every chain that has new ones; answers how many."""
        async with self._db.transaction() as tx:
            tenants = await unsealed_tenants(tx)
        sealed = 0
        for tenant_id in tenants:
            sealed += await self._sealed(TenantId(tenant_id), 0)
        return sealed

    async def seal_months(self) -> int:
        """Sign each chain's last row of every month that has ended, so that the month can be removed."""
        sealed, until = 0, _month(self._clock())
        for _ in range(_MONTHS_KEPT):
            since = _month(until - timedelta(days=1))
            async with self._db.transaction() as tx:
                ends = await month_ends(tx, since, until)
            for row in ends:
                sealed += await self._sealed(TenantId(row.tenant_id), row.seq)
            until = since
        return sealed

    async def _sealed(self, tenant_id: TenantId, seq: int) -> int:
        try:
            return int(await self.seal(tenant_id, seq) is not None)
        except ChainBroken as broken:
            # One tenant's broken chain must not keep the others from being sealed.
            fault = broken.fault
            _LOG.error("audit_chain_broken", tenant_id=str(tenant_id), seq=fault.seq, kind=fault.kind)
            return 0

    async def _signed(self, tenant_id: TenantId, seq: int, hash_: bytes) -> Checkpoint:
        at = self._clock()
        signature = await self._signer.sign(checkpoint_message(tenant_id, seq, hash_, at))
        made = Checkpoint(seq, hash_, at, signature.kid, signature.value)
        # The copy first: a checkpoint of the table always has one.
        await asyncio.to_thread(self._copy, tenant_id, made)
        async with self._db.tenant_transaction(tenant_id) as tx:
            await AuditRows(tx).add_checkpoint(made)
        return made

    def _copy(self, tenant_id: TenantId, made: Checkpoint) -> None:
        line = {"tenant_id": str(tenant_id), **lines.checkpoint(made)}
        with written(AuditFolder(self._root, tenant_id).checkpoint(made.seq)) as file:
            file.write(lines.written(line))


def _month(at: datetime) -> datetime:
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
