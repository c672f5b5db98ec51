"""A client that calls an ASGI application in process, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """What an application sent."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False
    pieces: list[bytes] = field(default_factory=list)
    trailers: list[tuple[bytes, bytes]] | None = None

    def header(self, name: str) -> str | None:
        """The first value of a header; None without one."""
        values = [value.decode() for key, value in self.headers if key.decode() == name.lower()]
        return values[0] if values else None

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The reason of a failure."""
        return self.json["details"][0]["reason"]


class Client:
    """Calls an ASGI application without a socket."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def request(
        self,
        verb: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        *,
        pieces: Iterable[bytes] | None = None,
        leave: asyncio.Event | None = None,
    ) -> Answer:
        """One request.

        Args:
            target: Raw path and query.
            pieces: The body as an (async) iterable, instead of ``body``; ``asked`` counts what was taken.
            leave: An event after which the connection is closed.
        """
        path, _, query = target.partition("?")
        if isinstance(headers, Mapping):
            headers = headers.items()
        scope = {
            "type": "http",
            "http_version": "2",
            "method": verb,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            "client": ("192.0.2.7", 4000),
            "server": ("127.0.0.1", 8080),
        }
        answer, done = Answer(), asyncio.Event()
        feed = iter(pieces if pieces is not None else [body])
        state = {"over": False, "asked": 0}
        self.asked = state

        async def receive() -> dict[str, Any]:
            if not state["over"]:
                piece = next(feed, None)
                state["asked"] += 1
                if piece is None:
                    state["over"] = True
                    return {"type": "http.request", "body": b"", "more_body": False}
                if pieces is None:
                    state["over"] = True
                return {"type": "http.request", "body": piece, "more_body": pieces is not None}
            await (leave or done).wait()
            return {"type": "http.disconnect"}

        async def send(event: Any) -> None:
            if event["type"] == "http.response.start":
                answer.status, answer.headers = event["status"], list(event["headers"])
            elif event["type"] == "http.response.body":
                answer.body += event.get("body", b"")
                answer.pieces.append(event.get("body", b""))
                answer.complete = not event.get("more_body", False)
            elif event["type"] == "http.response.trailers":
                answer.trailers = list(event["headers"])

        await self.app(scope, receive, send)
        done.set()
        return answer
