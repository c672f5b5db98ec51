"""What ends a call over HTTP from outside: its deadline, a caller that leaves, a reader that takes nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest

from cohortlens.v1 import analytics_pb2, models_pb2
from gateway.grpc.server import Router, asgi_server, listen
from gateway.http import leaving, streaming
from gateway.http.codec import Codecs
from gateway.http.requests import Request
from gateway.wire.framing import frame
from tests.fixtures.waiting import eventually
from tests.integration.gateway.test_http_door import BOUND_S, _served
from tests.ports.test_inference_client import DIGEST, Batched, Framed
from tests.unit.gateway.graphql import door as graphql_door
from tests.unit.gateway.http.public_api import TOKEN, build
from tests.vectors.transcoding.door import door_for
from tests.vectors.transcoding.schema import Schema, message_class

PREDICT = {"task": "PREDICTION_TASK_SPEND", "customers": ["external:1"], "horizonDays": 90}
PIECE_BYTES, BOUNDED_BYTES = 64 * 1024, 16 * 1024 * 1024


@pytest.fixture
async def slow():
    """The public API over a model that hangs: (door, replica, tells whether the worker's call was cancelled)."""
    model = Framed()
    async with Batched(model).open() as client, _served() as door:
        rows = np.ones((1, 3), np.float32)

        async def predict(request, call):
            await client.score("prediction", DIGEST, "h", "spend", rows, deadline=call.deadline)
            return analytics_pb2.PredictResponse()

        door.recorder.script["Predict"] = predict
        # The first call opens the way to the worker.
        assert (await door.client.post("/api/v1/predict", json=PREDICT, headers=TOKEN)).status_code == 200
        model.replica.calls, cancelled = 0, model.hold()
        yield door, model.replica, cancelled


@pytest.mark.parametrize("header", ["X-Request-Timeout: 0.05", "Grpc-Timeout: 50m"])
async def test_a_deadline_is_answered_while_the_model_hangs_and_cancels_the_call_to_it(slow, header):
    door, replica, cancelled = slow
    name, _, value = header.partition(": ")
    for _ in range(20):
        # A busy machine may let the 50 ms pass before the worker is reached.
        answer = await door.client.post("/api/v1/predict", json=PREDICT, headers={**TOKEN, name: value})
        if replica.calls:
            break
    reason = answer.json()["details"][0]
    assert (answer.status_code, answer.json()["code"], reason["reason"]) == (504, 4, "DEADLINE_EXCEEDED")
    assert not replica.gate.is_set()
    assert replica.calls == 1
    await eventually(cancelled)


async def test_a_caller_that_leaves_cancels_the_call_to_the_model(slow):
    door, replica, cancelled = slow
    # Long enough that nothing but the caller's leaving ends the call while this test waits.
    headers = {**TOKEN, "X-Request-Timeout": "60"}
    task = asyncio.create_task(door.client.post("/api/v1/predict", json=PREDICT, headers=headers))
    await eventually(lambda: replica.calls == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await eventually(cancelled)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
async def test_a_caller_over_http1_is_seen_to_leave_and_never_before(host, monkeypatch):
    monkeypatch.setattr(leaving, "LOOK_EVERY_S", 0.02)
    gone = asyncio.Event()
    ended = []

    async def app(scope, receive, send):
        request = Request.read(scope)
        task = asyncio.create_task(leaving.until_gone(request.ends))
        await asyncio.sleep(0.2)
        ended.append(task.done())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        async with asyncio.timeout(BOUND_S):
            await task
        gone.set()

    try:
        one = listen(host, 0, "COHORTLENS_HTTP_PORT")
    except OSError:
        pytest.skip(f"NOT CHECKED: this machine has no {host}")
    with one:
        server = asgi_server(app, [one], 1)
        serving = asyncio.create_task(server.serve())
        await server.wait_started()
        near = "127.0.0.1" if "." in host else "::1"
        reader, writer = await asyncio.open_connection(near, one.getsockname()[1])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(BOUND_S):
            await reader.readuntil(b"first")
            assert not gone.is_set()
            writer.close()
            await gone.wait()
        server.shutdown()
        await serving
    assert ended == [False]


RUN = models_pb2.GetTrainingRunRequest(run="01890a5d-ac96-774b-bcce-b302099a8057")
BY_NAME = "/cohortlens.v1.ModelsService/GetTrainingRun"
CALLS = {
    "json": (f"/api/v1/trainingRuns/{RUN.run}", "", b""),
    "connect": (BY_NAME, "application/json", b'{"run":"%s"}' % RUN.run.encode()),
    "grpcweb": (BY_NAME, "application/grpc-web", frame(RUN.SerializeToString(), compress=False)),
    "graphql": (
        "/graphql",
        "application/json",
        b'{"query":"{ trainingRun(run: \\"%s\\") { run { run } } }"}' % RUN.run.encode(),
    ),
}


@pytest.mark.parametrize("door", CALLS)
async def test_a_caller_over_http1_that_leaves_cancels_its_call_at_every_door(door, monkeypatch):
    monkeypatch.setattr(leaving, "LOOK_EVERY_S", 0.02)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hangs(request, call):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    client, recorder = graphql_door.build() if door == "graphql" else build()
    recorder.script["GetTrainingRun"] = hangs
    path, kind, sent = CALLS[door]
    verb = "POST" if sent else "GET"
    head = f"{verb} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\nX-Request-Timeout: 60\r\n"
    if sent:
        head += f"Content-Type: {kind}\r\nContent-Length: {len(sent)}\r\n"
    router = Router()
    router.http = client.app
    with listen("127.0.0.1", 0, "COHORTLENS_HTTP_PORT") as one:
        server = asgi_server(router, [one], 1)
        serving = asyncio.create_task(server.serve())
        await server.wait_started()
        _, writer = await asyncio.open_connection("127.0.0.1", one.getsockname()[1])
        writer.write(head.encode() + b"\r\n" + sent)
        async with asyncio.timeout(BOUND_S):
            await begun.wait()
            # The watch for it begins a moment after the body.
            await asyncio.sleep(0.1)
            writer.close()
            await ended.wait()
        server.shutdown()
        await serving


class Flood:
    """A stream without an end: of small messages, or of large ones."""

    def __init__(self):
        self.sent, self.ended = 0, asyncio.Event()

    async def Flow(self, request, call):  # noqa: N802
        out = message_class(POOL, "flood.Out")
        try:
            while True:
                yield out(text="x" * request.n)
                self.sent += request.n
                if request.n < PIECE_BYTES:
                    await asyncio.sleep(0.01)
        finally:
            self.ended.set()


def _pool():
    schema = Schema("flood").message("In", {"n": "int32"}).message("Out", {"text": "string"})
    return schema.method("Flood", "Flow", "In", "Out", {"get": "/flow"}, streams=(False, True)).build()


POOL = _pool()


@asynccontextmanager
async def flooding():
    servicer, router = Flood(), Router()
    codecs = {"strict": Codecs(POOL), "lenient": Codecs(POOL, lenient=True)}
    router.http = door_for(POOL, ["flood.Flood"], servicer, **codecs)
    with listen("127.0.0.1", 0, "COHORTLENS_HTTP_PORT") as one:
        server = asgi_server(router, [one], 1)
        serving = asyncio.create_task(server.serve())
        await server.wait_started()
        yield servicer, one.getsockname()[1]
        server.shutdown()
        await serving


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson", "application/json"])
@pytest.mark.parametrize("http2", [False, True])
async def test_a_reader_that_leaves_ends_its_stream(accept, http2):
    async with flooding() as (servicer, port):
        url = f"http://127.0.0.1:{port}"
        async with (
            httpx.AsyncClient(
                base_url=url, trust_env=False, timeout=BOUND_S, http1=not http2, http2=http2
            ) as client,
            client.stream("GET", "/flow?n=8", headers={"accept": accept}) as answer,
        ):
            async for _ in answer.aiter_raw():
                break
            assert not servicer.ended.is_set()
        async with asyncio.timeout(BOUND_S):
            await servicer.ended.wait()


async def test_a_reader_that_takes_nothing_holds_the_servicer_back_and_is_cut_off(monkeypatch):
    monkeypatch.setattr(streaming, "STALLED_S", 0.5)
    async with flooding() as (servicer, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /flow?n=%d HTTP/1.1\r\nHost: x\r\n\r\n" % PIECE_BYTES)
        await writer.drain()
        async with asyncio.timeout(BOUND_S):
            await servicer.ended.wait()
        assert 0 < servicer.sent < BOUNDED_BYTES
        try:
            async with asyncio.timeout(BOUND_S):
                received = await reader.read()
        except ConnectionError:
            received = b""
        # Torn off: an answer that ends well ends with a chunk of no bytes.
        assert not received.endswith(b"0\r\n\r\n")
        writer.close()
