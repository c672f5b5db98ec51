"""The pages on which a plan is changed or cancelled: what it costs and what follows, then a button."""

from __future__ import annotations

from typing import Any, Final

from cohortlens.core.errors import InvalidArgument
from cohortlens.v1 import billing_subscription_pb2 as pb
from gateway.http.pages.billing.awaited import Awaited
from gateway.http.pages.billing.figures import minute, money
from gateway.http.pages.billing.overview import interval_of
from gateway.http.pages.billing.person import Person, SignedInPage
from gateway.http.pages.billing.settling import settle
from gateway.http.pages.billing.view import LIVING
from gateway.http.pages.billing.wording import features_in_words
from gateway.http.pages.door import redirect
from gateway.http.pages.forms import Fields
from gateway.http.pages.login import HOME
from gateway.http.replies import Response

CHANGE_PATH: Final = "/billing/change"
CANCEL_PATH: Final = "/billing/cancel"
_WHEN: Final = {"now": "PLAN_CHANGE_EFFECTIVE_IMMEDIATE", "later": "PLAN_CHANGE_EFFECTIVE_PERIOD_END"}


class ChangePage(SignedInPage):
    """The page at ``/billing/change``; arguments as of ``SignedInPage``."""

    async def show(self, person: Person) -> Response:
        """What the change costs and what the plan does not allow; nothing is changed."""
        fields = person.visit.query
        plan, word = fields.one("plan"), fields.one("interval")
        if not plan:
            return redirect(HOME)
        now = await self._asked(person, fields, "now", validate_only=True)
        later = await self._asked(person, fields, "later", validate_only=True)
        plans = (await person.session.call("ListPlans", {})).plans
        name = next((one.display_name for one in plans if one.plan == plan), plan)
        return person.show(
            "change.html",
            "change",
            plan=plan,
            plan_name=name,
            interval=word,
            due_now=_amount(now.preview.amount_due_minor, now.preview.currency),
            credit_now=now.preview.amount_due_minor < 0,
            is_free_now=now.preview.amount_due_minor == 0,
            lines=[
                (one.description, money(one.amount_minor, now.preview.currency)) for one in now.preview.lines
            ],
            proration_time=now.preview.proration_time.ToJsonString()
            if now.preview.HasField("proration_time")
            else "",
            due_later=_amount(later.preview.amount_due_minor, later.preview.currency),
            later=minute(later.preview.effective_time),
            warnings=[_warning(one) for one in now.warnings],
        )

    async def act(self, person: Person) -> Response:
        """Change the plan."""
        form = person.visit.form
        assert form is not None
        when = form.one("act")
        await self._asked(person, form, when, request_id=form.one("request_id"))
        if when == "later":
            plan = form.one("plan")
            await settle(person, lambda now: plan in {now.planned_plan, now.plan})
            return redirect(HOME)
        Awaited.begin(person.visit, form.one("plan"))
        return redirect("/billing/return")

    async def _asked(self, person: Person, fields: Fields, when: str, **more: Any) -> Any:
        if when not in _WHEN:
            raise InvalidArgument("act: press one of the buttons of the page")
        request = pb.ChangePlanRequest(
            plan=fields.one("plan"),
            interval=interval_of(fields.one("interval")),
            effective=_WHEN[when],
            **more,
        )
        if when == "now" and person.visit.form is not None and fields.one("proration_time"):
            # The moment the preview was computed for, so that it costs what was shown.
            try:
                request.proration_time.FromJsonString(fields.one("proration_time"))
            except ValueError:
                raise InvalidArgument("proration_time: must be the time that the page carried") from None
        return await person.session.call("ChangePlan", request)


class CancelPage(SignedInPage):
    """The page at ``/billing/cancel``; arguments as of ``SignedInPage``."""

    async def show(self, person: Person) -> Response:
        """What follows from cancelling at either moment."""
        found = (await person.session.call("GetSubscription", {})).subscription
        if found.status not in LIVING or found.cancel_at_period_end:
            return redirect(HOME)
        ends = minute(found.current_period_end) if found.HasField("current_period_end") else ""
        return person.show("cancel.html", "cancel", ends=ends)

    async def act(self, person: Person) -> Response:
        """Cancel."""
        form = person.visit.form
        assert form is not None
        if form.one("act") not in {"at_end", "at_once"}:
            raise InvalidArgument("act: press one of the buttons of the page")
        request = {"at_period_end": form.one("act") == "at_end", "request_id": form.one("request_id")}
        await person.session.call("CancelSubscription", request)
        await settle(person, lambda now: now.cancel_at_period_end or now.status not in LIVING)
        return redirect(HOME)


def _warning(warning: Any) -> str:
    if warning.features:
        return f"Not in this plan: {', '.join(features_in_words(warning.features))}."
    text: str = warning.message
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _amount(amount_minor: int, currency: str) -> str:
    return money(abs(amount_minor), currency)
