"""A call from message to message: deadline, credentials, request key, repeats, resumed streams."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
import warnings
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import betterproto2

from cohortlens.client.errors import ApiError, DeadlineExceeded, Unauthenticated
from cohortlens.client.methods import Metadata, Method
from cohortlens.client.retries import Retries
from cohortlens.client.session import Signer
from cohortlens.client.wire import Wire

DEFAULT_TIMEOUT_S = 10.0
DEFAULT_STREAM_TIMEOUT_S = 300.0
RequestT = TypeVar("RequestT", bound=betterproto2.Message)
ReplyT = TypeVar("ReplyT", bound=betterproto2.Message)
ResultT = TypeVar("ResultT")
_WARNED: set[str] = set()


@dataclass(frozen=True)
class CallOptions:
    """What all calls of a client have in common.

    Attributes:
        timeout_s: Deadline of a call with one reply that names none, in seconds.
        stream_timeout_s: The same of a stream.
        traceparent: Gives the W3C trace context of the caller, if it has one.
        clock: Seconds that only go forward.
        sleep: Waits so many seconds.
    """

    timeout_s: float = DEFAULT_TIMEOUT_S
    stream_timeout_s: float = DEFAULT_STREAM_TIMEOUT_S
    traceparent: Callable[[], str | None] = field(default=lambda: None)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Caller:
    """Makes the calls of a client.

    Args:
        wire: The connection.
        signer: Gives the token of calls that need one; None when only public methods are called.
        retries: Decides on repeats.
        options: What all calls have in common.
    """

    def __init__(self, wire: Wire, signer: Signer | None, retries: Retries, options: CallOptions) -> None:
        self._wire, self._signer, self._retries, self._options = wire, signer, retries, options

    async def unary(
        self,
        method: Method,
        request: RequestT,
        reply: type[ReplyT],
        timeout_s: float | None,
        metadata: Metadata,
    ) -> ReplyT:
        """One request, one reply; repeated as the service config and the service say.

        Raises:
            ApiError: The service refused, or could not be reached within the deadline.
        """
        # The bytes are made once: a repeat carries the same request_id.
        body, call = (
            bytes(with_request_id(request)),
            _Call(self, method, timeout_s or self._options.timeout_s),
        )
        while True:
            try:
                raw = await self._wire.unary(
                    method.path, body, call.left_s(), await call.signed(metadata), call.seen
                )
            except ApiError as error:
                await call.again(error)
            else:
                self._retries.succeeded()
                return reply.parse(raw)

    async def upload(
        self,
        method: Method,
        requests: AsyncIterable[RequestT] | Iterable[RequestT],
        reply: type[ReplyT],
        timeout_s: float | None,
        metadata: Metadata,
    ) -> ReplyT:
        """Requests, then one reply. Never repeated: what was read from ``requests`` is gone.

        Raises:
            ApiError: The service refused, or could not be reached within the deadline.
        """
        call = _Call(self, method, timeout_s or self._options.stream_timeout_s)
        signed = await call.signed(metadata)
        raw = await self._wire.upload(method.path, _bodies(requests), call.left_s(), signed, call.seen)
        return reply.parse(raw)

    async def stream(
        self,
        method: Method,
        request: RequestT,
        reply: type[ReplyT],
        timeout_s: float | None,
        metadata: Metadata,
    ) -> AsyncIterator[ReplyT]:
        """One request, replies as they come.

        A stream that broke goes on behind its last message if its messages carry a ``resume_token``;
        otherwise it is repeated only before its first message.

        Raises:
            ApiError: The service refused, or could not be reached within the deadline.
        """
        request = with_request_id(request)
        call = _Call(self, method, timeout_s or self._options.stream_timeout_s)
        while True:
            try:
                signed = await call.signed(metadata)
                found = self._wire.stream(method.path, bytes(request), call.left_s(), signed, call.seen)
                async with contextlib.aclosing(found) as raws:  # type: ignore[type-var]
                    async for raw in raws:
                        message = reply.parse(raw)
                        call.moved()
                        request = _behind(request, message)
                        yield message
                return
            except ApiError as error:
                if call.has_moved and not getattr(request, "resume_token", ""):
                    raise
                await call.again(error)

    async def converse(
        self,
        method: Method,
        requests: AsyncIterable[RequestT] | Iterable[RequestT],
        reply: type[ReplyT],
        timeout_s: float | None,
        metadata: Metadata,
    ) -> AsyncIterator[ReplyT]:
        """Requests and replies side by side. Never repeated.

        Raises:
            ApiError: The service refused, or could not be reached within the deadline.
        """
        call = _Call(self, method, timeout_s or self._options.stream_timeout_s)
        signed = await call.signed(metadata)
        found = self._wire.converse(method.path, _bodies(requests), call.left_s(), signed, call.seen)
        async with contextlib.aclosing(found) as raws:  # type: ignore[type-var]
            async for raw in raws:
                yield reply.parse(raw)

    @property
    def parts(self) -> tuple[Signer | None, Retries, CallOptions]:
        """Signer, repeats and options, for a call under way."""
        return self._signer, self._retries, self._options


class _Call:
    """One call under way, with all its attempts inside one deadline."""

    def __init__(self, caller: Caller, method: Method, timeout_s: float) -> None:
        self._signer, self._retries, self._options = caller.parts
        self._method = method
        self._end = self._options.clock() + timeout_s
        self._attempt, self._token, self._renewed = 1, "", False
        self.has_moved = False

    def left_s(self) -> float:
        """Seconds to the deadline."""
        left_s = self._end - self._options.clock()
        if left_s <= 0:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "the deadline passed before the call was sent")
        return left_s

    def moved(self) -> None:
        """A message came: what failed before it is forgotten."""
        self.has_moved, self._attempt, self._renewed = True, 1, False
        self._retries.succeeded()

    async def signed(self, metadata: Metadata) -> Metadata:
        """The metadata to send."""
        found = list(metadata)
        trace = self._options.traceparent()
        if trace is not None:
            found.append(("traceparent", trace))
        if not self._method.public and self._signer is not None:
            try:
                async with asyncio.timeout(self.left_s()):
                    self._token = await self._signer.token()
            except TimeoutError:
                raise DeadlineExceeded("DEADLINE_EXCEEDED", "no token within the deadline") from None
            found.append(("authorization", f"Bearer {self._token}"))
        return found

    def seen(self, metadata: Mapping[str, str]) -> None:
        """Warn once in a process of each method that goes."""
        if (self._method.deprecated or "deprecation" in metadata) and self._method.path not in _WARNED:
            _WARNED.add(self._method.path)
            until = f", it is removed on {metadata['sunset']}" if "sunset" in metadata else ""
            text = f"{self._method.path} is deprecated{until}"
            warnings.warn(text, DeprecationWarning, stacklevel=2)

    async def again(self, error: ApiError) -> None:
        """Wait for the next attempt.

        Raises:
            ApiError: ``error``, when there is none.
        """
        if isinstance(error, Unauthenticated) and self._renew(error):
            return
        wait_s = self._retries.wait_s(self._method.path, error, self._attempt)
        if wait_s is None or self._options.clock() + wait_s >= self._end:
            raise error
        self._attempt += 1
        await self._options.sleep(wait_s)

    def _renew(self, error: Unauthenticated) -> bool:
        """Whether another token is worth one more attempt."""
        if self._renewed or self._signer is None or not self._token or error.reason not in _RENEWABLE:
            return False
        self._renewed = True
        return self._signer.refused(self._token)


# A session that was ended on purpose (TOKEN_REVOKED) stays ended.
_RENEWABLE = frozenset({"TOKEN_EXPIRED", "TOKEN_INVALID"})


def with_request_id(request: RequestT) -> RequestT:
    """A copy of a request with a key of its own (UUID4), if it takes one and has none."""
    if getattr(request, "request_id", None) == "":
        request = request.__copy__()
        request.request_id = str(uuid.uuid4())  # type: ignore[attr-defined]
    return request


def _behind(request: RequestT, message: betterproto2.Message) -> RequestT:
    """The request that goes on behind a message of its stream."""
    token = getattr(message, "resume_token", "")
    if token and hasattr(request, "resume_token"):
        request = request.__copy__()
        request.resume_token = token
    return request


async def _bodies(requests: AsyncIterable[RequestT] | Iterable[RequestT]) -> AsyncIterator[bytes]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield bytes(request)
    else:
        for request in requests:
            yield bytes(request)
