"""The tables of batch predictions: inputs, batches, slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.batches.models import BatchInput, BatchPrediction
from cohortlens.analytics.endings import end_cancelled, end_failed
from cohortlens.analytics.models import Task, WorkState
from cohortlens.analytics.options import Loss, PredictionOptions
from cohortlens.contracts.asks import DEFAULT_DISCOUNT
from cohortlens.core.ids import plain_uuid

_BATCH = """
id, task, horizon_days, input_id, state, model_version, unit, as_of, rows, rows_done,
rows_skipped, result_sha256, result_bytes, error_reason, error_message, created_at, ended_at, removed_at,
excluded_no_consent, level_ratio, loss, annual_discount_ratio
FROM batch_predictions WHERE tenant_id = app.tid()
"""
_INPUT = """
id, file_name, file_bytes, file_sha256, rows, slice_rows, schema_hash, created_at, removed_at
FROM batch_inputs WHERE tenant_id = app.tid()
"""
_INSERT_BATCH = """
INSERT INTO batch_predictions (tenant_id, id, task, horizon_days, input_id, model_version, unit, rows,
  created_by, created_at, level_ratio, loss, annual_discount_ratio)
VALUES (app.tid(), :id, :task, :horizon, :input, :version, :unit, :rows, :created_by, :created_at,
  :level_ratio, :loss, :discount)
"""
_INSERT_INPUT = """
INSERT INTO batch_inputs (tenant_id, id, file_name, file_bytes, file_sha256, rows, slice_rows, schema_hash,
  created_by, created_at)
VALUES (app.tid(), :id, :file_name, :file_bytes, :sha256, :rows, :slice_rows, :schema_hash, :created_by,
  :created_at)
"""
_INSERT_SLICES = """
INSERT INTO batch_slices (tenant_id, batch_id, slice, rows)
SELECT app.tid(), :batch, given.slice - 1, given.rows
FROM unnest(CAST(:rows AS int[])) WITH ORDINALITY AS given (rows, slice)
"""
_KEPT = """
SELECT id FROM batch_predictions WHERE tenant_id = app.tid() AND id = ANY(CAST(:ids AS uuid[]))
  AND (state IN ('PENDING', 'RUNNING') OR ended_at >= :before)
UNION ALL
SELECT i.id FROM batch_inputs i WHERE i.tenant_id = app.tid() AND i.id = ANY(CAST(:ids AS uuid[]))
  AND (i.created_at >= :before OR EXISTS (SELECT 1 FROM batch_predictions b WHERE b.tenant_id = i.tenant_id
    AND b.input_id = i.id AND b.state IN ('PENDING', 'RUNNING')))
