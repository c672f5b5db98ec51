"""A process whose tasks call as fast as they are let: ``python -m tests.integration.gateway.limits.flooding``.

Arguments: address of Valkey, rate, burst, tasks, seconds, tenants as UUIDs, skew of the wall clock in seconds. It
prints when each call was admitted, by the monotonic clock that all processes of a machine share.
"""

import asyncio
import json
import sys
import time
from uuid import UUID, uuid5

_REAL = time.time, time.time_ns
_SKEW_S = float(sys.argv[7]) if __name__ == "__main__" else 0.0
time.time = lambda: _REAL[0]() + _SKEW_S
time.time_ns = lambda: _REAL[1]() + int(_SKEW_S * 1e9)

from cohortlens.billing.models import Access, Entitlement, Rates  # noqa: E402 - they see the skewed clock
from cohortlens.core.context import Principal  # noqa: E402
from gateway.limits.limiter import Limiter  # noqa: E402
from gateway.rate_settings import RateSettings  # noqa: E402
from gateway.registry import RateClass  # noqa: E402


class Fixed:
    """Every tenant has a plan of the same rates."""

    def __init__(self, rate=100.0, plan="enterprise", bulk=2):
        self.rates = Rates(read=rate, write=rate, inference=rate, bulk_in_flight=bulk)
        self.plan = plan
        self.entitlements = {}

    def known(self, tenant_id):
        found = self.entitlements.get(tenant_id)
        if found is None:
            found = self.entitlements[tenant_id] = Entitlement(
                tenant_id, self.plan, 3, Access.FULL, frozenset(), 10, 10, None, self.rates, 1
            )
        return found

    async def of(self, tenant_id):
        return self.known(tenant_id)


def principal(tenant_id, name="somebody"):
    user = uuid5(tenant_id, name)
    return Principal(tenant_id, user, user, "owner", frozenset())


async def flood(limiter, who, seconds, tasks, pause_s=0.0):
    """Monotonic times at which calls of class read were admitted."""
    admitted, until = [], time.monotonic() + seconds

    async def one():
        while (now := time.monotonic()) < until:
            pace = limiter.pace(who, RateClass.READ)
            refusal = None
            if not pace.spend(now):
                refusal = await pace.wait(now)
            if refusal is None:
                admitted.append(time.monotonic())
            await asyncio.sleep(pause_s if refusal is None else min(refusal.wait_s, 0.02))

    await asyncio.gather(*(one() for _ in range(tasks)))
    return admitted


async def main(url, rate, burst, tasks, seconds, tenants):
    settings = RateSettings(rate_read=f"{rate}/1s;burst={burst}")
    limiter = Limiter.open(url, Fixed(), settings, 4)
    try:
        people = [(UUID(one), f"somebody-{at}") for one in tenants.split(",") for at in range(2)]
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        found = await asyncio.gather(
            *(
                flood(limiter, principal(tenant, name), float(seconds), int(tasks) // 2)
                for tenant, name in people
            )
        )
        by_tenant = {}
        for (tenant, _), times in zip(people, found, strict=True):
            by_tenant.setdefault(str(tenant), []).extend(times)
        sys.stdout.write(json.dumps({"admitted": by_tenant, "degraded": limiter.store.is_degraded}) + "\n")
    finally:
        await limiter.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:7]))
