"""What a request brought in a field marked sensitive comes back in no log line and no error text."""

from __future__ import annotations

import io
import json
import logging

import pytest

from cohortlens.core import telemetry
from cohortlens.core.errors import FailedPrecondition, Violation
from tests.unit.gateway.http.public_api import public_api

CANARY = 'correct "canary" stäple'
ADDRESS = "canary.owner@shop.example"
JSON = {"content-type": "application/json"}
BODY = json.dumps({"email": ADDRESS, "password": CANARY}).encode()
FORMS = ["canary", "stäple", "st\\u00e4ple"]


@pytest.fixture
def written():
    """Everything that a debug logger wrote since the start of the test."""
    stream = io.StringIO()
    telemetry.configure_logging("debug", "json", stream)

    def read():
        for handler in logging.getLogger().handlers:
            handler.flush()
        return stream.getvalue()

    yield read
    telemetry.configure_logging("info", "json")


async def fails(fault):
    api, recorder = public_api()

    async def answer(request, call):
        telemetry.get_logger("tests").debug("typed", seen=f"<{request.password}>", by=request.email)
        raise fault

    recorder.script["CreateSession"] = answer
    return await api.request("POST", "/api/v1/sessions", BODY, JSON)


async def test_an_unexpected_fault_with_the_value_in_its_text(written):
    answer = await fails(ValueError(f"bad password {CANARY!r} of {ADDRESS}"))
    assert answer.status == 500
    assert "unexpected" in written()
    assert [form for form in FORMS if form in written() or form in answer.body.decode()] == []


async def test_a_fault_of_the_domain_with_the_value_in_message_metadata_and_violations(written):
    fault = FailedPrecondition(
        f"{CANARY} of {ADDRESS} is not good",
        metadata={"value": CANARY, "who": ADDRESS},
        violations=(Violation("password", f"{CANARY} is too common"),),
    )
    answer = await fails(fault)
    assert answer.status == 400
    assert "is too common" in answer.body.decode()
    assert [form for form in FORMS if form in written() or form in answer.body.decode()] == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"email": "x", "password": ["canary"]}',
        b'{"email": {"canary": 1}}',
        b'{"password": "canary", "password": "canary"}',
        b'{"password": "canary\\ud800"}',
        b'{"password": "canary\\u0000"}',
        b'{"password": "canary"',
        b'{"email": "canary.owner@shop.example", "password": ""}',
        b'{"email": "' + b"canary" * 200 + b'", "password": "canary-canary-canary"}',
    ],
)
async def test_a_request_that_cannot_be_read_is_refused_without_repeating_it(written, body):
    api, _ = public_api()
    answer = await api.request("POST", "/api/v1/sessions", body, JSON)
    assert answer.status in (200, 400)
    assert "canary" not in written() + answer.body.decode().replace('unknown field \\"canary\\"', "")


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer canary-opaque-token"},
        {"authorization": "Basic Y2FuYXJ5OmNhbmFyeQ=="},
        {"authorization": "canary"},
        {"user-agent": "tool/1 cl_live_0a1b2c3d4e5f_" + "canary7" * 7},
        {"user-agent": "me canary.owner@shop.example"},
        {"x-request-id": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJjYW5hcnki.canary"},
        {"x-request-id": "canary-" + "7" * 36},
        {"cookie": "session=canary"},
    ],
)
async def test_headers_that_hold_secrets_leave_no_trace(written, headers):
    api, _ = public_api()
    answer = await api.request("GET", "/api/v1/users/me", b"", headers)
    shown = json.dumps([[str(part) for part in pair] for pair in answer.headers])
    assert answer.status == 401
    assert "canary" not in written() + answer.body.decode() + shown


async def test_a_query_with_a_secret_leaves_no_trace(written):
    api, _ = public_api()
    answer = await api.request("GET", "/api/v1/users/me?access_token=canary-canary-canary&password=canary")
    assert answer.status in (400, 401)
    assert "canary" not in written() + answer.body.decode()
