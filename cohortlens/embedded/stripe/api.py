"""The API: all routes, what can be expanded, and the account."""

from __future__ import annotations

from cohortlens.embedded.stripe import (
    cards,
    catalogue,
    checkout,
    clocks,
    customers,
    events,
    invoices,
    listing,
    meters,
    payments,
    portal,
    refunds,
    schedules,
    subscriptions,
)
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.provider import Provider
from cohortlens.embedded.stripe.routing import Call, Route, Routes, route


def account(call: Call) -> Object:
    """The account that the key belongs to, as far as the stand-in has one."""
    return {
        "id": call.provider.account,
        "object": "account",
        "business_type": None,
        "charges_enabled": True,
        "country": "US",
        "default_currency": "eur",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": False,
        "type": "standard",
    }


def _subscriptions_of(provider: Provider, customer: Object) -> Object:
    rows = [
        one
        for one in provider.store.newest("subscription", customer["id"])
        if one["status"] not in {"canceled", "incomplete_expired"}
    ]
    return listing.whole(rows, f"/v1/customers/{customer['id']}/subscriptions")


def _confirmation_secret(provider: Provider, invoice: Object) -> Object | None:
    intent = payments.intent_of(provider, invoice)
    return None if intent is None else {"client_secret": intent["client_secret"], "type": "payment_intent"}


INCLUDED = {
    ("checkout.session", "line_items"): checkout.items_of,
    ("customer", "subscriptions"): _subscriptions_of,
    ("invoice", "payments"): payments.payments_of,
    ("invoice", "confirmation_secret"): _confirmation_secret,
}
_ACCOUNT: list[Route] = [route("GET", "/v1/account", account)]
ROUTES = Routes(
    one
    for family in (
        _ACCOUNT,
        cards.ROUTES,
        catalogue.ROUTES,
        checkout.ROUTES,
        clocks.ROUTES,
        customers.ROUTES,
        events.ROUTES,
        invoices.ROUTES,
        meters.ROUTES,
        payments.ROUTES,
        portal.ROUTES,
        refunds.ROUTES,
        schedules.ROUTES,
        subscriptions.ROUTES,
    )
    for one in family
)
