"""What time alone does: trials end, periods roll, invoices are finalized, retries come, deadlines pass."""

from __future__ import annotations

import copy
from collections.abc import Callable

from cohortlens.embedded.stripe import cards, collecting, ending, invoicing, periods
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.periods import DAY
from cohortlens.embedded.stripe.provider import Provider

TRIAL_NOTICE = 3 * DAY
UPCOMING_NOTICE = 7 * DAY
Action = Callable[[Provider, Object], None]


def plan_period(provider: Provider, subscription: Object) -> None:
    """Put the end of the period, and what comes before it, on the agenda."""
    store, end = provider.store, period_end(subscription)
    store.plan(subscription, "period_end", end)
    now = provider.now(subscription["customer"])
    if subscription["status"] == "trialing":
        store.plan(subscription, "trial_will_end", max(now, subscription["trial_end"] - TRIAL_NOTICE))
    else:
        store.unplan(subscription["id"], "trial_will_end")
    if end - UPCOMING_NOTICE > now:
        store.plan(subscription, "upcoming", end - UPCOMING_NOTICE)
    if subscription["cancel_at"] is not None:
        store.plan(subscription, "cancel_at", subscription["cancel_at"])
    else:
        store.unplan(subscription["id"], "cancel_at")


def period_end(subscription: Object) -> int:
    """The smallest end of the items' periods."""
    return int(min(item["current_period_end"] for item in subscription["items"]["data"]))


def trial_will_end(provider: Provider, subscription: Object) -> None:
    """Tell of a trial that ends in three days, or sooner when it is that short."""
    if subscription["status"] == "trialing":
        provider.emit("customer.subscription.trial_will_end", subscription)


def upcoming(provider: Provider, subscription: Object) -> None:
    """Tell of the invoice to come."""
    if subscription["status"] in ending.OVER or subscription["cancel_at_period_end"]:
        return
    provider.emit("invoice.upcoming", next_invoice(provider, subscription))


def next_invoice(provider: Provider, subscription: Object) -> Object:
    """The invoice at the end of the period, not stored."""
    items = _next_items(subscription, period_end(subscription))
    lines = pending_lines(provider, subscription) + periods.full_lines(provider, items, _ended(subscription))
    made = invoicing.assemble(provider, subscription, lines, "upcoming")
    return made | {"id": f"upcoming_{made['id']}", "next_payment_attempt": period_end(subscription) + 3600}


def pending_lines(provider: Provider, subscription: Object, *, take: bool = False) -> list[Object]:
    """Lines of changes that wait for the next invoice."""
    lines = provider.store.hidden(subscription["id"]).get("pending_lines", [])
    if take and lines:
        provider.store.hide(subscription["id"], pending_lines=[])
    return list(lines)


def roll(provider: Provider, subscription: Object) -> None:
    """Begin the next period, or end what was to end with this one."""
    if subscription["status"] in ending.OVER | {"incomplete", "paused"}:
        return
    if subscription["cancel_at_period_end"]:
        ending.end(provider, subscription, "cancellation_requested")
        return
    was_trial = subscription["status"] == "trialing"
    if was_trial and not _goes_on_after_trial(provider, subscription):
        return
    ended, end = _ended(subscription), period_end(subscription)
    before = copy.deepcopy(subscription)
    if was_trial:
        subscription |= {"status": "active", "billing_cycle_anchor": end}
    subscription["items"]["data"] = _next_items(subscription, end)
    lines = pending_lines(provider, subscription, take=True)
    lines += periods.full_lines(provider, subscription["items"]["data"], None if was_trial else ended)
    invoice = invoicing.draft(provider, subscription, lines, "subscription_cycle")
    provider.emit("customer.subscription.updated", subscription, before)
    _plan_finalization(provider, subscription, invoice)
    plan_period(provider, subscription)


