"""The authorisation page of OAuth 2 (RFC 6749 3.1): sign in, choose an organisation, consent.

It calls the public RPCs and holds nothing itself: what the client asks for stands in the address, the sign-in
in a cookie that lives ten minutes and ends with the decision. Wrong client or address: a page, never a
redirect.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from cohortlens.core.errors import CohortLensError, InvalidArgument, Unauthenticated
from cohortlens.identity.oauth.redirects import form_target
from cohortlens.v1 import auth_oauth_pb2 as pb
from gateway.http import faults
from gateway.http.pages.door import Rpcs, redirect
from gateway.http.pages.forms import Visit
from gateway.http.pages.renderer import message, render
from gateway.http.pages.scopes import in_words
from gateway.http.replies import Response
from gateway.interceptors.chain import CallFailed

PATH: Final = "/oauth2/authorize"
_SIGNED_IN: Final = "signed-in"
_WHO: Final = "who"
_DEVICE: Final = "Sign-in page"
_NAMES: Final = tuple(one.name for one in pb.AuthorizationParameters.DESCRIPTOR.fields)
# What a person can put right on the same page.
_TO_REPEAT: Final = frozenset(
    {"INVALID_CREDENTIALS", "LOGIN_RATE_LIMITED", "TOKEN_INVALID", "FIELD_INVALID", "TENANT_SUSPENDED"}
)


class AuthorizePage:
    """The page at ``/oauth2/authorize``.

    Args:
        rpcs: Calls the RPCs.
    """

    def __init__(self, rpcs: Rpcs) -> None:
        self._rpcs = rpcs
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
        assert visit.form is not None
        email = visit.form.one("email").strip()
        request = {"email": email, "password": visit.form.one("password"), "device_name": _DEVICE}
        return await self._opened(visit, asked, email, request)

    async def _second_step(self, visit: Visit, asked: _Asked) -> Response:
        assert visit.form is not None
        token, code = visit.form.one("mfa_token"), visit.form.one("code").strip()
        request = {"mfa_token": token, "totp": code, "device_name": _DEVICE}
        return await self._opened(visit, asked, visit.form.one("email"), request)

    async def _opened(self, visit: Visit, asked: _Asked, email: str, request: dict[str, str]) -> Response:
        try:
            reply = await self._rpcs.call(visit, "CreateSession", request)
        except CallFailed as failed:
            return _again(visit, asked, email, request.get("mfa_token", ""), failed.error)
        visit.set_cookie(_SIGNED_IN, reply.tokens.access_token, reply.tokens.expires_in)
        visit.set_cookie(_WHO, _packed(email), reply.tokens.expires_in)
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
        visit.cookies.clear()
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
    return asked.page(visit, "sign_in.html", status, email=email, fault=fault)


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


def _again(visit: Visit, asked: _Asked, email: str, mfa_token: str, error: CohortLensError) -> Response:
    """The page of a sign-in that did not work, or needs a second step."""
    assert visit.form is not None
    if error.reason == "MFA_REQUIRED":
        mailed = "email_code" in error.metadata.get("methods", "")
        token = error.metadata.get("mfa_token", "")
        return asked.page(visit, "second_step.html", mfa_token=token, email=email, mailed=mailed, fault="")
    if error.reason not in _TO_REPEAT:
        raise CallFailed(error, "")
    status, text = faults.status_of(error), error.message[:1].upper() + error.message[1:] + "."
    if mfa_token and error.reason == "INVALID_CREDENTIALS":
        answer = asked.page(
            visit,
            "second_step.html",
            status,
            mfa_token=mfa_token,
            email=email,
            mailed=bool(visit.form.one("mailed")),
            fault="The code is wrong.",
        )
    else:
        answer = _sign_in_page(visit, asked, email=email, fault=text, status=status)
    answer.headers += faults.headers_of(error)
    return answer


def _packed(email: str) -> str:
    return base64.urlsafe_b64encode(email.encode()[:254]).decode("ascii").rstrip("=")


def _unpacked(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""
