"""Trailing metadata over HTTP: behind the body of callers that take trailers, nowhere for others."""

from __future__ import annotations

import pytest

from cohortlens.core.errors import NotFound
from gateway.http.codec import Codecs
from gateway.http.headers import Head
from gateway.http.trailers import wants_trailers
from tests.unit.gateway.http.support import Client, Schema, door_for, message_class

SAID = [("cost", "3"), ("cost", "4"), ("sum-bin", "AAE")]
TRAILERS = [(f"grpc-trailer-{name}".encode(), value.encode()) for name, value in SAID]


def _pool():
    schema = Schema("trail").message("In", {"n": "int32"}).message("Out", {"n": "int32"})
    schema.method("Walk", "One", "In", "Out", {"get": "/one/{n}"})
    schema.method("Walk", "Many", "In", "Out", {"get": "/many/{n}"}, streams=(False, True))
    return schema.build()


POOL = _pool()


class Walk:
    """Says what it cost, but for 0; a number below zero is a failure that has cost something too."""

    async def One(self, request, call):  # noqa: N802
        call.response_trailers += SAID if request.n else []
        if request.n < 0:
            raise NotFound("nothing below zero")
        return message_class(POOL, "trail.Out")(n=request.n)

    async def Many(self, request, call):  # noqa: N802
        for number in range(abs(request.n)):
            yield message_class(POOL, "trail.Out")(n=number)
        call.response_trailers += SAID if request.n else []
        if request.n < 0:
            raise NotFound("nothing below zero")


def walk_door():
    codecs = {"strict": Codecs(POOL), "lenient": Codecs(POOL, lenient=True)}
    return door_for(POOL, ["trail.Walk"], Walk(), **codecs)


@pytest.mark.parametrize(
    ("said", "takes"),
    [
        (["trailers"], True),
        (["gzip;q=0.5, Trailers"], True),
        (["gzip", "trailers;q=1"], True),
        (["gzip"], False),
        (["trailers-of-a-kind"], False),
        ([], False),
    ],
)
def test_a_caller_takes_trailers_when_te_names_them(said, takes):
    assert wants_trailers(Head.read([(b"TE", one.encode()) for one in said])) is takes


@pytest.mark.parametrize("path", ["/one/1", "/one/-1", "/many/2", "/many/-2"])
async def test_trailing_metadata_stands_behind_the_body_of_an_answer_and_of_a_failure(path):
    answer = await Client(walk_door()).request("GET", path, headers={"te": "trailers"})
    assert answer.trailers == TRAILERS
    # Over HTTP/1.1 a body of a stated length has none.
    assert answer.header("content-length") is None
    if path.startswith("/one"):
        assert answer.header("trailer") == "grpc-trailer-cost, grpc-trailer-sum-bin"


@pytest.mark.parametrize(
    ("verb", "path", "headers"),
    [
        ("GET", "/one/1", {}),
        ("GET", "/many/2", {}),
        ("HEAD", "/one/1", {"te": "trailers"}),
        ("GET", "/one/0", {"te": "trailers"}),
    ],
)
async def test_others_get_no_trailers_and_a_length_as_ever(verb, path, headers):
    answer = await Client(walk_door()).request(verb, path, headers=headers)
    assert (answer.status, answer.trailers, answer.header("trailer")) == (200, None, None)
    if path.startswith("/one"):
        assert answer.header("content-length") == str(len(b'{"n":0}'))


async def test_a_reply_that_is_known_already_has_none():
    client = Client(walk_door())
    tag = (await client.request("GET", "/one/1")).header("etag")
    answer = await client.request("GET", "/one/1", headers={"te": "trailers", "if-none-match": tag})
    assert (answer.status, answer.trailers) == (304, None)
