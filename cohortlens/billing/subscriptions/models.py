"""What subscriptions are made of, and their errors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from cohortlens.billing.models import BASIC, Interval
from cohortlens.billing.payments.models import PreviewLine
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, Violation


class IntentState(StrEnum):
    """What became of a checkout."""

    OPEN = "OPEN"
    COMPLETED = "COMPLETED"
    EXPIRED = "EXPIRED"


class Effective(StrEnum):
    """When a change of plan takes effect."""

    IMMEDIATE = "IMMEDIATE"
    PERIOD_END = "PERIOD_END"


class AlreadySubscribed(FailedPrecondition):
    """A tenant has one subscription; it is changed, not bought again."""

    reason = "ALREADY_SUBSCRIBED"


@dataclass(frozen=True)
class Intent:
    """A checkout of a tenant.

    Attributes:
        intent_id: The checkout; all writes to the provider on its behalf are keyed by it.
        plan: Plan to subscribe to.
        interval: How often it is paid.
        price_id: The provider's price.
        trial_days: Days of trial; 0 for none.
        success_url: Where the browser goes after the payment.
        cancel_url: Where it goes when the customer turns back.
        state: What became of it.
        session_id: The provider's session; empty until it is made.
        url: Address of its page; empty until it is made.
        expires_at: When the page stops working.
    """

    intent_id: UUID
    plan: str
    interval: Interval
    price_id: str
    trial_days: int
    success_url: str
    cancel_url: str
    state: IntentState
    session_id: str
    url: str
    expires_at: datetime

    def is_for(self, plan: str, interval: Interval) -> bool:
        """Whether it is a checkout of this plan, paid this often."""
        return (self.plan, self.interval) == (plan, interval)


@dataclass(frozen=True)
class PlanWarning:
    """Something a plan does not allow and the tenant has.

    Attributes:
        reason: ``customers_over``, ``users_over`` or ``features_lost``.
        message: One sentence for a person.
        used: How many the tenant has.
        limit: How many the plan allows.
        features: Features that the plan lacks.
    """

    reason: str
    message: str
    used: int = 0
    limit: int = 0
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class SubscriptionView:
    """A subscription as its tenant sees it.

    Attributes:
        status: What the provider says of it; ``NONE`` when there has never been one.
        plan: Plan that it pays for; ``basic`` when it has ended.
        interval: How often it is paid; None without one, or for an interval that no plan has.
        period_start: Begin of the period that runs.
        period_end: End of it.
        cancel_at_period_end: Whether it ends with that period.
        trial_end: End of the trial; None when there was none.
        planned_plan: Plan from ``planned_at`` on; empty when no change is planned.
        planned_at: When the planned change takes effect.
        grace_end: While a payment is overdue, until when everything works without it; else None.
    """

    status: str = "NONE"
    plan: str = BASIC
    interval: Interval | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    cancel_at_period_end: bool = False
    trial_end: datetime | None = None
    planned_plan: str = ""
    planned_at: datetime | None = None
    grace_end: datetime | None = None


@dataclass(frozen=True)
class ChangePreview:
    """What a change of plan costs.

    Attributes:
        amount_due_minor: What is asked for when it takes effect; below 0 it is credited.
        currency: ISO 4217, lower case.
        lines: What it consists of.
        effective_at: When it takes effect.
        prorated_at: The moment the rest of the period was computed for; None at the end of a period.
    """

    amount_due_minor: int
    currency: str
    lines: tuple[PreviewLine, ...]
    effective_at: datetime
    prorated_at: datetime | None = None


@dataclass(frozen=True)
class PlanChange:
    """A change of plan, made or weighed.

    Attributes:
        subscription: The subscription after it; as it is when only weighed.
        preview: What it costs; None unless it was only weighed.
        warnings: What the plan does not allow.
    """

    subscription: SubscriptionView
    preview: ChangePreview | None = None
    warnings: tuple[PlanWarning, ...] = ()


def interval_of(name: str) -> Interval | None:
    """The interval that the provider calls ``name``; None for one that no plan has."""
    return Interval(name) if name in set(Interval) else None


def plan_fault(description: str) -> InvalidArgument:
    """The fault of a request whose field ``plan`` cannot be used."""
    return InvalidArgument(f"plan: {description}", violations=(Violation("plan", description),))
