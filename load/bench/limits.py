"""What quota, rate limit and entitlement cost a call, and how fast usage is stored: ``make bench-limits``.

The real steps around a servicer that does nothing, with real PostgreSQL and Valkey. Calls come in bursts with
a pause between them, some hundred a second: blocks are leased in the pauses, and what is timed is the path
that nearly every call takes.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg

from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.entitlements.catalogue import Catalogue
from cohortlens.billing.usage.events import UsageEvents
from cohortlens.billing.usage.models import API_CALLS, UsageEvent
from cohortlens.billing.usage.quota import MonthlyQuota
from cohortlens.cli.output import table
from cohortlens.core.clock import now
from cohortlens.core.context import Principal
from cohortlens.core.db import Database
from cohortlens.core.ids import SessionId, TenantId, uuid7
from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.embedded.redis import EmbeddedRedis
from cohortlens.migrations import runner
from cohortlens.v1 import analytics_pb2 as pb
from gateway.composition import public_table
from gateway.config import GatewayConfig
from gateway.interceptors.chain import Call, Proceed, Step
from gateway.interceptors.entitlement import EntitlementStep
from gateway.interceptors.quota import QuotaStep
from gateway.interceptors.rate_limit import RateLimitStep
from gateway.interceptors.shed import Load
from gateway.limits.limiter import Limiter

MOST_US = 40.0
LEAST_EVENTS = 10_000
LIMIT = 1_000_000_000
_METHOD = "/cohortlens.v1.AnalyticsService/Predict"
_BURST, _BURSTS, _PAUSE_S = 16, 100, 0.05
_GRANT_S, _TASKS = 2.0, 16
_EVENTS = 100_000


@dataclass(frozen=True)
class Servers:
    """Where the servers are.

    Attributes:
        superuser: PostgreSQL as superuser.
        runtime: PostgreSQL as the runtime role.
        redis: Valkey.
        folder: A folder of this run.
    """

    superuser: str
    runtime: str
    redis: str
    folder: Path


async def _run() -> int:
    with tempfile.TemporaryDirectory(prefix="cl-limits-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres", 0, ephemeral=True)
        valkey = EmbeddedRedis(Path(folder) / "redis", 0)
        try:
            urls = await asyncio.to_thread(postgres.start)
            await asyncio.to_thread(runner.upgrade, urls.admin)
            redis = await asyncio.to_thread(valkey.start)
            return await _measured(Servers(urls.superuser, urls.runtime, redis, Path(folder)))
        finally:
            valkey.stop()
            postgres.stop()


async def _measured(servers: Servers) -> int:
    tenant = await _tenant(servers)
    async with AsyncExitStack() as opened:
        feed, db = Database(servers.runtime, 1), Database(servers.runtime, 4)
        opened.push_async_callback(feed.close)
        opened.push_async_callback(db.close)
        entitlements = Entitlements(feed)
        opened.push_async_callback(entitlements.close)
        entitlements.start()
        await entitlements.of(tenant)
        grants = [
            [f"{block}", f"{await _grants(db, entitlements, tenant, block):,.0f}"] for block in (1, 10, 100)
        ]
        sys.stdout.write(table(grants, ["block", "units/s"], right=frozenset({0, 1})) + "\n\n")
        costs = await _costs(servers, db, entitlements, tenant)
        rows = [[name, f"{us:.1f}"] for name, us in costs.items()]
        sys.stdout.write(table(rows, ["step", "us a call"], right=frozenset({1})) + "\n\n")
        stored = await _events_stored(servers, db, tenant, callers=_EVENTS)
        alike = await _events_stored(servers, db, tenant, callers=50)
    sys.stdout.write(f"usage events stored: {stored:,.0f}/s (at least {LEAST_EVENTS:,})")
    sys.stdout.write(f"; of 50 callers, whose alike events are folded: {alike:,.0f}/s\n")
    together = costs["all three"]
    sys.stdout.write(f"quota, rate limit and entitlement: {together:.1f} us a call (at most {MOST_US:.0f})\n")
    return 0 if together <= MOST_US and stored >= LEAST_EVENTS else 1


async def _tenant(servers: Servers) -> TenantId:
    tenant = TenantId(uuid7())
    connection = await asyncpg.connect(servers.superuser)
    try:
        await connection.execute(
            "SELECT app.auth_register($1, $2, 'Bench', 'bench@shop.example', 'none', '2026-11')",
            tenant,
            uuid7(),
        )
        await connection.execute(
            "UPDATE entitlements SET max_api_calls_per_month = $2, inference_per_second = 100000,"
            " version = version + 1, xid = pg_current_xact_id() WHERE tenant_id = $1",
            tenant,
            LIMIT,
        )
    finally:
        await connection.close()
    return tenant


async def _grants(db: Database, entitlements: Entitlements, tenant: TenantId, block: int) -> float:
    """Units a second that tasks take as fast as they can, with blocks of one size."""
    quota = MonthlyQuota(db, entitlements, process_id="bench", processes=LIMIT // 1000 // block)
    quota.start()
    end, taken = time.monotonic() + _GRANT_S, 0

    async def take() -> None:
        nonlocal taken
        while time.monotonic() < end:
            for _ in range(block):
                if quota.try_spend(tenant, 1) is None:
                    await quota.reserve(tenant, 1)
                taken += 1
            await asyncio.sleep(0)

    began = time.monotonic()
    await asyncio.gather(*(take() for _ in range(_TASKS)))
    rate = taken / (time.monotonic() - began)
    await quota.close()
    return rate


async def _costs(
    servers: Servers, db: Database, entitlements: Entitlements, tenant: TenantId
) -> dict[str, float]:
    """Microseconds a call of each step alone and of all together, the empty chain taken off."""
    rates = GatewayConfig()
    limiter = Limiter.open(servers.redis, entitlements, rates, 1)
    quota = MonthlyQuota(db, entitlements, process_id="bench", processes=1)
    events = UsageEvents(db, servers.folder / "usage")
    quota.start()
    events.start()
    methods = public_table(with_reflection=False)
    usage = SimpleNamespace(quota=quota, events=events)
    steps: dict[str, Step] = {
        "rate limit": RateLimitStep(limiter, Load(512, 0.25)),
        "entitlement": EntitlementStep(entitlements, Catalogue(db)),
        "quota": QuotaStep(methods, usage, limiter),
    }
    user = UUID(int=uuid7().int)
    principal = Principal(tenant, user, SessionId(user), "owner", frozenset({"analytics.run"}))
    method = methods.get(_METHOD)
    assert method is not None

    def call() -> Call:
        made = Call("grpc", method, {})
        made.principal, made.request_id = principal, "0193b0a0-0000-7000-8000-000000000003"
        made.request = pb.PredictRequest()
        return made

    chains = {"nothing": [], **{name: [one] for name, one in steps.items()}, "all three": [*steps.values()]}
    found = {name: await _cost(call, parts) for name, parts in chains.items()}
    await limiter.close()
    await quota.close()
    await events.close()
    nothing = found.pop("nothing")
    return {name: max(0.0, us - nothing) for name, us in found.items()}


async def _cost(make: Callable[[], Call], steps: Sequence[Step]) -> float:
    """Median of the bursts, microseconds a call."""
    run: Proceed = _nothing
    for step in reversed(steps):
        run = _around(step, run)
    seen = []
    for _ in range(_BURSTS):
        calls = [make() for _ in range(_BURST)]
        began = time.perf_counter()
        for one in calls:
            await run(one)
        seen.append((time.perf_counter() - began) / _BURST * 1e6)
        await asyncio.sleep(_PAUSE_S)
    return statistics.median(seen)


async def _nothing(_: Call) -> None:
    return


def _around(step: Step, inner: Proceed) -> Proceed:
    def run(call: Call) -> Any:
        return step(call, inner)

    return run


async def _events_stored(servers: Servers, db: Database, tenant: TenantId, callers: int) -> float:
    """Usage events a second of so many callers, from the first one noted to the last one committed."""
    events = UsageEvents(db, servers.folder / "usage", queue_max=_EVENTS)
    events.start()
    began, at_us = time.monotonic(), time.time_ns() // 1000
    period = now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for number in range(_EVENTS):
        events.note(
            UsageEvent(
                tenant,
                API_CALLS,
                period,
                at_us,
                _METHOD,
                f"user:{number % callers}",
                1,
                1,
                f"OK_{callers}",
                f"request-{number}",
            )
        )
    connection = await asyncpg.connect(servers.superuser)
    try:
        query = "SELECT coalesce(sum(calls), 0) FROM usage_events WHERE outcome = $1"
        while await connection.fetchval(query, f"OK_{callers}") < _EVENTS:  # noqa: ASYNC110 - another process knows
            await asyncio.sleep(0.05)
        took = time.monotonic() - began
    finally:
        await connection.close()
    await events.close()
    return _EVENTS / took


if __name__ == "__main__":
    sys.exit(asyncio.run(_run()))
