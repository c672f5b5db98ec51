"""The cache of models: budget, order, single flight, use."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass

import pytest

from workers.runtime.cache import ModelCache, ModelTooLarge


@dataclass
class FakeModel:
    digest: str
    memory_bytes: int = 10


class Loader:
    """Counts loads; may be told to wait or to fail."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failures: list[Exception] = []
        self.started = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, digest: str) -> FakeModel:
        self.calls.append(digest)
        self.started.set()
        assert self.gate.wait(10)
        if self.failures:
            raise self.failures.pop()
        return FakeModel(digest, 1000 if digest == "huge" else 10)


@pytest.fixture
def loader():
    return Loader()


async def touch(cache, *digests):
    for digest in digests:
        async with cache.use(digest) as model:
            assert model.digest == digest


async def test_the_least_recently_used_model_goes_first(loader):
    cache = ModelCache(loader, 30)

    await touch(cache, "a", "b", "c", "a", "d")

    assert cache.loaded == ["c", "a", "d"]
    assert cache.memory_bytes == 30


async def test_a_model_in_use_is_never_dropped_and_goes_when_its_use_ends(loader):
    cache = ModelCache(loader, 10)

    async with cache.use("a"):
        async with cache.use("b"):
            assert cache.loaded == ["a", "b"]
        assert "a" in cache.loaded
    await touch(cache, "b")

    assert cache.loaded == ["b"]


async def test_many_callers_of_one_model_load_it_once(loader):
    cache = ModelCache(loader, 100)
    loader.gate.clear()
    callers = [asyncio.create_task(touch(cache, "a")) for _ in range(20)]
    assert await asyncio.to_thread(loader.started.wait, 10)
    loader.gate.set()

    await asyncio.gather(*callers)

    assert loader.calls == ["a"]


async def test_a_caller_that_leaves_does_not_take_the_load_away_from_the_others(loader):
    cache = ModelCache(loader, 100)
    loader.gate.clear()
    leaver, stayer = (asyncio.create_task(touch(cache, "a")) for _ in range(2))
    assert await asyncio.to_thread(loader.started.wait, 10)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    loader.gate.set()

    await stayer

    assert loader.calls == ["a"]


async def test_a_failed_load_reaches_its_callers_and_the_next_call_tries_again(loader):
    cache = ModelCache(loader, 100)
    loader.failures.append(OSError("disk"))

    with pytest.raises(OSError, match="disk"):
        await touch(cache, "a")
    await touch(cache, "a")

    assert loader.calls == ["a", "a"]
    assert cache.loaded == ["a"]


async def test_a_model_beyond_the_whole_budget_is_refused_and_the_others_stay(loader):
    cache = ModelCache(loader, 100)
    await touch(cache, "a")

    with pytest.raises(ModelTooLarge, match="COHORTLENS_WORKER_MODEL_MEMORY"):
        await touch(cache, "huge")

    assert cache.loaded == ["a"]


async def test_the_owner_learns_of_every_model_that_comes_or_goes(loader):
    seen: list[list[str]] = []
    cache = ModelCache(loader, 20, lambda: seen.append(cache.loaded))

    await touch(cache, "a", "b", "a", "c")

    assert seen == [["a"], ["a", "b"], ["a", "c"]]


async def test_a_version_in_use_answers_while_the_next_one_loads_beside_it(loader):
    cache = ModelCache(loader, 20)
    async with cache.use("old") as old:
        loader.gate.clear()
        loading = asyncio.create_task(touch(cache, "new"))
        async with cache.use("old") as again:
            assert again is old
        loader.gate.set()
        await loading
        assert cache.loaded == ["old", "new"]
    await touch(cache, "other")
    assert cache.loaded == ["new", "other"]


async def test_switching_between_versions_keeps_within_the_budget(loader):
    cache = ModelCache(loader, 20)
    for turn in range(200):
        await touch(cache, f"v{turn}")
        assert cache.memory_bytes <= 20
    assert cache.loaded == ["v198", "v199"]


async def test_loading_ahead_is_no_use_and_keeps_the_time_of_the_last_one(loader):
    cache = ModelCache(loader, 100)
    await cache.preload("busy", 2.0)
    await cache.preload("idle", 1.0)
    await touch(cache, "called")
    await cache.preload("called", 3.0)
    assert cache.loaded == ["idle", "busy", "called"]
    assert cache.used_since(1.5).keys() == {"busy", "called"}
    assert cache.used_since(0.0)["busy"] == 2.0
    assert loader.calls == ["busy", "idle", "called"]


async def test_the_time_of_use_is_known_when_the_owner_learns_of_a_model(loader):
    told: list[dict[str, float]] = []
    cache = ModelCache(loader, 100, lambda: told.append(cache.used_since(0.0)))
    await touch(cache, "called")
    await cache.preload("ahead", 5.0)
    assert told[0]["called"] > 1e9
    assert told[1]["ahead"] == 5.0
