"""Collecting the money of an invoice, and what that does to its subscription: dunning included."""

from __future__ import annotations

from typing import Any

from cohortlens.embedded.stripe import cards, ending, invoicing, payments
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.faults import Refusal
from cohortlens.embedded.stripe.payments import Outcome
from cohortlens.embedded.stripe.periods import DAY
from cohortlens.embedded.stripe.provider import Provider

DUNNING: dict[str, Any] = {"days": [3, 5, 7], "end": "cancel"}
"""Days after each failed attempt until the next, and what follows the last: cancel, unpaid or past_due."""


def subscription_of(provider: Provider, invoice: Object) -> Object | None:
    """The subscription that an invoice is for."""
    return provider.store.get("subscription", invoice["parent"]["subscription_details"]["subscription"])


def collect(
    provider: Provider,
    invoice: Object,
    card: str | None = None,
    *,
    is_holder_there: bool = False,
    is_authenticated: bool = False,
) -> Outcome:
    """Try to get the money of an open invoice.

    Args:
        provider: The provider.
        invoice: An open invoice.
        card: The card that pays; the subscription's or the customer's when omitted.
        is_holder_there: Whether somebody is at a page, so that authentication is possible.
        is_authenticated: Whether they did.
    """
    subscription = subscription_of(provider, invoice)
    card = card or cards.paying(provider, subscription, invoice["customer"])
    intent = payments.intent_of(provider, invoice)
    assert intent is not None
    outcome: Outcome = "declined"
    if card is not None:
        outcome = payments.charge(
            provider, intent, card, is_holder_there=is_holder_there, is_authenticated=is_authenticated
        )
    if outcome == "pending":
        # It counts as paid until the bank says otherwise.
        provider.change(
            invoice, "invoice.updated", attempted=True, attempt_count=invoice["attempt_count"] + 1
        )
        if subscription is not None and subscription["status"] == "incomplete":
            provider.store.unplan(subscription["id"], "expire_incomplete")
            provider.change(subscription, "customer.subscription.updated", status="active")
        return outcome
    if outcome == "authenticates" and is_holder_there:
        # Their answer comes from the next page.
        return outcome
    invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    _concluded(provider, invoice, outcome)
    return outcome


def settle(provider: Provider, invoice: Object, *, is_paid: bool) -> None:
    """Let the money of an invoice come, or fail, that was under way."""
    intent = payments.intent_of(provider, invoice)
    if intent is None or intent["status"] != "processing":
        raise Refusal("No money is under way for this.")
    outcome = payments.conclude(provider, intent, intent["payment_method"], is_paid=is_paid)
    _concluded(provider, invoice, outcome)


def _concluded(provider: Provider, invoice: Object, outcome: Outcome) -> None:
    """What the end of an attempt does to invoice and subscription."""
    if outcome == "paid":
        invoicing.paid(provider, invoice)
        after_payment(provider, invoice)
        return
    subscription = subscription_of(provider, invoice)
    _after_failure(provider, invoice, subscription)
    if outcome == "authenticates":
        provider.emit("invoice.payment_action_required", invoice)
    provider.emit("invoice.payment_failed", invoice)
    if subscription is not None:
        _consequence(provider, invoice)


def after_payment(provider: Provider, invoice: Object) -> None:
    """Let a subscription go on that waited for this invoice."""
    subscription = subscription_of(provider, invoice)
    if subscription is None or subscription["status"] in ending.OVER:
        return
    pending = subscription["pending_update"]
    if (
        pending is not None
        and provider.store.hidden(subscription["id"]).get("pending_invoice") == invoice["id"]
    ):
        _apply_pending(provider, subscription)
    is_latest = subscription["latest_invoice"] == invoice["id"]
    if subscription["status"] in {"incomplete", "past_due", "unpaid"} and is_latest:
        provider.store.unplan(subscription["id"], "expire_incomplete")
        provider.change(subscription, "customer.subscription.updated", status="active")
    _set_delinquent(provider, subscription["customer"])


def dunning(provider: Provider) -> dict[str, Any]:
    """How failed payments are tried again; a knob."""
    return DUNNING | (provider.store.note("dunning") or {})


def _after_failure(provider: Provider, invoice: Object, subscription: Object | None) -> None:
    """Plan the next attempt, if there is to be one."""
    days, count = dunning(provider)["days"], invoice["attempt_count"]
    is_first = subscription is not None and subscription["status"] == "incomplete"
    retries = invoice["auto_advance"] and not is_first and count <= len(days)
    is_update = subscription is not None and subscription["pending_update"] is not None
    at = provider.now(invoice["customer"]) + days[count - 1] * DAY if retries and not is_update else None
    values = {"next_payment_attempt": at, "attempted": True, "attempt_count": count}
    provider.change(invoice, "invoice.updated", **values)
    if at is not None:
        provider.store.plan(invoice, "retry", at)


def _consequence(provider: Provider, invoice: Object) -> None:
    """What a failed payment does to the subscription."""
    subscription = subscription_of(provider, invoice)
    assert subscription is not None
    if subscription["status"] in {"active", "trialing"} and subscription["pending_update"] is None:
        provider.change(subscription, "customer.subscription.updated", status="past_due")
    _set_delinquent(provider, subscription["customer"])
    is_last = invoice["next_payment_attempt"] is None and subscription["status"] == "past_due"
    if not is_last:
        return
    end = dunning(provider)["end"]
    if end == "cancel":
        ending.end(provider, subscription, "payment_failed")
    elif end == "unpaid":
        provider.change(subscription, "customer.subscription.updated", status="unpaid")


def _set_delinquent(provider: Provider, identifier: str) -> None:
    customer = provider.store.get("customer", identifier)
    if customer is None:
        return
    is_late = any(
        one["status"] in {"past_due", "unpaid"} for one in provider.store.newest("subscription", identifier)
    )
    if customer["delinquent"] != is_late:
        provider.change(customer, "customer.updated", delinquent=is_late)


def _apply_pending(provider: Provider, subscription: Object) -> None:
    provider.store.unplan(subscription["id"], "expire_pending_update")
    items = provider.store.hidden(subscription["id"])["pending_items"]
    subscription["items"]["data"] = items
    provider.change(subscription, "customer.subscription.updated", pending_update=None)
    provider.emit("customer.subscription.pending_update_applied", subscription)
