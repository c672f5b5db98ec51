"""Health: alive, ready, and what the process depends on.

Checks come in as named coroutines, so that this module knows no service. They run side by side, a second
each, and their results are kept for two seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from prometheus_client import Gauge

from cohortlens.core import telemetry
from gateway.http.headers import JSON, NO_STORE
from gateway.http.query import query_pairs
from gateway.http.replies import Response, failure
from gateway.http.requests import Request
from gateway.interceptors.chain import Call, CallFailed, Chain

CHECK_TIMEOUT_S: Final = 1.0
CACHE_S: Final = 2.0

_LOG = telemetry.get_logger(__name__)
_UP = Gauge("dependency_up", "1 while a dependency answers its check", ("name",), registry=telemetry.REGISTRY)
_CHECK_SECONDS = Gauge(
    "dependency_check_seconds", "Seconds the last check took", ("name",), registry=telemetry.REGISTRY
)


@dataclass(frozen=True)
class Finding:
    """What a check that got an answer found.

    Attributes:
        mode: How the dependency is run, such as ``embedded``; empty when that says nothing.
        degraded: Whether it answers, but not with all it should have.
        replicas: Live replicas by deployment, for workers.
    """

    mode: str = ""
    degraded: bool = False
    replicas: dict[str, int] | None = None


@dataclass(frozen=True)
class Check:
    """One dependency.

    Attributes:
        name: postgres, migrations, redis, workers, jobs, ...
        probe: Asks the dependency; raises when it does not answer.
        required: Whether the process cannot work without it; the others only degrade.
        grace_s: Seconds it may fail before the process says it is not ready.
    """

    name: str
    probe: Callable[[], Awaitable[Finding]]
    required: bool = False
    grace_s: float = 0.0


@dataclass
class _Result:
    status: str = "down"
    latency_ms: int = 0
    finding: Finding = field(default_factory=Finding)


class HealthMonitor:
    """Runs the checks and answers the health paths.

    Args:
        checks: The dependencies.
        serving: Whether the process takes calls: started, not draining.
        version: Version of the code.
    """

    def __init__(self, checks: Sequence[Check], serving: Callable[[], bool], version: str) -> None:
        self._checks, self._serving, self._version = list(checks), serving, version
        self._started = time.monotonic()
        self._results: dict[str, _Result] = {}
        self._failing_since: dict[str, float] = {}
        self._checked_at = -CACHE_S
        self._lock = asyncio.Lock()

    async def results(self) -> dict[str, _Result]:
        """Result of every check by name, at most two seconds old."""
        async with self._lock:
            if time.monotonic() - self._checked_at >= CACHE_S:
                found = await asyncio.gather(*map(self._run, self._checks))
                self._results = {check.name: one for check, one in zip(self._checks, found, strict=True)}
                self._checked_at = time.monotonic()
            return self._results

    async def _run(self, check: Check) -> _Result:
        begun, result = time.monotonic(), _Result()
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                result.finding = await check.probe()
            result.status = "degraded" if result.finding.degraded else "ok"
        except TimeoutError:
            result.status = "degraded"
        except Exception as error:
            _LOG.warning("check_failed", check=check.name, error=type(error).__name__)
        seconds = time.monotonic() - begun
        result.latency_ms = round(seconds * 1000)
        if result.status == "ok":
            self._failing_since.pop(check.name, None)
        else:
            self._failing_since.setdefault(check.name, begun)
        _UP.labels(check.name).set(result.status == "ok")
        _CHECK_SECONDS.labels(check.name).set(seconds)
        return result

    async def livez(self, _: Request) -> Response:
        """200 while the loop turns; touches no dependency."""
        return _json(200, {"status": "ok"})

    async def missing(self) -> list[str]:
        """Names of what keeps the process from being ready; empty when nothing does."""
        missing = [] if self._serving() else ["process"]
        results, moment = await self.results(), time.monotonic()
        for check in self._checks:
            failing = self._failing_since.get(check.name)
            bad = results[check.name].status != "ok" and failing is not None
            if check.required and bad and failing is not None and moment - failing >= check.grace_s:
                missing.append(check.name)
        return missing

    async def readyz(self, _: Request) -> Response:
        """200, or 503 with the names of what is missing."""
        if missing := await self.missing():
            return _json(503, {"status": "not_ready", "missing": missing})
        return _json(200, {"status": "ready"})

    async def report(self, _: Request) -> Response:
        """What every check says: names, states, modes; no address, no error text, no version."""
        results = await self.results()
        down = any(check.required and results[check.name].status == "down" for check in self._checks)
        all_ok = all(one.status == "ok" for one in results.values())
        status = "down" if down else "ok" if all_ok else "degraded"
        body = {
            "status": status,
            "version": self._version,
            "uptimeS": round(time.monotonic() - self._started, 3),
            "checks": [_shown(check, results[check.name]) for check in self._checks],
        }
        return _json(503 if down else 200, body)


HEALTH_CHECK: Final = "/grpc.health.v1.Health/Check"
_SERVING_STATUS: Final = {0: 503, 1: 200, 2: 503, 3: 404}


def healthz_page(chain: Chain) -> Callable[[Request], Awaitable[Response]] | None:
    """``GET /healthz?service=``: gRPC health over HTTP; None when the chain has no health service.

    SERVING is 200, NOT_SERVING and UNKNOWN 503, SERVICE_UNKNOWN 404; a failed call has its code's status.
    """
    method = chain.table.get(HEALTH_CHECK)
    if method is None:
        return None

    async def answer(request: Request) -> Response:
        names = [value for name, value in query_pairs(request.query) if name == "service"]
        asked = method.input_class(service=names[0] if names else "")
        call = Call("http", method, {}, peer=request.peer, decoder=lambda _: asked)
        try:
            reply: Any = await chain.unary(call, None)
        except CallFailed as failed:
            return failure(failed.error, failed.request_id, problem=False, headers=[])
        name = type(reply).ServingStatus.Name(reply.status)
        return _json(_SERVING_STATUS.get(reply.status, 503), {"status": name})

    return answer


def _shown(check: Check, result: _Result) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": check.name,
        "status": result.status,
        "latencyMs": result.latency_ms,
        "required": check.required,
    }
    if result.finding.mode:
        shown["mode"] = result.finding.mode
    if result.finding.replicas is not None:
        shown["replicas"] = result.finding.replicas
    return shown


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(status, JSON, orjson.dumps(body), [NO_STORE])
