"""Server-sent events: framing, signs of life, going on where a reader was, and the end of the process."""

from __future__ import annotations

import asyncio
import json

import pytest

from cohortlens.core.errors import NotFound
from gateway.http import streaming
from gateway.http.codec import Codecs
from gateway.servicers.health import HealthBoard
from tests.vectors.transcoding.client import Client
from tests.vectors.transcoding.door import door_for
from tests.vectors.transcoding.schema import Schema, message_class

EVENTS = {"accept": "text/event-stream"}
NDJSON = "application/x-ndjson"


def _pool():
    schema = Schema("news").message("In", {"n": "int32", "from_number": "int32", "resume_token": "string"})
    schema.message("Plain", {"n": "int32"}).message("Out", {"text": "string", "resume_token": "string"})
    for name, request, path in (("Follow", "In", "/news"), ("Count", "Plain", "/count")):
        schema.method("News", name, request, "Out", {"get": path}, streams=(False, True))
    return schema.build()


POOL = _pool()


class News:
    """Sends messages up to ``n`` behind the token of the request, then waits for ``over``."""

    def __init__(self):
        self.asked, self.error, self.over, self.cancelled = [], None, asyncio.Event(), False
        self.over.set()
        self.reached = asyncio.Event()

    async def Follow(self, request, call):  # noqa: N802
        self.asked.append(request)
        self.reached.set()
        out = message_class(POOL, "news.Out")
        try:
            for number in range(int(request.resume_token or request.from_number), request.n):
                yield out(text=f"a\nb {number}", resume_token=str(number + 1))
            await self.over.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.error is not None:
            raise self.error

    async def Count(self, request, call):  # noqa: N802
        async for one in self.Follow(message_class(POOL, "news.In")(n=request.n), call):
            one.resume_token = ""
            yield one


@pytest.fixture
def news():
    servicer = News()
    codecs = {"strict": Codecs(POOL), "lenient": Codecs(POOL, lenient=True)}
    door = door_for(POOL, ["news.News"], servicer, **codecs)
    door._drain = board = HealthBoard([])
    return Client(door), servicer, board


def events(answer):
    """Events as a browser reads them: (name, id, data); comments and retry apart."""
    found, others = [], []
    for block in answer.body.decode().split("\n\n")[:-1]:
        fields = [line.split(": ", 1) for line in block.split("\n")]
        named = dict(fields)
        others += [name or "comment" for name, _ in fields if name in {"", "retry"}]
        if "data" in named:
            found.append((named["event"], named.get("id"), json.loads(named["data"])))
    return found, others


async def test_a_message_is_an_event_with_the_token_to_go_on_behind_it(news):
    client, _, _ = news
    answer = await client.request("GET", "/news?n=2", headers=EVENTS)
    assert (answer.status, answer.header("content-type")) == (200, "text/event-stream")
    assert (answer.header("cache-control"), answer.header("x-accel-buffering")) == ("no-store", "no")
    found, others = events(answer)
    assert found == [
        ("message", "1", {"text": "a\nb 0", "resumeToken": "1"}),
        ("message", "2", {"text": "a\nb 1", "resumeToken": "2"}),
        ("end", None, {}),
    ]
    assert (others, answer.complete) == (["retry"], True)
    assert b"retry: 3000\n" in answer.body


async def test_events_of_a_stream_that_cannot_go_on_are_numbered(news):
    client, servicer, _ = news
    answer = await client.request("GET", "/count?n=2", headers={**EVENTS, "last-event-id": "1"})
    assert [mark for _, mark, _ in events(answer)[0]] == ["1", "2", None]
    assert servicer.asked[0].resume_token == ""


@pytest.mark.parametrize("query", ["n=3", "n=3&resume_token=1", "n=3&from_number=1"])
async def test_a_reader_that_comes_back_goes_on_behind_the_last_event_it_read(news, query):
    client, servicer, _ = news
    answer = await client.request("GET", f"/news?{query}", headers={**EVENTS, "last-event-id": "2"})
    assert [mark for _, mark, _ in events(answer)[0]] == ["3", None]
    assert servicer.asked[0].resume_token == "2"


