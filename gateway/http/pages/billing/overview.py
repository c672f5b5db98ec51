"""The page of plan and usage: what the tenant has, what it used, what it could have, what it paid."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from cohortlens.core.errors import CohortLensError, InvalidArgument
from cohortlens.v1 import billing_subscription_pb2 as pb
from gateway.http.pages.billing import view
from gateway.http.pages.billing.awaited import Awaited
from gateway.http.pages.billing.banners import banners
from gateway.http.pages.billing.figures import machine, minute
from gateway.http.pages.billing.person import WRITE, Person, SignedInPage, roles_with
from gateway.http.pages.billing.settling import settle
from gateway.http.pages.door import redirect
from gateway.http.pages.login import HOME
from gateway.http.replies import Response
from gateway.interceptors.chain import CallFailed

PATH: Final = HOME
_INVOICES: Final = 12
# Part of the page by what is asked for it; it is left out, and says so, when the call fails.
_PARTS: Final = {
    "plans": ("ListPlans", {}),
    "usage": ("GetUsage", {}),
    "invoices": ("ListInvoices", {"page_size": _INVOICES}),
}
_UNSEEN: Final = {
    "plans": "The plans cannot be shown for the moment",
    "usage": "The usage of this period cannot be shown for the moment",
    "invoices": "The invoices cannot be shown for the moment",
}


class OverviewPage(SignedInPage):
    """The page at ``/billing``; arguments as of ``SignedInPage``."""

    async def show(self, person: Person) -> Response:
        """Plan, usage, plans on offer and invoices."""
        seen = await _replies(person)
        as_of = Timestamp()
        as_of.GetCurrentTime()
        return person.show(
            "billing.html",
            "billing",
            banners=banners(seen),
            plan=view.plan_box(seen),
            gauges=view.gauges(seen),
            cards=view.cards(seen),
            invoices=view.invoice_lines(seen.invoices) if seen.invoices is not None else [],
            more_invoices=seen.invoices is not None and bool(seen.invoices.next_page_token),
            missing={part: seen.faults.get(part, []) for part in _PARTS},
            acting_roles=" and ".join(f"{one}s" for one in roles_with(WRITE)),
            as_of={"text": minute(as_of), "machine": machine(as_of)},
        )

    async def act(self, person: Person) -> Response:
        """Go on to a page of the payment provider, or keep the plan."""
        form = person.visit.form
        assert form is not None
        act, key = form.one("act"), {"request_id": form.one("request_id")}
        if act == "checkout":
            plan = form.one("plan")
            request = {**key, "plan": plan, "interval": interval_of(form.one("interval"))}
            reply = await person.session.call("CreateCheckoutSession", request)
            Awaited.begin(person.visit, plan)
            return person.leave(reply.url)
        if act == "portal":
            reply = await person.session.call("CreatePortalSession", key)
            return person.leave(reply.url)
        if act == "resume":
            await person.session.call("ResumeSubscription", key)
            await settle(
                person,
                lambda now: not now.cancel_at_period_end and now.status != pb.SUBSCRIPTION_STATUS_PAUSED,
            )
            return redirect(PATH)
        if act == "keep":
            await _keep_plan(person, key)
            return redirect(PATH)
        raise InvalidArgument("act: press one of the buttons of the page")


async def _keep_plan(person: Person, key: dict[str, str]) -> None:
    """Take a planned change back: the plan that runs is named as the one from the next period on."""
    found = (await person.session.call("GetSubscription", {})).subscription
    wanted = {"plan": found.plan, "interval": found.interval, "effective": "PLAN_CHANGE_EFFECTIVE_PERIOD_END"}
    await person.session.call("ChangePlan", {**key, **wanted})
    await settle(person, lambda now: not now.planned_plan)


def interval_of(word: str) -> str:
    """The enum's name of an interval as forms and addresses write it.

    Raises:
        InvalidArgument: Neither month nor year.
    """
    if word not in {"month", "year"}:
        raise InvalidArgument("interval: must be month or year")
    return f"BILLING_INTERVAL_{word.upper()}"


async def _replies(person: Person) -> view.Replies:
    """Ask for everything at once; plan and access must be there, the rest may be away."""
    core = [person.session.call(name, {}) for name in ("GetEntitlement", "GetSubscription")]
    rest = [person.session.call(name, dict(request)) for name, request in _PARTS.values()]
    found: list[Any] = await asyncio.gather(*core, *rest, return_exceptions=True)
    for one in found[: len(core)]:
        if isinstance(one, BaseException):
            raise one
    seen = view.Replies(found[0], found[1].subscription, currency=person.payment.currency)
    for part, reply in zip(_PARTS, found[len(core) :], strict=True):
        if isinstance(reply, CallFailed):
            seen.faults[part] = [_unseen(part, reply.error, reply.request_id)]
        elif isinstance(reply, BaseException):
            raise reply
        else:
            _keep(seen, part, reply)
    return seen


def _keep(seen: view.Replies, part: str, reply: Any) -> None:
    if part == "plans":
        seen.plans = reply.plans
    elif part == "usage":
        seen.meters = reply.meters
    else:
        seen.invoices = reply


def _unseen(part: str, error: CohortLensError, request_id: str) -> str:
    return f"{_UNSEEN[part]} ({error.reason}, {request_id})."
