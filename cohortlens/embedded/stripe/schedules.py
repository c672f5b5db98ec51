"""Subscription schedules: changes of a subscription at times set ahead."""

from __future__ import annotations

from typing import Any

from cohortlens.embedded.stripe import changing, forms, listing, periods, subscribing
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.faults import Refusal, required
from cohortlens.embedded.stripe.provider import Provider
from cohortlens.embedded.stripe.routing import Call, Route, route

_OPEN = ("active", "not_started")
_PHASE = frozenset(
    {
        "items",
        "start_date",
        "end_date",
        "duration",
        "iterations",
        "proration_behavior",
        "metadata",
        "trial_end",
    }
)


def create(call: Call) -> Object:
    """Make a schedule from a subscription, or for a customer from its first phase on."""
    provider, params = call.provider, call.params
    source = forms.text(params, "from_subscription")
    if source is not None:
        if params.keys() - {"from_subscription", "metadata", "expand"}:
            raise Refusal(
                "You cannot set other parameters with `from_subscription`.", param="from_subscription"
            )
        return _adopted(provider, provider.get("subscription", source, "from_subscription"), params)
    customer = provider.get("customer", forms.needed(params, "customer"), "customer")
    now = provider.now(customer["id"])
    start = now if params.get("start_date") in {None, "", "now"} else forms.number(params, "start_date", now)
    made = provider.make(
        "subscription_schedule",
        customer=customer["id"],
        end_behavior=forms.choice(params, "end_behavior", ("release", "cancel"), "release"),
        metadata=forms.metadata(params),
        status="not_started",
        test_clock=customer["test_clock"],
    )
    made["phases"] = _phases(provider, forms.rows(params, "phases"), start or now)
    provider.store.add(made)
    provider.emit("subscription_schedule.created", made)
    if start is not None and start > now:
        provider.store.plan(made, "phase", start)
    else:
        next_phase(provider, made)
    return provider.get("subscription_schedule", made["id"])


def update(call: Call) -> Object:
    """Change the phases or the end of a schedule."""
    provider, params = call.provider, call.params
    schedule = _open_one(call)
    values: dict[str, Any] = {}
    if "metadata" in params:
        values["metadata"] = forms.metadata(params, schedule["metadata"])
    if "end_behavior" in params:
        values["end_behavior"] = forms.choice(params, "end_behavior", ("release", "cancel"), "release")
    if "phases" in params:
        now = provider.now(schedule["customer"])
        start = (schedule["current_phase"] or {}).get("start_date", now)
        values["phases"] = _phases(provider, forms.rows(params, "phases"), start)
    changed = provider.change(schedule, "subscription_schedule.updated", **values)
    if schedule["status"] == "active":
        next_phase(provider, changed)
    return provider.get("subscription_schedule", call.id)


def release(call: Call) -> Object:
    """Let the subscription go on without the schedule."""
    return released(call.provider, _open_one(call))


def released(provider: Provider, schedule: Object) -> Object:
    """As the API's ``release``."""
    subscription = provider.store.get("subscription", schedule["subscription"] or "")
    provider.store.unplan(schedule["id"])
    if subscription is not None:
        provider.change(subscription, "customer.subscription.updated", schedule=None)
    return provider.change(
        schedule,
        "subscription_schedule.released",
        status="released",
        released_at=provider.now(schedule["customer"]),
        released_subscription=schedule["subscription"],
        subscription=None,
        current_phase=None,
    )


def cancel(call: Call) -> Object:
    """Cancel a schedule and its subscription."""
    provider, schedule = call.provider, _open_one(call)
    subscription = provider.store.get("subscription", schedule["subscription"] or "")
    if subscription is not None:
        changing.cancel(provider, subscription, {})
    provider.store.unplan(schedule["id"])
    schedule = provider.get("subscription_schedule", schedule["id"])
    if schedule["status"] != "canceled":
        now = provider.now(schedule["customer"])
        provider.change(
            schedule, "subscription_schedule.canceled", status="canceled", canceled_at=now, current_phase=None
        )
    return schedule


