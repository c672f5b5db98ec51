"""The one chain every door runs: what a call is, in which order the steps see it, how a servicer is reached.

A door makes a ``Call``, hands over raw bytes (or whatever its ``decoder`` understands) and gets a message, a
stream of messages or a ``CallFailed`` back. Nothing is decoded before the caller is known. A step is
``async def step(call, proceed)``; ``await proceed(call)`` runs everything inside it, to the last message of a
stream, so a step's ``finally`` is the end of the call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from google.protobuf.message import Message

from cohortlens.billing.models import Entitlement
from cohortlens.core.context import Principal, RequestContext
from cohortlens.core.errors import Code, CohortLensError
from cohortlens.core.idempotency import Claim, effects_of
from gateway.interceptors.metadata import DecodedMetadata, Metadata
from gateway.registry import MethodInfo, MethodTable

__all__ = ["ORDER", "Call", "CallFailed", "Chain", "MethodInfo", "MethodTable", "Proceed", "Send", "Step"]

ORDER = (
    "request_id",
    "observe",
    "errors",
    "access",
    "shed",
    "address_limit",
    "authn",
    "rate_limit",
    "entitlement",
    "share",
    "validate",
    "idempotency",
    "quota",
)
"""THE order of the steps, outermost first; the servicer comes last."""

Proceed = Callable[["Call"], Awaitable[None]]
Decoder = Callable[[Any], Message]
Send = Callable[[Message], Awaitable[None]]


class Step(Protocol):
    """One step of the chain."""

    def __call__(self, call: Call, proceed: Proceed, /) -> Awaitable[None]:
        """Do this step's part of ``call`` around ``await proceed(call)``."""


class Call:
    """One RPC under way, the same whatever door it came through.

    Attributes:
        door: grpc, http, ...
        method: The RPC.
        metadata: Request metadata.
        peer: Address of the connection's other end.
        timeout_s: Seconds the caller gives; None for the default of the method.
        timeout_fault: What was wrong before the chain could say so, such as a timeout that cannot be read;
            raised inside the ``errors`` step.
        task: The task that runs the call; asked of the loop when None.
        decoder: Makes a request message of one payload; raises CohortLensError or DecodeError.
        payload: The raw request of a unary request.
        read: Reads the payload when the door has not yet; run within the deadline and after ``authn``,
            so that nobody unknown makes us gather a body.
        reading: Whether ``read`` is under way: what is late then is the caller.
        payloads: The raw requests of a client stream.
        request: The request message, once ``validate`` has run.
        requests: The checked messages of a client stream.
        reply: The reply of a unary response.
        encoder: Makes bytes of a unary reply inside the chain, so that a reply that cannot be written
            is a failure of the call; None when the door does it itself.
        encoded: What ``encoder`` made.
        send: Takes the messages of a response stream, waiting while the caller is slow.
        request_id: Identifier in logs, headers and error details.
        trace_id: W3C trace id, 32 hex digits.
        span_id: Identifier of the call's span, 16 hex digits; empty while nobody collects spans.
        route: Template of the HTTP route; empty for doors that have none.
        is_replayed: Whether the answer is that of an earlier call with the same key.
        started: Monotonic time of arrival.
        deadline: Monotonic time by which the answer must be out.
        certificate: The client certificate that the connection proved, PEM; None on the public ports.
        bearer: The token or key that the caller presents, once somebody has read it.
        is_part: Whether it reads for a page whose first call was counted: a page is one call for its reader.
        on_verified: To be called once that was verified, when others with the same one wait for it.
        principal: The caller, once ``authn`` has run; None for public methods.
        entitlement: What its tenant may do, once ``entitlement`` has run; None for methods that need nothing.
        claim: The key that the call holds; None for a call without one.
        response_headers: Headers (initial metadata) of the answer, in order; sent with the first byte.
        response_trailers: Trailing metadata of the answer, in order.
        code: Final code, set by ``errors``.
        failure: The failure the call ended with, set by ``errors``.
        request_bytes: Size of what was received, counted by the door.
        response_bytes: Size of what was sent, counted by the door.
    """

    # Most calls leave most of these as they are, so they are set where they differ.
    payload: Any = None
    read: Callable[[], Awaitable[Any]] | None = None
    reading = False
    payloads: AsyncIterator[Any] | None = None
    request: Message | None = None
    requests: AsyncIterator[Message] | None = None
    reply: Message | None = None
    encoder: Callable[[Message], bytes] | None = None
    encoded = b""
    send: Send | None = None
    request_id = ""
    trace_id = ""
    span_id = ""
    route = ""
    is_replayed = False
    certificate: str | None = None
    bearer = ""
    is_part = False
    on_verified: Callable[[], None] | None = None
    principal: Principal | None = None
    entitlement: Entitlement | None = None
    claim: Claim | None = None
    code = Code.OK
    failure: CallFailed | None = None
    request_bytes = 0
    response_bytes = 0
    _context: RequestContext | None = None

    def __init__(
        self,
        door: str,
        method: MethodInfo,
        metadata: Metadata | Mapping[str, Sequence[str]],
        *,
        peer: str = "",
        timeout_s: float | None = None,
        timeout_fault: CohortLensError | None = None,
        decoder: Decoder | None = None,
        task: asyncio.Task[Any] | None = None,
    ) -> None:
        self.door = door
        self.method = method
        self.metadata = metadata if isinstance(metadata, Metadata) else DecodedMetadata(metadata)
        self.peer = peer
        self.timeout_s = timeout_s
        self.timeout_fault = timeout_fault
        self.decoder: Decoder = decoder or method.input_class.FromString
        self.task = task
        self.started = time.monotonic()
        self.deadline = self.started + method.default_deadline_s
        self.response_headers: list[tuple[str, str]] = []
        self.response_trailers: list[tuple[str, str]] = []

    @property
    def context(self) -> RequestContext:
        """The request as use cases see it; complete once ``authn`` has run."""
        if self._context is None:
            self._context = RequestContext(self.request_id, self.principal, self.deadline, self.peer)
        return self._context

    def header(self, name: str) -> str | None:
        """The first value of a metadata entry, by lower-case name."""
        return self.metadata.first(name)

    async def gather(self) -> None:
        """Read the payload when the door has not yet."""
        if self.read is not None:
            self.reading = True
            self.payload, self.read = await self.read(), None
            self.reading = False

    def decode(self, payload: Any) -> Message:
        """One raw request as a message, through the door's decoder."""
        return self.decoder(payload)


