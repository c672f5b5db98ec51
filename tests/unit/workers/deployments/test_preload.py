"""What a fresh replica loads ahead: the busiest models, within its memory and a bounded time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import pytest
from redis.exceptions import ConnectionError as RedisAway

from cohortlens.contracts.recent_models import MOST, key_of
from tests.fixtures.waiting import eventually
from workers.deployments.preload import Preload
from workers.runtime.cache import ModelCache


@dataclass
class FakeModel:
    digest: str
    memory_bytes: int = 10


class FakeRedis:
    """A sorted set, and a pipeline that writes to it at once; ``away`` makes reads fail."""

    def __init__(self, **used) -> None:
        self.sets = {key_of("prediction"): dict(used)}
        self.away = False

    async def zrange(self, key, start, stop, *, desc, withscores):
        assert (desc, withscores) == (True, True)
        if self.away:
            raise RedisAway("away")
        ordered = sorted(self.sets.get(key, {}).items(), key=lambda entry: -entry[1])
        return [(name.encode(), score) for name, score in ordered][start : stop + 1]

    def zadd(self, key, used, *, gt):
        assert gt
        kept = self.sets.setdefault(key, {})
        kept.update({name: max(score, kept.get(name, score)) for name, score in used.items()})

    def zremrangebyscore(self, key, low, high):
        self.sets[key] = {name: score for name, score in self.sets[key].items() if score > high}

    def zremrangebyrank(self, key, start, stop):
        ordered = sorted(self.sets[key].items(), key=lambda entry: entry[1])
        count = len(ordered) + stop + 1
        self.sets[key] = dict(ordered[max(0, count) :] if count > 0 else ordered)


class Loads:
    def __init__(self, *missing) -> None:
        self.order, self.missing, self.gate = [], set(missing), threading.Event()
        self.gate.set()

    def __call__(self, digest):
        assert self.gate.wait(10)
        self.order.append(digest)
        if digest in self.missing:
            raise FileNotFoundError(digest)
        return FakeModel(digest)


async def started(redis, loads, budget=100, **waits):
    models = ModelCache(loads, budget)
    preload = Preload("prediction", models, budget)
    await preload.run(redis, **waits)
    return preload, models


async def test_the_models_used_last_are_loaded_before_the_replica_goes_on():
    loads = Loads()
    preload, models = await started(FakeRedis(old=1.0, busy=3.0, some=2.0), loads)
    assert loads.order == ["busy", "some", "old"]
    assert models.loaded == ["old", "some", "busy"]  # the busiest is the last to be dropped
    await preload.stop()


async def test_memory_bounds_what_is_loaded_ahead_and_nothing_is_dropped_for_it():
    loads = Loads()
    preload, models = await started(FakeRedis(a=4.0, b=3.0, c=2.0, d=1.0), loads, budget=25)
    assert loads.order == ["a", "b"]
    assert models.memory_bytes == 20
    await preload.stop()


async def test_a_model_that_is_gone_does_not_keep_the_others_away():
    preload, models = await started(FakeRedis(gone=2.0, there=1.0), Loads("gone"))
    assert models.loaded == ["there"]
    await preload.stop()


async def test_without_redis_the_replica_starts_empty():
    redis = FakeRedis(a=1.0)
    redis.away = True
    preload, models = await started(redis, Loads())
    assert models.loaded == []
    await preload.stop()


async def test_a_slow_load_holds_up_the_start_for_a_bounded_time_and_goes_on_afterwards():
    loads = Loads()
    loads.gate.clear()
    preload, models = await started(FakeRedis(a=1.0), loads, wait_s=0.05)
    assert models.loaded == []
    loads.gate.set()
    await eventually(lambda: models.loaded == ["a"])
    await preload.stop()


async def test_a_version_promoted_during_the_start_is_found_by_the_second_look():
    redis, loads = FakeRedis(a=1.0), Loads()
    preload, models = await started(redis, loads, again_s=0.1)
    redis.sets[key_of("prediction")]["promoted"] = 5.0
    await eventually(lambda: "promoted" in models.loaded)
    await preload.stop()


async def test_a_beat_tells_what_was_used_lately_and_never_makes_a_use_older():
    now = time.time()
    redis = FakeRedis(idle=now - 60, old=now - 30 * 86_400)
    loads = Loads()
    preload, models = await started(redis, loads)
    async with models.use("fresh"):
        pass
    preload.tell(redis, everything=False)
    kept = redis.sets[key_of("prediction")]
    assert kept["fresh"] >= now
    assert kept["idle"] == now - 60  # loading ahead is no use
    assert "old" not in kept  # a week has passed
    del kept["idle"]
    preload.tell(redis, everything=True)
    assert kept["idle"] == now - 60
    await preload.stop()


@pytest.mark.parametrize("more", [0, 7])
async def test_the_set_is_bounded(more):
    now = time.time()
    redis = FakeRedis(**{f"m{number}": now + number / 1e6 for number in range(MOST - 1 + more)})
    models = ModelCache(Loads(), 10)
    async with models.use("newest"):
        pass
    preload = Preload("prediction", models, 10)
    preload.tell(redis, everything=True)
    kept = redis.sets[key_of("prediction")]
    assert len(kept) == MOST
    assert "newest" in kept
