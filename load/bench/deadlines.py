"""What a deadline of 50 ms is worth while the model hangs: ``make bench-deadlines``.

The gateway is the product's own over PostgreSQL and Valkey of its own; the replica is one that takes every
call and never answers, reached over the product's own client. Printed is the time from sending a request to
the whole answer at the client, by door, and how many calls to the replica were begun and cancelled.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import grpc
import httpx
from google.protobuf import json_format

from cohortlens.cli.output import table
from cohortlens.internal.v1 import inference_pb2, inference_pb2_grpc
from cohortlens.v1 import analytics_pb2_grpc
from gateway.grpc.server import Router, asgi_server, listen
from gateway.microbatch.batcher import MicroBatcher
from load.bench.profile_gateway import Setup, prepared
from load.bench.profile_stages import SERVICE, Stages

DEADLINE_S: Final = 0.05
BOUND_MS: Final = 100.0
CALLS: Final = 50
_PATH: Final = f"/{SERVICE}/Predict"
_SETTLE_S: Final = 5.0
_REACHED_S: Final = 30.0
_REGISTERED_S: Final = 3600
_GRPC_DEADLINE: Final = str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])

Ask = Callable[[], Awaitable[bool]]


class Hanging(inference_pb2_grpc.InferenceServiceServicer):
    """A replica that never answers.

    Attributes:
        begun: Calls that reached it.
        cancelled: Those that were cancelled.
        idle: Set while all of them are.
    """

    def __init__(self) -> None:
        self.begun = self.cancelled = 0
        self.idle = asyncio.Event()

    async def Score(  # noqa: N802 - named like its RPC
        self, _request: Any, _context: Any
    ) -> inference_pb2.ScoreResponse:
        """Hang until cancelled."""
        self.begun += 1
        self.idle.clear()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            if self.cancelled == self.begun:
                self.idle.set()
            raise
        return inference_pb2.ScoreResponse()


@dataclass(frozen=True)
class Door:
    """One way to ask.

    Attributes:
        name: How it is called in the table.
        ask: Makes one call; whether its answer said that the deadline passed.
    """

    name: str
    ask: Ask


async def measure(calls: int) -> tuple[list[list[str]], bool]:
    """Rows of the table, and whether every answer was the right one, in time, its call cancelled."""
    async with prepared(1, MicroBatcher) as setup, _hanging(setup) as replica, _doors(setup) as doors:
        # The first call opens the way to the replica.
        async with asyncio.timeout(_REACHED_S):
            while not replica.begun:
                await doors[0].ask()
        rows, kept = [], True
        for door in doors:
            await door.ask()
            await _settled(replica)
            begun, cancelled = replica.begun, replica.cancelled
            took, right = [], 0
            for _ in range(calls):
                before = time.perf_counter()
                right += await door.ask()
                took.append((time.perf_counter() - before) * 1e3)
            await _settled(replica)
            begun, cancelled = replica.begun - begun, replica.cancelled - cancelled
            low, middle, high = min(took), statistics.median(took), max(took)
            row_kept = right == calls and begun == cancelled and begun > 0 and high <= BOUND_MS
            figures = [f"{one:.1f}" for one in (low, middle, high)]
            said = "kept" if row_kept else "MISSED"
            rows.append([door.name, *figures, f"{right} of {calls}", f"{cancelled} of {begun}", said])
            kept = kept and row_kept
    return rows, kept


async def _settled(replica: Hanging) -> None:
    """Wait until what was cancelled is known as cancelled at the replica, at most 5 s."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_SETTLE_S):
            await replica.idle.wait()


@asynccontextmanager
async def _hanging(setup: Setup) -> AsyncIterator[Hanging]:
    """The replica, served and registered."""
    server, replica = grpc.aio.server(), Hanging()
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(replica, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    record = {
        "deployment": "prediction",
        "replica": "hanging",
        "address": f"127.0.0.1:{port}",
        "socket": "",
        "pid": os.getpid(),
        "loaded": [],
        "frame_socket": "",
        "host": "",
    }
    redis: Any = setup.batched.redis
    await redis.set("cl:replica:prediction:hanging", json.dumps(record), ex=_REGISTERED_S)
    await redis.publish("cl:replicas", "cl:replica:prediction:hanging")
    try:
        yield replica
    finally:
        await server.stop(None)


@asynccontextmanager
async def _doors(setup: Setup) -> AsyncIterator[list[Door]]:
    """The doors on a listener, and a client of each."""
    router = Router()
    router.grpc, router.http = Stages(setup, "grpc").whole(), Stages(setup, "http").whole()
    with listen("127.0.0.1", 0, "COHORTLENS_HTTP_PORT") as one:
        server = asgi_server(router, [one], 1)
        serving = asyncio.create_task(server.serve())
        await server.wait_started()
        port = one.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        bearer = {"authorization": f"Bearer {await setup.token()}"}
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=60, headers=bearer) as http,
            httpx.AsyncClient(
                base_url=url, trust_env=False, timeout=60, headers=bearer, http1=False, http2=True
            ) as http2,
        ):
            yield _asks(setup, channel, http, http2, bearer)
        server.shutdown()
        await serving


def _asks(
    setup: Setup,
    channel: grpc.aio.Channel,
    http: httpx.AsyncClient,
    http2: httpx.AsyncClient,
    bearer: Mapping[str, str],
) -> list[Door]:
    text = json_format.MessageToJson(setup.request).encode()
    data = setup.request.SerializeToString()
    framed = b"\0" + len(data).to_bytes(4, "big") + data
    predict = analytics_pb2_grpc.AnalyticsServiceStub(channel).Predict
    ms = str(round(DEADLINE_S * 1000))
    json_type = {"content-type": "application/json"}

    async def by_grpcio() -> bool:
        try:
            await predict(setup.request, timeout=DEADLINE_S, metadata=list(bearer.items()))
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return False

    async def by_grpc() -> bool:
        headers = {"content-type": "application/grpc", "te": "trailers", "grpc-timeout": f"{ms}m"}
        answer = await http2.post(_PATH, content=framed, headers=headers)
        return bool(answer.headers.get("grpc-status") == _GRPC_DEADLINE)

    async def by_json() -> bool:
        headers = {**json_type, "x-request-timeout": str(DEADLINE_S)}
        answer = await http.post("/api/v1/predict", content=text, headers=headers)
        return answer.status_code == HTTPStatus.GATEWAY_TIMEOUT

    async def by_connect() -> bool:
        headers = {**json_type, "connect-timeout-ms": ms}
        answer = await http.post(_PATH, content=text, headers=headers)
        return answer.status_code == HTTPStatus.GATEWAY_TIMEOUT

    return [
        Door("gRPC, status of the server", by_grpc),
        Door("gRPC, grpcio's own deadline", by_grpcio),
        Door("HTTP/1.1 JSON", by_json),
        Door("Connect JSON", by_connect),
    ]


def main() -> int:
    """Measure, print the table; 1 when an answer was wrong or late, or a call was left at the replica."""
    # Each of these calls fails, as it should: no line for it.
    logging.disable(logging.ERROR)
    calls = int(sys.argv[1]) if sys.argv[1:] else CALLS
    rows, kept = asyncio.run(measure(calls))
    sys.stdout.write(f"a deadline of 50 ms while the model hangs; at most {BOUND_MS:g} ms\n")
    names = ["door", "min ms", "median ms", "max ms", "said so", "cancelled", ""]
    sys.stdout.write(table(rows, names) + "\n")
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