def finalize(provider: Provider, invoice: Object) -> None:
    """Finalize a draft and collect it."""
    if invoice["status"] != "draft":
        return
    subscription = collecting.subscription_of(provider, invoice)
    pause = (subscription or {}).get("pause_collection")
    invoicing.finalize(provider, invoice)
    if invoice["status"] == "paid":
        collecting.after_payment(provider, invoice)
    elif pause is not None and pause["behavior"] == "void":
        invoicing.void(provider, invoice)
    elif pause is not None:
        invoicing.mark_uncollectible(provider, invoice)
    elif invoice["collection_method"] == "charge_automatically":
        collecting.collect(provider, invoice)


def retry(provider: Provider, invoice: Object) -> None:
    """Try once more to collect."""
    if invoice["status"] == "open":
        collecting.collect(provider, invoice)


def cancel_at(provider: Provider, subscription: Object) -> None:
    """End a subscription at the time that was set."""
    if subscription["status"] not in ending.OVER:
        ending.end(provider, subscription, "cancellation_requested")


def expire_incomplete(provider: Provider, subscription: Object) -> None:
    """Give up a subscription whose first invoice stayed unpaid for 23 hours."""
    if subscription["status"] == "incomplete":
        ending.expire(provider, subscription)


def expire_pending_update(provider: Provider, subscription: Object) -> None:
    """Give up a change that was not paid for within 23 hours."""
    if subscription["pending_update"] is None:
        return
    invoice = provider.store.get("invoice", provider.store.hidden(subscription["id"])["pending_invoice"])
    if invoice is not None and invoice["status"] == "open":
        invoicing.void(provider, invoice)
    provider.change(subscription, "customer.subscription.updated", pending_update=None)
    provider.emit("customer.subscription.pending_update_expired", subscription)


def _goes_on_after_trial(provider: Provider, subscription: Object) -> bool:
    """Whether a trial becomes a paid subscription; without a card that is the subscription's own choice."""
    if cards.paying(provider, subscription, subscription["customer"]) is not None:
        return True
    choice = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if choice == "cancel":
        ending.end(provider, subscription, "payment_failed")
    elif choice == "pause":
        provider.change(subscription, "customer.subscription.updated", status="paused")
        provider.emit("customer.subscription.paused", subscription)
    return bool(choice == "create_invoice")


def _ended(subscription: Object) -> tuple[int, int]:
    first = min(subscription["items"]["data"], key=lambda item: item["current_period_end"])
    return first["current_period_start"], first["current_period_end"]


def _next_items(subscription: Object, at: int) -> list[Object]:
    items: list[Object] = copy.deepcopy(subscription["items"]["data"])
    anchor = min(subscription["billing_cycle_anchor"], at)
    for item in items:
        if item["current_period_end"] <= at:
            start, end = periods.period_at(anchor, item["price"]["recurring"], at)
            item |= {"current_period_start": start, "current_period_end": end}
    return items


def _plan_finalization(provider: Provider, subscription: Object, invoice: Object) -> None:
    pause = subscription["pause_collection"]
    is_kept = subscription["status"] == "unpaid" or (pause or {}).get("behavior") == "keep_as_draft"
    if is_kept:
        provider.change(invoice, "invoice.updated", auto_advance=False)
        return
    at = provider.now(subscription["customer"]) + invoicing.HOUR
    provider.change(invoice, "invoice.updated", automatically_finalizes_at=at)
    provider.store.plan(invoice, "finalize", at)


ACTIONS: dict[str, tuple[str, Action]] = {
    "period_end": ("subscription", roll),
    "trial_will_end": ("subscription", trial_will_end),
    "upcoming": ("subscription", upcoming),
    "cancel_at": ("subscription", cancel_at),
    "expire_incomplete": ("subscription", expire_incomplete),
    "expire_pending_update": ("subscription", expire_pending_update),
    "finalize": ("invoice", finalize),
    "retry": ("invoice", retry),
}
"""What the agenda can hold: name -> kind of object, function."""
