"""Predictions that are older than their tenant keeps them go; jobs run it once a day."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from cohortlens.core.db import Database
from cohortlens.core.ids import plain_uuid

BATCH_ROWS = 20_000
_DELETE = """
DELETE FROM {table} WHERE tenant_id = :tenant AND (created_at, id) IN (
  SELECT created_at, id FROM {table}
   WHERE tenant_id = :tenant AND created_at < clock_timestamp() - make_interval(days => :days) LIMIT :rows)
"""
_TABLES = ("predictions", "shadow_predictions")


async def drop_old_predictions(db: Database) -> int:
    """Delete the predictions past the retention of each tenant, in batches; answers how many.

    Args:
        db: Database as the runtime role.
    """
    async with db.transaction() as tx:
        kept = (await tx.execute(text("SELECT * FROM app.tenants_with_retention()"))).all()
    dropped = 0
    for row in kept:
        for table in _TABLES:
            dropped += await _drop(db, table, plain_uuid(row.tenant_id), row.retention_days)
    return dropped


async def _drop(db: Database, table: str, tenant_id: UUID, days: int) -> int:
    statement, dropped = text(_DELETE.format(table=table)), 0
    while True:
        async with db.tenant_transaction(tenant_id) as tx:
            done = await tx.execute(statement, {"tenant": tenant_id, "days": days, "rows": BATCH_ROWS})
        dropped += done.rowcount
        if done.rowcount < BATCH_ROWS:
            return dropped