def read(call: Call) -> Object:
    """One schedule."""
    return call.provider.get("subscription_schedule", call.id)


def listed(call: Call) -> Object:
    """Schedules, the newest first."""
    params = call.params
    found = (
        one
        for one in call.provider.store.newest("subscription_schedule", forms.text(params, "customer"))
        if listing.within(params, "created", one["created"])
    )
    return listing.page(found, params, call.path)


def next_phase(provider: Provider, schedule: Object) -> None:
    """Begin the phase that is due now, or end the schedule after the last one."""
    if schedule["status"] not in _OPEN:
        return
    now = provider.now(schedule["customer"])
    phase = next((one for one in schedule["phases"] if one["start_date"] <= now < one["end_date"]), None)
    if phase is None:
        _finish(provider, schedule)
        return
    params = {
        "items": [{"price": one["price"], "quantity": str(one["quantity"])} for one in phase["items"]],
        "metadata": phase["metadata"],
    }
    if (phase["trial_end"] or 0) > now:
        params["trial_end"] = str(phase["trial_end"])
    if schedule["subscription"] is None:
        customer = provider.get("customer", schedule["customer"])
        made = subscribing.create(provider, customer, params)
        provider.store.put(made | {"schedule": schedule["id"]})
        schedule |= {"subscription": made["id"], "status": "active"}
        provider.store.put(schedule)
    else:
        subscription = provider.get("subscription", schedule["subscription"])
        _replace_items(provider, subscription, phase, params)
    _enter(provider, schedule)


def _adopted(provider: Provider, subscription: Object, params: dict[str, Any]) -> Object:
    if subscription["schedule"] is not None:
        raise Refusal(
            "You cannot migrate a subscription that is already attached to a schedule.",
            param="from_subscription",
        )
    items = subscription["items"]["data"]
    made = provider.make(
        "subscription_schedule",
        customer=subscription["customer"],
        metadata=forms.metadata(params),
        status="active",
        subscription=subscription["id"],
        test_clock=subscription["test_clock"],
    )
    start, end = items[0]["current_period_start"], items[0]["current_period_end"]
    made["phases"] = [_phase(provider, items_of(items), start, end, "create_prorations", {})]
    made["current_phase"] = {"start_date": start, "end_date": end}
    provider.store.add(made)
    provider.emit("subscription_schedule.created", made)
    provider.store.plan(made, "phase", end)
    provider.change(subscription, "customer.subscription.updated", schedule=made["id"])
    return made


def items_of(items: list[Object]) -> list[dict[str, Any]]:
    """Items of a subscription as a phase names them."""
    return [{"price": item["price"]["id"], "quantity": item["quantity"]} for item in items]


def _replace_items(provider: Provider, subscription: Object, phase: Object, params: dict[str, Any]) -> None:
    """Bring a subscription to the items of a phase, item by item as far as there are some."""
    old = subscription["items"]["data"]
    items = [
        {**one, **({"id": old[place]["id"]} if place < len(old) else {})}
        for place, one in enumerate(params["items"])
    ]
    items += [{"id": one["id"], "deleted": "true"} for one in old[len(items) :]]
    change = {"items": items, "proration_behavior": phase["proration_behavior"]}
    if phase["metadata"]:
        change["metadata"] = phase["metadata"]
    if "trial_end" in params and subscription["trial_end"] != phase["trial_end"]:
        change["trial_end"] = params["trial_end"]
    changing.update(provider, subscription, change)


def _enter(provider: Provider, schedule: Object) -> None:
    """Note the phase of now and plan its end."""
    now = provider.now(schedule["customer"])
    for phase in schedule["phases"]:
        if phase["start_date"] <= now < phase["end_date"]:
            current = {"start_date": phase["start_date"], "end_date": phase["end_date"]}
            provider.change(schedule, "subscription_schedule.updated", current_phase=current)
            provider.store.plan(schedule, "phase", phase["end_date"])


