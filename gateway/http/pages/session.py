"""The session of a person's browser: two cookies, renewed inside the request that finds them expired.

Pages that need a signed-in person call RPCs through it. Nothing is decided here: the chain tests each access
token, and the rules of sessions say what becomes of a refresh token, of two tabs at once and of a stolen one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import Message

from cohortlens.core.errors import Unauthenticated
from gateway.http.pages.door import Rpcs
from gateway.http.pages.forms import ACCESS, REFRESH, Visit
from gateway.interceptors.chain import CallFailed

_REUSED: Final = (
    "This session was ended on every device, since an old copy of it was used. Sign in again. "
    "If you see this more than once, change your password."
)
_ENDED: Final = "Your session has ended. Sign in again."


class SignedOut(Exception):
    """Nobody is signed in in this browser.

    Attributes:
        notice: What to tell whoever was; empty when nobody was.
    """

    def __init__(self, notice: str = "") -> None:
        super().__init__(notice)
        self.notice = notice


class BrowserSession:
    """Calls RPCs as the person who is signed in.

    Args:
        rpcs: Calls the RPCs.
        visit: The request; renewed cookies go out with its answer.
    """

    def __init__(self, rpcs: Rpcs, visit: Visit) -> None:
        self._rpcs, self._visit = rpcs, visit
        # A page makes several calls at once; one of them renews for all.
        self._lock = asyncio.Lock()

    async def call(
        self, name: str, request: Message | Mapping[str, Any], *, service: str = "BillingService"
    ) -> Any:
        """The reply of an RPC; an access token that does not hold is renewed once.

        Args:
            name: Name of the RPC.
            request: Its request message, or the fields of it.
            service: Service of the RPC.

        Raises:
            SignedOut: There is no session, or it has ended.
            CallFailed: The RPC answered another fault.
        """
        token = self._visit.cookie(ACCESS) or await self._renewed("")
        try:
            return await self._rpcs.call(self._visit, name, request, token=token, service=service)
        except CallFailed as failed:
            if not isinstance(failed.error, Unauthenticated):
                raise
        token = await self._renewed(token)
        try:
            return await self._rpcs.call(self._visit, name, request, token=token, service=service)
        except CallFailed as failed:
            if not isinstance(failed.error, Unauthenticated):
                raise
        forget(self._visit)
        raise SignedOut(_ENDED)

    async def _renewed(self, stale: str) -> str:
        """An access token other than ``stale``."""
        async with self._lock:
            known = self._visit.cookie(ACCESS)
            if known not in {"", stale}:
                return known
            refresh = self._visit.cookie(REFRESH)
            if not refresh:
                forget(self._visit)
                raise SignedOut
            try:
                reply = await self._rpcs.call(self._visit, "RefreshSession", {"refresh_token": refresh})
            except CallFailed as failed:
                if not isinstance(failed.error, Unauthenticated):
                    raise
                forget(self._visit)
                raise SignedOut(_REUSED if failed.error.reason == "REFRESH_REUSED" else _ENDED) from None
            keep(self._visit, reply.tokens)
            access: str = reply.tokens.access_token
            return access


def keep(visit: Visit, tokens: Any) -> None:
    """Sign the browser in with a pair of tokens."""
    visit.set_cookie(ACCESS, tokens.access_token, tokens.expires_in)
    visit.set_cookie(REFRESH, tokens.refresh_token, tokens.refresh_expires_in)


def forget(visit: Visit) -> None:
    """Sign the browser out; what it was signed in with is not ended by this."""
    for name in (ACCESS, REFRESH):
        if visit.cookie(name):
            visit.drop_cookie(name)
