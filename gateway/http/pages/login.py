"""The page that lets people in to the other pages, and the one that lets them out."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlencode

from cohortlens.core.errors import InvalidArgument, Violation
from gateway.http.pages.door import Rpcs, redirect
from gateway.http.pages.forms import Visit
from gateway.http.pages.renderer import render
from gateway.http.pages.session import BrowserSession, SignedOut, forget, keep
from gateway.http.pages.sign_in import FORM, Entered, SignIn
from gateway.http.replies import Response

PATH: Final = "/login"
LOGOUT_PATH: Final = "/logout"
HOME: Final = "/billing"
"""Where people land who do not say where they want to go."""

_DEVICE: Final = "Browser"
# The pages that ask for a sign-in. An address of anybody else's is none of them, however it is spelled.
_RETURNS: Final = frozenset({HOME, "/billing/return"})
_AUTH: Final = "AuthService"


class LoginPage:
    """The page at ``/login``.

    Args:
        rpcs: Calls the RPCs.
    """

    def __init__(self, rpcs: Rpcs) -> None:
        self._rpcs = rpcs
        self._entry = SignIn(rpcs, _DEVICE)

    async def get(self, visit: Visit) -> Response:
        """Show the form; someone who is signed in goes on at once."""
        goal = _goal(visit)
        try:
            await BrowserSession(self._rpcs, visit).call("GetMe", {}, service=_AUTH)
        except SignedOut as out:
            return sign_in_page(visit, goal, out.notice)
        return redirect(goal)

    async def post(self, visit: Visit) -> Response:
        """Take a step: password, code, choice of an organisation."""
        assert visit.form is not None
        goal, act = _goal(visit), visit.form.one("act")

        def show(template: str, status: int = 200, **values: Any) -> Response:
            return _page(visit, template, goal, status, **values)

        if act == "sign_in":
            return _entered(visit, goal, await self._entry.first(visit, show))
        if act == "second_step":
            return _entered(visit, goal, await self._entry.second(visit, show))
        if act == "choose":
            return await self._choose(visit, goal)
        raise InvalidArgument("act: press one of the buttons of the page")

    async def _choose(self, visit: Visit, goal: str) -> Response:
        """Exchange the session for one of the organisation that was chosen."""
        assert visit.form is not None
        before = BrowserSession(self._rpcs, visit)
        try:
            reply = await before.call("SwitchTenant", {"tenant": visit.form.one("tenant")}, service=_AUTH)
            await before.call("DeleteSession", {"session": "current"}, service=_AUTH)
        except SignedOut as out:
            return sign_in_page(visit, goal, out.notice)
        keep(visit, reply.tokens)
        return redirect(goal)


class LogoutPage:
    """The page at ``/logout``.

    Args:
        rpcs: Calls the RPCs.
    """

    def __init__(self, rpcs: Rpcs) -> None:
        self._rpcs = rpcs

    async def get(self, visit: Visit) -> Response:
        """Show the button; a link that somebody planted ends nothing."""
        return render("logout.html", {"form_token": visit.form_token})

    async def post(self, visit: Visit) -> Response:
        """End the session and forget it."""
        session = BrowserSession(self._rpcs, visit)
        with suppress(SignedOut):  # Then it has ended already.
            await session.call("DeleteSession", {"session": "current"}, service=_AUTH)
        forget(visit)
        return redirect(PATH)


def to_login(visit: Visit, out: SignedOut, goal: str) -> Response:
    """The answer of a page to someone who is not signed in.

    Args:
        visit: The request.
        out: What was found.
        goal: Page to come back to.
    """
    if out.notice:
        return sign_in_page(visit, goal, out.notice, status=401)
    return redirect(f"{PATH}?{urlencode({'next': goal})}")


def sign_in_page(visit: Visit, goal: str, fault: str = "", status: int = 200) -> Response:
    """The form for address and password."""
    return _page(visit, FORM, goal, status, email="", fault=fault)


def _page(visit: Visit, template: str, goal: str, status: int, **values: Any) -> Response:
    shared = {"form_token": visit.form_token, "action": f"{PATH}?{urlencode({'next': goal})}"}
    return render(template, {**shared, **values}, status=status)


def _goal(visit: Visit) -> str:
    goal = visit.query.one("next") or HOME
    if goal not in _RETURNS:
        told = "must be a page of this site that asks for a sign-in"
        raise InvalidArgument(
            f"next: {told}", reason="URL_NOT_ALLOWED", violations=(Violation("next", told),)
        )
    return goal


def _entered(visit: Visit, goal: str, outcome: Entered | Response) -> Response:
    if isinstance(outcome, Response):
        return outcome
    reply = outcome.reply
    keep(visit, reply.tokens)
    if len(reply.tenants) > 1:
        choices = sorted(reply.tenants, key=lambda one: one.tenant != reply.tenant)
        return _page(visit, "choose_tenant.html", goal, 200, choices=choices, fault="")
    # With GET, so that going back and reloading never sends the password twice.
    return redirect(goal)
