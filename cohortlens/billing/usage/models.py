"""Units of the month: how calls are weighed, what is left, and the refusals when nothing is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from cohortlens.core.errors import InvalidArgument, QuotaViolation, ResourceExhausted, Unavailable, Violation
from cohortlens.core.ids import TenantId, uuid7

API_CALLS = "api_calls"
"""The meter of calls."""
ROWS_PER_UNIT = 100
RETRY_S = 1.0
_WORDS = {API_CALLS: "API calls"}


def units_of(rows: int) -> int:
    """Units that a call of so many rows costs: one for each started 100, at least one."""
    return max(1, -(-rows // ROWS_PER_UNIT))


class UsageEvent(NamedTuple):
    """What one call used, or one part of a stream that goes on.

    Attributes:
        tenant_id: The tenant.
        meter: What was counted.
        period_start: Period it counts in.
        at_us: When it ended, microseconds since 1970.
        method: The RPC's path.
        principal: Who called, as ``user:0193...``.
        units: What was kept of the units taken; 0 when a fault of ours gave them back.
        calls: 1 for the end of a call, 0 for a part of one that goes on.
        outcome: OK, or the reason it failed with.
        request_id: The request.
    """

    tenant_id: TenantId
    meter: str
    period_start: datetime
    at_us: int
    method: str
    principal: str
    units: int
    calls: int
    outcome: str
    request_id: str


@dataclass(frozen=True, slots=True)
class MeterUsage:
    """Where a meter stands in one period.

    Attributes:
        meter: What is counted.
        period_start: First moment of the period.
        period_end: First moment of the next one, when the quota is whole again.
        used: Units of calls that have ended; at most two seconds behind.
        reserved: Units handed out, exact: those used, those of calls under way, and the few that processes
            hold.
        limit: Units that the plan gives now.
    """

    meter: str
    period_start: datetime
    period_end: datetime
    used: int
    reserved: int
    limit: int


class UsagePlace(NamedTuple):
    """Where a row stands in the list, newest first.

    Attributes:
        start: First moment of its hour or day.
        principal: Who called.
        method: The RPC's path.
    """

    start: datetime
    principal: str
    method: str


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one principal used of one method in one hour or day.

    Attributes:
        place: Hour or day, principal, method.
        meter: What was counted.
        units: Units.
        calls: Calls that ended.
    """

    place: UsagePlace
    meter: str
    units: int
    calls: int


class QuotaExceeded(ResourceExhausted):
    """The month's units are used up; waiting does not help before the period ends.

    Args:
        meter: What is counted.
        used: Units handed out.
        limit: Units of the period.
        resets_at: When the next period begins.
        upgrade_to: Name of the plan that gives more; empty when none does.
        needed: Units that were asked for.
    """

    reason = "QUOTA_EXCEEDED"

    def __init__(
        self, meter: str, used: int, limit: int, resets_at: datetime, upgrade_to: str, needed: int = 1
    ) -> None:
        self.meter, self.used, self.limit, self.resets_at = meter, used, limit, resets_at
        self.upgrade_to = upgrade_to
        left = max(0, limit - used)
        what = f"the month's {limit:,} {_WORDS.get(meter, meter)}"
        state = (
            f"{what} do not suffice: {needed:,} are needed, {left:,} are left"
            if left
            else f"{what} are used up"
        )
        more = f", or change to the plan {upgrade_to}" if upgrade_to else ""
        message = f"{state}; wait until {resets_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC{more}"
        super().__init__(
            message,
            metadata={
                "meter": meter,
                "used": str(used),
                "limit": str(limit),
                "resets_at": stamp(resets_at),
                "upgrade_to": upgrade_to,
            },
        )
        self.quota = (
            QuotaViolation("tenant", state, meter, "month", limit, {"period_end": stamp(resets_at)}),
        )


class QuotaBackendUnavailable(Unavailable):
    """What this process held of the quota is spent, and the database that has the rest does not answer."""

    reason = "QUOTA_BACKEND_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__(
            "the month's quota cannot be read now; try again a little later", retry_delay_s=RETRY_S
        )


class PeriodInvalid(InvalidArgument):
    """A period that is no month."""

    def __init__(self) -> None:
        fault = "must be a month such as 2026-11, the one in which the period begins"
        super().__init__(f"period {fault}", violations=(Violation("period", fault),))


@dataclass(frozen=True, slots=True)
class Grant:
    """What the database answered to a process that asked for units.

    Attributes:
        lease_id: The lease; None when nothing was granted.
        granted: Units of it.
        ttl_s: Seconds for which it may be spent.
        period_start: Period it counts in.
        period_end: When that ends.
        reserved: Units handed out in the period, this grant included.
        limit: Units of the period.
        version: Version of the entitlement it was granted under.
        plan: Name of the plan.
        has_access: Whether the tenant may call at all.
    """

    lease_id: UUID | None
    granted: int
    ttl_s: float
    period_start: datetime
    period_end: datetime
    reserved: int
    limit: int
    version: int
    plan: str
    has_access: bool


def told(event: UsageEvent) -> dict[str, Any]:
    """An event as ``app.usage_note`` reads it, which knows the tenant by itself."""
    return {
        "batch": str(uuid7()),
        "meter": event.meter,
        "period_start": event.period_start.isoformat(),
        "at": event.at_us / 1_000_000,
        "method": event.method,
        "principal": event.principal,
        "units": event.units,
        "calls": event.calls,
        "outcome": event.outcome,
        "request": event.request_id,
    }


def stamp(at: datetime) -> str:
    """A time as RFC 3339 in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