class CallFailed(Exception):
    """The end of a failed call, made by the ``errors`` step only; doors turn it into their wire form.

    Attributes:
        error: The fault as the caller may see it: code, reason, message, metadata, violations, retry delay.
        request_id: Identifier of the call.
    """

    def __init__(self, error: CohortLensError, request_id: str) -> None:
        super().__init__(error.message)
        self.error = error
        self.request_id = request_id


class Chain:
    """The steps around every method, composed once per method.

    Args:
        table: The methods.
        servicers: Servicer of each service by full name: an object whose methods are named like the RPCs.
        steps: The steps by name; exactly those of ``ORDER``.

    Attributes:
        table: The methods.
        steps: The steps by name.

    Raises:
        ValueError: A step is missing or unknown, or a service of the table has no servicer or no such method.
    """

    def __init__(self, table: MethodTable, servicers: Mapping[str, Any], steps: Mapping[str, Step]) -> None:
        if set(steps) != set(ORDER):
            raise ValueError(f"the chain needs exactly the steps {', '.join(ORDER)}; got {', '.join(steps)}")
        missing = [
            method.full_name
            for method in table
            if not callable(getattr(servicers.get(method.service), method.name, None))
        ]
        if missing:
            raise ValueError(f"no servicer for {', '.join(missing)}")
        self.table = table
        self.steps = dict(steps)
        self._runs: dict[str, Proceed] = {}
        for method in table:
            run = _servicer_call(method, getattr(servicers[method.service], method.name))
            for name in reversed(ORDER):
                run = _around(steps[name], run)
            self._runs[method.full_name] = run

    async def unary(self, call: Call, payload: Any = None) -> Message:
        """Run a unary call of ``payload`` (or of what ``call.read`` reads); raises CallFailed."""
        call.payload = payload
        await self._runs[call.method.full_name](call)
        return _reply(call)

    async def client_stream(self, call: Call, payloads: AsyncIterator[Any]) -> Message:
        """Run a call whose requests are a stream; returns the reply or raises CallFailed."""
        call.payloads = payloads
        await self._runs[call.method.full_name](call)
        return _reply(call)

    async def server_stream(self, call: Call, payload: Any, send: Send) -> None:
        """Run a call whose replies are a stream, each handed to ``send``; raises CallFailed."""
        call.payload, call.send = payload, send
        await self._runs[call.method.full_name](call)

    async def bidi_stream(self, call: Call, payloads: AsyncIterator[Any], send: Send) -> None:
        """Run a call with streams both ways; raises CallFailed."""
        call.payloads, call.send = payloads, send
        await self._runs[call.method.full_name](call)


def _reply(call: Call) -> Message:
    if call.reply is None:
        raise RuntimeError(f"{call.method.full_name} ended without a reply")
    return call.reply


def _around(step: Step, inner: Proceed) -> Proceed:
    def run(call: Call) -> Awaitable[None]:
        return step(call, inner)

    return run


def _servicer_call(method: MethodInfo, function: Callable[..., Any]) -> Proceed:
    streaming_in = method.client_streaming

    async def unary(call: Call) -> None:
        if call.claim is None:
            call.reply = await function(call.requests if streaming_in else call.request, call)
        else:
            with effects_of(call.claim):
                call.reply = await function(call.requests if streaming_in else call.request, call)
        if call.encoder is not None:
            call.encoded = call.encoder(_reply(call))
            call.response_bytes = len(call.encoded)

    async def stream(call: Call) -> None:
        send = call.send
        assert send is not None
        replies = function(call.requests if streaming_in else call.request, call)
        try:
            async for reply in replies:
                await send(reply)
        finally:
            # The servicer's own finally blocks must run now, inside the deadline of the call.
            await replies.aclose()

    return stream if method.server_streaming else unary
