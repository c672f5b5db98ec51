"""PredictStream and ScoreTensor through both gRPC doors: order, faults, back-pressure, ends."""

# ruff: noqa: N802 - the methods of a servicer are named like its RPCs

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2

from cohortlens.analytics.predictions import PredictionsService
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.errors import Unavailable
from cohortlens.v1 import analytics_pb2 as pb
from cohortlens.v1 import analytics_pb2_grpc
from gateway.interceptors.chain import Chain
from gateway.microbatch.batcher import MicroBatcher
from gateway.registry import MethodTable
from gateway.servicers.analytics_streams import CHUNKS_AT_ONCE, MESSAGES_AT_ONCE, PredictStreams
from tests.fakes.echo import TOKEN, steps
from tests.fakes.inference import FakeInferenceClient, scores_of
from tests.fakes.models import prediction_manifest
from tests.integration.gateway.test_grpc_door import serve

BOUND_S = 10
SPEND = pb.PREDICTION_TASK_SPEND
WIDTH = len(SCHEMA.columns)
HORIZON = SCHEMA.index("horizon")
METADATA = (("authorization", f"Bearer {TOKEN}"),)


class Registry:
    """One active version."""

    def __init__(self):
        manifest = prediction_manifest()
        self.version = SimpleNamespace(
            model="prediction", version=7, artifact_digest="a" * 64, manifest=manifest, challenger=None
        )

    async def active(self, tenant_id, model):
        return self.version


class Servicer:
    """The streams of ``AnalyticsService``, and nothing else of it."""

    def __init__(self, client):
        self._streams = PredictStreams(PredictionsService(None, None, Registry(), client))
        self.ended = asyncio.Event()

    async def PredictStream(self, requests, call):
        replies = self._streams.predict(requests, call)
        try:
            async for reply in replies:
                yield reply
        finally:
            await replies.aclose()
            self.ended.set()

    def ScoreTensor(self, requests, call):
        return self._streams.score(requests, call)

    def __getattr__(self, name):
        return lambda request, call: None


@asynccontextmanager
async def served(kind):
    client = FakeInferenceClient()
    servicer = Servicer(MicroBatcher(client))
    service = pb.DESCRIPTOR.services_by_name["AnalyticsService"]
    table = MethodTable()
    table.add_public_api([pb.DESCRIPTOR])
    for name, method in list(table.methods.items()):
        if method.name not in ("PredictStream", "ScoreTensor"):
            del table.methods[name]
        else:
            # The test's caller has no scopes of analytics.
            object.__setattr__(method.policy, "scopes", ())
    chain = Chain(table, {service.full_name: servicer}, steps(table))
    async with serve(kind, chain) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield SimpleNamespace(
            channel=channel,
            stub=analytics_pb2_grpc.AnalyticsServiceStub(channel),
            client=client,
            servicer=servicer,
        )


@pytest.fixture(params=["asgi", "aio"])
async def door(request):
    async with served(request.param) as one:
        yield one


def vectors(*firsts):
    made = np.zeros((len(firsts), WIDTH), np.float32)
    made[:, 0] = firsts
    return made


def message(name, rows, **fields):
    values = [pb.FeatureVector(values=row) for row in rows.tolist()]
    return pb.PredictStreamRequest(**{"correlation_id": name, "task": SPEND, "vectors": values, **fields})


def expected(rows, horizon=90):
    rows = rows.copy()
    rows[:, HORIZON] = horizon
    return scores_of("spend", rows)


def predict(door, requests=None, **options):
    return door.stub.PredictStream(requests, metadata=METADATA, timeout=BOUND_S, **options)


async def test_every_message_is_answered_by_name_and_place_and_the_end_is_clean(door):
    asked = {f"m{at}": vectors(*range(at, at + at % 3 + 1)) for at in range(100)}
    answers = [one async for one in predict(door, [message(name, rows) for name, rows in asked.items()])]
    assert sorted(one.position for one in answers) == list(range(1, 101))
    for one in answers:
        assert one.correlation_id == f"m{one.position - 1}"
        assert not one.HasField("fault")
        values = [row.value for row in one.predictions]
        assert values == expected(asked[one.correlation_id])["value"].tolist()
        assert {row.model_version for row in one.predictions} == {7}


