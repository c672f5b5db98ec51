"""How many audit rows a second: ``make bench-audit`` (``python -m load.bench.audit``).

Starts a PostgreSQL of its own with fsync on. A writer changes a row of a plain table and chains the audit row
of that change, as the slices do: one whole transaction through ``cohortlens.core.db`` per append. Beside it,
in the same run, the same transactions without the audit row: the ratio tells what the chain costs, whatever
else the machine does. Processor time per append, of this process and of PostgreSQL, tells what limits it.

For information stands the function alone: called over plain connections without a change, a round trip and a
commit each, so that the client's own work is not measured. Every chain is verified at the end. Exit code 1
when whole transactions of several writers of the hot tenant stay below 400/s, or a chain does not hold.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

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
    "client us",
    "server us",
    "unaudited/s",
    "ratio",
    "function alone/s",
    "verified",
]
_WHO = Actor("user", str(uuid7()), request_id=str(uuid7()), address="192.0.2.77")
_PLAIN = "CREATE TABLE IF NOT EXISTS bench_plain (tenant_id uuid, at timestamptz, body bytea)"
_INSERT = text("INSERT INTO bench_plain VALUES (:tenant, clock_timestamp(), :body)")
_BODY = b'{"display_name":"a customer","updated_by":"user:01930000-0000-7000-8000-000000000001"}'

Write = Callable[[Database, TenantId], Awaitable[None]]


@dataclass(frozen=True)
class Pace:
    """What writers did in ``SECONDS``.

    Attributes:
        per_s: Transactions a second.
        took_ms: How long each took, sorted.
        client_us: Processor time of this process for one.
        server_us: Processor time of PostgreSQL for one, its background work included.
    """

    per_s: float
    took_ms: list[float]
    client_us: float
    server_us: float


async def append(db: Database, tenant_id: TenantId) -> None:
    """One transaction that changes something and chains the row that tells of it."""
    async with db.tenant_transaction(tenant_id) as tx:
        await _change(tx, tenant_id)
        await AuditTrail(tx).append(
            _WHO,
            "customers.customer.updated",
            resource=f"customers/{tenant_id}",
            details={"fields": ["name"]},
        )


async def change(db: Database, tenant_id: TenantId) -> None:
    """The same transaction without the audit row."""
    async with db.tenant_transaction(tenant_id) as tx:
        await _change(tx, tenant_id)


async def paced(
    db: Database, write: Write, tenants: list[TenantId], writers: int, server: psutil.Process
) -> Pace:
    """Let ``writers`` write one transaction after the other over ``SECONDS``."""
    took: list[float] = []
    used, served = time.process_time(), _processor_s(server)
    begun = time.perf_counter()

    async def run(number: int) -> None:
        while (since := time.perf_counter()) < begun + SECONDS:
            await write(db, tenants[number % len(tenants)])
            took.append((time.perf_counter() - since) * 1000)

    await asyncio.gather(*(run(number) for number in range(writers)))
    wall = time.perf_counter() - begun
    client, server_s = time.process_time() - used, _processor_s(server) - served
    return Pace(len(took) / wall, sorted(took), client / len(took) * 1e6, server_s / len(took) * 1e6)


async def function_alone(url: str, tenants: list[TenantId], writers: int) -> float:
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


async def measure(url: str, server: psutil.Process) -> tuple[list[list[str]], bool]:
    """The rows of the table, and whether every bar was met."""
    db, is_good, rows = Database(url, CONNECTIONS), True, []
    try:
        for name, writers, count in CASES:
            tenants = [TenantId(uuid7()) for _ in range(count)]
            plain = await paced(db, change, tenants, writers, server)
            chained = await paced(db, append, tenants, writers, server)
            alone = await function_alone(url, tenants, writers)
            reports = [await ChainReading(db).verify(tenant_id, {}) for tenant_id in tenants]
            holds = all(report.fault is None for report in reports)
            is_judged = count == 1 and writers > 1
            is_good = is_good and holds and (not is_judged or chained.per_s >= BAR_PER_S)
            verified = f"{sum(report.rows for report in reports):,}" if holds else "BROKEN"
            rows.append([name, str(writers), *_figures(chained, plain), f"{alone:,.0f}", verified])
    finally:
        await db.close()
    return rows, is_good


def _figures(chained: Pace, plain: Pace) -> list[str]:
    took = chained.took_ms
    return [
        f"{chained.per_s:,.0f}",
        f"{took[len(took) // 2]:.1f}",
        f"{took[int(len(took) * 0.99)]:.1f}",
        f"{chained.client_us:,.0f}",
        f"{chained.server_us:,.0f}",
        f"{plain.per_s:,.0f}",
        f"{chained.per_s / plain.per_s:.2f}",
    ]


async def _change(tx: AsyncConnection, tenant_id: TenantId) -> None:
    await tx.execute(_INSERT, {"tenant": tenant_id, "body": _BODY})


def _processor_s(server: psutil.Process) -> float:
    # The connections of both measurements stay open, so no process that worked is missing from the sum.
    times = (process.cpu_times() for process in (server, *server.children()))
    return float(sum(it.user + it.system for it in times))


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
            rows, is_good = uvloop.run(measure(urls.runtime, psutil.Process(_postmaster(server))))
        finally:
            server.stop()
    sys.stdout.write(table(rows, HEADER, frozenset(range(1, len(HEADER)))) + "\n")
    if not is_good:
        sys.stdout.write(f"below {BAR_PER_S} appends/s on the hot tenant, or a chain does not hold\n")
    return 0 if is_good else 1


def _postmaster(server: EmbeddedPostgres) -> int:
    return int((server.cluster / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])


if __name__ == "__main__":
    sys.exit(main())
