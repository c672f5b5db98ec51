"""Writes one log line and the metrics of each call; sees the final code of everything inside."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message

from cohortlens import __version__
from cohortlens.core import telemetry
from cohortlens.core.counting import Tally
from cohortlens.core.errors import Code
from cohortlens.core.scrubbing import scrub
from gateway.interceptors.chain import Call, MethodInfo, Proceed
from gateway.interceptors.errors import HTTP_STATUS

_LOG = telemetry.get_logger(__name__)
_AGENT_CHARACTERS = 120
_REMEMBERED = 4096
_TIMED = 16
"""Of how many calls of a method one has its reading and writing timed."""


class _Series:
    """The series of one method through one door, and what its lines have in common.

    Looking labels up and writing the same text again would cost more than the rest of the step.
    """

    def __init__(self, method: MethodInfo, door: str) -> None:
        labels = (method.kind, method.service, method.name)
        self.started = telemetry.RPC_STARTED.labels(*labels)
        self.seconds = telemetry.RPC_SECONDS.labels(*labels)
        self.received = telemetry.MSG_RECEIVED.labels(*labels)
        self.sent = telemetry.MSG_SENT.labels(*labels)
        self.bytes_in = telemetry.PAYLOAD_BYTES.labels(door, "in")
        self.bytes_out = telemetry.PAYLOAD_BYTES.labels(door, "out")
        self.read = telemetry.CODEC_SECONDS.labels(door, "in")
        self.written = telemetry.CODEC_SECONDS.labels(door, "out")
        self.open = telemetry.STREAM_OPEN.labels(door)
        self.streams = method.client_streaming or method.server_streaming
        self.turn = 0
        self.calls = telemetry.DOOR_CALLS.labels(door)
        self.inflight = telemetry.INFLIGHT.labels(door)
        self._handled: dict[Code, Tally] = {}
        self._make_handled: Callable[[Code], Tally] = lambda code: telemetry.RPC_HANDLED.labels(
            *labels, code.name
        )
        self.called = (
            f'"door":{json.dumps(door)},"method":"{method.full_name}","version":{json.dumps(__version__)}'
        )
        self.has_status = door != "grpc"
        self.rate_class = f'"rate_class":"{method.policy.rate_class.name.lower()}"'
        self.level = logging.DEBUG if method.policy.quiet else logging.INFO

    def handled(self, code: Code) -> Tally:
        """Calls that ended with ``code``."""
        found = self._handled.get(code)
        if found is None:
            found = self._handled[code] = self._make_handled(code)
        return found


class ObserveStep:
    """Counts, times and logs."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], _Series] = {}

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Run the rest, then record how it ended, cancellation included."""
        key = (call.method.full_name, call.door)
        series = self._series.get(key) or self._series.setdefault(key, _Series(call.method, call.door))
        series.started.value += 1
        series.calls.value += 1
        series.inflight.value += 1
        series.turn += 1
        times = _Times(call) if series.turn % _TIMED == 0 else None
        if series.streams:
            series.open.value += 1
            _count_messages(call, series)
        try:
            await proceed(call)
        finally:
            _record(call, series)
            if times is not None:
                times.record(series)


def _record(call: Call, series: _Series) -> None:
    """Count how a call ended, and write its line."""
    seconds = time.monotonic() - call.started
    series.inflight.value -= 1
    series.seconds.observe(seconds)
    series.handled(call.code).value += 1
    is_well = call.failure is None
    if series.streams:
        series.open.value -= 1
    # A stream's messages were counted as they came.
    if not call.method.client_streaming and call.request is not None:
        series.received.value += 1
    if not call.method.server_streaming and is_well:
        series.sent.value += 1
    series.bytes_in.observe(call.request_bytes)
    if call.response_bytes:
        # A stream over HTTP is measured by its door after this.
        series.bytes_out.observe(call.response_bytes)
    if call.principal is not None:
        telemetry.TENANT_CALLS.inc(call.principal.tenant_text)
    if call.failure is not None:
        telemetry.ERRORS.labels(call.failure.error.reason).inc()
    level = logging.ERROR if HTTP_STATUS[call.code] >= 500 else series.level
    if _LOG.enabled(level):
        _LOG.call(level, _members(call, series, seconds))


def _count_messages(call: Call, series: _Series) -> None:
    """Count each message of a stream as it comes and goes."""
    payloads, send = call.payloads, call.send

    async def counted(inner: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for payload in inner:
            series.received.value += 1
            yield payload

    async def sending(message: Message) -> None:
        assert send is not None
        await send(message)
        series.sent.value += 1

    if payloads is not None:
        call.payloads = counted(payloads)
    if send is not None:
        call.send = sending


class _Times:
    """Times what reads and writes the messages of one call; counted at its end, in the thread of the loop."""

    def __init__(self, call: Call) -> None:
        self._read = self._written = 0.0
        self._decoder, call.decoder = call.decoder, self._decode
        self._encoder = call.encoder
        if call.encoder is not None:
            call.encoder = self._encode

    def _decode(self, payload: Any) -> Message:
        started = time.perf_counter()
        message = self._decoder(payload)
        self._read += time.perf_counter() - started
        return message

    def _encode(self, message: Message) -> bytes:
        assert self._encoder is not None
        started = time.perf_counter()
        text = self._encoder(message)
        self._written += time.perf_counter() - started
        return text

    def record(self, series: _Series) -> None:
        """Count what was timed; nothing for what was not reached."""
        if self._read:
            series.read.observe(self._read)
        if self._written:
            series.written.observe(self._written)


def _members(call: Call, series: _Series, seconds: float) -> str:
    """The fields of the line of a call as the inside of a JSON object.

    Only the user agent can hold anything; the rest is ours, or was checked to need no escape.
    """
    line = (
        f'"request_id":"{call.request_id}","trace_id":"{call.trace_id}",{series.called},'
        f'"code":"{call.code.name}","latency_ms":{seconds * 1000:.3f},'
        f'"deadline_ms":{round((call.deadline - call.started) * 1000)},'
        f'"request_bytes":{call.request_bytes},"response_bytes":{call.response_bytes},'
        f'{series.rate_class},"client_ip":{_quoted_ip(call.peer)}'
    )
    if call.principal is not None:
        line += (
            f',"tenant_id":"{call.principal.tenant_text}","principal_id":"{call.principal.id_text}"'
            f',"principal_kind":"{call.principal.kind}"'
        )
    if series.has_status:
        line += f',"route":{_quoted(call.route)},"http_status":{HTTP_STATUS[call.code]}'
    if call.span_id:
        line += f',"span_id":"{call.span_id}"'
    if call.is_replayed:
        line += ',"replayed":true'
    asked = telemetry.AT_WORKERS.get()
    if asked is not None:
        line += _at_workers(*asked)
    if call.failure is not None:
        line += f',"reason":"{call.failure.error.reason}"'
    agent = call.header("user-agent")
    return f'{line},"user_agent":{_quoted(agent)}' if agent else line


def _at_workers(queued: float, sent: float, done: float) -> str:
    # Several calls may run in one task, as those of one connection do: the next one asks for itself.
    telemetry.AT_WORKERS.set(None)
    now = time.monotonic()
    sent = sent or now
    return f',"queue_ms":{(sent - queued) * 1000:.3f},"worker_ms":{((done or now) - sent) * 1000:.3f}'


@lru_cache(_REMEMBERED)
def _quoted(agent: str) -> str:
    return json.dumps(scrub(agent)[:_AGENT_CHARACTERS])


@lru_cache(_REMEMBERED)
def _quoted_ip(address: str) -> str:
    return json.dumps(shown_ip(address))


def shown_ip(address: str) -> str:
    """An address as logs may hold it: the /24 of IPv4, the /48 of IPv6, empty when it is neither."""
    parts = address.split(".")
    if len(parts) == 4:
        return ".".join([*parts[:3], "0"])
    if ":" in address:
        return ":".join(address.split(":")[:3]) + "::"
    return ""
