"""The port on bad days, over both lanes: replicas that die, drain, come late; Redis away."""

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
from cohortlens.analytics.ports import TrainingOrder
from cohortlens.core.errors import Internal, Unavailable
from tests.fakes.inference import scores_of
from tests.fakes.replicas import FakeRedis, Replica
from tests.fixtures.waiting import eventually

ROWS = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
AWAY = (grpc.StatusCode.UNAVAILABLE, "DRAINING: the replica stops")


@pytest.fixture(autouse=True, params=[False, True], ids=["grpc", "frames"])
def framed(request, monkeypatch):
    """Whether the replicas serve the frame socket."""
    monkeypatch.setattr(Replica, "framed", request.param)
    return request.param


@asynccontextmanager
async def cluster(*replicas, redis=None, grace_s=0.2):
    redis = redis or FakeRedis()
    directory = ReplicaDirectory(redis, refresh_s=0.05, absence_grace_s=grace_s)
    client = GrpcInferenceClient(directory)
    for number, replica in enumerate(replicas):
        replica.name = f"r{number}"
        await replica.start()
        redis.register("prediction", replica)
    directory.start()
    try:
        yield client, redis, directory
    finally:
        await client.close()
        for replica in replicas:
            await replica.stop()


async def score(client, timeout=10.0):
    found = await client.score(
        "prediction", "a" * 64, "h", "spend", ROWS, deadline=time.monotonic() + timeout
    )
    np.testing.assert_array_equal(found["value"], scores_of("spend", ROWS)["value"])


async def test_a_call_that_finds_its_replica_away_is_answered_by_another():
    bad, good = Replica(), Replica()
    async with cluster(bad, good) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 2)
        bad.fail_with = [AWAY] * 100
        for _ in range(8):
            await score(client)
        assert good.calls == 8
        # Once ejected it gets no more calls, although it answers.
        assert bad.calls <= 1
        assert len(directory.live("prediction")) == 1


async def test_an_ejected_replica_returns_once_it_can_be_reached():
    bad, good = Replica(), Replica()
    async with cluster(bad, good) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 2)
        bad.fail_with = [AWAY]
        while bad.fail_with:
            await score(client)
        assert directory.counts() == {"prediction": 1}
        await eventually(lambda: directory.counts() == {"prediction": 2})


async def test_two_replicas_that_are_both_away_end_the_call_as_unavailable():
    one, two = Replica(), Replica()
    async with cluster(one, two) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 2)
        one.fail_with, two.fail_with = [AWAY], [AWAY]
        with pytest.raises(Unavailable) as refused:
            await score(client)
        assert refused.value.reason == "WORKERS_UNAVAILABLE"
        assert one.calls + two.calls == 2


async def test_a_call_waits_inside_its_deadline_for_the_first_replica_to_come():
    late = Replica()
    async with cluster() as (client, redis, _):
        task = asyncio.create_task(score(client))
        await asyncio.sleep(0.1)
        assert not task.done()
        await late.start()
        redis.register("prediction", late)
        await task
        await late.stop()


async def test_the_only_replica_dies_during_a_call_and_its_successor_answers_it():
    first, second = Replica(), Replica()
    async with cluster(first) as (client, redis, _):
        await score(client)
        first.gate = asyncio.Event()
        calls = [asyncio.create_task(score(client)) for _ in range(5)]
        await eventually(lambda: first.calls == 6)
        await first.stop()
        second.name = "successor"
        await second.start()
        redis.deregister("prediction", "r0")
        redis.register("prediction", second)
        await asyncio.gather(*calls)
        assert second.calls == 5
        await second.stop()


async def test_a_replica_that_restarts_on_its_address_is_used_again():
    replica = Replica()
    async with cluster(replica) as (client, _, _):
        await score(client)
        await replica.stop()
        task = asyncio.create_task(score(client))
        await asyncio.sleep(0.1)
        await replica.start(replica.address)
        await task


