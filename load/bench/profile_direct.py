"""Calls an ASGI application without a socket: quieter than h2load, but without what the server costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from gateway.grpc.server import AsgiApp
from load.bench.h2load import Endpoint


async def drive_directly(app: AsgiApp, endpoint: Endpoint, clients: int, calls: int) -> float:
    """CPU seconds of this process for ``calls`` calls by ``clients`` tasks that call one after another.

    Args:
        app: The application.
        endpoint: What a client would post; its address gives the path.
        clients: Tasks.
        calls: Calls in all; rounded down to a multiple of ``clients``.
    """
    scope = _scope(endpoint)
    before = time.process_time()
    await asyncio.gather(*(_caller(app, scope, endpoint.body, calls // clients) for _ in range(clients)))
    return time.process_time() - before


async def _caller(app: AsgiApp, scope: dict[str, Any], body: bytes, calls: int) -> None:
    request: MutableMapping[str, Any] = {"type": "http.request", "body": body, "more_body": False}
    waiting = asyncio.Event()

    for _ in range(calls):
        events = [request]

        async def receive(left: list[MutableMapping[str, Any]] = events) -> MutableMapping[str, Any]:
            if not left:
                await waiting.wait()
            return left.pop()

        # A task per request, as the server makes one.
        await asyncio.create_task(app({**scope}, receive, _send))  # type: ignore[arg-type]


async def _send(_event: MutableMapping[str, Any]) -> None:
    return None


def _scope(endpoint: Endpoint) -> dict[str, Any]:
    """What h2corn gives for such a request: names in lower case, values as bytes."""
    given = [line.split(": ", 1) for line in endpoint.headers]
    headers = [(name.lower().encode(), value.encode()) for name, value in given]
    headers += [(b"user-agent", b"profile-serving"), (b"content-length", str(len(endpoint.body)).encode())]
    path = urlsplit(endpoint.url).path
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1" if endpoint.http1 else "2",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 50051),
    }
