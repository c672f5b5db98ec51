"""Checkout sessions: made by the API, paid on the hosted page."""

from __future__ import annotations

from typing import Any

from cohortlens.embedded.stripe import cards, collecting, forms, listing, subscribing
from cohortlens.embedded.stripe.blanks import ADDRESS, Object
from cohortlens.embedded.stripe.cards import KnownCard
from cohortlens.embedded.stripe.faults import Refusal, required
from cohortlens.embedded.stripe.provider import Provider
from cohortlens.embedded.stripe.routing import Call, Route, route

_LIFE = 24 * 3600
_LEAST_LIFE = 30 * 60
_SUBSCRIPTION = frozenset(
    {"metadata", "description", "trial_period_days", "trial_end", "trial_settings", "billing_cycle_anchor",
     "proration_behavior"}
)  # fmt: skip
_KEPT = ("locale", "billing_address_collection", "submit_type", "payment_method_collection", "ui_mode")


def create(call: Call) -> Object:
    """Make a session of mode ``subscription``; somebody pays on its page."""
    provider, params = call.provider, call.params
    if forms.needed(params, "mode") != "subscription":
        raise Refusal("This local stand-in has sessions of mode `subscription` only.", param="mode")
    if forms.text(params, "ui_mode") not in {None, "hosted", "hosted_page"}:
        raise Refusal("This local stand-in has hosted pages only.", param="ui_mode")
    customer = _customer(provider, params)
    now = provider.now(customer["id"] if customer else None)
    items = _line_items(provider, params)
    data = forms.tree(params, "subscription_data")
    forms.check_known(data, _SUBSCRIPTION)
    _check_plain(params)
    total = sum(item["amount_total"] for item in items)
    due = 0 if data.get("trial_period_days") or data.get("trial_end") else total
    made = provider.make(
        "checkout.session",
        allow_promotion_codes=forms.flag(params, "allow_promotion_codes") or None,
        amount_subtotal=due,
        amount_total=due,
        cancel_url=forms.text(params, "cancel_url"),
        client_reference_id=forms.text(params, "client_reference_id"),
        created=now,
        currency=items[0]["currency"],
        customer=customer and customer["id"],
        customer_creation=None if customer else "always",
        customer_details=_details(customer, forms.text(params, "customer_email")),
        customer_email=forms.text(params, "customer_email"),
        expires_at=_expiry(params, now),
        metadata=forms.metadata(params),
        mode="subscription",
        success_url=forms.needed(params, "success_url"),
        **{name: forms.text(params, name) for name in _KEPT if name in params},
    )
    made["payment_method_collection"] = made["payment_method_collection"] or "always"
    made["ui_mode"] = "hosted_page"
    made["url"] = f"{provider.address}/c/pay/{made['id']}"
    provider.store.add(made, items=items, subscription_data=data)
    provider.store.plan(made, "expire", made["expires_at"])
    return made


def read(call: Call) -> Object:
    """One session."""
    return call.provider.get("checkout.session", call.id)


def update(call: Call) -> Object:
    """Change the metadata of a session."""
    session = call.provider.get("checkout.session", call.id)
    session["metadata"] = forms.metadata(call.params, session["metadata"])
    return call.provider.store.put(session)


def listed(call: Call) -> Object:
    """Sessions, the newest first."""
    params = call.params
    wanted = {name: forms.text(params, name) for name in ("subscription", "status", "payment_intent")}
    email = forms.text(forms.tree(params, "customer_details"), "email")
    found = (
        one
        for one in call.provider.store.newest("checkout.session", forms.text(params, "customer"))
        if all(value in {None, one[name]} for name, value in wanted.items())
        and email in {None, (one["customer_details"] or {}).get("email")}
        and listing.within(params, "created", one["created"])
    )
    return listing.page(found, params, call.path)


def items(call: Call) -> Object:
    """What is bought in a session."""
    call.provider.get("checkout.session", call.id)
    return listing.page(call.provider.store.hidden(call.id)["items"], call.params, call.path)


def expired(call: Call) -> Object:
    """Close an open session."""
    session = call.provider.get("checkout.session", call.id)
    if session["status"] != "open":
        raise Refusal(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has'
            f" a status of {session['status']}."
        )
    expire(call.provider, session)
    return session


def expire(provider: Provider, session: Object) -> None:
    """Close a session that nobody paid."""
    if session["status"] != "open":
        return
    provider.store.unplan(session["id"])
    session |= {"status": "expired", "url": None}
    provider.store.put(session)
    provider.emit("checkout.session.expired", session)


def items_of(provider: Provider, session: Object) -> Object:
    """What is bought, which a session shows when asked to."""
    url = f"/v1/checkout/sessions/{session['id']}/line_items"
    return listing.whole(provider.store.hidden(session["id"])["items"], url)


