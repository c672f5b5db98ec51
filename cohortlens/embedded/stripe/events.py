"""Events as the API lists them, and the endpoints that they are sent to."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from cohortlens.embedded.ports import LOOPBACK
from cohortlens.embedded.stripe import forms, listing
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.faults import Refusal, required
from cohortlens.embedded.stripe.provider import API_VERSION, Provider, random_text
from cohortlens.embedded.stripe.routing import Call, Route, route

_LOCAL = frozenset({LOOPBACK, "localhost", "::1"})


def read(call: Call) -> Object:
    """One event, as it was."""
    return call.provider.get("event", call.id)


def listed(call: Call) -> Object:
    """Events, the newest first."""
    params, kind = call.params, forms.text(call.params, "type")
    kinds = forms.rows(params, "types")
    success = params.get("delivery_success")
    found = (
        one
        for one in call.provider.store.newest("event")
        if (kind is None or _fits(kind, one["type"]))
        and (not kinds or one["type"] in kinds)
        and (success is None or _was_delivered(call.provider, one) == forms.flag(params, "delivery_success"))
        and listing.within(params, "created", one["created"])
    )
    return listing.page(found, params, call.path)


def create_endpoint(call: Call) -> Object:
    """Register an endpoint; its secret is shown this once."""
    secret = f"whsec_{random_text(32)}"
    made = make_endpoint(call.provider, call.params, secret)
    return {**made, "secret": secret}


def make_endpoint(
    provider: Provider, params: dict[str, Any], secret: str, identifier: str | None = None
) -> Object:
    """An endpoint with a secret of the caller's choice."""
    events = forms.rows(params, "enabled_events")
    if not events:
        raise required("enabled_events")
    made = provider.make(
        "webhook_endpoint",
        id=identifier,
        api_version=forms.text(params, "api_version"),
        description=forms.text(params, "description"),
        enabled_events=events,
        metadata=forms.metadata(params),
        url=_checked(forms.needed(params, "url")),
    )
    return provider.store.add(made, secret=secret)


def update_endpoint(call: Call) -> Object:
    """Change an endpoint."""
    provider, params = call.provider, call.params
    endpoint = provider.get("webhook_endpoint", call.id)
    if "url" in params:
        endpoint["url"] = _checked(forms.needed(params, "url"))
    if "enabled_events" in params:
        endpoint["enabled_events"] = forms.rows(params, "enabled_events")
    if "disabled" in params:
        endpoint["status"] = "disabled" if forms.flag(params, "disabled") else "enabled"
    if "description" in params:
        endpoint["description"] = forms.text(params, "description")
    if "metadata" in params:
        endpoint["metadata"] = forms.metadata(params, endpoint["metadata"])
    return provider.store.put(endpoint)


def read_endpoint(call: Call) -> Object:
    """One endpoint."""
    return call.provider.get("webhook_endpoint", call.id)


def list_endpoints(call: Call) -> Object:
    """Endpoints, the newest first."""
    return listing.page(call.provider.store.newest("webhook_endpoint"), call.params, call.path)


def delete_endpoint(call: Call) -> Object:
    """Forget an endpoint."""
    call.provider.get("webhook_endpoint", call.id)
    call.provider.store.remove(call.id)
    return {"id": call.id, "object": "webhook_endpoint", "deleted": True}


def endpoints_for(provider: Provider, event: Object) -> list[Object]:
    """The endpoints that want an event."""
    return [
        one
        for one in provider.store.newest("webhook_endpoint")
        if one["status"] == "enabled" and any(_fits(kind, event["type"]) for kind in one["enabled_events"])
    ]


def ensure_endpoint(provider: Provider, identifier: str, url: str, secret: str) -> Object:
    """The endpoint of an identifier with this address and secret; made or changed as needed."""
    found = provider.store.get("webhook_endpoint", identifier)
    if found is None:
        params = {"url": url, "enabled_events": ["*"], "api_version": API_VERSION}
        return make_endpoint(provider, params, secret, identifier)
    provider.store.hide(identifier, secret=secret)
    return provider.store.put(found | {"url": _checked(url)})


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in _LOCAL:
        raise Refusal(
            "Invalid URL: this local stand-in sends to http:// addresses of this machine only.",
            param="url",
            code="url_invalid",
        )
    return url


def _fits(pattern: str, kind: str) -> bool:
    return pattern in {"*", kind} or (pattern.endswith(".*") and kind.startswith(pattern[:-1]))


def _was_delivered(provider: Provider, event: Object) -> bool:
    [pending] = provider.store.db.execute(
        "SELECT COUNT(*) FROM deliveries WHERE event = ? AND state <> 'delivered'", (event["id"],)
    ).fetchone()
    return int(pending) == 0


_ENDPOINT = "url enabled_events description metadata"
ROUTES: list[Route] = [
    route("GET", "/v1/events", listed, f"type types created delivery_success {listing.PARAMS}"),
    route("GET", "/v1/events/{id}", read),
    route("POST", "/v1/webhook_endpoints", create_endpoint, f"api_version {_ENDPOINT}"),
    route("GET", "/v1/webhook_endpoints", list_endpoints, listing.PARAMS),
    route("GET", "/v1/webhook_endpoints/{id}", read_endpoint),
    route("POST", "/v1/webhook_endpoints/{id}", update_endpoint, f"disabled {_ENDPOINT}"),
    route("DELETE", "/v1/webhook_endpoints/{id}", delete_endpoint),
]
