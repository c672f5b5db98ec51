"""Server streams over HTTP: NDJSON, arrays, raw bytes, errors before and after the first message."""

from __future__ import annotations

import asyncio
import json

import pytest

from cohortlens.core.errors import NotFound
from gateway.http import streaming
from gateway.http.codec import Codecs
from tests.unit.gateway.http.support import Client, Schema, door_for, message_class


def _pool():
    schema = Schema("tick").message("In", {"n": "int32"}).message("Out", {"at": "int64"})
    schema.method("Clock", "Ticks", "In", "Out", {"get": "/ticks/{n}"}, streams=(False, True))
    schema.method("Clock", "Bytes", "In", "google.api.HttpBody", {"get": "/bytes/{n}"}, streams=(False, True))
    return schema.build()


POOL = _pool()


class Clock:
    """Sends ``n`` messages, then fails if ``error`` is set; ``gate`` is awaited before each but the first."""

    def __init__(self):
        self.error, self.gate, self.sent = None, None, 0

    async def Ticks(self, request, call):  # noqa: N802
        cls = message_class(POOL, "tick.Out")
        async for number in self._count(request):
            yield cls(at=2**53 + number)

    async def Bytes(self, request, call):  # noqa: N802
        cls = message_class(POOL, "google.api.HttpBody")
        async for number in self._count(request):
            yield cls(content_type="text/plain", data=b"%d;" % number)

    async def _count(self, request):
        for number in range(request.n):
            if number and self.gate is not None:
                await self.gate.wait()
            self.sent += 1
            yield number
        if self.error is not None:
            raise self.error


@pytest.fixture
def clock():
    servicer = Clock()
    codecs = {"strict": Codecs(POOL), "lenient": Codecs(POOL, lenient=True)}
    return Client(door_for(POOL, ["tick.Clock"], servicer, **codecs)), servicer


async def test_messages_are_lines_of_their_own_and_flushed_one_by_one(clock):
    client, _ = clock
    answer = await client.request("GET", "/ticks/3")
    assert (answer.status, answer.header("content-type")) == (200, "application/x-ndjson")
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert lines == [{"result": {"at": str(2**53 + number)}} for number in range(3)]
    assert len([piece for piece in answer.pieces if piece]) == 3
    assert answer.complete
    assert (answer.header("cache-control"), answer.header("x-accel-buffering")) == ("no-store", "no")


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_an_array_is_closed_however_many_messages_it_holds(clock, count):
    client, _ = clock
    answer = await client.request("GET", f"/ticks/{count}", headers={"accept": "application/json"})
    assert answer.header("content-type") == "application/json"
    assert answer.json == [{"at": str(2**53 + number)} for number in range(count)]


async def test_an_error_before_the_first_message_keeps_its_status(clock):
    client, servicer = clock
    servicer.error = NotFound("no clock")
    answer = await client.request("GET", "/ticks/0")
    assert (answer.status, answer.reason) == (404, "RESOURCE_NOT_FOUND")
    answer = await client.request("GET", "/ticks/1", headers={"accept": "text/html"})
    assert (answer.status, answer.reason) == (406, "NOT_ACCEPTABLE")
    assert servicer.sent == 0


async def test_an_error_after_the_first_message_is_the_last_line(clock):
    client, servicer = clock
    servicer.error = NotFound("the clock stopped")
    answer = await client.request("GET", "/ticks/2")
    assert (answer.status, answer.complete) == (200, True)
    last = json.loads(answer.body.splitlines()[-1])
    assert (last["error"]["code"], last["error"]["message"]) == (5, "the clock stopped")
    answer = await client.request("GET", "/ticks/2", headers={"accept": "application/json"})
    assert (len(answer.json), answer.json[-1]["error"]["code"]) == (3, 5)


async def test_raw_bytes_are_joined_and_never_look_complete_after_a_failure(clock):
    client, servicer = clock
    answer = await client.request("GET", "/bytes/3")
    assert (answer.header("content-type"), answer.body, answer.complete) == ("text/plain", b"0;1;2;", True)
    servicer.error = NotFound("torn")
    with pytest.raises(ConnectionAbortedError):
        await client.request("GET", "/bytes/1")


async def test_a_slow_reader_holds_the_servicer_back_and_a_stalled_one_is_cut_off(clock, monkeypatch):
    client, servicer = clock
    monkeypatch.setattr(streaming, "STALLED_S", 0.05)
    reading = asyncio.Event()

    async def receive():
        if not asked:
            asked.append(1)
            return {"type": "http.request", "body": b"", "more_body": False}
        return await asyncio.Event().wait()

    async def send(event):
        if event["type"] == "http.response.body":
            reading.set()
            await asyncio.Event().wait()

    asked = []
    scope = {"type": "http", "method": "GET", "path": "/ticks/1000", "headers": []}
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionAbortedError):
            await client.app(scope, receive, send)
    assert reading.is_set()
    assert servicer.sent == 1
