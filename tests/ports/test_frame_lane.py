"""The frame socket between adapter and replica: when it is used, when it is not, and what it withstands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import uvloop

from cohortlens.adapters import endpoints, frame_lane, messages
from cohortlens.adapters.frame_lane import FrameLane
from cohortlens.adapters.inference import GrpcInferenceClient
from cohortlens.adapters.lanes import LaneFault
from cohortlens.adapters.replicas import ReplicaDirectory
from cohortlens.contracts.frames import HEADER, FrameProtocol, Method, greeting
from cohortlens.core.errors import Code
from tests.fakes.inference import BAD_DIGEST, scores_of
from tests.fakes.replicas import FakeRedis, Replica
from tests.fixtures.waiting import eventually

DIGEST = "a" * 64
ROWS = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


@pytest.fixture(autouse=True)
def _framed(monkeypatch):
    monkeypatch.setattr(Replica, "framed", True)


@pytest.fixture
async def replica():
    made = await Replica().start()
    yield made
    await made.stop()


@asynccontextmanager
async def client_of(*replicas, **changes):
    redis = FakeRedis()
    for one in replicas:
        redis.register("prediction", one, **changes)
    directory = ReplicaDirectory(redis, refresh_s=0.05)
    client = GrpcInferenceClient(directory)
    directory.start()
    await eventually(lambda: len(directory.live("prediction")) == len(replicas))
    try:
        yield client, directory
    finally:
        await client.close()


async def score(client, rows=ROWS, timeout=10.0):
    found = await client.score("prediction", DIGEST, "h", "spend", rows, deadline=time.monotonic() + timeout)
    np.testing.assert_array_equal(found["value"], scores_of("spend", rows)["value"])


def request(rows=ROWS, digest=DIGEST):
    return messages.score_request(digest, "h", "spend", rows)


@asynccontextmanager
async def lane_to(replica):
    lane = await FrameLane.connect(replica.frame_socket, replica.name, 5)
    try:
        yield lane
    finally:
        lane.close()


async def test_calls_on_one_host_travel_as_frames(replica):
    async with client_of(replica) as (client, _):
        await score(client)
    assert (replica.calls, replica.frame_calls) == (1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "another", "address": None},
        {"frame_socket": "/nowhere/p-1.frames"},
        {"frame_socket": __file__},
        {"frame_socket": ""},
    ],
    ids=["another host", "no such path", "no socket", "none registered"],
)
async def test_calls_go_over_grpc_when_the_socket_is_not_one_to_use(replica, changes, monkeypatch):
    if "address" in changes:
        # Another host's replica has an address that is not of loopback; here that is this host's own.
        monkeypatch.setattr(endpoints, "_LOOPBACK", ())
        changes = {"host": changes["host"]}
    async with client_of(replica, **changes) as (client, _):
        await score(client)
    assert (replica.calls, replica.frame_calls) == (1, 0)


async def test_an_address_of_another_host_s_loopback_is_never_called(replica):
    redis = FakeRedis()
    redis.register("prediction", replica, host="another")
    directory = ReplicaDirectory(redis, refresh_s=0.05)
    directory.start()
    await asyncio.sleep(0.2)
    assert directory.counts() == {}
    await directory.close()


async def test_a_socket_of_another_user_is_not_connected_to(replica, monkeypatch):
    monkeypatch.setattr(frame_lane.os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(PermissionError, match="belongs to user"):
        await FrameLane.connect(replica.frame_socket, replica.name, 5)


async def test_a_path_that_leads_to_another_replica_is_not_used(replica):
    with pytest.raises(LaneFault, match="REPLICA_MISMATCH"):
        await FrameLane.connect(replica.frame_socket, "somebody-else", 5)


async def test_calls_return_to_frames_once_the_socket_is_there_again(replica):
    async with client_of(replica) as (client, directory):
        await score(client)
        (endpoint,) = directory.live("prediction")
        await replica.stop_frames()
        await eventually(lambda: not endpoint.uses_frames)
        await score(client)
        assert (replica.calls, replica.frame_calls) == (2, 1)
        await replica.start_frames()
        await eventually(lambda: endpoint.uses_frames)
        await score(client)
        assert (replica.calls, replica.frame_calls) == (3, 2)


def test_frames_work_on_the_gateway_s_own_event_loop():
    async def run():
        replica = await Replica().start()
        async with client_of(replica) as (client, _):
            await score(client, np.ones((20_000, 20), np.float32))
        await replica.stop()
        return replica.frame_calls

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == 1


async def test_many_calls_share_a_connection_and_are_answered_in_any_order(replica):
    async with lane_to(replica) as lane:
        replica.gate = asyncio.Event()
        slow = asyncio.create_task(lane.call(Method.SCORE, request(), 10))
        await eventually(lambda: replica.calls == 1)
        gate, replica.gate = replica.gate, None
        matrices = [np.full((number, 2), number, np.float32) for number in range(1, 200)]
        answers = await asyncio.gather(*(lane.call(Method.SCORE, request(rows), 10) for rows in matrices))
        for rows, answer in zip(matrices, answers, strict=True):
            np.testing.assert_array_equal(
                messages.scores_of(answer, len(rows))["value"], scores_of("spend", rows)["value"]
            )
        assert not slow.done()
        gate.set()
        assert len(messages.scores_of(await slow, 2)["value"]) == 2


async def test_a_call_of_twelve_megabytes_passes_both_ways(replica):
    rows = np.random.default_rng(1).random((150_000, 20), np.float32)
    async with client_of(replica) as (client, _):
        await score(client, rows)
        await score(client)
    assert replica.frame_calls == 2


async def test_a_call_that_is_cancelled_or_late_is_cancelled_at_the_replica(replica):
    async with lane_to(replica) as lane:
        replica.gate = asyncio.Event()
        task = asyncio.create_task(lane.call(Method.SCORE, request(), 10))
        await eventually(lambda: replica.calls == 1)
        task.cancel()
        await eventually(lambda: replica.cancelled == 1)
        with pytest.raises(LaneFault) as late:
            await lane.call(Method.SCORE, request(), 0.05)
        assert late.value.code is Code.DEADLINE_EXCEEDED
        await eventually(lambda: replica.cancelled == 2)
        assert lane.open


async def test_a_caller_that_hangs_up_takes_its_calls_along(replica):
    replica.gate = asyncio.Event()
    async with lane_to(replica) as lane:
        task = asyncio.create_task(lane.call(Method.SCORE, request(), 10))
        await eventually(lambda: replica.calls == 1)
    with pytest.raises(LaneFault, match="UNAVAILABLE"):
        await task
    await eventually(lambda: replica.cancelled == 1)


async def test_a_fault_keeps_its_code_and_its_reason(replica):
    async with lane_to(replica) as lane:
        with pytest.raises(LaneFault) as refused:
            await lane.call(Method.SCORE, request(digest=BAD_DIGEST), 10)
        assert refused.value.code is Code.INVALID_ARGUMENT
        assert refused.value.details == "FEATURE_SCHEMA_MISMATCH: the model refuses"
        with pytest.raises(LaneFault, match="MESSAGE_INVALID"):
            await lane.call(Method.SCORE, (b"\xff\xff\xff",), 10)
        assert lane.open


async def test_a_draining_replica_ends_its_calls_and_refuses_new_ones(replica):
    async with lane_to(replica) as lane:
        replica.gate = asyncio.Event()
        under_way = asyncio.create_task(lane.call(Method.SCORE, request(), 10))
        await eventually(lambda: replica.calls == 1)
        stopping = asyncio.create_task(replica.frames.stop(5))
        await asyncio.sleep(0)
        with pytest.raises(LaneFault, match="DRAINING"):
            await lane.call(Method.SCORE, request(), 10)
        replica.gate.set()
        assert len(messages.scores_of(await under_way, 2)["value"]) == 2
        await stopping


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        HEADER.pack(2**32 - 1, 1, 1000, 0, Method.HELLO, 0, 0),
        HEADER.pack(0, 1, 1000, 0, Method.SCORE, 0, 0),
        HEADER.pack(0, 1, 0, 0, Method.HELLO, 5, 0),
        HEADER.pack(3, 1, 1000, 0, Method.HELLO, 0, 0) + greeting("one"),
    ],
    ids=["http", "too long", "ahead of the greeting", "an answer", "greeting too short"],
)
async def test_bytes_that_are_no_call_close_only_their_own_connection(replica, bytes_sent):
    async with lane_to(replica) as lane:
        reader, writer = await asyncio.open_unix_connection(replica.frame_socket)
        writer.write(bytes_sent)
        async with asyncio.timeout(5):
            try:
                answer = await reader.read()
            except ConnectionResetError:
                answer = b""
        await hang_up(writer)
        # Nothing, or a refusal: a frame whose status is not 0.
        assert not answer or HEADER.unpack_from(answer)[5]
        assert lane.open
        assert await lane.call(Method.SCORE, request(), 10)


async def test_closed_connections_are_counted(replica):
    for _ in range(3):
        _, writer = await asyncio.open_unix_connection(replica.frame_socket)
        writer.write(b"\xff" * 64)
        await hang_up(writer)
    await eventually(lambda: replica.frames.faults == 3)


def test_the_socket_and_its_folder_are_closed_to_other_users(replica):
    path = Path(replica.frame_socket)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def hang_up(writer):
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


class Hung(FrameProtocol):
    """Greets, then takes calls and never says anything."""

    def frame(self, head, body):
        if head.method == Method.HELLO:
            self.send(Method.HELLO, head.call)

    def malformed(self, what):
        raise AssertionError(what)

    def ended(self):
        pass


async def test_a_replica_that_hangs_does_not_keep_its_calls_when_another_lives(replica, monkeypatch):
    monkeypatch.setattr(endpoints, "PING_S", 0.2)
    other = Replica("other")
    await other.start()
    await other.stop_frames()
    Path(other.frame_socket).parent.mkdir(mode=0o700, exist_ok=True)
    server = await asyncio.get_running_loop().create_unix_server(Hung, other.frame_socket)
    try:
        async with client_of(replica, other) as (client, directory):
            started = time.monotonic()
            # As many at once as make sure that both get some.
            await asyncio.gather(*(score(client, timeout=30.0) for _ in range(20)))
            assert time.monotonic() - started < 10
            assert [one.replica for one in directory.live("prediction")] == [replica.name]
            assert replica.calls >= 20
    finally:
        server.close()
        await other.stop()


async def test_the_only_replica_keeps_its_calls_however_long_it_is_silent(replica, monkeypatch):
    monkeypatch.setattr(endpoints, "PATIENCE_S", 0.05)
    monkeypatch.setattr(endpoints, "PING_S", 0.05)
    replica.gate = asyncio.Event()
    async with client_of(replica) as (client, _):
        task = asyncio.create_task(score(client))
        await asyncio.sleep(0.6)
        assert not task.done()
        replica.gate.set()
        await task
        assert replica.calls == 1


async def test_a_slow_replica_that_says_it_lives_keeps_its_calls(replica, monkeypatch):
    monkeypatch.setattr(endpoints, "PATIENCE_S", 0.05)
    other = Replica("other")
    await other.start()
    replica.gate = other.gate = asyncio.Event()
    try:
        async with client_of(replica, other) as (client, directory):
            tasks = [asyncio.create_task(score(client)) for _ in range(4)]
            await asyncio.sleep(0.6)
            assert len(directory.live("prediction")) == 2
            replica.gate.set()
            await asyncio.gather(*tasks)
            assert replica.calls + other.calls == 4
    finally:
        await other.stop()


async def test_a_model_is_loaded_at_its_other_owner_while_the_first_is_busy(replica):
    other = Replica("other")
    await other.start()
    try:
        async with client_of(replica, other) as (client, _):
            await score(client)
            first = replica if replica.calls else other
            second = other if first is replica else replica
            first.gate = asyncio.Event()
            calls = [asyncio.create_task(score(client)) for _ in range(2)]
            await eventually(lambda: second.loaded == [DIGEST])
            first.gate.set()
            await asyncio.gather(*calls)
    finally:
        await other.stop()
