"""What a call is to the books is the same at every HTTP door: units, entries, keys, versions, ended sessions."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid

import httpx
import pytest

from cohortlens.core.config import Duration
from cohortlens.v1 import consent_checks_pb2, customers_pb2
from gateway.config import GatewayConfig
from gateway.wire.framing import frame
from tests.fixtures.waiting import eventually
from tests.integration.gateway.conftest import PASSWORD, core_config, running_gateway
from tests.integration.gateway.test_graphql_door import GRANT, Graph

BOUND_S = 20
LIST = "/cohortlens.v1.CustomersService/ListCustomers"
WATCH = "/cohortlens.v1.ConsentService/WatchConsents"
PURPOSE = {
    "purpose": "surveys",
    "title": "Surveys",
    "description": "Asking what customers think",
    "lawfulBasis": "LAWFUL_BASIS_CONSENT",
    "mechanism": "CONSENT_MECHANISM_OPT_IN",
    "dpvPurpose": "https://w3id.org/dpv#CustomerSatisfactionManagement",
    "dataCategories": ["https://w3id.org/dpv/pd#EmailAddress"],
    "retentionDays": 30,
}
CREATE = """mutation($title: String!, $categories: [String!]) { createPurpose(
  purpose: "surveys", title: $title, description: "Asking what customers think", retentionDays: 30,
  dpvPurpose: "https://w3id.org/dpv#CustomerSatisfactionManagement", dataCategories: $categories,
  lawfulBasis: LAWFUL_BASIS_CONSENT, mechanism: CONSENT_MECHANISM_OPT_IN
) { purpose { purpose version } } }"""


def framed(message):
    return frame(message.SerializeToString(), compress=False)


@pytest.fixture
async def gateway(tmp_path, database, postgres_urls, redis_url, redis_client):
    """A gateway that sheds nothing: what is tested here is not how busy the machine is."""
    config = GatewayConfig(grpc_port=0, http_port=0, loop_lag_max=Duration(60.0))
    async with running_gateway(core_config(tmp_path, postgres_urls.runtime, redis_url), config) as one:
        yield one


@pytest.fixture
async def client(gateway, person):
    """The owner of a tenant, logged in."""
    url = f"http://127.0.0.1:{gateway.http_port}"
    async with httpx.AsyncClient(base_url=url, timeout=BOUND_S, trust_env=False) as one:
        answer = await one.post("/api/v1/sessions", json={"email": person.email, "password": PASSWORD})
        one.headers["authorization"] = f"Bearer {answer.json()['tokens']['accessToken']}"
        yield one


async def test_a_call_is_one_unit_and_one_entry_at_every_door(client):
    empty = framed(customers_pb2.ListCustomersRequest())
    for verb, path, kind, body in (
        ("GET", "/api/v1/customers", "", b""),
        ("POST", LIST, "application/json", b"{}"),
        ("POST", LIST, "application/proto", b""),
        ("GET", f"{LIST}?encoding=json&message=%7B%7D", "", b""),
        ("POST", LIST, "application/grpc-web", empty),
        ("POST", LIST, "application/grpc-web-text", base64.b64encode(empty)),
        ("POST", "/graphql", "application/json", b'{"query":"{ customers { totalSize } }"}'),
    ):
        headers = {"content-type": kind} if kind else {}
        answer = await client.request(verb, path, content=body, headers=headers)
        assert answer.status_code == 200, (path, kind, answer.text)

    async def are_counted():
        (meter,) = (await client.get("/api/v1/usage")).json()["meters"]
        entries = (await client.get("/api/v1/accessEntries?pageSize=100")).json()["entries"]
        reads = [one for one in entries if one["method"].endswith("/ListCustomers")]
        return (meter["used"], len(reads)) == ("7", 7)

    await eventually(are_counted, BOUND_S, "seven units and seven entries")


async def test_a_key_that_was_used_at_one_door_is_used_at_all(client, superuser, person):
    key = {"idempotency-key": str(uuid.uuid4())}
    count = "SELECT count(*) FROM audit_log WHERE tenant_id = $1"
    before = await superuser.fetchval(count, person.tenant_id)
    first = await client.post("/api/v1/purposes", json=PURPOSE, headers=key)
    assert first.status_code == 200, first.text
    by_name = "/cohortlens.v1.ConsentService/CreatePurpose"
    again = await client.post(by_name, json=PURPOSE, headers=key)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    variables = {"title": "Surveys", "categories": PURPOSE["dataCategories"]}
    asked = {"query": CREATE, "variables": variables}
    by_graph = (await client.post("/graphql", json=asked, headers=key)).json()
    assert "errors" not in by_graph, by_graph
    assert by_graph["data"]["createPurpose"]["purpose"]["purpose"] == "surveys"
    other = (
        await client.post("/graphql", json=asked | {"variables": variables | {"title": "x"}}, headers=key)
    ).json()
    refused = await client.post(by_name, json=PURPOSE | {"title": "x"}, headers=key)
    wanted = refused.json()["details"][0]["debug"]["reason"]
    assert other["errors"][0]["extensions"]["reason"] == wanted
    assert await superuser.fetchval(count, person.tenant_id) == before + 1


async def test_of_many_who_change_what_they_read_one_wins(client):
    shown = await client.get("/api/v1/tenant")
    held, tag = shown.json()["tenant"]["etag"], shown.headers["etag"]
    by_name = "/cohortlens.v1.AuthService/UpdateTenant"
    asked = []
    for number in range(4):
        asked.append(
            client.patch("/api/v1/tenant", json={"displayName": f"H{number}"}, headers={"if-match": tag})
        )
        asked.append(client.post(by_name, json={"displayName": f"C{number}", "etag": held}))
    answers = await asyncio.gather(*asked)
    statuses = sorted(one.status_code for one in answers)
    assert statuses.count(200) == 1, statuses
    refused = {(one.request.method, one.status_code) for one in answers if one.status_code != 200}
    assert refused == {("PATCH", 412), ("POST", 409)}


SUBSCRIPTION = json.dumps({"query": "subscription { watchConsents { resumeToken } }"}).encode()
STREAMS = {
    "events": ("GET", "/api/v1/consents:watch", {"accept": "text/event-stream"}, b""),
    "lines": ("GET", "/api/v1/consents:watch", {"accept": "application/x-ndjson"}, b""),
    "connect": ("POST", WATCH, {"content-type": "application/connect+json"}, b"\0\0\0\0\2{}"),
    "grpcweb": (
        "POST",
        WATCH,
        {"content-type": "application/grpc-web"},
        framed(consent_checks_pb2.WatchConsentsRequest()),
    ),
    "graphql": (
        "POST",
        "/graphql",
        {"content-type": "application/json", "accept": "text/event-stream"},
        SUBSCRIPTION,
    ),
}


async def test_streams_end_with_their_session_at_every_door(client, person):
    answer = await client.post("/api/v1/sessions", json={"email": person.email, "password": PASSWORD})
    token = {"authorization": f"Bearer {answer.json()['tokens']['accessToken']}"}
    under_way = []

    async def read(name):
        verb, path, headers, body = STREAMS[name]
        async with client.stream(verb, path, headers=headers | token, content=body) as found:
            text = b""
            async for piece in found.aiter_raw():
                under_way.append(name)
                text += piece
        return found.status_code, text

    reading = [asyncio.create_task(read(name)) for name in STREAMS]
    graph = Graph(client)
    notice = await graph.notice()

    async def are_under_way():
        # A stream is silent until something changes, and tells of what changes once it has begun.
        await graph.data(GRANT, {"notice": notice, "customer": f"external:{uuid.uuid4()}"})
        return set(under_way) >= set(STREAMS)

    await eventually(are_under_way, BOUND_S, "all streams")
    await client.delete("/api/v1/sessions/current", headers=token)
    async with asyncio.timeout(BOUND_S):
        for name, task in zip(STREAMS, reading, strict=True):
            status, text = await task
            assert (status, b"TOKEN_REVOKED" in text or b"grpc-status: 16" in text) == (200, True), (
                name,
                text,
            )


async def test_a_patch_that_takes_away_what_must_be_there_is_refused_and_changes_nothing(client):
    assert (await client.post("/api/v1/purposes", json=PURPOSE)).status_code == 200
    before = (await client.get("/api/v1/purposes")).json()
    for name in ("title", "dpvPurpose", "lawfulBasis", "mechanism", "retentionDays"):
        refused = await client.patch("/api/v1/purposes/surveys", json={"description": "Another", name: None})
        assert refused.status_code == 400, name
        assert "is required when update_mask names it" in refused.json()["message"]
    assert (await client.get("/api/v1/purposes")).json() == before
