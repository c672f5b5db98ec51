"""Whole answers on the wire; streams are in ``streaming``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from cohortlens.core.errors import CohortLensError
from gateway.http import faults
from gateway.http.headers import JSON_POLICY, NO_STORE, SECURITY_HEADERS

SendEvent = Callable[[MutableMapping[str, Any]], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]


# Not frozen: made once per request, and a frozen one takes three times as long to make.
@dataclass(slots=True)
class Response:
    """A whole answer.

    Attributes:
        status: HTTP status.
        content_type: Media type; empty for an answer without a body.
        body: The bytes.
        headers: Headers beside those every answer has.
    """

    status: int
    content_type: str
    body: bytes
    headers: HeaderList = field(default_factory=list)

    async def write(self, send: SendEvent, *, head_only: bool = False) -> None:
        """Send the answer; the body is left out for HEAD, its length is not."""
        own = dict(self.headers)
        headers = [*(one for one in SECURITY_HEADERS if one[0] not in own), *self.headers]
        if self.content_type:
            headers.append((b"content-type", self.content_type.encode("latin-1", "replace")))
            headers.append((b"content-length", str(len(self.body)).encode()))
        if b"content-security-policy" not in own:
            headers.append(JSON_POLICY)
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head_only else self.body})


def failure(
    error: CohortLensError, request_id: str, *, problem: bool, headers: HeaderList, status: int | None = None
) -> Response:
    """The answer to a failed call; ``status`` takes the place of what follows from the error."""
    status, content_type, text = faults.render(error, request_id, problem=problem, status=status)
    return Response(status, content_type, text, [*headers, *faults.headers_of(error), NO_STORE])


class StatusSend:
    """A ``send`` that remembers the status it sent; 0 before."""

    __slots__ = ("_send", "status")

    def __init__(self, send: SendEvent) -> None:
        self._send, self.status = send, 0

    def __call__(self, event: MutableMapping[str, Any]) -> Awaitable[None]:
        """Pass an event on."""
        if event["type"] == "http.response.start":
            self.status = event["status"]
        return self._send(event)
