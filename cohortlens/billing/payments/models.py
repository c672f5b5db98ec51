"""What a payment provider knows, in words that are nobody's: customers, subscriptions, invoices, events.

Amounts are integers in the smallest unit of their currency; times are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cohortlens.core.errors import FailedPrecondition, Unavailable


class SubscriptionStatus(StrEnum):
    """Where a subscription stands."""

    TRIALING = "TRIALING"
    ACTIVE = "ACTIVE"
    PAST_DUE = "PAST_DUE"
    UNPAID = "UNPAID"
    PAUSED = "PAUSED"
    INCOMPLETE = "INCOMPLETE"
    INCOMPLETE_EXPIRED = "INCOMPLETE_EXPIRED"
    CANCELED = "CANCELED"

    @property
    def is_live(self) -> bool:
        """Whether it is paid for, was until a moment ago, or can be again without a new checkout."""
        return self in _LIVE


_LIVE = frozenset(
    {
        SubscriptionStatus.TRIALING,
        SubscriptionStatus.ACTIVE,
        SubscriptionStatus.PAST_DUE,
        SubscriptionStatus.UNPAID,
        SubscriptionStatus.PAUSED,
    }
)


class Proration(StrEnum):
    """What a change within a period costs."""

    CREATE = "CREATE"
    """The rest of the period is settled with the next invoice."""
    INVOICE_NOW = "INVOICE_NOW"
    """The rest of the period is charged at once."""
    NONE = "NONE"


@dataclass(frozen=True)
class Price:
    """What a plan costs per interval.

    Attributes:
        id: Identifier at the provider.
        product_id: The product it prices.
        currency: ISO 4217, lower case.
        amount_minor: Price of one interval; None when it follows from usage.
        interval: ``month`` or ``year``; empty for a price that does not recur.
        active: Whether it can be bought.
        livemode: Whether it is about real money.
        lookup_key: Our own name of it; empty when none was given.
        metadata: What we wrote on it.
    """

    id: str
    product_id: str
    currency: str
    amount_minor: int | None
    interval: str
    active: bool
    livemode: bool
    lookup_key: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Product:
    """What is sold: one product per plan.

    Attributes:
        id: Identifier at the provider.
        name: What invoices call it.
        active: Whether it can be bought.
        metadata: What we wrote on it.
    """

    id: str
    name: str
    active: bool
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Customer:
    """Who pays.

    Attributes:
        id: Identifier at the provider.
        email: Where invoices go; empty when there is none.
        has_payment_method: Whether a card or the like can be charged.
        deleted: Whether it was deleted at the provider; everything else is empty then.
        livemode: Whether it is about real money.
        metadata: What we wrote on it; anybody with the provider's dashboard can change it.
    """

    id: str
    email: str = ""
    has_payment_method: bool = False
    deleted: bool = False
    livemode: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """A line of a subscription.

    Attributes:
        id: Identifier at the provider.
        price_id: What it costs.
        product_id: What it is.
        interval: ``month`` or ``year``.
        quantity: How many.
        period_start: Start of the paid period.
        period_end: End of the paid period.
    """

    id: str
    price_id: str
    product_id: str
    interval: str
    quantity: int
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True)
class Invoice:
    """An invoice.

    Attributes:
        id: Identifier at the provider.
        customer_id: Who pays.
        subscription_id: What for; empty for an invoice beside any subscription.
        number: What the customer calls it; empty while it is a draft.
        status: ``draft``, ``open``, ``paid``, ``uncollectible`` or ``void``.
        billing_reason: Why it was made, such as ``subscription_cycle``.
        currency: ISO 4217, lower case.
        amount_due_minor: What is to be paid.
        amount_paid_minor: What was paid.
        attempt_count: How often payment was tried.
        next_attempt_at: When it is tried again; None when it is not.
        hosted_url: Page of the provider where it can be paid; empty for none.
        pdf_url: The invoice as PDF; empty for none.
        period_start: Start of what it charges for.
        period_end: End of what it charges for.
        created_at: When it was made.
        finalized_at: When it was finalized; None while it is a draft.
        paid_at: When it was paid; None while it is not.
        due_at: When it must be paid; None for one that is charged automatically.
        livemode: Whether it is about real money.
    """

    id: str
    customer_id: str
    subscription_id: str
    number: str
    status: str
    billing_reason: str
    currency: str
    amount_due_minor: int
    amount_paid_minor: int
    attempt_count: int
    next_attempt_at: datetime | None
    hosted_url: str
    pdf_url: str
    period_start: datetime
    period_end: datetime
    created_at: datetime
    finalized_at: datetime | None
    paid_at: datetime | None
    due_at: datetime | None
    livemode: bool


@dataclass(frozen=True)
class Schedule:
    """A change of price that waits for the end of the period.

    Attributes:
        id: Identifier at the provider.
        subscription_id: What it changes; empty once it let go of it.
        status: ``not_started``, ``active``, ``completed``, ``released`` or ``canceled``.
        next_price_id: Price of the phase that comes; empty when none does.
        next_at: When that phase begins.
    """

    id: str
    subscription_id: str
    status: str
    next_price_id: str = ""
    next_at: datetime | None = None


@dataclass(frozen=True)
class Subscription:
    """What a customer pays for, again and again.

    Attributes:
        id: Identifier at the provider.
        customer_id: Who pays.
        status: Where it stands.
        items: Its lines; the first is the plan's.
        created_at: When it was made.
        anchor: The moment whose day and time periods begin at.
        cancel_at_period_end: Whether it ends with the paid period.
        cancel_at: When it will end; None when it goes on.
        canceled_at: When that was asked for.
        ended_at: When it ended.
        trial_end: End of the trial; None without one.
        schedule: The planned change; None for none. An identifier alone is enough for ``schedule_id``.
        schedule_id: Identifier of the schedule that holds it; empty for none.
        latest_invoice: Its last invoice; None before the first.
        has_pending_update: Whether a change waits for its payment.
        has_payment_method: Whether it has a card or the like of its own.
        livemode: Whether it is about real money.
        metadata: What we wrote on it; anybody with the provider's dashboard can change it.
    """

    id: str
    customer_id: str
    status: SubscriptionStatus
    items: tuple[Item, ...]
    created_at: datetime
    anchor: datetime
    cancel_at_period_end: bool = False
    cancel_at: datetime | None = None
    canceled_at: datetime | None = None
    ended_at: datetime | None = None
    trial_end: datetime | None = None
    schedule: Schedule | None = None
    schedule_id: str = ""
    latest_invoice: Invoice | None = None
    has_pending_update: bool = False
    has_payment_method: bool = False
    livemode: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def period_start(self) -> datetime | None:
        """Start of the paid period: of the line whose period ends first."""
        first = min(self.items, key=lambda item: item.period_end, default=None)
        return first.period_start if first else None

    @property
    def period_end(self) -> datetime | None:
        """End of the paid period: with several lines the earliest."""
        return min((item.period_end for item in self.items), default=None)


@dataclass(frozen=True)
class CheckoutSession:
    """A page of the provider on which a customer subscribes.

    Attributes:
        id: Identifier at the provider.
        url: The page; empty once it is over.
        status: ``open``, ``complete`` or ``expired``.
        payment_status: ``paid``, ``unpaid`` or ``no_payment_required``.
        customer_id: Who pays.
        subscription_id: What came of it; empty until it is complete.
        client_reference_id: What we wrote on it: the tenant.
        expires_at: When the page ends.
        livemode: Whether it is about real money.
        metadata: What we wrote on it.
    """

    id: str
    url: str
    status: str
    payment_status: str
    customer_id: str
    subscription_id: str
    client_reference_id: str
    expires_at: datetime
    livemode: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PreviewLine:
    """A line of the invoice that a change would cause."""

    description: str
    amount_minor: int
    is_proration: bool


@dataclass(frozen=True)
class Preview:
    """What a change of plan would cost.

    Attributes:
        currency: ISO 4217, lower case.
        amount_due_minor: Of the next invoice.
        lines: What it consists of.
        prorated_at: The moment it was computed for; the change must name it to cost the same.
    """

    currency: str
    amount_due_minor: int
    lines: tuple[PreviewLine, ...]
    prorated_at: datetime


@dataclass(frozen=True)
class Charge:
    """Money that was taken.

    Attributes:
        id: Identifier at the provider.
        customer_id: From whom; empty when unknown.
        amount_minor: How much.
        refunded_minor: How much of it was given back.
        currency: ISO 4217, lower case.
        disputed: Whether the card's holder disputes it.
    """

    id: str
    customer_id: str
    amount_minor: int
    refunded_minor: int
    currency: str
    disputed: bool


@dataclass(frozen=True)
class Dispute:
    """A charge that the card's holder does not accept.

    Attributes:
        id: Identifier at the provider.
        charge_id: What is disputed.
        status: Such as ``needs_response``, ``won`` or ``lost``.
        reason: What the bank says, such as ``fraudulent``.
        amount_minor: How much.
        currency: ISO 4217, lower case.
    """

    id: str
    charge_id: str
    status: str
    reason: str
    amount_minor: int
    currency: str


@dataclass(frozen=True)
class MeterEvent:
    """Usage that is told to the provider.

    Attributes:
        name: Of the meter.
        customer_id: Whose.
        value: A whole number.
        identifier: Makes it count once, within a day.
        at: When it was used; at most 35 days ago.
    """

    name: str
    customer_id: str
    value: int
    identifier: str
    at: datetime


class PaymentProviderUnavailable(Unavailable):
    """The provider cannot be reached, or payments are not set up; its message says which."""

    reason = "STRIPE_UNAVAILABLE"


class PaymentProviderFailed(PaymentProviderUnavailable):
    """The provider answered with a fault of its own, which it repeats to the same key for a day."""


class PaymentRefused(FailedPrecondition):
    """The provider refused for a reason that a person must mend, such as a declined card."""

    reason = "PAYMENT_REFUSED"
