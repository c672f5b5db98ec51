"""Routes that only the stand-in has, under ``/_control``: knobs, time, disputes, events out of thin air."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cohortlens.embedded.stripe import checkout, clocks, refunds
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.collecting import DUNNING, dunning
from cohortlens.embedded.stripe.deliveries import RETRY, Deliveries
from cohortlens.embedded.stripe.faults import Refusal, required
from cohortlens.embedded.stripe.provider import Provider
from cohortlens.embedded.stripe.rules import Rules

Deed = Callable[["Control", Object], Object]


class Control:
    """The knobs.

    Args:
        provider: The provider.
        deliveries: Its webhooks.
        requests: Rules about requests.
    """

    def __init__(self, provider: Provider, deliveries: Deliveries, requests: Rules) -> None:
        self.provider = provider
        self.deliveries = deliveries
        self.requests = requests

    def run(self, method: str, path: str, body: Object) -> Object:
        """Do what a request to a control route asks for.

        Raises:
            Refusal: There is no such route, or it cannot be done.
        """
        name = path.removeprefix("/_control").strip("/")
        if (method, name) == ("GET", ""):
            return self.state()
        deed = _DEEDS.get((method, name))
        if deed is None:
            routes = ", ".join(f"{way} /_control/{one}" for way, one in sorted(_DEEDS))
            raise Refusal(f"No such control route; there are GET /_control, {routes}", status=404)
        return deed(self, body)

    def state(self) -> Object:
        """All knobs as they are."""
        return {
            "webhooks": self.deliveries.rules.all(),
            "requests": self.requests.all(),
            "dunning": dunning(self.provider),
            "retry": RETRY | (self.provider.store.note("retry") or {}),
            "deliveries": self.deliveries.counts(),
        }


def _add_webhook_rule(control: Control, body: Object) -> Object:
    control.deliveries.rules.add(body)
    return control.state()


def _add_request_rule(control: Control, body: Object) -> Object:
    control.requests.add(body)
    return control.state()


def _clear(control: Control, _body: Object) -> Object:
    control.deliveries.rules.clear()
    control.requests.clear()
    for name in ("dunning", "retry"):
        control.provider.store.keep(name, None)
    return control.state()


def _release(control: Control, body: Object) -> Object:
    return {"released": control.deliveries.release(body.get("order"))}


def _hurry(control: Control, _body: Object) -> Object:
    control.deliveries.hurry()
    return control.state()


def _resend(control: Control, body: Object) -> Object:
    """Send an event again: signed anew, altered as a rule of webhooks says."""
    event = control.provider.get("event", _needed(body, "event"))
    control.deliveries.again(event, {name: value for name, value in body.items() if name != "event"})
    return control.state()


def _emit(control: Control, body: Object) -> Object:
    """Send an event of any type about any object; ``thin`` sends one of the second API."""
    kind = _needed(body, "type")
    if body.get("thin"):
        return {"event": control.deliveries.thin(kind, body.get("related", "mtr_test_none"))}
    thing = body.get("object")
    if isinstance(thing, str):
        thing = control.provider.store.any(thing)
    if not isinstance(thing, dict):
        raise Refusal("object is the identifier of an object, or an object", param="object")
    return {"event": control.provider.emit(kind, thing)["id"]}


def _clock(control: Control, body: Object) -> Object:
    """Advance the time of one customer, who gets a test clock if there was none."""
    provider = control.provider
    customer = provider.get("customer", _needed(body, "customer"), "customer")
    clock = clocks.put_on_clock(provider, customer)
    to = body.get("to", clock["frozen_time"] + body.get("seconds", 0))
    if not isinstance(to, int) or to < clock["frozen_time"]:
        raise Refusal("Give seconds above 0, or to as a time after the customer's own.", param="to")
    if to > clock["frozen_time"]:
        clock = clocks.advance(provider, clock, to)
    return clock


def _dispute(control: Control, body: Object) -> Object:
    """Open a dispute about a charge, or end one."""
    provider = control.provider
    if "dispute" in body:
        return refunds.decide(provider, provider.get("dispute", body["dispute"]), _needed(body, "status"))
    charge = provider.get("charge", _needed(body, "charge"), "charge")
    return refunds.open_dispute(provider, charge, body.get("reason", "fraudulent"))


def _settle(control: Control, body: Object) -> Object:
    """Let the money of a session come, or fail, that settles later."""
    session = control.provider.get("checkout.session", _needed(body, "session"), "session")
    return checkout.settle(control.provider, session, is_paid=bool(body.get("paid", True)))


def _fraud(control: Control, body: Object) -> Object:
    charge = control.provider.get("charge", _needed(body, "charge"), "charge")
    return refunds.warn_of_fraud(control.provider, charge)


def _set_dunning(control: Control, body: Object) -> Object:
    days, end = body.get("days", DUNNING["days"]), body.get("end", DUNNING["end"])
    if not isinstance(days, list) or not all(isinstance(one, int) and one > 0 for one in days):
        raise Refusal("days is a list of whole numbers above 0", param="days")
    if end not in {"cancel", "unpaid", "past_due"}:
        raise Refusal("end is cancel, unpaid or past_due", param="end")
    control.provider.store.keep("dunning", {"days": days, "end": end})
    return control.state()


def _set_retry(control: Control, body: Object) -> Object:
    for name, value in body.items():
        if name not in RETRY or not isinstance(value, (int, float)) or value <= 0:
            raise Refusal(f"{name} is none of {', '.join(RETRY)}, or no number above 0", param=name)
    control.provider.store.keep("retry", body)
    return control.state()


def _deliveries(control: Control, _body: Object) -> Object:
    """What was sent of which event, and what came back."""
    rows = control.provider.store.db.execute(
        "SELECT event, endpoint, state, tries, answer FROM deliveries ORDER BY id DESC LIMIT 500"
    ).fetchall()
    names = ("event", "endpoint", "state", "tries", "answer")
    return {"deliveries": [dict(zip(names, row, strict=True)) for row in rows]}


def _needed(body: Object, name: str) -> Any:
    if not body.get(name):
        raise required(name)
    return body[name]


_DEEDS: dict[tuple[str, str], Deed] = {
    ("POST", "webhooks"): _add_webhook_rule,
    ("POST", "requests"): _add_request_rule,
    ("POST", "clear"): _clear,
    ("POST", "release"): _release,
    ("POST", "hurry"): _hurry,
    ("POST", "resend"): _resend,
    ("POST", "events"): _emit,
    ("POST", "clock"): _clock,
    ("POST", "disputes"): _dispute,
    ("POST", "fraud_warnings"): _fraud,
    ("POST", "settlements"): _settle,
    ("POST", "dunning"): _set_dunning,
    ("POST", "retry"): _set_retry,
    ("GET", "deliveries"): _deliveries,
}
