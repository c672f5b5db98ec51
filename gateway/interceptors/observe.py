"""Step 2: one log line and the metrics of each call; sees the final code of everything inside."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from cohortlens.core import telemetry
from cohortlens.core.errors import Code
from gateway.interceptors.chain import Call, MethodInfo, Proceed
from gateway.interceptors.errors import HTTP_STATUS

_LOG = telemetry.get_logger(__name__)
_AGENT_CHARACTERS = 120


@dataclass
class _Series:
    """The series of one method; looking labels up costs more than the rest of the step."""

    method: MethodInfo
    started: Counter
    seconds: Histogram
    handled: dict[Code, Counter] = field(default_factory=dict)

    def count(self, code: Code) -> None:
        """Count one ended call."""
        counter = self.handled.get(code)
        if counter is None:
            counter = self.handled[code] = telemetry.RPC_HANDLED.labels(*_labels(self.method), code.name)
        counter.inc()


class ObserveStep:
    """Counts, times and logs."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}
        self._doors: dict[str, tuple[Counter, Gauge]] = {}

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Run the rest, then record how it ended, cancellation included."""
        series = self._series.get(call.method.full_name) or self._make_series(call.method)
        calls, inflight = self._doors.get(call.door) or self._make_door(call.door)
        series.started.inc()
        calls.inc()
        inflight.inc()
        try:
            await proceed(call)
        finally:
            inflight.dec()
            seconds = time.monotonic() - call.started
            series.seconds.observe(seconds)
            series.count(call.code)
            if call.failure is not None:
                telemetry.ERRORS.labels(call.failure.error.reason).inc()
            _log_call(call, seconds)

    def _make_series(self, method: MethodInfo) -> _Series:
        labels = _labels(method)
        series = _Series(method, telemetry.RPC_STARTED.labels(*labels), telemetry.RPC_SECONDS.labels(*labels))
        return self._series.setdefault(method.full_name, series)

    def _make_door(self, door: str) -> tuple[Counter, Gauge]:
        return self._doors.setdefault(
            door, (telemetry.DOOR_CALLS.labels(door), telemetry.INFLIGHT.labels(door))
        )


def _labels(method: MethodInfo) -> tuple[str, str, str]:
    return method.kind, method.service, method.name


def _level(call: Call) -> int:
    if HTTP_STATUS[call.code] >= 500:
        return logging.ERROR
    return logging.DEBUG if call.method.policy.quiet else logging.INFO


def _log_call(call: Call, seconds: float) -> None:
    level = _level(call)
    if not _LOG.enabled(level):
        return
    fields: dict[str, Any] = {
        "request_id": call.request_id,
        "trace_id": call.trace_id,
        "door": call.door,
        "method": call.method.full_name,
        "code": call.code.name,
        "latency_ms": round(seconds * 1000, 3),
        "deadline_ms": round((call.deadline - call.started) * 1000),
        "request_bytes": call.request_bytes,
        "response_bytes": call.response_bytes,
        "rate_class": call.method.policy.rate_class.name.lower(),
        "client_ip": shown_ip(call.peer),
    }
    if call.principal is not None:
        fields["tenant_id"] = str(call.principal.tenant_id)
        fields["principal_id"] = str(call.principal.user_id)
    if call.failure is not None:
        fields["reason"] = call.failure.error.reason
    agent = call.header("user-agent")
    if agent:
        fields["user_agent"] = agent[:_AGENT_CHARACTERS]
    _LOG.call(level, fields)


def shown_ip(address: str) -> str:
    """An address as logs may hold it: the /24 of IPv4, the /48 of IPv6, empty when it is neither."""
    parts = address.split(".")
    if len(parts) == 4:
        return ".".join([*parts[:3], "0"])
    if ":" in address:
        return ":".join(address.split(":")[:3]) + "::"
    return ""
