"""Events through the outbox while its processes are killed: ``make soak-outbox`` (EVENTS=10000).

Several producers and several jobs processes share one PostgreSQL; at random moments one of them is killed
with -9 and started anew, while a transaction of another tenant stays open all the time. Prints a table; exit
code 0 when every committed event had its effect exactly once and no event of a key overtook another. A third
of the events is then recorded by real gateways, see ``outbox_gateways``.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from cohortlens.cli.output import table
from cohortlens.core.ids import uuid7
from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.embedded.redis import EmbeddedRedis
from cohortlens.migrations import runner
from load.bench.outbox_gateways import soak_gateways

PRODUCERS = 3
JOBS = 3
_DRAIN_S = 120.0
_TABLES = """
CREATE TABLE IF NOT EXISTS soak_counters (tenant_id uuid, key text, n bigint, PRIMARY KEY (tenant_id, key));
CREATE TABLE IF NOT EXISTS soak_handled (
  at bigserial PRIMARY KEY, tenant_id uuid, key text, n bigint, event_id uuid);
CREATE TABLE IF NOT EXISTS soak_effects (event_id uuid PRIMARY KEY);
GRANT SELECT, INSERT, UPDATE ON soak_counters, soak_handled, soak_effects TO cl_app;
GRANT USAGE ON SEQUENCE soak_handled_at_seq TO cl_app;
"""
_FOUND = """
SELECT (SELECT coalesce(sum(n), 0) FROM soak_counters) AS committed,
       (SELECT count(*) FROM soak_effects) AS effects,
       (SELECT count(*) FROM soak_handled) AS handled,
       (SELECT count(*) FROM outbox WHERE done_at IS NULL) AS unfinished,
       (SELECT count(*) FROM outbox_keys) AS held
"""


@dataclass
class Found:
    """What was counted after the last event.

    Attributes:
        committed: Events whose transaction committed, counted by the producers' own numbers.
        effects: Events that had their effect.
        duplicates: Times an event was handled again.
        lost: Numbers of a key that no handler saw.
        overtaken: Times a number was seen before all smaller ones of its key.
        unfinished: Events that are open or dead, and keys still held.
        producers_killed: Producers ended with -9.
        jobs_killed: Jobs processes ended with -9.
        seconds: From the first process to the last event.
    """

    committed: int = 0
    effects: int = 0
    duplicates: int = 0
    lost: int = 0
    overtaken: int = 0
    unfinished: int = 0
    producers_killed: int = 0
    jobs_killed: int = 0
    seconds: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether each event had its effect once, in order."""
        return self.committed == self.effects and not (self.lost or self.overtaken or self.unfinished)


@dataclass
class _Cast:
    """The processes that play."""

    commands: list[list[str]]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        self.running = [subprocess.Popen(command) for command in self.commands]

    def kill_one(self) -> str:
        """Kill a random one, start it anew; answers its role."""
        chosen = random.randrange(len(self.running))
        self._end(self.running[chosen])
        self.running[chosen] = subprocess.Popen(self.commands[chosen])
        return self.commands[chosen][3]

    def end(self, role: str | None = None) -> None:
        for process, command in zip(self.running, self.commands, strict=True):
            if role in {None, command[3]}:
                self._end(process)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()


async def soak(
    superuser_url: str,
    jobs_url: str,
    redis_url: str,
    events: int,
    *,
    processes: tuple[int, int] = (PRODUCERS, JOBS),
    pause_s: tuple[float, float] = (0.5, 3.0),
    kills: int = 0,
) -> Found:
    """Play until ``events`` are committed and handled, and so many processes killed.

    Args:
        superuser_url: The database, to look at all of it.
        jobs_url: The same as the role of jobs, for the processes.
        redis_url: Redis of the jobs processes.
        events: Least number of events.
        processes: Producers and jobs processes.
        pause_s: Least and most seconds between two kills.
        kills: Least number of kills, for machines that are done with the events before.
    """
    superuser, bystander = await asyncpg.connect(superuser_url), await asyncpg.connect(superuser_url)
    cast = None
    try:
        tenants = [await _tenant(superuser) for _ in range(3)]
        await superuser.execute(_TABLES)
        cast = _Cast(_commands(jobs_url, redis_url, tenants[:2], processes))
        # Open from first to last, then gone with its connection: what it records must hold up nobody.
        await bystander.execute("BEGIN")
        await bystander.execute(
            "INSERT INTO outbox (tenant_id, id, topic, key, payload) "
            "VALUES ($1, gen_random_uuid(), 'soak.never', 'open', '{}')",
            tenants[2],
        )
        return await _play(superuser, cast, (events, kills), pause_s)
    finally:
        if cast is not None:
            cast.end()
        await superuser.close()
        await bystander.close()


