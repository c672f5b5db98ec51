"""The port ``InferenceClient``: one suite for the fake, the adapter over each lane, and both behind the batcher."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import date

import grpc
import numpy as np
import pytest

from cohortlens.adapters.inference import GrpcInferenceClient
from cohortlens.adapters.replicas import ReplicaDirectory
from cohortlens.analytics.ports import TrainingOrder, TrainingProgress, TrainingResult
from cohortlens.core.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, Unavailable
from cohortlens.internal.v1 import inference_pb2 as pb
from gateway.microbatch.batcher import MicroBatcher
from gateway.microbatch.lane import BatchLimits
from tests.fakes.inference import (
    BAD_DIGEST,
    FakeInferenceClient,
    is_log_additive,
    scores_of,
    trained,
    workers_away,
)
from tests.fakes.replicas import FakeRedis, Replica
from tests.fixtures.waiting import eventually

DIGEST = "a" * 64
ORDER = TrainingOrder("prediction", "b" * 64, date(2024, 6, 30), "USD", 7)


class Fake:
    """The fake, set up by hand."""

    @asynccontextmanager
    async def open(self):
        self.client = FakeInferenceClient()
        yield self.client

    def lose(self, deployment):
        self.client.replicas[deployment] = 0

    def hold(self):
        self.client.gate = asyncio.Event()
        return lambda: self.client.cancelled

    def train(self, steps):
        self.client.steps = steps


class Real:
    """The adapter, against a server in the test that answers like the fake."""

    framed = False

    @asynccontextmanager
    async def open(self):
        self.replica = Replica()
        self.replica.framed = self.framed
        await self.replica.start()
        self.redis = FakeRedis()
        for deployment in ("segmentation", "prediction", "explanation", "training"):
            self.redis.register(deployment, self.replica)
        client = GrpcInferenceClient(ReplicaDirectory(self.redis))
        try:
            yield client
        finally:
            await client.close()
            await self.replica.stop()
            assert bool(self.replica.frame_calls) <= self.framed

    def lose(self, deployment):
        self.redis.deregister(deployment, "one")

    def hold(self):
        self.replica.gate = asyncio.Event()
        return lambda: self.replica.cancelled

    def train(self, steps):
        self.replica.steps = [_step(step) for step in steps]


class Framed(Real):
    """The same over the frame socket."""

    framed = True


class Batched:
    """Another one behind the micro-batcher."""

    def __init__(self, inner):
        self.inner = inner

    @asynccontextmanager
    async def open(self):
        async with self.inner.open() as client:
            yield MicroBatcher(client, BatchLimits(batch_rows=3, call_rows=3))

    def __getattr__(self, name):
        return getattr(self.inner, name)


def _step(step):
    if isinstance(step, Unavailable):
        return grpc.StatusCode.UNAVAILABLE, f"{step.reason}: {step.message}"
    if isinstance(step, FailedPrecondition):
        return pb.TrainResponse(failure=pb.TrainFailure(reason=step.reason, message=step.message))
    message = pb.TrainResponse(stage=step.stage, progress_ratio=step.progress_ratio)
    if step.result is not None:
        message.result.artifact_digest = step.result.artifact_digest
        message.result.manifest_json = step.result.manifest_json
        message.result.cpu_s = step.result.cpu_s
    return message


@pytest.fixture(
    params=[
        Fake,
        Real,
        Framed,
        lambda: Batched(Fake()),
        lambda: Batched(Real()),
        lambda: Batched(Framed()),
    ],
    ids=["fake", "grpc", "frames", "batched-fake", "batched-grpc", "batched-frames"],
)
async def side(request):
    side = request.param()
    async with side.open() as client:
        yield client, side


def rows(count, columns=4):
    matrix = np.arange(count * columns, dtype=np.float32).reshape(count, columns)
    matrix[0, 1] = np.nan
    return matrix


def score(client, features, *, deployment="prediction", digest=DIGEST, target="spend", timeout=10.0):
    return client.score(deployment, digest, "h", target, features, deadline=time.monotonic() + timeout)


async def test_scores_come_back_in_the_order_of_the_rows(side):
    client, _ = side
    features = rows(7)
    found = await score(client, features)
    assert set(found) == {"value", "lower", "upper"}
    for name, expected in scores_of("spend", features).items():
        assert found[name].dtype == np.float64
        np.testing.assert_array_equal(found[name], expected)


async def test_segmentation_takes_no_target(side):
    client, _ = side
    found = await score(client, rows(3), deployment="segmentation", target="")
    assert found["segment"].tolist() == scores_of("", rows(3))["segment"].tolist()


async def test_explanations_add_up_in_log_space(side):
    client, _ = side
    features = rows(3)
    found = await client.explain(DIGEST, "h", "spend", features, deadline=time.monotonic() + 10)
    assert found.contributions.shape == features.shape
    assert is_log_additive(found)
    np.testing.assert_array_equal(found.values, scores_of("spend", features)["value"])


async def test_a_refusal_keeps_its_reason_and_its_words(side):
    client, _ = side
    with pytest.raises(InvalidArgument, match="the model refuses") as refused:
        await score(client, rows(2), digest=BAD_DIGEST)
    assert refused.value.reason == "FEATURE_SCHEMA_MISMATCH"


async def _has_none(client, deployment):
    return not (await client.live_replicas()).get(deployment)


async def test_a_deployment_without_replicas_is_unavailable_with_a_retry_delay(side):
    client, kind = side
    await score(client, rows(1))
    kind.lose("prediction")
    await eventually(lambda: _has_none(client, "prediction"))
    with pytest.raises(Unavailable) as refused:
        await score(client, rows(1), timeout=0.3)
    assert (refused.value.reason, refused.value.metadata) == (
        "WORKERS_UNAVAILABLE",
        {"deployment": "prediction"},
    )
    assert refused.value.retry_delay_s > 0


async def test_a_deadline_ends_a_call_that_hangs(side):
    client, kind = side
    kind.hold()
    with pytest.raises(DeadlineExceeded):
        await score(client, rows(1), timeout=0.3)


async def test_a_passed_deadline_fails_at_once(side):
    client, _ = side
    with pytest.raises((DeadlineExceeded, Unavailable)):
        await score(client, rows(1), timeout=-1.0)


async def test_cancelling_a_call_cancels_the_work_behind_it(side):
    client, kind = side
    await score(client, rows(1))
    cancelled = kind.hold()
    task = asyncio.create_task(score(client, rows(1)))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(cancelled)


async def test_loading_a_model_tells_how_many_replicas_have_it(side):
    client, _ = side
    assert await client.load_model("prediction", DIGEST, deadline=time.monotonic() + 10) == 1


async def test_live_replicas_are_counted_by_deployment(side):
    client, _ = side
    await score(client, rows(1))
    assert (await client.live_replicas())["explanation"] == 1
    assert (client.replica_count("prediction"), client.replica_count("unheard-of")) == (1, 0)


async def test_a_training_streams_progress_and_ends_with_its_result(side):
    client, kind = side
    kind.train(trained("c" * 64, "{}"))
    seen = [progress async for progress in client.train(ORDER)]
    assert [one.stage for one in seen] == ["features", "fit", "done"]
    assert [one.result for one in seen] == [None, None, TrainingResult("c" * 64, "{}", 1.5)]


async def test_a_training_that_cannot_end_well_keeps_its_reason(side):
    client, kind = side
    kind.train([TrainingProgress("features", 0.1), FailedPrecondition("short", reason="HISTORY_TOO_SHORT")])
    with pytest.raises(FailedPrecondition, match="short") as failed:
        [progress async for progress in client.train(ORDER)]
    assert failed.value.reason == "HISTORY_TOO_SHORT"


async def test_a_trainer_that_goes_away_is_unavailable(side):
    client, kind = side
    kind.train([TrainingProgress("features", 0.1), workers_away("training")])
    with pytest.raises(Unavailable) as failed:
        [progress async for progress in client.train(ORDER)]
    assert failed.value.reason == "WORKERS_UNAVAILABLE"
