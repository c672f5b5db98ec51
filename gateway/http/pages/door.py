"""The door of the pages for people: a path finds its page, forms are proven to be ours, faults are pages."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Protocol

from google.protobuf.message import Message

from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import uuid7_text
from cohortlens.core.telemetry import ERRORS, get_logger
from gateway.http import faults, headers
from gateway.http.body import ClientGone, Receive
from gateway.http.metrics import observe
from gateway.http.pages.forms import FormGuard, Visit, read_form
from gateway.http.pages.renderer import message
from gateway.http.replies import Response, SendEvent, StatusSend
from gateway.http.requests import Request, Scope, check_head
from gateway.interceptors.chain import Call, CallFailed, Chain
from gateway.interceptors.errors import unexpected
from gateway.registry import RateClass

_LOG = get_logger(__name__)
_READING = frozenset({RateClass.READ, RateClass.PUBLIC})
_HEADINGS = {403: "Not allowed", 404: "Not found", 429: "Too many attempts", 500: "Something went wrong"}


class Page(Protocol):
    """One path. A GET shows and changes nothing, so that a mail scanner that follows links does no harm."""

    async def get(self, visit: Visit) -> Response:
        """Show the page."""

    async def post(self, visit: Visit) -> Response:
        """Act on the form of the page; it is proven to be ours."""


class PageDoor:
    """An ASGI application for the addresses of ``pages``.

    Args:
        pages: Pages by path.
        guard: Tests the forms.
    """

    def __init__(self, pages: Mapping[str, Page], guard: FormGuard) -> None:
        self._pages, self._guard = dict(pages), guard

    def has(self, path: str) -> bool:
        """Whether a path is one of the pages."""
        return path in self._pages

    async def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> None:
        """Answer one request."""
        request, started, seen = Request.read(scope), time.monotonic(), StatusSend(send)
        try:
            check_head(scope, request)
            response = await self._answer(request, receive)
        except ClientGone:
            response = None
        except CohortLensError as error:
            response = failed(error)
        except CallFailed as call:
            response = failed(call.error, call.request_id)
        except Exception as error:
            # Whatever a page stumbles over must not end the process or show its text.
            _LOG.log(logging.ERROR, "unexpected", exc_info=error, route=scope["path"])
            response = failed(unexpected(), uuid7_text())
        try:
            if response is not None:
                await response.write(seen, head_only=request.verb == "HEAD")
        finally:
            observe(scope["path"], request.verb, seen.status or 499, time.monotonic() - started)

    async def _answer(self, request: Request, receive: Receive) -> Response:
        page = self._pages[request.path]
        if request.verb == "OPTIONS":
            return Response(204, "", b"", [_ALLOW])
        if request.verb not in {"GET", "HEAD", "POST"}:
            refused = failed(faults.method_not_allowed(["GET", "HEAD", "OPTIONS", "POST"]))
            refused.headers.append(_ALLOW)
            return refused
        form = await read_form(receive, request.head) if request.verb == "POST" else None
        visit = self._guard.visit(request, form)
        response = await (page.get(visit) if form is None else page.post(visit))
        response.headers = [*response.headers, *visit.headers]
        return response


_ALLOW = (b"allow", b"GET, HEAD, OPTIONS, POST")


def failed(error: CohortLensError, request_id: str = "") -> Response:
    """The page of a fault."""
    ERRORS.labels(error.reason).inc()
    status = faults.status_of(error)
    heading = _HEADINGS.get(status, "Something went wrong" if status >= 500 else "That did not work")
    text = error.message[:1].upper() + error.message[1:].rstrip(".") + "."
    answer = message(heading, text, status=status, reason=error.reason, request_id=request_id)
    answer.headers += faults.headers_of(error)
    return answer


def redirect(address: str) -> Response:
    """Send the browser on with GET."""
    found = [(b"location", address.encode("ascii")), (b"cache-control", b"no-store")]
    return Response(303, "", b"", found)


class Rpcs:
    """Calls RPCs of the public API for a page, through the whole chain.

    Args:
        chain: The chain every door runs.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def call(
        self,
        visit: Visit,
        name: str,
        request: Message | Mapping[str, Any],
        *,
        token: str = "",
        service: str = "AuthService",
    ) -> Any:
        """The reply of an RPC.

        Args:
            visit: Whose call it is; address and user agent go along.
            name: Name of the RPC.
            request: Its request message, or the fields of it.
            token: Access token of the caller; empty for public RPCs.
            service: Service of the RPC.

        Raises:
            CallFailed: The RPC answered a fault.
        """
        method = self._chain.table.get(f"/cohortlens.v1.{service}/{name}")
        if method is None:
            raise RuntimeError(f"no RPC {service}.{name}")
        metadata = headers.metadata(visit.request.head, visit.request.peer)
        metadata.pop("authorization", None)
        if token:
            metadata["authorization"] = [f"Bearer {token}"]
        call = Call("page", method, metadata, peer=visit.request.peer, decoder=_as_it_is)
        rate_class = method.policy.rate_class
        # A page that reads five things was asked for once; what changes something counts each time.
        call.is_part = visit.is_counted and rate_class in _READING
        payload = method.input_class(**request) if isinstance(request, Mapping) else request
        reply = await self._chain.unary(call, payload)
        visit.is_counted |= rate_class is RateClass.READ
        return reply


def _as_it_is(message: Any) -> Message:
    found: Message = message
    return found
