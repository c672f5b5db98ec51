"""What a check of consents costs: ``make bench-consent`` (``python -m load.bench.consent [CUSTOMERS]``).

Starts a PostgreSQL of its own with one tenant of 100,000 customers, of whom 19 of 20 gave their consent.
``read by id`` is the statement that Predict reads features with, ``without`` the same without its question
about consent, ``as before`` the latter with plans as the server chooses them; in turns, so that all see the
same machine. CPU is that of this process; PostgreSQL is in the wall time alone.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text

from cohortlens.cli.output import table
from cohortlens.consent.checks import ConsentChecks
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.config import Url
from cohortlens.core.context import Principal
from cohortlens.core.db import Database, driver
from cohortlens.customers import lookup
from cohortlens.customers.repository import CustomersRepository
from cohortlens.customers.usability import Activity
from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.migrations import runner
from load.bench.tenants import registered, request_of

GOAL_MS = 50.0
SUBJECTS = 10_000
_REPEATS = 15
_CALLS = 300
_FILL = (
    """
INSERT INTO customers (tenant_id, id, external_id, created_at)
SELECT app.tid(), app.uuid7(), 'c' || n, now() FROM generate_series(1, CAST(:customers AS int)) n""",
    """
INSERT INTO customer_data (tenant_id, currency, as_of, data_revision)
VALUES (app.tid(), 'EUR', '2026-01-01', 1)""",
    """
INSERT INTO customer_features (tenant_id, customer_id, as_of, data_revision, schema_hash, vector)
SELECT app.tid(), id, '2026-01-01', 1, :hash, decode(repeat('00', CAST(:width AS int)), 'hex') FROM customers
 WHERE tenant_id = app.tid()""",
    """
INSERT INTO consent_identities (tenant_id, id, customer_id, ident_bidx)
SELECT app.tid(), app.uuid7(), id, sha256(uuid_send(id)) FROM customers WHERE tenant_id = app.tid()""",
    """
INSERT INTO user_consents (tenant_id, identity_id, purpose_key, state, event_id, since, expires_at,
  purpose_version, decided_at, decided_rank, decided_place, version)
