"""Two real gateway processes: hostile tokens at both doors, sessions over HTTP, and how soon a change is known."""

from __future__ import annotations

import asyncio
import time
from itertools import cycle

import grpc
import jwt
import pytest

from cohortlens.audit.models import Actor
from cohortlens.core.ids import uuid7
from cohortlens.identity.access.changes import AccessChanges, TenantChange, UserChange
from cohortlens.v1 import auth_pb2, auth_pb2_grpc
from tests.fixtures.gateways import running_gateways
from tests.fixtures.hostile_tokens import CASES, Forge
from tests.fixtures.tenants import register
from tests.integration.identity.access.test_signing_keys import OLDER
from tests.integration.identity.conftest import ISSUER, KEK, another_session

BOUND_S = 2.0
ME = "/api/v1/users/me"
REFUSED_SWITCHES = (
    "SELECT tenant_id, convert_from(canonical, 'UTF8')::jsonb #>> '{details,tenant}' AS tenant FROM audit_log"
    " WHERE action = 'identity.session.switched' AND outcome = 'DENIED' ORDER BY seq"
)
ACTIONS = "SELECT convert_from(canonical, 'UTF8')::jsonb ->> 'action' AS action FROM audit_log"


@pytest.fixture
async def gateways(identity, postgres_urls, redis_url, tmp_path):
    async with running_gateways(
        2, database=postgres_urls.runtime, redis=redis_url, kek=KEK, issuer=ISSUER, data_dir=tmp_path
    ) as started:
        yield started


def reason_of(response):
    return response.json()["details"][0]["reason"]


def without_request_id(response):
    request_id = response.headers["x-request-id"]
    assert request_id in response.text
    return response.text.replace(request_id, "-")


async def refused(gateway, token, reason):
    """Seconds until the gateway refuses the token with this reason; fails after 4."""
    began = time.monotonic()
    while time.monotonic() - began < 4:
        response = await gateway.call("GET", ME, token)
        if response.status_code == 401:
            assert reason_of(response) == reason
            return time.monotonic() - began
        assert response.status_code == 200
    return pytest.fail("the token was taken for 4 s")


async def test_every_hostile_token_gets_the_same_401_at_both_doors(gateways, identity, session):
    [gateway, _] = gateways
    key = await identity.signing_keys.active()
    claims = jwt.decode(session.access_token, options={"verify_signature": False})
    forge = Forge(key.kid, key.private, claims, session.access_token, session.refresh_token)
    assert (await gateway.call("GET", ME, forge.signed(forge.claims))).status_code == 200
    bodies, codes = set(), set()
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        for name, make in CASES.items():
            token = make(forge)
            response = await gateway.call("GET", ME, token)
            assert response.status_code == 401, name
            assert response.headers["www-authenticate"].startswith("Bearer "), name
            assert reason_of(response) == "TOKEN_INVALID", name
            bodies.add(without_request_id(response))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetMe(auth_pb2.GetMeRequest(), metadata=(("authorization", f"Bearer {token}"),))
            codes.add((caught.value.code(), caught.value.details()))
    assert len(bodies) == 1
    assert [code for code, _ in codes] == [grpc.StatusCode.UNAUTHENTICATED]


async def test_sessions_over_http(gateways, identity, session, database, superuser):
    [one, other] = gateways
    user_id = (await identity.verifier.verify(session.access_token)).user_id
    phone = await another_session(
        identity, session.tenant_id, user_id, device_name="phone", address="2001:db8:7:8::9"
    )
    listed = (await one.call("GET", "/api/v1/sessions", session.access_token)).json()["sessions"]
    assert [row["deviceName"] for row in listed] == ["phone", "laptop"]
    assert [row["addressPrefix"] for row in listed] == ["2001:db8:7::/48", "192.0.2.0/24"]
    assert [row.get("isCurrent", False) for row in listed] == [False, True]
    assert listed[0]["amr"] == ["pwd"]
    first = (await one.call("GET", "/api/v1/sessions?page_size=1", session.access_token)).json()
    rest = await one.call(
        "GET", f"/api/v1/sessions?page_size=1&page_token={first['nextPageToken']}", session.access_token
    )
    assert [row["session"] for row in first["sessions"] + rest.json()["sessions"]] == [
        row["session"] for row in listed
    ]
    gone = await one.call("DELETE", f"/api/v1/sessions/{phone.session_id}", session.access_token)
    assert gone.status_code == 200
    assert await refused(other, phone.access_token, "TOKEN_REVOKED") <= BOUND_S
    missing = await one.call("DELETE", f"/api/v1/sessions/{uuid7()}", session.access_token)
    assert (missing.status_code, reason_of(missing)) == (404, "RESOURCE_NOT_FOUND")

    south = await register(database, "south")
    switch = {"json": {"tenant": str(south.tenant_id)}}
    unknown = {"json": {"tenant": str(uuid7())}}
    answers = [
        await one.call("POST", "/api/v1/sessions:switchTenant", session.access_token, **body)
        for body in (switch, unknown)
    ]
    assert {(answer.status_code, without_request_id(answer)) for answer in answers} == {
        (404, without_request_id(answers[0]))
    }
    refusals = await superuser.fetch(REFUSED_SWITCHES)
    assert [(row["tenant_id"], row["tenant"]) for row in refusals] == [
        (session.tenant_id, body["json"]["tenant"]) for body in (switch, unknown)
    ]
    await superuser.execute(
        "INSERT INTO tenant_users (tenant_id, user_id, role) VALUES ($1, $2, 'viewer')",
        south.tenant_id,
        user_id,
    )
    switched = await one.call("POST", "/api/v1/sessions:switchTenant", session.access_token, **switch)
    assert switched.headers["cache-control"] == "no-store"
    there = switched.json()["tokens"]["accessToken"]
    me = (await other.call("GET", ME, there)).json()
    assert (me["tenant"], me["role"]) == (str(south.tenant_id), "viewer")
    assert (await other.call("GET", ME, session.access_token)).status_code == 200

    # A viewer ends nobody's sessions but their own; an owner ends those of others.
    path = f"/api/v1/users/{south.user_id}:revokeSessions"
    denied = await one.call("POST", path, there, json={})
    assert (denied.status_code, reason_of(denied)) == (403, "SCOPE_MISSING")
    owner = await another_session(identity, south.tenant_id, south.user_id)
    ended = await one.call("POST", f"/api/v1/users/{user_id}:revokeSessions", owner.access_token, json={})
    assert ended.json() == {"count": 1}
    assert await refused(other, there, "TOKEN_REVOKED") <= BOUND_S
    assert (await other.call("GET", ME, session.access_token)).status_code == 200
    mine = await one.call("POST", "/api/v1/users/me:revokeSessions", session.access_token, json={})
    assert mine.json() == {"count": 1}
    assert await refused(one, session.access_token, "TOKEN_REVOKED") <= BOUND_S
    actions = {row["action"] for row in await superuser.fetch(ACTIONS)}
    assert {"identity.session.ended", "identity.session.switched", "identity.sessions.revoked"} <= actions


