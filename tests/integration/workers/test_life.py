"""A replica without Ray, in this process: it opens, proves its health, drains in order."""

from __future__ import annotations

import asyncio
import json

import grpc
import numpy as np
import pytest

from cohortlens.core.config import Url
from cohortlens.internal.v1 import inference_pb2 as pb
from cohortlens.internal.v1 import inference_pb2_grpc as pb_grpc
from tests.fixtures.waiting import eventually
from workers.config import WorkerConfig
from workers.deployments import codec
from workers.deployments.base import Replica, Unhealthy


class Manifest:
    model, schema_hash, targets = "prediction", "5c", ("spend",)


class SlowModel:
    """Answers rows beyond the inline limit only when told to."""

    memory_bytes = 1
    manifest = Manifest()

    def __init__(self) -> None:
        import threading

        self.started, self.go = threading.Event(), threading.Event()

    def score(self, target, features):
        self.started.set()
        assert self.go.wait(20)
        return {"value": features.sum(axis=1, dtype=np.float64)}


class TestReplica(Replica):
    __test__ = False
    deployment, kind, methods = "prediction", "prediction", frozenset({"score"})
    fault: Exception | None = None

    def warm(self) -> None:
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def config(valkey, short_tmp):
    return WorkerConfig(data_dir=short_tmp / "life", redis_url=Url(valkey.url.removesuffix("/0") + "/2"))


@pytest.fixture
def model():
    return SlowModel()


@pytest.fixture
async def replica(config, model):
    made = TestReplica("r1", config, lambda digest: model)
    await made.open()
    yield made
    model.go.set()
    await made.close(leave_s=0, grace_s=1)


def keys(config):
    import redis

    with redis.Redis.from_url(str(config.redis_url)) as client:
        return [json.loads(client.get(key)) for key in client.keys("cl:replica:prediction:r1")]


async def test_a_replica_that_answers_and_beats_is_healthy(replica):
    await replica.check()


async def test_a_replica_that_was_never_opened_or_is_closed_is_unhealthy(config, model):
    made = TestReplica("r2", config, lambda digest: model)

    with pytest.raises(Unhealthy, match="not open"):
        await made.check()


async def test_a_replica_whose_server_is_gone_is_unhealthy(replica):
    await replica._server.stop(0)

    with pytest.raises(Unhealthy, match="UNAVAILABLE"):
        await replica.check()


async def test_a_replica_whose_beat_ended_is_unhealthy(replica):
    await replica._registration.stop()

    with pytest.raises(Unhealthy, match="beats"):
        await replica.check()


async def test_a_replica_that_cannot_import_what_it_needs_is_unhealthy(config, model):
    made = TestReplica("r3", config, lambda digest: model)
    made.fault = ImportError("no shap")
    await made.open()

    await asyncio.wait({made._warming}, timeout=10)
    with pytest.raises(Unhealthy, match="no shap"):
        await made.check()
    await made.close(leave_s=0, grace_s=0)


async def test_draining_deregisters_first_and_lets_the_call_under_way_end(replica, config, model):
    await eventually(lambda: keys(config), 15.0)
    rows = np.ones((200, 3), np.float32)
    request = pb.ScoreRequest(
        artifact_digest="a" * 64, schema_hash="5c", target="spend", features=codec.matrix(rows)
    )
    async with grpc.aio.insecure_channel(replica.address) as channel:
        call = pb_grpc.InferenceServiceStub(channel).Score(request, timeout=20)
        under_way = asyncio.ensure_future(call)
        assert await asyncio.to_thread(model.started.wait, 10)
        assert replica.record().rows_in_flight == 200

        closing = asyncio.create_task(replica.close(leave_s=0.2, grace_s=10))
        await eventually(lambda: not keys(config), 15.0)
        assert not under_way.done()
        model.go.set()
        answer = await under_way

    assert np.frombuffer(answer.columns[0].values).tolist() == [3.0] * 200
    await closing
    assert list(config.socket_dir.glob("*.sock")) == []


async def test_a_socket_that_a_killed_replica_left_is_removed_by_the_next_one(config, model):
    config.socket_dir.mkdir(parents=True, exist_ok=True)
    left = config.socket_dir / "p-4194305.sock"  # beyond the largest process id
    left.touch()

    TestReplica("r4", config, lambda digest: model)

    assert not left.exists()
