"""The chain cut after each of its stages: before the cut all is real, behind it an answer comes at once.

A stage is everything up to its cut, so the cost of one is the difference between two neighbours and the
differences add up to the whole. Limits, entitlement and quota let everything past here: ``make bench-limits``
says what they cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import Message

from cohortlens.v1 import analytics_pb2 as pb
from gateway import composition
from gateway.grpc.asgi import GrpcDoor
from gateway.grpc.server import AsgiApp
from gateway.http.app import build_http_app
from gateway.interceptors.chain import ORDER, Call, Chain, MethodTable, Proceed
from gateway.servicers.analytics import AnalyticsServicer
from gateway.servicers.cohorts import CohortsServicer
from gateway.servicers.drift import DriftServicer
from gateway.servicers.explanations import ExplanationsServicer
from gateway.servicers.health import HealthBoard
from gateway.servicers.joined import joined
from gateway.servicers.segmentations import SegmentationsServicer
from load.bench.profile_gateway import Setup

SERVICE = "cohortlens.v1.AnalyticsService"

MakeDoor = Callable[[Chain], AsgiApp]


@dataclass(frozen=True)
class Stage:
    """Everything up to one cut.

    Attributes:
        name: What the last part of it is.
        app: The ASGI application that serves it.
    """

    name: str
    app: AsgiApp


@dataclass(frozen=True)
class Answer:
    """What every cut answers.

    Attributes:
        reply: The reply of the whole call.
        encoded: What the door makes of it.
    """

    reply: Message
    encoded: bytes


class _Cut:
    """A step that reads the request and answers it; nothing behind it runs."""

    def __init__(self, answer: Answer, *, decode: bool = False) -> None:
        self._answer = answer
        self._decode = decode

    async def __call__(self, call: Call, _proceed: Proceed, /) -> None:
        payload = call.payload if call.read is None else await call.read()
        if self._decode:
            call.decode(payload)
        call.reply, call.encoded = self._answer.reply, self._answer.encoded
        call.response_bytes = len(call.encoded)


class _Servicer(AnalyticsServicer):
    """The real servicer; its replies are encoded only when asked, else the known bytes are sent."""

    def __init__(self, services: Any, encoded: bytes | None) -> None:
        super().__init__(services)
        self._encoded = encoded

    async def Predict(  # noqa: N802 - named like its RPC
        self, request: Any, call: Call
    ) -> Any:
        if self._encoded is not None:
            call.encoder = self._known
        return await super().Predict(request, call)

    def _known(self, _reply: Message) -> bytes:
        assert self._encoded is not None
        return self._encoded


class _Constant(AnalyticsServicer):
    """Answers at once."""

    def __init__(self, services: Any, answer: Answer) -> None:
        super().__init__(services)
        self._answer = answer

    async def Predict(  # noqa: N802 - named like its RPC
        self, _request: Any, call: Call
    ) -> Any:
        call.encoder = self._known
        return self._answer.reply

    def _known(self, _reply: Message) -> bytes:
        return self._answer.encoded


class _Recorded:
    """The use case of predictions: asked once, then it repeats its answer."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.made: Any = None

    async def predict(self, *args: Any, **named: Any) -> Any:
        if self.made is None:
            self.made = await self._inner.predict(*args, **named)
        return self.made


class Stages:
    """All cuts of one door.

    Args:
        setup: Services and request.
        door: ``grpc`` or ``http``.
    """

    def __init__(self, setup: Setup, door: str) -> None:
        self._setup = setup
        self._make: MakeDoor = GrpcDoor if door == "grpc" else _http_door
        self._table = MethodTable()
        self._table.add_public_api([pb.DESCRIPTOR])
        self._board = HealthBoard(self._table.services())
        self._recorded = _Recorded(setup.direct.analytics.predictions)
        services = setup.direct
        self._others = (
            ExplanationsServicer(services),
            DriftServicer(services),
            CohortsServicer(services.analytics.cohorts, services.analytics.survival),
            SegmentationsServicer(services),
        )

    def whole(self) -> AsgiApp:
        """The door with nothing cut."""
        return self._make(self._chain(_Servicer(self._setup.batched, None)))

    def cuts(self, bare: AsgiApp, answer: Answer) -> Iterator[Stage]:
        """Every stage in the order of a call, the bare echo first, the whole last."""
        yield Stage("bare ASGI echo", bare)
        servicer = _Constant(self._setup.direct, answer)
        steps = self._chain(servicer).steps
        for done, following in zip(("door", *ORDER), ORDER, strict=False):
            yield Stage(done, self._make(self._chain(servicer, {**steps, following: _Cut(answer)})))
            if following == "validate":
                decoded = {**steps, following: _Cut(answer, decode=True)}
                yield Stage("decode", self._make(self._chain(servicer, decoded)))
        yield Stage(ORDER[-1], self._make(self._chain(servicer)))
        for name, services in (
            ("servicer mapping", self._with_predictions(self._recorded)),
            ("use case", self._setup.direct),
            ("batcher", self._setup.batched),
        ):
            yield Stage(name, self._make(self._chain(_Servicer(services, answer.encoded))))
        yield Stage("reply encode", self.whole())

    def _with_predictions(self, predictions: Any) -> Any:
        direct = self._setup.direct
        return replace(direct, analytics=replace(direct.analytics, predictions=predictions))

    def _chain(self, servicer: AnalyticsServicer, steps: Mapping[str, Any] | None = None) -> Chain:
        verify = self._setup.direct.verifier.verify
        # The table has every method of the service; only Predict is called.
        servicers = {SERVICE: joined(servicer, *self._others)}
        chain = composition.make_chain(self._table, servicers, verify, self._board)
        return chain if steps is None else Chain(self._table, servicers, steps)


def _http_door(chain: Chain) -> AsgiApp:
    return build_http_app(chain, [], lambda: True)
