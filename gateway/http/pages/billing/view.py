"""What the page of plan and usage shows, made of the replies of the RPCs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cohortlens.v1 import billing_subscription_pb2 as pb
from gateway.http.pages.billing import wording
from gateway.http.pages.billing.figures import count, day, minute, money, share

_NEAR_PERCENT: Final = 80
# Statuses of a subscription that is changed rather than bought anew.
LIVING: Final = frozenset(
    {
        pb.SUBSCRIPTION_STATUS_TRIALING,
        pb.SUBSCRIPTION_STATUS_ACTIVE,
        pb.SUBSCRIPTION_STATUS_PAST_DUE,
        pb.SUBSCRIPTION_STATUS_UNPAID,
        pb.SUBSCRIPTION_STATUS_PAUSED,
    }
)


# These are paid before they are changed.
_UNPAID: Final = frozenset({pb.SUBSCRIPTION_STATUS_UNPAID, pb.SUBSCRIPTION_STATUS_PAUSED})


@dataclass(frozen=True)
class Gauge:
    """Something that is counted against a limit.

    Attributes:
        name: Name in the page.
        label: What is counted.
        text: How much, in words.
        limit: The limit; None for none.
        percent: How full it is.
        note: What follows from it.
    """

    name: str
    label: str
    text: str
    limit: int | None
    percent: int = 0
    note: str = ""

    @property
    def level(self) -> str:
        """``over``, ``near`` or empty, for the colour."""
        if self.limit is None or self.percent < _NEAR_PERCENT:
            return ""
        return "over" if self.percent >= 100 else "near"


@dataclass(frozen=True)
class Offered:
    """A plan at a price."""

    interval: str
    price: str
    is_current: bool


@dataclass(frozen=True)
class Card:
    """A plan on offer.

    Attributes:
        plan: Its identifier.
        name: Its name for people.
        lines: Limits and features.
        offers: Its prices.
        badge: What it is to the tenant: its plan, what it pays for, or empty for neither.
        act: ``checkout``, ``change`` or empty for nothing that can be pressed.
        verb: What taking it is called.
        note: What must be said about it.
    """

    plan: str
    name: str
    lines: list[str]
    offers: list[Offered]
    badge: str
    act: str
    verb: str = ""
    note: str = ""

    @property
    def is_higher(self) -> bool:
        """Whether it gives more than what the tenant has."""
        return self.verb == "Upgrade"


@dataclass(frozen=True)
class PlanBox:
    """The tenant's own plan."""

    name: str
    facts: list[tuple[str, str]]
    has_portal: bool
    may_cancel: bool
    may_resume: bool


@dataclass(frozen=True)
class InvoiceLine:
    """One row of the list of invoices."""

    number: str
    period: str
    amount: str
    status: str
    address: str


@dataclass
class Replies:
    """What the RPCs answered; None where one could not.

    Attributes:
        entitlement: Reply of GetEntitlement.
        subscription: Reply of GetSubscription, its subscription.
        plans: Plans of ListPlans.
        meters: Meters of GetUsage.
        invoices: Reply of ListInvoices.
        currency: Currency in which this installation sells.
        faults: Sentences by part of the page that cannot be shown.
    """

    entitlement: Any
    subscription: Any
    plans: Sequence[Any] | None = None
    meters: Sequence[Any] | None = None
    invoices: Any = None
    currency: str = "eur"
    faults: dict[str, list[str]] = field(default_factory=dict)

    @property
    def paid_in(self) -> str:
        """The currency that a change is paid in: the one of the last invoice, else the installation's."""
        billed = self.invoices.invoices[0].currency if self.invoices and self.invoices.invoices else ""
        return (billed or self.currency).upper()

    def name_of(self, plan: str) -> str:
        """The name of a plan for people."""
        return next((one.display_name for one in self.plans or () if one.plan == plan), plan.capitalize())


def plan_box(seen: Replies) -> PlanBox:
    """The box of the tenant's own plan."""
    entitlement, subscription = seen.entitlement.entitlement, seen.subscription
    is_living = subscription.status in LIVING
    facts = [("Status", wording.STATUSES.get(subscription.status, "Unknown"))]
    if is_living and subscription.plan != entitlement.plan:
        facts.append(("You pay for", seen.name_of(subscription.plan)))
    if is_living and subscription.interval in wording.INTERVALS:
        facts.append(("Paid", f"every {wording.INTERVALS[subscription.interval]}"))
    if is_living and subscription.HasField("current_period_end"):
        facts.append((_term(subscription), minute(subscription.current_period_end)))
    if entitlement.HasField("granted") and entitlement.granted.plan:
        lapses = entitlement.granted.HasField("expire_time")
        until = f" until {minute(entitlement.granted.expire_time)}" if lapses else ""
        facts.append(("Granted by the operator", f"{seen.name_of(entitlement.granted.plan)}{until}"))
    return PlanBox(
        seen.name_of(entitlement.plan),
        facts,
        has_portal=subscription.status != pb.SUBSCRIPTION_STATUS_NONE,
        may_cancel=is_living and not subscription.cancel_at_period_end,
        may_resume=subscription.status == pb.SUBSCRIPTION_STATUS_PAUSED
        or (is_living and subscription.cancel_at_period_end),
    )


