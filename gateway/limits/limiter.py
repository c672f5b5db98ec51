"""The limits of an installation: which buckets a call takes units of, by class, caller and plan.

One per process; the steps ``address_limit`` and ``rate_limit`` ask it. What a plan gives comes from the
entitlement of the tenant; everything else, and whatever replaces it, from the settings.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from prometheus_client import Counter

from cohortlens.billing.models import Entitlement
from cohortlens.core.context import Principal
from cohortlens.core.errors import CohortLensError
from cohortlens.core.redis import RedisClient, key, redis_client
from cohortlens.core.telemetry import REGISTRY
from cohortlens.identity.networks import network_of
from gateway.limits.buckets import PLANNED, Answer, Bucket
from gateway.limits.faults import SENSITIVE, too_fast
from gateway.limits.in_flight import InFlight, Lease
from gateway.limits.pace import Pace
from gateway.limits.store import BucketStore
from gateway.rate_settings import Limit, RateSettings
from gateway.registry import MethodInfo, RateClass

REFUSED = Counter(
    "ratelimit_refused_total", "Calls refused by a rate limit", ("limit", "by"), registry=REGISTRY
)
SHADOWED = Counter(
    "ratelimit_shadow_total",
    "Calls that a limit that only counts would refuse",
    ("limit",),
    registry=REGISTRY,
)
PENDING = "pending_auth"
PRINCIPAL_RATIO = 0.8
"""What part of its tenant's limit one principal may use."""
_CONNECTIONS = 4
_KEPT_TENANTS, _KEPT_PRINCIPALS, _KEPT_SINGLES = 20_000, 5_000, 20_000


class Entitled(Protocol):
    """Tells what a tenant may do."""

    def known(self, tenant_id: UUID) -> Entitlement | None:
        """The entitlement, if it is in memory and fresh."""

    def of(self, tenant_id: UUID) -> Awaitable[Entitlement]:
        """The entitlement, read if need be."""


class Limited(Protocol):
    """What the limiter must know of a call."""

    @property
    def method(self) -> MethodInfo:
        """The RPC."""

    @property
    def principal(self) -> Principal | None:
        """The caller."""


class Named(NamedTuple):
    """A limit as callers know it, and the pace of one of them.

    Attributes:
        name: The limit.
        pace: The caller's pace.
    """

    name: str
    pace: Pace


class _Tenant:
    """The paces of one tenant's callers under one entitlement."""

    __slots__ = ("entitlement", "limits", "paces")

    def __init__(self, entitlement: Entitlement, limits: dict[RateClass, Limit]) -> None:
        self.entitlement = entitlement
        self.limits = limits
        self.paces: dict[RateClass, dict[str, Pace]] = {one: {} for one in limits}