async def test_a_failure_keeps_its_status_before_the_first_event_and_is_an_event_behind_it(news):
    client, servicer, _ = news
    servicer.error = NotFound("no news")
    early = await client.request("GET", "/news?n=0", headers=EVENTS)
    assert (early.status, early.reason) == (404, "RESOURCE_NOT_FOUND")
    late = await client.request("GET", "/news?n=1", headers=EVENTS)
    name, _, data = events(late)[0][-1]
    assert (late.status, late.complete, name, data["error"]["code"]) == (200, True, "error", 5)


async def test_a_quiet_stream_sends_comments_and_its_headers(news, monkeypatch):
    client, servicer, _ = news
    monkeypatch.setattr(streaming, "QUIET_S", 0.01)
    servicer.over.clear()
    leave = asyncio.Event()
    sent = []

    async def send(event):
        sent.append(event)
        if len(sent) == 4:
            servicer.over.set()

    request = client.app

    async def app(scope, receive, _):
        await request(scope, receive, send)

    async with asyncio.timeout(20):
        await Client(app).request("GET", "/news?n=0", headers=EVENTS, leave=leave)
    assert [sent[0]["type"], sent[0]["status"]] == ["http.response.start", 200]
    assert {one["body"] for one in sent[1:4]} == {b": still here\n\n"}
    assert sent[-1]["body"].startswith(b"event: end\n")


async def test_a_reader_is_sent_away_when_the_process_stops_and_loses_nothing(news):
    client, servicer, board = news
    servicer.over.clear()
    board.block("draining")
    task = asyncio.create_task(client.request("GET", "/news?n=2", headers=EVENTS))
    async with asyncio.timeout(20):
        await servicer.reached.wait()
        # Not ready is not yet the end: who came back now would come back to this process.
        await asyncio.sleep(0.05)
        assert not task.done()
        board.block("stopping")
        answer = await task
    found, _ = events(answer)
    assert [(name, mark) for name, mark, _ in found] == [("message", "1"), ("message", "2"), ("bye", None)]
    assert (answer.complete, servicer.cancelled) == (True, True)
    assert answer.body.endswith(b"event: bye\nretry: 3000\ndata: {}\n\n")


@pytest.mark.parametrize(("path", "accept"), [("/count", "text/event-stream"), ("/news", NDJSON)])
async def test_a_stream_that_nobody_could_go_on_with_runs_to_its_end_while_the_process_stops(
    news, path, accept
):
    client, servicer, board = news
    servicer.over.clear()
    task = asyncio.create_task(client.request("GET", f"{path}?n=2", headers={"accept": accept}))
    async with asyncio.timeout(20):
        await servicer.reached.wait()
        board.block("stopping")
        await asyncio.sleep(0.05)
        assert not task.done()
        servicer.over.set()
        answer = await task
    assert answer.complete
    assert not servicer.cancelled
    assert b"b 1" in answer.body


async def test_what_is_left_when_patience_is_over_is_told_to_come_again(news):
    client, servicer, _ = news
    servicer.over.clear()
    written = asyncio.Event()
    events_sent = []

    async def send(event):
        events_sent.append(event)
        if event.get("body"):
            written.set()

    async def receive():
        if not asked:
            asked.append(1)
            return {"type": "http.request", "body": b"", "more_body": False}
        return await asyncio.Event().wait()

    asked = []
    scope = {"type": "http", "method": "GET", "path": "/news", "query_string": b"n=1", "headers": []}
    task = asyncio.create_task(client.app(scope, receive, send))
    async with asyncio.timeout(20):
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    last = json.loads(events_sent[-1]["body"])
    assert last["error"]["details"][0]["reason"] == "SHUTTING_DOWN"
    assert events_sent[-1]["more_body"] is False


async def test_head_of_a_stream_gives_the_headers_and_stops_the_work(news):
    client, servicer, _ = news
    servicer.over.clear()
    async with asyncio.timeout(20):
        answer = await client.request("HEAD", "/news?n=5", headers=EVENTS)
    assert (answer.status, answer.header("content-type"), answer.body) == (200, "text/event-stream", b"")
    assert answer.complete
