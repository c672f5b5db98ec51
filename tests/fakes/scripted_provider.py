"""A payment provider in memory that goes through the states of a script, and counts what it is asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cohortlens.billing.payments.models import (
    Charge,
    CheckoutSession,
    Customer,
    Dispute,
    Invoice,
    Item,
    PaymentProviderUnavailable,
    Schedule,
    Subscription,
    SubscriptionStatus,
)
from cohortlens.billing.payments.notifications import ProviderEvent
from cohortlens.core.clock import now

START = datetime(2026, 11, 1, 9, tzinfo=UTC)
END = datetime(2026, 12, 1, 9, tzinfo=UTC)
PRO, ENT, STRANGE = "price_professional", "price_enterprise", "price_of_nobody"


def invoice(name: str = "in_1", status: str = "paid", **changes) -> Invoice:
    made = Invoice(
        id=name,
        customer_id="cus_1",
        subscription_id="sub_1",
        number=f"N-{name}",
        status=status,
        billing_reason="subscription_cycle",
        currency="eur",
        amount_due_minor=4900,
        amount_paid_minor=4900 if status == "paid" else 0,
        attempt_count=1,
        next_attempt_at=None,
        hosted_url="https://pay.example/in",
        pdf_url="",
        period_start=START,
        period_end=END,
        created_at=START,
        finalized_at=START,
        paid_at=START if status == "paid" else None,
        due_at=None,
        livemode=False,
    )
    return replace(made, **changes)


def subscription(
    status: SubscriptionStatus, price: str = PRO, name: str = "sub_1", **changes
) -> Subscription:
    made = Subscription(
        id=name,
        customer_id="cus_1",
        status=status,
        items=(Item(f"si_{name}", price, "prod_1", "month", 1, START, END),),
        created_at=START,
        anchor=START,
    )
    return replace(made, **changes)


def unpaid_since(ago: timedelta, price: str = PRO) -> Subscription:
    """A subscription whose last bill, ``in_9``, has been open for a while."""
    return unpaid_from(now() - ago, price)


def unpaid_from(billed: datetime, price: str = PRO) -> Subscription:
    """The same, by the time of the bill."""
    latest = invoice("in_9", "open", created_at=billed, finalized_at=billed)
    return subscription(SubscriptionStatus.PAST_DUE, price, latest_invoice=latest)


def schedule(price: str, at: datetime = END) -> Schedule:
    return Schedule("sched_1", "sub_1", "active", price, at)


def event(name: str, kind: str, object_id: str = "", customer: str = "cus_1", **refs: str) -> ProviderEvent:
    return ProviderEvent(name, kind, False, "2026-10-28.endive", START, customer, object_id, refs)


@dataclass
class State:
    """What the provider says at one time."""

    subscriptions: tuple[Subscription, ...] = ()
    invoices: tuple[Invoice, ...] = ()
    customer: Customer | None = field(default_factory=lambda: Customer("cus_1", "ada@shop.example", True))


class ScriptedProvider:
    """Answers from ``state``; ``down`` makes it unreachable."""

    livemode = False

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State()
        self.charges: dict[str, Charge] = {}
        self.disputes: dict[str, Dispute] = {}
        self.sessions: dict[str, CheckoutSession] = {}
        self.listed: list[ProviderEvent] = []
        self.asked: Counter[str] = Counter()
        self.down = False

    def _ask(self, what: str) -> None:
        self.asked[what] += 1
        if self.down:
            raise PaymentProviderUnavailable("the payment provider cannot be reached", retry_delay_s=1.0)

    async def customer(self, customer_id):
        self._ask("customer")
        found = self.state.customer
        return found if found is not None and found.id == customer_id else None

    async def subscriptions_of(self, customer_id):
        self._ask("subscriptions_of")
        return [one for one in self.state.subscriptions if one.customer_id == customer_id]

    async def invoices_of(self, customer_id, limit=100):
        self._ask("invoices_of")
        return list(self.state.invoices)[:limit]

    async def invoice(self, invoice_id):
        self._ask("invoice")
        return next((one for one in self.state.invoices if one.id == invoice_id), None)

    async def checkout_session(self, session_id):
        self._ask("checkout_session")
        return self.sessions.get(session_id)

    async def charge(self, charge_id):
        self._ask("charge")
        return self.charges.get(charge_id)

    async def dispute(self, dispute_id):
        self._ask("dispute")
        return self.disputes.get(dispute_id)

    async def events_since(self, since, types):
        self._ask("events_since")
        for one in self.listed:
            if one.created_at >= since and one.type in types:
                yield one


def session(name: str, reference: str, status: str = "complete") -> CheckoutSession:
    return CheckoutSession(
        name, "", status, "paid", "cus_1", "sub_1", reference, START + timedelta(hours=1), False, {}
    )
