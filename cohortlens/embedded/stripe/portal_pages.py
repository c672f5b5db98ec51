"""The portal's page: cancel, keep, change the plan, change the card, look at invoices."""

from __future__ import annotations

from cohortlens.embedded.stripe import cards, changing, ending, portal, renewing, schedules
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.cards import KnownCard
from cohortlens.embedded.stripe.faults import Refusal
from cohortlens.embedded.stripe.hosting import (
    CardFault,
    PageHandler,
    Reply,
    Visit,
    ask_to_authenticate,
    card_of,
    day,
    forward,
    gone,
    page,
)
from cohortlens.embedded.stripe.periods import shown
from cohortlens.embedded.stripe.provider import Provider

_DONE = {
    "cancel": "The subscription ends with its period.",
    "resume": "The subscription goes on.",
    "plan": "The plan is changed.",
    "card": "The card is kept.",
}


def home(visit: Visit) -> Reply:
    """The page; a form of it does one thing and shows it again."""
    provider, secret = visit.provider, visit.ids[0]
    session = portal.session_of(provider, secret)
    if session is None:
        return gone("This session of the portal has ended. Open the portal again from the shop.")
    if visit.form is None:
        return _shown(provider, session, done=provider.store.note(f"portal-done:{secret}") or "")
    act = visit.form.get("act", "")
    try:
        if act == "card":
            return _change_card(provider, session, secret, visit.form)
        with provider.store.transaction():
            _act(provider, session, act, visit.form)
    except (CardFault, Refusal) as fault:
        return _shown(provider, session, fault=str(fault), holder=visit.form.get("holder", ""))
    return _again(provider, secret, act)


def use_card(provider: Provider, secret: str, card: KnownCard, holder: str, *, is_confirmed: bool) -> Reply:
    """Keep a card that its bank asked about."""
    session = portal.session_of(provider, secret)
    if session is None:
        return gone("This session of the portal has ended. Open the portal again from the shop.")
    if not is_confirmed:
        return _shown(provider, session, fault="The bank's question was not answered; the card is not kept.")
    _keep_card(provider, session["customer"], card, holder)
    return _again(provider, secret, "card")


def _act(provider: Provider, session: Object, act: str, form: dict[str, str]) -> None:
    configuration = provider.get("billing_portal.configuration", session["configuration"])
    subscription = provider.get("subscription", form.get("subscription", ""))
    if subscription["customer"] != session["customer"] or act not in _DONE:
        raise Refusal("This is not possible here.")
    if act == "cancel":
        portal.check_enabled(configuration, "subscription_cancel")
        if configuration["features"]["subscription_cancel"]["mode"] == "immediately":
            changing.cancel(provider, subscription, {})
        else:
            changing.update(provider, subscription, {"cancel_at_period_end": "true"})
    elif act == "resume":
        changing.update(provider, subscription, {"cancel_at_period_end": "false"})
    else:
        portal.check_enabled(configuration, "subscription_update")
        _change_plan(provider, configuration, subscription, form.get("price", ""))


def _change_plan(provider: Provider, configuration: Object, subscription: Object, price: str) -> None:
    if price not in {one["id"] for one in _choices(provider, configuration, subscription)}:
        raise Refusal("This plan is not on offer.")
    schedule = provider.store.get("subscription_schedule", subscription["schedule"] or "")
    if schedule is not None:
        # What was planned is overtaken by what is wanted now.
        schedules.released(provider, schedule)
        subscription = provider.get("subscription", subscription["id"])
    item = subscription["items"]["data"][0]["id"]
    how = configuration["features"]["subscription_update"]["proration_behavior"]
    changing.update(
        provider, subscription, {"items": [{"id": item, "price": price}], "proration_behavior": how}
    )


def _change_card(provider: Provider, session: Object, secret: str, form: dict[str, str]) -> Reply:
    configuration = provider.get("billing_portal.configuration", session["configuration"])
    portal.check_enabled(configuration, "payment_method_update")
    card, holder = card_of(form)
    if card.at_once == "authenticates":
        return ask_to_authenticate(provider, "portal", secret, card, holder)
    _keep_card(provider, session["customer"], card, holder)
    return _again(provider, secret, "card")


