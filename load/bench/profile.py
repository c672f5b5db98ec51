"""``make profile-serving``: what each stage of a Predict by vector costs the gateway, in microseconds of CPU.

The gateway runs in this process, h2load in another, and the CPU time of this process is divided by the calls
it answered. The chain is cut after each stage in turn; the stages of one round follow one another, and each
shows the least of its rounds, so other work on the machine disturbs all of them alike and little.
Exit code 0 done, 1 a call failed, 2 bad input.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import orjson
import uvloop

from cohortlens.cli.output import table
from cohortlens.core.telemetry import configure_logging
from cohortlens.v1 import analytics_pb2 as pb
from gateway.grpc.server import AsgiApp, asgi_server, listen
from gateway.http.codec import Codecs
from load.bench.contestants import JSON_HEADERS, PREDICT
from load.bench.h2load import Endpoint, grpc_endpoint, require_h2load
from load.bench.profile_bare import bare_echo
from load.bench.profile_direct import drive_directly
from load.bench.profile_gateway import Setup, prepared
from load.bench.profile_running import measure_running
from load.bench.profile_stages import Answer, Stage, Stages

_GC_THRESHOLDS = (20_000, 10, 10)  # as gateway/app.py sets them
_LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


class Switch:
    """An ASGI application that stands for whichever stage is measured now."""

    def __init__(self) -> None:
        self.app: AsgiApp | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        assert self.app is not None
        await self.app(scope, receive, send)


def main() -> int:
    """Measure and print one table per door; returns the exit code."""
    asked = _arguments()
    require_h2load()
    if asked.running:
        sys.stdout.write(f"{measure_running(asked.rows, asked.clients)}\n")
        return 0
    with tempfile.TemporaryFile("w") as log:
        # A real file: a line costs what it costs in production.
        configure_logging(stream=log, encode=_json_line)
        with asyncio.Runner(loop_factory=_LOOPS[asked.loop]) as runner:
            runner.run(_measure(asked))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="profile-serving", description="CPU of a call, stage by stage.")
    parser.add_argument("--door", choices=("grpc", "http", "both"), default="both", help="door to measure")
    parser.add_argument("--rows", type=int, default=1, help="vectors per call")
    parser.add_argument("--clients", type=int, default=16, help="connections of h2load")
    parser.add_argument("--calls", type=int, default=4000, help="calls per stage and round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; each stage shows its least")
    parser.add_argument("--loop", choices=tuple(_LOOPS), default="uvloop", help="event loop")
    parser.add_argument("--until", default="", help="measure no stage after the one of this name")
    parser.add_argument("--direct", action="store_true", help="call the application without a socket")
    parser.add_argument("--running", action="store_true", help="measure the running stack as a whole instead")
    asked = parser.parse_args()
    if not (
        1 <= asked.rows <= 1000 and asked.clients > 0 and asked.calls >= asked.clients and asked.rounds > 0
    ):
        parser.error("--rows is 1 to 1000; --clients, --rounds above 0; --calls at least --clients")
    return asked


async def _measure(asked: argparse.Namespace) -> None:
    switch = Switch()
    listener = listen("127.0.0.1", 0, "the port of the profile")
    port = listener.getsockname()[1]
    server = asgi_server(switch, [listener], 5.0)
    serving = asyncio.create_task(server.serve())
    await server.wait_started()
    try:
        async with prepared(asked.rows) as setup:
            for door in ("grpc", "http") if asked.door == "both" else (asked.door,):
                figures = await _door(setup, door, switch, port, asked)
                sys.stdout.write(f"{_shown(door, figures, asked)}\n\n")
                sys.stdout.flush()
    finally:
        server.shutdown()
        await serving
        listener.close()


async def _door(
    setup: Setup, door: str, switch: Switch, port: int, asked: argparse.Namespace
) -> list[tuple[str, float]]:
    """Least microseconds of CPU per call up to and with each stage."""
    stages = Stages(setup, door)
    switch.app = stages.whole()
    reply = await asyncio.to_thread(_ask, port, setup.request, await setup.token(), door)
    encoded = _framed(reply.SerializeToString()) if door == "grpc" else Codecs().print(reply)
    cuts = list(stages.cuts(bare_echo(door, encoded), Answer(reply, encoded)))
    names = [one.name for one in cuts]
    if asked.until and asked.until not in names:
        raise SystemExit(f"error STAGE_UNKNOWN: {asked.until}\nnext: give one of {', '.join(names)}")
    cuts = cuts[: names.index(asked.until) + 1 if asked.until else None]
    least = [math.inf] * len(cuts)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    for round_number in range(asked.rounds + 1):
        endpoint = _endpoint(door, port, setup.request, await setup.token())
        for index, stage in enumerate(cuts):
            switch.app = stage.app
            if round_number == 0:
                await _checked(stage, endpoint, port, setup, reply, door)
            calls = asked.calls if round_number else asked.clients * 20
            if asked.direct:
                spent = await drive_directly(stage.app, endpoint, asked.clients, calls)
            else:
                spent = await _drive(endpoint, asked.clients, calls)
            if round_number:
                least[index] = min(least[index], spent * 1e6 / calls)
    return [(stage.name, cost) for stage, cost in zip(cuts, least, strict=True)]


async def _checked(
    stage: Stage, endpoint: Endpoint, port: int, setup: Setup, reply: pb.PredictResponse, door: str
) -> None:
    """A real client must get the answer of the whole from every stage: h2load would not see an error."""
    token = endpoint.headers[-1].removeprefix("authorization: Bearer ")
    found = await asyncio.to_thread(_ask, port, setup.request, token, door)
    if [one.value for one in found.predictions] != [one.value for one in reply.predictions]:
        raise SystemExit(f"error WRONG_ANSWER: stage {stage.name}")


def _ask(port: int, request: pb.PredictRequest, token: str, door: str) -> pb.PredictResponse:
    if door == "http":
        return _ask_json(port, request, token)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary(
            PREDICT,
            request_serializer=pb.PredictRequest.SerializeToString,
            response_deserializer=pb.PredictResponse.FromString,
        )
        reply: pb.PredictResponse = call(request, timeout=20, metadata=[("authorization", f"Bearer {token}")])
        return reply


def _ask_json(port: int, request: pb.PredictRequest, token: str) -> pb.PredictResponse:
    import urllib.request  # noqa: PLC0415 - only this door asks over HTTP/1.1

    endpoint = _endpoint("http", port, request, token)
    headers = dict(line.split(": ", 1) for line in endpoint.headers)
    asked = urllib.request.Request(endpoint.url, data=endpoint.body, headers=headers)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        reply = pb.PredictResponse()
        Codecs().parse(reply, answer.read())
        return reply


def _endpoint(door: str, port: int, request: pb.PredictRequest, token: str) -> Endpoint:
    if door == "grpc":
        return grpc_endpoint(port, PREDICT, request.SerializeToString(), token)
    body = {
        "task": pb.PredictionTask.Name(request.task),
        "vectors": [{"values": list(vector.values)} for vector in request.vectors],
    }
    headers = (*JSON_HEADERS, f"authorization: Bearer {token}")
    return Endpoint(f"http://127.0.0.1:{port}/api/v1/predict", json.dumps(body).encode(), headers, http1=True)


async def _drive(endpoint: Endpoint, clients: int, calls: int) -> float:
    """CPU seconds of this process while h2load makes ``calls`` calls."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(endpoint.body)
        body.flush()
        command = [
            "h2load", "--clients", str(clients), "--threads", "1", "--max-concurrent-streams", "1",
            "--requests", str(calls), "--data", body.name, *(["--h1"] if endpoint.http1 else []),
        ]  # fmt: skip
        command += [part for header in endpoint.headers for part in ("--header", header)]
        before = time.process_time()
        child = await asyncio.create_subprocess_exec(
            *command, endpoint.url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        told, _ = await child.communicate()
        spent = time.process_time() - before
    if f"{calls} succeeded" not in told.decode():
        raise SystemExit(f"error REQUESTS_FAILED: h2load said\n{told.decode()}")
    return spent


def _framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def _shown(door: str, figures: Sequence[tuple[str, float]], asked: argparse.Namespace) -> str:
    bare, before, rows = figures[0][1], 0.0, []
    for name, cost in figures:
        rows.append([name, f"{cost - before:.1f}", f"{cost:.1f}", f"{cost - bare:.1f}"])
        before = cost
    header = ["stage", "us of CPU", "sum", "over bare"]
    how = "called directly" if asked.direct else "h2load"
    title = f"{door} door, {asked.rows} row(s), {asked.clients} clients, {asked.loop}, {how}"
    return f"{title}\n{table(rows, header, frozenset((1, 2, 3)))}"


def _json_line(line: dict[str, Any]) -> str:
    return orjson.dumps(line, default=str).decode()


if __name__ == "__main__":
    sys.exit(main())
