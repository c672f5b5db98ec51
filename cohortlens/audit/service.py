"""The calls that read the audit log: list, get, verify, latest checkpoint, public keys."""

from __future__ import annotations

from collections.abc import Mapping

from cohortlens.audit.access_sealing import AccessSealing
from cohortlens.audit.chain_reading import ChainReading
from cohortlens.audit.checkpoints import BROKEN
from cohortlens.audit.filters import Condition
from cohortlens.audit.models import AuditRowMissing, ChainedRow, ChainReport, Checkpoint
from cohortlens.audit.ports import CheckpointSigner
from cohortlens.audit.repository import AuditRows
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database


class AuditService:
    """Reads chains.

    Args:
        db: The database.
        signer: Gives the public keys of checkpoints.
    """

    def __init__(self, db: Database, signer: CheckpointSigner) -> None:
        self._db = db
        self._signer = signer
        self._reading = ChainReading(db)
        self._access = AccessSealing(db)

    async def page(
        self, ctx: RequestContext, condition: Condition, before: int | None, limit: int
    ) -> list[ChainedRow]:
        """Rows that a filter lets through, newest first, from before a place on."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await AuditRows(tx).page(condition, before, limit)

    async def get(self, ctx: RequestContext, seq: int) -> ChainedRow:
        """One row.

        Raises:
            AuditRowMissing: There is none at this place.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            row = await AuditRows(tx).get(seq)
        if row is None:
            raise AuditRowMissing("seq")
        return row

    async def verify(self, ctx: RequestContext, from_seq: int = 0, to_seq: int = 0) -> ChainReport:
        """Compute the chain again, and the roots of the minutes of the access log that it seals.

        Args:
            ctx: The request.
            from_seq: First row; 0 for the oldest.
            to_seq: Last row; 0 for the newest.

        Raises:
            RangeInvalid: There is no such range.
        """
        keys = await self._signer.public_keys()
        report = await self._reading.verify(ctx.tenant_id, keys, from_seq, to_seq)
        if report.fault is None:
            report = await self._access.checked(ctx.tenant_id, report)
        if report.fault is not None:
            BROKEN.labels(report.fault.kind).inc()
        return report

    async def latest_checkpoint(self, ctx: RequestContext) -> Checkpoint:
        """The newest checkpoint.

        Raises:
            AuditRowMissing: None was made yet.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await AuditRows(tx).last_checkpoint()
        if found is None:
            raise AuditRowMissing("checkpoint")
        return found

    async def public_keys(self) -> Mapping[str, bytes]:
        """Every key that ever signed a checkpoint, by identifier."""
        return await self._signer.public_keys()
