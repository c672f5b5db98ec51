"""The ASGI application: API, pages, knobs and health on one port of this machine."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

import orjson

from cohortlens.core.telemetry import get_logger
from cohortlens.embedded.stripe import clocks, pay_pages, portal_pages
from cohortlens.embedded.stripe.answering import Answer, Api, ConnectionCut, Request
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.control import Control
from cohortlens.embedded.stripe.deliveries import Deliveries
from cohortlens.embedded.stripe.faults import Refusal
from cohortlens.embedded.stripe.hosting import PageHandler, Reply, Visit, gone
from cohortlens.embedded.stripe.provider import Origin, Provider

_MOST_BYTES = 2**20
_TICK_S = 1.0
_JSON = {"content-type": "application/json"}
_GUARDS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_LOG = get_logger(__name__)


class StripeServer:
    """The application.

    Args:
        provider: The provider.
        key: The secret key that opens API and knobs.
    """

    def __init__(self, provider: Provider, key: str) -> None:
        self._provider = provider
        self.deliveries = Deliveries(provider)
        self._api = Api(provider, key)
        self._control = Control(provider, self.deliveries, self._api.rules)
        self._pages = [
            (re.compile(pattern.replace("{id}", "([^/]+)")), handler)
            for pattern, handler in (*pay_pages.PAGES, *portal_pages.PAGES)
        ]

    async def work(self) -> None:
        """Send webhooks and let time pass until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.deliveries.run())
            tasks.create_task(self._tick())

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        try:
            request = await _read(scope, receive)
            answer = await self._answered(request) if _is_local(request) else _json(403, {"error": "host"})
        except _TooLarge:
            answer = _json(413, {"error": {"message": "The body is larger than 1 MiB."}})
        except ConnectionCut:
            await _cut(send)
            return
        headers = {**_GUARDS, **answer.headers, "content-length": str(len(answer.body))}
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [
                    (name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()
                ],
            }
        )
        await send({"type": "http.response.body", "body": answer.body})

    async def _answered(self, request: Request) -> Answer:
        path = request.path
        if path == "/livez":
            return _json(200, {"status": "ok"})
        if path.startswith(("/v1/", "/v2/")):
            made = await self._api.answer(request)
            return Answer(made.status, made.body, {**_JSON, **made.headers})
        if path.startswith("/_control"):
            return self._controlled(request)
        return self._paged(request)

    def _controlled(self, request: Request) -> Answer:
        try:
            self._api.check_key(request)
            body = orjson.loads(request.body or b"{}")
            if not isinstance(body, dict):
                raise Refusal("The body must be a JSON object.")
            self._provider.origin = Origin()
            with self._provider.store.transaction():
                return _json(200, self._control.run(request.method, request.path, body))
        except orjson.JSONDecodeError:
            return _json(400, {"error": {"message": "The body must be a JSON object."}})
        except Refusal as refusal:
            return _json(refusal.status, {"error": refusal.envelope})

    def _paged(self, request: Request) -> Answer:
        found = self._page(request.path)
        if found is None or request.method not in {"GET", "HEAD", "POST"}:
            reply = gone("There is no such page.")
        else:
            handler, ids = found
            form = dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
            visit = Visit(self._provider, request.path, ids, form if request.method == "POST" else None)
            self._provider.origin = Origin()
            reply = self._visited(handler, visit)
        return Answer(reply.status, b"" if request.method == "HEAD" else reply.body, reply.headers)

    def _visited(self, handler: PageHandler, visit: Visit) -> Reply:
        try:
            with self._provider.store.transaction():
                return handler(visit)
        except Refusal as refusal:
            return gone(str(refusal))

    def _page(self, path: str) -> tuple[PageHandler, tuple[str, ...]] | None:
        for pattern, handler in self._pages:
            if found := pattern.fullmatch(path):
                return handler, found.groups()
        return None

    async def _tick(self) -> None:
        """Let happen what is due, once a second."""
        while True:
            try:
                clocks.tick(self._provider)
            except Exception:
                # One thing that cannot happen must not stop the time of all others.
                _LOG.exception("tick_failed")
            await asyncio.sleep(_TICK_S)


class _TooLarge(Exception):
    """The body is larger than any that is needed."""


async def _read(scope: MutableMapping[str, Any], receive: Any) -> Request:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _MOST_BYTES:
            raise _TooLarge
        if not message.get("more_body"):
            break
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope["query_string"].decode("latin-1")
    return Request(scope["method"], scope["path"], query, headers, bytes(body))


async def _cut(send: Any) -> None:
    """Begin an answer and never end it: the server closes such a connection."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})


def _json(status: int, body: Object) -> Answer:
    return Answer(status, orjson.dumps(body), _JSON)


def _is_local(request: Request) -> bool:
    """A page of somebody else's in a browser here could reach us under a name of its own."""
    host = request.headers.get("host", "")
    host = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"
