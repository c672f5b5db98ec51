"""Compressed answers: only when asked for, when large, and never of what nothing may store."""

import gzip

import pytest

from gateway.http.encodings import accepts_gzip, packed
from gateway.http.headers import Head
from gateway.http.replies import Response
from tests.unit.gateway.http.support import Client, Schema, door_for, message_class

TEXT = b'{"values":[' + b"1.5," * 1000 + b"2]}"


def head(text=None):
    return Head.read([(b"accept-encoding", text.encode())] if text is not None else [])


def answer(body=TEXT, kind="application/json", *headers):
    return Response(200, kind, body, list(headers))


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.2", True),
        ("x-gzip", True),
        ("*", True),
        ("*;q=0, gzip", True),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("br", False),
        ("identity", False),
        ("gzip;q=lots", False),
        ("", False),
        (None, False),
    ],
)
def test_gzip_is_sent_to_those_who_take_it(text, taken):
    assert accepts_gzip(head(text)) is taken


async def test_a_large_answer_is_compressed_and_says_so():
    found = await packed(answer(TEXT, "application/json", (b"etag", b'"7.abc"')), head("gzip"))
    headers = dict(found.headers)
    assert gzip.decompress(found.body) == TEXT
    assert len(found.body) < len(TEXT) / 10
    assert headers[b"content-encoding"] == b"gzip"
    assert headers[b"vary"] == b"Accept-Encoding"
    assert headers[b"etag"] == b'"7.abc-gzip"'


async def test_equal_answers_stay_equal_when_compressed():
    body = TEXT * 50
    first, second = [await packed(answer(body), head("gzip")) for _ in range(2)]
    assert first.body == second.body
    assert gzip.decompress(first.body) == body


@pytest.mark.parametrize(
    "one",
    [
        answer(b"x" * 1024),
        answer(TEXT, "image/png"),
        answer(TEXT, "application/json", (b"cache-control", b"no-store")),
        answer(TEXT, "application/json", (b"content-encoding", b"br")),
    ],
)
async def test_small_binary_secret_and_coded_answers_stay_as_they_are(one):
    assert await packed(one, head("gzip")) is one


async def test_an_answer_that_could_have_been_compressed_varies_by_what_is_asked():
    found = await packed(answer(), head())
    assert found.body == TEXT
    assert found.headers == [(b"vary", b"Accept-Encoding")]


class Shop:
    """A method that answers a long text."""

    async def Get(self, request, call):  # noqa: N802 - the name of the RPC
        return message_class(POOL, "shop.Thing")(text="long " * 1000)


POOL = (
    Schema("shop")
    .message("Thing", {"text": "string"})
    .method("Shop", "Get", "google.protobuf.Empty", "Thing", {"get": "/thing"})
    .build()
)


@pytest.mark.parametrize("verb", ["GET", "HEAD"])
async def test_the_door_compresses_its_answers_and_knows_them_again(verb):
    client = Client(door_for(POOL, ["shop.Shop"], Shop()))
    plain = await client.request(verb, "/thing")
    packed = await client.request(verb, "/thing", headers={"accept-encoding": "gzip"})
    assert plain.header("content-encoding") is None
    assert (packed.status, packed.header("content-encoding")) == (200, "gzip")
    assert int(packed.header("content-length")) < int(plain.header("content-length")) / 10
    assert "Accept-Encoding" in packed.header("vary")
    if verb == "GET":
        assert gzip.decompress(packed.body) == plain.body
    for tag in (plain.header("etag"), packed.header("etag")):
        again = await client.request(
            verb, "/thing", headers={"accept-encoding": "gzip", "if-none-match": tag}
        )
        assert (again.status, again.body, again.header("content-encoding")) == (304, b"", None)
