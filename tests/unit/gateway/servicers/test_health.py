"""Health answers from one board; watchers hear every change and are let go at the end."""

import asyncio

import pytest
from grpc_health.v1 import health_pb2

from cohortlens.core.errors import NotFound, ResourceExhausted
from gateway import app, composition
from gateway.servicers.health import HealthBoard, HealthServicer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE = "cohortlens.v1.AnalyticsService"


def request(name=""):
    return health_pb2.HealthCheckRequest(service=name)


@pytest.fixture
def board():
    return HealthBoard([SERVICE, "other"])


@pytest.fixture
def servicer(board):
    return HealthServicer(board, lambda: [SERVICE, "other"])


async def status(servicer, name=""):
    return (await servicer.Check(request(name), None)).status


async def test_nothing_but_liveness_serves_before_the_start(servicer):
    assert await status(servicer, "liveness") == SERVING
    for name in ("", "readiness", SERVICE):
        assert await status(servicer, name) == NOT_SERVING


async def test_every_block_must_be_lifted(board, servicer):
    board.block("postgres")
    board.unblock("starting")
    assert (await status(servicer), board.blocks()) == (NOT_SERVING, ["postgres"])
    board.unblock("postgres")
    assert await status(servicer) == SERVING


async def test_a_service_can_be_down_alone(board, servicer):
    board.unblock("starting")
    board.set_service(SERVICE, serving=False)
    assert await status(servicer, SERVICE) == NOT_SERVING
    assert await status(servicer, "other") == SERVING
    assert await status(servicer) == SERVING
    listed = (await servicer.List(None, None)).statuses
    assert {name: one.status for name, one in listed.items()} == {
        "": SERVING,
        "liveness": SERVING,
        "readiness": SERVING,
        SERVICE: NOT_SERVING,
        "other": SERVING,
    }


async def test_an_unknown_service_is_not_found_by_check_and_unknown_to_watch(servicer):
    with pytest.raises(NotFound):
        await servicer.Check(request("nobody"), None)
    watch = servicer.Watch(request("nobody"), None)
    assert (await anext(watch)).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    await watch.aclose()


async def test_a_watch_tells_changes_of_its_own_name_only_and_ends_with_the_process(board, servicer):
    board.unblock("starting")
    watch = servicer.Watch(request(SERVICE), None)
    assert (await anext(watch)).status == SERVING
    following = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    board.set_service("other", serving=False)
    await asyncio.sleep(0)
    assert not following.done()
    board.set_service(SERVICE, serving=False)
    assert (await asyncio.wait_for(following, 5)).status == NOT_SERVING
    board.block("draining")
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(watch), 5)


async def test_watches_are_bounded_and_given_back(servicer):
    watches = [servicer.Watch(request(), None) for _ in range(100)]
    for watch in watches:
        await anext(watch)
    with pytest.raises(ResourceExhausted):
        await anext(servicer.Watch(request(), None))
    await watches.pop().aclose()
    last = servicer.Watch(request(), None)
    assert (await anext(last)).status == NOT_SERVING
    for watch in [*watches, last]:
        await watch.aclose()


async def test_readiness_is_lost_when_the_database_stays_away_and_comes_back_with_it(board, monkeypatch):
    monkeypatch.setattr(app, "_CHECK_EVERY_S", 0.001)
    monkeypatch.setattr(app, "_DOWN_AFTER_S", 0.01)
    board.unblock("starting")
    answers = True

    async def check():
        if not answers:
            raise RuntimeError("a fault nobody thought of")

    watching = asyncio.create_task(app._watch(composition.Parts(None, None, board, check, None)))

    async def until(ready):
        async with asyncio.timeout(5):
            while board.ready is not ready:
                change = board.next_change()
                if board.ready is not ready:
                    await change.wait()

    answers = False
    await until(False)
    assert board.blocks() == ["postgres"]
    answers = True
    await until(True)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