SELECT app.tid(), i.id, p.key, CASE WHEN get_byte(i.ident_bidx, 0) % 20 = 0 THEN 'REFUSED' ELSE 'GIVEN' END,
       app.uuid7(), now(), now() + interval '700 days', 1, now(), 1, 1, 1
  FROM consent_identities i CROSS JOIN purpose_heads p
 WHERE i.tenant_id = app.tid() AND p.tenant_id = app.tid()""",
)
_NO_OPT_IN = "UPDATE purpose_heads SET mechanism = 'OPT_OUT' WHERE tenant_id = app.tid()"
_ASKS = re.compile(r"CASE WHEN app\.is_usable.*?THEN|  LEFT JOIN purpose_heads.*?(?= WHERE c\.)", re.DOTALL)
_PLAIN = _ASKS.sub(
    lambda found: "CASE WHEN $4::text <> '' THEN" if "CASE" in found[0] else "", lookup._NARROW
)


async def measure(url: Url, admin: Url, customers: int) -> list[list[str]]:
    """Fill a tenant and ask; rows of the table."""
    db = Database(url, 4)
    try:
        owner = await registered(db, asks_consent=True)
        parameters = {"customers": customers, "hash": SCHEMA.hash, "width": 4 * len(SCHEMA.columns)}
        async with db.tenant_transaction(owner.tenant_id) as tx:
            await tx.execute(text("SET LOCAL statement_timeout = '5min'"))
            for statement in _FILL:
                known = {name: value for name, value in parameters.items() if f":{name}" in statement}
                await tx.execute(text(statement), known)
            ids = (
                (await tx.execute(text("SELECT id FROM customers WHERE tenant_id = app.tid()")))
                .scalars()
                .all()
            )
        await _analyze(admin)
        names = [str(one) for one in ids[:SUBJECTS]]
        checks = ConsentChecks(db)
        ctx = request_of(owner, 3600.0)
        rows = [
            _row(
                "check, 10,000 customers", await _timed(lambda: checks.check(ctx, names, ["profiling"], []))
            ),
            _row(
                "check, 1,000 customers",
                await _timed(lambda: checks.check(ctx, names[:1000], ["profiling"], [])),
            ),
            _row(
                "check, 10,000 customers, 4 activities",
                await _timed(lambda: checks.check(ctx, names, [], [one.value for one in list(Activity)[:4]])),
            ),
        ]
        for count in (1, 100, 1_000):
            rows += await _reads(db, owner, list(ids[:count]))
        rows.append(_row("all features that may be used", await _timed(lambda: _all(db, owner), 5)))
        async with db.tenant_transaction(owner.tenant_id) as tx:
            await tx.execute(text(_NO_OPT_IN))
        rows.append(
            _row(
                "check, 10,000 customers, opt-out",
                await _timed(lambda: checks.check(ctx, names, ["profiling"], [])),
            )
        )
        return rows
    finally:
        await db.close()


async def _reads(db: Database, owner: Principal, ids: list[Any]) -> list[list[str]]:
    """The reading of Predict with and without its question, in turns."""
    walls: dict[tuple[str, bool], list[float]] = {
        (lookup._NARROW, True): [],
        (_PLAIN, True): [],
        (_PLAIN, False): [],
    }
    for turn in range(_CALLS // (1 if len(ids) == 1 else 10) + 20):
        for (statement, generic), seen in walls.items():
            began = time.perf_counter()
            async with db.tenant_transaction(owner.tenant_id, generic_plans=generic) as tx:
                connection = await driver(tx)
                await connection.fetch(statement, SCHEMA.hash, ids, [], Activity.PREDICTION.value)
            if turn >= 20:
                seen.append(time.perf_counter() - began)
    name = f"read by id, {len(ids):,} customer{'s' if len(ids) > 1 else ''}"
    return [
        [
            title,
            f"{statistics.median(seen) * 1e3:,.2f}",
            f"{sorted(seen)[int(len(seen) * 0.99)] * 1e3:,.2f}",
            "",
        ]
        for title, seen in zip((name, f"{name}, without", f"{name}, as before"), walls.values(), strict=True)
    ]


async def _all(db: Database, owner: Principal) -> None:
    async with db.tenant_transaction(owner.tenant_id) as tx:
        repository, after = CustomersRepository(tx), None
        while (rows := await repository.features_after(after, 8192, Activity.SEGMENTATION)) is not None:
            after = rows.customer_ids[-1]


async def _timed(ask: Callable[[], Awaitable[Any]], repeats: int = _REPEATS) -> tuple[float, float, float]:
    """Median and largest wall, and median CPU, milliseconds."""
    await ask()
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        await ask()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls) * 1e3, max(walls) * 1e3, statistics.median(cpus) * 1e3


def _row(name: str, found: tuple[float, float, float]) -> list[str]:
    return [name, *(f"{one:,.1f}" for one in found)]


async def _analyze(admin: Url) -> None:
    db = Database(admin, 1)
    try:
        async with db.transaction() as tx:
            await tx.execute(text("ANALYZE"))
    finally:
        await db.close()


def main() -> int:
    """Run the benchmark; the exit code says whether the check of 10,000 reached its goal."""
    customers = int(sys.argv[1]) if len(sys.argv) == 2 and sys.argv[1].isdigit() else 100_000
    with tempfile.TemporaryDirectory(prefix="cl-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "data", 0, ephemeral=True)
        urls = server.start()
        try:
            runner.upgrade(urls.admin)
            rows = asyncio.run(measure(urls.runtime, urls.admin, customers))
        finally:
            server.stop()
    head = ["question", "median ms", "most ms (p99 of reads)", "CPU ms"]
    sys.stdout.write(table(rows, head, frozenset(range(1, 4))) + "\n")
    reached = float(rows[0][1].replace(",", ""))
    sys.stdout.write(f"check of {SUBJECTS:,}: {reached:.1f} ms, goal {GOAL_MS:.0f} ms\n")
    return 0 if reached <= GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
