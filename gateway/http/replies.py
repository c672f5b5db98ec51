"""Answers on the wire: whole ones, and server streams by what the caller accepts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from google.protobuf.message import Message

from cohortlens.core.errors import Cancelled, CohortLensError
from gateway.http import faults
from gateway.http.codec import Codecs
from gateway.http.headers import JSON, JSON_POLICY, NDJSON, SECURITY_HEADERS

SendEvent = Callable[[MutableMapping[str, Any]], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]

STALLED_S: Final = 30.0


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


def failure(error: CohortLensError, request_id: str, *, problem: bool, headers: HeaderList) -> Response:
    """The answer to a failed call."""
    status, content_type, text = faults.render(error, request_id, problem=problem)
    no_store = (b"cache-control", b"no-store")
    return Response(status, content_type, text, [*headers, *faults.headers_of(error), no_store])


class StreamWriter:
    """Writes a server stream; status and headers are held back until the first message.

    Args:
        send: The ASGI ``send``.
        codecs: Codecs of the replies.
        media_type: NDJSON or JSON; ignored when ``raw``.
        raw: Whether the messages are google.api.HttpBody.
        headers: Gives the headers of the answer when the first message is there.
    """

    def __init__(
        self,
        send: SendEvent,
        codecs: Codecs,
        media_type: str,
        headers: Callable[[], HeaderList],
        *,
        raw: bool = False,
    ) -> None:
        self._send, self._codecs, self._type, self._headers, self._raw = (
            send,
            codecs,
            media_type,
            headers,
            raw,
        )
        self.started = False
        self.stalled = False
        self.sent_bytes = 0

    async def message(self, message: Message) -> None:
        """Send one message; waits while the reader is slow.

        Raises:
            Cancelled: The reader took nothing for 30 s.
        """
        body: Any = message
        if self._raw:
            await self._write(body.data, body.content_type or "application/octet-stream")
            return
        text = self._codecs.print(message)
        if self._type == NDJSON:
            await self._write(b'{"result":' + text + b"}\n", NDJSON)
        else:
            await self._write((b"," if self.started else b"[") + text, JSON)

    async def finish(self) -> None:
        """End the stream."""
        last = b""
        if not self._raw and self._type == JSON:
            last = b"]" if self.started else b"[]"
        await self._write(last, self._type, more=False)

    async def fail(self, error: CohortLensError, request_id: str) -> None:
        """End a stream that has begun with its error; a raw one has no place for it and is torn off.

        Raises:
            ConnectionAbortedError: For a raw stream, so that it never looks complete.
        """
        if self._raw:
            raise ConnectionAbortedError("the stream failed after its first bytes")
        text = orjson.dumps({"error": faults.document(error, request_id)})
        last = text + b"\n" if self._type == NDJSON else b"," + text + b"]"
        await self._write(last, self._type, more=False)

    async def _write(self, data: bytes, content_type: str, *, more: bool = True) -> None:
        try:
            async with asyncio.timeout(STALLED_S):
                if not self.started:
                    await self._start(content_type)
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError:
            self.stalled = True
            raise Cancelled("the reader took nothing for 30 s") from None
        self.sent_bytes += len(data)

    async def _start(self, content_type: str) -> None:
        self.started = True
        headers = [
            *SECURITY_HEADERS,
            JSON_POLICY,
            (b"content-type", content_type.encode("latin-1", "replace")),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            *self._headers(),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})


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
