"""GraphQL at a real gateway: one log-in, consents given, read and followed, references, limits; parity by numbers."""

from __future__ import annotations

import asyncio
import json
import uuid

import grpc
import httpx
import pytest

from cohortlens.core.config import Duration
from cohortlens.core.ids import uuid7
from cohortlens.v1 import consent_acts_pb2, consent_pb2_grpc
from gateway.config import GatewayConfig
from tests.fixtures.tenants import register
from tests.fixtures.waiting import eventually
from tests.integration.gateway.conftest import LISTED_ORIGIN, PASSWORD, core_config, running_gateway
from tests.integration.gateway.test_consent_at_the_doors import NOTICE

LOG_IN = """
mutation LogIn($email: String!, $password: String!) {
  createSession(email: $email, password: $password) { tokens { accessToken } }
}
"""
PUBLISH = """
mutation Publish($purposes: [PurposeVersionInput!]!, $controller: ControllerInput!) {
  publishNotice(name: "website", locale: "en", content: "How you buy.", purposes: $purposes, controller: $controller) {
    notice { notice }
  }
}
"""
GRANT = """
mutation Grant($notice: String!, $customer: String!) {
  grantConsent(
    customer: $customer, notice: $notice, method: COLLECTION_METHOD_FORM, purposes: [{purpose: "profiling"}]
  ) { receipt consents { purpose state } }
}
"""
CONSENTS = "{ consents { consents { purpose state customer { externalId } } } }"


class Graph:
    """A client of the GraphQL door."""

    def __init__(self, client):
        self.http = client

    async def ask(self, document, variables=None, status=200, **headers):
        """The whole answer."""
        body = {"query": document, "variables": variables or {}}
        answer = await self.http.post("/graphql", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def data(self, document, variables=None, **headers):
        """What was answered, without a fault."""
        answer = await self.ask(document, variables, **headers)
        assert "errors" not in answer, answer
        return answer["data"]

    async def log_in(self, email):
        found = await self.data(LOG_IN, {"email": email, "password": PASSWORD})
        self.http.headers["authorization"] = f"Bearer {found['createSession']['tokens']['accessToken']}"

    async def notice(self):
        given = {name: NOTICE[name] for name in ("purposes", "controller")}
        return (await self.data(PUBLISH, given))["publishNotice"]["notice"]["notice"]


@pytest.fixture
async def gateway(tmp_path, database, postgres_urls, redis_url, redis_client):
    """A gateway that sheds nothing: what is tested here is not how busy the machine is."""
    config = GatewayConfig(grpc_port=0, http_port=0, cors_origins=LISTED_ORIGIN, loop_lag_max=Duration(60.0))
    async with running_gateway(core_config(tmp_path, postgres_urls.runtime, redis_url), config) as one:
        yield one


@pytest.fixture
async def graph(gateway, person):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.http_port}", timeout=20) as client:
        one = Graph(client)
        await one.log_in(person.email)
        yield one


async def test_a_consent_is_given_once_by_key_and_reads_equal_at_three_doors(
    graph, gateway, superuser, person
):
    given = {"notice": await graph.notice(), "customer": "external:ann"}
    before = await superuser.fetchval("SELECT count(*) FROM audit_log WHERE tenant_id = $1", person.tenant_id)
    key = {"idempotency-key": str(uuid.uuid4())}
    first = await graph.data(GRANT, given, **key)
    assert first["grantConsent"]["consents"] == [{"purpose": "profiling", "state": "CONSENT_STATE_GIVEN"}]
    assert await graph.data(GRANT, given, **key) == first
    rows = await superuser.fetchval("SELECT count(*) FROM audit_log WHERE tenant_id = $1", person.tenant_id)
    assert rows == before + 1

    by_json = (await graph.http.get("/api/v1/consents")).json()["consents"]
    by_graph = (await graph.data(CONSENTS))["consents"]["consents"]
    shown = [
        {
            "purpose": one["purpose"],
            "state": one["state"],
            "customer": {"externalId": one["customer"]["externalId"]},
        }
        for one in by_json
    ]
    assert by_graph == shown
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        stub = consent_pb2_grpc.ConsentServiceStub(channel)
        token = (("authorization", graph.http.headers["authorization"]),)
        by_grpc = await stub.ListConsents(consent_acts_pb2.ListConsentsRequest(), metadata=token)
    assert [one.purpose for one in by_grpc.consents] == [one["purpose"] for one in by_graph]

    withdrawn = await graph.data(
        'mutation { withdrawConsent(customer: "external:ann") { consents { state } } }'
    )
    assert {one["state"] for one in withdrawn["withdrawConsent"]["consents"]} == {"CONSENT_STATE_WITHDRAWN"}


