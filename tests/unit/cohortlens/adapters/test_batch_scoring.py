"""``GrpcBatchScorer`` against a server in the test: what is told, what failed, who is ended."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from uuid import uuid4

import grpc
import pytest

from cohortlens.adapters.batch_scoring import GrpcBatchScorer
from cohortlens.analytics.batches.ports import ScoredSlice, ScoringOrder
from cohortlens.core.errors import FailedPrecondition, Internal, Unavailable
from cohortlens.internal.v1 import batch_pb2 as pb
from cohortlens.internal.v1 import batch_pb2_grpc as rpc

ORDER = ScoringOrder(uuid4(), uuid4(), uuid4(), "a" * 64, "b" * 64, "spend", 90, [2, 5])


class Workers(rpc.BatchScoringServiceServicer):
    """Answers the slices asked for, then does what it is told."""

    def __init__(self):
        self.requests, self.end, self.hangs, self.ended = [], None, False, asyncio.Event()

    async def ScoreSlices(self, request, context):  # noqa: N802 - the name of the RPC
        self.requests.append(request)
        try:
            for slice_ in request.slices:
                yield pb.ScoreSlicesResponse(slice=slice_, rows=10, sha256="c" * 64, cpu_s=0.25)
            if self.hangs:
                await asyncio.Event().wait()
            if self.end is not None:
                await context.abort(*self.end)
        finally:
            self.ended.set()


@pytest.fixture
async def side():
    """A server, a directory that knows it, and the scorer on it."""
    workers, server = Workers(), grpc.aio.server()
    rpc.add_BatchScoringServiceServicer_to_server(workers, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    endpoint, ejected = SimpleNamespace(channel=channel), []

    async def acquire(deployment, deadline):
        assert deployment == "batch"
        return endpoint

    directory = SimpleNamespace(acquire=acquire, eject=lambda one, *why: ejected.append(one))
    yield SimpleNamespace(
        workers=workers, scorer=GrpcBatchScorer(directory), ejected=ejected, endpoint=endpoint
    )
    await channel.close()
    await server.stop(0)


async def test_every_slice_is_given_as_the_worker_tells_of_it(side):
    found = [one async for one in side.scorer.score_slices(ORDER)]
    assert found == [ScoredSlice(2, 10, "c" * 64, 0.25), ScoredSlice(5, 10, "c" * 64, 0.25)]
    (request,) = side.workers.requests
    assert (request.tenant, request.batch, request.input) == (
        str(ORDER.tenant_id), str(ORDER.batch_id), str(ORDER.input_id),
    )  # fmt: skip
    assert (request.target, request.horizon_days, list(request.slices)) == ("spend", 90, [2, 5])


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable, "WORKERS_UNAVAILABLE"),
        (grpc.StatusCode.FAILED_PRECONDITION, FailedPrecondition, "BATCH_FILE_DAMAGED"),
        (grpc.StatusCode.INTERNAL, Internal, "BATCH_FILE_DAMAGED"),
    ],
)
async def test_a_failure_comes_after_what_was_scored_and_keeps_its_reason(side, code, kind, reason):
    side.workers.end = (code, "BATCH_FILE_DAMAGED: start the batch again")
    slices = side.scorer.score_slices(ORDER)
    assert [(await anext(slices)).slice, (await anext(slices)).slice] == [2, 5]
    with pytest.raises(kind) as failed:
        await anext(slices)
    assert failed.value.reason == reason
    assert bool(side.ejected) == (code is grpc.StatusCode.UNAVAILABLE)


async def test_closing_the_iterator_ends_the_work_of_the_workers(side):
    side.workers.hangs = True
    slices = side.scorer.score_slices(ORDER)
    await anext(slices)
    assert not side.workers.ended.is_set()
    await slices.aclose()
    await asyncio.wait_for(side.workers.ended.wait(), 10)
