"""The page people come back to from paying: it waits until the plan holds, and grants nothing itself."""

from __future__ import annotations

from typing import Final

from gateway.http.pages.billing.awaited import Awaited
from gateway.http.pages.billing.person import Person, SignedInPage
from gateway.http.pages.billing.wording import limits_in_words
from gateway.http.pages.door import redirect
from gateway.http.pages.login import HOME
from gateway.http.replies import Response

PATH: Final = "/billing/return"
_EVERY_S, _LATER_EVERY_S = 2, 10
_LONG_S: Final = 60.0


class ReturnPage(SignedInPage):
    """The page at ``/billing/return``; arguments as of ``SignedInPage``."""

    goal = PATH

    async def show(self, person: Person) -> Response:
        """Say what is still awaited, or that it is there; its address says nothing."""
        awaited = Awaited.of(person.visit)
        if awaited is None:
            return redirect(HOME)
        reply = await person.session.call("GetEntitlement", {})
        if reply.entitlement.subscribed_plan == awaited.plan:
            Awaited.end(person.visit)
            plans = (await person.session.call("ListPlans", {})).plans
            name = next((one.display_name for one in plans if one.plan == awaited.plan), awaited.plan)
            return person.show(
                "confirmed.html", "confirmed", plan=name, lines=limits_in_words(reply.entitlement.limits)
            )
        is_long = awaited.for_s > _LONG_S
        return person.show(
            "confirming.html",
            "confirming",
            plan=awaited.plan.capitalize(),
            is_long=is_long,
            every_s=_LATER_EVERY_S if is_long else _EVERY_S,
        )

    async def act(self, person: Person) -> Response:
        """Stop waiting."""
        Awaited.end(person.visit)
        return redirect(HOME)
