"""Server streams over HTTP: lines, one array, server-sent events or raw bytes, by what the caller accepts.

Source of the event stream: WHATWG HTML Living Standard, 9.2 Server-sent events. Nothing is buffered here:
each message is handed to the server before the servicer makes the next one, which waits for a slow reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import orjson
from google.protobuf.message import Message

from cohortlens.core.errors import Cancelled, CohortLensError
from gateway.http import faults
from gateway.http.codec import Codecs
from gateway.http.headers import JSON, JSON_POLICY, NDJSON, NO_STORE, SECURITY_HEADERS
from gateway.http.replies import HeaderList, SendEvent

EVENTS: Final = "text/event-stream"
STALLED_S: Final = 30.0
QUIET_S: Final = 15.0
"""After so long without a message a reader of events gets a comment, so that nothing between cuts it off."""
RETRY_MS: Final = 3000
RESUME_FIELD: Final = "resume_token"
"""Field of a request that says where to go on, and of a reply that gives such a token."""


class Drain(Protocol):
    """Tells that the process is stopping; ``gateway.servicers.health.HealthBoard``."""

    @property
    def draining(self) -> bool:
        """Whether the process will stop soon."""

    @property
    def stopping(self) -> bool:
        """Whether the process takes no more calls and ends when those there are have ended."""

    def next_change(self) -> asyncio.Event:
        """An event that the next change sets."""


class Framing(Protocol):
    """How messages stand in the body of one answer."""

    def content_type(self, first: Any) -> str:
        """The Content-Type, by the first message; None when there is none."""

    def message(self, message: Any) -> bytes:
        """One message."""

    def end(self) -> bytes:
        """What stands behind the last message."""

    def failed(self, document: dict[str, Any]) -> bytes:
        """What stands there when the stream failed; raises ConnectionAbortedError without a place for it."""


class Lines:
    """One line ``{"result": ...}`` each; a failure is the last line, ``{"error": ...}``."""

    def __init__(self, codecs: Codecs) -> None:
        self._codecs = codecs

    def content_type(self, first: Any) -> str:  # noqa: ARG002 - the protocol's
        """NDJSON."""
        return NDJSON

    def message(self, message: Any) -> bytes:
        """A line."""
        return b'{"result":' + self._codecs.print(message) + b"}\n"

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def failed(self, document: dict[str, Any]) -> bytes:
        """The last line."""
        return orjson.dumps({"error": document}) + b"\n"


class Array:
    """One array of bare messages; a failure is its last element, ``{"error": ...}``."""

    def __init__(self, codecs: Codecs) -> None:
        self._codecs, self._before = codecs, b"["

    def content_type(self, first: Any) -> str:  # noqa: ARG002 - the protocol's
        """JSON."""
        return JSON

    def message(self, message: Any) -> bytes:
        """An element."""
        return self._element(self._codecs.print(message))

    def end(self) -> bytes:
        """The closing bracket."""
        return b"[]" if self._before == b"[" else b"]"

    def failed(self, document: dict[str, Any]) -> bytes:
        """The last element and the closing bracket."""
        return self._element(orjson.dumps({"error": document})) + b"]"

    def _element(self, text: bytes) -> bytes:
        before, self._before = self._before, b","
        return before + text


class Events:
    """Server-sent events: ``message``, then ``end``, ``error`` or ``bye``.

    The identifier of an event is the token to go on behind it, or a number from 1 where there is none.
    Events without data are never delivered to a page, so the last ones hold an empty object.
    """

    COMMENT: Final = b": still here\n\n"
    BYE: Final = b"event: bye\nretry: %d\ndata: {}\n\n" % RETRY_MS

    def __init__(self, codecs: Codecs) -> None:
        self._codecs, self._number = codecs, 0

    def content_type(self, first: Any) -> str:  # noqa: ARG002 - the protocol's
        """The type of an event stream."""
        return EVENTS

    def message(self, message: Any) -> bytes:
        """An event."""
        self._number += 1
        mark = getattr(message, RESUME_FIELD, "") or str(self._number)
        retry = b"retry: %d\n" % RETRY_MS if self._number == 1 else b""
        data = self._codecs.print(message)
        return retry + b"id: " + mark.encode() + b"\nevent: message\ndata: " + data + b"\n\n"

    def end(self) -> bytes:
        """The event that tells a page to stop reading, since its browser would begin anew."""
        return b"event: end\ndata: {}\n\n"

    def failed(self, document: dict[str, Any]) -> bytes:
        """The failure as an event."""
        return b"event: error\ndata: " + orjson.dumps({"error": document}) + b"\n\n"


class Raw:
    """The bytes of google.api.HttpBody, joined; the first message names their type."""

    def content_type(self, first: Any) -> str:
        """The type of the first message."""
        return (first.content_type if first is not None else "") or "application/octet-stream"

    def message(self, message: Any) -> bytes:
        """Its bytes."""
        return bytes(message.data)

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def failed(self, document: dict[str, Any]) -> bytes:  # noqa: ARG002 - the protocol's
        """No place for it: the connection is torn off, so that the bytes never look complete."""
        raise ConnectionAbortedError("the stream failed after its first bytes")


def framing_of(media_type: str, codecs: Codecs) -> Framing:
    """The framing of a media type.

    Args:
        media_type: NDJSON, JSON or an event stream; empty for raw bytes.
        codecs: Codecs of the replies.
    """
    if not media_type:
        return Raw()
    kinds: dict[str, Callable[[Codecs], Framing]] = {NDJSON: Lines, JSON: Array, EVENTS: Events}
    return kinds[media_type](codecs)


class StreamWriter:
    """Writes a server stream; status and headers are held back until the first message.

    Args:
        send: The ASGI ``send``.
        framing: How messages stand in the body.
        headers: Gives the headers of the answer when the first message is there.
        head_only: Whether the answer ends behind its headers.

    Attributes:
        started: Whether status and headers are out.
        over: Whether no message is wanted any more, since only headers were asked for.
        stalled: Whether the reader took nothing for 30 s.
        leaving: Whether a reader of events was told to come back, since the process stops.
        sent_bytes: Bytes of the body so far.
    """

    def __init__(
        self,
        send: SendEvent,
        framing: Framing,
        headers: Callable[[], HeaderList],
        *,
        head_only: bool = False,
    ) -> None:
        self._send, self._framing, self._headers, self._head_only = send, framing, headers, head_only
        self._turn = asyncio.Lock()
        self._wrote_at = 0.0
        self.started = self.over = self.stalled = self.leaving = False
        self.sent_bytes = 0

    async def message(self, message: Message) -> None:
        """Send one message; waits while the reader is slow.

        Raises:
            Cancelled: The reader took nothing for 30 s, or wants no message.
        """
        async with self._turn:
            await self._write(self._framing.message(message), message, more=not self._head_only)
        if self._head_only:
            self.over = True
            raise Cancelled("only the headers were asked for")

    async def finish(self) -> None:
        """End the stream."""
        async with self._turn:
            await self._write(self._framing.end(), more=False)

    async def fail(self, error: CohortLensError, request_id: str) -> None:
        """End a stream that has begun with its error.

        Raises:
            ConnectionAbortedError: Its framing has no place for an error.
        """
        last = self._framing.failed(faults.document(error, request_id))
        async with self._turn:
            await self._write(last, more=False)

    async def bye(self) -> None:
        """End a stream of events: its reader comes back and goes on where it was."""
        async with self._turn:
            await self._write(Events.BYE, more=False)

    async def attend(self, task: asyncio.Task[Any], drain: Drain | None, *, resumes: bool) -> None:
        """Keep a stream of events alive while it is quiet; cancel its call when it must end early.

        Args:
            task: The task of the call.
            drain: Tells that the process is stopping; None where nothing does.
            resumes: Whether its reader can go on where it was, so that it loses nothing by being sent away.
        """
        loop = asyncio.get_running_loop()
        self._wrote_at = loop.time()
        while True:
            change = drain.next_change() if drain is not None else asyncio.Event()
            if drain is not None and drain.stopping and resumes:
                # In its turn, so that no message is cut off in the middle.
                async with self._turn:
                    self.leaving = True
                    task.cancel()
                return
            left_s = self._wrote_at + QUIET_S - loop.time()
            if left_s > 0:
                await _either(change, left_s)
                continue
            try:
                async with self._turn:
                    await self._write(Events.COMMENT)
            except Cancelled:
                task.cancel()
                return

    async def _write(self, data: bytes, first: Any = None, *, more: bool = True) -> None:
        try:
            async with asyncio.timeout(STALLED_S):
                if not self.started:
                    await self._start(first)
                body = b"" if self._head_only else data
                await self._send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError:
            self.stalled = True
            raise Cancelled("the reader took nothing for 30 s") from None
        self._wrote_at = asyncio.get_running_loop().time()
        self.sent_bytes += len(body)

    async def _start(self, first: Any) -> None:
        self.started = True
        headers = [
            *SECURITY_HEADERS,
            JSON_POLICY,
            (b"content-type", self._framing.content_type(first).encode("latin-1", "replace")),
            NO_STORE,
            (b"x-accel-buffering", b"no"),
            *self._headers(),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})


async def _either(change: asyncio.Event, left_s: float) -> None:
    """Wait for a change, at most ``left_s`` seconds."""
    try:
        async with asyncio.timeout(left_s):
            await change.wait()
    except TimeoutError:
        return
