"""Connect over HTTP, byte by byte: unary calls by POST and GET, streams in envelopes, failures as JSON."""

import asyncio
import base64
import gzip
import json
from urllib.parse import quote

import pytest
from google.rpc import error_details_pb2

from cohortlens.core.errors import Code
from cohortlens.v1 import models_pb2
from gateway.http.connect import CODES
from gateway.interceptors.errors import HTTP_STATUS
from tests.fakes.echo import TOKEN, Echo, EchoServicer
from tests.unit.gateway.http.public_api import TOKEN as PUBLIC_TOKEN
from tests.unit.gateway.http.public_api import public_api
from tests.unit.gateway.http.rpc_client import echo_client, framed, frames

UNARY = "/tests.echo.Echo/Unary"
JSON = {"content-type": "application/json"}
PROTO = {"content-type": "application/proto"}
STREAM_JSON = {"content-type": "application/connect+json"}
STREAM_PROTO = {"content-type": "application/connect+proto"}
RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
ASKED = json.dumps({"run": RUN}).encode()
GET_RUN = "/cohortlens.v1.ModelsService/GetTrainingRun"


async def unary(body, headers=JSON, path=UNARY, servicer=None):
    return await echo_client(servicer).request("POST", path, body, headers)


def detail_of(error, message):
    """A detail of a Connect error, unpacked."""
    found = next(one for one in error["details"] if one["type"] == message.DESCRIPTOR.full_name)
    assert "=" not in found["value"]
    return message.FromString(base64.b64decode(found["value"] + "=="))


def test_every_code_but_ok_has_the_spelling_of_the_protocol():
    assert len(CODES) == 16
    assert CODES[Code.CANCELLED] == "canceled"
    assert CODES[Code.INVALID_ARGUMENT] == "invalid_argument"
    assert HTTP_STATUS[Code.CANCELLED] == 499


async def test_a_message_in_json_is_answered_in_json():
    answer = await unary(b'{"text":"hello","values":[1,2.5]}')
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert (answer.json["text"], answer.json["values"]) == ("hello", [1.0, 2.5])
    assert answer.header("x-request-id")
    assert answer.header("cache-control") == "no-store"
    assert answer.header("x-content-type-options") == "nosniff"


async def test_a_message_in_protobuf_is_answered_in_protobuf():
    sent = Echo(text="hello", blob=b"\0\1")
    answer = await unary(sent.SerializeToString(), PROTO)
    assert (answer.status, answer.header("content-type")) == (200, "application/proto")
    assert Echo.FromString(answer.body) == sent


async def test_gzip_is_taken_and_given_when_asked_and_worth_it():
    text = json.dumps({"text": "long " * 500}).encode()
    answer = await unary(
        gzip.compress(text), JSON | {"content-encoding": "gzip", "accept-encoding": "br, gzip"}
    )
    assert answer.header("content-encoding") == "gzip"
    assert json.loads(gzip.decompress(answer.body))["text"] == "long " * 500
    short = await unary(b"{}", JSON | {"accept-encoding": "gzip"})
    assert short.header("content-encoding") is None
    refused = await unary(text, JSON | {"accept-encoding": "gzip;q=0"})
    assert refused.header("content-encoding") is None


async def test_a_failure_is_a_document_with_the_same_details_as_over_grpc():
    answer = await unary(b'{"text":"fault"}')
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert answer.json["message"] == "no such customer: ñandú 100%"
    info = detail_of(answer.json, error_details_pb2.ErrorInfo)
    assert (info.reason, dict(info.metadata)) == ("RESOURCE_NOT_FOUND", {"resource": "customer"})
    assert len(detail_of(answer.json, error_details_pb2.BadRequest).field_violations) == 50
    request = detail_of(answer.json, error_details_pb2.RequestInfo)
    assert request.request_id == answer.header("x-request-id")
    assert answer.json["details"][0]["debug"]["reason"] == "RESOURCE_NOT_FOUND"


