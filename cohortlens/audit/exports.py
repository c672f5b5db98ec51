"""Exports of a chain as JSONL: asked for by a call, written by a job, fetched as a stream.

The job writes the rows in parts, each whole or absent. Rows never change, so a job that is repeated, or two
that run at once after a lost lease, write the same bytes, and what is there already is not written again.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from cohortlens.audit import lines
from cohortlens.audit.checkpoints import ChainBroken, Checkpoints
from cohortlens.audit.export_rows import AuditExport, ExportRows
from cohortlens.audit.files import AuditFolder, written
from cohortlens.audit.models import AuditRowMissing, RangeInvalid
from cohortlens.audit.ports import CheckpointSigner
from cohortlens.audit.repository import AuditRows
from cohortlens.audit.trail import AuditTrail
from cohortlens.core import idempotency
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.core.outbox import Outbox
from cohortlens.core.telemetry import get_logger

EXPORT_REQUESTED = "audit.export_requested"
RETENTION = timedelta(days=7)
PART_ROWS = 5000
_PIECE_BYTES = 256 * 1024
_DIED = "every attempt ended in a fault of ours; start another export"
_LOG = get_logger(__name__)


class ExportNotReady(FailedPrecondition):
    """The export has not succeeded, so there is nothing to fetch."""

    reason = "EXPORT_NOT_SUCCEEDED"


class AuditExports:
    """Use cases of exports.

    Args:
        db: The database.
        signer: Gives the public keys.
        checkpoints: Seals the last row of an export.
        root: Folder of the artifact store.
        clock: The time.
    """

    def __init__(
        self,
        db: Database,
        signer: CheckpointSigner,
        checkpoints: Checkpoints,
        root: Path,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._signer = signer
        self._checkpoints = checkpoints
        self._root = root
        self._clock = clock

    async def start(self, ctx: RequestContext, from_seq: int = 0, to_seq: int = 0) -> AuditExport:
        """Store an export; a job writes it.

        Args:
            ctx: The request.
            from_seq: First row; 0 for the oldest.
            to_seq: Last row; 0 for the newest.

        Raises:
            RangeInvalid: There are no such rows.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = AuditRows(tx)
            newest, oldest = (await rows.head()).seq, await rows.first_seq()
            first, last = from_seq or oldest or 1, to_seq or newest
            if last > newest or oldest is None:
                raise RangeInvalid("to_seq", f"is beyond the last row, {newest}")
            if not oldest <= first <= last:
                raise RangeInvalid("from_seq", f"is not between the oldest row, {oldest}, and to_seq, {last}")
            export_id = uuid7()
            idempotency.made(export=str(export_id))
            stored = await ExportRows(tx).add(export_id, first, last, ctx.caller.actor)
            await Outbox(tx).record(EXPORT_REQUESTED, str(export_id), {"export_id": str(export_id)})
            await AuditTrail(tx).append(
                ctx,
                "audit.export.requested",
                resource=f"auditExports/{export_id}",
                details={"from_seq": first, "to_seq": last},
            )
        return stored

    async def get(self, ctx: RequestContext, export_id: UUID) -> AuditExport:
        """One export.

        Raises:
            AuditRowMissing: No such export.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await ExportRows(tx).get(export_id)
        if found is None:
            raise AuditRowMissing("export")
        return found

    async def content(self, ctx: RequestContext, export_id: UUID) -> AsyncIterator[bytes]:
        """The bytes of an export, piece by piece.

        Raises:
            AuditRowMissing: No such export.
            ExportNotReady: It has not succeeded, or not yet.
        """
        found = await self.get(ctx, export_id)
        path = AuditFolder(self._root, ctx.tenant_id).result(export_id)
        if found.state != "SUCCEEDED" or not await asyncio.to_thread(path.is_file):
            raise ExportNotReady(
                f"the export is {found.state.lower()}; wait until it has succeeded, or start another"
            )
        return _pieces(path)

    async def run(self, tenant_id: TenantId, export_id: UUID) -> None:
        """Write or go on writing an export; one that has ended, or is not there, is left alone.

        Raises:
            CohortLensError: A passing fault; call again later.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            export = await ExportRows(tx).begin(export_id)
        if export is None:
            return
        await self._seal_end(tenant_id, export)
        following = export.from_seq
        while following <= export.to_seq:
            following = await self._write_part(tenant_id, export, following)
        digest, size = await self._join(tenant_id, export)
        async with self._db.tenant_transaction(tenant_id) as tx:
            await ExportRows(tx).succeed(export_id, digest, size, self._clock())
        folder = AuditFolder(self._root, tenant_id)
        for part in _part_starts(export):
            await asyncio.to_thread(folder.part(export_id, part).unlink, missing_ok=True)

    async def fail(self, tenant_id: TenantId, export_id: UUID) -> None:
        """End an export after its last attempt; one that has ended is left alone."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            await ExportRows(tx).fail(export_id, "INTERNAL", _DIED, self._clock())

    async def sweep(self) -> int:
        """Remove exports that ended over 7 days ago, rows and files; answers how many."""
        removed = 0
        for path in await asyncio.to_thread(_export_folders, self._root):
            tenant_id, export_id = TenantId(UUID(path.parent.parent.name)), UUID(path.name)
            async with self._db.tenant_transaction(tenant_id) as tx:
                gone = await ExportRows(tx).remove(export_id, self._clock() - RETENTION)
            if gone:
                await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
                removed += 1
        return removed

    async def _seal_end(self, tenant_id: TenantId, export: AuditExport) -> None:
        try:
            await self._checkpoints.seal(tenant_id, export.to_seq)
        except ChainBroken as broken:
            # Exactly then the export is wanted: it is written without a seal, and its reader finds the fault.
            _LOG.error("audit_chain_broken", tenant_id=str(tenant_id), seq=broken.fault.seq)

    async def _write_part(self, tenant_id: TenantId, export: AuditExport, from_seq: int) -> int:
        """Write the part that begins at ``from_seq``; answers where the next one begins."""
        to_seq = min(from_seq + PART_ROWS - 1, export.to_seq)
        path = AuditFolder(self._root, tenant_id).part(export.export_id, from_seq)
        if not await asyncio.to_thread(path.is_file):
            async with self._db.tenant_transaction(tenant_id) as tx:
                rows = await AuditRows(tx).span(from_seq, to_seq, PART_ROWS * 2)
                seals = {it.seq: it for it in await AuditRows(tx).checkpoints(from_seq, to_seq)}
            content: list[bytes] = []
            for row in rows:
                content.append(lines.written(lines.event(row)))
                if row.seq in seals:
                    content.append(lines.written(lines.checkpoint(seals[row.seq])))
            await asyncio.to_thread(_write, path, content)
        async with self._db.tenant_transaction(tenant_id) as tx:
            await ExportRows(tx).advance(export.export_id, to_seq)
        return to_seq + 1

    async def _join(self, tenant_id: TenantId, export: AuditExport) -> tuple[str, int]:
        async with self._db.tenant_transaction(tenant_id) as tx:
            before = await AuditRows(tx).checkpoints(export.from_seq - 1, export.from_seq - 1)
        keys = await self._signer.public_keys()
        first = [lines.written(lines.header(tenant_id, export.from_seq, export.to_seq, keys))]
        first += [lines.written(lines.checkpoint(it)) for it in before]
        return await asyncio.to_thread(_joined, AuditFolder(self._root, tenant_id), export, first)


def _write(path: Path, content: list[bytes]) -> None:
    with written(path) as file:
        file.writelines(content)


def _joined(folder: AuditFolder, export: AuditExport, first: list[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with written(folder.result(export.export_id)) as file:

        def put(piece: bytes) -> None:
            nonlocal size
            digest.update(piece)
            size += file.write(piece)

        for line in first:
            put(line)
        for start in _part_starts(export):
            with folder.part(export.export_id, start).open("rb") as part:
                while piece := part.read(_PIECE_BYTES):
                    put(piece)
        put(lines.written(lines.end(export.to_seq)))
    return digest.hexdigest(), size


def _part_starts(export: AuditExport) -> range:
    return range(export.from_seq, export.to_seq + 1, PART_ROWS)


def _export_folders(root: Path) -> list[Path]:
    return list((root / "audit").glob("*/exports/*"))


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    # An open file stays readable when its name is removed meanwhile.
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
