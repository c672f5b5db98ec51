"""Monthly partitions made ahead, for every partitioned table that the catalogue knows."""

from __future__ import annotations

from sqlalchemy import text

from cohortlens.core import findings
from cohortlens.core.counting import Gauge
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.redis import RedisClient
from cohortlens.core.telemetry import REGISTRY, get_logger

MONTHS_AHEAD = 3
LEAST_AHEAD = 2
_AHEAD = Gauge(
    "partition_months_ahead", "Months after this one that have a partition", ("table",), registry=REGISTRY
)
_LOG = get_logger(__name__)
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'public' AND NOT c.relispartition ORDER BY name
"""
# Months in a row from the next one on: a hole counts as the end, since writes into it would fail.
_COUNT = """
SELECT count(*) FROM (
  SELECT m, bool_and(EXISTS (
    SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = CAST(CAST(:table AS text) AS regclass)
       AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \\(''([^'']+)''\\)')::timestamptz
           <= date_trunc('month', now()) + make_interval(months => m)
       AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)''\\)')::timestamptz
           > date_trunc('month', now()) + make_interval(months => m)
  )) OVER (ORDER BY m) AS is_there FROM generate_series(1, 24) AS m) AS months
 WHERE is_there
"""


async def ensure_partitions(db: Database) -> int:
    """Make the missing monthly partitions of this month and the next three; answers how many.

    A table that fails, such as one that is locked, does not keep the others from theirs.

    Raises:
        CohortLensError: The first fault, after all tables had their turn.
    """
    made, fault = 0, None
    for table in await partitioned(db):
        try:
            async with db.transaction() as tx:
                made += await tx.scalar(
                    text("SELECT app.ensure_partitions(CAST(CAST(:table AS text) AS regclass), :months)"),
                    {"table": table, "months": MONTHS_AHEAD},
                )
        except CohortLensError as error:
            _LOG.warning("partitions_not_made", table=table, error=str(error))
            fault = fault or error
    if fault is not None:
        raise fault
    return made


async def partitioned(db: Database) -> list[str]:
    """Every partitioned table, from the catalogue."""
    async with db.transaction() as tx:
        return list(await tx.scalars(text(_TABLES)))


async def months_ahead(db: Database) -> dict[str, int]:
    """By table, how many months after this one have a partition, without a hole."""
    tables = await partitioned(db)
    async with db.transaction() as tx:
        return {table: int(await tx.scalar(text(_COUNT), {"table": table}) or 0) for table in tables}


async def watch_partitions(db: Database, redis: RedisClient) -> int:
    """Set the metric, tell the gateway, log an error for tables under two months ahead; answers how many."""
    ahead = await months_ahead(db)
    for table, months in ahead.items():
        _AHEAD.labels(table.removeprefix("public.")).set(months)
    behind = {table: months for table, months in ahead.items() if months < LEAST_AHEAD}
    await findings.publish(redis, "partitions", {"behind": sorted(behind)})
    if behind:
        _LOG.error("partitions_behind", tables=behind, least=LEAST_AHEAD)
    return len(behind)