async def test_calls_go_to_the_replica_with_fewer_rows_under_way():
    busy, idle = Replica(), Replica()
    async with cluster(busy, idle) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 2)
        busy.gate = idle.gate = asyncio.Event()
        calls = [asyncio.create_task(score(client)) for _ in range(6)]
        await eventually(lambda: busy.calls + idle.calls == 6)
        assert (busy.calls, idle.calls) == (3, 3)
        busy.gate.set()
        await asyncio.gather(*calls)


async def test_known_replicas_are_used_while_redis_is_away_and_forgotten_only_after_it_told_twice():
    kept, gone = Replica(), Replica()
    async with cluster(kept, gone, grace_s=0.3) as (client, redis, directory):
        await eventually(lambda: directory.counts() == {"prediction": 2})
        redis.stop()
        await asyncio.sleep(0.3)
        await score(client)
        keys = dict(redis.keys)
        redis.keys.clear()  # as after a restart: nobody has registered again yet
        redis.down = False
        await asyncio.sleep(0.1)
        assert directory.counts() == {"prediction": 2}
        redis.keys.update({key: value for key, value in keys.items() if key.endswith("r0")})
        await eventually(lambda: directory.counts() == {"prediction": 1})
        await score(client)


async def test_a_registration_that_cannot_be_read_does_not_hide_the_others():
    replica = Replica()
    redis = FakeRedis()
    redis.keys["cl:replica:prediction:junk"] = b"{not json"
    redis.keys["cl:replica:prediction:empty"] = b'{"deployment": "prediction"}'
    redis.keys["cl:replica:prediction:list"] = b"[1]"
    async with cluster(replica, redis=redis) as (client, _, directory):
        await score(client)
        assert directory.counts() == {"prediction": 1}


async def test_a_worker_s_own_fault_is_not_repeated_and_tells_the_caller_nothing_of_it():
    replica = Replica()
    async with cluster(replica) as (client, _, _):
        replica.fail_with = [(grpc.StatusCode.INTERNAL, "INTERNAL: process 7 of the workers failed: secret")]
        with pytest.raises(Internal) as failed:
            await score(client)
        assert "secret" not in failed.value.message
        assert replica.calls == 1


async def test_rows_under_way_are_counted_down_after_a_cancelled_call():
    replica = Replica()
    async with cluster(replica) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 1)
        replica.gate = asyncio.Event()
        task = asyncio.create_task(score(client))
        (endpoint,) = directory.live("prediction")
        await eventually(lambda: endpoint.rows_in_flight == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert endpoint.rows_in_flight == 0


async def test_loading_skips_a_replica_that_went_away_and_loads_the_others():
    gone, there = Replica(), Replica()
    async with cluster(gone, there) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 2)
        gone.fail_with = [AWAY]
        assert await client.load_model("prediction", "a" * 64, deadline=time.monotonic() + 5) == 1
        assert there.loaded == ["a" * 64]


async def test_a_training_without_end_is_given_up_for_good():
    trainer, redis = Replica(), FakeRedis()
    await trainer.start()
    trainer.steps = [asyncio.Event().wait]
    redis.register("training", trainer)
    client = GrpcInferenceClient(ReplicaDirectory(redis), training_limit_s=0.2)
    order = TrainingOrder("prediction", "b" * 64, date(2024, 6, 30), "USD", 7)
    try:
        with pytest.raises(Internal) as ended:
            [progress async for progress in client.train(order)]
        assert ended.value.reason == "TRAINING_TIMEOUT"
    finally:
        await client.close()
        await trainer.stop()


async def test_closing_ends_the_watch_although_the_redis_client_swallows_the_cancellation():
    class Deaf(FakeRedis):
        async def get_message(self, **options):
            try:
                return await super().get_message(**options)
            except asyncio.CancelledError:
                return None

    directory = ReplicaDirectory(Deaf())
    directory.start()
    watcher = directory._watcher
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        await directory.close()
    assert watcher.done()
