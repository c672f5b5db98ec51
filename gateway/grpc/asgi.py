"""The gRPC door over ASGI: an HTTP/2 request in, the chain, frames and trailers out.

The server beneath admits gRPC bodies without limit of size or time; this door enforces both. Bytes go to the
chain as they came; nothing is decoded here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, MutableMapping
from typing import Any, NamedTuple

from google.protobuf.message import Message

from cohortlens.core import telemetry
from cohortlens.core.errors import Unavailable, Unimplemented
from gateway.interceptors.chain import Call, CallFailed, Chain, MethodInfo
from gateway.interceptors.metadata import Metadata
from gateway.interceptors.request_id import parse_grpc_timeout
from gateway.interceptors.status import status_headers
from gateway.wire.framing import (
    ENCODINGS,
    MAX_REQUEST_BYTES,
    MAX_RESPONSE_BYTES,
    FrameReader,
    frame,
    single_message,
    too_large,
)
from gateway.wire.receiving import MAX_GATHERED_BYTES, Receive, Room, take_rest

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
SendEvent = Callable[[Event], Awaitable[None]]

_CONTENT_TYPE = (b"content-type", b"application/grpc")
_CONTENT_TYPES = frozenset(("application/grpc", "application/grpc+proto"))
_ACCEPT = (b"grpc-accept-encoding", ENCODINGS.encode())
_OK_TRAILERS = [(b"grpc-status", b"0")]
# Most calls are over before a watch for the caller's leaving would be worth its cost.
_WATCH_AFTER_S = 0.1
_PUMPED_CHUNKS = 16
_PREFIX_BYTES = 5


class GrpcDoor:
    """An ASGI application that serves every method of the chain to gRPC clients.

    Args:
        chain: The chain.
        max_request_bytes: Largest request message, also after inflating.
        max_response_bytes: Largest reply message.
        max_gathered_bytes: What the bodies under way that come in parts may take together.
        certificate: Reads the client certificate of a connection; None where there are none.
        hidden: Services that this door does not serve.
    """

    def __init__(
        self,
        chain: Chain,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        max_gathered_bytes: int = MAX_GATHERED_BYTES,
        certificate: Callable[[Scope], str] | None = None,
        hidden: Collection[str] = (),
    ) -> None:
        self._chain = chain
        self._methods = {
            name: method for name, method in chain.table.methods.items() if method.service not in hidden
        }
        self._certificate = certificate
        self._limits = _Limits(max_request_bytes, max_response_bytes)
        self._patience = _Patience()
        self._room = Room(max_gathered_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> None:
        """Serve one call."""
        metadata = Metadata(scope["headers"])
        refused = _refused(scope, metadata)
        if refused is not None:
            await _answer(send, refused, [(b"content-type", b"text/plain")])
            await take_rest(receive)
            return
        method = self._methods.get(scope["path"])
        if method is None:
            fault = Unimplemented("no such method; see the reflection service for what there is")
            telemetry.ERRORS.labels(fault.reason).inc()
            await _answer(send, 200, [_CONTENT_TYPE, *status_headers(CallFailed(fault, ""))])
            await take_rest(receive)
            return
        call = _call(scope, metadata, method)
        if self._certificate is not None:
            call.certificate = self._certificate(scope)
        exchange = _Exchange(call, receive, send, self._limits, self._patience, self._room)
        try:
            await self._run(call, exchange)
            await exchange.end(None)
        except CallFailed as failure:
            await exchange.end(failure)
        except asyncio.CancelledError:
            if exchange.caller_left():
                return
            # The server is stopping and its patience is over.
            gone = Unavailable("the server is stopping; repeat the call", reason="SHUTTING_DOWN")
            await exchange.end(CallFailed(gone, call.request_id))
            raise
        finally:
            exchange.close()
        await exchange.rest()

    def _run(self, call: Call, exchange: _Exchange) -> Awaitable[Any]:
        method, chain = call.method, self._chain
        if not method.client_streaming:
            call.read = exchange.read
        if not method.server_streaming:
            call.encoder = exchange.encode
            return (
                chain.client_stream(call, exchange.stream()) if method.client_streaming else chain.unary(call)
            )
        if method.client_streaming:
            return chain.bidi_stream(call, exchange.stream(), exchange.send_message)
        return chain.server_stream(call, None, exchange.send_message)


class _Limits(NamedTuple):
    """Largest messages, bytes."""

    request: int
    response: int


class _Patience:
    """Begins to watch for the caller's leaving once a call has taken a while; one timer for all calls."""

    def __init__(self) -> None:
        self._young: set[_Exchange] = set()
        self._older: set[_Exchange] = set()
        self._swept = False

    def add(self, exchange: _Exchange) -> None:
        """A call has read its request."""
        self._young.add(exchange)
        if not self._swept:
            self._swept = True
            asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._sweep)

    def remove(self, exchange: _Exchange) -> None:
        """A call is over."""
        self._young.discard(exchange)
        self._older.discard(exchange)

    def _sweep(self) -> None:
        for exchange in self._older:
            exchange.watch()
        self._older, self._young = self._young, set()
        self._swept = bool(self._older)
        if self._swept:
            asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._sweep)


