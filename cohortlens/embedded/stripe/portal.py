"""Sessions of the customer portal and what its page may do."""

from __future__ import annotations

from typing import Any

from cohortlens.embedded.stripe import forms, listing
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.faults import Refusal, required
from cohortlens.embedded.stripe.provider import Provider, random_text
from cohortlens.embedded.stripe.routing import Call, Route, route

_FLOWS = (
    "payment_method_update",
    "subscription_cancel",
    "subscription_update",
    "subscription_update_confirm",
)
_FEATURES = (
    "customer_update",
    "invoice_history",
    "payment_method_update",
    "subscription_cancel",
    "subscription_update",
)
_LIFE = 5 * 60
_CONFIGURATION = "features business_profile default_return_url metadata name"


def create(call: Call) -> Object:
    """Make a session; its page can be opened for five minutes and used for an hour."""
    provider, params = call.provider, call.params
    customer = provider.get("customer", forms.needed(params, "customer"), "customer")
    chosen = forms.text(params, "configuration")
    if chosen is None:
        configuration = default_configuration(provider)
    else:
        configuration = provider.get("billing_portal.configuration", chosen, "configuration")
    made = provider.make(
        "billing_portal.session",
        configuration=configuration["id"],
        created=provider.real_time(),
        customer=customer["id"],
        flow=_flow(provider, forms.tree(params, "flow_data")),
        locale=forms.text(params, "locale"),
        return_url=forms.text(params, "return_url") or configuration["default_return_url"],
    )
    secret = random_text(32)
    made["url"] = f"{provider.address}/p/session/{secret}"
    provider.store.add(made)
    provider.store.keep(f"portal:{secret}", made["id"])
    return made


def session_of(provider: Provider, secret: str) -> Object | None:
    """The session of a page's address, while it lives."""
    identifier = provider.store.note(f"portal:{secret}")
    found = provider.store.get("billing_portal.session", identifier) if identifier else None
    if found is None or provider.real_time() > found["created"] + _LIFE * 12:
        return None
    return found


def default_configuration(provider: Provider) -> Object:
    """The configuration that holds when none is named; made when first needed."""
    for one in provider.store.newest("billing_portal.configuration"):
        if one["is_default"]:
            return one
    made = provider.make(
        "billing_portal.configuration", is_default=True, features=_features({}), created=provider.real_time()
    )
    made["updated"] = made["created"]
    return provider.store.add(made)


def create_configuration(call: Call) -> Object:
    """Make a configuration."""
    provider, params = call.provider, call.params
    if not forms.tree(params, "features"):
        raise required("features")
    made = provider.make("billing_portal.configuration", **_values(params))
    made["updated"] = made["created"]
    provider.store.add(made)
    provider.emit("billing_portal.configuration.created", made)
    return made


def update_configuration(call: Call) -> Object:
    """Change a configuration."""
    found = call.provider.get("billing_portal.configuration", call.id)
    values = _values(call.params, found)
    if "active" in call.params:
        values["active"] = forms.flag(call.params, "active")
    return call.provider.change(found, "billing_portal.configuration.updated", **values)


def read_configuration(call: Call) -> Object:
    """One configuration."""
    return call.provider.get("billing_portal.configuration", call.id)


def list_configurations(call: Call) -> Object:
    """Configurations, the newest first."""
    params = call.params
    found = (
        one
        for one in call.provider.store.newest("billing_portal.configuration")
        if all(
            name not in params or one[name] == forms.flag(params, name) for name in ("active", "is_default")
        )
    )
    return listing.page(found, params, call.path)


def _flow(provider: Provider, given: dict[str, Any]) -> Object | None:
    if not given:
        return None
    kind = forms.choice(given, "type", _FLOWS, "")
    details = forms.tree(given, kind) if kind != "payment_method_update" else {}
    if kind != "payment_method_update":
        subscription = forms.needed(details, "subscription")
        provider.get("subscription", subscription, f"flow_data[{kind}][subscription]")
    completion = forms.tree(given, "after_completion")
    after = forms.choice(
        completion, "type", ("hosted_confirmation", "portal_homepage", "redirect"), "portal_homepage"
    )
    flow: Object = {
        "after_completion": {
            "hosted_confirmation": completion.get("hosted_confirmation"),
            "redirect": completion.get("redirect"),
            "type": after,
        },
        **{name: None for name in _FLOWS if name != "payment_method_update"},
        "type": kind,
    }
    if details:
        flow[kind] = details
    return flow


def _values(params: dict[str, Any], before: Object | None = None) -> Object:
    values: Object = {}
    if "features" in params or before is None:
        given = forms.tree(params, "features")
        forms.check_known(given, _FEATURES)
        values["features"] = _features(given, (before or {}).get("features"))
    if "business_profile" in params:
        empty = dict.fromkeys(("headline", "privacy_policy_url", "terms_of_service_url"))
        values["business_profile"] = {**empty, **forms.tree(params, "business_profile")}
    for name in ("default_return_url", "name"):
        if name in params:
            values[name] = forms.text(params, name)
    if "metadata" in params:
        values["metadata"] = forms.metadata(params, (before or {}).get("metadata"))
    return values


def _features(given: dict[str, Any], before: Object | None = None) -> Object:
    """All features; one that is named is on or off as it says, without any all are on."""
    made: Object = before or {
        "customer_update": {"allowed_updates": [], "enabled": False},
        "invoice_history": {"enabled": not given},
        "payment_method_update": {"enabled": not given, "payment_method_configuration": None},
        "subscription_cancel": {
            "cancellation_reason": {"enabled": False, "options": []},
            "enabled": not given,
            "mode": "at_period_end",
            "proration_behavior": "none",
        },
        "subscription_update": {
            "billing_cycle_anchor": None,
            "default_allowed_updates": ["price"],
            "enabled": not given,
            "proration_behavior": "create_prorations",
            "schedule_at_period_end": {"conditions": []},
            "trial_update_behavior": "end_trial",
        },
    }
    for name, one in given.items():
        values = dict(one)
        values["enabled"] = forms.flag(one, "enabled")
        if name == "subscription_update" and values.get("products") and "products" not in made[name]:
            made[name]["products"] = []
        made[name] = {**made[name], **values}
    return made


def check_enabled(configuration: Object, feature: str) -> None:
    """Refuse what a configuration switched off."""
    if not configuration["features"][feature]["enabled"]:
        raise Refusal(f"The portal's configuration does not allow {feature}.")


ROUTES: list[Route] = [
    route(
        "POST", "/v1/billing_portal/sessions", create, "customer return_url configuration flow_data locale"
    ),
    route("POST", "/v1/billing_portal/configurations", create_configuration, _CONFIGURATION),
    route(
        "GET", "/v1/billing_portal/configurations", list_configurations, f"active is_default {listing.PARAMS}"
    ),
    route("GET", "/v1/billing_portal/configurations/{id}", read_configuration),
    route("POST", "/v1/billing_portal/configurations/{id}", update_configuration, f"active {_CONFIGURATION}"),
]
