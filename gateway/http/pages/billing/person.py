"""A signed-in person at a page of billing: who it is, what may be pressed, and the page of a fault."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from cohortlens.core.errors import CohortLensError
from cohortlens.core.telemetry import ERRORS
from cohortlens.identity.models import ROLE_RANKS, ROLE_SCOPES
from gateway.http import faults
from gateway.http.pages.billing.payment_pages import PaymentPages
from gateway.http.pages.door import Rpcs, redirect
from gateway.http.pages.forms import Visit
from gateway.http.pages.login import HOME, to_login
from gateway.http.pages.renderer import render
from gateway.http.pages.session import BrowserSession, SignedOut
from gateway.http.pages.sign_in import sentence
from gateway.http.replies import Response
from gateway.interceptors.chain import CallFailed

READ, WRITE = "billing.read", "billing.write"
_HEADINGS: Final = {
    403: "Not allowed",
    404: "Not found",
    429: "Too much at once",
    503: "Not available for the moment",
}


@dataclass
class Person:
    """Who is there.

    Attributes:
        visit: The request.
        session: Calls RPCs as the person.
        me: Reply of GetMe.
        payment: The pages on which people pay.
    """

    visit: Visit
    session: BrowserSession
    me: Any
    payment: PaymentPages

    @property
    def may_act(self) -> bool:
        """Whether the role lets the person change the plan."""
        return WRITE in self.me.scopes

    def show(self, template: str, page: str, status: int = 200, **values: Any) -> Response:
        """A page in the frame of a signed-in person.

        Args:
            template: Its template.
            page: Name by which tests and styles know it.
            status: HTTP status.
            values: What it shows.
        """
        shared = {
            "page": page,
            "me": self.me,
            "may_act": self.may_act,
            "form_token": self.visit.form_token,
            # One for each form: whoever presses it twice asks for one thing.
            "request_id": lambda: str(uuid4()),
        }
        return render(template, {**shared, **values}, status=status, form_targets=self.payment.origins)

    def problem(self, failed: CallFailed) -> Response:
        """The page of a call that failed: what, why, what to do."""
        error = failed.error
        status = faults.status_of(error)
        ERRORS.labels(error.reason).inc()
        address = HOME if self.visit.form is not None else str(self.visit.request.path)
        # Only what passes is worth another try; who may not see the page is not led back to it.
        may_repeat = status == 429 or status >= 500
        answer = self.show(
            "problem.html",
            "problem",
            status,
            heading=_HEADINGS.get(status, "Something went wrong" if status >= 500 else "That did not work"),
            text=self._told(error),
            reason=error.reason,
            request_id_shown=failed.request_id,
            address=address if may_repeat else "",
            home=HOME if READ in self.me.scopes and not (may_repeat and address == HOME) else "",
        )
        answer.headers += faults.headers_of(error)
        return answer

    def leave(self, address: str) -> Response:
        """Go on to a page of the payment provider."""
        if self.payment.has(address):
            return redirect(address)
        if not address.startswith("https://"):
            raise RuntimeError("the payment provider gave an address that is no page of its")
        return self.show("leave.html", "leave", address=address)

    def _told(self, error: CohortLensError) -> str:
        if error.reason != "SCOPE_MISSING":
            return sentence(error)
        scope = error.metadata.get("scope", WRITE)
        what = "see plan and usage" if scope == READ else "change the plan"
        return f"{_listed(roles_with(scope))} of {self.me.tenant_display_name} can {what}. Ask one of them."


class SignedInPage:
    """A page for people who are signed in; everybody else is sent to sign in.

    Args:
        rpcs: Calls the RPCs.
        payment: The pages on which people pay.
    """

    goal = HOME
    """Where somebody lands who had to sign in first."""

    def __init__(self, rpcs: Rpcs, payment: PaymentPages) -> None:
        self._rpcs, self._payment = rpcs, payment

    async def get(self, visit: Visit) -> Response:
        """Show the page."""
        return await self._as_person(visit, self.show)

    async def post(self, visit: Visit) -> Response:
        """Act on its form."""
        return await self._as_person(visit, self.act)

    async def show(self, person: Person) -> Response:
        """Show the page to somebody."""
        raise NotImplementedError

    async def act(self, person: Person) -> Response:
        """Act on a form that somebody sent."""
        raise NotImplementedError

    async def _as_person(self, visit: Visit, step: Callable[[Person], Awaitable[Response]]) -> Response:
        session = BrowserSession(self._rpcs, visit)
        try:
            me = await session.call("GetMe", {}, service="AuthService")
            person = Person(visit, session, me, self._payment)
            try:
                return await step(person)
            except CallFailed as failed:
                return person.problem(failed)
        except SignedOut as out:
            return to_login(visit, out, self.goal)


def roles_with(scope: str) -> list[str]:
    """The roles of a tenant that have a scope, the highest first."""
    return sorted((one for one in ROLE_RANKS if scope in ROLE_SCOPES[one]), key=lambda one: -ROLE_RANKS[one])


def _listed(roles: list[str]) -> str:
    plural = [f"{one}s" for one in roles]
    text = plural[0] if len(plural) == 1 else f"{', '.join(plural[:-1])} and {plural[-1]}"
    return text[:1].upper() + text[1:]
