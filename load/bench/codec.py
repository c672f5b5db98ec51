"""What the JSON codec costs: ``make bench-codec`` prints each figure beside its budget.

Times are CPU time of the thread, the median of many short runs, so that a busy machine changes little. The
other side of the comparison is ``google.protobuf.json_format`` on the same text. The pause is what a task
that only wants to run every millisecond meets while large bodies are decoded: the CPU time that this process
takes between two turns of the loop, so that other processes do not count.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format

from cohortlens.cli.output import table
from cohortlens.v1 import analytics_pb2
from gateway.composition import public_table
from gateway.graphql.schema import build_schema
from gateway.http.binding import RawRequest
from gateway.http.codec import Codecs
from gateway.http.comments import Comments
from gateway.http.openapi import build_document, render_document
from gateway.http.routes import RouteTable, build_routes
from gateway.interceptors.chain import Call
from gateway.interceptors.validate import LARGE_BYTES, ValidateStep

DOUBLES: Final = 500
TOLERANCE: Final = 1.25
_METHOD: Final = "/cohortlens.v1.AnalyticsService/Predict"
_KIB, _MIB = 1024, 1024 * 1024
_CALLS, _STARTS = 20, 3
_AT_START: Final = "start"


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        name: What was measured.
        value: The figure, in ``unit``.
        unit: Its unit.
        budget: The most it may be, or the least when ``at_least``.
        at_least: Whether more is better.
    """

    name: str
    value: float
    unit: str
    budget: float
    at_least: bool = False

    @property
    def missed(self) -> bool:
        """Whether it misses its budget by more than the tolerance of 25 %."""
        if self.at_least:
            return self.value * TOLERANCE < self.budget
        return self.value > self.budget * TOLERANCE

    def row(self) -> list[str]:
        """Its line of the table."""
        sign = ">=" if self.at_least else "<="
        kept = self.value >= self.budget if self.at_least else self.value <= self.budget
        said = "kept" if kept else "MISSED" if self.missed else "missed by less than 25 %"
        return [self.name, f"{self.value:.4g} {self.unit}", f"{sign} {self.budget:g} {self.unit}", said]


def main() -> int:
    """Measure, print the table; 1 when a budget is missed by more than 25 %."""
    figures = [*_doubles(), *_large(), _start()]
    sys.stdout.write(table([one.row() for one in figures], ["figure", "measured", "budget", ""]) + "\n")
    return int(any(one.missed for one in figures))


def _doubles() -> list[Figure]:
    chance = random.Random(1)
    message = analytics_pb2.PredictRequest()
    message.vectors.add().values.extend(chance.uniform(-1000, 1000) for _ in range(DOUBLES))
    text, codecs = json_format.MessageToJson(message, indent=None).encode(), Codecs()
    read = _cpu_us(lambda: codecs.parse(analytics_pb2.PredictRequest(), text))
    written = _cpu_us(lambda: codecs.print(message))
    read_theirs = _cpu_us(lambda: json_format.Parse(text, analytics_pb2.PredictRequest()))
    written_theirs = _cpu_us(lambda: json_format.MessageToJson(message, indent=None))
    return [
        Figure(f"{DOUBLES} doubles in", read, "us", 120),
        Figure(f"{DOUBLES} doubles out", written, "us", 60),
        Figure("in: json_format / ours", read_theirs / read, "x", 3, at_least=True),
        Figure("out: json_format / ours", written_theirs / written, "x", 3, at_least=True),
    ]


def _cpu_us(call: Callable[[], Any], rounds: int = 60) -> float:
    """CPU time of one call in microseconds, the median over rounds of 20 calls."""
    found = []
    for _ in range(rounds):
        began = time.thread_time_ns()
        for _ in range(_CALLS):
            call()
        found.append((time.thread_time_ns() - began) / _CALLS / 1000)
    return statistics.median(found)


def _large() -> list[Figure]:
    methods = public_table(with_reflection=False)
    routes, step = build_routes(methods), ValidateStep(methods)
    body = _body(_MIB)
    mib_ms = _cpu_us(lambda: routes.strict.parse(analytics_pb2.PredictRequest(), body), 5) / 1000
    figures = [Figure("1 MiB of doubles in", mib_ms, "ms", 20)]
    for size in (LARGE_BYTES, _MIB, 4 * _MIB - _KIB):
        pause_ms = asyncio.run(_pause_ms(routes, step, _body(size)))
        figures.append(Figure(f"longest pause of the loop, bodies of {size // _KIB} KiB", pause_ms, "ms", 50))
    return figures


def _body(size: int) -> bytes:
    """A request of at most 1,000 vectors, of nearly ``size`` bytes."""
    chance = random.Random(2)
    each = size // 1000 // 20
    vectors = [{"values": [chance.uniform(-1000, 1000) for _ in range(each)]} for _ in range(1000)]
    text = json.dumps({"task": "PREDICTION_TASK_SPEND", "vectors": vectors}, separators=(",", ":")).encode()
    assert 0.75 * size < len(text) <= size, (len(text), size)
    return text


async def _pause_ms(routes: RouteTable, step: ValidateStep, body: bytes) -> float:
    """The most CPU milliseconds between two turns of the loop while eight bodies are decoded."""
    route = next(one for one in routes.routes if one.method.full_name == _METHOD)

    async def one() -> None:
        call = Call("http", route.method, {}, decoder=route.binding.decode)

        async def read() -> RawRequest:
            call.request_bytes = len(body)
            return RawRequest((), "", body, "application/json")

        async def served(done: Call) -> None:
            assert done.request is not None

        call.read = read
        await step(call, served)

    work = asyncio.gather(*(one() for _ in range(8)))
    longest, last = 0.0, time.process_time()
    while not work.done():
        await asyncio.sleep(0.001)
        now = time.process_time()
        longest, last = max(longest, now - last), now
    await work
    return longest * 1000


def _start() -> Figure:
    """CPU time until codecs, routes, OpenAPI and GraphQL are made, in a fresh process, the best of three."""
    command = [sys.executable, "-m", "load.bench.codec", _AT_START]
    runs = [float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout) for _ in range(_STARTS)]
    return Figure("codecs, routes, OpenAPI, GraphQL made at start", min(runs), "s", 1.5)


def _start_s() -> float:
    """CPU seconds in which this process makes all that doors make at start."""
    methods = public_table(with_reflection=True)
    began = time.process_time()
    routes, comments = build_routes(methods), Comments.load()
    for method in methods:
        for codecs in (routes.strict, routes.lenient):
            codecs.of(method.descriptor.input_type)
            codecs.of(method.descriptor.output_type)
    render_document(build_document(routes.routes, "0", comments))
    build_schema(methods, comments)
    return time.process_time() - began


if __name__ == "__main__":
    if _AT_START in sys.argv[1:]:
        sys.stdout.write(f"{_start_s()}\n")
    else:
        sys.exit(main())
