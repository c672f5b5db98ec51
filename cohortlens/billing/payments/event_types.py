"""The events that are followed, what of each is fetched beside the customer, and who is told.

Every handler is the same: which customer, fetch the latest, project. State is never taken from an event: they
come late, twice and out of order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

RECONCILE = "cohortlens.reconcile"
"""Our own event: look at a customer although nothing was told."""
WRITTEN = "written-"
"""How its identifier begins when we wrote at the provider ourselves, so that a difference is no surprise."""


class Subject(StrEnum):
    """What an event is about, beside its customer."""

    CUSTOMER = "CUSTOMER"
    CHECKOUT = "CHECKOUT"
    INVOICE = "INVOICE"
    CHARGE = "CHARGE"
    DISPUTE = "DISPUTE"
    WARNING = "WARNING"
    CATALOGUE = "CATALOGUE"
    EVERYTHING = "EVERYTHING"


@dataclass(frozen=True)
class EventType:
    """How one type of event is followed.

    Attributes:
        subject: What is fetched beside subscriptions.
        notice: Mail to the owners, by the name of its template; empty for none.
    """

    subject: Subject = Subject.CUSTOMER
    notice: str = ""


TRIAL_ENDS = "billing_trial_ends"
PAYMENT_FAILED = "billing_payment_failed"
PAYMENT_NEEDS_ACTION = "billing_payment_needs_action"
CUSTOMER = EventType()
_CHECKOUT = EventType(Subject.CHECKOUT)
_INVOICE = EventType(Subject.INVOICE)
_FAILED = EventType(Subject.INVOICE, PAYMENT_FAILED)

EVENT_TYPES: Mapping[str, EventType] = {
    **dict.fromkeys(
        (
            "checkout.session.completed",
            "checkout.session.async_payment_succeeded",
            "checkout.session.async_payment_failed",
            "checkout.session.expired",
        ),
        _CHECKOUT,
    ),
    **dict.fromkeys(
        (
            "customer.subscription.created",
            "customer.subscription.updated",
            "customer.subscription.deleted",
            "customer.subscription.paused",
            "customer.subscription.resumed",
            "customer.subscription.pending_update_applied",
            "customer.subscription.pending_update_expired",
            "subscription_schedule.created",
            "subscription_schedule.updated",
            "subscription_schedule.released",
            "subscription_schedule.canceled",
            "subscription_schedule.completed",
            "customer.updated",
            "customer.deleted",
            "payment_method.attached",
            "payment_method.detached",
            "payment_method.automatically_updated",
        ),
        CUSTOMER,
    ),
    "customer.subscription.trial_will_end": EventType(notice=TRIAL_ENDS),
    **dict.fromkeys(
        (
            "invoice.paid",
            "invoice.finalization_failed",
            "invoice.overdue",
            "invoice.marked_uncollectible",
            "invoice.voided",
            "invoice.finalized",
            "invoice.updated",
            "invoice.upcoming",
        ),
        _INVOICE,
    ),
    "invoice.payment_failed": _FAILED,
    "invoice.payment_action_required": EventType(Subject.INVOICE, PAYMENT_NEEDS_ACTION),
    "charge.refunded": EventType(Subject.CHARGE),
    "charge.dispute.created": EventType(Subject.DISPUTE),
    "charge.dispute.closed": EventType(Subject.DISPUTE),
    "radar.early_fraud_warning.created": EventType(Subject.WARNING),
    "price.updated": EventType(Subject.CATALOGUE),
    "product.updated": EventType(Subject.CATALOGUE),
    RECONCILE: EventType(Subject.EVERYTHING),
}
"""How each type is followed; any other is kept, counted and left alone."""

PROVIDER_TYPES = tuple(name for name in EVENT_TYPES if name != RECONCILE)
"""Those that the provider sends."""
