"""The two steps of signing in on a page: a password, then a code when one is asked for.

The pages that let people in share it, so that a wrong password, an unknown address and a wrong code look the
same on each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from cohortlens.core.errors import CohortLensError
from gateway.http import faults
from gateway.http.pages.door import Rpcs
from gateway.http.pages.forms import Visit
from gateway.http.replies import Response
from gateway.interceptors.chain import CallFailed

FORM: Final = "sign_in.html"
_CODE_FORM: Final = "second_step.html"
# What a person can put right on the same page.
_TO_REPEAT: Final = frozenset(
    {"INVALID_CREDENTIALS", "LOGIN_RATE_LIMITED", "TOKEN_INVALID", "FIELD_INVALID", "TENANT_SUSPENDED"}
)


class Show(Protocol):
    """Makes a page of the caller's own, with what all of its pages show."""

    def __call__(self, template: str, status: int = 200, **values: Any) -> Response:
        """The page of a template."""


@dataclass(frozen=True)
class Entered:
    """Someone who is in.

    Attributes:
        reply: The reply of CreateSession.
        email: The address that was typed in.
    """

    reply: Any
    email: str


class SignIn:
    """Takes the forms of signing in.

    Args:
        rpcs: Calls the RPCs.
        device: How the list of sessions shows what is opened here.
    """

    def __init__(self, rpcs: Rpcs, device: str) -> None:
        self._rpcs, self._device = rpcs, device

    async def first(self, visit: Visit, show: Show) -> Entered | Response:
        """Take address and password; the page to show instead when they do not open a session."""
        assert visit.form is not None
        email = visit.form.one("email").strip()
        return await self._opened(
            visit, show, email, {"email": email, "password": visit.form.one("password")}
        )

    async def second(self, visit: Visit, show: Show) -> Entered | Response:
        """Take the code; the page to show instead when it does not open a session."""
        assert visit.form is not None
        token, code = visit.form.one("mfa_token"), visit.form.one("code").strip()
        request = {"mfa_token": token, "totp": code}
        return await self._opened(visit, show, visit.form.one("email"), request)

    async def _opened(
        self, visit: Visit, show: Show, email: str, request: dict[str, str]
    ) -> Entered | Response:
        try:
            reply = await self._rpcs.call(visit, "CreateSession", {**request, "device_name": self._device})
        except CallFailed as failed:
            return _again(visit, show, email, request.get("mfa_token", ""), failed)
        return Entered(reply, email)


def _again(visit: Visit, show: Show, email: str, mfa_token: str, failed: CallFailed) -> Response:
    """The page of a sign-in that did not work, or needs a second step."""
    assert visit.form is not None
    error = failed.error
    if error.reason == "MFA_REQUIRED":
        mailed = "email_code" in error.metadata.get("methods", "")
        token = error.metadata.get("mfa_token", "")
        return show(_CODE_FORM, mfa_token=token, email=email, mailed=mailed, fault="")
    if error.reason not in _TO_REPEAT:
        raise failed
    status = faults.status_of(error)
    if mfa_token and error.reason == "INVALID_CREDENTIALS":
        mailed = bool(visit.form.one("mailed"))
        answer = show(
            _CODE_FORM, status, mfa_token=mfa_token, email=email, mailed=mailed, fault="The code is wrong."
        )
    else:
        answer = show(FORM, status, email=email, fault=sentence(error))
    answer.headers += faults.headers_of(error)
    return answer


def sentence(error: CohortLensError) -> str:
    """What a fault says, as a sentence of a page."""
    text = error.message
    return text[:1].upper() + text[1:].rstrip(".") + "."
