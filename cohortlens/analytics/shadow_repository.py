"""The tables of the shadow: a challenger's answers for customers, and sums over all compared rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.models import Task
from cohortlens.analytics.shadow_totals import Comparison, ShadowKey, ShadowTotals
from cohortlens.core.db import driver
from cohortlens.core.ids import CustomerId
from cohortlens.customers.usability import Activity, usable

# A customer deleted or withdrawn meanwhile is left out; its row may not bring down the others'.
_INSERT = """
INSERT INTO shadow_predictions (tenant_id, created_at, id, customer_id, task, horizon_days, champion_version,
  champion_value, champion_lower, champion_upper, challenger_version, challenger_value)
SELECT app.tid(), r.* FROM unnest($1::timestamptz[], $2::uuid[], $3::uuid[], $4::text[], $5::int[], $6::int[],
  $7::float8[], $8::float8[], $9::float8[], $10::int[], $11::float8[])
  AS r (created_at, id, customer_id, task, horizon_days, champion_version, champion_value, champion_lower,
  champion_upper, challenger_version, challenger_value)
WHERE {allowed}
""".format(allowed=usable("r.customer_id", "$12"))
# The sums of two sets of rows as ShadowTotals adds them, next to the row that is there.
_ADD = """
INSERT INTO shadow_totals AS t (tenant_id, champion_version, challenger_version, task, horizon_days, rows,
  champion_mean, challenger_mean, champion_squares, challenger_squares, products, absolute_difference,
  outside, timed_calls, champion_ms, challenger_ms, updated_at)
VALUES (app.tid(), :champion_version, :challenger_version, :task, :horizon_days, :rows,
  :champion_mean, :challenger_mean, :champion_squares, :challenger_squares, :products, :absolute_difference,
  :outside, :timed_calls, :champion_ms, :challenger_ms, :updated_at)
ON CONFLICT (tenant_id, model, champion_version, challenger_version, task, horizon_days) DO UPDATE SET
  rows = t.rows + excluded.rows,
  champion_mean = t.champion_mean
    + (excluded.champion_mean - t.champion_mean) * excluded.rows / (t.rows + excluded.rows),
  challenger_mean = t.challenger_mean
    + (excluded.challenger_mean - t.challenger_mean) * excluded.rows / (t.rows + excluded.rows),
  champion_squares = t.champion_squares + excluded.champion_squares
    + power(excluded.champion_mean - t.champion_mean, 2) * t.rows * excluded.rows / (t.rows + excluded.rows),
  challenger_squares = t.challenger_squares + excluded.challenger_squares
    + power(excluded.challenger_mean - t.challenger_mean, 2)
    * t.rows * excluded.rows / (t.rows + excluded.rows),
  products = t.products + excluded.products
    + (excluded.champion_mean - t.champion_mean) * (excluded.challenger_mean - t.challenger_mean)
    * t.rows * excluded.rows / (t.rows + excluded.rows),
  absolute_difference = t.absolute_difference + excluded.absolute_difference,
  outside = t.outside + excluded.outside,
  timed_calls = t.timed_calls + excluded.timed_calls,
  champion_ms = t.champion_ms + excluded.champion_ms,
  challenger_ms = t.challenger_ms + excluded.challenger_ms,
  updated_at = excluded.updated_at
"""
_TOTALS = tuple(field.name for field in fields(ShadowTotals))


@dataclass(frozen=True, slots=True)
class ShadowPrediction:
    """What both versions answered for one customer."""

    created_at: datetime
    shadow_id: UUID
    customer_id: CustomerId
    key: ShadowKey
    champion_value: float
    champion_lower: float
    champion_upper: float
    challenger_value: float


class ShadowRepository:
    """SQL of the shadow.

    Args:
        tx: A transaction of the tenant.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def insert(self, rows: Sequence[ShadowPrediction]) -> None:
        """Store answers in one statement; those of customers who are gone or withdrew are left out."""
        arrays: list[list[Any]] = [list(column) for column in zip(*map(_row, rows), strict=True)]
        connection = await driver(self._tx)
        await connection.execute(_INSERT, *arrays, Activity.PREDICTION.value)

    async def add(self, sums: Mapping[ShadowKey, ShadowTotals], at: datetime) -> None:
        """Add sums to those stored."""
        # One order for every process: two that add the same keys must not wait for each other.
        for key in sorted(sums, key=_order):
            named = {**asdict(key), "task": key.task.value, **asdict(sums[key]), "updated_at": at}
            await self._tx.execute(text(_ADD), named)

    async def comparisons(self, challenger_version: int) -> list[Comparison]:
        """All sums of a challenger, latest champion first."""
        rows = await self._tx.execute(
            text(
                "SELECT * FROM shadow_totals WHERE tenant_id = app.tid() AND challenger_version = :version "
                "ORDER BY champion_version DESC, task, horizon_days"
            ),
            {"version": challenger_version},
        )
        return [_comparison(row) for row in rows]


def _order(key: ShadowKey) -> tuple[int, int, str, int]:
    return key.champion_version, key.challenger_version, key.task.value, key.horizon_days


def _row(one: ShadowPrediction) -> tuple[Any, ...]:
    return (
        one.created_at,
        one.shadow_id,
        one.customer_id,
        one.key.task.value,
        one.key.horizon_days,
        one.key.champion_version,
        one.champion_value,
        one.champion_lower,
        one.champion_upper,
        one.key.challenger_version,
        one.challenger_value,
    )


def _comparison(row: Any) -> Comparison:
    key = ShadowKey(row.champion_version, row.challenger_version, Task(row.task), row.horizon_days)
    return Comparison(key, ShadowTotals(*(getattr(row, name) for name in _TOTALS)), row.updated_at)