def complete(
    provider: Provider, session: Object, card: KnownCard, holder: str, *, is_authenticated: bool
) -> Object:
    """Subscribe the customer of a session with a card that its holder put in.

    Raises:
        Refusal: The card did not pay; nothing was made.
    """
    customer = _customer_at_page(provider, session, holder)
    hidden = provider.store.hidden(session["id"])
    method = cards.make(provider, card, customer["id"], holder)
    bought = [{"price": one["price"]["id"], "quantity": one["quantity"]} for one in hidden["items"]]
    subscription = subscribing.create(
        provider,
        customer,
        {
            **hidden["subscription_data"],
            "items": bought,
            "default_payment_method": method["id"],
            "payment_behavior": "error_if_incomplete",
        },
        is_holder_there=True,
        is_authenticated=is_authenticated,
    )
    is_free = session["amount_total"] == 0
    invoice = provider.get("invoice", subscription["latest_invoice"])
    status = "paid" if invoice["status"] == "paid" else "unpaid"
    session |= {
        "customer": customer["id"],
        "customer_details": _details(customer, session["customer_email"], holder),
        "invoice": subscription["latest_invoice"],
        "payment_status": "no_payment_required" if is_free else status,
        "status": "complete",
        "subscription": subscription["id"],
        "url": None,
    }
    provider.store.unplan(session["id"])
    provider.store.put(session)
    provider.emit("checkout.session.completed", session)
    return session


def settle(provider: Provider, session: Object, *, is_paid: bool) -> Object:
    """Let the money of a completed session come, or fail, that was under way."""
    collecting.settle(provider, provider.get("invoice", session["invoice"] or ""), is_paid=is_paid)
    if is_paid:
        session["payment_status"] = "paid"
    provider.store.put(session)
    end = "succeeded" if is_paid else "failed"
    provider.emit(f"checkout.session.async_payment_{end}", session)
    return session


def _customer(provider: Provider, params: dict[str, Any]) -> Object | None:
    identifier = forms.text(params, "customer")
    if identifier is None:
        return None
    if forms.text(params, "customer_email"):
        raise Refusal(
            "You may only specify one of these parameters: customer, customer_email.", param="customer"
        )
    return provider.get("customer", identifier, "customer")


def _line_items(provider: Provider, params: dict[str, Any]) -> list[Object]:
    made = []
    for place, one in enumerate(forms.rows(params, "line_items")):
        forms.check_known(one, {"price", "quantity"})
        item = subscribing.priced_item(provider, one, place, "")
        price, quantity = item["price"], item["quantity"]
        amount = price["unit_amount"] * (quantity or 0)
        made.append(
            provider.make(
                "item",
                amount_subtotal=amount,
                amount_total=amount,
                currency=price["currency"],
                description=provider.get("product", price["product"])["name"],
                price=price,
                quantity=quantity,
            )
        )
    if not made:
        raise required("line_items")
    return made


def _check_plain(params: dict[str, Any]) -> None:
    """Refuse what would change the amount or who pays: there are no taxes here, and cards only."""
    if forms.flag(forms.tree(params, "automatic_tax"), "enabled"):
        raise Refusal("This local stand-in computes no taxes.", param="automatic_tax[enabled]")
    if [one for one in forms.rows(params, "payment_method_types") if one != "card"]:
        raise Refusal("This local stand-in takes cards only.", param="payment_method_types")


def _expiry(params: dict[str, Any], now: int) -> int:
    at = forms.number(params, "expires_at", now + _LIFE) or 0
    if not now + _LEAST_LIFE - 60 <= at <= now + _LIFE + 60:
        raise Refusal(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from now.",
            param="expires_at",
        )
    return at


def _details(customer: Object | None, email: str | None, name: str | None = None) -> Object | None:
    if customer is None and email is None:
        return None
    known = customer or {}
    return {
        "address": known.get("address") or (dict(ADDRESS) if name else None),
        "business_name": None,
        "email": known.get("email") or email,
        "individual_name": None,
        "name": known.get("name") or name,
        "phone": known.get("phone"),
        "tax_exempt": known.get("tax_exempt", "none"),
        "tax_ids": [],
    }


def _customer_at_page(provider: Provider, session: Object, holder: str) -> Object:
    """The customer of a session; made now when the session had none."""
    if session["customer"] is not None:
        return provider.get("customer", session["customer"])
    made = provider.make(
        "customer",
        email=session["customer_email"],
        name=holder,
        invoice_prefix=session["id"][-8:].upper(),
    )
    provider.store.add(made)
    provider.emit("customer.created", made)
    return made


ROUTES: list[Route] = [
    route(
        "POST",
        "/v1/checkout/sessions",
        create,
        "mode success_url cancel_url customer customer_email client_reference_id line_items metadata"
        " subscription_data expires_at allow_promotion_codes billing_address_collection locale"
        " payment_method_collection payment_method_types automatic_tax submit_type ui_mode",
    ),
    route(
        "GET",
        "/v1/checkout/sessions",
        listed,
        f"customer subscription status payment_intent customer_details created {listing.PARAMS}",
    ),
    route("GET", "/v1/checkout/sessions/{id}", read),
    route("POST", "/v1/checkout/sessions/{id}", update, "metadata"),
    route("POST", "/v1/checkout/sessions/{id}/expire", expired),
    route("GET", "/v1/checkout/sessions/{id}/line_items", items, listing.PARAMS),
]
