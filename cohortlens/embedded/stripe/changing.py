"""Changing a subscription: its items with prorations, its end, its trial, its pause."""

from __future__ import annotations

import copy
from typing import Any

from cohortlens.embedded.stripe import collecting, ending, forms, invoicing, listing, periods, renewing
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.faults import Refusal, declined, missing, needs_authentication
from cohortlens.embedded.stripe.provider import Provider
from cohortlens.embedded.stripe.subscribing import FIRST_PAYMENT, apply_terms, behaviour, priced_item, set_end

_PRORATIONS = ("create_prorations", "always_invoice", "none")
_PENDING_SETS = frozenset(
    {"items", "proration_behavior", "proration_date", "payment_behavior", "off_session"}
)


def update(provider: Provider, subscription: Object, params: dict[str, Any]) -> Object:
    """Change a subscription that is not over.

    Raises:
        Refusal: A parameter cannot be used, or the payment failed where that was to be an error.
    """
    if subscription["status"] in ending.OVER:
        raise Refusal(
            "A canceled subscription can only update its cancellation_details and metadata.",
            code="resource_missing",
        )
    before = copy.deepcopy(subscription)
    apply_terms(provider, subscription, params)
    if "cancellation_details" in params:
        said = forms.tree(params, "cancellation_details")
        subscription["cancellation_details"] = {**subscription["cancellation_details"], **said}
    if "pause_collection" in params:
        subscription["pause_collection"] = _pause(params)
    invoice = apply(provider, subscription, params)
    if invoice is None:
        _keep(provider, subscription, before)
        return provider.get("subscription", subscription["id"])
    return _collect_change(provider, subscription, before, invoice, params)


def apply(provider: Provider, subscription: Object, params: dict[str, Any]) -> Object | None:
    """Change ``subscription`` without storing it.

    Returns:
        The invoice that the change makes at once; none when it waits for the next one.
    """
    now = provider.now(subscription["customer"])
    items = changed_items(provider, subscription, forms.rows(params, "items"))
    lines, is_reset = _change_items(provider, subscription, items, params, now)
    is_over_trial = _change_trial(subscription, params, now)
    set_end(subscription, params, now)
    return _invoice_now(provider, subscription, params, lines, is_now=is_reset or is_over_trial)


def changed_items(provider: Provider, subscription: Object, given: list[Any]) -> list[Object]:
    """The items after a change, without prices' periods moved."""
    items: list[Object] = copy.deepcopy(subscription["items"]["data"])
    first = items[0]
    for place, one in enumerate(given):
        identifier = forms.text(one, "id")
        item = next((item for item in items if item["id"] == identifier), None)
        if identifier is not None and item is None:
            raise missing("subscription_item", identifier, f"items[{place}][id]")
        if item is not None and forms.flag(one, "deleted"):
            items.remove(item)
            continue
        if item is None:
            item = priced_item(provider, one, place, subscription["id"])
            item |= {name: first[name] for name in ("current_period_start", "current_period_end")}
            items.append(item)
        elif forms.text(one, "price"):
            fresh = priced_item(provider, one, place, subscription["id"])
            item |= {"price": fresh["price"], "plan": fresh["plan"]}
        if "quantity" in one:
            item["quantity"] = forms.number(one, "quantity")
        if "metadata" in one:
            item["metadata"] = forms.metadata(one, item["metadata"])
    if not items:
        raise Refusal("A subscription must have at least one active plan.", param="items")
    return items


def cancel(provider: Provider, subscription: Object, params: dict[str, Any]) -> Object:
    """End a subscription at once; ``prorate`` gives back what is left, ``invoice_now`` bills what waits."""
    if subscription["status"] in ending.OVER:
        raise missing("subscription", subscription["id"])
    now = provider.now(subscription["customer"])
    lines = renewing.pending_lines(provider, subscription, take=True)
    if forms.flag(params, "prorate"):
        lines += periods.change_lines(provider, subscription["items"]["data"], [], now)
    if lines and forms.flag(params, "invoice_now"):
        invoice = invoicing.draft(provider, subscription, lines, "subscription_update")
        invoicing.finalize(provider, invoice)
        if invoice["status"] == "open":
            collecting.collect(provider, invoice)
        subscription = provider.get("subscription", subscription["id"])
    said = forms.tree(params, "cancellation_details")
    return ending.end(provider, subscription, "cancellation_requested", said)


def resume(provider: Provider, subscription: Object) -> Object:
    """Let a paused subscription go on, from now."""
    if subscription["status"] != "paused":
        raise Refusal("Only paused subscriptions can be resumed.", code="resource_missing")
    now = provider.now(subscription["customer"])
    before = copy.deepcopy(subscription)
    subscription |= {"status": "active", "billing_cycle_anchor": now}
    _restart_periods(subscription["items"]["data"], now)
    lines = periods.full_lines(provider, subscription["items"]["data"])
    invoice = invoicing.draft(provider, subscription, lines, "subscription_update")
    invoicing.finalize(provider, invoice)
    if invoice["status"] == "open" and collecting.collect(provider, invoice) != "paid":
        subscription = provider.get("subscription", subscription["id"])
    provider.emit("customer.subscription.updated", subscription, before)
    provider.emit("customer.subscription.resumed", subscription)
    renewing.plan_period(provider, subscription)
    return subscription


