"""Files and streams of messages over HTTP: options, chunks, multipart, back-pressure, limits."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from cohortlens.core.errors import Code
from cohortlens.v1 import customers_pb2
from gateway.http import uploads
from tests.unit.gateway.http.public_api import TOKEN, public_api

IMPORT = "/api/v1/transactions:import"
CSV = {**TOKEN, "content-type": "text/csv"}
FILE = b"customer,date\n" + b"1,1997-01-01\n" * 50_000


@pytest.fixture
def api():
    return public_api()


def _split(recorder):
    ((name, messages),) = recorder.asked
    assert name == "ImportTransactions"
    assert all(message.WhichOneof("part") == "chunk" for message in messages[1:])
    return messages[0].options, [message.chunk for message in messages[1:]]


def _multipart(*parts, boundary="XX", end=b"--XX--\r\n"):
    return (
        b"".join(
            b"--" + boundary.encode() + b"\r\n" + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts
        )
        + end
    )


FILE_HEAD = b'Content-Disposition: form-data; name="file"; filename="orders.csv"\r\nContent-Type: text/csv'


async def test_a_file_becomes_options_first_and_then_bounded_chunks(api):
    client, recorder = api
    target = f"{IMPORT}?dry_run=true&columns[customer]=kunde&columns%5Btime%5D=tag&onError=ON_ERROR_ABORT&file_name=o.csv"
    pieces = [FILE[at : at + 1000] for at in range(0, len(FILE), 1000)]
    answer = await client.request("POST", target, headers=CSV, pieces=pieces)
    assert answer.status == 200
    options, chunks = _split(recorder)
    assert options == customers_pb2.ImportOptions(
        dry_run=True,
        columns={"customer": "kunde", "time": "tag"},
        on_error=customers_pb2.ON_ERROR_ABORT,
        file_name="o.csv",
    )
    assert b"".join(chunks) == FILE
    assert 64 * 1024 <= max(map(len, chunks)) <= 2**20


@pytest.mark.parametrize(
    "media",
    [
        "text/csv; charset=utf-8",
        "application/vnd.apache.parquet",
        "application/octet-stream",
        "application/gzip",
    ],
)
async def test_the_bytes_of_a_file_arrive_as_they_are(api, media):
    client, recorder = api
    answer = await client.request("POST", IMPORT, b"PAR1\x00\xff", {**TOKEN, "content-type": media})
    assert answer.status == 200
    options, chunks = _split(recorder)
    assert (options, chunks) == (customers_pb2.ImportOptions(), [b"PAR1\x00\xff"])


async def test_a_gzip_content_encoding_is_inflated_in_bounded_chunks(api):
    client, recorder = api
    body = gzip.compress(FILE) + gzip.compress(b"tail")
    pieces = [body[at : at + 777] for at in range(0, len(body), 777)]
    answer = await client.request("POST", IMPORT, headers={**CSV, "content-encoding": "gzip"}, pieces=pieces)
    assert answer.status == 200
    _, chunks = _split(recorder)
    assert b"".join(chunks) == FILE + b"tail"
    assert max(map(len, chunks)) <= 2**20


@pytest.mark.parametrize("size", [1, 7, 1000, 10**9])
async def test_a_multipart_file_is_found_however_the_body_is_cut(api, size):
    client, recorder = api
    data = b"a,b\r\n--X not the boundary\r\n--XY\r\n1,2\r\n"
    body = b"--XX\r\n" + FILE_HEAD + b"\r\n\r\n" + data + b"\r\n--XX--\r\n"
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    headers = {**TOKEN, "content-type": 'multipart/form-data; boundary="XX"'}
    answer = await client.request("POST", f"{IMPORT}?dryRun=true", headers=headers, pieces=pieces)
    assert answer.status == 200, answer.body
    options, chunks = _split(recorder)
    assert (options.file_name, options.dry_run) == ("orders.csv", True)
    assert b"".join(chunks) == data


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data; boundary=XX"),
        (b"--XX--\r\n", "multipart/form-data; boundary=XX"),
        (b"--XX\r\n" + FILE_HEAD + b"\r\n\r\nabc", "multipart/form-data; boundary=XX"),
        (b"--XX\r\n" + b"x" * 40_000, "multipart/form-data; boundary=XX"),
        (_multipart((FILE_HEAD, b"a"), (FILE_HEAD, b"b")), "multipart/form-data; boundary=XX"),
    ],
)
async def test_a_multipart_body_that_is_not_one_file_is_refused(api, body, content_type):
    client, recorder = api
    answer = await client.request("POST", IMPORT, body, {**TOKEN, "content-type": content_type})
    assert (answer.status, answer.reason) == (400, "FIELD_INVALID")
    assert recorder.asked == []


@pytest.mark.parametrize(
    ("target", "headers", "status", "reason"),
    [
        (IMPORT, {"content-type": "text/csv"}, 401, "TOKEN_INVALID"),
        (IMPORT, {**TOKEN, "content-type": "text/html"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (IMPORT, {**TOKEN, "content-type": "multipart/form-data"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (IMPORT, {**CSV, "accept": "text/csv"}, 406, "NOT_ACCEPTABLE"),
        (IMPORT, {**CSV, "content-length": str(2**30 + 1)}, 413, "BODY_TOO_LARGE"),
        (f"{IMPORT}?dry=1", CSV, 400, "UNKNOWN_PARAMETER"),
        (f"{IMPORT}?columns=kunde", CSV, 400, "FIELD_INVALID"),
        (f"{IMPORT}?columns[a]=x&columns[a]=y", CSV, 400, "DUPLICATE_FIELD"),
        (f"{IMPORT}?currency=euro", CSV, 400, "FIELD_INVALID"),
        (f"{IMPORT}?on_error=NEVER", CSV, 400, "FIELD_INVALID"),
    ],
)
async def test_a_faulty_upload_is_refused_before_its_body_is_read(api, target, headers, status, reason):
    client, recorder = api
    answer = await client.request("POST", target, headers=headers, pieces=[FILE] * 10)
    assert (answer.status, answer.reason) == (status, reason)
    assert recorder.asked == []
    assert client.asked["asked"] == 0


async def test_a_body_that_lies_about_its_length_stops_at_the_limit(api, monkeypatch):
    client, recorder = api
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 3_000_000)
    pieces = [b"x" * 10**6] * 10
    answer = await client.request("POST", IMPORT, headers={**CSV, "content-length": "10"}, pieces=pieces)
    assert (answer.status, answer.reason) == (413, "BODY_TOO_LARGE")
    assert client.asked["asked"] == 4
    bomb = gzip.compress(b"x" * 20_000_000)
    answer = await client.request("POST", IMPORT, bomb, {**CSV, "content-encoding": "gzip"})
    assert (answer.status, answer.reason) == (413, "BODY_TOO_LARGE")
    assert recorder.asked == []


async def test_nothing_is_read_ahead_of_the_servicer(api):
    client, recorder = api
    seen = []

    async def take_three(requests, call):
        async for message in requests:
            seen.append(message)
            if len(seen) == 3:
                return customers_pb2.ImportTransactionsResponse()
        raise AssertionError("the stream ended early")

    recorder.streams["ImportTransactions"] = take_three
    pieces = [b"y" * uploads.CHUNK_BYTES] * 100
    answer = await client.request("POST", IMPORT, headers=CSV, pieces=pieces)
    assert (answer.status, len(seen)) == (200, 3)
    assert client.asked["asked"] == 2


async def test_messages_arrive_as_ndjson_or_as_a_json_array(api):
    client, recorder = api
    messages = [{"options": {"dryRun": True}}, {"chunk": "YWJj"}, {"chunk": "ZGVm"}]
    lines = "\n".join(map(json.dumps, messages)).encode() + b"\n\n"
    pieces = [lines[at : at + 5] for at in range(0, len(lines), 5)]
    for content_type, sent in (
        ("application/x-ndjson", pieces),
        ("application/json", [json.dumps(messages).encode()]),
    ):
        recorder.asked.clear()
        headers = {**TOKEN, "content-type": content_type}
        answer = await client.request("POST", IMPORT, headers=headers, pieces=sent)
        assert answer.status == 200
        options, chunks = _split(recorder)
        assert (options.dry_run, chunks) == (True, [b"abc", b"def"])


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("application/x-ndjson", b'{"options":{}}\n{"chunk":"!"}', "FIELD_INVALID"),
        ("application/x-ndjson", b'{"options":{}}\n{"chunk"', "MALFORMED_JSON"),
        ("application/x-ndjson", b'{"options":{},"chunk":"YQ=="}', "FIELD_INVALID"),
        ("application/json", b'{"options":{}}', "FIELD_INVALID"),
        ("application/json", b'[{"option":{}}]', "UNKNOWN_FIELD"),
    ],
)
async def test_a_faulty_message_of_a_stream_is_refused(api, content_type, body, reason):
    client, _ = api
    answer = await client.request("POST", IMPORT, body, {**TOKEN, "content-type": content_type})
    assert (answer.status, answer.reason) == (400, reason)


async def test_a_connection_closed_in_the_middle_cancels_the_import(api):
    client, recorder = api
    events = [{"type": "http.request", "body": b"a,b\n", "more_body": True}, {"type": "http.disconnect"}]
    sent = []

    async def receive():
        return events.pop(0)

    async def send(event):
        sent.append(event)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": IMPORT,
        "raw_path": IMPORT.encode(),
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer good"), (b"content-type", b"text/csv")],
    }
    async with asyncio.timeout(5):
        await client.app(scope, receive, send)
    assert recorder.asked == []
    assert recorder.calls[0].code is Code.CANCELLED
    assert sent == []
