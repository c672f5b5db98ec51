"""The gRPC door over ASGI, byte by byte: what no well-behaved client would ever send."""

import asyncio
import base64
import gzip
import zlib

import pytest
from google.rpc import error_details_pb2, status_pb2

from gateway.grpc.asgi import GrpcDoor
from tests.fakes.echo import Echo, EchoServicer, echo_chain
from tests.fixtures.waiting import eventually

GRPC = (b"content-type", b"application/grpc")
BOUND_S = 5


class Exchange:
    """One HTTP/2 request in memory, and what came back."""

    def __init__(self, *chunks, path="/tests.echo.Echo/Unary", headers=(GRPC,), method="POST", version="2"):
        self.scope = {
            "type": "http",
            "http_version": version,
            "method": method,
            "path": path,
            "headers": list(headers),
            "client": ("192.0.2.77", 4711),
        }
        self.events = asyncio.Queue()
        for chunk in chunks:
            self.events.put_nowait({"type": "http.request", "body": chunk, "more_body": True})
        self.sent = []
        self.replied = asyncio.Event()

    def end(self):
        self.events.put_nowait({"type": "http.request"})
        return self

    def disconnect(self):
        self.events.put_nowait({"type": "http.disconnect"})
        return self

    async def send(self, event):
        self.sent.append(event)
        if event["type"] == "http.response.body":
            self.replied.set()

    async def run(self, servicer=None):
        door = GrpcDoor(echo_chain(servicer or EchoServicer()))
        await asyncio.wait_for(door(self.scope, self.events.get, self.send), BOUND_S)
        return self

    @property
    def http_status(self):
        return self.sent[0]["status"]

    def headers(self):
        pairs = [pair for event in self.sent for pair in event.get("headers", [])]
        return {name.decode(): value.decode() for name, value in pairs}

    @property
    def code(self):
        return int(self.headers()["grpc-status"])

    @property
    def reason(self):
        packed = self.headers()["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(base64.b64decode(packed + "=="))
        return error_details_pb2.ErrorInfo.FromString(status.details[0].value).reason

    def bodies(self):
        return [event["body"] for event in self.sent if event["type"] == "http.response.body"]


def frame(data, flag=0, size=None):
    return bytes([flag]) + (len(data) if size is None else size).to_bytes(4, "big") + data


HELLO = Echo(text="hello").SerializeToString()


async def test_a_reply_is_headers_one_frame_and_trailers():
    done = await Exchange(frame(HELLO)).end().run()
    kinds = [event["type"].removeprefix("http.response.") for event in done.sent]
    assert kinds == ["start", "body", "trailers"]
    assert done.sent[0]["trailers"] is True
    assert done.bodies() == [frame(HELLO)]
    assert done.sent[-1]["headers"] == [(b"grpc-status", b"0")]


async def test_a_message_cut_into_single_bytes_is_put_together():
    chunks = [bytes([byte]) for byte in frame(HELLO)]
    assert (await Exchange(*chunks).end().run()).bodies()[0] == frame(HELLO)


async def test_a_failure_before_the_first_message_is_trailers_only():
    done = await Exchange(frame(b"\xff")).end().run()
    kinds = [event["type"].removeprefix("http.response.") for event in done.sent]
    assert kinds == ["start", "body"]
    assert "trailers" not in done.sent[0]
    assert (done.code, done.reason) == (3, "MESSAGE_MALFORMED")


@pytest.mark.parametrize(
    ("chunks", "headers", "code", "reason"),
    [
        ([frame(HELLO)[:-1]], (), 3, "FRAME_INVALID"),
        ([b"\0\0"], (), 3, "FRAME_INVALID"),
        ([], (), 3, "FRAME_INVALID"),
        ([frame(HELLO), frame(HELLO)], (), 3, "FRAME_INVALID"),
        ([frame(HELLO, flag=7)], (), 3, "FRAME_INVALID"),
        ([frame(gzip.compress(HELLO), flag=1)], (), 3, "FRAME_INVALID"),
        ([frame(HELLO, flag=1)], ((b"grpc-encoding", b"gzip"),), 3, "FRAME_INVALID"),
        ([frame(gzip.compress(HELLO)[:-4], flag=1)], ((b"grpc-encoding", b"gzip"),), 3, "FRAME_INVALID"),
        ([frame(gzip.compress(HELLO) + b"more", flag=1)], ((b"grpc-encoding", b"gzip"),), 3, "FRAME_INVALID"),
        (
            [frame(zlib.compress(HELLO), flag=1)],
            ((b"grpc-encoding", b"deflate"),),
            12,
            "ENCODING_UNSUPPORTED",
        ),
        ([frame(b"", size=0xFFFFFFFF)], (), 8, "MESSAGE_TOO_LARGE"),
        ([frame(b"", size=4 * 1024 * 1024 + 1)], (), 8, "MESSAGE_TOO_LARGE"),
        ([bytes(3 * 1024 * 1024)] * 2, (), 8, "MESSAGE_TOO_LARGE"),
    ],
)
async def test_a_broken_frame_is_refused_with_its_reason(chunks, headers, code, reason):
    servicer = EchoServicer()
    done = await Exchange(*chunks, headers=(GRPC, *headers)).end().run(servicer)
    assert (done.code, done.reason) == (code, reason)
    assert servicer.calls == []


async def test_a_broken_frame_in_a_stream_ends_the_call():
    done = await Exchange(frame(HELLO), frame(HELLO)[:4], path="/tests.echo.Echo/Chat").end().run()
    assert done.bodies()[0] == frame(HELLO)
    assert (done.code, done.reason) == (3, "FRAME_INVALID")


async def test_a_stream_bomb_stops_at_the_limit_without_being_inflated_whole():
    bomb = zlib.compress(bytes(512 * 1024 * 1024), 9, 31)
    assert len(bomb) < 4 * 1024 * 1024
    headers = (GRPC, (b"grpc-encoding", b"gzip"))
    done = await Exchange(frame(bomb, flag=1), path="/tests.echo.Echo/Collect", headers=headers).end().run()
    assert (done.code, done.reason) == (8, "MESSAGE_TOO_LARGE")


@pytest.mark.parametrize(
    "timeout", [b"", b"S", b"1", b"0S", b"-1S", b"1.5S", b"123456789S", b"1x", "٣S".encode()]
)
async def test_a_malformed_timeout_is_refused_by_name(timeout):
    done = await Exchange(frame(HELLO), headers=(GRPC, (b"grpc-timeout", timeout))).end().run()
    assert (done.code, done.reason) == (3, "DEADLINE_INVALID")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (b"application/grpc", 200),
        (b"application/grpc+proto", 200),
        (b"Application/GRPC; charset=utf-8", 200),
        (b"application/grpc+json", 415),
        (b"application/grpcx", 415),
    ],
)
async def test_only_protobuf_is_spoken(content_type, status):
    done = await Exchange(frame(HELLO), headers=((b"content-type", content_type),)).end().run()
    assert done.http_status == status