"""
_REMOVED = (
    "UPDATE batch_predictions SET removed_at = :at "
    "WHERE tenant_id = app.tid() AND id = ANY(CAST(:ids AS uuid[])) AND removed_at IS NULL",
    "UPDATE batch_inputs SET removed_at = :at "
    "WHERE tenant_id = app.tid() AND id = ANY(CAST(:ids AS uuid[])) AND removed_at IS NULL",
)


@dataclass(frozen=True)
class Skipped:
    """Rows of a slice that are left out of the result.

    Attributes:
        rows: Their places in the slice, from 0, ascending.
        no_consent: How many of them because their customer may not be used; the others' customers are gone.
    """

    rows: Sequence[int] = ()
    no_consent: int = 0


class BatchesRepository:
    """SQL of batch predictions.

    Args:
        tx: A transaction of the tenant.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def insert(self, batch: BatchPrediction, created_by: UUID | None) -> None:
        """Store a pending batch."""
        await self._tx.execute(
            text(_INSERT_BATCH),
            {
                "id": batch.batch_id,
                "task": batch.task.value,
                "horizon": batch.horizon_days,
                "input": batch.input_id,
                "version": batch.model_version,
                "unit": batch.unit,
                "rows": batch.rows,
                "created_by": created_by,
                "created_at": batch.created_at,
                "level_ratio": batch.options.level_ratio,
                "loss": batch.options.loss.value,
                "discount": batch.options.annual_discount_ratio if batch.task is Task.CLV else None,
            },
        )

    async def get(self, batch_id: UUID) -> BatchPrediction | None:
        """One batch."""
        rows = await self._tx.execute(text(f"SELECT {_BATCH} AND id = :id"), {"id": batch_id})
        row = rows.one_or_none()
        return None if row is None else _batch(row)

    async def page(self, before: UUID | None, limit: int) -> list[BatchPrediction]:
        """Batches requested before ``before``, newest first."""
        rows = await self._tx.execute(
            text(
                f"SELECT {_BATCH} AND (CAST(:before AS uuid) IS NULL OR id < :before) "
                "ORDER BY id DESC LIMIT :limit"
            ),
            {"before": before, "limit": limit},
        )
        return [_batch(row) for row in rows]

    async def count_unfinished(self) -> int:
        """Batches of the tenant that are not final."""
        found = await self._tx.scalar(
            text(
                "SELECT count(*) FROM batch_predictions "
                "WHERE tenant_id = app.tid() AND state IN ('PENDING', 'RUNNING')"
            )
        )
        return int(found or 0)

    async def begin(
        self, batch_id: UUID, slices: Sequence[int], as_of: date | None, excluded_no_consent: int = 0
    ) -> bool:
        """Store the slices of the frozen input; False when the batch has slices already or has ended.

        Args:
            batch_id: The batch.
            slices: Rows of each slice, in order.
            as_of: Last day of data; None for an uploaded input.
            excluded_no_consent: Customers with features who may not be used, left out of the input.
        """
        moved = await self._tx.execute(
            text(
                "UPDATE batch_predictions SET state = 'RUNNING', rows = :rows, as_of = :as_of, "
                "excluded_no_consent = :excluded "
                "WHERE tenant_id = app.tid() AND id = :id AND state = 'PENDING' RETURNING id"
            ),
            {"id": batch_id, "rows": sum(slices), "as_of": as_of, "excluded": excluded_no_consent},
        )
        if moved.one_or_none() is None:
            return False
        await self._tx.execute(text(_INSERT_SLICES), {"batch": batch_id, "rows": list(slices)})
        return True

    async def open_slices(self, batch_id: UUID) -> list[int]:
        """Slices that are not committed, in order."""
        rows = await self._tx.execute(
            text(
                "SELECT slice FROM batch_slices "
                "WHERE tenant_id = app.tid() AND batch_id = :batch AND done_at IS NULL ORDER BY slice"
            ),
            {"batch": batch_id},
        )
        return [row.slice for row in rows]

    async def undone(self, batch_id: UUID) -> list[tuple[int, int]]:
        """Slices that are not committed, with their rows; none while the batch has not ended."""
        rows = await self._tx.execute(
            text(
                "SELECT s.slice, s.rows FROM batch_slices s JOIN batch_predictions b "
                "ON b.tenant_id = s.tenant_id AND b.id = s.batch_id WHERE s.tenant_id = app.tid() "
                "AND s.batch_id = :batch AND s.done_at IS NULL AND b.ended_at IS NOT NULL"
            ),
            {"batch": batch_id},
        )
        return [(row.slice, row.rows) for row in rows]

    async def slices(self, batch_id: UUID) -> list[tuple[int, int, list[int]]]:
        """Every slice with the number of its rows and those that are skipped, in order."""
        rows = await self._tx.execute(
            text(
                "SELECT slice, rows, skipped FROM batch_slices "
                "WHERE tenant_id = app.tid() AND batch_id = :batch ORDER BY slice"
            ),
            {"batch": batch_id},
        )
        return [(row.slice, row.rows, list(row.skipped)) for row in rows]

    async def lock_slice(self, batch_id: UUID, slice_: int) -> bool:
        """Lock a slice that is not committed until the transaction ends; False when it is committed."""
        rows = await self._tx.execute(
            text(
                "SELECT 1 FROM batch_slices WHERE tenant_id = app.tid() AND batch_id = :batch "
                "AND slice = :slice AND done_at IS NULL FOR UPDATE"
            ),
            {"batch": batch_id, "slice": slice_},
        )
        return rows.one_or_none() is not None

    async def finish_slice(
        self, batch_id: UUID, slice_: int, *, rows: int, skipped: Skipped, at: datetime
    ) -> bool:
        """Mark a slice done and count it; False when the batch has ended meanwhile.

        The batch is touched last, so that a cancellation waits for a moment only.
        """
        await self._tx.execute(
            text(
                "UPDATE batch_slices SET done_at = :at, skipped = CAST(:skipped AS int[]) "
                "WHERE tenant_id = app.tid() AND batch_id = :batch AND slice = :slice"
            ),
            {"batch": batch_id, "slice": slice_, "skipped": list(skipped.rows), "at": at},
        )
        counted = await self._tx.execute(
            text(
                "UPDATE batch_predictions SET rows_done = rows_done + :rows, "
                "rows_skipped = rows_skipped + :skipped, "
                "excluded_no_consent = excluded_no_consent + :refused "
                "WHERE tenant_id = app.tid() AND id = :batch AND state = 'RUNNING' RETURNING id"
            ),
            {
                "batch": batch_id,
                "rows": rows,
                "skipped": len(skipped.rows),
                "refused": skipped.no_consent,
            },
        )
        return counted.one_or_none() is not None

    async def leave_out(self, batch_id: UUID, slice_: int, rows: Sequence[int]) -> None:
        """Leave rows of a committed slice out of the result: their customers may not be used any more."""
        await self._tx.execute(
            text(
                "UPDATE batch_slices SET skipped = "
                "ARRAY(SELECT DISTINCT row FROM unnest(skipped || CAST(:rows AS int[])) AS row ORDER BY row) "
                "WHERE tenant_id = app.tid() AND batch_id = :batch AND slice = :slice"
            ),
            {"batch": batch_id, "slice": slice_, "rows": list(rows)},
        )
        await self._tx.execute(
            text(
                "UPDATE batch_predictions SET rows_skipped = rows_skipped + :count, "
                "excluded_no_consent = excluded_no_consent + :count "
                "WHERE tenant_id = app.tid() AND id = :batch"
            ),
            {"batch": batch_id, "count": len(rows)},
        )

    async def succeed(self, batch_id: UUID, sha256: str, size_bytes: int, at: datetime) -> None:
        """End a batch well; one that has ended stays as it is."""
        await self._tx.execute(
            text(
                "UPDATE batch_predictions SET state = 'SUCCEEDED', result_sha256 = :sha256, "
                "result_bytes = :bytes, ended_at = :at "
                "WHERE tenant_id = app.tid() AND id = :id AND state = 'RUNNING'"
            ),
            {"id": batch_id, "sha256": sha256, "bytes": size_bytes, "at": at},
        )

    async def fail(self, batch_id: UUID, reason: str, message: str, at: datetime) -> None:
        """End a batch badly; one that has ended stays as it is."""
        await end_failed(self._tx, "batch_predictions", batch_id, reason, message, at)

    async def cancel(self, batch_id: UUID, at: datetime) -> bool:
        """End a batch by its tenant's will; False for one that had ended, which stays as it is."""
        return await end_cancelled(self._tx, "batch_predictions", batch_id, at)

    async def insert_input(self, given: BatchInput, created_by: UUID | None) -> None:
        """Store an uploaded input."""
        await self._tx.execute(
            text(_INSERT_INPUT),
            {
                "id": given.input_id,
                "file_name": given.file_name,
                "file_bytes": given.file_bytes,
                "sha256": given.file_sha256,
                "rows": given.rows,
                "slice_rows": given.slice_rows,
                "schema_hash": given.schema_hash,
                "created_by": created_by,
                "created_at": given.created_at,
            },
        )

    async def get_input(self, input_id: UUID, *, keep: bool = False) -> BatchInput | None:
        """One uploaded input; with ``keep`` its file is not removed before the transaction ends."""
        suffix = "FOR SHARE" if keep else ""
        rows = await self._tx.execute(text(f"SELECT {_INPUT} AND id = :id {suffix}"), {"id": input_id})
        row = rows.one_or_none()
        return None if row is None else _input(row)

    async def remove_expired(self, owners: Sequence[UUID], before: datetime, at: datetime) -> set[UUID]:
        """Mark the files of batches and inputs as removed; gives those that may go, unknown ones included.

        Args:
            owners: Batches and uploaded inputs whose folders were found.
            before: Work that ended, and inputs that came, before this time may lose their files.
            at: The time now.
        """
        kept = await self._tx.execute(text(_KEPT), {"ids": list(owners), "before": before})
        gone = set(owners) - {plain_uuid(row.id) for row in kept}
        for statement in _REMOVED:
            await self._tx.execute(text(statement), {"ids": list(gone), "at": at})
        return gone


def _batch(row: Any) -> BatchPrediction:
    discount = row.annual_discount_ratio
    options = PredictionOptions(
        row.level_ratio, Loss(row.loss), DEFAULT_DISCOUNT if discount is None else discount
    )
    batch = BatchPrediction(
        plain_uuid(row.id),
        Task(row.task),
        row.horizon_days,
        None if row.input_id is None else plain_uuid(row.input_id),
        WorkState(row.state),
        *row[5:-4],
    )
    return replace(batch, options=options, excluded_no_consent=row.excluded_no_consent)


def _input(row: Any) -> BatchInput:
    return BatchInput(plain_uuid(row.id), *row[1:])
