"""The authorisation page of OAuth 2 (RFC 6749 3.1): sign in, choose an organisation, consent.

It calls the public RPCs and holds nothing itself: what the client asks for stands in the address, the sign-in
in a cookie that lives ten minutes and ends with the decision. Wrong client or address: a page, never a
redirect.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from cohortlens.core.errors import InvalidArgument, Unauthenticated
from cohortlens.identity.oauth.redirects import form_target
from cohortlens.v1 import auth_oauth_pb2 as pb
from gateway.http.pages.door import Rpcs, redirect
from gateway.http.pages.forms import Visit
from gateway.http.pages.renderer import message, render
from gateway.http.pages.scopes import in_words
from gateway.http.pages.sign_in import FORM, Entered, SignIn
from gateway.http.replies import Response
from gateway.interceptors.chain import CallFailed

PATH: Final = "/oauth2/authorize"
_SIGNED_IN: Final = "signed-in"
_WHO: Final = "who"
_DEVICE: Final = "Sign-in page"
_NAMES: Final = tuple(one.name for one in pb.AuthorizationParameters.DESCRIPTOR.fields)


class AuthorizePage:
    """The page at ``/oauth2/authorize``.

    Args:
        rpcs: Calls the RPCs.
    """

    def __init__(self, rpcs: Rpcs) -> None:
        self._rpcs = rpcs
        self._entry = SignIn(rpcs, _DEVICE)
        self._acts: dict[str, Callable[[Visit, _Asked], Awaitable[Response]]] = {
            "sign_in": self._sign_in,
            "second_step": self._second_step,
            "choose": self._choose,
            "approve": self._decide,
            "refuse": self._decide,
            "sign_out": self._sign_out,
        }

    async def get(self, visit: Visit) -> Response:
        """Show the next step: sign in, choose, or consent."""
        asked = await self._asked(visit)
        if asked.error_uri:
            return redirect(asked.error_uri)
        return await self._next(visit, asked)

    async def post(self, visit: Visit) -> Response:
        """Take a step."""
        asked = await self._asked(visit)
        if asked.error_uri:
            return redirect(asked.error_uri)
        assert visit.form is not None
        act = self._acts.get(visit.form.one("act"))
        if act is None:
            raise InvalidArgument("act: press one of the buttons of the page")
        return await act(visit, asked)

    async def _asked(self, visit: Visit) -> _Asked:
        parameters = pb.AuthorizationParameters(**{name: visit.query.one(name) for name in _NAMES})
        reply = await self._rpcs.call(
            visit, "CheckAuthorization", pb.CheckAuthorizationRequest(parameters=parameters)
        )
        return _Asked(parameters, reply)

    async def _next(self, visit: Visit, asked: _Asked, tenant: str = "", fault: str = "") -> Response:
        token = visit.cookie(_SIGNED_IN)
        if not token:
            return _sign_in_page(visit, asked, fault=fault)
        try:
            review = await self._rpcs.call(
                visit,
                "ReviewAuthorization",
                pb.ReviewAuthorizationRequest(parameters=asked.parameters),
                token=token,
            )
        except CallFailed as failed:
            return self._signed_out(visit, asked, failed)
        return _decision_page(visit, asked, review.choices, tenant, fault)

    async def _sign_in(self, visit: Visit, asked: _Asked) -> Response:
        return self._entered(visit, await self._entry.first(visit, partial(asked.page, visit)))

    async def _second_step(self, visit: Visit, asked: _Asked) -> Response:
        return self._entered(visit, await self._entry.second(visit, partial(asked.page, visit)))

    def _entered(self, visit: Visit, outcome: Entered | Response) -> Response:
        if isinstance(outcome, Response):
            return outcome
        tokens = outcome.reply.tokens
        visit.set_cookie(_SIGNED_IN, tokens.access_token, tokens.expires_in)
        visit.set_cookie(_WHO, _packed(outcome.email), tokens.expires_in)
        # With GET again, so that going back and reloading never sends the password twice.
        return redirect(f"{PATH}?{visit.request.query}")

    async def _choose(self, visit: Visit, asked: _Asked) -> Response:
        assert visit.form is not None
        return await self._next(visit, asked, visit.form.one("tenant"))

    async def _decide(self, visit: Visit, asked: _Asked) -> Response:
        assert visit.form is not None
        token = visit.cookie(_SIGNED_IN)
        approved = visit.form.one("act") == "approve"
        scopes, tenant = visit.form.many("scope"), visit.form.one("tenant")
        if approved and not scopes:
            return await self._next(visit, asked, tenant, "Choose at least one thing to allow, or refuse.")
        request = pb.DecideAuthorizationRequest(
            parameters=asked.parameters, approved=approved, tenant=tenant, scopes=scopes
        )
        try:
            reply = await self._rpcs.call(visit, "DecideAuthorization", request, token=token)
        except CallFailed as failed:
            return self._signed_out(visit, asked, failed)
        await self._forget(visit)
        return redirect(reply.redirect_uri)

    async def _sign_out(self, visit: Visit, asked: _Asked) -> Response:
        await self._forget(visit)
        return _sign_in_page(visit, asked)

    async def _forget(self, visit: Visit) -> None:
        """End the sign-in: it was for this one decision."""
        token = visit.cookie(_SIGNED_IN)
        visit.drop_cookie(_SIGNED_IN)
        visit.drop_cookie(_WHO)
        try:
            await self._rpcs.call(visit, "DeleteSession", {"session": "current"}, token=token)
        except CallFailed as failed:
            if not isinstance(failed.error, Unauthenticated):
                raise

    def _signed_out(self, visit: Visit, asked: _Asked, failed: CallFailed) -> Response:
        if not isinstance(failed.error, Unauthenticated):
            raise failed
        visit.drop_cookie(_SIGNED_IN)
        return _sign_in_page(visit, asked, fault="Your sign-in has ended. Sign in again.")


class _Asked:
    """What a client asks for, as the pages show it."""

    def __init__(self, parameters: pb.AuthorizationParameters, reply: Any) -> None:
        self.parameters = parameters
        self.client: str = reply.display_name
        self.publisher: str = reply.publisher
        self.error_uri: str = reply.error_uri

    def page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> Response:
        shared = {"client": self.client, "publisher": self.publisher, "form_token": visit.form_token}
        target = form_target(self.parameters.redirect_uri)
        return render(template, {**shared, **values}, status=status, form_targets=(target,))


def _sign_in_page(
    visit: Visit, asked: _Asked, *, email: str = "", fault: str = "", status: int = 200
) -> Response:
    return asked.page(visit, FORM, status, email=email, fault=fault)


def _decision_page(visit: Visit, asked: _Asked, choices: Sequence[Any], tenant: str, fault: str) -> Response:
    if not choices:
        return message(
            "Nothing to allow",
            f"{asked.client} asks for things that none of your organisations can give it. "
            "Ask an administrator of your organisation, or sign in as someone else.",
            status=403,
        )
    chosen = [one for one in choices if one.tenant == tenant] or choices
    if len(chosen) > 1:
        return asked.page(visit, "choose_tenant.html", choices=chosen, fault=fault)
    address = urlsplit(asked.parameters.redirect_uri)
    return asked.page(
        visit,
        "consent.html",
        choice=chosen[0],
        scopes=[(scope, in_words(scope)) for scope in chosen[0].scopes],
        email=_unpacked(visit.cookie(_WHO)),
        destination=address.netloc or f"an app on this device ({address.scheme})",
        fault=fault,
    )


def _packed(email: str) -> str:
    return base64.urlsafe_b64encode(email.encode()[:254]).decode("ascii").rstrip("=")


def _unpacked(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""