async def test_a_fault_of_ours_tells_nothing_of_itself():
    answer = await unary(b'{"text":"raise"}')
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert b"hunter2" not in answer.body


async def test_a_busy_service_says_when_to_come_back():
    answer = await unary(b'{"text":"retry"}')
    assert (answer.status, answer.header("retry-after")) == (503, "2")


async def test_trailing_metadata_comes_as_headers():
    answer = await unary(b'{"text":"metadata"}')
    assert (answer.header("x-first"), answer.header("trailer-x-last")) == ("one", "two")


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "reason"),
    [
        (b"", JSON, 400, "invalid_argument", "MALFORMED_JSON"),
        (b'{"text":1}', JSON, 400, "invalid_argument", "FIELD_INVALID"),
        (b'{"nonsense":1}', JSON, 400, "invalid_argument", "UNKNOWN_FIELD"),
        (b"\xff\xff", PROTO, 400, "invalid_argument", "MESSAGE_MALFORMED"),
        (b'{"count":1001}', JSON, 400, "invalid_argument", "FIELD_INVALID"),
        (b"{}", JSON | {"connect-timeout-ms": "soon"}, 400, "invalid_argument", "DEADLINE_INVALID"),
        (b"{}", JSON | {"connect-timeout-ms": "12345678901"}, 400, "invalid_argument", "DEADLINE_INVALID"),
        (b"{}", JSON | {"connect-protocol-version": "2"}, 400, "invalid_argument", "HEADER_INVALID"),
        (b"{}", JSON | {"content-encoding": "br"}, 501, "unimplemented", "ENCODING_UNSUPPORTED"),
        (b"x" * (4 * 1024 * 1024 + 1), JSON, 429, "resource_exhausted", "MESSAGE_TOO_LARGE"),
        (b"{}", {"content-type": "text/plain"}, 415, "invalid_argument", "UNSUPPORTED_MEDIA_TYPE"),
        (b"{}", {}, 415, "invalid_argument", "UNSUPPORTED_MEDIA_TYPE"),
        (framed(b"{}"), STREAM_JSON, 415, "invalid_argument", "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
async def test_what_cannot_be_read_is_refused(body, headers, status, code, reason):
    servicer = EchoServicer()
    answer = await unary(body, headers, servicer=servicer)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert detail_of(answer.json, error_details_pb2.ErrorInfo).reason == reason
    assert servicer.calls == []


async def test_unknown_fields_are_dropped_when_asked():
    answer = await unary(b'{"text":"a","nonsense":1}', JSON | {"prefer": "handling=lenient"})
    assert (answer.status, answer.json["text"]) == (200, "a")


async def test_a_refused_type_names_the_ones_that_are_taken():
    answer = await unary(b"{}", {"content-type": "text/plain"})
    assert answer.header("accept-post") == "application/json, application/proto"
    answer = await unary(b"{}", JSON, "/tests.echo.Echo/Expand")
    assert (answer.status, answer.header("accept-post")) == (
        415,
        "application/connect+json, application/connect+proto",
    )


async def test_unknown_methods_and_verbs_are_refused():
    answer = await unary(b"{}", JSON, "/tests.echo.Echo/Nothing")
    assert (answer.status, answer.json["code"]) == (404, "unimplemented")
    answer = await echo_client().request("GET", UNARY)
    assert (answer.status, answer.header("allow")) == (405, "POST")


async def test_nobody_unknown_makes_us_read_a_body():
    client = echo_client()
    answer = await client.request("POST", "/tests.echo.Echo/Secret", headers=JSON, pieces=iter([b"{"] * 9))
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
    assert answer.header("www-authenticate")
    known = await unary(b"{}", JSON | {"authorization": f"Bearer {TOKEN}"}, "/tests.echo.Echo/Secret")
    assert known.status == 200


async def test_the_deadline_of_the_caller_ends_the_call():
    servicer = EchoServicer()
    answer = await unary(b'{"text":"hang"}', JSON | {"connect-timeout-ms": "20"}, servicer=servicer)
    assert (answer.status, answer.json["code"]) == (504, "deadline_exceeded")
    assert servicer.cancelled.is_set()


async def test_a_caller_that_leaves_cancels_its_call():
    servicer, leave = EchoServicer(), asyncio.Event()
    client = echo_client(servicer)
    task = asyncio.create_task(client.request("POST", UNARY, b'{"text":"hang"}', JSON, leave=leave))
    await servicer.reached.wait()
    leave.set()
    assert (await task).status == 0
    assert servicer.cancelled.is_set()


@pytest.mark.parametrize(
    "query",
    [
        "connect=v1&encoding=json&message=" + quote(ASKED),
        "encoding=json&base64=1&message=" + base64.urlsafe_b64encode(ASKED).rstrip(b"=").decode(),
        "encoding=proto&base64=1&message=" + base64.urlsafe_b64encode(b"\x0a\x24" + RUN.encode()).decode(),
        "encoding=proto&message=%0A$" + RUN,
        "encoding=json&base64=1&compression=gzip&message="
        + base64.urlsafe_b64encode(gzip.compress(ASKED)).decode(),
    ],
)
async def test_what_changes_nothing_can_be_asked_by_get(query):
    client, recorder = public_api()
    answer = await client.request("GET", f"{GET_RUN}?{query}", headers=PUBLIC_TOKEN)
    assert answer.status == 200, answer.body
    assert recorder.asked == [("GetTrainingRun", models_pb2.GetTrainingRunRequest(run=RUN))]


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("encoding=json", 400, "MESSAGE_MALFORMED"),
        ("encoding=json&base64=1&message=%25%25", 400, "MESSAGE_MALFORMED"),
        ("encoding=xml&message=1", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("encoding=json&connect=v2&message=%7B%7D", 400, "HEADER_INVALID"),
        ("encoding=json&compression=br&message=%7B%7D", 501, "ENCODING_UNSUPPORTED"),
    ],
)
async def test_a_get_that_cannot_be_read_is_refused(query, status, reason):
    client, recorder = public_api()
    answer = await client.request("GET", f"{GET_RUN}?{query}", headers=PUBLIC_TOKEN)
    assert answer.status == status
    assert detail_of(answer.json, error_details_pb2.ErrorInfo).reason == reason
    assert recorder.asked == []


async def test_what_changes_something_takes_no_get():
    client, _ = public_api()
    path = "/cohortlens.v1.ModelsService/StartTraining"
    answer = await client.request("GET", f"{path}?encoding=json&message=%7B%7D", headers=PUBLIC_TOKEN)
    assert (answer.status, answer.header("allow")) == (405, "POST")


async def test_a_stream_of_replies_ends_with_a_frame_of_its_own():
    answer = await unary(framed(b'{"text":"a","count":2}'), STREAM_JSON, "/tests.echo.Echo/Expand")
    assert (answer.status, answer.header("content-type")) == (200, "application/connect+json")
    found = frames(answer.body)
    assert [flag for flag, _ in found] == [0, 0, 2]
    assert [json.loads(text).get("count") for _, text in found[:2]] == [0, 1]
    assert json.loads(found[2][1]) == {}


async def test_a_stream_that_fails_says_so_in_its_last_frame():
    sent = Echo(text="fault", count=1).SerializeToString()
    answer = await unary(framed(sent), STREAM_PROTO, "/tests.echo.Echo/Expand")
    found = frames(answer.body)
    assert (answer.status, [flag for flag, _ in found]) == (200, [0, 2])
    error = json.loads(found[1][1])["error"]
    assert error["code"] == "not_found"
    assert detail_of(error, error_details_pb2.ErrorInfo).reason == "RESOURCE_NOT_FOUND"


async def test_trailing_metadata_of_a_stream_is_in_its_last_frame():
    answer = await unary(framed(b'{"text":"metadata"}'), STREAM_JSON, "/tests.echo.Echo/Expand")
    assert json.loads(frames(answer.body)[-1][1]) == {"metadata": {"x-last": ["two"]}}


async def test_a_stream_of_requests_is_read_frame_by_frame():
    body = framed(b'{"text":"a"}') + framed(b'{"text":"bc"}')
    pieces = [body[:20], body[20:25], body[25:]]
    answer = await echo_client().request(
        "POST", "/tests.echo.Echo/Collect", headers=STREAM_JSON, pieces=pieces
    )
    (_, reply), (flag, last) = frames(answer.body)
    assert (json.loads(reply)["text"], json.loads(reply)["count"]) == ("abc", 2)
    assert (flag, last) == (2, b"{}")


async def test_streams_both_ways_answer_each_message():
    answer = await unary(
        framed(b'{"text":"a"}') + framed(b'{"text":"b"}'), STREAM_JSON, "/tests.echo.Echo/Chat"
    )
    assert [json.loads(text).get("text") for _, text in frames(answer.body)] == ["a", "b", None]


async def test_streams_both_ways_need_http_2():
    servicer = EchoServicer()
    client = echo_client(servicer, version="1.1")
    answer = await client.request("POST", "/tests.echo.Echo/Chat", framed(b"{}"), STREAM_JSON)
    ((_, last),) = frames(answer.body)
    error = json.loads(last)["error"]
    assert (error["code"], servicer.calls) == ("unimplemented", [])
    assert detail_of(error, error_details_pb2.ErrorInfo).reason == "STREAMING_NOT_SUPPORTED"


async def test_messages_of_streams_are_compressed_when_asked():
    packed = framed(gzip.compress(b'{"text":"a","count":1,"blob":"' + b"AAAA" * 900 + b'"}'), 1)
    headers = STREAM_JSON | {"connect-content-encoding": "gzip", "connect-accept-encoding": "gzip"}
    answer = await unary(packed, headers, "/tests.echo.Echo/Expand")
    assert answer.header("connect-content-encoding") == "gzip"
    (flag, text), _ = frames(answer.body)
    assert flag == 1
    assert json.loads(gzip.decompress(text))["blob"] == "AAAA" * 900


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "FRAME_INVALID"),
        (framed(b"{}") + framed(b"{}"), "FRAME_INVALID"),
        (framed(b"{}")[:-1], "FRAME_INVALID"),
        (b"\0\xff\xff\xff\xff", "MESSAGE_TOO_LARGE"),
    ],
)
async def test_frames_that_cannot_be_read_are_refused_in_the_last_frame(body, reason):
    answer = await unary(body, STREAM_JSON, "/tests.echo.Echo/Expand")
    ((flag, text),) = frames(answer.body)
    assert (answer.status, flag) == (200, 2)
    assert detail_of(json.loads(text)["error"], error_details_pb2.ErrorInfo).reason == reason


@pytest.mark.parametrize("kind", ["application/json", "application/grpc-web"])
async def test_a_condition_that_would_not_be_kept_is_refused(kind):
    client, recorder = public_api()
    headers = PUBLIC_TOKEN | {"content-type": kind, "if-match": '"7"'}
    answer = await client.request("POST", GET_RUN, b"{}", headers)
    assert b"If-Match is not taken here" in answer.body
    assert answer.status == (400 if kind == "application/json" else 200)
    assert recorder.asked == []


async def test_a_secret_is_never_part_of_an_address():
    client, recorder = public_api()
    path = "/cohortlens.v1.AuthService/ReviewInvitation"
    answer = await client.request("GET", f"{path}?encoding=json&message=%7B%22token%22%3A%22x%22%7D")
    assert (answer.status, answer.header("allow")) == (405, "POST")
    assert recorder.asked == []