async def test_changes_of_access_hold_within_two_seconds_on_the_other_process_whatever_redis_does(
    gateways, identity, session, database, redis_client
):
    [one, other] = gateways
    user_id = (await identity.verifier.verify(session.access_token)).user_id

    async def token():
        made = await another_session(identity, session.tenant_id, user_id)
        for gateway in gateways:
            assert (await gateway.call("GET", ME, made.access_token)).status_code == 200
        return made.access_token

    async def changed(work):
        async with database.tenant_transaction(session.tenant_id) as tx:
            await work(AccessChanges(tx, session.tenant_id))
        # Nobody publishes: the process that made the change died right after its commit.

    seen = {}
    left = await token()
    assert (await one.call("DELETE", "/api/v1/sessions/current", left)).status_code == 200
    assert (await one.call("GET", ME, left)).status_code == 401  # at once where it was asked for
    seen["log out"] = await refused(other, left, "TOKEN_REVOKED")
    lowered = await token()
    await changed(lambda changes: changes.user(user_id, UserChange.ROLE))
    seen["role"] = await refused(other, lowered, "TOKEN_EXPIRED")
    reset = await token()
    await changed(lambda changes: changes.user(user_id, UserChange.PASSWORD))
    seen["password"] = await refused(other, reset, "TOKEN_REVOKED")
    suspended = await token()
    await changed(lambda changes: changes.tenant(TenantChange.SUSPENDED))
    seen["suspension"] = await refused(other, suspended, "TOKEN_REVOKED")
    lost = await token()
    assert (await one.call("DELETE", "/api/v1/sessions/current", lost)).status_code == 200
    await redis_client.flushall()
    seen["log out, Redis emptied"] = await refused(other, lost, "TOKEN_REVOKED")
    made = await one.call(
        "POST",
        "/api/v1/apiKeys",
        await token(),
        json={"displayName": "a key", "scopes": ["customers.read"]},
    )
    secret, key_id = made.json()["secret"], made.json()["apiKey"]["apiKey"]
    for gateway in gateways:
        assert (await gateway.call("GET", "/api/v1/customers", secret)).status_code == 200
    assert (await one.call("DELETE", f"/api/v1/apiKeys/{key_id}", await token())).status_code == 200
    began = time.monotonic()
    while (await other.call("GET", "/api/v1/customers", secret)).status_code == 200:
        assert time.monotonic() - began < 4
    seen["key"] = time.monotonic() - began
    assert {what: seconds for what, seconds in seen.items() if seconds > BOUND_S} == {}


async def test_keys_rotate_under_load_without_a_failed_request(gateways, identity, session, superuser):
    await superuser.execute(OLDER.format("21 minutes"))
    user_id = (await identity.verifier.verify(session.access_token)).user_id
    statuses, stop = [], asyncio.Event()
    turn = cycle(gateways)

    async def calls():
        token, refresh = session.access_token, (await another_session(identity, session.tenant_id, user_id))
        refresh = refresh.refresh_token
        while not stop.is_set():
            statuses.append((await next(turn).call("GET", ME, token)).status_code)
            answer = await next(turn).call(
                "POST", "/api/v1/sessions:refresh", None, json={"refreshToken": refresh}
            )
            statuses.append(answer.status_code)
            token = answer.json()["tokens"]["accessToken"]
            refresh = answer.json()["tokens"]["refreshToken"]
        return token

    load = [asyncio.create_task(calls()) for _ in range(4)]
    await asyncio.sleep(0.5)
    active = await identity.signing_keys.rotate(Actor("user", str(user_id)), "a test under load")
    # Every process reads its keys again within ten seconds.
    signed_by = set()
    began = time.monotonic()
    while active.kid not in signed_by:
        assert time.monotonic() - began < 15
        await asyncio.sleep(0.25)
        pair = await next(turn).call(
            "POST",
            "/api/v1/sessions:refresh",
            None,
            json={
                "refreshToken": (await another_session(identity, session.tenant_id, user_id)).refresh_token
            },
        )
        signed_by.add(jwt.get_unverified_header(pair.json()["tokens"]["accessToken"])["kid"])
    stop.set()
    await asyncio.gather(*load)
    assert set(statuses) == {200}
    jwks = (await gateways[0].call("GET", "/.well-known/jwks.json", None)).json()["keys"]
    assert active.kid in {one["kid"] for one in jwks}
    assert len(jwks) == 3
