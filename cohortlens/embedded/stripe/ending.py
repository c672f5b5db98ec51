"""The end of a subscription."""

from __future__ import annotations

from typing import Any

from cohortlens.embedded.stripe import invoicing
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.provider import Provider

OVER = frozenset({"canceled", "incomplete_expired"})


def end(
    provider: Provider, subscription: Object, reason: str, details: dict[str, Any] | None = None
) -> Object:
    """End a subscription now.

    Args:
        provider: The provider.
        subscription: The subscription.
        reason: ``cancellation_requested``, ``payment_failed`` or ``payment_disputed``.
        details: What the customer said, as comment and feedback.
    """
    now = provider.now(subscription["customer"])
    provider.store.unplan(subscription["id"])
    _leave_open_invoices(provider, subscription)
    subscription |= {
        "status": "canceled",
        "canceled_at": subscription["canceled_at"] or now,
        "ended_at": now,
        "pending_update": None,
        "cancellation_details": {**subscription["cancellation_details"], **(details or {}), "reason": reason},
    }
    _close_schedule(provider, subscription, now)
    provider.store.put(subscription)
    provider.emit("customer.subscription.deleted", subscription)
    return subscription


def expire(provider: Provider, subscription: Object) -> None:
    """Give up a subscription whose first invoice was never paid."""
    now = provider.now(subscription["customer"])
    provider.store.unplan(subscription["id"])
    invoice = provider.store.get("invoice", subscription["latest_invoice"] or "")
    if invoice is not None and invoice["status"] == "open":
        invoicing.void(provider, invoice)
    provider.change(
        subscription,
        "customer.subscription.updated",
        status="incomplete_expired",
        ended_at=now,
        canceled_at=now,
    )


def _leave_open_invoices(provider: Provider, subscription: Object) -> None:
    """Nobody tries any more to collect what is open."""
    for invoice in provider.store.newest("invoice", subscription["customer"]):
        belongs = invoice["parent"]["subscription_details"]["subscription"] == subscription["id"]
        if belongs and invoice["status"] in {"draft", "open"} and invoice["auto_advance"]:
            provider.store.unplan(invoice["id"])
            provider.change(invoice, "invoice.updated", auto_advance=False, next_payment_attempt=None)


def _close_schedule(provider: Provider, subscription: Object, now: int) -> None:
    schedule = provider.store.get("subscription_schedule", subscription["schedule"] or "")
    if schedule is None or schedule["status"] not in {"active", "not_started"}:
        return
    provider.store.unplan(schedule["id"])
    subscription["schedule"] = None
    provider.change(
        schedule, "subscription_schedule.canceled", status="canceled", canceled_at=now, current_phase=None
    )
