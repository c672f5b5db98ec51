"""The port on bad days, over both lanes: replicas that die, drain, come late; Redis away."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import date

import grpc
import numpy as np
import pytest

from cohortlens.adapters import endpoints
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


async def score(client, timeout=10.0, model="a" * 64):
    found = await client.score("prediction", model, "h", "spend", ROWS, deadline=time.monotonic() + timeout)
    np.testing.assert_array_equal(found["value"], scores_of("spend", ROWS)["value"])


async def never(endpoint):
    """Instead of ``Endpoint.answers``: what was taken out stays out."""
    return False


async def test_a_call_that_finds_its_replica_away_is_answered_by_another(monkeypatch):
    monkeypatch.setattr(endpoints.Endpoint, "answers", never)
    bad, good = Replica(), Replica()
    async with cluster(bad, good) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 2)
        bad.fail_with = [AWAY] * 100
        for _ in range(8):
            await score(client)
        assert good.calls == 8
        # Once ejected it gets no more calls.
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


async def test_a_call_whose_replicas_are_all_away_for_a_moment_waits_for_one_to_return():
    one, two = Replica(), Replica()
    async with cluster(one, two) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 2)
        one.fail_with, two.fail_with = [AWAY] * 2, [AWAY] * 2
        await score(client)


async def test_replicas_that_stay_away_end_the_call_with_its_deadline_and_are_not_stormed():
    one, two = Replica(), Replica()
    async with cluster(one, two) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 2)
        one.fail_with, two.fail_with = [AWAY] * 100, [AWAY] * 100
        started = time.monotonic()
        with pytest.raises(Unavailable) as refused:
            await score(client, 1.0)
        assert refused.value.reason == "WORKERS_UNAVAILABLE"
        assert time.monotonic() - started >= 0.9
        # Each pause is twice the one before, 0.2 s first: in a second a replica is called thrice at most.
        assert 2 <= one.calls + two.calls <= 6


async def test_replicas_that_died_without_a_word_fail_no_call_however_many_they_are():
    live = Replica()
    async with cluster(live) as (client, redis, directory):
        for number in range(5):
            dead = await Replica(f"dead{number}").start()
            redis.register("prediction", dead)
            await dead.stop()
        await eventually(lambda: len(directory.live("prediction")) == 6)
        # Whichever two of them a model belongs to.
        for digit in "0123456789abcdef":
            await score(client, model=digit * 64)
        assert live.calls == 16


async def test_a_call_that_replicas_die_of_is_not_given_to_all_of_them():
    replicas = [Replica() for _ in range(5)]
    async with cluster(*replicas) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 5)
        for one in replicas:
            one.gate = asyncio.Event()
        call = asyncio.create_task(score(client))
        stopped = set()
        while not call.done():
            for one in replicas:
                if one.calls and one not in stopped:
                    stopped.add(one)
                    await one.stop()
            await asyncio.sleep(0.01)
        with pytest.raises(Unavailable):
            await call
        assert len(stopped) == 3


async def test_of_replicas_that_all_fall_silent_the_last_one_keeps_its_calls(monkeypatch):
    async def silent(endpoint):
        await asyncio.sleep(0.1)
        return False

    one, two = Replica(), Replica()
    async with cluster(one, two) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 2)
        monkeypatch.setattr(endpoints.Endpoint, "answers", silent)
        one.gate = two.gate = asyncio.Event()
        calls = [asyncio.create_task(score(client)) for _ in range(4)]
        await eventually(lambda: len(directory.live("prediction")) == 1)
        await asyncio.sleep(0.6)
        assert len(directory.live("prediction")) == 1
        one.gate.set()
        await asyncio.gather(*calls)


async def test_a_replica_that_answers_calls_is_kept_although_it_leaves_a_question_open(monkeypatch):
    async def open_question(endpoint):
        asked.append(endpoint)
        await asyncio.sleep(0.2)
        return False

    asked = []
    one, two = Replica(), Replica()
    async with cluster(one, two) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 2)
        monkeypatch.setattr(endpoints.Endpoint, "answers", open_question)
        one.gate = two.gate = asyncio.Event()
        calls = [asyncio.create_task(score(client)) for _ in range(2)]
        await eventually(lambda: len(asked) == 2)
        one.gate.set()
        await asyncio.gather(*calls)
        await asyncio.sleep(0.4)
        assert len(directory.live("prediction")) == 2


async def test_a_call_whose_channel_is_opened_anew_is_repeated_not_cancelled(monkeypatch):
    monkeypatch.setattr(Replica, "framed", False)
    slow, other = Replica(), Replica()
    async with cluster(slow, other) as (client, _, directory):
        await eventually(lambda: len(directory.live("prediction")) == 2)
        slow.gate = other.gate = asyncio.Event()
        call = asyncio.create_task(score(client))
        await eventually(lambda: slow.calls + other.calls == 1)
        (busy,) = [one for one in directory.live("prediction") if one.rows_in_flight]
        await busy.reopen()
        await eventually(lambda: slow.calls + other.calls == 2)
        slow.gate.set()
        await call


async def test_a_client_that_is_closed_lets_no_call_wait_for_its_deadline():
    async with cluster() as (client, _, _):
        call = asyncio.create_task(score(client, 60.0))
        await asyncio.sleep(0.05)
        await client.close()
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await call


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
