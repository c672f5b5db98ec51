"""Spans of this process, when somebody collects them; nothing at all when nobody does.

``begin`` turns them on where COHORTLENS_OTLP_ENDPOINT is set, and only then is OpenTelemetry imported. A
trace goes on through ``traceparent`` (W3C Trace Context): ``CURRENT`` holds that of the span at hand, and
whatever leaves the process takes it along.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Protocol, TypeAlias

from cohortlens.core.settings import TracedConfig

Value: TypeAlias = str | int | float | bool

TRACEPARENT = "traceparent"
"""Name of the header, the metadata entry and the member of an event's payload that carry a trace on."""

CURRENT: ContextVar[str] = ContextVar("traceparent", default="")
"""``traceparent`` of the span at hand; empty outside of any, and always while tracing is off."""

_CLOSE_S = 5.0


class Kind(Enum):
    """What a span is of, as OpenTelemetry tells them apart."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    CONSUMER = "consumer"


class Span(Protocol):
    """Work under way.

    Attributes:
        traceparent: What makes other spans its children.
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
    """

    traceparent: str
    trace_id: str
    span_id: str

    def set(self, name: str, value: Value) -> None:
        """Say something of the work."""

    def fail(self, what: str) -> None:
        """Say that it failed by a fault of ours: a code, a reason or the name of an error."""

    def end(self) -> None:
        """The work is over; nothing here waits for anybody."""


class Tracer(Protocol):
    """Makes spans and hands them on."""

    def start(self, name: str, kind: Kind, parent: str, attributes: Mapping[str, Value]) -> Span:
        """Begin a span.

        Args:
            name: Name of the work, of few different ones.
            kind: What it is of.
            parent: ``traceparent`` of what caused it; empty for the first span of a trace.
            attributes: What is known of it already.
        """

    def close(self) -> None:
        """Send what waits, and end."""

    def give_up(self) -> None:
        """Send nothing more: what still waits is lost."""


class _State:
    tracer: Tracer | None = None


def begin(config: TracedConfig, process: str) -> None:
    """Send the spans of this process to the collector that the settings name; do nothing if they name none.

    Args:
        config: Settings without faults.
        process: ``gateway``, ``jobs`` or ``web3``.
    """
    if config.otlp_endpoint:
        from cohortlens.core.otlp import OtlpTracer  # noqa: PLC0415 - costs memory and a second

        use(OtlpTracer(config.otlp_endpoint, config.otlp_ratio, process))


def use(tracer: Tracer | None) -> None:
    """Let ``tracer`` make the spans of this process from now on; None for nobody."""
    _State.tracer = tracer


def is_on() -> bool:
    """Whether anybody collects spans; settled before the parts of a process are made."""
    return _State.tracer is not None


def end() -> None:
    """Send what waits, for at most five seconds; blocks, so not for an event loop that has work."""
    tracer, _State.tracer = _State.tracer, None
    if tracer is not None:
        # A collector that hangs must not keep the process: nobody waits for a daemon.
        closing = threading.Thread(target=tracer.close, name="spans", daemon=True)
        closing.start()
        closing.join(_CLOSE_S)
        tracer.give_up()


@contextmanager
def span(
    name: str,
    kind: Kind = Kind.INTERNAL,
    attributes: Mapping[str, Value] | None = None,
    *,
    parent: str | None = None,
    faults: bool = True,
) -> Iterator[Span | None]:
    """A span around the work inside; None while tracing is off.

    Args:
        name: Name of the work.
        kind: What it is of.
        attributes: What is known of it.
        parent: ``traceparent`` of what caused it, empty for nothing; the span at hand when None.
        faults: Whether what is raised inside is a fault of the work; else the work says so itself.
    """
    tracer = _State.tracer
    if tracer is None:
        yield None
        return
    begun = tracer.start(name, kind, CURRENT.get() if parent is None else parent, attributes or {})
    token = CURRENT.set(begun.traceparent)
    try:
        yield begun
    except BaseException as error:
        if faults:
            begun.fail(type(error).__name__)
        raise
    finally:
        CURRENT.reset(token)
        begun.end()


def rpc(path: str) -> dict[str, Value]:
    """Attributes of a call of a method, by the names of OpenTelemetry's conventions for RPC.

    Args:
        path: ``/<service>/<method>``.
    """
    service, _, method = path.removeprefix("/").partition("/")
    # Conventions of 2026 say rpc.system.name; tools that know the older word look for rpc.system.
    return {"rpc.system": "grpc", "rpc.system.name": "grpc", "rpc.service": service, "rpc.method": method}


def metadata() -> tuple[tuple[str, str], ...]:
    """What a gRPC call takes along so that its server's spans join the trace; nothing outside of any."""
    parent = CURRENT.get()
    return ((TRACEPARENT, parent),) if parent else ()