async def test_only_post_over_http2_is_served():
    assert (await Exchange(method="GET").end().run()).http_status == 405
    assert (await Exchange(version="1.1").end().run()).http_status == 505


async def test_a_large_reply_is_gzipped_only_for_a_caller_that_gzips():
    large = frame(Echo(text="z" * 4000).SerializeToString())
    accepts = (b"grpc-accept-encoding", b"identity,gzip")
    plain = await Exchange(large, headers=(GRPC, accepts)).end().run()
    assert plain.bodies()[0] == large
    packed = await Exchange(large, headers=(GRPC, accepts, (b"grpc-encoding", b"gzip"))).end().run()
    assert packed.headers()["grpc-encoding"] == "gzip"
    reply = packed.bodies()[0]
    assert reply[0] == 1
    assert len(reply) < 200
    assert gzip.decompress(reply[5:]) == large[5:]


async def test_a_caller_that_leaves_during_its_body_ends_the_call_without_an_answer():
    servicer = EchoServicer()
    done = await Exchange(frame(HELLO)[:4]).disconnect().run(servicer)
    assert done.sent == []
    assert servicer.calls == []


async def test_a_caller_that_leaves_after_its_body_cancels_the_handler():
    servicer, exchange = EchoServicer(), Exchange(frame(Echo(text="hang").SerializeToString())).end()
    running = asyncio.create_task(exchange.run(servicer))
    await asyncio.wait_for(servicer.reached.wait(), BOUND_S)
    exchange.disconnect()
    await asyncio.wait_for(running, BOUND_S)
    assert servicer.cancelled.is_set()
    assert exchange.sent == []


async def test_a_body_that_never_ends_ends_at_the_deadline():
    exchange = Exchange(frame(HELLO)[:4], headers=(GRPC, (b"grpc-timeout", b"50m")))
    done = await exchange.run()
    assert (done.code, done.reason) == (4, "DEADLINE_EXCEEDED")


async def test_a_server_that_stops_tells_the_caller_to_come_again():
    servicer, exchange = EchoServicer(), Exchange(frame(Echo(text="hang").SerializeToString())).end()
    running = asyncio.create_task(exchange.run(servicer))
    await asyncio.wait_for(servicer.reached.wait(), BOUND_S)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (exchange.code, exchange.reason) == (14, "SHUTTING_DOWN")


async def test_no_watcher_survives_its_call():
    before = asyncio.all_tasks()
    for path in ("Unary", "Expand", "Collect", "Chat"):
        await Exchange(frame(HELLO), path=f"/tests.echo.Echo/{path}").end().run()
    for _ in range(10):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_declared_length_over_the_limit_is_refused_before_the_message_comes():
    done = await Exchange(frame(b"", size=2**31)).run()
    assert done.reason == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize("path", ["/tests.echo.Echo/Unary", "/tests.echo.Echo/Collect"])
async def test_bodies_under_way_share_a_bound_and_give_it_back(path):
    door = GrpcDoor(echo_chain(EchoServicer()), max_gathered_bytes=10_000)
    part = frame(bytes(20_000))[:6_000]

    async def run(exchange):
        await asyncio.wait_for(door(exchange.scope, exchange.events.get, exchange.send), BOUND_S)

    first, second = (Exchange(b"", part, path=path) for _ in range(2))
    waits = asyncio.create_task(run(first))
    await eventually(first.events.empty)
    await run(second)
    assert second.reason == "OVERLOADED"
    first.disconnect()
    await waits
    third = Exchange(b"", frame(HELLO), path=path).end()
    await run(third)
    assert third.code == 0
    assert door._room._left == 10_000


@pytest.mark.parametrize(
    "exchange",
    [
        {"headers": ((b"content-type", b"text/plain"),)},
        {"path": "/tests.echo.Echo/Nothing"},
        {"headers": (GRPC, (b"grpc-timeout", b"soon"))},
        {"path": "/tests.echo.Echo/Collect", "headers": (GRPC, (b"grpc-timeout", b"soon"))},
    ],
    ids=["not gRPC", "no such method", "refused", "refused stream"],
)
async def test_what_still_comes_of_an_answered_request_is_taken(exchange):
    done = Exchange(*[frame(HELLO)] * 3, **exchange).disconnect()
    await done.run()
    assert done.sent
    assert done.events.empty()
