"""Customers and the cards that pay for them."""

from __future__ import annotations

from typing import Any

from cohortlens.embedded.stripe import cards, forms, listing
from cohortlens.embedded.stripe.blanks import ADDRESS, Object
from cohortlens.embedded.stripe.faults import Refusal
from cohortlens.embedded.stripe.provider import Provider, random_text
from cohortlens.embedded.stripe.routing import Call, Route, route

_FIELDS = "email name phone description metadata address invoice_settings tax_exempt preferred_locales"
_PLAIN = ("email", "name", "phone", "description")


def create(call: Call) -> Object:
    """Make a customer."""
    provider, params = call.provider, call.params
    test_clock = forms.text(params, "test_clock")
    if test_clock is not None:
        provider.get("test_helpers.test_clock", test_clock, "test_clock")
    made = provider.make(
        "customer",
        test_clock=test_clock,
        created=provider.clock_time(test_clock),
        invoice_prefix=random_text(8).upper(),
        **_values(params, {}),
    )
    provider.store.add(made)
    if given := forms.text(params, "payment_method"):
        cards.attach(provider, given, made["id"])
    _default_card(provider, made, params)
    provider.store.put(made)
    provider.emit("customer.created", made)
    return made


def update(call: Call) -> Object:
    """Change a customer."""
    provider, customer = call.provider, living(call.provider, call.id)
    values = _values(call.params, customer)
    _default_card(provider, customer, call.params)
    return provider.change(customer, "customer.updated", **values)


def read(call: Call) -> Object:
    """One customer; a deleted one says so."""
    deleted = call.provider.store.get("deleted_customer", call.id)
    if deleted is not None:
        return {**deleted, "object": "customer"}
    return call.provider.get("customer", call.id)


def delete(call: Call) -> Object:
    """Delete a customer; its subscriptions end at once."""
    from cohortlens.embedded.stripe import ending  # noqa: PLC0415 - subscriptions stand on customers

    provider, customer = call.provider, living(call.provider, call.id)
    for subscription in list(provider.store.newest("subscription", call.id)):
        if subscription["status"] not in {"canceled", "incomplete_expired"}:
            ending.end(provider, subscription, "cancellation_requested")
    for card in list(provider.store.newest("payment_method", call.id)):
        cards.detach(provider, card)
    provider.store.remove(call.id)
    provider.store.add({"id": call.id, "object": "deleted_customer", "deleted": True})
    provider.emit("customer.deleted", customer)
    return {"id": call.id, "object": "customer", "deleted": True}


def listed(call: Call) -> Object:
    """Customers, the newest first."""
    email = forms.text(call.params, "email")
    test_clock = forms.text(call.params, "test_clock")
    found = (
        one
        for one in call.provider.store.newest("customer")
        if (email is None or one["email"] == email)
        and one["test_clock"] == test_clock
        and listing.within(call.params, "created", one["created"])
    )
    return listing.page(found, call.params, call.path)


def searched(call: Call) -> Object:
    """Customers that a query finds."""
    return listing.search(call.provider.store.newest("customer"), call.params, call.path)


def living(provider: Provider, identifier: str, param: str = "id") -> Object:
    """A customer that is not deleted."""
    return provider.get("customer", identifier, param)


def payment_methods(call: Call) -> Object:
    """The cards of a customer."""
    living(call.provider, call.id)
    return listing.page(call.provider.store.newest("payment_method", call.id), call.params, call.path)


def _values(params: dict[str, Any], before: Object) -> Object:
    values: Object = {name: forms.text(params, name) for name in _PLAIN if name in params}
    if "metadata" in params:
        values["metadata"] = forms.metadata(params, before.get("metadata"))
    if "address" in params:
        address = forms.tree(params, "address")
        values["address"] = {**ADDRESS, **(before.get("address") or {}), **address} if address else None
    if "tax_exempt" in params:
        values["tax_exempt"] = forms.choice(params, "tax_exempt", ("none", "exempt", "reverse"), "none")
    if "preferred_locales" in params:
        values["preferred_locales"] = forms.rows(params, "preferred_locales")
    return values


def _default_card(provider: Provider, customer: Object, params: dict[str, Any]) -> None:
    settings = forms.tree(params, "invoice_settings")
    if unknown := settings.keys() - {"default_payment_method"}:
        raise Refusal(
            f"Received unknown parameter: invoice_settings[{min(unknown)}]", code="parameter_unknown"
        )
    if "default_payment_method" not in settings:
        return
    card = forms.text(settings, "default_payment_method")
    if card is not None and provider.get("payment_method", card)["customer"] != customer["id"]:
        raise Refusal(
            f"The customer does not have a payment method with the ID {card}.",
            param="invoice_settings[default_payment_method]",
            code="resource_missing",
        )
    customer["invoice_settings"] = {**customer["invoice_settings"], "default_payment_method": card}


ROUTES: list[Route] = [
    route("GET", "/v1/customers/search", searched, "query limit page"),
    route("POST", "/v1/customers", create, f"{_FIELDS} payment_method test_clock"),
    route("GET", "/v1/customers", listed, "email created test_clock limit starting_after ending_before"),
    route("GET", "/v1/customers/{id}", read),
    route("POST", "/v1/customers/{id}", update, _FIELDS),
    route("DELETE", "/v1/customers/{id}", delete),
    route(
        "GET",
        "/v1/customers/{id}/payment_methods",
        payment_methods,
        "type limit starting_after ending_before",
    ),
]
