"""Imports and their faults in the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import ImportId, plain_uuid
from cohortlens.customers.models import (
    Import,
    ImportNotFound,
    ImportOptions,
    ImportRows,
    ImportState,
    RowFault,
)

_FINAL = (ImportState.SUCCEEDED, ImportState.FAILED)


class ImportsRepository:
    """Rows of ``imports`` and ``import_faults`` of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def add(
        self, import_id: ImportId, options: ImportOptions, file_bytes: int, file_sha256: str, now: datetime
    ) -> None:
        """Store a new import, PENDING."""
        await self._tx.execute(
            text(
                "INSERT INTO imports (tenant_id, id, options, file_bytes, file_sha256, created_at) "
                "VALUES (app.tid(), :id, CAST(:options AS jsonb), :bytes, :sha256, :now)"
            ),
            {
                "id": import_id,
                "options": json.dumps(options.as_json()),
                "bytes": file_bytes,
                "sha256": file_sha256,
                "now": now,
            },
        )

    async def get(self, import_id: UUID) -> Import:
        """One import.

        Raises:
            ImportNotFound: No such import of this tenant.
        """
        result = await self._tx.execute(
            text("SELECT * FROM imports WHERE tenant_id = app.tid() AND id = :id"), {"id": import_id}
        )
        row = result.one_or_none()
        if row is None:
            raise ImportNotFound
        return _import(row)

    async def page(self, before: UUID | None, limit: int) -> list[Import]:
        """Imports, newest first, older than ``before``."""
        result = await self._tx.execute(
            text(
                "SELECT * FROM imports WHERE tenant_id = app.tid() "
                "AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit"
            ),
            {"before": before, "limit": limit},
        )
        return [_import(row) for row in result]

    async def begin(self, import_id: UUID) -> bool:
        """Set an import RUNNING, from the start; False when it is in a final state or does not exist."""
        result = await self._tx.execute(
            text(
                "UPDATE imports SET state = 'RUNNING', progress_ratio = 0 "
                "WHERE tenant_id = app.tid() AND id = :id AND state IN ('PENDING', 'RUNNING')"
            ),
            {"id": import_id},
        )
        return result.rowcount == 1

    async def progress(self, import_id: UUID, ratio: float, rows_read: int) -> None:
        """Write how far a running import is."""
        await self._tx.execute(
            text(
                "UPDATE imports SET progress_ratio = :ratio, rows_read = :read "
                "WHERE tenant_id = app.tid() AND id = :id AND state = 'RUNNING'"
            ),
            {"id": import_id, "ratio": ratio, "read": rows_read},
        )

    async def lock(self, import_id: UUID) -> bool:
        """Lock a running import's row until the transaction ends; False when it is final already."""
        state = await self._tx.scalar(
            text("SELECT state FROM imports WHERE tenant_id = app.tid() AND id = :id FOR UPDATE"),
            {"id": import_id},
        )
        return state is not None and ImportState(state) not in _FINAL

    async def finish(
        self,
        import_id: UUID,
        *,
        rows: ImportRows,
        new_customers: int,
        customers_over: int = 0,
        columns_used: dict[str, str],
        columns_unused: list[str],
        rejected_by_reason: dict[str, int],
        now: datetime,
        error_reason: str = "",
        error_message: str = "",
    ) -> None:
        """End an import: SUCCEEDED, or FAILED when there is an error reason."""
        state = ImportState.FAILED if error_reason else ImportState.SUCCEEDED
        await self._tx.execute(
            text(
                "UPDATE imports SET state = :state, rows_read = :read, rows_accepted = :accepted, "
                "rows_rejected = :rejected, rows_duplicate = :duplicate, new_customers = :new_customers, "
                "customers_over = :over, "
                "columns_used = CAST(:used AS jsonb), columns_unused = CAST(:unused AS jsonb), "
                "rejected_by_reason = CAST(:reasons AS jsonb), error_reason = :reason, "
                "error_message = :message, ended_at = :now, "
                "progress_ratio = CASE WHEN :state = 'SUCCEEDED' THEN 1 ELSE progress_ratio END "
                "WHERE tenant_id = app.tid() AND id = :id AND state IN ('PENDING', 'RUNNING')"
            ),
            {
                "id": import_id,
                "state": state.value,
                "read": rows.read,
                "accepted": rows.accepted,
                "rejected": rows.rejected,
                "duplicate": rows.duplicate,
                "new_customers": new_customers,
                "over": customers_over,
                "used": json.dumps(columns_used),
                "unused": json.dumps([name[:200] for name in columns_unused[:500]]),
                "reasons": json.dumps(rejected_by_reason),
                "reason": error_reason,
                "message": error_message,
                "now": now,
            },
        )

    async def replace_faults(self, import_id: UUID, faults: Sequence[RowFault]) -> None:
        """Store the faults of an import in place of those of an earlier attempt."""
        await self._tx.execute(
            text("DELETE FROM import_faults WHERE tenant_id = app.tid() AND import_id = :id"),
            {"id": import_id},
        )
        if faults:
            await self._tx.execute(
                text(
                    "INSERT INTO import_faults (tenant_id, import_id, position, row_number, line_number, "
                    "column_name, reason, preview) "
                    "VALUES (app.tid(), :id, :position, :row, :line, :column, :reason, :preview)"
                ),
                [
                    {
                        "id": import_id,
                        "position": position,
                        "row": fault.row,
                        "line": fault.line,
                        "column": fault.column[:200],
                        "reason": fault.reason,
                        "preview": fault.preview,
                    }
                    for position, fault in enumerate(faults, 1)
                ],
            )

    async def faults(self, import_id: UUID, after: int, limit: int) -> list[tuple[int, RowFault]]:
        """(position, fault) of an import in file order, after a position."""
        result = await self._tx.execute(
            text(
                "SELECT * FROM import_faults WHERE tenant_id = app.tid() AND import_id = :id "
                "AND position > :after ORDER BY position LIMIT :limit"
            ),
            {"id": import_id, "after": after, "limit": limit},
        )
        return [
            (
                row.position,
                RowFault(row.row_number, row.line_number, row.column_name, row.reason, row.preview),
            )
            for row in result
        ]

    async def unfinished(self, import_ids: Sequence[UUID]) -> set[UUID]:
        """Which of some imports still need their files."""
        result = await self._tx.execute(
            text(
                "SELECT id FROM imports WHERE tenant_id = app.tid() AND id = ANY (CAST(:ids AS uuid[])) "
                "AND state IN ('PENDING', 'RUNNING')"
            ),
            {"ids": list(import_ids)},
        )
        return {plain_uuid(row.id) for row in result}


def _import(row: Any) -> Import:
    return Import(
        import_id=ImportId(plain_uuid(row.id)),
        state=ImportState(row.state),
        options=ImportOptions.from_json(row.options),
        progress_ratio=row.progress_ratio,
        rows=ImportRows(row.rows_read, row.rows_accepted, row.rows_rejected, row.rows_duplicate),
        new_customers=row.new_customers,
        customers_over=row.customers_over,
        columns_used=row.columns_used,
        columns_unused=row.columns_unused,
        rejected_by_reason=row.rejected_by_reason,
        error_reason=row.error_reason,
        error_message=row.error_message,
        file_bytes=row.file_bytes,
        file_sha256=row.file_sha256,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
