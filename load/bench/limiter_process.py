"""A process of the soak of the rate limits: tasks of many tenants call as fast as they are let.

``python -m load.bench.limiter_process URL RATE BURST TASKS SECONDS FLOODED...`` waits for a line, floods as
each tenant named, or calls slowly as another when none is, and prints when calls were admitted and how long
they took.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from uuid import NAMESPACE_DNS, UUID, uuid5

import orjson
import uvloop

from cohortlens.billing.models import Access, Entitlement, Rates
from cohortlens.core.context import Principal
from cohortlens.core.ids import SessionId, TenantId
from gateway.limits.limiter import Limiter
from gateway.rate_settings import RateSettings
from gateway.registry import RateClass

BYSTANDER = "bystander"
_SLOW_S = 0.02
_PRINCIPALS = 2


class OnePlan:
    """Gives every tenant the same plan; the rates are those of the settings."""

    def __init__(self) -> None:
        self._known: dict[UUID, Entitlement] = {}

    def known(self, tenant_id: UUID) -> Entitlement:
        """The plan of a tenant."""
        found = self._known.get(tenant_id)
        if found is None:
            rates = Rates(read=1.0, write=1.0, inference=1.0, bulk_in_flight=1)
            found = self._known[tenant_id] = Entitlement(
                TenantId(tenant_id), "enterprise", 3, Access.FULL, frozenset(), 1, 1, None, rates, 1
            )
        return found

    async def of(self, tenant_id: UUID) -> Entitlement:
        """The plan of a tenant."""
        return self.known(tenant_id)


async def main(url: str, rate: str, burst: str, tasks: str, seconds: str, flooded: Sequence[str]) -> None:
    """Run the process."""
    limiter = Limiter.open(url, OnePlan(), RateSettings(rate_read=f"{rate}/1s;burst={burst}"), 4)
    each = max(int(tasks) // max(len(flooded) * _PRINCIPALS, 1), 1)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    until = time.monotonic() + float(seconds)
    admitted: dict[str, list[float]] = {name: [] for name in flooded}
    waits: list[float] = []
    floods = [
        _flood(limiter, _principal(name, number), until, admitted[name])
        for name in flooded
        for number in range(_PRINCIPALS)
        for _ in range(each)
    ]
    await asyncio.gather(*(floods or [_call_slowly(limiter, _principal(BYSTANDER, 0), until, waits)]))
    sys.stdout.write(orjson.dumps({"admitted": admitted, "waits": waits}).decode() + "\n")
    sys.stdout.flush()
    await limiter.close()


async def _flood(limiter: Limiter, who: Principal, until: float, admitted: list[float]) -> None:
    while (now := time.monotonic()) < until:
        pace = await limiter.loaded_pace(who, RateClass.READ)
        refusal = await pace.wait(now)
        if refusal is None:
            admitted.append(time.monotonic())
        await asyncio.sleep(0.0 if refusal is None else min(refusal.wait_s, _SLOW_S))


async def _call_slowly(limiter: Limiter, who: Principal, until: float, waits: list[float]) -> None:
    while (now := time.monotonic()) < until:
        pace = await limiter.loaded_pace(who, RateClass.READ)
        await pace.wait(now)
        waits.append(time.monotonic() - now)
        await asyncio.sleep(_SLOW_S)


def _principal(tenant: str, number: int) -> Principal:
    tenant_id, user = uuid5(NAMESPACE_DNS, tenant), uuid5(NAMESPACE_DNS, f"{tenant}-{number}")
    return Principal(TenantId(tenant_id), user, SessionId(user), "owner", frozenset())


if __name__ == "__main__":
    _url, _rate, _burst, _tasks, _seconds, *_flooded = sys.argv[1:]
    uvloop.run(main(_url, _rate, _burst, _tasks, _seconds, _flooded))