async def test_errors_of_three_doors_are_equal_and_a_foreign_tenant_learns_nothing(
    graph, gateway, database, superuser, password_hash
):
    prediction = str(uuid7())
    document = "query($p: String!) { prediction(prediction: $p) { prediction { value } } }"
    by_graph = (await graph.ask(document, {"p": prediction}))["errors"][0]
    by_json = (await graph.http.get(f"/api/v1/predictions/{prediction}")).json()
    assert by_graph["message"] == by_json["message"]
    assert by_graph["extensions"]["code"] == "NOT_FOUND"
    assert by_graph["extensions"]["details"][0] == by_json["details"][0]

    await graph.data(GRANT, {"notice": await graph.notice(), "customer": "external:ann"})
    other = await register(database, "south")
    await superuser.execute("UPDATE users SET password_hash = $1", password_hash)
    async with httpx.AsyncClient(base_url=graph.http.base_url, timeout=20) as client:
        south = Graph(client)
        await south.log_in(other.email)
        assert (await south.data(CONSENTS))["consents"]["consents"] == []


async def test_each_field_is_one_unit_and_one_entry_of_the_access_log(graph):
    await graph.data("{ a: customers { totalSize } b: customers { totalSize } users { users { email } } }")
    await graph.ask("{ customers { nope } }", status=400)
    asked = "{ usage { meters { used } } accessEntries { entries { method } } }"

    async def are_counted():
        found = await graph.data(asked)
        reads = [one["method"] for one in found["accessEntries"]["entries"]]
        (meter,) = found["usage"]["meters"]
        return (meter["used"], sum(one.endswith("/ListCustomers") for one in reads)) == ("2", 2)

    await eventually(are_counted, 20, "two units and two entries")


async def test_customers_are_found_by_name_in_one_call(graph, superuser, person):
    names = [str(uuid7()) for _ in range(3)]
    await superuser.executemany(
        "INSERT INTO customers (tenant_id, id, external_id, created_at) VALUES ($1, $2, $3, now())",
        [(person.tenant_id, name, f"e{place}") for place, name in enumerate(names)],
    )
    document = (
        "query($c: [String!]!) { customersByName(customers: $c) { customers { customer externalId } } }"
    )
    asked = [names[2], "external:e0", str(uuid7()), names[2], "external:nobody"]
    found = (await graph.data(document, {"c": asked}))["customersByName"]["customers"]
    assert found == [
        {"customer": names[2], "externalId": "e2"},
        {"customer": names[0], "externalId": "e0"},
    ]
    by_json = await graph.http.post("/api/v1/customers:batchGet", json={"customers": asked})
    assert [one["externalId"] for one in by_json.json()["customers"]] == ["e2", "e0"]
    refused = (await graph.ask(document, {"c": ["x"]}))["errors"][0]["extensions"]
    assert refused["details"][1]["fieldViolations"][0]["field"] == "customers[0]"


async def test_changes_of_consents_are_followed_as_events(graph):
    notice = await graph.notice()
    document = (
        "subscription { watchConsents { changes { purpose customerDetails { externalId } } consentVersion } }"
    )
    seen = []

    async def follow():
        body, headers = {"query": document}, {"accept": "text/event-stream"}
        async with graph.http.stream("POST", "/graphql", json=body, headers=headers) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/event-stream"
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    seen.append(json.loads(line[6:])["data"]["watchConsents"])
                    if any(one["changes"] for one in seen):
                        return

    following = asyncio.create_task(follow())
    await graph.data(GRANT, {"notice": notice, "customer": "external:ann"})
    async with asyncio.timeout(20):
        await following
    assert seen[-1]["changes"] == [{"purpose": "profiling", "customerDetails": None}]


async def test_pages_of_listed_origins_may_ask_and_no_other(graph):
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type",
    }
    allowed = await graph.http.options("/graphql", headers={"origin": LISTED_ORIGIN, **asked})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == LISTED_ORIGIN
    refused = await graph.http.options("/graphql", headers={"origin": "https://evil.example", **asked})
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


async def test_documents_that_run_nothing_are_limited_by_address(graph):
    del graph.http.headers["authorization"]
    policies = []
    for _ in range(200):
        answer = await graph.http.post("/graphql", json={"query": "{ nope }"})
        policies.append(answer.headers.get("ratelimit-policy", ""))
        if answer.status_code == 429:
            break
    assert answer.status_code == 429
    assert answer.json()["errors"][0]["extensions"]["reason"] == "RATE_LIMITED"
    assert int(answer.headers["retry-after"]) >= 1
    assert all("public" in one for one in policies)