async def _play(
    superuser: asyncpg.Connection, cast: _Cast, least: tuple[int, int], pause_s: tuple[float, float]
) -> Found:
    events, kills = least
    found, began = Found(), time.monotonic()
    cast.start()
    kill_at = time.monotonic() + 3.0
    is_producing, ends_at = True, float("inf")
    while time.monotonic() < ends_at:
        await asyncio.sleep(0.1)
        if time.monotonic() >= kill_at and is_producing:
            role = cast.kill_one()
            found.producers_killed += role == "producer"
            found.jobs_killed += role == "jobs"
            kill_at = time.monotonic() + random.uniform(*pause_s)
        row = await superuser.fetchrow(_FOUND)
        killed = found.producers_killed + found.jobs_killed
        if is_producing and row["committed"] >= events and killed >= kills:
            cast.end("producer")
            is_producing, ends_at = False, time.monotonic() + _DRAIN_S
        elif not is_producing and row["unfinished"] == row["held"] == 0:
            break
    found.seconds = time.monotonic() - began
    return await _count(superuser, found)


async def _count(superuser: asyncpg.Connection, found: Found) -> Found:
    row = await superuser.fetchrow(_FOUND)
    found.committed, found.effects = int(row["committed"]), row["effects"]
    found.unfinished = row["unfinished"] + row["held"]
    highest: dict[tuple[object, str], int] = {}
    seen = set()
    for one in await superuser.fetch("SELECT tenant_id, key, n FROM soak_handled ORDER BY at"):
        key, n = (one["tenant_id"], one["key"]), one["n"]
        if (key, n) in seen:
            found.duplicates += 1
            continue
        seen.add((key, n))
        found.overtaken += n != highest.get(key, 0) + 1
        highest[key] = max(highest.get(key, 0), n)
    found.lost = found.committed - len(seen)
    return found


async def _tenant(superuser: asyncpg.Connection) -> str:
    tenant = uuid7()
    await superuser.execute(
        "INSERT INTO tenants (id, display_name, terms_version) VALUES ($1, 'soak', '1')", tenant
    )
    return str(tenant)


def _commands(
    jobs_url: str, redis_url: str, tenants: list[str], processes: tuple[int, int]
) -> list[list[str]]:
    start = [sys.executable, "-m", "load.bench.outbox_roles"]
    return [
        *([*start, "producer", jobs_url, *tenants] for _ in range(processes[0])),
        *([*start, "jobs", jobs_url, redis_url] for _ in range(processes[1])),
    ]


@contextlib.contextmanager
def _servers() -> Iterator[tuple[EmbeddedPostgres, EmbeddedRedis]]:
    with tempfile.TemporaryDirectory(prefix="cohortlens-soak-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres", 0, ephemeral=True)
        redis = EmbeddedRedis(Path(folder) / "redis", 0)
        try:
            yield postgres, redis
        finally:
            redis.stop()
            postgres.stop()


def main(events: int) -> int:
    """Run the soak on servers of its own; returns the exit code."""
    with _servers() as (postgres, redis):
        urls, redis_url = postgres.start(), redis.start()
        runner.upgrade(urls.admin)
        superuser_url = urls.superuser.rpartition("/")[0] + "/" + urls.admin.rpartition("/")[2]
        at_gateways = events // 3
        found = asyncio.run(soak(superuser_url, urls.jobs, redis_url, events - at_gateways))
        _show("producers", vars(found), found.committed)
        recorded = asyncio.run(soak_gateways(superuser_url, urls.runtime, urls.jobs, redis_url, at_gateways))
        _show("gateways", vars(recorded), recorded.committed)
    is_right = found.is_right and recorded.is_right
    print("right" if is_right else "WRONG")  # noqa: T201
    return 0 if is_right else 1


def _show(who: str, counts: dict[str, Any], events: int) -> None:
    rows = [[name.replace("_", " "), f"{value:,.0f}"] for name, value in counts.items()]
    rows.append(["events a second", f"{events / counts['seconds']:,.0f}"])
    print(table(rows, [who, "count"], right=frozenset({1})), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
