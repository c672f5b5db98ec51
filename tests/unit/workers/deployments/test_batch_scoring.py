"""``BatchScoringService`` with a runner of the test's own."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import grpc
import pytest

from cohortlens.core.errors import Code
from cohortlens.internal.v1 import batch_pb2 as pb
from workers.batch_orders import SliceFailed, SliceScored
from workers.deployments.batch_scoring import BatchScoringService

REQUEST = {
    "tenant": str(uuid4()),
    "batch": str(uuid4()),
    "input": str(uuid4()),
    "artifact_digest": "a" * 64,
    "schema_hash": "b" * 64,
    "target": "spend",
    "horizon_days": 90,
    "slices": [0, 3],
}


class Aborted(Exception):
    """What ``abort`` raises in place of gRPC's own."""


class Context:
    def __init__(self):
        self.status = None

    async def abort(self, code, details):
        self.status = (code, details)
        raise Aborted(details)


class Runner:
    """Plays outcomes; remembers the order and whether it was closed."""

    def __init__(self, *outcomes):
        self.outcomes, self.order, self.closed = outcomes, None, False

    async def __call__(self, order):
        self.order = order
        try:
            for outcome in self.outcomes:
                yield outcome
                await asyncio.sleep(0)
        finally:
            self.closed = True


async def answers(service, context=None, **changes):
    stream = service.ScoreSlices(pb.ScoreSlicesRequest(**(REQUEST | changes)), context or Context())
    return [message async for message in stream]


async def test_each_scored_slice_is_told():
    runner = Runner(SliceScored(3, 50, "c" * 64, 0.5), SliceScored(0, 100, "d" * 64, 1.0))
    first, second = await answers(BatchScoringService(runner))
    assert first == pb.ScoreSlicesResponse(slice=3, rows=50, sha256="c" * 64, cpu_s=0.5)
    assert second.slice == 0
    assert (runner.order.tenant, runner.order.slices) == (UUID(REQUEST["tenant"]), (0, 3))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
        (Code.FAILED_PRECONDITION, grpc.StatusCode.FAILED_PRECONDITION),
        (Code.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION),
        (Code.DATA_LOSS, grpc.StatusCode.INTERNAL),
    ],
)
async def test_a_slice_that_fails_ends_the_call_with_its_reason(code, status):
    runner, context = (
        Runner(SliceFailed(code, "SOME_REASON", "words"), SliceScored(0, 1, "c" * 64, 0)),
        Context(),
    )
    with pytest.raises(Aborted):
        await answers(BatchScoringService(runner), context)
    assert context.status == (status, "SOME_REASON: words")
    assert runner.closed


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tenant": "../../etc"}, "tenant"),
        ({"batch": REQUEST["batch"].upper()}, "batch"),
        ({"input": ""}, "input"),
        ({"artifact_digest": "A" * 64}, "artifact_digest"),
        ({"schema_hash": "b" * 63}, "schema_hash"),
        ({"target": "weather"}, "target"),
        ({"horizon_days": 0}, "horizon_days"),
        ({"slices": []}, "slices"),
        ({"slices": [1, -1]}, "slices"),
    ],
)
async def test_an_order_that_cannot_be_used_is_refused_by_the_field_s_name(changes, field):
    runner, context = Runner(), Context()
    with pytest.raises(Aborted):
        await answers(BatchScoringService(runner), context, **changes)
    assert context.status[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert context.status[1].startswith(f"FIELD_INVALID: {field} ")
    assert runner.order is None


async def test_a_caller_that_goes_away_ends_the_order():
    runner = Runner(*[SliceScored(at, 1, "c" * 64, 0.0) for at in range(1000)])
    service = BatchScoringService(runner)
    stream = service.ScoreSlices(pb.ScoreSlicesRequest(**REQUEST), Context())
    await anext(stream)
    assert service.under_way == 1
    await stream.aclose()
    assert runner.closed
    assert service.under_way == 0
