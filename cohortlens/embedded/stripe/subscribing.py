"""Making a subscription: items, trial, first invoice, first payment."""

from __future__ import annotations

from typing import Any

from cohortlens.embedded.stripe import cards, collecting, forms, invoicing, listing, periods, renewing
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.catalogue import plan_of
from cohortlens.embedded.stripe.faults import Refusal, declined, needs_authentication, required
from cohortlens.embedded.stripe.periods import DAY
from cohortlens.embedded.stripe.provider import Provider

FIRST_PAYMENT = 23 * 3600
_BEHAVIOURS = ("allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
TERMS = (
    "metadata description trial_settings payment_settings collection_method days_until_due"
    " cancel_at_period_end cancel_at default_payment_method payment_behavior proration_behavior"
    " off_session"
)


def priced_item(provider: Provider, given: dict[str, Any], place: int, subscription: str) -> Object:
    """A new subscription item for ``items[place]``."""
    param = f"items[{place}][price]"
    identifier = forms.text(given, "price")
    if identifier is None:
        raise required(param)
    price = provider.get("price", identifier, param)
    if not price["active"]:
        raise Refusal(f"The price specified is inactive: {identifier}.", param=param)
    if price["recurring"] is None:
        raise Refusal(
            "The price specified is set to `type=one_time`, a subscription needs `recurring`.", param=param
        )
    is_metered = price["recurring"]["usage_type"] == "metered"
    return provider.make(
        "subscription_item",
        price=price,
        plan=plan_of(price),
        quantity=None if is_metered else forms.number(given, "quantity", 1),
        metadata=forms.metadata(given),
        subscription=subscription,
    )


def create(
    provider: Provider,
    customer: Object,
    params: dict[str, Any],
    *,
    is_holder_there: bool = False,
    is_authenticated: bool = False,
) -> Object:
    """Make a subscription and ask for its first payment.

    Args:
        provider: The provider.
        customer: Who subscribes.
        params: Parameters of the request, of a checkout session or of a schedule's phase.
        is_holder_there: Whether somebody is at the pay page.
        is_authenticated: Whether they authenticated the payment.

    Raises:
        Refusal: A parameter cannot be used, or the payment failed where that was to be an error.
    """
    made = _made(provider, customer, params)
    now = provider.now(customer["id"])
    items = [
        priced_item(provider, one, place, made["id"]) for place, one in enumerate(forms.rows(params, "items"))
    ]
    if not items:
        raise required("items")
    if len({item["price"]["currency"] for item in items}) > 1:
        raise Refusal("All prices on a subscription must have the same currency.", param="items")
    made["currency"] = items[0]["price"]["currency"]
    trial_end = _trial_end(params, now)
    if trial_end is not None:
        made |= {"trial_start": now, "trial_end": trial_end, "status": "trialing"}
        made["billing_cycle_anchor"] = trial_end
    for item in items:
        start, end = (
            (now, trial_end)
            if trial_end is not None
            else periods.period_at(made["billing_cycle_anchor"], item["price"]["recurring"], now)
        )
        item |= {"created": now, "current_period_start": start, "current_period_end": end}
    made["items"] = listing.whole(items, f"/v1/subscription_items?subscription={made['id']}")
    set_end(made, params, now)
    provider.store.add(made)
    _first_invoice(provider, made, params, is_holder_there=is_holder_there, is_authenticated=is_authenticated)
    return provider.get("subscription", made["id"])


def behaviour(params: dict[str, Any]) -> str:
    """What to do when the payment at hand fails."""
    return forms.choice(params, "payment_behavior", _BEHAVIOURS, "allow_incomplete")


def apply_terms(provider: Provider, subscription: Object, params: dict[str, Any]) -> None:
    """Set what a request may set on a new as on an old subscription."""
    if "metadata" in params:
        subscription["metadata"] = forms.metadata(params, subscription["metadata"])
    if "description" in params:
        subscription["description"] = forms.text(params, "description")
    if "default_payment_method" in params:
        card = forms.text(params, "default_payment_method")
        if card is not None and provider.get("payment_method", card)["customer"] != subscription["customer"]:
            raise Refusal(
                f"No such PaymentMethod: '{card}'", param="default_payment_method", code="resource_missing"
            )
        subscription["default_payment_method"] = card
    if "trial_settings" in params:
        behaviour_ = forms.tree(forms.tree(params, "trial_settings"), "end_behavior")
        choice = forms.choice(
            behaviour_, "missing_payment_method", ("cancel", "create_invoice", "pause"), "create_invoice"
        )
        subscription["trial_settings"] = {"end_behavior": {"missing_payment_method": choice}}
    if "payment_settings" in params:
        given = forms.tree(params, "payment_settings")
        subscription["payment_settings"] = {**subscription["payment_settings"], **given}
    if "collection_method" in params:
        choices = ("charge_automatically", "send_invoice")
        subscription["collection_method"] = forms.choice(params, "collection_method", choices, choices[0])
    if "days_until_due" in params:
        subscription["days_until_due"] = forms.number(params, "days_until_due")


def set_end(subscription: Object, params: dict[str, Any], now: int) -> None:
    """Set or clear when a subscription is to end: with its period, or at a time."""
    if "cancel_at" in params:
        at = forms.number(params, "cancel_at")
        if at is not None and at <= now:
            raise Refusal("`cancel_at` must be in the future.", param="cancel_at")
        subscription |= {"cancel_at": at, "cancel_at_period_end": False}
    elif "cancel_at_period_end" in params:
        ends = forms.flag(params, "cancel_at_period_end")
        at = renewing.period_end(subscription) if ends else None
        subscription |= {"cancel_at_period_end": ends, "cancel_at": at}
    else:
        return
    subscription["canceled_at"] = None if subscription["cancel_at"] is None else now
    reason = None if subscription["cancel_at"] is None else "cancellation_requested"
    subscription["cancellation_details"] = {**subscription["cancellation_details"], "reason": reason}


def _made(provider: Provider, customer: Object, params: dict[str, Any]) -> Object:
    now = provider.now(customer["id"])
    anchor = forms.number(params, "billing_cycle_anchor", now) or now
    made = provider.make(
        "subscription",
        customer=customer["id"],
        billing_cycle_anchor=anchor,
        start_date=now,
        status="incomplete",
        test_clock=customer["test_clock"],
    )
    apply_terms(provider, made, params)
    return made


def _trial_end(params: dict[str, Any], now: int) -> int | None:
    days = forms.number(params, "trial_period_days")
    if days:
        return now + days * DAY
    if params.get("trial_end") in {None, "", "now"}:
        return None
    end = forms.number(params, "trial_end")
    if end is not None and end <= now:
        raise Refusal("trial_end must be in the future.", param="trial_end")
    return end


def _first_invoice(
    provider: Provider, made: Object, params: dict[str, Any], *, is_holder_there: bool, is_authenticated: bool
) -> None:
    items, is_trial = made["items"]["data"], made["status"] == "trialing"
    provider.emit("customer.subscription.created", made)
    lines = (periods.trial_lines if is_trial else periods.full_lines)(provider, items)
    invoice = invoicing.draft(provider, made, lines, "subscription_create")
    invoicing.finalize(provider, invoice)
    if is_trial:
        renewing.plan_period(provider, made)
        return
    renewing.plan_period(provider, made)
    if invoice["status"] == "paid":
        collecting.after_payment(provider, invoice)
        return
    if made["collection_method"] == "send_invoice":
        provider.change(made, "customer.subscription.updated", status="active")
        return
    provider.store.plan(made, "expire_incomplete", provider.now(made["customer"]) + FIRST_PAYMENT)
    wanted = behaviour(params)
    if wanted == "default_incomplete":
        return
    if cards.paying(provider, made, made["customer"]) is None and wanted != "allow_incomplete":
        raise Refusal(
            "This customer has no attached payment source or default payment method.", code="resource_missing"
        )
    outcome = collecting.collect(
        provider, invoice, is_holder_there=is_holder_there, is_authenticated=is_authenticated
    )
    if wanted == "error_if_incomplete" and outcome not in {"paid", "pending"}:
        raise declined() if outcome == "declined" else needs_authentication()