async def test_a_bad_message_gets_its_own_fault_and_the_stream_goes_on(door):
    negative = vectors(1, 2)
    negative[1, 3] = -1
    infinite = vectors(1)
    infinite[0, 2] = np.inf
    requests = [
        message("good", vectors(1)),
        message("none", vectors()),
        message("short", vectors(1)[:, :5]),
        message("negative", negative),
        message("infinite", infinite),
        message("far", vectors(1), horizon_days=31),
        message("foreign", vectors(1), schema_hash="0" * 64),
        message("taskless", vectors(1), task=0),
        message("x" * 129, vectors(1)),
        message("last", vectors(2)),
    ]
    answers = {one.position: one async for one in predict(door, requests)}
    assert [one.correlation_id for _, one in sorted(answers.items())] == [
        one.correlation_id for one in requests
    ]
    told = {
        one.correlation_id: (one.fault.reason, [fault.field for fault in one.fault.violations])
        for one in answers.values()
        if one.HasField("fault")
    }
    assert told == {
        "none": ("FIELD_INVALID", ["vectors"]),
        "short": ("FEATURE_SCHEMA_MISMATCH", ["vectors[0]"]),
        "negative": ("FEATURE_OUT_OF_RANGE", ["vectors[1].values[3]"]),
        "infinite": ("VALUE_NOT_FINITE", ["vectors[0].values[2]"]),
        "far": ("HORIZON_UNSUPPORTED", ["horizon_days"]),
        "foreign": ("FEATURE_SCHEMA_MISMATCH", ["schema_hash"]),
        "taskless": ("FIELD_INVALID", ["task"]),
        "x" * 129: ("FIELD_INVALID", ["correlation_id"]),
    }
    assert all(one.fault.message and one.fault.code == 3 for one in answers.values() if one.HasField("fault"))
    assert len(answers[10].predictions) == 1


async def test_bytes_that_are_no_message_are_answered_by_their_place(door):
    raw = door.channel.stream_stream(
        "/cohortlens.v1.AnalyticsService/PredictStream",
        request_serializer=bytes,
        response_deserializer=pb.PredictStreamResponse.FromString,
    )
    requests = [message("first", vectors(1)).SerializeToString(), b"\xff\xff", b"\x0a\x02\xc3\x28"]
    answers = {one.position: one async for one in raw(requests, metadata=METADATA, timeout=BOUND_S)}
    assert len(answers[1].predictions) == 1
    for place in (2, 3):
        assert (answers[place].correlation_id, answers[place].fault.reason) == ("", "MESSAGE_MALFORMED")


async def test_answers_come_as_they_are_ready(door):
    door.client.gate = asyncio.Event()
    call = predict(door)
    await call.write(message("slow", vectors(1)))
    await call.write(message("bad", vectors(1), horizon_days=31))
    assert (await call.read()).correlation_id == "bad"
    door.client.gate.set()
    assert (await call.read()).correlation_id == "slow"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() == grpc.StatusCode.OK


async def test_a_bounded_number_of_messages_is_worked_on_at_once(door):
    door.client.gate = asyncio.Event()
    call = predict(door)
    for at in range(MESSAGES_AT_ONCE + 20):
        await call.write(message(str(at), vectors(at)))
    await call.done_writing()
    for _ in range(100):
        await asyncio.sleep(0.01)
        if door.client.sent:
            break
    await asyncio.sleep(0.1)
    assert sum(len(sent.features) for sent in door.client.sent) <= MESSAGES_AT_ONCE
    door.client.gate.set()
    assert len([one async for one in call]) == MESSAGES_AT_ONCE + 20
    assert sum(len(sent.features) for sent in door.client.sent) == MESSAGES_AT_ONCE + 20


async def test_absent_workers_fail_the_messages_and_not_the_stream(door):
    door.client.faults = [Unavailable("no worker", reason="WORKERS_UNAVAILABLE", retry_delay_s=1.5)]
    call = predict(door)
    await call.write(message("early", vectors(1)))
    fault = (await call.read()).fault
    assert (fault.code, fault.reason, fault.retry_delay_s) == (14, "WORKERS_UNAVAILABLE", 1.5)
    await call.write(message("later", vectors(1)))
    assert len((await call.read()).predictions) == 1
    await call.done_writing()
    assert await call.code() == grpc.StatusCode.OK


async def test_a_caller_that_leaves_ends_the_work(door):
    door.client.gate = asyncio.Event()
    call = predict(door)
    await call.write(message("one", vectors(1)))
    for _ in range(200):
        if door.client.running:
            break
        await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.wait_for(door.servicer.ended.wait(), BOUND_S)
    for _ in range(200):
        if door.client.cancelled:
            break
        await asyncio.sleep(0.01)
    assert (door.client.cancelled, door.client.running) == (1, 0)


async def test_the_deadline_of_the_call_ends_the_stream(door):
    door.client.gate = asyncio.Event()
    call = door.stub.PredictStream(metadata=METADATA, timeout=0.5)
    await call.write(message("one", vectors(1)))
    assert await call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(door.servicer.ended.wait(), BOUND_S)


