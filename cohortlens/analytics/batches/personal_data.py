"""What files of batch predictions hold of one customer: rows of results, and uploaded inputs."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import text

from cohortlens.contracts.batch_files import EXTERNAL, FOLDER, BatchFolder, written
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId, parse_uuid
from cohortlens.core.personal_data import Rows, StoreBusy, Subject, as_word

_OPEN = (
    "SELECT count(*) FROM batch_predictions WHERE tenant_id = app.tid() AND state IN ('PENDING', 'RUNNING')"
)
_REWRITTEN = """
UPDATE batch_predictions SET result_sha256 = :sha256, result_bytes = :size
 WHERE tenant_id = app.tid() AND id = :id AND state = 'SUCCEEDED'
"""
_REMOVED = """
UPDATE batch_inputs SET removed_at = coalesce(removed_at, :at), file_name = ''
 WHERE tenant_id = app.tid() AND id = :id
"""
_NAMED = "FROM batch_inputs WHERE tenant_id = app.tid() AND file_name ~ :word"
_UNNAME = "UPDATE batch_inputs SET file_name = '' WHERE tenant_id = app.tid() AND file_name ~ :word"


class BatchStore:
    """The files of batches below the artifact store.

    Args:
        db: The database.
        root: Folder of the artifact store.
        clock: Current time.
    """

    name = "batches"
    tables: tuple[str, ...] = ()
    is_provided = False

    def __init__(self, db: Database, root: Path, clock: Clock = now) -> None:
        self._db = db
        self._root = root
        self._clock = clock

    async def count(self, tenant_id: TenantId, subject: Subject) -> int:
        """Rows of results and inputs that carry the person's identifier, and names of files that do."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            named = await tx.scalar(text(f"SELECT count(*) {_NAMED}"), _word(subject))
        found = int(named or 0)
        for path in await asyncio.to_thread(self._files, tenant_id):
            found += await asyncio.to_thread(_rows_of, path, subject.external_id)
        return found

    async def export(self, tenant_id: TenantId, subject: Subject) -> dict[str, Rows]:
        """The person's rows of results that are kept."""
        rows: Rows = []
        for path in await asyncio.to_thread(self._files, tenant_id):
            if path.name == "result.parquet":
                found = await asyncio.to_thread(_read, path, subject.external_id)
                rows += [{"batch": path.parent.name, **row} for row in found]
        async with self._db.tenant_transaction(tenant_id) as tx:
            query = text(f"SELECT id::text AS input, file_name {_NAMED}")
            named = (await tx.execute(query, _word(subject))).mappings().all()
        return {"batch_results": rows, "batch_inputs": [dict(row) for row in named]}

    async def erase(self, tenant_id: TenantId, subject: Subject) -> None:
        """Write results anew without the person; remove an uploaded input that holds them.

        Raises:
            StoreBusy: A batch is under way, whose files change.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            if await tx.scalar(text(_OPEN)):
                raise StoreBusy("a batch prediction", 5.0)
        for path in await asyncio.to_thread(self._files, tenant_id):
            if not await asyncio.to_thread(_rows_of, path, subject.external_id):
                continue
            owner = UUID(path.parent.name)
            if path.name == "input.parquet":
                await self._remove(tenant_id, owner)
            else:
                await self._rewrite(tenant_id, owner, path, subject.external_id)
        async with self._db.tenant_transaction(tenant_id) as tx:
            await tx.execute(text(_UNNAME), _word(subject))

    async def _remove(self, tenant_id: TenantId, owner: UUID) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            await tx.execute(text(_REMOVED), {"id": owner, "at": self._clock()})
        await asyncio.to_thread(BatchFolder(self._root, tenant_id, owner).remove)

    async def _rewrite(self, tenant_id: TenantId, owner: UUID, path: Path, external_id: str) -> None:
        digest, size = await asyncio.to_thread(_without, path, external_id)
        async with self._db.tenant_transaction(tenant_id) as tx:
            await tx.execute(text(_REWRITTEN), {"id": owner, "sha256": digest, "size": size})

    def _files(self, tenant_id: TenantId) -> list[Path]:
        return [
            path
            for path in sorted((self._root / FOLDER / str(tenant_id)).glob("*/*.parquet"))
            if path.name in {"input.parquet", "result.parquet"} and parse_uuid(path.parent.name) is not None
        ]


def _word(subject: Subject) -> dict[str, str | None]:
    return {"word": as_word(subject.external_id)}


def _rows_of(path: Path, external_id: str) -> int:
    try:
        with pq.ParquetFile(path) as file:
            return sum(
                int(pc.sum(pc.equal(batch.column(0), external_id)).as_py() or 0)
                for batch in file.iter_batches(columns=[EXTERNAL], use_threads=False)
            )
    except FileNotFoundError:
        return 0  # swept meanwhile


def _read(path: Path, external_id: str) -> Rows:
    try:
        table = pq.read_table(path, filters=[(EXTERNAL, "==", external_id)], use_threads=False)
    except FileNotFoundError:
        return []
    rows: Rows = table.to_pylist()
    return rows


def _without(path: Path, external_id: str) -> tuple[str, int]:
    """Write a result anew without the rows of an identifier; its SHA-256 in hex and its size."""
    with written(path) as part:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            with pq.ParquetWriter(part, schema, compression="zstd", compression_level=1) as writer:
                for batch in file.iter_batches(use_threads=False):
                    kept = batch.filter(pc.not_equal(batch.column(EXTERNAL), external_id))
                    writer.write_table(pa.Table.from_batches([kept], schema))
        with part.open("rb") as data:
            return hashlib.file_digest(data, "sha256").hexdigest(), part.stat().st_size
