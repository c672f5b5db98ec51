"""How many audit rows a second: ``make bench-audit`` (``python -m load.bench.audit``).

Starts a PostgreSQL of its own with fsync on. Each append is a transaction of its own, as a change of a tenant
makes it. Beside it, in the same run, as many transactions that insert one row into a plain table: the ratio
tells what the chain costs, whatever else the machine does. A third figure is the chain alone: the function
called over plain connections, one round trip and one commit each, so that the client's own work is not
measured. Every chain is verified at the end. Exit code 1 when the chain alone stays below 400 appends/s on
the hot tenant or a chain does not hold.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
from sqlalchemy import text

from cohortlens.audit.chain_reading import ChainReading
from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail, entry_of
from cohortlens.cli.output import table
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.migrations import runner

BAR_PER_S = 400
SECONDS = 4.0
CONNECTIONS = 16
CONNECTIONS_MAX = 32  # what the embedded PostgreSQL has to spare
CASES = (("hot tenant", 1, 1), ("hot tenant", 16, 1), ("hot tenant", 64, 1), ("16 tenants", 16, 16))
HEADER = [
    "case",
    "writers",
    "appends/s",
    "p50 ms",
    "p99 ms",
    "inserts/s",
    "ratio",
    "chain alone/s",
    "verified",
]
_WHO = Actor("user", str(uuid7()), request_id=str(uuid7()), address="192.0.2.77")
_PLAIN = "CREATE TABLE IF NOT EXISTS bench_plain (tenant_id uuid, at timestamptz, body bytea)"
_BODY = b'{"action":"customers.customer.updated","actor":"user:01930000-0000-7000-8000-000000000001"}' * 3

Write = Callable[[Database, TenantId], Awaitable[None]]


async def append(db: Database, tenant_id: TenantId) -> None:
    """One transaction that chains a row."""
    async with db.tenant_transaction(tenant_id) as tx:
        await AuditTrail(tx).append(
            _WHO,
            "customers.customer.updated",
            resource=f"customers/{tenant_id}",
            details={"fields": ["name"]},
        )


async def insert(db: Database, tenant_id: TenantId) -> None:
    """One transaction that inserts a row into a table without chain, policy or lock."""
    async with db.tenant_transaction(tenant_id) as tx:
        query = text("INSERT INTO bench_plain VALUES (:tenant, clock_timestamp(), :body)")
        await tx.execute(query, {"tenant": tenant_id, "body": _BODY})


async def rate(
    db: Database, write: Write, tenants: list[TenantId], writers: int
) -> tuple[float, list[float]]:
    """Writes a second over ``SECONDS``, and the milliseconds of each, sorted."""
    took: list[float] = []
    stop = time.perf_counter() + SECONDS

    async def run(number: int) -> None:
        while (begun := time.perf_counter()) < stop:
            await write(db, tenants[number % len(tenants)])
            took.append((time.perf_counter() - begun) * 1000)

    begun = time.perf_counter()
    await asyncio.gather(*(run(number) for number in range(writers)))
    return len(took) / (time.perf_counter() - begun), sorted(took)


async def chain_alone(url: str, tenants: list[TenantId], writers: int) -> float:
    """Rows a second that the function chains when nothing but the database works."""
    canonical = entry_of(
        _WHO, "customers.customer.updated", resource="customers/1", outcome="OK", details={"fields": ["name"]}
    ).canonical()
    connections = [await asyncpg.connect(url) for _ in range(min(writers, CONNECTIONS_MAX))]
    for number, connection in enumerate(connections):
        tenant = str(tenants[number % len(tenants)])
        await connection.execute("SELECT set_config('app.tenant_id', $1, false)", tenant)
    begun, done = time.perf_counter(), 0

    async def run(connection: asyncpg.Connection) -> None:
        nonlocal done
        while time.perf_counter() < begun + SECONDS:
            await connection.execute("SELECT app.audit_append($1)", canonical)
            done += 1

    await asyncio.gather(*map(run, connections))
    took_s = time.perf_counter() - begun
    await asyncio.gather(*(connection.close() for connection in connections))
    return done / took_s


async def measure(url: str) -> tuple[list[list[str]], bool]:
    """The rows of the table, and whether every bar was met."""
    db, is_good, rows = Database(url, CONNECTIONS), True, []
    try:
        for name, writers, count in CASES:
            tenants = [TenantId(uuid7()) for _ in range(count)]
            plain, _ = await rate(db, insert, tenants, writers)
            chained, took = await rate(db, append, tenants, writers)
            alone = await chain_alone(url, tenants, writers)
            reports = [await ChainReading(db).verify(tenant_id, {}) for tenant_id in tenants]
            holds = all(report.fault is None for report in reports)
            is_good = is_good and holds and (writers == 1 or alone >= BAR_PER_S)
            rows.append(
                [
                    name,
                    str(writers),
                    f"{chained:,.0f}",
                    f"{took[len(took) // 2]:.1f}",
                    f"{took[int(len(took) * 0.99)]:.1f}",
                    f"{plain:,.0f}",
                    f"{chained / plain:.2f}",
                    f"{alone:,.0f}",
                    f"{sum(report.rows for report in reports):,}" if holds else "BROKEN",
                ]
            )
    finally:
        await db.close()
    return rows, is_good


async def _prepared(admin: str) -> None:
    db = Database(admin, 1)
    try:
        async with db.transaction() as tx:
            await tx.execute(text(_PLAIN))
            await tx.execute(text("GRANT INSERT ON bench_plain TO cl_app"))
    finally:
        await db.close()


def main() -> int:
    """Run the benchmark; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="cl-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "data", 0, ephemeral=True)
        urls = server.start()
        try:
            runner.upgrade(urls.admin)
            asyncio.run(_prepared(urls.admin))
            rows, is_good = asyncio.run(measure(urls.runtime))
        finally:
            server.stop()
    sys.stdout.write(table(rows, HEADER, frozenset(range(1, 9))) + "\n")
    if not is_good:
        sys.stdout.write(f"below {BAR_PER_S} appends/s on the hot tenant, or a chain does not hold\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
