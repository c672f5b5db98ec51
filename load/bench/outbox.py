"""The claim of the outbox beside what it replaced: ``make bench-outbox`` (``python -m load.bench.outbox``).

Three ways to find the next event of each key, on 10,000 open events of one key, of 16 and of 10,000 keys:

- ``event``: a lease per event, ordered by transaction id behind the oldest open transaction (revision 0008);
- ``lanes``: 16 leased lanes by hash of the key over the same rows, first open event of each key of a lane;
- ``key``: a leased row per key, places given at commit (this release).

Prints events handled a second by one consumer (claims of up to 4, each settled alone), the median claim, and
how long an event waited for a transaction of another tenant that stayed open. Starts a PostgreSQL of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
from sqlalchemy.engine import make_url

from cohortlens.cli.output import table
from cohortlens.core.ids import uuid7
from cohortlens.embedded.postgres import EmbeddedPostgres, PostgresUrls
from cohortlens.migrations import runner

EVENTS = 10_000
SHAPES = {"one key": 1, "16 keys": 16, "10,000 keys": 10_000}
_SECONDS = 6.0
_OPEN_S = 5.0
_TENANTS = (uuid7(), uuid7())
_BEFORE = "0008_audit"
_RECORD = "INSERT INTO outbox (id, topic, key, payload) VALUES ($1, 'bench', $2, '{}')"
_LANES = """
ALTER TABLE outbox ADD COLUMN lane smallint GENERATED ALWAYS AS
  ((hashtext(tenant_id::text || key) & 2147483647) % 16) STORED;
CREATE INDEX bench_lanes_open ON outbox (lane, tenant_id, key, xid, id)
  WHERE done_at IS NULL AND dead_at IS NULL;
CREATE TABLE bench_lanes (lane smallint PRIMARY KEY, worker text, fence bigint NOT NULL DEFAULT 0,
                          lease_until timestamptz);
INSERT INTO bench_lanes (lane) SELECT generate_series(0, 15);
"""
_CLAIM_LANES = """
WITH held AS (
  UPDATE bench_lanes SET worker = $1, fence = fence + 1, lease_until = clock_timestamp() + interval '30 s'
   WHERE lease_until IS NULL OR lease_until < clock_timestamp() OR worker = $1 RETURNING lane),
first AS (
  SELECT DISTINCT ON (o.lane, o.tenant_id, o.key) o.tenant_id, o.id, o.xid FROM outbox o
   WHERE o.lane IN (SELECT lane FROM held) AND o.done_at IS NULL AND o.dead_at IS NULL
     AND o.available_at <= now() AND o.xid < pg_snapshot_xmin(pg_current_snapshot())
   ORDER BY o.lane, o.tenant_id, o.key, o.xid, o.id)
SELECT tenant_id, id FROM first ORDER BY xid LIMIT 4
"""


@dataclass(frozen=True)
class Way:
    """One way to claim.

    Attributes:
        name: As in the tables.
        url: Its database, as the superuser.
        consume: Claims up to four events, settles each, answers how many.
    """

    name: str
    url: str
    consume: Callable[[asyncpg.Connection], Awaitable[int]]

    @property
    def tables(self) -> str:
        """Tables that hold events."""
        return "outbox, outbox_keys" if self.name == "key" else "outbox"


def main() -> int:
    """Measure and print; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="cohortlens-bench-") as folder:
        server = EmbeddedPostgres(Path(folder), 0, ephemeral=True)
        urls = server.start()
        try:
            asyncio.run(_measure(urls))
        finally:
            server.stop()
    return 0


async def _measure(urls: PostgresUrls) -> None:
    ways = [
        await _prepared(urls, "event", _BEFORE, _by_event),
        await _prepared(urls, "lanes", _BEFORE, _by_lane),
        await _prepared(urls, "key", "head", _by_key),
    ]
    rows = [[shape, way.name, *(await _drained(way, keys))] for shape, keys in SHAPES.items() for way in ways]
    print(table(rows, ["10,000 open events", "claim", "events/s", "claim ms"], right=frozenset({2, 3})))  # noqa: T201
    rows = [[way.name, await _delayed(way)] for way in ways]
    title = f"another tenant's transaction stays open for {_OPEN_S:g} s"
    print("\n" + table(rows, [title, "event waits"], right=frozenset({1})))  # noqa: T201
    rows = [[way.name, *[f"{await _rate(way, keys):,.0f}" for keys in (16, 1)]] for way in (ways[0], ways[2])]
    title = "8 producers, one event a transaction"
    print("\n" + table(rows, [title, "16 keys, /s", "one key, /s"], right=frozenset({1, 2})))  # noqa: T201


