"""The page behind the link of an invitation: GET shows who invites, POST joins."""

from __future__ import annotations

from typing import Any, Final

from cohortlens.identity.tenancy.invitation_mails import ACCEPT_PATH
from gateway.http import faults
from gateway.http.pages.door import Rpcs
from gateway.http.pages.forms import Visit
from gateway.http.pages.renderer import incomplete_link, message, render
from gateway.http.replies import Response
from gateway.interceptors.chain import CallFailed

PATH: Final = ACCEPT_PATH
_DEVICE: Final = "Invitation page"
# What a person can put right on the same page; the link still works.
_TO_REPEAT: Final = frozenset(
    {"FIELD_INVALID", "PASSWORD_TOO_SHORT", "PASSWORD_BREACHED", "LOGIN_RATE_LIMITED"}
)


class InvitationPage:
    """Lets a person join a tenant.

    Args:
        rpcs: Calls the RPCs.
        terms_version: Version of the terms that the first owner of a tenant accepts.
    """

    def __init__(self, rpcs: Rpcs, terms_version: str) -> None:
        self._rpcs = rpcs
        self._terms_version = terms_version

    async def get(self, visit: Visit) -> Response:
        """Show the invitation; programs that look through mails follow links too, so nothing happens yet."""
        token = visit.query.one("token")
        if not token:
            return incomplete_link()
        return await self._shown(visit, token)

    async def post(self, visit: Visit) -> Response:
        """Join, with a new password if the page asked for one."""
        assert visit.form is not None
        token, first = visit.form.one("token"), visit.form.one("password")
        if first != visit.form.one("again"):
            return await self._shown(visit, token, "The two passwords differ.", 400)
        request = {
            "token": token,
            "password": first,
            "device_name": _DEVICE,
            "accept_terms_version": self._terms_version if visit.form.one("terms") else "",
        }
        try:
            reply = await self._rpcs.call(visit, "AcceptInvitation", request)
        except CallFailed as failed:
            if failed.error.reason == "TOKEN_INVALID":
                return _over(failed)
            if failed.error.reason not in _TO_REPEAT:
                raise
            text = failed.error.message
            sentence = text[:1].upper() + text[1:].rstrip(".") + "."
            return await self._shown(visit, token, sentence, faults.status_of(failed.error))
        if reply.access_token:
            # The browser gets no session: whoever joins logs in where they want to work.
            await self._rpcs.call(visit, "DeleteSession", {"session": "current"}, token=reply.access_token)
        return message(
            "You have joined", f"Your role is {reply.role}. Log in with your e-mail address and password."
        )

    async def _shown(self, visit: Visit, token: str, fault: str = "", status: int = 200) -> Response:
        try:
            offer: Any = await self._rpcs.call(visit, "ReviewInvitation", {"token": token})
        except CallFailed as failed:
            if failed.error.reason not in {"TOKEN_INVALID", "FIELD_INVALID"}:
                raise
            return _over(failed)
        values = {
            "form_token": visit.form_token,
            "token": token,
            "tenant": offer.tenant_display_name,
            "email": offer.email,
            "role": offer.role,
            "needs_password": offer.needs_password,
            "needs_terms": offer.needs_terms,
            "terms_version": self._terms_version,
            "fault": fault,
        }
        return render("invitation.html", values, status=status)


def _over(failed: CallFailed) -> Response:
    return message(
        "This invitation works no more",
        "It was used, replaced or withdrawn, or is older than 7 days. Ask for a new one.",
        status=faults.status_of(failed.error),
    )
