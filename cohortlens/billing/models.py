"""Plans, what a tenant is entitled to, and the refusals that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cohortlens.core.errors import FailedPrecondition, InvalidArgument, PermissionDenied, Violation
from cohortlens.core.ids import TenantId

BASIC = "basic"
"""The plan of a tenant without a subscription."""
CUSTOMER_QUOTA_EXCEEDED = "CUSTOMER_QUOTA_EXCEEDED"
"""Reason of a refusal by the schema: the plan has no room for the customers that would come."""
ENTITLEMENT_CHANGED = "entitlement.changed"
"""Topic of the outbox: what a tenant may do is another now."""
ENTITLEMENT_USAGE = "entitlement.usage"
"""Topic of the outbox: what a tenant has stored came near a limit, or back below it."""


class Access(StrEnum):
    """How far a tenant may use what its plan gives."""

    FULL = "FULL"
    READ_ONLY = "READ_ONLY"
    NONE = "NONE"


class Interval(StrEnum):
    """How often a price is paid."""

    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast a tenant may call.

    Attributes:
        read: Calls of class read a second.
        write: Calls of class write a second.
        inference: Cost units of class inference a second.
        bulk_in_flight: Calls of class bulk at once.
    """

    read: float
    write: float
    inference: float
    bulk_in_flight: int


@dataclass(frozen=True, slots=True)
class Price:
    """What a plan costs.

    Attributes:
        interval: How often it is paid.
        currency: ISO 4217 code.
        amount_minor: Amount in minor units of the currency.
    """

    interval: Interval
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of a plan of the catalogue.

    Attributes:
        plan_id: Name, such as ``professional``.
        version: Version, the first is 1; who subscribed to one keeps it.
        rank: Order of the plans; the higher one gives more.
        display_name: Name for people.
        features: What may be called.
        max_customers: Customers that may be stored.
        max_api_calls_per_month: Units of the meter ``api_calls`` in a period.
        max_users: Users and open invitations; None for any number.
        rates: How fast it may call.
        prices: What it costs; empty for a plan that is not sold.
    """

    plan_id: str
    version: int
    rank: int
    display_name: str
    features: frozenset[str]
    max_customers: int
    max_api_calls_per_month: int
    max_users: int | None
    rates: Rates
    prices: tuple[Price, ...] = ()


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What a tenant may do now: its plan and what was granted beside it.

    Attributes:
        tenant_id: The tenant.
        plan: Name of the plan.
        rank: Its rank.
        access: How far it may be used.
        features: What may be called.
        max_customers: Customers that may be stored.
        max_api_calls_per_month: Units of the meter ``api_calls`` in a period.
        max_users: Users and open invitations; None for any number.
        rates: How fast it may call.
        version: Raised by each change.
        anchor: Begin of the subscription, from which periods count; None: calendar months in UTC.
    """

    tenant_id: TenantId
    plan: str
    rank: int
    access: Access
    features: frozenset[str]
    max_customers: int
    max_api_calls_per_month: int
    max_users: int | None
    rates: Rates
    version: int
    anchor: datetime | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that an override sets; None leaves the plan's.

    Attributes:
        max_customers: Customers that may be stored.
        max_api_calls_per_month: Units of the meter ``api_calls`` in a period.
        max_users: Users and open invitations.
        read: Calls of class read a second.
        write: Calls of class write a second.
        inference: Cost units of class inference a second.
        bulk_in_flight: Calls of class bulk at once.
    """

    max_customers: int | None = None
    max_api_calls_per_month: int | None = None
    max_users: int | None = None
    read: float | None = None
    write: float | None = None
    inference: float | None = None
    bulk_in_flight: int | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """What the operator grants a tenant beside its subscription.

    Attributes:
        reason: Why, 10 to 500 characters.
        plan: Plan that counts when it ranks above the subscription's; empty for none.
        limits: Limits that replace the plan's.
        features: Features beside the plan's.
        expires_at: When all of it lapses; None: never.
    """

    reason: str
    plan: str = ""
    limits: Limits = Limits()
    features: frozenset[str] = frozenset()
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """An entitlement with what the tenant has stored, as ``GetEntitlement`` shows it.

    Attributes:
        entitlement: What the tenant may do.
        subscribed_plan: The plan of the subscription; ``basic`` without one.
        override: What was granted beside it; None for nothing.
        customers: Customers that are stored.
        users: Users and invitations that are open.
        near_limit: Whether four fifths of a limit are used.
        over_limit_since: Since when more is stored than the plan allows; None: it is not.
        read_only_at: When that makes the tenant read-only; None: it does not.
        upgrade_to: The next plan above; empty for none.
    """

    entitlement: Entitlement
    subscribed_plan: str
    override: Override | None
    customers: int
    users: int
    near_limit: bool
    over_limit_since: datetime | None
    read_only_at: datetime | None
    upgrade_to: str


class PlanFeatureRequired(PermissionDenied):
    """The plan does not contain what the call needs.

    Args:
        feature: What it needs.
        upgrade_to: The smallest plan that contains it; empty for none.
    """

    reason = "PLAN_FEATURE_REQUIRED"

    def __init__(self, feature: str, upgrade_to: str) -> None:
        way = f"upgrade to {upgrade_to}" if upgrade_to else "ask the operator of the installation"
        super().__init__(
            f"the plan does not contain {feature}; {way}",
            metadata={"feature": feature, "upgrade_to": upgrade_to},
        )


class SubscriptionInactive(FailedPrecondition):
    """The tenant may only read for now."""

    reason = "SUBSCRIPTION_INACTIVE"


class TenantSuspended(FailedPrecondition):
    """The tenant may not use the installation."""

    reason = "TENANT_SUSPENDED"


class PlanUnknown(InvalidArgument):
    """No plan of the catalogue has this name."""

    def __init__(self, plan: str, known: tuple[str, ...], field: str = "plan") -> None:
        text = f"no plan is called {plan[:40]!r}; the plans are {', '.join(known)}"
        super().__init__(f"{field}: {text}", violations=(Violation(field, text),))
