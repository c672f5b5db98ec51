"""The page of whoever forgot the password: ask for a link, then choose a new password by it."""

from __future__ import annotations

from typing import Final

from cohortlens.core.errors import CohortLensError
from cohortlens.identity.mails import RESET_PATH
from gateway.http import faults
from gateway.http.pages.door import Rpcs
from gateway.http.pages.forms import Visit
from gateway.http.pages.renderer import message, render
from gateway.http.replies import Response
from gateway.interceptors.chain import CallFailed

PATH: Final = RESET_PATH
# What a person can put right on the same page.
_TO_REPEAT: Final = frozenset(
    {"FIELD_INVALID", "PASSWORD_TOO_SHORT", "PASSWORD_BREACHED", "LOGIN_RATE_LIMITED"}
)


class ResetPasswordPage:
    """Sets a new password.

    Args:
        rpcs: Calls the RPCs.
    """

    def __init__(self, rpcs: Rpcs) -> None:
        self._rpcs = rpcs

    async def get(self, visit: Visit) -> Response:
        """Ask for the new password, or without a link for the address."""
        token = visit.query.one("token")
        return _password_form(visit, token) if token else _address_form(visit)

    async def post(self, visit: Visit) -> Response:
        """Set the password, or have a link mailed."""
        assert visit.form is not None
        token = visit.form.one("token")
        return await (self._reset(visit, token) if token else self._request(visit))

    async def _request(self, visit: Visit) -> Response:
        assert visit.form is not None
        email = visit.form.one("email").strip()
        try:
            await self._rpcs.call(visit, "RequestPasswordReset", {"email": email})
        except CallFailed as failed:
            return _address_form(visit, email, _repeatable(failed))
        return message(
            "Look into your mail",
            "If the address has an account, a link to choose a new password is on its way. "
            "It works for 30 minutes.",
        )

    async def _reset(self, visit: Visit, token: str) -> Response:
        assert visit.form is not None
        first, second = visit.form.one("password"), visit.form.one("again")
        if first != second:
            return _password_form(visit, token, fault="The two passwords differ.", status=400)
        try:
            await self._rpcs.call(visit, "ResetPassword", {"token": token, "password": first})
        except CallFailed as failed:
            if failed.error.reason == "TOKEN_INVALID":
                return message(
                    "This link works no more",
                    "It was used already or is older than 30 minutes. Ask for a new one.",
                    status=faults.status_of(failed.error),
                )
            error = _repeatable(failed)
            return _password_form(visit, token, fault=_sentence(error), status=faults.status_of(error))
        return message(
            "Your password is changed",
            "You were signed out on every device. Log in with the new password.",
        )


def _address_form(visit: Visit, email: str = "", error: CohortLensError | None = None) -> Response:
    values = {
        "form_token": visit.form_token,
        "email": email,
        "fault": "" if error is None else _sentence(error),
    }
    return render("request_reset.html", values, status=200 if error is None else faults.status_of(error))


def _password_form(visit: Visit, token: str, *, fault: str = "", status: int = 200) -> Response:
    values = {"form_token": visit.form_token, "token": token, "fault": fault}
    return render("reset_password.html", values, status=status)


def _repeatable(failed: CallFailed) -> CohortLensError:
    if failed.error.reason not in _TO_REPEAT:
        raise failed
    return failed.error


def _sentence(error: CohortLensError) -> str:
    return error.message[:1].upper() + error.message[1:].rstrip(".") + "."
