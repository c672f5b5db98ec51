"""Between hosts: gRPC with TLS of both sides, each seen to refuse what is not ours."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from cohortlens.adapters import endpoints
from cohortlens.adapters.inference import GrpcInferenceClient
from cohortlens.adapters.replicas import ReplicaDirectory
from cohortlens.adapters.worker_tls import channels
from cohortlens.core.errors import CohortLensError, Internal, Unavailable
from cohortlens.internal.v1 import inference_pb2_grpc as rpc
from tests.fakes.inference import scores_of
from tests.fakes.replicas import FakeRedis, Replica
from tests.fixtures.certificates import CALLER, WORKER, Authority
from tests.fixtures.waiting import eventually
from workers.deployments.listening import Listen
from workers.deployments.server import GrpcServer

ROWS = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


@pytest.fixture
def ours(tmp_path):
    return Authority(tmp_path, "ours")


@pytest.fixture
def foreign(tmp_path):
    return Authority(tmp_path, "foreign")


@asynccontextmanager
async def worker(tls):
    """A fake replica behind the workers' own server."""
    replica = Replica()
    server = GrpcServer(
        lambda target: rpc.add_InferenceServiceServicer_to_server(replica, target), listen=Listen(tls=tls)
    )
    await server.start()
    replica.address = server.address
    try:
        yield replica
    finally:
        await server.stop(0)


@asynccontextmanager
async def caller(replica, tls, monkeypatch):
    # As from another host, whose replicas have addresses that are not of loopback.
    monkeypatch.setattr(endpoints, "_LOOPBACK", ())
    redis = FakeRedis()
    redis.register("prediction", replica, host="another")
    directory = ReplicaDirectory(redis, open_channel=channels(tls), refresh_s=0.05)
    client = GrpcInferenceClient(directory)
    try:
        yield client
    finally:
        await client.close()


async def score(client, timeout=10.0):
    found = await client.score(
        "prediction", "a" * 64, "h", "spend", ROWS, deadline=time.monotonic() + timeout
    )
    np.testing.assert_array_equal(found["value"], scores_of("spend", ROWS)["value"])


async def refused(server_tls, caller_tls, monkeypatch, kind=Unavailable) -> CohortLensError:
    async with worker(server_tls) as replica, caller(replica, caller_tls, monkeypatch) as client:
        with pytest.raises(kind) as fault:
            await score(client, 1.5)
        assert replica.calls == 0
    return fault.value


async def test_both_sides_of_one_authority_with_their_names_are_let_in(ours, monkeypatch):
    async with (
        worker(ours.issue(WORKER)) as replica,
        caller(replica, ours.issue(CALLER), monkeypatch) as client,
    ):
        await score(client)
        assert replica.calls == 1


async def test_a_caller_without_a_certificate_is_refused(ours, monkeypatch):
    await refused(ours.issue(WORKER), None, monkeypatch)


async def test_a_caller_of_a_foreign_authority_is_refused(ours, foreign, monkeypatch):
    # It trusts our authority, so that only the worker can refuse.
    theirs = replace(foreign.issue(CALLER), authority=ours.path)
    await refused(ours.issue(WORKER), theirs, monkeypatch)


async def test_a_caller_whose_certificate_has_ended_is_refused(ours, monkeypatch):
    await refused(ours.issue(WORKER), ours.issue(CALLER, days=-1), monkeypatch)


async def test_a_worker_s_certificate_is_not_enough_to_call_another_worker(ours, monkeypatch, caplog):
    tls = ours.issue(WORKER)
    fault = await refused(tls, tls, monkeypatch, Internal)
    assert fault.reason == "CALLER_UNKNOWN"
    assert f"its certificate holds [b'{WORKER}']" in caplog.text


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda ours, foreign: foreign.issue(WORKER), "certificate"),
        (lambda ours, foreign: ours.issue(WORKER, days=-1), "certificate"),
        (lambda ours, foreign: ours.issue("elsewhere.example"), "Hostname Verification Check failed"),
        (lambda ours, foreign: None, "handshake"),
    ],
    ids=["foreign authority", "ended", "another name", "no tls"],
)
async def test_a_worker_that_cannot_prove_itself_is_never_called_and_the_log_says_why(
    ours, foreign, monkeypatch, caplog, make, said
):
    server = make(ours, foreign)
    if server is not None:
        # It trusts our authority, so that only the caller can refuse.
        server = replace(server, authority=ours.path)
    await refused(server, ours.issue(CALLER), monkeypatch)
    (ejected, *_) = [one for one in caplog.records if one.message == "replica ejected"]
    assert said in str(vars(ejected)), vars(ejected)


@pytest.mark.parametrize("side", [WORKER, CALLER])
async def test_a_renewed_certificate_is_shown_without_a_restart(ours, monkeypatch, side):
    tls = {name: ours.issue(name, days=-1 if name == side else 30, as_file=name) for name in (WORKER, CALLER)}
    async with worker(tls[WORKER]) as replica, caller(replica, tls[CALLER], monkeypatch) as client:
        with pytest.raises(Unavailable):
            await score(client, 1.0)
        ours.issue(side, as_file=side)
        await eventually(lambda: _passes(client))


async def _passes(client):
    try:
        await score(client, 1.0)
    except Unavailable:
        return False
    return True