def _change_items(
    provider: Provider, subscription: Object, items: list[Object], params: dict[str, Any], now: int
) -> tuple[list[Object], bool]:
    """Put new items in place; answers the prorations, and whether a new period began."""
    old = subscription["items"]["data"]
    is_reset = params.get("billing_cycle_anchor") == "now" or any(
        _rhythm(new) != _rhythm(was) for new in items for was in old if new["id"] == was["id"]
    )
    is_trial = subscription["status"] == "trialing"
    if is_reset and not is_trial:
        subscription["billing_cycle_anchor"] = now
        _restart_periods(items, now)
    subscription["items"] = listing.whole(items, subscription["items"]["url"])
    how = forms.choice(params, "proration_behavior", _PRORATIONS, _PRORATIONS[0])
    if how == "none" or is_trial or items == old:
        lines: list[Object] = []
    else:
        at = forms.number(params, "proration_date", now) or now
        after = [] if is_reset else items
        lines = periods.change_lines(provider, old, after, at)
    if is_reset and not is_trial:
        lines += periods.full_lines(provider, items)
    return lines, is_reset and not is_trial


def _change_trial(subscription: Object, params: dict[str, Any], now: int) -> bool:
    """Move the end of a trial; answers whether it ended now."""
    given = params.get("trial_end")
    if given in {None, ""}:
        return False
    if given == "now":
        if subscription["status"] != "trialing":
            return False
        subscription |= {"status": "active", "trial_end": now, "billing_cycle_anchor": now}
        _restart_periods(subscription["items"]["data"], now)
        return True
    end = forms.number(params, "trial_end")
    if end is None or end <= now:
        raise Refusal("trial_end must be in the future.", param="trial_end")
    subscription |= {"status": "trialing", "trial_end": end, "billing_cycle_anchor": end}
    subscription["trial_start"] = subscription["trial_start"] or now
    for item in subscription["items"]["data"]:
        item["current_period_end"] = end
    return False


def _invoice_now(
    provider: Provider, subscription: Object, params: dict[str, Any], lines: list[Object], *, is_now: bool
) -> Object | None:
    """The invoice of a change, when it is not to wait for the next one."""
    how = forms.choice(params, "proration_behavior", _PRORATIONS, _PRORATIONS[0])
    if not is_now and how != "always_invoice":
        if lines:
            waiting = renewing.pending_lines(provider, subscription)
            provider.store.hide(subscription["id"], pending_lines=[*waiting, *lines])
        return None
    if is_now and not lines:
        lines = periods.full_lines(provider, subscription["items"]["data"])
    if not lines:
        return None
    lines = [*renewing.pending_lines(provider, subscription, take=True), *lines]
    return invoicing.assemble(provider, subscription, lines, "subscription_update")


def _collect_change(
    provider: Provider, subscription: Object, before: Object, invoice: Object, params: dict[str, Any]
) -> Object:
    wanted = behaviour(params)
    is_pending = wanted == "pending_if_incomplete"
    if is_pending and (unknown := params.keys() - _PENDING_SETS - {"expand"}):
        raise Refusal(f"`pending_if_incomplete` does not support `{min(unknown)}`.", param=min(unknown))
    provider.store.add(invoice)
    provider.emit("invoice.created", invoice)
    subscription["latest_invoice"] = invoice["id"]
    if is_pending:
        _wait_for_payment(provider, subscription, before, invoice)
    else:
        _keep(provider, subscription, before)
    invoicing.finalize(provider, invoice)
    if invoice["status"] == "paid":
        collecting.after_payment(provider, invoice)
    else:
        outcome = "declined"
        if wanted != "default_incomplete":
            outcome = collecting.collect(provider, invoice)
        if wanted == "error_if_incomplete" and outcome != "paid":
            raise declined() if outcome == "declined" else needs_authentication()
    return provider.get("subscription", subscription["id"])


def _wait_for_payment(provider: Provider, subscription: Object, before: Object, invoice: Object) -> None:
    """Keep the old items until the invoice is paid."""
    wanted = subscription["items"]["data"]
    subscription["items"] = before["items"]
    expires = provider.now(subscription["customer"]) + FIRST_PAYMENT
    subscription["billing_cycle_anchor"] = before["billing_cycle_anchor"]
    subscription["pending_update"] = {
        "billing_cycle_anchor": None,
        "discount": None,
        "discounts": None,
        "expires_at": expires,
        "metadata": None,
        "subscription_items": wanted,
        "trial_end": None,
        "trial_from_plan": None,
    }
    provider.store.hide(subscription["id"], pending_items=wanted, pending_invoice=invoice["id"])
    provider.store.plan(subscription, "expire_pending_update", expires)
    provider.store.put(subscription)


def _keep(provider: Provider, subscription: Object, before: Object) -> None:
    """Store a change and tell of it."""
    if subscription == before:
        return
    provider.store.put(subscription)
    provider.emit("customer.subscription.updated", subscription, before)
    renewing.plan_period(provider, subscription)


def _pause(params: dict[str, Any]) -> Object | None:
    given = forms.tree(params, "pause_collection")
    if not given:
        return None
    behaviours = ("keep_as_draft", "mark_uncollectible", "void")
    return {
        "behavior": forms.choice(given, "behavior", behaviours, behaviours[0]),
        "resumes_at": forms.number(given, "resumes_at"),
    }


def _rhythm(item: Object) -> tuple[str, int]:
    recurring = item["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def _restart_periods(items: list[Object], now: int) -> None:
    for item in items:
        start, end = periods.period_at(now, item["price"]["recurring"], now)
        item |= {"current_period_start": start, "current_period_end": end}
