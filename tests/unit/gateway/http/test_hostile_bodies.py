"""Bodies made to do harm: each is refused as stated, and costs little memory while it is."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc

import pytest

from gateway.http.body import MAX_JSON_BYTES
from gateway.interceptors.validate import LARGE_BYTES
from tests.unit.gateway.http.public_api import TOKEN, public_api

# Time enough for a machine that counts every piece of memory.
JSON = {**TOKEN, "content-type": "application/json", "x-request-timeout": "60"}
GZIP = {**JSON, "content-encoding": "gzip"}
PREDICT = "/api/v1/predict"


def filled(start, part, end):
    """A text of exactly as many parts as the limit of bodies has room for."""
    return start + part * ((MAX_JSON_BYTES - len(start) - len(end)) // len(part)) + end


async def peak_of(body, headers=JSON):
    """The answer to a body, and the most memory that was taken beyond what there was before, the body aside."""
    client, recorder = public_api()
    await client.request("POST", PREDICT, b"{}", JSON)
    recorder.asked.clear()
    tracemalloc.start()
    try:
        answer = await client.request("POST", PREDICT, body, headers)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert recorder.asked == []
    return answer, peak


BEYOND = {
    "lists without end": (b"[" * MAX_JSON_BYTES, "MALFORMED_JSON"),
    "objects without end": (filled(b"", b'{"a":', b""), "MALFORMED_JSON"),
    "objects 10,000 deep": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "MALFORMED_JSON"),
    "lists 10,000 deep": (b"[" * 10_000 + b"]" * 10_000, "MALFORMED_JSON"),
    "numbers": (filled(b"[", b"0,", b"0]"), "MALFORMED_JSON"),
    "objects": (filled(b"[", b"{},", b"{}]"), "MALFORMED_JSON"),
    "the same key": (filled(b"{", b'"a":1,', b'"a":1}'), "MALFORMED_JSON"),
    "digits": (filled(b'{"horizonDays":', b"9", b"}"), "MALFORMED_JSON"),
    "no UTF-8": (filled(b'{"task":"', b"\xff", b'"}'), "MALFORMED_JSON"),
    "one byte too many": (b" " * (MAX_JSON_BYTES + 1), "BODY_TOO_LARGE"),
}


@pytest.mark.parametrize("name", BEYOND)
async def test_what_is_beyond_a_limit_is_refused_within_three_times_the_limit(name):
    body, reason = BEYOND[name]
    answer, peak = await peak_of(body)
    assert (answer.status, answer.reason) == (413 if reason == "BODY_TOO_LARGE" else 400, reason)
    assert peak < 3 * MAX_JSON_BYTES
    assert "Traceback" not in answer.body.decode()


async def test_a_bomb_of_a_quarter_of_a_gigabyte_is_refused_within_three_times_the_limit():
    bomb = gzip.compress(bytes(2**28), 1)
    answer, peak = await peak_of(bomb, GZIP)
    assert (answer.status, answer.reason) == (413, "BODY_TOO_LARGE")
    assert peak < 3 * MAX_JSON_BYTES


async def test_a_bomb_inside_a_bomb_is_not_unpacked_twice():
    answer, peak = await peak_of(gzip.compress(gzip.compress(bytes(2**28), 1)), GZIP)
    assert (answer.status, answer.reason) == (400, "MALFORMED_JSON")
    assert peak < 3 * MAX_JSON_BYTES


@pytest.mark.parametrize(
    "body",
    [
        filled(b'{"task":"', b"a", b'"}'),
        filled(b'{"', b"k", b'":1}'),
        b'{"vectors":[{"values":[' + b"0.5," * 200_000 + b'"x"]}]}',
        b'{"customers":[' + b'"ab",' * 100_000 + b"0]}",
    ],
    ids=["a text", "a key", "numbers", "texts"],
)
async def test_what_is_within_the_limits_and_wrong_costs_what_its_values_cost(body):
    # A value of the interpreter takes many times its digits; two such bodies at most are read at one time.
    answer, peak = await peak_of(body)
    assert answer.status == 400
    assert peak < 30 * len(body)
    assert len(answer.body) < 2000


async def test_the_loop_turns_while_large_bodies_are_read():
    client, _ = public_api()
    vectors = b",".join([b'{"values":[' + b",".join([b"-123.456789"] * 50) + b"]}"] * 1000)
    body = b'{"task":2,"vectors":[' + vectors + b"]}"
    assert LARGE_BYTES < len(body) < MAX_JSON_BYTES
    turns, work = 0, asyncio.gather(*(client.request("POST", PREDICT, body, JSON) for _ in range(4)))
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    assert {answer.status for answer in await work} == {200}
    # Read in one piece each, they would leave a turn or two between them.
    assert turns > 50


async def test_a_body_that_never_ends_is_the_callers_delay_and_not_ours():
    client, recorder = public_api()
    leave = asyncio.Event()
    headers = {**JSON, "x-request-timeout": "0.05", "accept-language": "es"}

    class Slow:
        """Gives one piece and then nothing."""

        async def __call__(self, scope, receive, send):
            begun = False

            async def waiting():
                nonlocal begun
                if begun:
                    await leave.wait()
                begun = True
                return {"type": "http.request", "body": b"{", "more_body": True}

            await client.app(scope, waiting, send)

    answer = await type(client)(Slow()).request("POST", PREDICT, b"", headers)
    assert (answer.status, answer.reason, answer.json["code"]) == (408, "REQUEST_TIMEOUT", 4)
    localized = next(one for one in answer.json["details"] if one["@type"].endswith("LocalizedMessage"))
    assert localized["message"] == "El cuerpo no llegó a tiempo."
    assert recorder.asked == []


@pytest.mark.parametrize("count", [256, 257])
async def test_256_query_parameters_are_taken_and_one_more_is_not(count):
    client, _ = public_api()
    answer = await client.request("GET", "/api/v1/customers?" + "&".join(["x=1"] * count), b"", TOKEN)
    assert (answer.status, answer.reason) == (
        400,
        "UNKNOWN_PARAMETER" if count == 256 else "TOO_MANY_PARAMETERS",
    )


async def test_a_path_of_fields_deeper_than_16_is_refused():
    client, _ = public_api()
    path = ".".join(["customer"] * 17)
    answer = await client.request("GET", f"/api/v1/customers?{path}=1", b"", TOKEN)
    assert answer.status == 400
    assert answer.reason in {"FIELD_INVALID", "UNKNOWN_PARAMETER"}
