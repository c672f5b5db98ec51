"""Streams of requests that are there at once: other calls go on, and what is large is read beside the loop."""

import asyncio
import base64
import gzip
import threading

import pytest

from cohortlens.v1 import customers_pb2 as pb
from gateway.http import jsontext
from gateway.http.codec import Codecs
from gateway.interceptors import validate
from tests.unit.gateway.http.public_api import TOKEN, public_api
from tests.unit.gateway.http.rpc_client import framed

BY_NAME, BY_PATH = "/cohortlens.v1.CustomersService/ImportTransactions", "/api/v1/transactions:import"
SMALL = 1000
JSON_CHUNK = b'{"chunk":"YQ=="}'
PROTO_CHUNK = pb.ImportTransactionsRequest(chunk=b"a").SerializeToString()
LARGE = b'{"chunk":"' + base64.b64encode(b"a" * 600_000) + b'"}'
GZIP = {"connect-content-encoding": "gzip"}


@pytest.fixture
def door():
    """(client, how many messages each stream had)."""
    client, recorder = public_api()
    taken = []

    async def counted(requests, call):
        taken.append(len([one async for one in requests]))
        return pb.ImportTransactionsResponse()

    recorder.streams["ImportTransactions"] = counted
    return client, taken


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        (BY_NAME, "application/connect+json", framed(JSON_CHUNK) * SMALL),
        (BY_NAME, "application/connect+proto", framed(PROTO_CHUNK) * SMALL),
        (BY_NAME, "application/grpc-web", framed(PROTO_CHUNK) * SMALL),
        (BY_NAME, "application/grpc-web-text", base64.b64encode(framed(PROTO_CHUNK) * SMALL)),
        (BY_PATH, "application/x-ndjson", (JSON_CHUNK + b"\n") * SMALL),
        (BY_PATH, "application/json", b"[" + b",".join([JSON_CHUNK] * SMALL) + b"]"),
    ],
)
async def test_many_small_messages_let_other_calls_run_in_between(door, monkeypatch, path, kind, body):
    # However quick the machine is, each message is a turn too long.
    monkeypatch.setattr(validate, "_TURN_S", -1.0)
    client, taken = door
    turns = 0
    asked = client.request("POST", path, body, TOKEN | {"content-type": kind})
    work = asyncio.ensure_future(asked)
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    assert ((await work).status, taken) == (200, [SMALL])
    assert turns > SMALL


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        (BY_NAME, "application/connect+json", framed(LARGE)),
        (BY_NAME, "application/connect+json", framed(gzip.compress(LARGE), 1)),
        (BY_PATH, "application/x-ndjson", LARGE + b"\n"),
        (BY_PATH, "application/x-ndjson", LARGE),
        (BY_PATH, "application/json", b"[" + LARGE + b"]"),
    ],
)
async def test_a_large_message_of_a_stream_is_read_beside_the_loop(door, monkeypatch, path, kind, body):
    client, taken = door
    threads, load, parse = [], jsontext.load, Codecs.parse

    def loading(text, **options):
        threads.append(threading.current_thread())
        return load(text, **options)

    def parsing(self, message, text):
        threads.append(threading.current_thread())
        return parse(self, message, text)

    monkeypatch.setattr(jsontext, "load", loading)
    monkeypatch.setattr(Codecs, "parse", parsing)
    answer = await client.request("POST", path, body, TOKEN | GZIP | {"content-type": kind})
    assert (answer.status, taken) == (200, [1])
    assert threads
    assert threading.main_thread() not in threads
