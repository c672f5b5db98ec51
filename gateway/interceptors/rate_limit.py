"""Limits what a tenant and its principals do: calls of a class by rate, long work by how much is under way.

The common case takes a unit of a block that this process has leased, and asks nobody.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from cohortlens.core.context import Principal
from cohortlens.core.errors import CohortLensError
from cohortlens.identity.networks import network_of
from gateway.interceptors.address_limit import pass_at, refuse
from gateway.interceptors.chain import Call, Proceed
from gateway.interceptors.shed import Load, shed_by_plan
from gateway.limits.buckets import PLANNED
from gateway.limits.faults import program_busy, too_many_at_once
from gateway.registry import RateClass

if TYPE_CHECKING:
    # The client of Redis takes a while to load, and the ports must answer meanwhile.
    from gateway.limits.in_flight import Lease
    from gateway.limits.limiter import Limiter


class RateLimitStep:
    """Refuses what a tenant or a principal does too fast, or too much of at once.

    Args:
        limiter: The limits.
        load: How busy the process is.
    """

    def __init__(self, limiter: Limiter, load: Load) -> None:
        self._limiter = limiter
        self._load = load

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Run the rest unless a limit is used up.

        Raises:
            RateLimited: RATE_LIMITED.
            ConcurrencyLimited: CONCURRENCY_LIMITED.
            Unavailable: OVERLOADED: a program has too many calls under way, or the process sheds this plan.
        """
        if call.on_verified is not None:
            call.on_verified()
        principal, rate_class = call.principal, call.method.policy.rate_class
        if call.is_part:
            await proceed(call)
            return
        if principal is not None and rate_class in PLANNED:
            await self._paced(call, principal, rate_class)
        elif rate_class is RateClass.BULK and principal is not None:
            await self._bulk(call, principal, proceed)
            return
        elif rate_class is RateClass.INTERNAL:
            await self._internal(call, proceed)
            return
        elif principal is not None and rate_class is RateClass.PLATFORM:
            await pass_at(self._limiter, self._limiter.staff_pace(principal), call)
        elif principal is not None and rate_class is RateClass.AUTH_REFRESH:
            await pass_at(self._limiter, self._limiter.session_pace(principal.session_id), call)
        await proceed(call)

    async def denied(self, call: Call) -> None:
        """Count a call that its caller may not make, before it is refused: as one of class read.

        Raises:
            RateLimited: RATE_LIMITED: there were too many of them.
        """
        assert call.principal is not None
        await self._paced(call, call.principal, RateClass.READ)

    async def _paced(self, call: Call, principal: Principal, rate_class: RateClass) -> None:
        limiter = self._limiter
        pace = limiter.pace(principal, rate_class) or await limiter.loaded_pace(principal, rate_class)
        load = self._load
        if rate_class is RateClass.INFERENCE and (load.is_late or load.calls >= load.calls_max):
            shed_by_plan(load, call, limiter.plan(principal))
        now = time.monotonic()
        if not pace.spend(now):
            refusal = await pace.wait(now)
            if refusal is not None:
                refuse(limiter, PLANNED[rate_class], refusal, call)
                return
        call.response_headers += (pace.policy, pace.left_header())

    async def _bulk(self, call: Call, principal: Principal, proceed: Proceed) -> None:
        lease, most = await self._limiter.enter_bulk(principal, call.deadline - time.monotonic())
        call.response_headers.append(("ratelimit-policy", f'"bulk";q={most};qu="concurrent-requests"'))
        fault = None if lease is not None else too_many_at_once("bulk", "tenant", most)
        await self._counted(call, "bulk", "tenant", lease, fault, proceed)

    async def _internal(self, call: Call, proceed: Proceed) -> None:
        who = f"address:{network_of(call.peer)}" if call.principal is None else call.principal.actor
        lease, most = await self._limiter.enter_internal(who, call.deadline - time.monotonic())
        fault = None if lease is not None else program_busy(most)
        await self._counted(call, "internal", "program", lease, fault, proceed)

    async def _counted(
        self,
        call: Call,
        name: str,
        by: str,
        lease: Lease | None,
        fault: CohortLensError | None,
        proceed: Proceed,
    ) -> None:
        """Run the rest while a lease is held; without one refuse, unless the limit only counts."""
        if lease is None:
            refusal = None if fault is None else self._limiter.counted(name, by, fault)
            if refusal is not None:
                raise refusal
            await proceed(call)
            return
        try:
            await proceed(call)
        finally:
            # Also when the call is cancelled: a lease that is kept would refuse the tenant's next one.
            await asyncio.shield(asyncio.create_task(self._limiter.leave(lease)))