def _keep_card(provider: Provider, customer: str, card: KnownCard, holder: str) -> None:
    """Let a card pay for all of a customer's subscriptions from now on."""
    with provider.store.transaction():
        method = cards.make(provider, card, customer, holder)["id"]
        owner = provider.get("customer", customer)
        settings = {**owner["invoice_settings"], "default_payment_method": method}
        provider.change(owner, "customer.updated", invoice_settings=settings)
        for subscription in list(provider.store.newest("subscription", customer)):
            if subscription["status"] not in ending.OVER and subscription["default_payment_method"]:
                kind = "customer.subscription.updated"
                provider.change(subscription, kind, default_payment_method=method)


def _again(provider: Provider, secret: str, act: str) -> Reply:
    """The page after a deed; told once, and not again when the page is loaded anew."""
    provider.store.keep(f"portal-done:{secret}", _DONE[act])
    return forward(f"{provider.address}/p/session/{secret}")


def _shown(
    provider: Provider, session: Object, *, fault: str = "", done: str = "", holder: str = ""
) -> Reply:
    if done:
        provider.store.keep(f"portal-done:{session['url'].rpartition('/')[2]}", "")
    configuration = provider.get("billing_portal.configuration", session["configuration"])
    features, customer = configuration["features"], session["customer"]
    running = [
        one for one in provider.store.newest("subscription", customer) if one["status"] not in ending.OVER
    ]
    shows_invoices = features["invoice_history"]["enabled"]
    return page(
        "portal.html",
        402 if fault else 200,
        back=session["return_url"],
        fault=fault,
        done=done,
        holder=holder,
        subscriptions=[_subscription(provider, configuration, one) for one in running],
        can_change_card=features["payment_method_update"]["enabled"],
        card=_card(provider, customer, running),
        invoices=_invoices(provider, customer) if shows_invoices else None,
    )


def _subscription(provider: Provider, configuration: Object, one: Object) -> Object:
    price = one["items"]["data"][0]["price"]
    ends = one["cancel_at"] is not None
    end = one["cancel_at"] or renewing.period_end(one)
    features = configuration["features"]
    return {
        "id": one["id"],
        "name": _words(provider, price).partition(",")[0],
        "price": _words(provider, price).partition(", ")[2],
        "status": one["status"].replace("_", " "),
        "next": f"Ends on {day(end)}" if ends else f"Renews on {day(end)}",
        "choices": [
            {"id": choice["id"], "words": _words(provider, choice)}
            for choice in (_choices(provider, configuration, one) if not ends else [])
        ],
        "can_cancel": features["subscription_cancel"]["enabled"] and not ends,
        "can_resume": one["cancel_at_period_end"],
    }


def _choices(provider: Provider, configuration: Object, subscription: Object) -> list[Object]:
    """Prices that a subscription may change to: those of the configuration, or all of its currency."""
    update = configuration["features"]["subscription_update"]
    if not update["enabled"]:
        return []
    listed = [price for one in update.get("products", []) for price in one.get("prices", [])]
    current = subscription["items"]["data"][0]["price"]
    found = [
        one
        for one in provider.store.newest("price")
        if one["active"]
        and one["recurring"] is not None
        and one["recurring"]["usage_type"] == "licensed"
        and one["currency"] == current["currency"]
        and one["id"] != current["id"]
        and (not listed or one["id"] in listed)
    ]
    return sorted(found, key=lambda one: one["unit_amount"])


def _words(provider: Provider, price: Object) -> str:
    product = provider.store.get("product", price["product"])
    name = product["name"] if product else "a deleted product"
    return f"{name}, {shown(price['unit_amount'], price['currency'])} / {price['recurring']['interval']}"


def _card(provider: Provider, customer: str, running: list[Object]) -> str:
    method = cards.paying(provider, running[0] if running else None, customer)
    found = provider.store.get("payment_method", method or "")
    return f"Test card ending in {found['card']['last4']} pays." if found else ""


def _invoices(provider: Provider, customer: str) -> list[Object]:
    return [
        {
            "date": day(one["created"]),
            "number": one["number"],
            "status": one["status"],
            "amount": shown(one["amount_due"], one["currency"]),
            "url": one["hosted_invoice_url"],
        }
        for one in provider.store.newest("invoice", customer)
    ][:24]


PAGES: list[tuple[str, PageHandler]] = [("/p/session/{id}", home)]
