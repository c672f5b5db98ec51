"""One RPC over HTTP: its body read when the chain asks for it, its reply or stream of replies written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, ClassVar, Final

from google.protobuf.message import Message

from cohortlens.core.errors import Cancelled, CohortLensError, Unavailable
from gateway.http import body, conditional, faults, headers
from gateway.http.binding import HTTP_BODY, RawRequest
from gateway.http.body import ClientGone, Receive
from gateway.http.encodings import packed
from gateway.http.headers import JSON, NDJSON
from gateway.http.replies import HeaderList, Response, StatusSend, failure
from gateway.http.requests import Request
from gateway.http.routes import Route, RouteTable
from gateway.http.streaming import EVENTS, RESUME_FIELD, Drain, StreamWriter, framing_of
from gateway.http.templates import Match
from gateway.http.trailers import TrailedSend, wants_trailers
from gateway.http.uploads import StreamBody
from gateway.http.watching import CallerWatch
from gateway.interceptors.chain import Call, CallFailed, Chain

# What the policy of a method lists that this door does not serve.
_REFUSED: Final = "STREAMING_NOT_SUPPORTED"
_DRAIN_S: Final = 10.0
_RESUMES: Final = "last-event-id"
_VARY: Final = (b"vary", b"Authorization, Accept, Accept-Encoding")
# Headers that say something about the request message, beside those that are metadata.
_CONDITIONS: Final = frozenset({"if-match", "if-none-match", _RESUMES})


class Exchange:
    """One call.

    Args:
        chain: The chain.
        routes: Codecs of requests and replies.
        request: Request line and headers.
        match: The route found.
        receive: The ASGI ``receive``.
        send: Where the answer goes.
        drain: Tells that the process is stopping; None where nothing does.

    Attributes:
        max_body_bytes: Largest body that is read as a whole, after inflating.
    """

    max_body_bytes: ClassVar[int] = body.MAX_JSON_BYTES
    _writer: StreamWriter | None = None
    _attendant: asyncio.Task[None] | None = None

    def __init__(
        self,
        chain: Chain,
        routes: RouteTable,
        request: Request,
        match: Match[Route],
        receive: Receive,
        send: StatusSend,
        drain: Drain | None = None,
    ) -> None:
        self._drain = drain
        self._chain, self._routes, self._request = chain, routes, request
        self._route, self._values = match.target, match.values
        self._receive, self._send = receive, send
        self._lenient = headers.wants_lenient(request.head)
        self._raw_reply = self._route.method.descriptor.output_type.full_name == HTTP_BODY
        self._task = asyncio.current_task()
        self._watch = CallerWatch(request, receive)
        self._body_over = False
        timeout_s, fault = headers.timeout(request.head)
        self._call = Call(
            "http",
            self._route.method,
            headers.metadata(request.head, request.peer),
            peer=request.peer,
            timeout_s=timeout_s,
            timeout_fault=fault or headers.binary_fault(request.head),
            decoder=self._conditioned
            if _CONDITIONS & request.head.values.keys()
            else self._route.binding.decode,
            task=self._task,
        )
        self._call.route = self._route.rule.template.text
        if request.verb != "HEAD" and wants_trailers(request.head):
            streams = self._route.method.server_streaming
            self._send = TrailedSend(send, lambda: self._call.response_trailers, streams=streams)

    async def run(self) -> None:
        """Run the call and send its answer, whatever it is.

        Raises:
            ClientGone: Nobody is left to answer.
        """
        try:
            await self._answer()
            await self._swallow()
        except asyncio.CancelledError:
            if await self._cut_by_us():
                return
            # The server is stopping and its patience is over.
            await self._failed_late(
                Unavailable("the server is stopping; repeat the call", reason="SHUTTING_DOWN")
            )
            raise
        finally:
            self._close()

    async def _cut_by_us(self) -> bool:
        """Whether the call was cancelled from here, and its reader was sent away well.

        Raises:
            ClientGone: Nobody is left to answer.
            ConnectionAbortedError: The reader took nothing for too long.
        """
        writer = self._writer
        is_ours = self._watch.has_left or (writer is not None and (writer.leaving or writer.stalled))
        if not is_ours or self._task is None:
            return False
        self._task.uncancel()
        if self._watch.has_left or writer is None:
            raise ClientGone from None
        if writer.stalled:
            raise ConnectionAbortedError("the reader took nothing for 30 s") from None
        await writer.bye()
        return True

    async def _failed_late(self, error: CohortLensError) -> None:
        """Say at the end of the process why a call has none, if there is still a place for it."""
        if not self._send.status:
            await self._failed(error)
        elif self._writer is not None:
            await self._writer.fail(error, self._call.request_id)

    async def _answer(self) -> None:
        try:
            await self._run()
        except CallFailed as failed:
            if self._watch.has_left:
                raise ClientGone from None
            await self._failed(failed.error)

    async def _run(self) -> None:
        method = self._route.method
        if method.server_streaming:
            await self._server_stream()
            return
        self._call.encoder = self._encode
        if method.client_streaming:
            stream = self._stream_body()
            reply = await self._chain.client_stream(self._call, self._requests(stream))
        else:
            self._call.read = self._read
            reply = await self._chain.unary(self._call)
        await self._reply(reply)

    async def _failed(self, error: CohortLensError) -> None:
        is_condition = error.reason == conditional.MISMATCH and "if-match" in self._request.head.values
        answer = failure(
            error,
            self._call.request_id,
            problem=headers.wants_problem(self._request.head),
            headers=[*self._headers(), *self._closing()],
            status=412 if is_condition else None,
        )
        self._call.response_bytes = len(answer.body)
        await answer.write(self._send, head_only=self._request.verb == "HEAD")

    async def _read(self) -> RawRequest:
        """The request, once the caller is known; raises the fault of its headers or its body."""
        content_type = self._request.head.get("content-type")
        conditional.check(self._request.head, self._request.verb, self._route.method.descriptor.input_type)
        self._check_types(content_type)
        try:
            text = await body.whole(self._receive, self._request.head, self.max_body_bytes)
        except ClientGone:
            self._watch.has_left = True
            raise Cancelled("the connection was closed before the body was complete") from None
        self._call.request_bytes = len(text)
        self._watch_later()
        return RawRequest(self._values, self._request.query, text, content_type, self._lenient)

    def _conditioned(self, raw: RawRequest) -> Message:
        """The request with what its headers say of it: the version it changes, where it goes on."""
        message = self._route.binding.decode(raw)
        head = self._request.head
        if "if-match" in head.values:
            conditional.fill(head, message)
        token = head.get(_RESUMES)
        if token and RESUME_FIELD in message.DESCRIPTOR.fields_by_name:
            # A browser that comes back asks for the address it began with: what it read last counts.
            setattr(message, RESUME_FIELD, token)
        return message

    def _check_types(self, content_type: str) -> None:
        if (
            content_type
            and content_type != JSON
            and self._route.rule.body
            and not self._route.binding.raw_body
        ):
            media, parameters = headers.media_type(content_type)
            if media != JSON or parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
                raise faults.unsupported_media(f"Content-Type {JSON}")
        self._accepted()

    def _accepted(self) -> str:
        """Media type of the reply; raises NOT_ACCEPTABLE."""
        if self._raw_reply:
            return ""
        offers = [NDJSON, JSON, EVENTS] if self._route.method.server_streaming else [JSON]
        chosen = headers.accepts(self._request.head, offers)
        if chosen is None:
            raise faults.not_acceptable(offers)
        return chosen

    def _stream_body(self) -> StreamBody:
        fault: CohortLensError | None = None
        try:
            self._accepted()
        except CohortLensError as error:
            fault = error
        codecs = self._routes.lenient if self._lenient else self._routes.strict
        stream = StreamBody(self._route, self._request.head, self._request.query, codecs, fault)
        self._call.decoder = stream.decode
        return stream

    async def _requests(self, stream: StreamBody) -> AsyncIterator[Any]:
        try:
            async for payload in stream.requests(self._receive):
                self._call.request_bytes = stream.received
                yield payload
        finally:
            self._watch.has_left = self._watch.has_left or stream.torn
        self._watch_later()

    def _both_ways(self) -> AsyncIterator[Any]:
        if _REFUSED in self._route.method.policy.errors:
            # Refused within the chain, so that only a known caller learns of it and it is logged.
            return _Unread()
        # The whole body is read before the first reply: HTTP/1.1 clients cannot do both at once.
        return self._requests(self._stream_body())

    async def _server_stream(self) -> None:
        try:
            media = self._accepted()
        except CohortLensError as fault:
            self._call.timeout_fault, media = self._call.timeout_fault or fault, JSON
        writer = self._writer = StreamWriter(
            self._send,
            framing_of(media, self._routes.strict),
            lambda: [*self._headers(), *self._closing()],
            head_only=self._request.verb == "HEAD",
        )
        if media == EVENTS and self._task is not None:
            self._attendant = asyncio.create_task(
                writer.attend(self._task, self._drain, resumes=self._goes_on())
            )
        try:
            if self._route.method.client_streaming:
                await self._chain.bidi_stream(self._call, self._both_ways(), writer.message)
            else:
                self._call.read = self._read
                await self._chain.server_stream(self._call, None, writer.message)
            await writer.finish()
        except CallFailed as failed:
            await self._stream_failed(writer, failed)
        finally:
            self._call.response_bytes = writer.sent_bytes

    async def _stream_failed(self, writer: StreamWriter, failed: CallFailed) -> None:
        if writer.over:
            return
        if writer.stalled:
            raise ConnectionAbortedError("the reader took nothing for 30 s") from None
        if not writer.started:
            raise failed
        await writer.fail(failed.error, failed.request_id)

    def _goes_on(self) -> bool:
        return RESUME_FIELD in self._route.method.descriptor.input_type.fields_by_name

    def _encode(self, reply: Any) -> bytes:
        if self._raw_reply:
            return bytes(reply.data)
        field = self._route.rule.response_body
        if field:
            return self._routes.strict.print_field(reply, field)
        return self._routes.strict.print(reply)

    async def _reply(self, reply: Any) -> None:
        extra = [*self._headers(), *self._closing()]
        own, text = dict(extra), self._call.encoded
        if b"cache-control" not in own:
            extra.append((b"cache-control", b"no-store" if self._route.sensitive else b"private, no-cache"))
            own[b"cache-control"] = extra[-1][1]
        answer = Response(200, self._content_type(reply), text, extra)
        if self._request.verb in {"GET", "HEAD"} and b"no-store" not in own[b"cache-control"]:
            tag = own.get(b"etag", b"").decode("latin-1")
            if not tag and len(text) <= conditional.MAX_TAGGED_BYTES:
                tag = conditional.tag_of(reply, text)
                extra.append((b"etag", tag.encode("latin-1")))
            extra.append(_VARY)
            if conditional.is_known(self._request.head, tag):
                answer = Response(304, "", b"", extra)
        answer = await packed(answer, self._request.head)
        await answer.write(self._send, head_only=self._request.verb == "HEAD")

    def _content_type(self, reply: Any) -> str:
        return (reply.content_type or "application/octet-stream") if self._raw_reply else JSON

    def _headers(self) -> HeaderList:
        extra = headers.reply_headers(self._call.response_headers)
        if self._lenient:
            extra.append((b"preference-applied", b"handling=lenient"))
        return extra

    def _unread(self) -> bool:
        """Whether an HTTP/1 client is still sending a body of some size that nobody reads."""
        return not self._body_over and self._request.sends_much()

    def _closing(self) -> HeaderList:
        """Ask an HTTP/1 client for a new connection: its body was not read, or this process goes away."""
        leaving = self._drain is not None and self._drain.draining and self._request.is_http1
        return [(b"connection", b"close")] if leaving or self._unread() else []

    async def _swallow(self) -> None:
        """Swallow the rest of a body after its answer: a client that only writes would never read it."""
        if not self._unread():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while (await self._receive()).get("more_body", False):
                    pass

    def _watch_later(self) -> None:
        self._body_over = True
        self._watch.begin()

    def _close(self) -> None:
        self._watch.close()
        if self._attendant is not None:
            self._attendant.cancel()


class _Unread(AsyncIterator[Any]):
    """The requests of a call that streams both ways: asked for the first, it refuses."""

    async def __anext__(self) -> Any:
        raise faults.streaming_unsupported()
