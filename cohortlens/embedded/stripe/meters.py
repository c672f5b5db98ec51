"""Meters and the usage that is reported to them; an identifier counts once within 24 hours."""

from __future__ import annotations

import math
from typing import Any

from cohortlens.embedded.stripe import forms, listing
from cohortlens.embedded.stripe.blanks import Object, blank
from cohortlens.embedded.stripe.faults import Refusal, required
from cohortlens.embedded.stripe.provider import Provider, random_text
from cohortlens.embedded.stripe.routing import Call, Route, route

DAY = 86_400
_PAST = 35 * DAY
_FUTURE = 300
_FORMULAS = {"sum": "SUM(value)", "count": "COUNT(*)"}


def create(call: Call) -> Object:
    """Make a meter."""
    provider, params = call.provider, call.params
    event_name = forms.needed(params, "event_name")
    if _meter(provider, event_name) is not None:
        raise Refusal(
            f"There is already an active meter with the event name {event_name}.", param="event_name"
        )
    formula = forms.choice(forms.tree(params, "default_aggregation"), "formula", ("sum", "count"), "sum")
    made = provider.make(
        "billing.meter",
        display_name=forms.needed(params, "display_name"),
        event_name=event_name,
        default_aggregation={"formula": formula},
    )
    made["updated"] = made["created"]
    for name in ("customer_mapping", "value_settings"):
        key = forms.text(forms.tree(params, name), "event_payload_key")
        if key is not None:
            made[name]["event_payload_key"] = key
    provider.store.add(made)
    provider.emit("billing.meter.created", made)
    return made


def update(call: Call) -> Object:
    """Change a meter's name."""
    meter = call.provider.get("billing.meter", call.id)
    name = forms.needed(call.params, "display_name")
    return call.provider.change(meter, "billing.meter.updated", display_name=name)


def read(call: Call) -> Object:
    """One meter."""
    return call.provider.get("billing.meter", call.id)


def listed(call: Call) -> Object:
    """Meters, the newest first."""
    status = forms.text(call.params, "status")
    found = (one for one in call.provider.store.newest("billing.meter") if status in {None, one["status"]})
    return listing.page(found, call.params, call.path)


def deactivate(call: Call) -> Object:
    """Take no more events for a meter."""
    return _set(call, "inactive", "billing.meter.deactivated")


def reactivate(call: Call) -> Object:
    """Take events again."""
    return _set(call, "active", "billing.meter.reactivated")


def report(call: Call) -> Object:
    """Take one meter event."""
    provider, params = call.provider, call.params
    event_name = forms.needed(params, "event_name")
    meter = _meter(provider, event_name)
    if meter is None:
        raise Refusal(
            f"No active meter found for event name {event_name}.", param="event_name", code="no_meter"
        )
    payload = forms.tree(params, "payload")
    customer, value = _payload(provider, meter, payload)
    now = provider.real_time()
    at = forms.number(params, "timestamp", provider.now(customer)) or now
    _check_time(at, max(now, provider.now(customer)))
    identifier = forms.text(params, "identifier") or random_text(32)
    if len(identifier) > 100:
        raise Refusal("The identifier has more than 100 characters.", param="identifier")
    if _is_known(provider, event_name, identifier, now):
        raise Refusal(
            f"An event already exists with identifier {identifier}.",
            param="identifier",
            code="duplicate_meter_event",
        )
    provider.store.db.execute(
        "INSERT INTO meter_events (identifier, event_name, customer, value, at, received_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (identifier, event_name, customer, value, at, now),
    )
    return blank(
        "billing.meter_event",
        created=now,
        event_name=event_name,
        identifier=identifier,
        payload=payload,
        timestamp=at,
    )


def adjust(call: Call) -> Object:
    """Cancel a meter event of the last 24 hours."""
    provider, params = call.provider, call.params
    event_name = forms.needed(params, "event_name")
    identifier = forms.needed(forms.tree(params, "cancel"), "identifier")
    changed = provider.store.db.execute(
        "UPDATE meter_events SET canceled = 1 WHERE event_name = ? AND identifier = ? AND received_at > ?",
        (event_name, identifier, provider.real_time() - DAY),
    ).rowcount
    if not changed:
        raise Refusal(
            f"No event of the last 24 hours has the identifier {identifier}.", param="cancel[identifier]"
        )
    return blank("billing.meter_event_adjustment", cancel={"identifier": identifier}, event_name=event_name)


