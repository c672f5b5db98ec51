"""Time: test clocks that are advanced, and the real time of everybody else."""

from __future__ import annotations

from cohortlens.embedded.stripe import checkout, forms, listing, renewing, schedules
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.faults import Refusal
from cohortlens.embedded.stripe.periods import DAY
from cohortlens.embedded.stripe.provider import Origin, Provider
from cohortlens.embedded.stripe.routing import Call, Route, route

_LONGEST = 2 * 366 * DAY
_LIFE = 30 * DAY
ACTIONS = {
    **renewing.ACTIONS,
    "expire": ("checkout.session", checkout.expire),
    "phase": ("subscription_schedule", schedules.next_phase),
}


def create(call: Call) -> Object:
    """Make a test clock."""
    provider, params = call.provider, call.params
    frozen = forms.number(params, "frozen_time")
    made = provider.make(
        "test_helpers.test_clock",
        name=forms.text(params, "name"),
        frozen_time=provider.real_time() if frozen is None else frozen,
        deletes_after=provider.real_time() + _LIFE,
    )
    made["created"] = provider.real_time()
    provider.store.add(made)
    provider.emit("test_helpers.test_clock.created", made)
    return made


def read(call: Call) -> Object:
    """One test clock."""
    return call.provider.get("test_helpers.test_clock", call.id)


def listed(call: Call) -> Object:
    """Test clocks, the newest first."""
    return listing.page(call.provider.store.newest("test_helpers.test_clock"), call.params, call.path)


def delete(call: Call) -> Object:
    """Forget a test clock with its customers."""
    provider = call.provider
    clock = provider.get("test_helpers.test_clock", call.id)
    for customer in list(provider.store.newest("customer")):
        if customer["test_clock"] == call.id:
            for subscription in list(provider.store.newest("subscription", customer["id"])):
                provider.store.remove(subscription["id"])
            provider.store.remove(customer["id"])
    provider.store.remove(call.id)
    provider.emit("test_helpers.test_clock.deleted", clock)
    return {"id": call.id, "object": "test_helpers.test_clock", "deleted": True}


def advanced(call: Call) -> Object:
    """Advance a test clock; all that was to happen until then has happened when this answers."""
    provider = call.provider
    clock = provider.get("test_helpers.test_clock", call.id)
    to = forms.number(call.params, "frozen_time") or 0
    if not clock["frozen_time"] < to <= clock["frozen_time"] + _LONGEST:
        raise Refusal(
            "frozen_time must be after the current time of the clock, by two years at most.",
            param="frozen_time",
        )
    return advance(provider, clock, to)


def advance(provider: Provider, clock: Object, to: int) -> Object:
    """Let everything happen that the customers of a clock have on the agenda until then, in order."""
    provider.emit("test_helpers.test_clock.advancing", clock | {"status": "advancing"})
    while (due := provider.store.next_due(clock["id"], to)) is not None:
        clock["frozen_time"] = max(clock["frozen_time"], due.due_at)
        provider.store.put(clock)
        _act(provider, due.object, due.action)
    clock["frozen_time"] = to
    provider.store.put(clock)
    provider.emit("test_helpers.test_clock.ready", clock)
    return clock


def tick(provider: Provider) -> int:
    """Let happen what real time made due; answers how much that was."""
    count = 0
    while True:
        with provider.store.transaction():
            provider.origin = Origin()
            due = provider.store.next_due(None, provider.real_time())
            if due is None:
                return count
            _act(provider, due.object, due.action)
        count += 1


def put_on_clock(provider: Provider, customer: Object) -> Object:
    """The test clock of a customer; one that had none gets one of its own, which Stripe cannot do."""
    if customer["test_clock"] is not None:
        return provider.get("test_helpers.test_clock", customer["test_clock"])
    clock = provider.make(
        "test_helpers.test_clock",
        name=f"of {customer['id']}",
        frozen_time=provider.real_time(),
        deletes_after=provider.real_time() + _LIFE,
    )
    provider.store.add(clock)
    provider.store.put(customer | {"test_clock": clock["id"]})
    for kind in ("subscription", "subscription_schedule", "invoice"):
        for one in list(provider.store.newest(kind, customer["id"])):
            provider.store.put(one | {"test_clock": clock["id"]})
    return clock


def _act(provider: Provider, identifier: str, action: str) -> None:
    kind, function = ACTIONS[action]
    thing = provider.store.get(kind, identifier)
    if thing is not None:
        function(provider, thing)


ROUTES: list[Route] = [
    route("POST", "/v1/test_helpers/test_clocks", create, "frozen_time name"),
    route("GET", "/v1/test_helpers/test_clocks", listed, "limit starting_after ending_before"),
    route("GET", "/v1/test_helpers/test_clocks/{id}", read),
    route("DELETE", "/v1/test_helpers/test_clocks/{id}", delete),
    route("POST", "/v1/test_helpers/test_clocks/{id}/advance", advanced, "frozen_time"),
]
