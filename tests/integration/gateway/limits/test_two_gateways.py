"""Two real gateway processes before one Valkey: what clients see of the limits, also when Valkey is away."""

import asyncio
import os
import signal
import time
from itertools import cycle

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2

from cohortlens.core.ids import uuid7
from cohortlens.core.redis import redis_client as connect
from cohortlens.v1 import auth_pb2, auth_pb2_grpc
from tests.fixtures.waiting import eventually
from tests.integration.gateway.limits.conftest import Place, limiting_gateways

ME, JWKS = "/api/v1/users/me", "/.well-known/jwks.json"
LIMITS = {
    "COHORTLENS_RATE_READ": "5/1s;burst=20",
    "COHORTLENS_RATE_WRITE": "1/10s;burst=10",
    "COHORTLENS_RATE_PUBLIC": "60/60s;burst=30",
    "COHORTLENS_RATE_PENDING_AUTH": "60/60s",
    "COHORTLENS_RATE_PENDING_AUTH_ADDRESS": "300/60s",
    "COHORTLENS_QUOTA_PROCESSES": "2",
    "COHORTLENS_TRUSTED_PROXIES": "127.0.0.0/8",
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(valkey, postgres_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateways")
    async with limiting_gateways(2, valkey, postgres_server, folder, LIMITS) as both:
        yield both


def address():
    """An address that nobody used yet."""
    return f"2001:db8:{uuid7().int % 0xFFFF:x}:{time.monotonic_ns() % 0xFFFF:x}::1"


async def flood(place, clients, seconds, path, token=None, forwarded=None):
    """Statuses of calls that many clients make over both gateways, and the time from the first to the last."""
    headers = {"x-forwarded-for": forwarded or address()}
    if token:
        headers["authorization"] = f"Bearer {token}"
    doors, statuses, begun = cycle(place.gateways), [], time.monotonic()
    last = begun

    async def one(gateway):
        nonlocal last
        while (now := time.monotonic()) < begun + seconds:
            last = now
            statuses.append((await gateway.http.get(path, headers=headers)).status_code)

    await asyncio.gather(*(one(next(doors)) for _ in range(clients)))
    return statuses, last - begun


def details_of_http(response):
    return {one["@type"].rpartition(".")[2]: one for one in response.json()["details"]}


def details_of_grpc(error):
    [packed] = [value for name, value in error.trailing_metadata() if name == "grpc-status-details-bin"]
    found = {}
    for one in status_pb2.Status.FromString(packed).details:
        message = getattr(error_details_pb2, one.TypeName().rpartition(".")[2])()
        one.Unpack(message)
        found[type(message).__name__] = message
    return found


async def test_clients_over_two_gateways_get_the_stated_number_per_window(place):
    statuses, took_s = await flood(place, 16, 2.0, JWKS)
    assert set(statuses) == {200, 429}
    assert abs(statuses.count(200) - (30 + took_s)) <= 1
    token = (await place.pair()).access_token
    for gateway in place.gateways:
        assert (await gateway.call("GET", ME, token)).status_code == 200
    await asyncio.sleep(4.5)
    statuses, took_s = await flood(place, 16, 3.0, ME, token)
    # One principal may use four fifths of its tenant's 5 a second and 20 at once.
    assert set(statuses) == {200, 429}
    assert abs(statuses.count(200) - (16 + 4 * took_s)) <= 1


async def test_a_refusal_is_told_alike_on_both_doors(place):
    token = (await place.pair()).access_token
    [gateway, _] = place.gateways
    allowed = await gateway.call("GET", ME, token)
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        stub, metadata = auth_pb2_grpc.AuthServiceStub(channel), (("authorization", f"Bearer {token}"),)
        call = stub.GetMe(auth_pb2.GetMeRequest(), metadata=metadata)
        initial = dict(await call.initial_metadata())
        await call
        assert initial["ratelimit-policy"] == allowed.headers["ratelimit-policy"]
        assert initial["ratelimit-policy"].startswith('"read";q=16;w=4;pk=:')
        assert [text.partition(";r=")[0] for text in (initial["ratelimit"], allowed.headers["ratelimit"])] == [
            '"read"', '"read"'
        ]  # fmt: skip
        statuses, _ = await flood(place, 16, 1.0, ME, token)
        assert 429 in statuses

        async def both():
            over_http = await gateway.call("GET", ME, token)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetMe(auth_pb2.GetMeRequest(), metadata=metadata)
            return over_http, caught.value

        refused, error = None, None
        for _ in range(20):
            try:
                refused, error = await both()
            except pytest.fail.Exception:
                continue
            if refused.status_code == 429:
                break
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = {name: value for name, value in error.trailing_metadata() if isinstance(value, str)}
    shown = {**dict(error.initial_metadata() or ()), **trailers}
    for name in ("ratelimit-policy", "retry-after"):
        assert shown[name] == refused.headers[name]
    assert shown["ratelimit"].startswith('"read";r=0;t=')
    assert refused.headers["ratelimit"].startswith('"read";r=0;t=')
    theirs, ours = details_of_http(refused), details_of_grpc(error)
    assert set(theirs) == set(ours) == {"ErrorInfo", "QuotaFailure", "RetryInfo", "RequestInfo"}
    assert theirs["ErrorInfo"]["reason"] == ours["ErrorInfo"].reason == "RATE_LIMITED"
    assert theirs["ErrorInfo"]["metadata"] == dict(ours["ErrorInfo"].metadata)
    assert theirs["ErrorInfo"]["metadata"] == {"limit": "read", "limited_by": "principal"}
    [violation] = ours["QuotaFailure"].violations
    assert theirs["QuotaFailure"]["violations"] == [
        {
            "subject": violation.subject,
            "description": violation.description,
            "quotaMetric": violation.quota_metric,
            "quotaId": violation.quota_id,
            "quotaValue": str(violation.quota_value),
        }
    ]
    assert (violation.subject, violation.quota_id, violation.quota_value) == ("principal", "read", 16)
    delay_s = ours["RetryInfo"].retry_delay.ToMilliseconds() / 1000
    assert 0 < delay_s <= 0.25
    assert 0 < float(theirs["RetryInfo"]["retryDelay"].removesuffix("s")) <= 0.25


async def test_spoofed_addresses_change_nothing(place):
    [gateway, _] = place.gateways
    caller, statuses = "203.0.113.77", []
    for number in range(40):
        # The caller is what the trusted proxy, at the end, says it is; what stands before it is hearsay.
        headers = {"x-forwarded-for": f"198.51.100.{number}, {caller}"}
        statuses.append((await gateway.http.get(JWKS, headers=headers)).status_code)
    assert statuses.count(200) in (30, 31, 32)
    other = await gateway.http.get(JWKS, headers={"x-forwarded-for": "203.0.113.78"})
    assert other.status_code == 200


async def test_guessed_tokens_are_limited_as_such_and_never_as_whom_they_claim(place):
    token = (await place.pair()).access_token
    [gateway, _] = place.gateways
    forged = token[:-6] + "AAAAAA"
    statuses, took_s = await flood(place, 8, 1.5, ME, forged)
    assert set(statuses) == {401, 429}
    assert abs(statuses.count(401) - (60 + took_s)) <= 1
    assert (await gateway.call("GET", ME, token)).status_code == 200


async def test_hundred_first_calls_of_a_fresh_token_are_not_taken_for_guesses(place):
    token = (await place.pair()).access_token
    [gateway, _] = place.gateways
    answers = await asyncio.gather(*(gateway.call("GET", ME, token) for _ in range(100)))
    reasons = {
        details_of_http(one)["ErrorInfo"]["metadata"]["limit"] for one in answers if one.status_code == 429
    }
    assert reasons == {"read"}


async def test_valkey_killed_each_process_admits_its_share_and_all_is_well_soon_after(place, valkey):
    token = (await place.pair()).access_token
    for gateway in place.gateways:
        assert (await gateway.call("GET", ME, token)).status_code == 200
    os.kill(valkey.server.identity.pid, signal.SIGKILL)
    try:
        slowest, first = 0.0, None
        for gateway in place.gateways:
            begun = time.monotonic()
            first = await gateway.call("GET", ME, token)
            slowest = max(slowest, time.monotonic() - begun)
            assert first.status_code == 200
        assert slowest < 3
        await asyncio.sleep(4.5)
        statuses, took_s = await flood(place, 8, 2.0, ME, token)
        # Each of two processes gives the principal half of 16 at once and of 4 a second.
        assert abs(statuses.count(200) - (16 + 4 * took_s)) <= 2
        one_door, took_s = await flood(Place(place.gateways[:1], None, None), 8, 2.0, ME, token)
        assert one_door.count(200) <= 8 + 2 * (took_s + 1) + 1
    finally:
        assert valkey.start() == valkey.url
    back = time.monotonic()
    client = connect(valkey.url)
    try:

        async def counted():
            for gateway in place.gateways:
                await gateway.call("GET", ME, token)
            found = [key async for key in client.scan_iter("cl:rl:read:*")]
            return len(found) == 2

        await eventually(counted, 5, "the limits lie in Valkey again")
        assert time.monotonic() - back <= 5
    finally:
        await client.aclose()


async def test_a_hung_valkey_hangs_no_call(place, valkey):
    token = (await place.pair()).access_token
    for gateway in place.gateways:
        assert (await gateway.call("GET", ME, token)).status_code == 200
    os.kill(valkey.server.identity.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        answers = await asyncio.gather(
            *(
                gateway.http.get(JWKS, headers={"x-forwarded-for": address()})
                for gateway in place.gateways * 4
            )
        )
        assert time.monotonic() - begun < 3
        assert {one.status_code for one in answers} == {200}
        begun = time.monotonic()
        again = await place.gateways[0].http.get(JWKS, headers={"x-forwarded-for": address()})
        assert again.status_code == 200
        assert time.monotonic() - begun < 0.5
    finally:
        os.kill(valkey.server.identity.pid, signal.SIGCONT)
