"""Entity tags and conditions: what a cache may keep, and updates of what was read."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace

import pytest

from cohortlens.core.errors import Aborted
from cohortlens.v1 import auth_users_pb2, customers_pb2
from gateway.http import conditional
from tests.unit.gateway.http import public_api as public_api_module
from tests.unit.gateway.http.public_api import SCOPES, TOKEN, public_api

USER = "/api/v1/users/0193b0a0-0000-7000-8000-000000000001"
JSON = {**TOKEN, "content-type": "application/json"}
STRONG, WEAK = re.compile(r'"(.+)\.([\w-]{16})"'), re.compile(r'W/"[\w-]{16}"')


@pytest.fixture
def api(monkeypatch):
    admin = replace(public_api_module.PRINCIPAL, scopes=SCOPES | {"users.read", "users.write"})
    monkeypatch.setattr(public_api_module, "PRINCIPAL", admin)
    return public_api()


def user(recorder, etag="e1", role="viewer"):
    recorder.script["GetUser"] = auth_users_pb2.GetUserResponse(
        user=auth_users_pb2.User(etag=etag, role=role)
    )


async def get(client, target=USER, **headers):
    return await client.request("GET", target, b"", {**TOKEN, **headers})


async def test_a_reply_with_an_etag_has_a_strong_tag_of_its_version_and_its_bytes(api):
    client, recorder = api
    user(recorder)
    first = await get(client)
    assert STRONG.fullmatch(first.header("etag"))[1] == "e1"
    assert first.header("cache-control") == "private, no-cache"
    assert (b"vary", b"Authorization, Accept, Accept-Encoding") in first.headers
    assert (await get(client)).header("etag") == first.header("etag")
    # What the etag does not cover changes the tag too: else a cache would keep the old bytes.
    user(recorder, role="admin")
    assert (await get(client)).header("etag") != first.header("etag")


async def test_a_reply_without_an_etag_has_a_weak_tag_of_its_bytes(api):
    client, recorder = api
    first = await get(client, "/api/v1/customers")
    assert WEAK.fullmatch(first.header("etag"))
    recorder.script["ListCustomers"] = customers_pb2.ListCustomersResponse(next_page_token="x")
    assert (await get(client, "/api/v1/customers")).header("etag") != first.header("etag")


async def test_who_has_the_reply_gets_304_without_a_body(api):
    client, recorder = api
    user(recorder)
    tag = (await get(client)).header("etag")
    coded = tag[:-1] + '-gzip"'
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*", coded):
        answer = await get(client, **{"if-none-match": given})
        assert (answer.status, answer.body, answer.header("etag")) == (304, b"", tag)
        assert (answer.header("content-type"), answer.header("cache-control")) == (None, "private, no-cache")
    for given in ('"other"', tag[:-2] + '"', tag.strip('"'), '"e1"', ""):
        assert (await get(client, **{"if-none-match": given})).status == 200
    head = await client.request("HEAD", USER, b"", {**TOKEN, "if-none-match": tag})
    assert head.status == 304
    # The call ran: limits and quota count it.
    assert len(recorder.asked) == 12


async def test_secrets_and_replies_beyond_a_mebibyte_have_no_tag(api, monkeypatch):
    client, _ = api
    answer = await client.request("POST", "/api/v1/sessions:refresh", b'{"refreshToken": "x"}', JSON)
    assert (answer.status, answer.header("etag")) == (200, None)
    monkeypatch.setattr(conditional, "MAX_TAGGED_BYTES", 1)
    assert (await get(client, "/api/v1/customers")).header("etag") is None
    assert (await get(client, "/api/v1/customers", **{"if-none-match": "*"})).status == 200


async def patch(client, given, body=b'{"role": "admin"}', target=USER):
    return await client.request("PATCH", target, body, {**JSON, "if-match": given})


async def test_if_match_brings_the_version_into_the_request(api):
    client, recorder = api
    user(recorder)
    tag = (await get(client)).header("etag")
    coded = tag[:-1] + '-gzip"'
    recorder.asked.clear()
    for given, version in ((tag, "e1"), (coded, "e1"), ('"e1"', "e1"), ("*", "")):
        assert (await patch(client, given)).status == 200
        assert recorder.asked.pop()[1].etag == version
    both = await patch(client, tag, b'{"role": "admin", "etag": "e1"}')
    assert both.status == 200
    gone = await client.request("DELETE", USER, b"", {**TOKEN, "if-match": tag})
    assert (gone.status, recorder.asked.pop()[1].etag) == (200, "e1")


@pytest.mark.parametrize(
    ("given", "body", "status", "reason"),
    [
        ('"e1"', b'{"etag": "e2"}', 400, "FIELD_CONFLICT"),
        ("e1", b"{}", 400, "HEADER_INVALID"),
        ('"e1", "e2"', b"{}", 400, "HEADER_INVALID"),
        ('"e1" x', b"{}", 400, "HEADER_INVALID"),
        ("", b"{}", 400, "HEADER_INVALID"),
        ('W/"e1"', b"{}", 412, "ETAG_MISMATCH"),
    ],
)
async def test_a_condition_that_cannot_hold_is_refused(api, given, body, status, reason):
    client, recorder = api
    answer = await patch(client, given, body)
    assert (answer.status, answer.reason, recorder.asked) == (status, reason, [])


async def test_a_condition_that_the_method_would_not_keep_is_refused(api):
    client, recorder = api
    customer = "/api/v1/customers/a"
    for verb, target, header in (
        ("DELETE", customer, "if-match"),
        ("GET", customer, "if-match"),
        ("POST", "/api/v1/predict", "if-match"),
        ("PATCH", USER, "if-none-match"),
        ("DELETE", customer, "if-none-match"),
    ):
        answer = await client.request(verb, target, b"", {**TOKEN, header: '"e1"'})
        assert (answer.status, answer.reason) == (400, "HEADER_INVALID"), (verb, target)
        assert answer.json["details"][1]["fieldViolations"][0]["field"].lower() == header
    assert recorder.asked == []


async def test_another_version_is_412_for_the_header_and_409_for_the_field(api):
    client, recorder = api
    recorder.script["UpdateUser"] = Aborted("it was changed meanwhile", reason="ETAG_MISMATCH")
    headed = await patch(client, '"e1"')
    assert (headed.status, headed.reason, headed.json["code"]) == (412, "ETAG_MISMATCH", 10)
    problem = {**JSON, "if-match": '"e1"', "accept": "application/problem+json"}
    told = (await client.request("PATCH", USER, b"{}", problem)).json
    assert (told["status"], told["title"]) == (412, "Precondition failed")
    named = await client.request("PATCH", USER, b'{"etag": "e1"}', JSON)
    assert (named.status, named.reason) == (409, "ETAG_MISMATCH")


async def test_a_condition_of_an_unknown_caller_is_not_looked_at(api):
    client, _ = api
    answer = await client.request(
        "PATCH", USER, b"{}", {"if-match": "e1", "content-type": "application/json"}
    )
    assert answer.status == 401


async def test_a_compressed_reply_has_a_tag_of_its_own(api):
    client, recorder = api
    user(recorder, role="viewer" + "x" * 4096)
    plain = await get(client)
    packed = await get(client, **{"accept-encoding": "gzip"})
    if packed.header("content-encoding") == "gzip":
        assert gzip.decompress(packed.body) == plain.body
    assert (packed.header("content-encoding") == "gzip") == (packed.header("etag") != plain.header("etag"))
    again = await get(client, **{"accept-encoding": "gzip", "if-none-match": packed.header("etag")})
    assert again.status == 304
