"""One slice of customers' predictions into PostgreSQL, with the mark that it is done, in one transaction.

Rows go as one binary COPY into a temporary table, since tables with row-level security refuse COPY, and from
there by one INSERT. Identifiers follow from batch and row, so the primary key itself refuses a second copy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import asyncpg
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.batches.files import SliceRows
from cohortlens.analytics.batches.repository import Skipped
from cohortlens.analytics.models import Task
from cohortlens.analytics.options import Basis, Loss
from cohortlens.analytics.ports import Values
from cohortlens.contracts.batch_files import SCORES
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.db import driver
from cohortlens.core.errors import Aborted
from cohortlens.core.ids import plain_uuid
from cohortlens.customers.usability import Activity, join_by_hash, usable, usable_among_all

_LIMITS = "SET LOCAL statement_timeout = '2min'; SET LOCAL idle_in_transaction_session_timeout = '2min'"
_STAGE = """
CREATE TEMPORARY TABLE cl_scored (row integer, id uuid, customer_id uuid, value double precision,
  lower double precision, upper double precision, vector bytea, snapshot bytea) ON COMMIT DROP
"""
_INSERT = """
INSERT INTO predictions (tenant_id, created_at, id, customer_id, external_id, task, horizon_days, value,
  lower, upper, level_ratio, unit, model_version, schema_hash, features_snapshot, snapshot_id, as_of,
  request_id, basis, loss, annual_discount_ratio)
SELECT app.tid(), $1, s.id, s.customer_id, c.external_id, $2, $3, s.value, s.lower, s.upper, $4, $5, $6, $7,
  s.vector, encode(s.snapshot, 'hex'), $8, $9, $10, $11, $12
  FROM cl_scored s JOIN customers c ON c.tenant_id = app.tid() AND c.id = s.customer_id
 WHERE {allowed}
""".format(allowed=usable("s.customer_id", "$13"))
_SKIPPED = """
SELECT s.row, c.id IS NOT NULL AS is_there
  FROM cl_scored s LEFT JOIN customers c ON c.tenant_id = app.tid() AND c.id = s.customer_id
 WHERE NOT EXISTS (SELECT 1 FROM predictions p
   WHERE p.tenant_id = app.tid() AND p.created_at = :created_at AND p.id = s.id) ORDER BY s.row
"""
_REFUSED = """
DELETE FROM predictions p WHERE p.tenant_id = app.tid() AND p.created_at = :created_at
  AND p.id BETWEEN :first AND :last AND NOT {allowed} RETURNING p.id
