"""The ops listener over real sockets: three pages and nothing else, also while the event loop hangs."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time

import pytest

from cohortlens.core import ops as module
from cohortlens.core.ops import OpsListener, OpsPortInUseError, ops_socket
from tests.fixtures.waiting import eventually_blocking


@pytest.fixture(scope="module")
def untouched():
    """A listener that nobody has told anything, shared by all that only ask."""
    made = OpsListener("127.0.0.1", 0)
    yield made
    made.close()


@pytest.fixture
def ops():
    made = OpsListener("127.0.0.1", 0)
    yield made
    made.close()


def ask(ops, path, verb="GET", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", ops.port, timeout=10)
    connection.request(verb, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def status(ops, path):
    return ask(ops, path)[0].status


def test_before_anything_is_ready_the_process_lives_and_shows_its_metrics(untouched):
    assert status(untouched, "/livez") == 200
    assert status(untouched, "/readyz") == 503
    answer, body = ask(untouched, "/metrics")
    assert answer.status == 200
    assert b"log_lines_dropped_total" in body
    assert (answer.getheader("cache-control"), answer.getheader("server")) == ("no-store", None)


@pytest.mark.parametrize("path", ["/", "/metrics/", "/METRICS", "/livez/../metrics", "/api/v1/health"])
def test_there_is_nothing_but_the_three_pages(untouched, path):
    assert status(untouched, path) == 404


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
def test_nothing_can_be_changed(untouched, verb):
    assert ask(untouched, "/metrics", verb)[0].status in (501, 400)


def test_head_has_no_body(untouched):
    answer, body = ask(untouched, "/livez", "HEAD")
    assert (answer.status, body) == (200, b"")
    assert answer.getheader("content-length") != "0"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", ""])
def test_on_loopback_a_page_under_another_name_reads_nothing(untouched, host):
    assert ask(untouched, "/metrics", host=host)[0].status == 403
    assert ask(untouched, "/metrics", host="localhost:9464")[0].status == 200


async def test_readiness_and_metrics_are_asked_of_the_loop(ops):
    missing = ["postgres"]

    async def asked():
        return missing

    async def page():
        return b"series 1\n"

    ops.follow(asked, page)
    assert await asyncio.to_thread(ask, ops, "/metrics")
    _, body = await asyncio.to_thread(ask, ops, "/readyz")
    assert body == b'{"status": "not_ready", "missing": ["postgres"]}'
    missing.clear()
    assert await asyncio.to_thread(status, ops, "/readyz") == 200
    assert (await asyncio.to_thread(ask, ops, "/metrics"))[1] == b"series 1\n"


def test_a_loop_that_hangs_is_told(ops, monkeypatch):
    monkeypatch.setattr(module, "HUNG_AFTER_S", 0.6)
    monkeypatch.setattr(module, "_ANSWER_S", 0.3)
    found = {}

    def probe():
        time.sleep(1.2)  # by now the loop has hung for longer than HUNG_AFTER_S
        found.update({path: status(ops, path) for path in ("/livez", "/readyz", "/metrics")})

    async def ready():
        return []

    async def page():
        return b""

    async def hang():
        ops.follow(ready, page)
        await asyncio.sleep(0.05)
        thread = threading.Thread(target=probe)
        thread.start()
        time.sleep(2.5)  # noqa: ASYNC251 - what is tested
        thread.join()
        await asyncio.to_thread(eventually_blocking, lambda: status(ops, "/livez") == 200)

    asyncio.run(hang())
    assert found == {"/livez": 503, "/readyz": 503, "/metrics": 503}


def test_a_taken_port_is_named(untouched):
    with pytest.raises(OpsPortInUseError, match="COHORTLENS_OPS_PORT"):
        OpsListener("127.0.0.1", untouched.port)


def test_connections_that_say_nothing_do_not_shut_out_others(ops):
    silent = [socket.create_connection(("127.0.0.1", ops.port)) for _ in range(4)]
    assert status(ops, "/livez") == 200
    for one in silent:
        one.close()


def test_several_processes_answer_on_one_socket_and_each_can_leave():
    shared = ops_socket("127.0.0.1", 0)
    listeners = [OpsListener("127.0.0.1", 0, shared.dup()) for _ in range(3)]
    for left in (3, 2, 1):
        assert [status(listeners[0], "/livez") for _ in range(10)] == [200] * 10
        assert len(listeners) == left
        listeners.pop().close()
    shared.close()
