"""The endpoint for the payment provider's notifications: raw bytes in, stored, 200 out.

No rate limit by address stands before it: the provider's addresses are few and may send much. What protects
it is its own: 1 MiB, a few seconds for the body to come, and 16 at once that are verified and stored. Whose
body is still to come has no place among these, and makes room for who comes later: anybody can open a
connection and send nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from cohortlens.billing.payments.receiving import Receiving
from cohortlens.core.errors import CohortLensError, DeadlineExceeded, Unavailable
from cohortlens.core.ids import uuid7_text
from cohortlens.core.telemetry import ERRORS, bound, get_logger
from gateway.http import faults
from gateway.http.body import ClientGone, Receive, raw_pieces
from gateway.http.headers import JSON
from gateway.http.metrics import observe
from gateway.http.replies import Response, SendEvent, StatusSend, failure
from gateway.http.requests import Request, Scope, check_head
from gateway.interceptors.errors import unexpected

PATH: Final = "/billing/stripe/webhook"
MAX_BYTES: Final = 1024 * 1024
AT_ONCE: Final = 16
READING: Final = 64
"""Bodies that are awaited at a time."""
BODY_S: Final = 5.0
_ALLOWED: Final = ["OPTIONS", "POST"]
_LOG = get_logger(__name__)


class WebhookDoor:
    """An ASGI application for notifications of the payment provider.

    Args:
        receiving: Verifies and stores them.
        at_once: Requests whose body is there that are worked on at a time; more are told to come back.
    """

    def __init__(self, receiving: Receiving, at_once: int = AT_ONCE) -> None:
        self._receiving = receiving
        self._free = at_once
        # Oldest first.
        self._reading: dict[asyncio.Timeout, None] = {}

    def has(self, path: str) -> bool:
        """Whether a path is the endpoint."""
        return path == PATH

    async def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> None:
        """Answer one request."""
        request, started, seen = Request.read(scope), time.monotonic(), StatusSend(send)
        request_id = uuid7_text()
        try:
            with bound(request_id=request_id):
                response = await self._answer(scope, request, receive, request_id)
            await response.write(seen, head_only=request.verb == "HEAD")
        except ClientGone:
            seen.status = seen.status or 499
        finally:
            observe(PATH, request.verb, seen.status or 499, time.monotonic() - started)

    async def _answer(self, scope: Scope, request: Request, receive: Receive, request_id: str) -> Response:
        allow = (b"allow", ", ".join(_ALLOWED).encode())
        try:
            check_head(scope, request)
            if request.verb == "OPTIONS":
                return Response(204, "", b"", [allow])
            if request.verb != "POST":
                raise faults.method_not_allowed(_ALLOWED)
            await self._receive(request, receive)
        except CohortLensError as error:
            refusal = error
        except ClientGone:
            raise
        except Exception as error:
            _LOG.log(logging.ERROR, "unexpected", exc_info=error, route=PATH)
            refusal = unexpected()
        else:
            return Response(200, JSON, b"{}", [(b"cache-control", b"no-store")])
        ERRORS.labels(refusal.reason).inc()
        extra = [(b"x-request-id", request_id.encode())]
        if refusal.reason == "METHOD_NOT_ALLOWED":
            extra.append(allow)
        return failure(refusal, request_id, problem=False, headers=extra)

    async def _receive(self, request: Request, receive: Receive) -> None:
        if (request.head.length() or 0) > MAX_BYTES:
            raise faults.too_large(MAX_BYTES)
        payload = await self._body(receive)
        if self._free <= 0:
            raise _busy()
        self._free -= 1
        try:
            await self._receiving.receive(payload, request.head.get("stripe-signature"))
        finally:
            self._free += 1

    async def _body(self, receive: Receive) -> bytes:
        """The bytes as they came: what is parsed and written again never verifies."""
        while len(self._reading) >= READING:
            slowest = next(iter(self._reading))
            del self._reading[slowest]
            if not slowest.expired():
                slowest.reschedule(asyncio.get_running_loop().time())
        limit, had_time = asyncio.timeout(BODY_S), True
        try:
            async with limit:
                self._reading[limit] = None
                try:
                    return await _joined(receive)
                finally:
                    had_time = limit in self._reading
                    self._reading.pop(limit, None)
        except TimeoutError:
            if not had_time:
                raise _busy() from None
            raise DeadlineExceeded("the body did not arrive in time", reason="REQUEST_TIMEOUT") from None


def _busy() -> Unavailable:
    return Unavailable("too many notifications at once; send it again", retry_delay_s=1.0)


def webhook_door(receiving: Receiving | None, at_once: int = AT_ONCE) -> WebhookDoor | None:
    """The endpoint, for so many requests at once; None, so that there is none, where no secret is set."""
    if receiving is None:
        _LOG.warning(
            "webhook_off", detail="COHORTLENS_STRIPE_WEBHOOK_SECRETS is not set: payments are not heard of"
        )
        return None
    return WebhookDoor(receiving, at_once)


async def _joined(receive: Receive) -> bytes:
    parts, total = [], 0
    async for piece in raw_pieces(receive, BODY_S):
        total += len(piece)
        if total > MAX_BYTES:
            raise faults.too_large(MAX_BYTES)
        parts.append(piece)
    return b"".join(parts)