class _Exchange:
    """The two directions of one call."""

    # Most calls leave these as they are.
    _reader: asyncio.Task[None] | None = None
    _left = False
    _started = False
    _ended = False
    _received = False
    _gathered = 0

    def __init__(
        self,
        call: Call,
        receive: Receive,
        send: SendEvent,
        limits: _Limits,
        patience: _Patience,
        room: Room,
    ) -> None:
        self._call = call
        self._receive = receive
        self._send = send
        self._limits = limits
        self._patience = patience
        self._room = room
        self._encoding = call.header("grpc-encoding") or ""
        self._compress = self._encoding == "gzip" and "gzip" in (call.header("grpc-accept-encoding") or "")
        self._task = call.task

    async def read(self) -> bytes:
        """The one message of a unary request; from its end on, the caller's leaving cancels the call."""
        event = await self._receive()
        body: bytes = event.get("body", b"")
        if event.get("more_body", False):
            event, body = await self._gather(event, bytearray(body))
        if event["type"] == "http.disconnect":
            self._cancel()
            await asyncio.sleep(0)
        self._received = True
        self._call.request_bytes = len(body)
        self._patience.add(self)
        return single_message(body, self._encoding, self._limits.request)

    async def _gather(self, event: Event, body: bytearray) -> tuple[Event, bytes]:
        """The rest of a body that comes in parts, refused as soon as it is known to be too large."""
        most = self._limits.request
        while event.get("more_body", False):
            declared = int.from_bytes(body[1:_PREFIX_BYTES], "big") if len(body) >= _PREFIX_BYTES else 0
            if declared > most or len(body) > most + _PREFIX_BYTES:
                raise too_large(most)
            event = await self._receive()
            part = event.get("body", b"")
            self._take(len(part))
            body += part
        return event, bytes(body)

    def _take(self, size: int) -> None:
        self._room.take(size)
        self._gathered += size

    def _give(self, size: int) -> None:
        self._room.give(size)
        self._gathered -= size

    def watch(self) -> None:
        """Cancel the call from now on when its caller leaves."""
        self._reader = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        event = await self._receive()
        while event["type"] != "http.disconnect":
            event = await self._receive()
        self._cancel()

    def stream(self) -> AsyncIterator[bytes]:
        """The messages of a request stream; the caller's leaving is noticed while they are handled."""
        chunks: asyncio.Queue[bytes | Unavailable | None] = asyncio.Queue(_PUMPED_CHUNKS)
        self._reader = asyncio.create_task(self._pump(chunks))
        return self._messages(chunks)

    async def _pump(self, chunks: asyncio.Queue[bytes | Unavailable | None]) -> None:
        more = True
        while more:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                self._cancel()
                return
            if body := event.get("body", b""):
                try:
                    self._take(len(body))
                except Unavailable as fault:
                    await chunks.put(fault)
                    return
                await chunks.put(body)
            more = event.get("more_body", False)
        self._received = True
        await chunks.put(None)
        await self._watch()

    async def _messages(self, chunks: asyncio.Queue[bytes | Unavailable | None]) -> AsyncIterator[bytes]:
        reader, held = FrameReader(self._encoding, self._limits.request), 0
        while (chunk := await chunks.get()) is not None:
            if isinstance(chunk, Unavailable):
                raise chunk
            self._call.request_bytes += len(chunk)
            for message in reader.feed(chunk):
                yield message
            self._give(len(chunk) + held - reader.held)
            held = reader.held
        reader.end()

    def _cancel(self) -> None:
        self._left = True
        if self._task is not None:
            self._task.cancel()

    def caller_left(self) -> bool:
        """Whether the call was cancelled because its caller is gone; takes the cancellation back if so."""
        if self._left and self._task is not None:
            self._task.uncancel()
        return self._left

    def encode(self, reply: Message) -> bytes:
        """A reply as a frame; raises ResourceExhausted when it is too large."""
        return frame(reply.SerializeToString(), compress=self._compress, max_bytes=self._limits.response)

    async def send_message(self, reply: Message) -> None:
        """Send one message of a reply stream, waiting while the caller does not read."""
        data = self.encode(reply)
        self._call.response_bytes += len(data)
        await self._start()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _start(self) -> None:
        """Send the headers, once."""
        if not self._started:
            self._started = True
            headers = [_CONTENT_TYPE, _ACCEPT, *_encoded(self._call.response_headers)]
            if self._compress:
                headers.append((b"grpc-encoding", b"gzip"))
            await self._send(
                {"type": "http.response.start", "status": 200, "headers": headers, "trailers": True}
            )

    async def end(self, failure: CallFailed | None) -> None:
        """Send the status, once; trailers only when nothing was sent before a failure."""
        if self._ended:
            return
        self._ended = True
        call = self._call
        trailers = _OK_TRAILERS if failure is None else status_headers(failure)
        if call.response_trailers:
            trailers = [*trailers, *_encoded(call.response_trailers)]
        last = call.encoded if failure is None else b""
        if last:
            await self._start()
        if not self._started:
            headers = [_CONTENT_TYPE, _ACCEPT, *_encoded(call.response_headers), *trailers]
            await _answer(self._send, 200, headers)
            return
        await self._send({"type": "http.response.body", "body": last, "more_body": False})
        await self._send({"type": "http.response.trailers", "headers": trailers})

    def close(self) -> None:
        """Stop watching and reading, let go of the call."""
        self._patience.remove(self)
        if self._reader is not None:
            self._reader.cancel()
        if self._gathered:
            self._give(self._gathered)
        # Call and exchange hold each other; apart, they are freed at once and leave the collector nothing.
        self._call.read = self._call.encoder = None

    async def rest(self) -> None:
        """Take what still comes of a request that was answered before its end."""
        if self._received or self._left:
            return
        if self._reader is not None:
            await asyncio.wait({self._reader})
        try:
            await take_rest(self._receive)
        except asyncio.CancelledError:
            if not self.caller_left():
                raise


def _refused(scope: Scope, metadata: Metadata) -> int | None:
    if scope["http_version"] != "2":
        return 505
    if scope["method"] != "POST":
        return 405
    content_type = metadata.first("content-type") or ""
    if content_type in _CONTENT_TYPES:
        return None
    return None if content_type.partition(";")[0].strip().lower() in _CONTENT_TYPES else 415


def _call(scope: Scope, metadata: Metadata, method: MethodInfo) -> Call:
    timeout = metadata.first("grpc-timeout")
    timeout_s, fault = parse_grpc_timeout(timeout) if timeout is not None else (None, None)
    client = scope.get("client")
    return Call(
        "grpc",
        method,
        metadata,
        peer=client[0] if client else "",
        timeout_s=timeout_s,
        timeout_fault=fault,
        task=asyncio.current_task(),
    )


def _encoded(pairs: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii", "replace")) for name, value in pairs]


async def _answer(send: SendEvent, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
