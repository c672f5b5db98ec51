"""Calls whose messages stand in frames: gRPC-Web, and the streams of Connect."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable
from typing import Any, ClassVar

from google.protobuf.message import Message

from gateway.http.headers import NO_STORE
from gateway.http.rpc import RpcExchange
from gateway.interceptors.chain import CallFailed
from gateway.wire.framing import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, FrameReader, broken_frame, frame


class Enveloped(RpcExchange):
    """A call whose messages stand in frames: a byte of flags, four of length, the message.

    Attributes:
        content_type: Of the answer.
        encoding_header: Names how messages are compressed.
        accept_header: Names how those of the answer may be.
    """

    content_type: bytes
    encoding_header: ClassVar[str]
    accept_header: ClassVar[str]
    _held = 0

    def through_chain(self) -> Awaitable[Any]:
        """Run the call, whichever of its sides are streams; raises CallFailed."""
        call, method, chain = self._call, self._method, self._served.chain
        if not method.client_streaming and not method.server_streaming:
            return super().through_chain()
        if not method.client_streaming:
            call.read = self.read
            return chain.server_stream(call, None, self.message)
        if method.server_streaming:
            return chain.bidi_stream(call, self.requests(), self.message)
        call.encoder = self.encode
        return chain.client_stream(call, self.requests())

    async def read(self) -> Any:
        """The one message; raises InvalidArgument (FRAME_INVALID) unless there is exactly one."""
        found: list[Any] = []
        async for one in self.requests():
            found.append(one)
            if len(found) > 1:
                break
        if len(found) != 1:
            raise broken_frame(f"this call takes exactly one message; got {'more' if found else 'none'}")
        return found[0]

    async def requests(self) -> AsyncIterator[Any]:
        """The messages as they arrive; raises the faults of ``FrameReader``."""
        reader, more = FrameReader(self._encoding(), MAX_REQUEST_BYTES), True
        while more:
            event = await self._receive()
            if event["type"] != "http.request":
                raise self.gone()
            more = event.get("more_body", False)
            self.is_received = not more
            chunk = event.get("body", b"")
            self._call.request_bytes += len(chunk)
            for one in reader.feed(self.unwrapped(chunk)):
                yield self.payload(one)
            self._hold(reader.held)
        self.check_end()
        reader.end()
        self.request_over()

    def _encoding(self) -> str:
        return self._request.head.get(self.encoding_header).strip().lower()

    def _compresses(self) -> bool:
        return "gzip" in self._request.head.get(self.accept_header)

    def _hold(self, size: int) -> None:
        room = self._served.room
        if size > self._held:
            room.take(size - self._held)
        else:
            room.give(self._held - size)
        self._held = size

    def _close(self) -> None:
        self._hold(0)
        super()._close()

    def unwrapped(self, chunk: bytes) -> bytes:
        """Frames of a part of the request."""
        return chunk

    def check_end(self) -> None:
        """Look at the end of a request; raises InvalidArgument when a part of it is missing."""

    def wrapped(self, data: bytes) -> bytes:
        """Frames as they go out."""
        return data

    def encode(self, reply: Message) -> bytes:
        """A reply in its frame; raises ResourceExhausted when it is too large."""
        return frame(self.serialized(reply), compress=self._compresses(), max_bytes=MAX_RESPONSE_BYTES)

    async def message(self, reply: Message) -> None:
        """Send one message of a reply stream."""
        data = self.wrapped(self.encode(reply))
        self._call.response_bytes += len(data)
        await self._start()
        await self.put({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, failure: CallFailed | None) -> None:
        """Send the last frame, which says how the call ended."""
        last = self._call.encoded if failure is None else b""
        await self._start()
        last = self.wrapped(last + self.last_frame(failure))
        await self.put({"type": "http.response.body", "body": last, "more_body": False})

    @abstractmethod
    def last_frame(self, failure: CallFailed | None) -> bytes:
        """The frame behind the last message."""

    async def _start(self) -> None:
        if self._send.status:
            return
        own = [(b"content-type", self.content_type), NO_STORE, (b"x-accel-buffering", b"no")]
        own.append((self.accept_header.encode(), b"gzip"))
        if self._compresses():
            own.append((self.encoding_header.encode(), b"gzip"))
        await self.put({"type": "http.response.start", "status": 200, "headers": [*own, *self.own_headers()]})
