"""An RPC called by its full name over HTTP: what the doors of Connect and gRPC-Web share.

The path names the method, as in gRPC; bodies, statuses and errors are the protocol's. Nothing of a body is
read before the chain asks for it, that is before the caller is known.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from google.protobuf.message import Message

from cohortlens.core.errors import Cancelled, Unavailable, Unimplemented
from gateway.http import conditional, faults, headers
from gateway.http.binding import refuse
from gateway.http.body import ClientGone, Receive
from gateway.http.headers import JSON_POLICY, SECURITY_HEADERS
from gateway.http.replies import HeaderList, StatusSend
from gateway.http.requests import Request, Scope
from gateway.http.routes import RouteTable
from gateway.http.scalars import JsonFault
from gateway.http.streaming import STALLED_S
from gateway.http.watching import CallerWatch
from gateway.interceptors.chain import Call, CallFailed, Chain
from gateway.interceptors.metadata import Metadata
from gateway.registry import MethodInfo
from gateway.wire.receiving import MAX_GATHERED_BYTES, Room, take_rest

_WATCH_AFTER_S: Final = 0.05
_PATH: Final = re.compile(r"/[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+/[A-Za-z_][A-Za-z0-9_]*")


def is_rpc(path: str) -> bool:
    """Whether a path has the form of a method's full name: ``/package.Service/Method``."""
    return _PATH.fullmatch(path) is not None


def method_unknown() -> Unimplemented:
    """No method has this name."""
    return Unimplemented("no such method; see the reflection service for what there is")


@dataclass(slots=True)
class Served:
    """What all calls of a door share.

    Attributes:
        chain: The chain.
        routes: Its codecs read and write JSON.
        room: What bodies under way may take together.
    """

    chain: Chain
    routes: RouteTable
    room: Room = field(default_factory=lambda: Room(MAX_GATHERED_BYTES))


@dataclass(slots=True)
class JsonText:
    """A request in JSON, so that nobody takes its bytes for Protobuf.

    Attributes:
        text: The JSON.
    """

    text: bytes

    def __len__(self) -> int:
        """Its size in bytes."""
        return len(self.text)


class RpcExchange(ABC):
    """One call by its full name.

    Args:
        served: What all calls of the door share.
        method: The RPC.
        request: Request line and headers.
        scope: The ASGI scope.
        receive: The ASGI ``receive``.
        send: Where the answer goes.

    Attributes:
        door: Name of the door in logs and metrics.
        is_json: Whether messages are proto JSON, else Protobuf.
        is_received: Whether all of the request has come.
    """

    door: ClassVar[str]
    is_json = False
    _stalled = False
    is_received = False

    def __init__(
        self,
        served: Served,
        method: MethodInfo,
        request: Request,
        scope: Scope,
        receive: Receive,
        send: StatusSend,
    ) -> None:
        self._served, self._method, self._request = served, method, request
        self._receive, self._send = receive, send
        self._task = asyncio.current_task()
        self._watch = CallerWatch(request, receive, _WATCH_AFTER_S)
        timeout_s, fault = headers.timeout(request.head)
        both_ways = method.client_streaming and method.server_streaming
        if both_ways and request.is_http1:
            fault = fault or faults.streaming_unsupported()
        fault = fault or conditional.unkept(request.head)
        self._call = Call(
            self.door,
            method,
            Metadata(scope["headers"]),
            peer=request.peer,
            timeout_s=timeout_s,
            timeout_fault=fault,
            decoder=self.decoded,
            task=self._task,
        )

    @abstractmethod
    async def read(self) -> Any:
        """The one request."""

    @abstractmethod
    def encode(self, reply: Message) -> bytes:
        """A reply as it goes out."""

    @abstractmethod
    async def end(self, failure: CallFailed | None) -> None:
        """Send what is left of the answer."""

    async def run(self) -> None:
        """Run the call and send its answer, whatever it is.

        Raises:
            ClientGone: Nobody is left to answer.
            ConnectionAbortedError: The reader took nothing for too long.
        """
        try:
            await self.through_chain()
            await self.end(None)
        except CallFailed as failed:
            self._check_reader()
            await self.end(failed)
        except asyncio.CancelledError:
            if self._watch.has_left and self._task is not None:
                self._task.uncancel()
                raise ClientGone from None
            # The server is stopping and its patience is over.
            gone = Unavailable("the server is stopping; repeat the call", reason="SHUTTING_DOWN")
            await self.end(CallFailed(gone, self._call.request_id))
            raise
        except Cancelled:
            # The end of the answer was not taken.
            self._check_reader()
            raise
        finally:
            self._close()
        if not self.is_received:
            await take_rest(self._receive)

    def through_chain(self) -> Awaitable[Any]:
        """Run the call of one request and one reply; raises CallFailed."""
        self._call.read, self._call.encoder = self.read, self.encode
        return self._served.chain.unary(self._call)

    def _check_reader(self) -> None:
        if self._watch.has_left:
            raise ClientGone from None
        if self._stalled:
            raise ConnectionAbortedError("the reader took nothing for 30 s") from None

    def decoded(self, payload: Any) -> Message:
        """A request message; raises CohortLensError for JSON that is none, DecodeError for Protobuf."""
        if not isinstance(payload, JsonText):
            return self._method.input_class.FromString(payload)
        message, routes = self._method.input_class(), self._served.routes
        codecs = routes.lenient if headers.wants_lenient(self._request.head) else routes.strict
        try:
            codecs.parse(message, payload.text)
        except JsonFault as fault:
            raise refuse(fault) from None
        return message

    def payload(self, text: bytes) -> Any:
        """A request as the chain takes it."""
        return JsonText(text) if self.is_json else text

    def serialized(self, reply: Message) -> bytes:
        """The bytes of a reply."""
        if self.is_json:
            return self._served.routes.strict.print(reply)
        return bytes(reply.SerializeToString())

    def gone(self) -> Cancelled:
        """Note that the caller left in the middle of its request."""
        self._watch.has_left = True
        return Cancelled("the connection was closed before the body was complete")

    def request_over(self) -> None:
        """Note that the request is complete; from soon on the caller's leaving cancels the call."""
        self.is_received = True
        self._watch.begin()

    def own_headers(self) -> HeaderList:
        """The headers of every answer: the chain's, and what browsers must keep to."""
        own = [(name.encode("ascii"), value.encode("ascii", "replace")) for name, value in self._pairs()]
        own += [*SECURITY_HEADERS, JSON_POLICY]
        if not self.is_received and self._request.sends_much():
            own.append((b"connection", b"close"))
        return own

    def _pairs(self) -> list[tuple[str, str]]:
        # A call by POST is nothing that a cache may keep, whatever the method says of its GET.
        return [one for one in self._call.response_headers if one[0] != "cache-control"]

    async def put(self, event: dict[str, Any]) -> None:
        """Send an event, waiting while the caller does not read.

        Raises:
            Cancelled: It took nothing for 30 s.
        """
        try:
            async with asyncio.timeout(STALLED_S):
                await self._send(event)
        except TimeoutError:
            self._stalled = True
            raise Cancelled("the reader took nothing for 30 s") from None

    def _close(self) -> None:
        self._watch.close()
        # Call and exchange hold each other; apart, they are freed at once.
        self._call.read = self._call.encoder = None
