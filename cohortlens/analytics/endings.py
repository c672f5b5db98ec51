"""How a row of long work ends before its time: the same for every table that holds such rows."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

WorkTable: TypeAlias = Literal["batch_predictions", "drift_reports", "segmentation_runs", "training_runs"]


async def end_failed(
    tx: AsyncConnection, table: WorkTable, row_id: UUID, reason: str, message: str, at: datetime
) -> None:
    """End work badly; what has ended stays as it is.

    Args:
        tx: A transaction of the tenant.
        table: Where its row lies.
        row_id: Identifier of the row.
        reason: Why, in upper snake case.
        message: The same for a person.
        at: The time.
    """
    await tx.execute(
        text(
            f"UPDATE {table} "  # noqa: S608 - one of four names of ours
            "SET state = 'FAILED', error_reason = :reason, error_message = :message, "
            "ended_at = :at WHERE tenant_id = app.tid() AND id = :id AND state IN ('PENDING', 'RUNNING')"
        ),
        {"id": row_id, "reason": reason, "message": message, "at": at},
    )


async def end_cancelled(tx: AsyncConnection, table: WorkTable, row_id: UUID, at: datetime) -> bool:
    """End work because its tenant wants so; False when it had ended, or is not there. As ``end_failed``."""
    done = await tx.execute(
        text(
            f"UPDATE {table} "  # noqa: S608 - one of four names of ours
            "SET state = 'CANCELLED', ended_at = :at "
            "WHERE tenant_id = app.tid() AND id = :id AND state IN ('PENDING', 'RUNNING')"
        ),
        {"id": row_id, "at": at},
    )
    return bool(done.rowcount)
