"""The month's quota: PostgreSQL leases units to each process, and each call takes them with a decrement.

Admitted is never more than the limit, whatever crashes: what a process may spend was reserved before. What a
killed process held is lost to the tenant, at most a block and the calls under way. See ADR 0032.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeAlias
from uuid import UUID

from cohortlens.billing.models import Entitlement, TenantSuspended
from cohortlens.billing.usage.blocks import Debt, Lease, Pool, Taken, Waiter
from cohortlens.billing.usage.leases import GiveBack, LeaseRows
from cohortlens.billing.usage.models import API_CALLS, Grant, QuotaBackendUnavailable, QuotaExceeded
from cohortlens.core.counting import Counter, Gauge
from cohortlens.core.db import Database, retried
from cohortlens.core.errors import Aborted, CohortLensError, DeadlineExceeded, Internal, Unavailable
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.core.telemetry import REGISTRY, get_logger

Spent: TypeAlias = Lease | Taken
"""What a call took: of one lease, or of several."""

REFUSED_S = 1.0
"""How long a process remembers that nothing is left."""
SWEEP_S = 0.25
_GRANT_S = 3.0
_RETRY_S = 0.25
_SOUGHT_S = 30.0
_CLOSE_S = 5.0
_IDLE_S = 120.0
_ALL = 1 << 62
_AWAY = (Unavailable, DeadlineExceeded, Aborted, OSError, TimeoutError)
_UNITS = Counter(
    "gateway_quota_units_total",
    "Units of the month's quota that calls took, by plan",
    ("plan",),
    registry=REGISTRY,
)
_REMAINING = Gauge(
    "gateway_quota_remaining",
    "Units left of the quotas of the tenants that call, by plan, as their last grants told",
    ("plan",),
    registry=REGISTRY,
)
_LOG = get_logger(__name__)


class KnownEntitlements(Protocol):
    """What tells that an entitlement changed; ``cohortlens.billing.entitlements.cache.Entitlements``."""

    def known(self, tenant_id: TenantId) -> Entitlement | None:
        """The entitlement as this process knows it, at most two seconds old."""


class MonthlyQuota:
    """Spends units of the tenants' quotas.

    Args:
        db: The database, with connections that nothing else can keep busy.
        entitlements: Tell when a tenant's plan changed.
        process_id: Names this process in its leases.
        processes: Upper bound of processes that spend quota, of which the size of blocks follows.
        fail_open_s: Seconds for which calls are admitted, and charged later, when the database is away.
        meter: The meter.
        clock: Monotonic time.
    """

    def __init__(
        self,
        db: Database,
        entitlements: KnownEntitlements,
        *,
        process_id: str,
        processes: int,
        fail_open_s: float = 0.0,
        meter: str = API_CALLS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._entitlements = entitlements
        self._process_id = process_id
        self._processes = processes
        self._fail_open_s = fail_open_s
        self.meter = meter
        self._clock = clock
        self._pools: dict[TenantId, Pool] = {}
        self._owing: set[Pool] = set()
        self._failing_since: float | None = None
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Give leases back in time from now on; ``close`` ends it."""
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="quota")

    async def close(self) -> None:
        """Give back every unit that is not spent; calls that come later find none."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        filling = [pool.filling for pool in self._pools.values() if pool.filling is not None]
        if filling:
            await asyncio.wait(filling, timeout=_CLOSE_S)
        for pool in self._pools.values():
            pool.close_ended(float("inf"))
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._flush()
        if self._owing:
            _LOG.error("quota_not_returned", tenants=len(self._owing))

    def try_spend(self, tenant_id: TenantId, units: int) -> Lease | None:
        """Take units of what this process holds; None: ask ``reserve``."""
        pool = self._pools.get(tenant_id)
        if pool is None:
            return None
        lease = pool.head
        if lease.left < units or self._clock() >= lease.expires_at:
            return None
        lease.left -= units
        pool.spent += units
        pool.left = left = pool.left - units
        if left <= pool.low and pool.filling is None:
            self._fill_ahead(pool)
        return lease

    async def reserve(self, tenant_id: TenantId, units: int) -> Spent:
        """Take units, of the database when this process holds too few.

        Raises:
            QuotaExceeded: The period has too few left.
            QuotaBackendUnavailable: The database does not answer.
            TenantSuspended: The tenant may not call at all.
        """
        now = self._clock()
        pool = self._pools.get(tenant_id)
        if pool is None:
            pool = self._pools[tenant_id] = Pool(tenant_id, self._owing)
        pool.used_at = now
        if taken := pool.take(units, now):
            if pool.left <= pool.low and pool.filling is None:
                self._fill_ahead(pool)
            return taken
        self._check_refused(pool, units, now)
        if now < pool.retry_at and pool.filling is None:
            return self._owed(pool, units, now)
        waiter = Waiter(asyncio.get_running_loop().create_future(), units)
        pool.waiting.append(waiter)
        self._fill(pool)
        try:
            return await waiter.taken
        except asyncio.CancelledError:
            if waiter.taken.done() and not waiter.taken.cancelled() and waiter.taken.exception() is None:
                self.release(waiter.taken.result(), units)
            raise

    def release(self, spent: Spent, units: int) -> None:
        """Give units back that were taken for a call that failed by a fault of ours.

        Args:
            spent: What the call took.
            units: How many of them, at most all.
        """
        if isinstance(spent, Lease):
            spent.put(units)
            return
        for lease, part in reversed(spent):
            lease.put(min(part, units))
            units -= min(part, units)

    def _fill_ahead(self, pool: Pool) -> None:
        now = self._clock()
        if now >= pool.retry_at and now >= pool.refused_until:
            self._fill(pool)

    def _fill(self, pool: Pool) -> None:
        if pool.filling is None:
            pool.filling = asyncio.create_task(self._filled(pool), name="quota-grant")

    async def _filled(self, pool: Pool) -> None:
        """Ask for units until nobody waits."""
        try:
            while (units := pool.wanted()) > 0:
                if not await self._asked(pool, units) or not pool.waiting:
                    return
        except Exception as fault:
            _LOG.exception("quota_grant_failed")
            self._fail(pool, lambda _: Internal("the month's quota could not be asked for"), fault)
        finally:
            pool.filling = None

    async def _asked(self, pool: Pool, units: int) -> bool:
        """One grant; False when it makes no sense to ask on."""
        lease_id, asked_at = uuid7(), self._clock()
        try:
            async with asyncio.timeout(_GRANT_S):
                grant = await retried(lambda: self._granted(pool, lease_id, units))
        except _AWAY as fault:
            self._away(pool, lease_id, fault)
            return False
        self._failing_since = None
        pool.add(grant, asked_at + grant.ttl_s, self._processes)
        now = self._clock()
        if not grant.has_access:
            self._fail(pool, lambda _: TenantSuspended("this organisation may not use the service now"))
            return False
        is_short = grant.granted < units
        if is_short:
            pool.refused_until = now + REFUSED_S
        self._serve(pool, now, is_short=is_short)
        return not is_short

    async def _granted(self, pool: Pool, lease_id: UUID, units: int) -> Grant:
        async with self._db.tenant_transaction(pool.tenant_id) as tx:
            rows = LeaseRows(tx, self.meter, self._process_id)
            grant = await rows.grant(lease_id, units)
            if grant.granted < units and grant.has_access:
                pool.upgrade_to = await rows.upgrade_to(grant)
        return grant

    def _serve(self, pool: Pool, now: float, *, is_short: bool) -> None:
        waiting, pool.waiting = pool.waiting, type(pool.waiting)()
        for waiter in waiting:
            if waiter.taken.done():
                continue
            if taken := pool.take(waiter.units, now):
                waiter.taken.set_result(taken)
            elif is_short:
                waiter.taken.set_exception(_exceeded(pool, self.meter, waiter.units))
            else:
                pool.waiting.append(waiter)

    def _away(self, pool: Pool, lease_id: UUID, fault: BaseException) -> None:
        """The database may have granted or not: ask it for everything back once it answers again."""
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
            _LOG.warning("quota_backend_away", error=str(fault))
        pool.retry_at = now + _RETRY_S
        unknown = Lease(pool, lease_id, None, 0.0)
        unknown.returned, unknown.sought_until = _ALL, now + _SOUGHT_S
        unknown.close()
        waiting, pool.waiting = pool.waiting, type(pool.waiting)()
        for waiter in waiting:
            if waiter.taken.done():
                continue
            try:
                waiter.taken.set_result(self._owed(pool, waiter.units, now))
            except CohortLensError as refused:
                waiter.taken.set_exception(refused)

    def _owed(self, pool: Pool, units: int, now: float) -> Taken:
        """Admit units while the database is away, if that was asked for.

        Raises:
            QuotaBackendUnavailable: It was not, or the time for it is over.
        """
        since = self._failing_since
        if pool.state is None or since is None or now - since >= self._fail_open_s:
            raise QuotaBackendUnavailable
        pool.debt += units
        pool.spent += units
        self._owing.add(pool)
        return ((Debt(pool, UUID(int=0), pool.state, now), units),)

    def _check_refused(self, pool: Pool, units: int, now: float) -> None:
        if now >= pool.refused_until or pool.state is None:
            return
        known = self._entitlements.known(pool.tenant_id)
        if known is not None and known.version > pool.state.version:
            pool.refused_until = 0.0
            return
        raise _exceeded(pool, self.meter, units)

    def _fail(
        self, pool: Pool, fault: Callable[[Waiter], Exception], cause: BaseException | None = None
    ) -> None:
        waiting, pool.waiting = pool.waiting, type(pool.waiting)()
        for waiter in waiting:
            if not waiter.taken.done():
                error = fault(waiter)
                error.__cause__ = cause
                waiter.taken.set_exception(error)

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                self._sweep()
                await self._flush()
            except Exception:
                _LOG.exception("quota_sweep_failed")

    def _sweep(self) -> None:
        """Close what expired or was granted under an older entitlement; forget tenants that do not call."""
        now, remaining = self._clock(), dict[str, int]()
        for tenant_id, pool in list(self._pools.items()):
            known = self._entitlements.known(tenant_id)
            pool.close_ended(now, known.version if known is not None else 0)
            pool.give_surplus()
            if pool.state is not None:
                plan = pool.state.plan
                remaining[plan] = remaining.get(plan, 0) + max(0, pool.state.limit - pool.state.reserved)
                if pool.spent:
                    _UNITS.labels(plan).inc(pool.spent)
                    pool.used_at, pool.spent = now, 0
            if now - pool.used_at > _IDLE_S and not (pool.leases or pool.waiting or pool.filling):
                del self._pools[tenant_id]
        for plan, units in remaining.items():
            _REMAINING.labels(plan).set(units)

    async def _flush(self) -> None:
        """Tell the database what is closed; what fails is told again at the next sweep."""
        for pool in list(self._owing):
            closed, pool.closed = pool.closed, {}
            try:
                await self._told(pool, closed)
            except _AWAY as fault:
                pool.closed = {**closed, **pool.closed}
                _LOG.warning("quota_return_waits", error=str(fault))
                return
            if not (pool.closed or pool.debt):
                self._owing.discard(pool)

    async def _told(self, pool: Pool, closed: dict[UUID, Lease]) -> None:
        debt, debt_id = max(0, pool.debt), uuid7()
        async with self._db.tenant_transaction(pool.tenant_id) as tx:
            rows = LeaseRows(tx, self.meter, self._process_id)
            known = await rows.give_back(
                [GiveBack(one.id, one.returned, not one.is_listed) for one in closed.values()]
            )
            if debt:
                await rows.charge(debt_id, debt, beyond=True)
        pool.debt -= debt
        now = self._clock()
        for lease in closed.values():
            if lease.id not in known and now < lease.sought_until:
                pool.closed.setdefault(lease.id, lease)


def _exceeded(pool: Pool, meter: str, units: int) -> QuotaExceeded:
    state = pool.state
    assert state is not None
    # What this process holds is reserved, but it is not used up.
    used = state.reserved - pool.left
    return QuotaExceeded(meter, used, state.limit, state.period_end, pool.upgrade_to, units)
