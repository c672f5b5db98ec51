"""One gateway whose gRPC port is grpcio's: limits of sessions and of the report on health, and equal signals."""

from __future__ import annotations

import asyncio
import base64

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2

from cohortlens.core.ids import uuid7
from cohortlens.v1 import auth_pb2, auth_pb2_grpc
from tests.fixtures.waiting import eventually
from tests.integration.gateway.limits.conftest import limiting_gateways

ME, REFRESH, HEALTH = "/api/v1/users/me", "/api/v1/sessions:refresh", "/api/v1/health"
LIMITS = {
    "COHORTLENS_GRPC_SERVER": "grpcio",
    "COHORTLENS_RATE_READ": "1/10s;burst=5",
    "COHORTLENS_RATE_PUBLIC": "5/60s",
    "COHORTLENS_RATE_PENDING_AUTH": "3/60s",
    "COHORTLENS_RATE_AUTH_REFRESH": "3/3s",
    "COHORTLENS_TRUSTED_PROXIES": "127.0.0.0/8",
}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(valkey, postgres_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateways")
    async with limiting_gateways(1, valkey, postgres_server, folder, LIMITS) as one:
        yield one


async def refresh(place, token):
    return await place.gateway.http.post(REFRESH, json={"refresh_token": token})


def details(packed):
    found = {}
    for one in packed.details:
        message = getattr(error_details_pb2, one.TypeName().rpartition(".")[2])()
        one.Unpack(message)
        found[type(message).__name__] = message
    return found


async def test_a_session_is_refreshed_no_faster_than_its_limit_and_a_refusal_costs_no_token(place):
    token = (await place.pair()).refresh_token
    for _ in range(3):
        answer = await refresh(place, token)
        assert answer.status_code == 200
        token = answer.json()["tokens"]["refreshToken"]
    refused = await refresh(place, token)
    assert refused.status_code == 429
    info = refused.json()["details"][0]
    assert (info["reason"], info["metadata"]) == (
        "RATE_LIMITED",
        {"limit": "auth_refresh", "limited_by": "session"},
    )
    assert (await refresh(place, (await place.pair()).refresh_token)).status_code == 200
    await asyncio.sleep(int(refused.headers["retry-after"]))
    assert (await refresh(place, token)).status_code == 200


async def test_forged_refresh_tokens_use_up_nothing_of_the_session_they_name(place):
    token = (await place.pair()).refresh_token
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[-1] ^= 1
    forged = base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
    for _ in range(6):
        assert (await refresh(place, forged)).json()["details"][0]["reason"] == "TOKEN_INVALID"
    assert (await refresh(place, token)).status_code == 200


async def test_the_report_on_health_is_limited_by_address_and_the_probe_is_not(place):
    async def asked(path, address):
        return await place.gateway.http.get(path, headers={"x-forwarded-for": address})

    answers = [await asked(HEALTH, f"198.51.100.{number}, 203.0.113.9") for number in range(7)]
    assert [one.status_code for one in answers] == [200] * 5 + [429] * 2
    assert answers[0].headers["ratelimit-policy"].startswith('"public";q=5;w=60;pk=:')
    assert answers[0].headers["ratelimit"].startswith('"public";r=4;t=')
    last = answers[-1]
    assert last.headers["ratelimit"].startswith('"public";r=0;t=')
    assert 1 <= int(last.headers["retry-after"]) <= 12
    assert last.json()["details"][0]["metadata"] == {"limit": "public", "limited_by": "address"}
    assert (await asked(HEALTH, "203.0.113.10")).status_code == 200
    # The limit is that of the address, whatever of class public it asks for.
    assert (await asked("/.well-known/jwks.json", "203.0.113.9")).status_code == 429
    assert {(await asked("/livez", "203.0.113.9")).status_code for _ in range(10)} == {200}


async def test_an_owner_who_tries_what_the_platform_does_runs_out_of_tries(place):
    token = (await place.pair()).access_token
    path = f"/api/v1/platform/tenants/{uuid7()}/entitlement"
    body = {"granted": {"plan": "enterprise"}, "reason": "because I would like it"}
    answers = [await place.gateway.call("PATCH", path, token, json=body) for _ in range(6)]
    reasons = [one.json()["details"][0]["reason"] for one in answers]
    assert reasons == ["ROLE_REQUIRED"] * 4 + ["RATE_LIMITED"] * 2
    assert [one.status_code for one in answers] == [403] * 4 + [429] * 2


async def test_a_token_that_was_taken_back_is_limited_like_a_guess(place):
    token = (await place.pair()).access_token
    assert (await place.gateway.call("DELETE", "/api/v1/sessions/current", token)).status_code == 200

    async def is_refused():
        return (await place.gateway.call("GET", ME, token)).status_code == 401

    await eventually(is_refused, 2, "the token no longer holds")
    statuses = [(await place.gateway.call("GET", ME, token)).status_code for _ in range(4)]
    assert statuses[-2:] == [429, 429]


async def test_the_door_of_grpcio_tells_the_same_as_http(place):
    token = (await place.pair()).access_token
    metadata = (("authorization", f"Bearer {token}"),)
    async with grpc.aio.insecure_channel(place.gateway.grpc) as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        for left in (3, 2):
            call = stub.GetMe(auth_pb2.GetMeRequest(), metadata=metadata)
            initial = dict(await call.initial_metadata())
            await call
            assert initial["ratelimit-policy"].startswith('"read";q=4;w=50;pk=:')
            assert initial["ratelimit"].startswith(f'"read";r={left};t=')
        for left in (1, 0):
            allowed = await place.gateway.call("GET", ME, token)
            assert allowed.headers["ratelimit-policy"] == initial["ratelimit-policy"]
            assert allowed.headers["ratelimit"].startswith(f'"read";r={left};t=')
        refused = await place.gateway.call("GET", ME, token)
        call = stub.GetMe(auth_pb2.GetMeRequest(), metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
    error = caught.value
    assert (refused.status_code, error.code()) == (429, grpc.StatusCode.RESOURCE_EXHAUSTED)
    shown = {
        name: value
        for name, value in [*(error.initial_metadata() or ()), *error.trailing_metadata()]
        if isinstance(value, str)
    }
    assert shown["ratelimit-policy"] == refused.headers["ratelimit-policy"]
    assert shown["ratelimit"].startswith('"read";r=0;t=')
    assert abs(int(shown["retry-after"]) - int(refused.headers["retry-after"])) <= 1
    [packed] = [value for name, value in error.trailing_metadata() if name == "grpc-status-details-bin"]
    ours = details(status_pb2.Status.FromString(packed))
    theirs = {one["@type"].rpartition(".")[2]: one for one in refused.json()["details"]}
    assert set(ours) == set(theirs) == {"ErrorInfo", "QuotaFailure", "RetryInfo", "RequestInfo"}
    assert dict(ours["ErrorInfo"].metadata) == theirs["ErrorInfo"]["metadata"]
    assert ours["ErrorInfo"].reason == theirs["ErrorInfo"]["reason"] == "RATE_LIMITED"
    assert ours["QuotaFailure"].violations[0].quota_value == 4
