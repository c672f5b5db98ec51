"""The page of an owner whose tenant was deleted: e-mail address, password and code bring it back."""

from __future__ import annotations

from typing import Final

from cohortlens.identity.tenancy.invitation_mails import UNDELETE_PATH
from gateway.http import faults
from gateway.http.pages.door import Rpcs
from gateway.http.pages.forms import Visit
from gateway.http.pages.renderer import message, render
from gateway.http.replies import Response
from gateway.interceptors.chain import CallFailed

PATH: Final = UNDELETE_PATH
_TO_REPEAT: Final = frozenset(
    {"FIELD_INVALID", "INVALID_CREDENTIALS", "MFA_REQUIRED", "LOGIN_RATE_LIMITED", "TENANT_NOT_DELETED"}
)
_FIELDS: Final = ("email", "password", "totp", "tenant")


class UndeletePage:
    """Brings a deleted tenant back.

    Args:
        rpcs: Calls the RPCs.
    """

    def __init__(self, rpcs: Rpcs) -> None:
        self._rpcs = rpcs

    async def get(self, visit: Visit) -> Response:
        """Ask who the owner is."""
        return _form(visit)

    async def post(self, visit: Visit) -> Response:
        """Bring the tenant back."""
        assert visit.form is not None
        request = {name: visit.form.one(name).strip() for name in _FIELDS}
        request["password"] = visit.form.one("password")
        try:
            reply = await self._rpcs.call(visit, "UndeleteTenant", request)
        except CallFailed as failed:
            if failed.error.reason not in _TO_REPEAT:
                raise
            text = failed.error.message
            sentence = text[:1].upper() + text[1:].rstrip(".") + "."
            return _form(visit, request, sentence, faults.status_of(failed.error))
        return message(
            f"{reply.tenant.display_name} is back",
            "Everyone who belongs to it can log in again. API keys work again as well.",
        )


def _form(visit: Visit, sent: dict[str, str] | None = None, fault: str = "", status: int = 200) -> Response:
    values = {
        "form_token": visit.form_token,
        "email": (sent or {}).get("email", ""),
        "tenant": (sent or {}).get("tenant", ""),
        "fault": fault,
    }
    return render("undelete.html", values, status=status)