def header(**fields):
    return pb.ScoreTensorRequest(
        header=pb.TensorHeader(**{"task": SPEND, "schema_hash": SCHEMA.hash, "horizon_days": 30, **fields})
    )


def chunk(sequence, table, **fields):
    data = np.ascontiguousarray(table, "<f4").tobytes()
    return pb.ScoreTensorRequest(
        chunk=pb.TensorChunk(**{"sequence": sequence, "rows": len(table), "values": data, **fields})
    )


def score(door, requests=None):
    return door.stub.ScoreTensor(requests, metadata=METADATA, timeout=BOUND_S)


def columns(answer):
    return {name: np.frombuffer(getattr(answer, name), "<f8") for name in ("value", "lower", "upper")}


async def test_chunks_are_scored_in_order_to_the_values_of_predict(door):
    tables = [vectors(*range(at * 10, at * 10 + rows)) for at, rows in enumerate((1, 300, 8192, 2))]
    answers = [
        one async for one in score(door, [header(), *(chunk(at, one) for at, one in enumerate(tables))])
    ]
    assert [(one.sequence, one.rows, one.model_version) for one in answers] == [
        (at, len(one), 7) for at, one in enumerate(tables)
    ]
    for one, table in zip(answers, tables, strict=True):
        wanted = expected(table, horizon=30)
        for name, found in columns(one).items():
            assert np.array_equal(found, wanted[name])


async def test_columns_may_come_in_the_caller_s_order(door):
    order = np.random.default_rng(5).permutation(WIDTH)
    table = np.random.default_rng(6).random((4, WIDTH)).astype(np.float32)
    table[:, SCHEMA.index("gap_mean")] = np.nan
    names = [SCHEMA.names[at] for at in order]
    (answer,) = [one async for one in score(door, [header(columns=names), chunk(0, table[:, order])])]
    assert np.array_equal(columns(answer)["value"], expected(table, horizon=30)["value"])


BAD = vectors(1, 2, 3)
BAD[2, SCHEMA.index("age")] = np.nan


@pytest.mark.parametrize(
    ("requests", "field", "text"),
    [
        ([chunk(0, vectors(1))], "header", "must be the first message"),
        ([header(), header()], "header", "only once"),
        ([pb.ScoreTensorRequest()], "header", "must be the first message"),
        ([header(), pb.ScoreTensorRequest()], "chunk", "is required"),
        ([header(), chunk(1, vectors(1))], "chunk.sequence", "must be 0"),
        ([header(), chunk(0, vectors(1), rows=2)], "chunk.values", f"must have {8 * WIDTH} bytes"),
        ([header(), chunk(0, vectors(1), rows=0)], "chunk.rows", "at least 1"),
        ([header(), chunk(0, vectors(1), rows=8193)], "chunk.rows", "at most 8192"),
        ([header(), chunk(0, BAD)], "chunk.values", "Row 2, column age"),
        ([header(schema_hash="0" * 64), chunk(0, vectors(1))], "header.schema_hash", "must be"),
        ([header(schema_hash="")], "header.schema_hash", "is required"),
        ([header(task=0)], "header.task", "is required"),
        ([header(columns=["x", "y"])], "header.columns", "'y' is unknown"),
        ([header(columns=list(SCHEMA.names[1:]))], "header.columns", "x is missing"),
        ([header(horizon_days=31), chunk(0, vectors(1))], "horizon_days", "must be one of 30, 90"),
    ],
)
async def test_a_table_that_cannot_be_scored_names_the_field(door, requests, field, text):
    call = score(door, requests)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for _ in call:
            pass
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    status = status_pb2.Status.FromString(dict(refused.value.trailing_metadata())["grpc-status-details-bin"])
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [(one.field, text in one.description) for one in bad.field_violations] == [(field, True)]


async def test_what_came_before_a_fault_is_answered_first(door):
    call = score(door, [header(), chunk(0, vectors(1)), chunk(1, vectors(2)), chunk(5, vectors(3))])
    assert [(await call.read()).sequence for _ in range(2)] == [0, 1]
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()


async def test_two_chunks_are_under_way_at_once(door):
    door.client.gate = asyncio.Event()
    call = score(door, [header(), *(chunk(at, vectors(at)) for at in range(6))])
    await asyncio.sleep(0.5)
    assert sum(len(sent.features) for sent in door.client.sent) <= CHUNKS_AT_ONCE
    door.client.gate.set()
    assert [one.sequence async for one in call] == list(range(6))