def _finish(provider: Provider, schedule: Object) -> None:
    now = provider.now(schedule["customer"])
    if schedule["end_behavior"] == "cancel":
        subscription = provider.store.get("subscription", schedule["subscription"] or "")
        if subscription is not None:
            changing.cancel(provider, subscription | {"schedule": None}, {})
    else:
        released(provider, schedule)
        return
    provider.change(
        schedule, "subscription_schedule.completed", status="completed", completed_at=now, current_phase=None
    )


def _open_one(call: Call) -> Object:
    schedule = call.provider.get("subscription_schedule", call.id)
    if schedule["status"] not in _OPEN:
        raise Refusal(
            f"You cannot change a subscription schedule that is in the `{schedule['status']}` status."
        )
    return schedule


def _phases(provider: Provider, given: list[Any], start: int) -> list[Object]:
    if not given:
        raise required("phases")
    made: list[Object] = []
    for place, one in enumerate(given):
        forms.check_known(one, _PHASE)
        items = forms.rows(one, "items")
        if not items:
            raise required(f"phases[{place}][items]")
        begin = made[-1]["end_date"] if made else start
        end = _phase_end(provider, one, begin, place)
        how = forms.text(one, "proration_behavior") or "create_prorations"
        phase = _phase(provider, items, begin, end, how, forms.metadata(one))
        made.append(phase | {"trial_end": forms.number(one, "trial_end")})
    return made


def _phase_end(provider: Provider, given: dict[str, Any], begin: int, place: int) -> int:
    end = forms.number(given, "end_date")
    if end is not None:
        if end <= begin:
            raise Refusal("The end of a phase must be after its start.", param=f"phases[{place}][end_date]")
        return end
    duration = forms.tree(given, "duration")
    if duration:
        count = forms.number(duration, "interval_count", 1) or 1
        return periods.after(begin, forms.needed(duration, "interval"), count)
    first = forms.rows(given, "items")[0]
    recurring = provider.get("price", forms.needed(first, "price"), f"phases[{place}][items]")["recurring"]
    count = (forms.number(given, "iterations", 1) or 1) * recurring["interval_count"]
    return periods.after(begin, recurring["interval"], count)


def _phase(
    provider: Provider, items: list[Any], start: int, end: int, prorations: str, metadata: dict[str, str]
) -> Object:
    empty = (
        "application_fee_percent billing_cycle_anchor billing_thresholds collection_method"
        " default_payment_method description invoice_settings on_behalf_of transfer_data trial_end"
    )
    prices = [provider.get("price", forms.needed(one, "price"), "phases") for one in items]
    return {
        **dict.fromkeys(empty.split()),
        "add_invoice_items": [],
        "currency": prices[0]["currency"],
        "default_tax_rates": [],
        "discounts": [],
        "end_date": end,
        "items": [
            {
                "billing_thresholds": None,
                "discounts": [],
                "metadata": {},
                "plan": price["id"],
                "price": price["id"],
                "quantity": forms.number(one, "quantity", 1),
                "tax_rates": [],
            }
            for one, price in zip(items, prices, strict=True)
        ],
        "metadata": metadata,
        "proration_behavior": prorations,
        "start_date": start,
    }


ROUTES: list[Route] = [
    route(
        "POST",
        "/v1/subscription_schedules",
        create,
        "from_subscription customer start_date end_behavior phases metadata",
    ),
    route("GET", "/v1/subscription_schedules", listed, f"customer created {listing.PARAMS}"),
    route("GET", "/v1/subscription_schedules/{id}", read),
    route(
        "POST",
        "/v1/subscription_schedules/{id}",
        update,
        "phases end_behavior metadata proration_behavior",
    ),
    route("POST", "/v1/subscription_schedules/{id}/release", release, "preserve_cancel_date"),
    route("POST", "/v1/subscription_schedules/{id}/cancel", cancel, "invoice_now prorate"),
]
