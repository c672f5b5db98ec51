"""gRPC-Web over HTTP, byte by byte: frames, trailers in the last one, base64 in the text form."""

import asyncio
import base64
import gzip

import pytest
from google.rpc import error_details_pb2, status_pb2

from tests.fakes.echo import Echo, EchoServicer
from tests.unit.gateway.http.rpc_client import echo_client, framed, frames

UNARY, EXPAND = "/tests.echo.Echo/Unary", "/tests.echo.Echo/Expand"
BINARY = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
TEXT = {"content-type": "application/grpc-web-text", "x-grpc-web": "1"}


async def call(body, headers=BINARY, path=UNARY, servicer=None, **more):
    return await echo_client(servicer).request("POST", path, body, headers, **more)


def trailers_of(body):
    """The messages of a body and its trailers."""
    *messages, (flag, last) = frames(body)
    assert flag == 0x80
    lines = last.decode().split("\r\n")
    assert lines.pop() == ""
    return messages, dict(line.split(": ", 1) for line in lines)


def reason_of(trailers):
    packed = trailers["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(packed + "=="))
    return error_details_pb2.ErrorInfo.FromString(status.details[0].value).reason


@pytest.mark.parametrize("kind", ["application/grpc-web", "application/grpc-web+proto"])
async def test_a_call_is_answered_with_a_message_and_trailers(kind):
    sent = Echo(text="hello")
    answer = await call(framed(sent.SerializeToString()), {"content-type": kind})
    assert (answer.status, answer.header("content-type")) == (200, kind)
    ((flag, reply),), trailers = trailers_of(answer.body)
    assert (flag, Echo.FromString(reply), trailers) == (0, sent, {"grpc-status": "0"})


async def test_the_text_form_is_base64_whose_quanta_may_be_cut_and_padded_anywhere():
    sent = Echo(text="hello", blob=bytes(range(256))).SerializeToString()
    frame = framed(sent)
    text = base64.b64encode(frame[:5]) + base64.b64encode(frame[5:])
    for at in (1, 7, 8, 9, len(text) - 1):
        answer = await call(b"", TEXT, pieces=[text[:at], text[at:]])
        assert answer.header("content-type") == "application/grpc-web-text"
        (message,), trailers = trailers_of(base64.b64decode(answer.body, validate=True))
        assert (Echo.FromString(message[1]).blob, trailers["grpc-status"]) == (bytes(range(256)), "0")


async def test_a_stream_of_replies_in_text_is_padded_frame_by_frame():
    sent = base64.b64encode(framed(Echo(text="a", count=3).SerializeToString()))
    answer = await call(sent, TEXT, EXPAND)
    plain = b"".join(base64.b64decode(piece) for piece in answer.pieces)
    messages, trailers = trailers_of(plain)
    assert [Echo.FromString(text).count for _, text in messages] == [0, 1, 2]
    assert trailers == {"grpc-status": "0"}


async def test_a_failure_is_in_the_trailers_with_its_details():
    answer = await call(framed(Echo(text="fault").SerializeToString()))
    messages, trailers = trailers_of(answer.body)
    assert (answer.status, messages) == (200, [])
    assert (trailers["grpc-status"], reason_of(trailers)) == ("5", "RESOURCE_NOT_FOUND")
    assert trailers["grpc-message"] == "no such customer: %C3%B1and%C3%BA 100%25"


async def test_a_stream_that_fails_says_so_behind_its_messages():
    answer = await call(framed(Echo(text="fault", count=2).SerializeToString()), path=EXPAND)
    messages, trailers = trailers_of(answer.body)
    assert (len(messages), trailers["grpc-status"]) == (2, "5")


async def test_metadata_comes_as_headers_and_trailers():
    answer = await call(framed(Echo(text="metadata").SerializeToString()))
    assert answer.header("x-first") == "one"
    assert trailers_of(answer.body)[1] == {"grpc-status": "0", "x-last": "two"}


async def test_messages_are_compressed_when_asked():
    sent = Echo(text="long " * 500).SerializeToString()
    headers = BINARY | {"grpc-encoding": "gzip", "grpc-accept-encoding": "gzip"}
    answer = await call(framed(gzip.compress(sent), 1), headers)
    assert answer.header("grpc-encoding") == "gzip"
    ((flag, reply),), _ = trailers_of(answer.body)
    assert (flag, gzip.decompress(reply)) == (1, sent)


async def test_a_deadline_ends_the_call():
    servicer = EchoServicer()
    body = framed(Echo(text="hang").SerializeToString())
    answer = await call(body, BINARY | {"grpc-timeout": "20m"}, servicer=servicer)
    assert trailers_of(answer.body)[1]["grpc-status"] == "4"
    assert servicer.cancelled.is_set()


async def test_a_caller_that_leaves_cancels_its_call():
    servicer, leave = EchoServicer(), asyncio.Event()
    body = framed(Echo(text="hang").SerializeToString())
    task = asyncio.create_task(call(body, servicer=servicer, leave=leave))
    await servicer.reached.wait()
    leave.set()
    assert (await task).status == 0
    assert servicer.cancelled.is_set()


async def test_nobody_unknown_makes_us_read_a_body():
    client = echo_client()
    answer = await client.request("POST", "/tests.echo.Echo/Secret", headers=BINARY, pieces=iter([b"\0"] * 3))
    assert trailers_of(answer.body)[1]["grpc-status"] == "16"


@pytest.mark.parametrize("headers", [BINARY, TEXT])
async def test_an_unknown_method_is_unimplemented_under_status_200(headers):
    answer = await call(b"", headers, "/tests.echo.Echo/Nothing")
    body = base64.b64decode(answer.body) if headers is TEXT else answer.body
    assert (answer.status, trailers_of(body)[1]["grpc-status"]) == (200, "12")


@pytest.mark.parametrize(
    ("body", "headers", "code", "reason"),
    [
        (b"", BINARY, "3", "FRAME_INVALID"),
        (framed(b"\xff"), BINARY, "3", "MESSAGE_MALFORMED"),
        (framed(b"") + framed(b""), BINARY, "3", "FRAME_INVALID"),
        (b"\0\xff\xff\xff\xff", BINARY, "8", "MESSAGE_TOO_LARGE"),
        (b"not base64!!", TEXT, "3", "FRAME_INVALID"),
        (b"====", TEXT, "3", "FRAME_INVALID"),
        (base64.b64encode(framed(b""))[:-1], TEXT, "3", "FRAME_INVALID"),
        (framed(b"", 1), BINARY | {"grpc-encoding": "br"}, "12", "ENCODING_UNSUPPORTED"),
        (framed(b""), BINARY | {"grpc-timeout": "soon"}, "3", "DEADLINE_INVALID"),
    ],
)
async def test_what_cannot_be_read_is_refused(body, headers, code, reason):
    servicer = EchoServicer()
    answer = await call(body, headers, servicer=servicer)
    plain = b"".join(map(base64.b64decode, answer.pieces)) if headers is TEXT else answer.body
    _, trailers = trailers_of(plain)
    assert (answer.status, trailers["grpc-status"], reason_of(trailers)) == (200, code, reason)
    assert servicer.calls == []


async def test_other_verbs_and_types_are_refused_by_their_http_status():
    client = echo_client()
    assert (await client.request("PUT", UNARY, b"", BINARY)).status == 405
    answer = await client.request("POST", UNARY, b"", {"content-type": "application/grpc-web+json"})
    assert (answer.status, answer.reason) == (415, "UNSUPPORTED_MEDIA_TYPE")
