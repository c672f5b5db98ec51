"""The page behind the link that confirms an address: GET shows a button, POST uses the link up."""

from __future__ import annotations

from typing import Final

from cohortlens.identity.mails import VERIFY_PATH
from gateway.http import faults
from gateway.http.pages.door import Rpcs
from gateway.http.pages.forms import Visit
from gateway.http.pages.renderer import incomplete_link, message, render
from gateway.http.replies import Response
from gateway.interceptors.chain import CallFailed

PATH: Final = VERIFY_PATH
_DEVICE: Final = "Confirmation page"


class VerifyEmailPage:
    """Makes the tenant of a mailed link.

    Args:
        rpcs: Calls the RPCs.
    """

    def __init__(self, rpcs: Rpcs) -> None:
        self._rpcs = rpcs

    async def get(self, visit: Visit) -> Response:
        """Show the button; programs that look through mails follow links too, so nothing happens yet."""
        token = visit.query.one("token")
        if not token:
            return incomplete_link()
        return render("verify_email.html", {"token": token, "form_token": visit.form_token})

    async def post(self, visit: Visit) -> Response:
        """Use the link up."""
        assert visit.form is not None
        request = {"token": visit.form.one("token"), "device_name": _DEVICE}
        try:
            reply = await self._rpcs.call(visit, "VerifyEmail", request)
        except CallFailed as failed:
            if failed.error.reason not in {"TOKEN_INVALID", "FIELD_INVALID"}:
                raise
            return message(
                "This link works no more",
                "It was used already or is older than a day. Log in, or register again for a new link.",
                status=faults.status_of(failed.error),
            )
        # The browser gets no session: whoever confirms an address logs in where they want to work.
        await self._rpcs.call(visit, "DeleteSession", {"session": "current"}, token=reply.tokens.access_token)
        return message(
            "Your address is confirmed",
            "Your account is ready. Log in with your e-mail address and password.",
        )