def _term(subscription: Any) -> str:
    """What happens at the end of the period."""
    if subscription.cancel_at_period_end:
        return "Ends on"
    if subscription.status == pb.SUBSCRIPTION_STATUS_TRIALING:
        return "First payment on"
    return "Renews on" if subscription.status == pb.SUBSCRIPTION_STATUS_ACTIVE else "Period ends on"


def gauges(seen: Replies) -> list[Gauge]:
    """API calls of the period, customers and users against their limits."""
    found = [_meter(one) for one in seen.meters or () if one.meter == "api_calls"]
    limits, stored = seen.entitlement.entitlement.limits, seen.entitlement.stored
    found.append(_stored("customers", "Customers", stored.customers, limits.max_customers))
    most = limits.max_users if limits.HasField("max_users") else None
    found.append(_stored("users", "Users and open invitations", stored.users, most))
    return found


def cards(seen: Replies) -> list[Card]:
    """The plans on offer, the smallest first."""
    living = seen.subscription.status in LIVING
    own = seen.subscription.plan if living else seen.entitlement.entitlement.plan
    rank = next((one.rank for one in seen.plans or () if one.plan == own), 0)
    return [_card(seen, one, living, rank) for one in seen.plans or ()]


def invoice_lines(reply: Any) -> list[InvoiceLine]:
    """The rows of the list of invoices."""
    return [
        InvoiceLine(
            number=one.number or "Draft",
            period=_period(one),
            amount=money(one.amount_due_minor, one.currency),
            status=wording.INVOICE_STATUSES.get(one.status, "Unknown"),
            address=one.hosted_url if one.hosted_url.startswith(("https://", "http://")) else "",
        )
        for one in reply.invoices
    ]


def _meter(meter: Any) -> Gauge:
    left = max(0, meter.limit - meter.reserved)
    told = f"{count(left)} left; whole again on {minute(meter.resets_at)}"
    if left == 0:
        told = f"Used up. Metered calls are refused until {minute(meter.resets_at)}, or until you upgrade."
    # What is handed out to processes cannot be used elsewhere: the bar is full when nothing is left.
    full = share(max(meter.used, meter.reserved if left == 0 else 0), meter.limit)
    return Gauge(
        "api-calls",
        "API calls this period",
        f"{count(meter.used)} of {count(meter.limit)}",
        meter.limit,
        full,
        told,
    )


def _stored(name: str, label: str, held: int, limit: int | None) -> Gauge:
    if limit is None:
        return Gauge(name, label, f"{count(held)}, no limit", None)
    note = ""
    if held > limit:
        note = f"{count(held - limit)} more than the plan allows: nothing can be added."
    elif held == limit:
        note = "At the limit: nothing can be added."
    return Gauge(name, label, f"{count(held)} of {count(limit)}", limit, share(held, limit), note)


def _card(seen: Replies, plan: Any, living: bool, rank: int) -> Card:
    is_current = living and plan.plan == seen.subscription.plan
    is_held = plan.plan == seen.entitlement.entitlement.plan
    badge = "your plan" if is_held else "what you pay for" if is_current else ""
    offers = [
        Offered(
            wording.INTERVALS[price.interval],
            money(price.amount_minor, price.currency),
            is_current and price.interval == seen.subscription.interval,
        )
        for price in plan.prices
        if price.amount_minor > 0
        and price.currency.upper() == seen.paid_in
        and price.interval in wording.INTERVALS
    ]
    act, note = ("change" if living else "checkout") if offers else "", ""
    if offers and seen.subscription.status in _UNPAID:
        act, note = "", "Pay what is open first; then the plan can be changed."
    elif offers and living and seen.subscription.cancel_at_period_end:
        act, note = "", "Keep the plan first; then it can be changed."
    elif not offers:
        note = "Free. It is what you have without a subscription."
    elif seen.subscription.planned_plan == plan.plan:
        note = f"Planned from {minute(seen.subscription.planned_change_time)}."
    verb = "Upgrade"
    if plan.rank <= rank:
        # Who was granted a plan can still buy it; who pays for one can take a smaller one.
        verb = ("Switch" if is_current else "Change") if living else "Subscribe"
    lines = wording.limits_in_words(plan.limits) + wording.features_in_words(plan.features)
    return Card(plan.plan, plan.display_name, lines, offers, badge, act, verb, note)


def _period(invoice: Any) -> str:
    if invoice.HasField("period_start") and invoice.HasField("period_end"):
        first, last = day(invoice.period_start), day(invoice.period_end)
        # The invoice of a first payment is for the moment it was made at.
        return f"{first} (UTC)" if first == last else f"{first} to {last} (UTC)"
    return f"{day(invoice.create_time)} (UTC)" if invoice.HasField("create_time") else ""
