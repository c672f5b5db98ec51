"""Stored predictions: written in bulk, read one by one or newest first. Runs live in ``runs.py``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.columns import Predictions
from cohortlens.analytics.models import Prediction, ResourceMissing, StoredPrediction, Task, created_at_of
from cohortlens.analytics.options import Basis, Loss
from cohortlens.core.db import driver
from cohortlens.core.ids import CustomerId, PredictionId
from cohortlens.customers.usability import Activity, ConsentRequired, purpose_of, refused, usable

_INSERT = """
INSERT INTO predictions (tenant_id, created_at, id, customer_id, external_id, task, horizon_days, value,
  lower, upper, level_ratio, unit, model_version, schema_hash, features_snapshot, snapshot_id, as_of,
  request_id, basis, loss, annual_discount_ratio)
SELECT app.tid(), made.* FROM unnest($1::timestamptz[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
  $6::int[], $7::float8[], $8::float8[], $9::float8[], $10::float8[], $11::text[], $12::int[], $13::text[],
  $14::bytea[], $15::text[], $16::date[], $17::text[], $18::text[], $19::text[], $20::float8[])
  AS made (at, id, customer_id)
WHERE {allowed}
""".format(allowed=usable("made.customer_id", "$21"))
_COLUMNS = """
id, customer_id, external_id, task, horizon_days, value, lower, upper, level_ratio, unit, model_version,
snapshot_id, as_of, created_at, features_snapshot, schema_hash, request_id, basis, loss, annual_discount_ratio
FROM predictions p
WHERE tenant_id = app.tid()
"""
_ALLOWED = " AND " + usable("p.customer_id", "CAST(:activity AS text)")
_CUSTOMERS = 2


class PredictionsRepository:
    """SQL of stored predictions.

    Args:
        tx: A transaction of the tenant.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def insert(self, calls: Sequence[Predictions]) -> None:
        """Store the rows of all calls in one statement; each carries its identifiers.

        Whether the customers may be used is asked again here: between reading and storing one may withdraw.

        Raises:
            ResourceMissing: A customer was deleted meanwhile.
            ConsentRequired: A customer may not be used any more.
        """
        columns = [_columns(made) for made in calls]
        arrays = (
            columns[0] if len(columns) == 1 else [list(chain(*parts)) for parts in zip(*columns, strict=True)]
        )
        # Straight to the driver: it encodes whole arrays, SQLAlchemy would look at each value.
        connection = await driver(self._tx)
        try:
            status = await connection.execute(_INSERT, *arrays, Activity.PREDICTION.value)
        except asyncpg.ForeignKeyViolationError as error:
            raise ResourceMissing("customers") from error
        customers: list[UUID] = arrays[_CUSTOMERS]
        if int(status.rpartition(" ")[2]) < len(customers):
            if await refused(self._tx, customers, Activity.PREDICTION):
                raise ConsentRequired(Activity.PREDICTION, await purpose_of(self._tx, Activity.PREDICTION))
            raise ResourceMissing("customers")

    async def get(self, prediction_id: UUID) -> StoredPrediction | None:
        """One prediction."""
        rows = await self._tx.execute(
            text(f"SELECT {_COLUMNS} AND created_at = :created_at AND id = :id"),
            {"created_at": created_at_of(prediction_id), "id": prediction_id},
        )
        row = rows.one_or_none()
        return None if row is None else _stored(row)

    async def made(self, prediction_ids: Sequence[UUID]) -> list[Prediction]:
        """The predictions of one call that are still there, in the order given."""
        # Of one call, so of one time.
        rows = await self._tx.execute(
            text(
                f"SELECT {_COLUMNS}{_ALLOWED} AND created_at = :created_at AND id = ANY(:ids)"
                " ORDER BY array_position(CAST(:ids AS uuid[]), id)"
            ),
            {
                "created_at": created_at_of(prediction_ids[0]),
                "ids": list(prediction_ids),
                "activity": Activity.PREDICTION.value,
            },
        )
        return [_stored(row).prediction for row in rows]

    async def page(
        self, *, customer_id: CustomerId | None, task: Task | None, before: UUID | None, limit: int
    ) -> list[StoredPrediction]:
        """Predictions made before ``before``, newest first, narrowed when a customer or task is given.

        Those of customers who may not be used any more are left out.
        """
        conditions: str = _ALLOWED
        arguments: dict[str, Any] = {"limit": limit, "activity": Activity.PREDICTION.value}
        if customer_id is not None:
            conditions += " AND customer_id = :customer_id"
            arguments["customer_id"] = customer_id
        if task is not None:
            conditions += " AND task = :task"
            arguments["task"] = task.value
        if before is not None:
            conditions += " AND (created_at, id) < (:created_at, :before)"
            arguments |= {"created_at": created_at_of(before), "before": before}
        rows = await self._tx.execute(
            text(f"SELECT {_COLUMNS} {conditions} ORDER BY created_at DESC, id DESC LIMIT :limit"), arguments
        )
        return [_stored(row) for row in rows]


def _columns(made: Predictions) -> list[list[Any]]:
    rows = len(made)
    features = np.ascontiguousarray(made.rows.matrix, "<f4")
    return [
        [made.created_at] * rows,
        list(made.prediction_ids),
        list(made.rows.customer_ids),
        list(made.rows.external_ids),
        [made.task.value] * rows,
        [made.horizon_days] * rows,
        made.value.tolist(),
        made.lower.tolist(),
        made.upper.tolist(),
        [made.level_ratio] * rows,
        [made.unit] * rows,
        [made.model_version] * rows,
        [made.schema_hash] * rows,
        [row.tobytes() for row in features],
        [made.snapshot(at) for at in range(rows)],
        [made.as_of] * rows,
        [made.request_id] * rows,
        [made.basis.value] * rows,
        [made.loss.value] * rows,
        [made.annual_discount_ratio] * rows,
    ]


def _stored(row: Any) -> StoredPrediction:
    prediction = Prediction(
        PredictionId(row.id),
        CustomerId(row.customer_id),
        row.external_id,
        Task(row.task),
        row.horizon_days,
        row.value,
        row.lower,
        row.upper,
        row.level_ratio,
        row.unit,
        row.model_version,
        row.snapshot_id,
        row.as_of,
        row.created_at,
        Basis(row.basis),
        Loss(row.loss),
        row.annual_discount_ratio,
    )
    return StoredPrediction(prediction, bytes(row.features_snapshot), row.schema_hash, row.request_id)
