"""Statements about exports of the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import plain_uuid

_COLUMNS = (
    "id, state, from_seq, to_seq, written_seq, written_bytes, sha256, error_reason, error_message,"
    " created_at, ended_at"
)


@dataclass(frozen=True)
class AuditExport:
    """An export.

    Attributes:
        export_id: Identifier.
        state: PENDING, RUNNING, SUCCEEDED or FAILED.
        from_seq: First row.
        to_seq: Last row.
        written_seq: Last row that was written; 0 before the first.
        size_bytes: Size of the file; 0 until it is whole.
        sha256: Digest of the file; empty until it is whole.
        error_reason: Why it failed, as in ErrorInfo.
        error_message: The same for a person.
        created_at: When it was asked for.
        ended_at: When it ended; None before.
    """

    export_id: UUID
    state: str
    from_seq: int
    to_seq: int
    written_seq: int
    size_bytes: int
    sha256: str
    error_reason: str
    error_message: str
    created_at: datetime
    ended_at: datetime | None

    @property
    def progress_ratio(self) -> float:
        """How much is written, 0 to 1."""
        done = max(self.written_seq - self.from_seq + 1, 0)
        return done / (self.to_seq - self.from_seq + 1)


class ExportRows:
    """The table ``audit_exports``.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def add(self, export_id: UUID, from_seq: int, to_seq: int, created_by: str) -> AuditExport:
        """Store an export that waits for its job."""
        query = text(
            "INSERT INTO audit_exports (tenant_id, id, from_seq, to_seq, created_by)"  # noqa: S608
            f" VALUES (app.tid(), :id, :low, :high, :by) RETURNING {_COLUMNS}"
        )
        values = {"id": export_id, "low": from_seq, "high": to_seq, "by": created_by}
        return _export((await self._tx.execute(query, values)).one())

    async def get(self, export_id: UUID) -> AuditExport | None:
        """One export."""
        query = text(f"SELECT {_COLUMNS} FROM audit_exports WHERE id = :id")  # noqa: S608 - fixed columns
        row = (await self._tx.execute(query, {"id": export_id})).one_or_none()
        return None if row is None else _export(row)

    async def begin(self, export_id: UUID) -> AuditExport | None:
        """Mark an export that has not ended as under way."""
        query = text(
            "UPDATE audit_exports SET state = 'RUNNING' WHERE id = :id AND state IN"  # noqa: S608
            f" ('PENDING', 'RUNNING') RETURNING {_COLUMNS}"
        )
        row = (await self._tx.execute(query, {"id": export_id})).one_or_none()
        return None if row is None else _export(row)

    async def advance(self, export_id: UUID, written_seq: int) -> None:
        """Note how far it is written."""
        await self._tx.execute(
            text(
                "UPDATE audit_exports SET written_seq = greatest(written_seq, :seq)"
                " WHERE id = :id AND state = 'RUNNING'"
            ),
            {"id": export_id, "seq": written_seq},
        )

    async def succeed(self, export_id: UUID, sha256: str, size: int, at: datetime) -> None:
        """End an export well."""
        await self._tx.execute(
            text(
                "UPDATE audit_exports SET state = 'SUCCEEDED', sha256 = :sha256, written_bytes = :size,"
                " ended_at = :at WHERE id = :id AND state = 'RUNNING'"
            ),
            {"id": export_id, "sha256": sha256, "size": size, "at": at},
        )

    async def fail(self, export_id: UUID, reason: str, message: str, at: datetime) -> None:
        """End an export badly."""
        await self._tx.execute(
            text(
                "UPDATE audit_exports SET state = 'FAILED', error_reason = :reason, error_message = :message,"
                " ended_at = :at WHERE id = :id AND state IN ('PENDING', 'RUNNING')"
            ),
            {"id": export_id, "reason": reason, "message": message, "at": at},
        )

    async def remove(self, export_id: UUID, before: datetime) -> bool:
        """Forget an export that ended before a time; True also for one that nobody knows."""
        await self._tx.execute(
            text("DELETE FROM audit_exports WHERE id = :id AND ended_at < :before"),
            {"id": export_id, "before": before},
        )
        return await self.get(export_id) is None


def _export(row: Row[Any]) -> AuditExport:
    return AuditExport(
        export_id=plain_uuid(row.id),
        state=row.state,
        from_seq=row.from_seq,
        to_seq=row.to_seq,
        written_seq=row.written_seq,
        size_bytes=row.written_bytes,
        sha256=row.sha256,
        error_reason=row.error_reason,
        error_message=row.error_message,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