""".format(allowed=usable_among_all("p.customer_id", "CAST(:activity AS text)"))
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
# One field of the binary form of COPY is its length and its bytes; all of ours have a fixed length.
_FIELDS: tuple[tuple[str, str, int], ...] = (
    ("row", ">i4", 4),
    ("id", "V16", 16),
    ("customer", "V16", 16),
    *((name, ">f8", 8) for name in SCORES),
)
_ROW_BITS = 28


@dataclass(frozen=True)
class Stamp:
    """What is the same in every prediction of a batch.

    Attributes:
        batch_id: The batch; also names the request that made the predictions.
        created_at: Their time: that of the batch, in milliseconds.
        task: What is predicted.
        horizon_days: Days looked ahead.
        level_ratio: Share of outcomes the interval covers.
        unit: Unit of the values.
        model_version: Version that made them.
        as_of: Last day of data.
        basis: What the values rest on.
        loss: What errors cost.
        annual_discount_ratio: Discount a year; None unless they are lifetime values.
    """

    batch_id: UUID
    created_at: datetime
    task: Task
    horizon_days: int
    level_ratio: float
    unit: str
    model_version: int
    as_of: date
    basis: Basis = Basis.BOOSTING
    loss: Loss = Loss.RMSE
    annual_discount_ratio: float | None = None


def prediction_ids(batch_id: UUID, first_row: int, count: int) -> NDArray[np.void]:
    """Identifiers of predictions, shape (count,), 16 bytes each: UUIDv7 of the batch's millisecond.

    Behind the millisecond stand 28 bits of the row and 46 random bits of the batch, so that they ascend with
    the rows and are the same in every attempt.
    """
    rows = np.arange(first_row, first_row + count, dtype=np.uint64)
    if first_row + count > 1 << _ROW_BITS:
        raise ValueError("a batch has more rows than identifiers")
    millisecond = np.uint64(batch_id.int >> 80)
    high = (millisecond << np.uint64(16)) | np.uint64(0x7000) | (rows >> np.uint64(16))
    random = np.uint64(batch_id.int & ((1 << 46) - 1))
    low = np.uint64(1 << 63) | ((rows & np.uint64(0xFFFF)) << np.uint64(46)) | random
    pairs = np.empty((count, 2), ">u8")
    pairs[:, 0], pairs[:, 1] = high, low
    return pairs.view("V16").reshape(count)


def copy_bytes(ids: NDArray[np.void], rows: SliceRows, scores: dict[str, Values], digests: bytes) -> bytes:
    """The slice in the binary form of COPY, in the columns of the temporary table."""
    assert rows.customers is not None
    count, width = len(ids), 4 * rows.matrix.shape[1]
    fields = (*_FIELDS, ("vector", f"V{width}", width), ("snapshot", "V16", 16))
    kinds = [pair for name, kind, _ in fields for pair in ((f"{name}_bytes", ">i4"), (name, kind))]
    record = np.empty(count, np.dtype([("fields", ">i2"), *kinds]))
    record["fields"] = len(fields)
    for name, _, size in fields:
        record[f"{name}_bytes"] = size
    record["row"] = np.arange(count)
    record["id"] = ids
    record["customer"] = rows.customers
    for name in SCORES:
        record[name] = scores[name]
    record["vector"] = np.ascontiguousarray(rows.matrix, "<f4").view(f"V{width}").reshape(count)
    record["snapshot"] = np.frombuffer(digests, "V16")
    return _SIGNATURE + record.tobytes() + _TRAILER


async def store(tx: AsyncConnection, stamp: Stamp, copied: bytes, count: int) -> Skipped:
    """Insert the predictions of a slice.

    Args:
        tx: A transaction of the tenant.
        stamp: What all of them share.
        copied: What ``copy_bytes`` gave.
        count: Rows in it.

    Returns:
        Rows whose customer is gone or may not be used any more.

    Raises:
        Aborted: ``SERIALIZATION_RETRY``: a customer went while the rows were written.
    """
    connection = await driver(tx)
    await connection.execute(_LIMITS)
    await connection.execute(_STAGE)
    await connection.copy_to_table("cl_scored", source=_once(copied), format="binary")
    try:
        status = await connection.execute(
            _INSERT,
            stamp.created_at,
            stamp.task.value,
            stamp.horizon_days,
            stamp.level_ratio,
            stamp.unit,
            stamp.model_version,
            SCHEMA.hash,
            stamp.as_of,
            f"batch-{stamp.batch_id}",
            stamp.basis.value,
            stamp.loss.value,
            stamp.annual_discount_ratio,
            Activity.PREDICTION.value,
        )
    except asyncpg.ForeignKeyViolationError as error:
        raise Aborted("a customer was deleted meanwhile; try again", retry_delay_s=0.1) from error
    if int(status.rpartition(" ")[2]) == count:
        return Skipped()
    left = (await tx.execute(text(_SKIPPED), {"created_at": stamp.created_at})).all()
    return Skipped([row.row for row in left], sum(row.is_there for row in left))


async def remove_refused(tx: AsyncConnection, batch_id: UUID, created_at: datetime, rows: int) -> list[int]:
    """Delete the predictions of a batch whose customers may not be used any more.

    Args:
        tx: A transaction of the tenant.
        batch_id: The batch.
        created_at: Its time.
        rows: Rows of the batch, at least 1.

    Returns:
        Their places in the batch, from 0.
    """
    first, last = (UUID(bytes=prediction_ids(batch_id, row, 1)[0].tobytes()) for row in (0, rows - 1))
    await tx.execute(text("SET LOCAL statement_timeout = '2min'"))
    await join_by_hash(tx)
    gone = await tx.execute(
        text(_REFUSED),
        {"created_at": created_at, "first": first, "last": last, "activity": Activity.PREDICTION.value},
    )
    return sorted(row_of(plain_uuid(one.id)) for one in gone)


def row_of(prediction_id: UUID) -> int:
    """The row of its batch that ``prediction_ids`` named a prediction for."""
    return ((prediction_id.int >> 64) & 0xFFF) << 16 | (prediction_id.int >> 46) & 0xFFFF


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
