"""Routes of subscriptions and their items."""

from __future__ import annotations

from typing import Any

from cohortlens.embedded.stripe import changing, ending, forms, listing, subscribing
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.faults import missing
from cohortlens.embedded.stripe.provider import Provider
from cohortlens.embedded.stripe.routing import Call, Route, route

_STATUSES = (
    "active",
    "past_due",
    "unpaid",
    "canceled",
    "incomplete",
    "incomplete_expired",
    "trialing",
    "paused",
)
_ALWAYS_FREE = {"metadata", "cancellation_details", "expand"}


def create(call: Call) -> Object:
    """Make a subscription of a customer."""
    customer = call.provider.get("customer", forms.needed(call.params, "customer"), "customer")
    return subscribing.create(call.provider, customer, call.params)


def read(call: Call) -> Object:
    """One subscription."""
    return call.provider.get("subscription", call.id)


def update(call: Call) -> Object:
    """Change one."""
    provider, subscription = call.provider, call.provider.get("subscription", call.id)
    if subscription["status"] in ending.OVER and call.params.keys() <= _ALWAYS_FREE:
        return provider.change(
            subscription,
            "customer.subscription.updated",
            metadata=forms.metadata(call.params, subscription["metadata"]),
        )
    return changing.update(provider, subscription, call.params)


def cancel(call: Call) -> Object:
    """End one at once."""
    return changing.cancel(call.provider, call.provider.get("subscription", call.id), call.params)


def resume(call: Call) -> Object:
    """Let a paused one go on."""
    return changing.resume(call.provider, call.provider.get("subscription", call.id))


def listed(call: Call) -> Object:
    """Subscriptions, the newest first; canceled ones only when asked for."""
    params, status = call.params, call.params.get("status")
    customer, price = forms.text(params, "customer"), forms.text(params, "price")
    if customer is not None:
        call.provider.get("customer", customer, "customer")
    if status not in {None, "", "all", "ended"}:
        forms.choice(params, "status", _STATUSES, "active")
    found = (
        one
        for one in call.provider.store.newest("subscription", customer)
        if _has_status(one, status)
        and (price is None or any(item["price"]["id"] == price for item in one["items"]["data"]))
        and forms.text(params, "test_clock") in {None, one["test_clock"]}
        and listing.within(params, "created", one["created"])
    )
    return listing.page(found, params, call.path)


def searched(call: Call) -> Object:
    """Subscriptions that a query finds."""
    return listing.search(call.provider.store.newest("subscription"), call.params, call.path)


def create_item(call: Call) -> Object:
    """Add an item to a subscription."""
    provider, params = call.provider, call.params
    subscription = provider.get("subscription", forms.needed(params, "subscription"), "subscription")
    known = {item["id"] for item in subscription["items"]["data"]}
    changed = _with_item(provider, subscription, params, {"price": params.get("price"), **_quantity(params)})
    return next(item for item in changed["items"]["data"] if item["id"] not in known)


def update_item(call: Call) -> Object:
    """Change an item: its price, its quantity."""
    provider, params = call.provider, call.params
    subscription = _owner(provider, call.id)
    wanted: dict[str, Any] = {
        name: params[name] for name in ("price", "metadata", "quantity") if name in params
    }
    changed = _with_item(provider, subscription, params, {"id": call.id, **wanted})
    return next(item for item in changed["items"]["data"] if item["id"] == call.id)


def delete_item(call: Call) -> Object:
    """Take an item off its subscription."""
    subscription = _owner(call.provider, call.id)
    _with_item(call.provider, subscription, call.params, {"id": call.id, "deleted": "true"})
    return {"id": call.id, "object": "subscription_item", "deleted": True}


def read_item(call: Call) -> Object:
    """One item."""
    items = _owner(call.provider, call.id)["items"]["data"]
    return next(item for item in items if item["id"] == call.id)


def list_items(call: Call) -> Object:
    """The items of a subscription."""
    subscription = call.provider.get(
        "subscription", forms.needed(call.params, "subscription"), "subscription"
    )
    return listing.page(subscription["items"]["data"], call.params, call.path)


def _owner(provider: Provider, item: str) -> Object:
    for subscription in provider.store.newest("subscription"):
        if any(one["id"] == item for one in subscription["items"]["data"]):
            return subscription
    raise missing("subscription_item", item)


def _quantity(params: dict[str, Any]) -> dict[str, Any]:
    return {"quantity": params["quantity"]} if "quantity" in params else {}


def _with_item(
    provider: Provider, subscription: Object, params: dict[str, Any], item: dict[str, Any]
) -> Object:
    terms = ("proration_behavior", "proration_date", "payment_behavior")
    wanted = {name: params[name] for name in terms if name in params}
    return changing.update(provider, subscription, {**wanted, "items": [item]})


def _has_status(one: Object, status: str | None) -> bool:
    if status in {None, ""}:
        return one["status"] not in ending.OVER
    if status == "ended":
        return one["status"] in ending.OVER
    return status in {"all", one["status"]}


_ITEM = "price quantity metadata proration_behavior proration_date payment_behavior"
ROUTES: list[Route] = [
    route("GET", "/v1/subscriptions/search", searched, "query limit page"),
    route(
        "POST",
        "/v1/subscriptions",
        create,
        f"customer items trial_period_days trial_end billing_cycle_anchor {subscribing.TERMS}",
    ),
    route("GET", "/v1/subscriptions", listed, f"customer status price created test_clock {listing.PARAMS}"),
    route("GET", "/v1/subscriptions/{id}", read),
    route(
        "POST",
        "/v1/subscriptions/{id}",
        update,
        f"items trial_end billing_cycle_anchor proration_date pause_collection cancellation_details"
        f" {subscribing.TERMS}",
    ),
    route("DELETE", "/v1/subscriptions/{id}", cancel, "invoice_now prorate cancellation_details"),
    route("POST", "/v1/subscriptions/{id}/resume", resume, "billing_cycle_anchor proration_behavior"),
    route("POST", "/v1/subscription_items", create_item, f"subscription {_ITEM}"),
    route("GET", "/v1/subscription_items", list_items, f"subscription {listing.PARAMS}"),
    route("GET", "/v1/subscription_items/{id}", read_item),
    route("POST", "/v1/subscription_items/{id}", update_item, _ITEM),
    route("DELETE", "/v1/subscription_items/{id}", delete_item, "proration_behavior proration_date"),
]
