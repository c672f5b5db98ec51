"""``TrainingService`` with a runner of the test's own."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from cohortlens.internal.v1 import inference_pb2 as pb
from workers.deployments.training import TrainingService
from workers.training_orders import Failed, Progress, Trained, TrainingOrder

REQUEST = {
    "model": "prediction",
    "snapshot_digest": "c" * 64,
    "as_of": "1998-06-30",
    "currency": "USD",
    "seed": 7,
}


class Aborted(Exception):
    """What ``abort`` raises in place of gRPC's own."""


class Context:
    def __init__(self) -> None:
        self.status = None

    async def abort(self, code, details):
        self.status = (code, details)
        raise Aborted(details)


class Runner:
    """Plays events and remembers the order and whether it was closed."""

    def __init__(self, *events) -> None:
        self.events = events
        self.order: TrainingOrder | None = None
        self.closed = False

    async def __call__(self, order):
        self.order = order
        try:
            for event in self.events:
                yield event
                await asyncio.sleep(0)
        finally:
            self.closed = True


async def answers(service, context=None, **changes):
    stream = service.Train(pb.TrainRequest(**(REQUEST | changes)), context or Context())
    return [message async for message in stream]


async def test_progress_comes_first_and_the_result_last():
    runner = Runner(Progress("reading", 0.25), Trained("d" * 64, '{"model":"prediction"}', 1.5))

    first, last = await answers(TrainingService(runner))

    assert (first.stage, first.progress_ratio, first.HasField("result")) == ("reading", 0.25, False)
    assert last.result == pb.TrainResult(
        artifact_digest="d" * 64, manifest_json='{"model":"prediction"}', cpu_s=1.5
    )
    assert runner.order == TrainingOrder("prediction", "c" * 64, "1998-06-30", "USD", 7)


async def test_a_training_that_cannot_end_well_ends_the_stream_with_its_reason():
    [last] = await answers(
        TrainingService(Runner(Failed("HISTORY_TOO_SHORT", "give more"), Progress("x", 1.0)))
    )

    assert last.failure == pb.TrainFailure(reason="HISTORY_TOO_SHORT", message="give more")


async def test_a_training_that_ends_without_a_result_counts_as_crashed():
    *_, last = await answers(TrainingService(Runner(Progress("reading", 0.1))))

    assert last.failure.reason == "TRAINING_CRASHED"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model": "weather"}, "model"),
        ({"snapshot_digest": "../../etc/passwd"}, "snapshot_digest"),
        ({"snapshot_digest": "C" * 64}, "snapshot_digest"),
        ({"as_of": "1998-02-30"}, "as_of"),
        ({"as_of": "19980228"}, "as_of"),
        ({"currency": "usd"}, "currency"),
    ],
)
async def test_an_order_that_cannot_be_used_is_refused_by_the_field_s_name(changes, field):
    runner, context = Runner(), Context()

    with pytest.raises(Aborted):
        await answers(TrainingService(runner), context, **changes)

    assert context.status[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert context.status[1].startswith(f"FIELD_INVALID: {field} ")
    assert runner.order is None


async def test_a_caller_that_goes_away_ends_the_training():
    runner = Runner(*[Progress("fitting", 0.1)] * 1000)
    service = TrainingService(runner)
    stream = service.Train(pb.TrainRequest(**REQUEST), Context())
    await anext(stream)
    assert service.under_way == 1

    await stream.aclose()

    assert runner.closed
    assert service.under_way == 0
