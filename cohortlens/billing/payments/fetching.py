"""What the provider knows now about a customer and about what its events name; no transaction is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cohortlens.billing.payments.event_types import CUSTOMER, EVENT_TYPES, Subject
from cohortlens.billing.payments.inbox_rows import InboxEvent
from cohortlens.billing.payments.models import (
    Charge,
    CheckoutSession,
    Customer,
    Dispute,
    Invoice,
    Subscription,
    SubscriptionStatus,
)
from cohortlens.billing.payments.ports import ProviderReads
from cohortlens.core.clock import now


@dataclass(frozen=True)
class Fetched:
    """The latest.

    Attributes:
        at: When the fetch began.
        customer: The customer; None when the provider does not know it.
        subscriptions: Those of the customer; of a deleted one what is left of them.
        invoices: Invoices by their identifiers.
        checkouts: Checkout by event.
        charges: Charge by event.
        disputes: Dispute by event.
    """

    at: datetime
    customer: Customer | None
    subscriptions: Sequence[Subscription] = ()
    invoices: Mapping[str, Invoice] = field(default_factory=dict)
    checkouts: Mapping[str, CheckoutSession] = field(default_factory=dict)
    charges: Mapping[str, Charge] = field(default_factory=dict)
    disputes: Mapping[str, Dispute] = field(default_factory=dict)

    @property
    def is_gone(self) -> bool:
        """Whether there is no such customer any more."""
        return self.customer is None or self.customer.deleted

    @property
    def still_pays(self) -> bool:
        """Whether a subscription runs, or its first payment is under way."""
        return any(
            one.status.is_live or one.status is SubscriptionStatus.INCOMPLETE for one in self.subscriptions
        )


def subject_of(event: InboxEvent) -> Subject:
    """What is fetched for an event."""
    return EVENT_TYPES.get(event.type, CUSTOMER).subject


async def fetch(provider: ProviderReads, customer_id: str, events: Sequence[InboxEvent]) -> Fetched:
    """Ask for the customer, its subscriptions, and what the events are about.

    Raises:
        PaymentProviderUnavailable: The provider cannot be reached.
    """
    at = now()
    customer = await provider.customer(customer_id)
    is_gone = customer is None or customer.deleted
    subscriptions = () if customer is None else await provider.subscriptions_of(customer_id)
    found = {one.latest_invoice.id: one.latest_invoice for one in subscriptions if one.latest_invoice}
    checkouts: dict[str, CheckoutSession] = {}
    charges: dict[str, Charge] = {}
    disputes: dict[str, Dispute] = {}
    for event in events:
        subject = subject_of(event)
        if subject is Subject.INVOICE and event.object_id and event.object_id not in found:
            if (invoice := await provider.invoice(event.object_id)) is not None:
                found[invoice.id] = invoice
        elif subject is Subject.EVERYTHING and not is_gone:
            found = {one.id: one for one in await provider.invoices_of(customer_id)} | found
        elif subject is Subject.CHECKOUT and (session := await provider.checkout_session(event.object_id)):
            checkouts[event.id] = session
        elif subject is Subject.DISPUTE and (dispute := await provider.dispute(event.object_id)):
            disputes[event.id] = dispute
        elif subject in _MONEY and (charge := await provider.charge(charge_id(event))):
            charges[event.id] = charge
    own = {name: one for name, one in found.items() if one.customer_id == customer_id}
    return Fetched(at, customer, subscriptions, own, checkouts, charges, disputes)


_MONEY = frozenset({Subject.CHARGE, Subject.WARNING})


def charge_id(event: InboxEvent) -> str:
    """The charge an event is about."""
    return event.object_id if subject_of(event) is Subject.CHARGE else event.refs.get("charge", "")


async def customer_of(provider: ProviderReads, event: InboxEvent) -> str:
    """Whom an event is about that does not say so; empty when it is about nobody.

    Raises:
        PaymentProviderUnavailable: The provider cannot be reached.
    """
    subject = subject_of(event)
    if subject is Subject.DISPUTE:
        dispute = await provider.dispute(event.object_id)
        charge = await provider.charge(dispute.charge_id) if dispute is not None else None
        return charge.customer_id if charge is not None else ""
    if subject in _MONEY:
        found = await provider.charge(charge_id(event))
        return found.customer_id if found is not None else ""
    if subject is Subject.CHECKOUT:
        session = await provider.checkout_session(event.object_id)
        return session.customer_id if session is not None else ""
    return ""