class Limiter:
    """Says whether a call may pass now.

    Args:
        redis: Client of Redis, one of its own with a short bound.
        entitlements: What each tenant may do.
        settings: The limits that are not of a plan.
        processes: Gateway processes, which share the limits while Redis is away.

    Attributes:
        store: Where the buckets lie.
    """

    def __init__(
        self, redis: RedisClient, entitlements: Entitled, settings: RateSettings, processes: int
    ) -> None:
        timeout_s = float(settings.rate_redis_timeout)
        self._redis = redis
        self.store = BucketStore(redis, processes, timeout_s)
        self._in_flight = InFlight(redis, self.store, processes, timeout_s)
        self._entitlements = entitlements
        self._settings = settings
        self._shadowed = settings.shadowed()
        self._given = _given(settings)
        self._addressed = {
            RateClass.PUBLIC: ("public", Limit.parse(settings.rate_public)),
            RateClass.AUTH_SENSITIVE: (SENSITIVE, Limit.parse(settings.rate_auth_sensitive)),
            RateClass.AUTH_REFRESH: ("auth_refresh", Limit.parse(settings.rate_auth_refresh_address)),
        }
        self._pending = (
            Limit.parse(settings.rate_pending_auth),
            Limit.parse(settings.rate_pending_auth_address),
        )
        self._session = Limit.parse(settings.rate_auth_refresh)
        self._platform = Limit.parse(settings.rate_platform)
        self._tenants: OrderedDict[str, _Tenant] = OrderedDict()
        self._singles: OrderedDict[tuple[str, str], Pace] = OrderedDict()

    @classmethod
    def open(cls, url: str, entitlements: Entitled, settings: RateSettings, processes: int) -> Limiter:
        """A limiter with connections of its own, so that nobody waits for a busy pool.

        Args:
            url: Address of Redis.
            entitlements: What each tenant may do.
            settings: The limits that are not of a plan.
            processes: Gateway processes.
        """
        timeout_s = float(settings.rate_redis_timeout)
        redis = redis_client(url, timeout_s=timeout_s, max_connections=_CONNECTIONS)
        return cls(redis, entitlements, settings, processes)

    async def close(self) -> None:
        """End what runs beside the calls, and the connections."""
        await self.store.close()
        await self._redis.aclose()

    # What is counted by address, credential or session: limits of the settings.

    def address_pace(self, rate_class: RateClass, address: str) -> Named | None:
        """The pace of an address in a class that is limited by it; None for the other classes."""
        found = self._addressed.get(rate_class)
        if found is None:
            return None
        name, limit = found
        network = network_of(address)
        return Named(name, self._single(name, network, ((network, limit, "address"),)))

    def pending_pace(self, credential: str, address: str) -> Named:
        """The pace of a credential that this process has not verified, and of all such of an address.

        Args:
            credential: As presented; empty for none.
            address: Network address of the caller.
        """
        network = network_of(address)
        own, all_of_address = self._pending
        parts = [(network, all_of_address, "address")]
        digest = ""
        if credential:
            digest = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).hexdigest()[:32]
            parts.append((digest, own, "credential"))
        return Named(PENDING, self._single(PENDING, f"{network}:{digest}", parts))

    def session_pace(self, session_id: UUID) -> Named:
        """The pace at which a session is refreshed."""
        subject = str(session_id)
        return Named("auth_refresh", self._single("session", subject, ((subject, self._session, "session"),)))

    async def refresh(self, session_id: UUID) -> None:
        """Let a session be refreshed whose refresh token was proven.

        Raises:
            RateLimited: It was too often.
        """
        named = self.session_pace(session_id)
        refusal = await named.pace.wait(time.monotonic())
        if refusal is not None and (fault := self.refusal(named.name, refusal)) is not None:
            raise fault

    def staff_pace(self, principal: Principal) -> Named:
        """The pace of a person of the platform's staff."""
        subject = principal.id_text
        parts = ((subject, self._platform, "principal"),)
        return Named("platform", self._single("platform", subject, parts))

    def _single(self, name: str, subject: str, parts: Sequence[tuple[str, Limit, str]]) -> Pace:
        kept = (name, subject)
        pace = self._singles.get(kept)
        if pace is None:
            buckets = [Bucket.make(key("rl", name, by, one), limit, by, name) for one, limit, by in parts]
            pace = self._singles[kept] = Pace(self.store, buckets, block_max=1)
            if len(self._singles) > _KEPT_SINGLES:
                self._singles.popitem(last=False)
        return pace

    # What is counted by tenant and principal: limits of the plan.

    def pace(self, principal: Principal, rate_class: RateClass) -> Pace | None:
        """The pace of a principal's calls of class read, write or inference; None until its plan is known."""
        known = self._entitlements.known(principal.tenant_id)
        return None if known is None else self._pace_under(known, principal, rate_class)

    async def loaded_pace(self, principal: Principal, rate_class: RateClass) -> Pace:
        """As ``pace``, reading the entitlement first.

        Raises:
            Unavailable: PostgreSQL does not answer.
        """
        entitlement = await self._entitlements.of(principal.tenant_id)
        return self._pace_under(entitlement, principal, rate_class)

    async def take_more(self, call: Limited, units: int) -> None:
        """Take what a call weighs beyond the one unit that the step ``rate_limit`` took of its limit.

        Args:
            call: The call.
            units: Started hundreds of rows of the request, at least 1; each weighs what the method costs.

        Raises:
            RateLimited: So much is not left; nothing more was taken.
        """
        policy = call.method.policy
        more = policy.cost * units - 1
        if more > 0 and policy.rate_class in PLANNED and call.principal is not None:
            await self.take_units(call.principal, policy.rate_class, more)

    async def take_units(self, principal: Principal, rate_class: RateClass, units: int) -> None:
        """Take units for work that goes on within a call, such as the later messages of a stream.

        Raises:
            RateLimited: So much is not left; none of it was taken.
        """
        pace = self.pace(principal, rate_class) or await self.loaded_pace(principal, rate_class)
        refusal = await pace.take(units, time.monotonic())
        if refusal is not None and (fault := self.refusal(PLANNED[rate_class], refusal)) is not None:
            raise fault

    def _pace_under(self, entitlement: Entitlement, principal: Principal, rate_class: RateClass) -> Pace:
        tenant = self._tenants.get(principal.tenant_text)
        if tenant is None or tenant.entitlement is not entitlement:
            tenant = self._renewed(principal.tenant_text, entitlement)
        pace = tenant.paces[rate_class].get(principal.id_text)
        return pace if pace is not None else self._add_pace(tenant, principal, rate_class)

    def _renewed(self, tenant_text: str, entitlement: Entitlement) -> _Tenant:
        """The paces of a tenant whose entitlement is new: new limits hold from the next call on."""
        rates = entitlement.rates
        limits = {
            one: self._given.get(one) or Limit.per_second(float(getattr(rates, name)))
            for one, name in PLANNED.items()
        }
        tenant = self._tenants[tenant_text] = _Tenant(entitlement, limits)
        self._tenants.move_to_end(tenant_text)
        if len(self._tenants) > _KEPT_TENANTS:
            self._tenants.popitem(last=False)
        return tenant

    def _add_pace(self, tenant: _Tenant, principal: Principal, rate_class: RateClass) -> Pace:
        paces = tenant.paces[rate_class]
        if len(paces) >= _KEPT_PRINCIPALS:
            paces.clear()
        name, limit = PLANNED[rate_class], tenant.limits[rate_class]
        # The braces keep the buckets of a tenant in one slot of a cluster.
        start = ("rl", name, f"{{{principal.tenant_text}}}")
        buckets = (
            Bucket.make(key(*start, principal.id_text), limit.part(PRINCIPAL_RATIO), "principal", name),
            Bucket.make(key(*start), limit, "tenant", name),
        )
        pace = paces[principal.id_text] = Pace(self.store, buckets)
        return pace

    # What is counted while it is under way.

    async def enter_bulk(self, principal: Principal, life_s: float) -> tuple[Lease | None, int]:
        """Count a call of class bulk, and say how many the plan allows; no lease when so many are.

        Raises:
            Unavailable: PostgreSQL does not answer, and the plan is not known.
        """
        most = self._settings.rate_bulk
        if most is None:
            known = self._entitlements.known(principal.tenant_id)
            if known is None:
                known = await self._entitlements.of(principal.tenant_id)
            most = known.rates.bulk_in_flight
        where = key("rl", "bulk", f"{{{principal.tenant_text}}}")
        return await self._in_flight.enter(where, most, life_s), most

    async def enter_internal(self, subject: str, life_s: float) -> tuple[Lease | None, int]:
        """As ``enter_bulk`` for a call of class internal of a program, or of an address that shows none."""
        most = self._settings.rate_internal
        return await self._in_flight.enter(key("rl", "internal", subject), most, life_s), most

    async def leave(self, lease: Lease) -> None:
        """A call that was counted is over."""
        await self._in_flight.leave(lease)

    # Refusals.

    def refusal(self, name: str, answer: Answer) -> CohortLensError | None:
        """The fault of a call that was too fast; None where the limit only counts."""
        return self.counted(name, answer.bucket.by, too_fast(name, answer))

    def counted(self, name: str, by: str, fault: CohortLensError) -> CohortLensError | None:
        """``fault`` after counting it; None where the limit only counts."""
        if name in self._shadowed:
            SHADOWED.labels(name).inc()
            return None
        REFUSED.labels(name, by).inc()
        return fault

    def plan(self, principal: Principal) -> Entitlement | None:
        """What the tenant of a principal may do, if it is in memory."""
        return self._entitlements.known(principal.tenant_id)


def _given(settings: RateSettings) -> dict[RateClass, Limit]:
    """Limits of the settings that replace those of every plan."""
    return {
        one: Limit.parse(text) for one, name in PLANNED.items() if (text := getattr(settings, f"rate_{name}"))
    }