def summaries(call: Call) -> Object:
    """What a customer used between two times: in one, or by hour or day."""
    provider, params = call.provider, call.params
    meter = provider.get("billing.meter", call.id)
    customer = provider.get("customer", forms.needed(params, "customer"), "customer")["id"]
    start, end = forms.number(params, "start_time"), forms.number(params, "end_time")
    if start is None or end is None:
        raise required("start_time" if start is None else "end_time")
    if start % 60 or end % 60 or start >= end:
        raise Refusal(
            "start_time and end_time must be whole minutes, the first before the second.", param="start_time"
        )
    window = forms.text(params, "value_grouping_window")
    step = {None: end - start, "hour": 3600, "day": DAY}.get(window)
    if step is None:
        raise Refusal(
            "Invalid value_grouping_window: must be one of day, hour", param="value_grouping_window"
        )
    rows = [
        provider.make(
            "billing.meter_event_summary",
            aggregated_value=used(provider, meter, customer, begin, min(begin + step, end)),
            end_time=min(begin + step, end),
            meter=meter["id"],
            start_time=begin,
        )
        for begin in range(start, end, step)
    ]
    return listing.page(reversed(rows), params, call.path)


def used(provider: Provider, meter: Object, customer: str, start: int, end: int) -> float:
    """What a customer used from one time until another."""
    formula = _FORMULAS[meter["default_aggregation"]["formula"]]
    [value] = provider.store.db.execute(
        f"SELECT COALESCE({formula}, 0) FROM meter_events WHERE event_name = ? AND customer = ?"  # noqa: S608
        " AND at >= ? AND at < ? AND canceled = 0",
        (meter["event_name"], customer, start, end),
    ).fetchone()
    return float(value)


def _meter(provider: Provider, event_name: str) -> Object | None:
    for meter in provider.store.newest("billing.meter"):
        if meter["event_name"] == event_name and meter["status"] == "active":
            return meter
    return None


def _payload(provider: Provider, meter: Object, payload: dict[str, Any]) -> tuple[str, float]:
    customer_key = meter["customer_mapping"]["event_payload_key"]
    customer = forms.text(payload, customer_key)
    if customer is None:
        raise required(f"payload[{customer_key}]")
    provider.get("customer", customer, f"payload[{customer_key}]")
    value_key = meter["value_settings"]["event_payload_key"]
    try:
        value = float(forms.text(payload, value_key) or "x")
    except ValueError:
        raise Refusal(
            f"Invalid value: payload[{value_key}] must be a number", param=f"payload[{value_key}]"
        ) from None
    if not math.isfinite(value):
        raise Refusal(f"Invalid value: payload[{value_key}] must be a number", param=f"payload[{value_key}]")
    return customer, value


def _check_time(at: int, now: int) -> None:
    if at < now - _PAST:
        raise Refusal(
            "The timestamp is more than 35 days in the past.",
            param="timestamp",
            code="timestamp_too_far_in_past",
        )
    if at > now + _FUTURE:
        raise Refusal(
            "The timestamp is more than 5 minutes in the future.",
            param="timestamp",
            code="timestamp_in_future",
        )


def _is_known(provider: Provider, event_name: str, identifier: str, now: int) -> bool:
    row = provider.store.db.execute(
        "SELECT 1 FROM meter_events WHERE event_name = ? AND identifier = ? AND received_at > ?",
        (event_name, identifier, now - DAY),
    ).fetchone()
    return row is not None


def _set(call: Call, status: str, kind: str) -> Object:
    meter = call.provider.get("billing.meter", call.id)
    now = call.provider.real_time()
    transitions = {"deactivated_at": now if status == "inactive" else None}
    return call.provider.change(meter, kind, status=status, status_transitions=transitions, updated=now)


ROUTES: list[Route] = [
    route(
        "POST",
        "/v1/billing/meters",
        create,
        "display_name event_name default_aggregation customer_mapping value_settings",
    ),
    route("GET", "/v1/billing/meters", listed, f"status {listing.PARAMS}"),
    route("GET", "/v1/billing/meters/{id}", read),
    route("POST", "/v1/billing/meters/{id}", update, "display_name"),
    route("POST", "/v1/billing/meters/{id}/deactivate", deactivate),
    route("POST", "/v1/billing/meters/{id}/reactivate", reactivate),
    route(
        "GET",
        "/v1/billing/meters/{id}/event_summaries",
        summaries,
        f"customer start_time end_time value_grouping_window {listing.PARAMS}",
    ),
    route("POST", "/v1/billing/meter_events", report, "event_name payload identifier timestamp"),
    route("POST", "/v1/billing/meter_event_adjustments", adjust, "event_name type cancel"),
]