async def _prepared(
    urls: PostgresUrls, name: str, revision: str, consume: Callable[[asyncpg.Connection], Awaitable[int]]
) -> Way:
    database = f"bench_{name}"
    async with _connected(urls.superuser) as superuser:
        await superuser.execute(f"CREATE DATABASE {database} OWNER cl_owner")
    runner.upgrade(_within(urls.admin, database), revision)
    way = Way(name, _within(urls.superuser, database), consume)
    async with _connected(way.url) as superuser:
        if name == "lanes":
            await superuser.execute(_LANES)
        for tenant in _TENANTS:
            await superuser.execute(
                "INSERT INTO tenants (id, display_name, terms_version) VALUES ($1, 'bench', '1')", tenant
            )
    return way


async def _drained(way: Way, keys: int) -> list[str]:
    async with _connected(way.url) as superuser:
        await superuser.execute(f"TRUNCATE {way.tables}")
        await superuser.execute(
            "INSERT INTO outbox (tenant_id, id, topic, key, payload) SELECT $1, gen_random_uuid(), 'bench', "
            "'k' || n % $2, '{}' FROM generate_series(1, $3::integer) AS n",
            _TENANTS[0],
            keys,
            EVENTS,
        )
        await superuser.execute("VACUUM ANALYZE outbox")
        done, claims, began = 0, list[float](), time.monotonic()
        while done < EVENTS and time.monotonic() - began < _SECONDS:
            claimed_at = time.monotonic()
            done += await way.consume(superuser)
            claims.append(time.monotonic() - claimed_at)
        seconds = time.monotonic() - began
    return [f"{done / seconds:,.0f}", f"{statistics.median(claims) * 1000:.2f}"]


async def _delayed(way: Way) -> str:
    async with _connected(way.url) as long, _connected(way.url) as superuser:
        await superuser.execute(f"TRUNCATE {way.tables}")
        began = time.monotonic()
        open_one = contextlib.AsyncExitStack()
        await open_one.enter_async_context(long.transaction())
        await _record(long, _TENANTS[1], "import")
        await _record(superuser, _TENANTS[0], "other")
        while not await way.consume(superuser):
            if time.monotonic() - began > _OPEN_S:
                await open_one.aclose()
            await asyncio.sleep(0.005)
        waited = time.monotonic() - began
        await open_one.aclose()
    return f"{waited * 1000:,.0f} ms"


async def _rate(way: Way, keys: int) -> float:
    async def produce(number: int) -> int:
        done = 0
        async with _connected(way.url) as connection:
            while time.monotonic() < until:
                async with connection.transaction():
                    await _record(connection, _TENANTS[0], f"k{number % keys}")
                done += 1
        return done

    until = time.monotonic() + _SECONDS / 2
    began = time.monotonic()
    done = await asyncio.gather(*(produce(number) for number in range(8)))
    return sum(done) / (time.monotonic() - began)


async def _record(connection: asyncpg.Connection, tenant: UUID, key: str) -> None:
    await connection.execute(
        "INSERT INTO outbox (tenant_id, id, topic, key, payload) VALUES ($1, $2, 'bench', $3, '{}')",
        tenant,
        uuid7(),
        key,
    )


async def _by_event(connection: asyncpg.Connection) -> int:
    rows = await connection.fetch("SELECT * FROM app.outbox_claim('w', ARRAY['bench'], 4, 30, 20)")
    for row in rows:
        await connection.execute(
            "SELECT app.outbox_settle($1, $2, 'w', $3)", row["tenant_id"], row["id"], row["attempts"]
        )
    return len(rows)


async def _by_lane(connection: asyncpg.Connection) -> int:
    rows = await connection.fetch(_CLAIM_LANES, "w")
    for row in rows:
        await connection.execute(
            "UPDATE outbox SET done_at = clock_timestamp() WHERE tenant_id = $1 AND id = $2",
            row["tenant_id"],
            row["id"],
        )
    return len(rows)


async def _by_key(connection: asyncpg.Connection) -> int:
    rows = await connection.fetch(
        "SELECT * FROM app.outbox_claim('w', ARRAY['bench'], ARRAY[4], ARRAY[30], 25)"
    )
    for row in rows:
        await connection.execute(
            "SELECT app.outbox_settle($1, $2, 'w', $3)", row["tenant_id"], row["key"], row["fence"]
        )
    return len(rows)


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def _within(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


if __name__ == "__main__":
    sys.exit(main())
