"""Sends calls on a fixed schedule, whatever the answers do, and tells two latencies of each.

A closed user waits for a slow answer before it asks again, so it sends least when the service is worst and
never sees what real callers would have waited. Here every call has its intended start: *service time* counts
from the real one, *from intended start* also what the call came too late because of this driver. A run in
which more than 1 % of the starts were over 10 ms late says nothing about the service and is invalid.

``python -m load.open_loop --door grpc|http --rate 500 --seconds 30 [--json]`` drives the running local stack.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import uvloop

from cohortlens.v1 import analytics_pb2, analytics_pb2_grpc
from load.histogram import Histogram
from load.settings import LoadTarget

EXIT_FAILED, EXIT_INVALID = 1, 3
LATE_S, LATE_SHARE = 0.010, 0.01
DEADLINE_S = 5.0
_LIMITED = "RESOURCE_EXHAUSTED"
_TIMED_OUT = "DEADLINE_EXCEEDED"

Ask = Callable[[], Awaitable[str]]
"""One call; returns OK or the name of its canonical code, never raises."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call went.

    Attributes:
        at_s: Intended start, seconds after that of the first call.
        seconds: From the intended start to the answer.
        code: OK or the name of the canonical code.
    """

    at_s: float
    seconds: float
    code: str


@dataclass
class Report:
    """What a run saw after its warm-up.

    Attributes:
        rate: Calls per second that were scheduled.
        service: Time from the real start.
        intended: Time from the intended start.
        codes: Calls by code.
        late: Starts over 10 ms late.
        outcomes: Every call, in order of intended start.
    """

    rate: float
    service: Histogram = field(default_factory=Histogram)
    intended: Histogram = field(default_factory=Histogram)
    codes: Counter[str] = field(default_factory=Counter)
    late: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """Calls made."""
        return self.codes.total()

    @property
    def failed(self) -> int:
        """Calls that failed; those refused by a limit (RESOURCE_EXHAUSTED) are told apart."""
        return self.calls - self.codes["OK"] - self.codes[_LIMITED]

    @property
    def is_valid(self) -> bool:
        """Whether the driver kept its schedule."""
        return self.late <= LATE_SHARE * self.calls

    def gap_s(self) -> float:
        """Longest time between two answers that were OK, one after the other."""
        ends = sorted(one.at_s + one.seconds for one in self.outcomes if one.code == "OK")
        return max((b - a for a, b in itertools.pairwise(ends)), default=math.inf)

    def as_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "rate": self.rate,
            "calls": self.calls,
            "failed": self.failed,
            "codes": dict(self.codes),
            "late": self.late,
            "valid": self.is_valid,
            "service_ms": dict(self.service.summary()),
            "intended_ms": dict(self.intended.summary()),
        }

    def table(self) -> str:
        """The report for people."""
        lines = [f"{'':<22}{'p50':>9}{'p90':>9}{'p99':>9}{'p99.9':>9}{'max':>9}"]
        for name, histogram in (("service time, ms", self.service), ("from intended, ms", self.intended)):
            lines.append(f"{name:<22}" + "".join(f"{ms:>9.2f}" for ms in histogram.summary().values()))
        codes = ", ".join(f"{code} {count}" for code, count in sorted(self.codes.items()))
        verdict = "valid" if self.is_valid else "INVALID: the driver was late, ask for a lower rate"
        lines.append(f"{self.calls} calls at {self.rate:g}/s: {codes}; {self.late} late starts: {verdict}")
        return "\n".join(lines)


async def drive(
    ask: Ask, rate: float, seconds: float, *, warm_up_s: float = 5.0, deadline_s: float = DEADLINE_S
) -> Report:
    """Call ``ask`` ``rate`` times a second and report what came after the warm-up.

    Args:
        ask: Makes one call.
        rate: Calls per second.
        seconds: Length of the measured part.
        warm_up_s: Length of what comes before and is not reported.
        deadline_s: Latency that a call which timed out counts with, at least.
    """
    report, pending = Report(rate), set[asyncio.Task[None]]()
    skipped = round(warm_up_s * rate)
    started = time.perf_counter()

    async def one(number: int) -> None:
        intended = started + number / rate
        began = time.perf_counter()
        code = await ask()
        ended = time.perf_counter()
        if number < skipped:
            return
        least = deadline_s if code == _TIMED_OUT else 0.0
        report.late += began - intended > LATE_S
        report.codes[code] += 1
        report.service.record(max(least, ended - began))
        report.intended.record(max(least, ended - intended))
        outcome = Outcome((number - skipped) / rate, max(least, ended - intended), code)
        report.outcomes.append(outcome)

    for number in range(skipped + round(seconds * rate)):
        ahead = started + number / rate - time.perf_counter()
        if ahead > 0:
            await asyncio.sleep(ahead)
        task = asyncio.create_task(one(number))
        pending.add(task)
        task.add_done_callback(pending.discard)
    while pending:
        await asyncio.wait(set(pending))
    report.outcomes.sort(key=lambda outcome: outcome.at_s)
    return report


@asynccontextmanager
async def grpc_vector(target: LoadTarget, deadline_s: float = DEADLINE_S) -> AsyncIterator[Ask]:
    """Predict one vector over gRPC, without retries by the client."""
    request = analytics_pb2.PredictRequest(
        task=analytics_pb2.PREDICTION_TASK_SPEND, vectors=[analytics_pb2.FeatureVector(values=target.vector)]
    )
    async with grpc_predict(target, request, deadline_s) as ask:
        yield ask


@asynccontextmanager
async def grpc_predict(
    target: LoadTarget, request: analytics_pb2.PredictRequest, deadline_s: float = DEADLINE_S
) -> AsyncIterator[Ask]:
    """One Predict over gRPC, without retries by the client.

    Args:
        target: The stack.
        request: What is asked.
        deadline_s: Deadline of each call.
    """
    metadata = (("authorization", f"Bearer {target.token}"),)
    # A list of addresses (ipv4:a,b) names no authority that a server would accept.
    options = [("grpc.enable_retries", 0), ("grpc.default_authority", "localhost")]
    async with grpc.aio.insecure_channel(target.grpc, options=options) as channel:
        stub: Any = analytics_pb2_grpc.AnalyticsServiceStub(channel)

        async def ask() -> str:
            try:
                reply = await stub.Predict(request, timeout=deadline_s, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            asked = len(request.vectors) + len(request.customers)
            return "OK" if len(reply.predictions) == asked else "DATA_LOSS"

        yield ask


@asynccontextmanager
async def http_vector(target: LoadTarget, deadline_s: float = DEADLINE_S) -> AsyncIterator[Ask]:
    """Predict one vector over HTTP and JSON; a status without a canonical code reads ``HTTP_<status>``."""
    values = ["NaN" if math.isnan(value) else value for value in target.vector]
    body = json.dumps({"task": "PREDICTION_TASK_SPEND", "vectors": [{"values": values}]}).encode()
    headers = {"authorization": f"Bearer {target.token}", "content-type": "application/json"}
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
    async with httpx.AsyncClient(base_url=target.http, limits=limits, timeout=deadline_s) as client:

        async def ask() -> str:
            try:
                reply = await client.post("/api/v1/predict", content=body, headers=headers)
            except httpx.TimeoutException:
                return _TIMED_OUT
            except httpx.TransportError:
                return "UNAVAILABLE"
            names = {200: "OK", 429: _LIMITED, 503: "UNAVAILABLE", 504: _TIMED_OUT}
            return names.get(reply.status_code, f"HTTP_{reply.status_code}")

        yield ask


async def _run(target: LoadTarget, options: argparse.Namespace) -> Report:
    door = grpc_vector if options.door == "grpc" else http_vector
    async with door(target) as ask:
        return await drive(ask, options.rate, options.seconds, warm_up_s=options.warm_up)


def main(arguments: list[str]) -> int:
    """Drive the local stack; 0 when all went well, 1 when calls failed, 3 when the run is invalid."""
    from load.smoke import local_target  # noqa: PLC0415 - the driver itself needs no stack of this machine

    parser = argparse.ArgumentParser(prog="load.open_loop")
    parser.add_argument("--door", choices=("grpc", "http"), default="grpc")
    parser.add_argument("--rate", type=float, default=500.0, help="calls per second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds that are not reported")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    report = uvloop.run(_run(local_target(), options))
    sys.stdout.write((json.dumps(report.as_dict()) if options.json else report.table()) + "\n")
    if not report.is_valid:
        return EXIT_INVALID
    return EXIT_FAILED if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
