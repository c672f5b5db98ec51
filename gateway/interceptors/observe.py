"""Writes one log line and the metrics of each call; sees the final code of everything inside."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from functools import lru_cache

from cohortlens.core import telemetry
from cohortlens.core.counting import Tally
from cohortlens.core.errors import Code
from cohortlens.core.scrubbing import scrub
from gateway.interceptors.chain import Call, MethodInfo, Proceed
from gateway.interceptors.errors import HTTP_STATUS

_LOG = telemetry.get_logger(__name__)
_AGENT_CHARACTERS = 120
_REMEMBERED = 4096


class _Series:
    """The series of one method through one door, and what its lines have in common.

    Looking labels up and writing the same text again would cost more than the rest of the step.
    """

    def __init__(self, method: MethodInfo, door: str) -> None:
        labels = (method.kind, method.service, method.name)
        self.started = telemetry.RPC_STARTED.labels(*labels)
        self.seconds = telemetry.RPC_SECONDS.labels(*labels)
        self.calls = telemetry.DOOR_CALLS.labels(door)
        self.inflight = telemetry.INFLIGHT.labels(door)
        self._handled: dict[Code, Tally] = {}
        self._make_handled: Callable[[Code], Tally] = lambda code: telemetry.RPC_HANDLED.labels(
            *labels, code.name
        )
        self.called = f'"door":{json.dumps(door)},"method":"{method.full_name}"'
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
        try:
            await proceed(call)
        finally:
            seconds = time.monotonic() - call.started
            series.inflight.value -= 1
            series.seconds.observe(seconds)
            series.handled(call.code).value += 1
            if call.failure is not None:
                telemetry.ERRORS.labels(call.failure.error.reason).inc()
            level = logging.ERROR if HTTP_STATUS[call.code] >= 500 else series.level
            if _LOG.enabled(level):
                _LOG.call(level, _members(call, series, seconds))


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
        line += f',"tenant_id":"{call.principal.tenant_text}","principal_id":"{call.principal.id_text}"'
    if call.failure is not None:
        line += f',"reason":"{call.failure.error.reason}"'
    agent = call.header("user-agent")
    return f'{line},"user_agent":{_quoted(agent)}' if agent else line


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
