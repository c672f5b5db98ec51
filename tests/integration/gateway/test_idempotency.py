"""Repeated requests through both doors of a gateway over real PostgreSQL: one effect, and the same answer."""

import asyncio
from uuid import uuid4

import grpc
import httpx
import pytest

from cohortlens.core.config import read
from cohortlens.v1 import auth_keys_pb2, auth_pb2_grpc
from gateway.config import GatewayConfig
from load.bench.raised import RAISED
from tests.integration.gateway.conftest import core_config, running_gateway
from tests.integration.identity.conftest import another_session, open_identity

KEYS = "/api/v1/apiKeys"
CREATE = "/cohortlens.v1.AuthService/CreateApiKey"
BODY = {"displayName": "export", "scopes": ["customers.read"]}
CSV = b"customer_id,date,amount\nc1,2026-01-02,5.00\nc2,2026-01-03,6.00\n"


@pytest.fixture
async def gateway(tmp_path, database, postgres_urls, redis_url, redis_client):
    config = read(GatewayConfig, RAISED | {"COHORTLENS_GRPC_PORT": "0", "COHORTLENS_HTTP_PORT": "0"})
    async with running_gateway(core_config(tmp_path, postgres_urls.runtime, redis_url), config) as one:
        yield one


async def token_of(database, redis_client, tenant):
    identity = await open_identity(database, redis_client, issuer="https://cohortlens.local")
    pair = await another_session(identity, tenant.tenant_id, tenant.user_id)
    await identity.close()
    return pair.access_token


@pytest.fixture
async def token(database, redis_client, tenants):
    return await token_of(database, redis_client, tenants[0])


@pytest.fixture
async def http(gateway, token):
    headers = {"authorization": f"Bearer {token}"}
    base = f"http://127.0.0.1:{gateway.http_port}"
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as client:
        yield client


async def until_answered(send):
    """The answer of a caller who waits while the first call is under way."""
    while True:
        answer = await send()
        if "IDEMPOTENCY_IN_PROGRESS" not in answer.text:
            return answer
        assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")
        await asyncio.sleep(0.05)


def reason_of(answer):
    return answer.json()["details"][0]["reason"]


async def overdue(superuser):
    """Let the time of every attempt run out."""
    await superuser.execute("UPDATE idempotency_keys SET locked_until = now() - interval '1 second'")


async def lost_answer(superuser):
    """Bring every key to where a crash right behind the COMMIT leaves it."""
    await superuser.execute("UPDATE idempotency_keys SET state = 'COMMITTED', answer_enc = NULL")
    await overdue(superuser)


async def test_fifty_equal_requests_at_once_have_one_effect_and_one_answer(http, superuser):
    key = {"idempotency-key": str(uuid4())}
    answers = await asyncio.gather(
        *(until_answered(lambda: http.post(KEYS, json=BODY, headers=key)) for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["secret"].startswith("cl_test_")
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert await superuser.fetchval("SELECT count(*) FROM api_keys") == 1
    rows = "SELECT count(*) FROM audit_log WHERE action = 'identity.api_key.created'"
    assert await superuser.fetchval(rows) == 1
    stored = await superuser.fetchrow("SELECT state, answer_enc FROM idempotency_keys")
    assert stored["state"] == "DONE"
    assert answers[0].json()["secret"].encode() not in stored["answer_enc"]


async def test_both_doors_and_both_ways_to_name_the_key_meet(http, gateway, token, superuser):
    key = str(uuid4())
    first = await http.post(KEYS, json=BODY, headers={"idempotency-key": key})
    by_field = await http.post(KEYS, json=BODY | {"requestId": key})
    by_both = await http.post(KEYS, json=BODY | {"requestId": key}, headers={"idempotency-key": key})
    assert by_field.text == by_both.text == first.text
    request = auth_keys_pb2.CreateApiKeyRequest(display_name="export", scopes=["customers.read"])
    bearer = ("authorization", f"Bearer {token}")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        create = auth_pb2_grpc.AuthServiceStub(channel).CreateApiKey
        by_metadata = create(request, metadata=[bearer, ("idempotency-key", key)])
        assert (await by_metadata).secret == first.json()["secret"]
        assert dict(await by_metadata.initial_metadata())["idempotent-replayed"] == "true"
        request.request_id = key
        assert (await create(request, metadata=[bearer])).secret == first.json()["secret"]
        request.display_name = "other"
        with pytest.raises(grpc.aio.AioRpcError, match="another request") as refused:
            await create(request, metadata=[bearer])
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await superuser.fetchval("SELECT count(*) FROM api_keys") == 1


async def test_a_key_serves_one_request_and_must_be_well_formed(http, superuser):
    key = {"idempotency-key": "nightly 2026-11-23"}
    assert (await http.post(KEYS, json=BODY, headers=key)).status_code == 200
    other = await http.post(KEYS, json=BODY | {"displayName": "other"}, headers=key)
    assert (other.status_code, reason_of(other)) == (400, "IDEMPOTENCY_KEY_REUSED")
    for bad in ("", "x" * 256, "k\xe9y"):
        refused = await http.post(KEYS, json=BODY, headers={"idempotency-key": bad.encode("latin-1")})
        assert (refused.status_code, reason_of(refused)) == (400, "FIELD_INVALID")
    assert await superuser.fetchval("SELECT count(*) FROM api_keys") == 1
    assert await superuser.fetchval("SELECT count(*) FROM idempotency_keys") == 1


async def test_two_different_keys_are_a_conflict_at_every_door(http, gateway, token, superuser):
    key, both = {"idempotency-key": str(uuid4())}, BODY | {"requestId": str(uuid4())}
    document = "mutation($n: String!, $s: [String!]!, $k: String) { createApiKey(displayName: $n, "
    document += "scopes: $s, requestId: $k) { secret } }"
    variables = {"n": both["displayName"], "s": both["scopes"], "k": both["requestId"]}
    by_json = await http.post(KEYS, json=both, headers=key)
    by_connect = await http.post(CREATE, json=both, headers=key)
    by_graphql = await http.post("/graphql", json={"query": document, "variables": variables}, headers=key)
    assert (by_json.status_code, by_connect.status_code, by_graphql.status_code) == (400, 400, 200)
    found = [by_json.json()["details"], by_graphql.json()["errors"][0]["extensions"]["details"]]
    found.append([one["debug"] for one in by_connect.json()["details"]])
    for details in found:
        assert details[0]["reason"] == "FIELD_CONFLICT"
        assert [one["field"] for one in details[1]["fieldViolations"]] == ["request_id"]
    request = auth_keys_pb2.CreateApiKeyRequest(
        display_name=both["displayName"], scopes=both["scopes"], request_id=both["requestId"]
    )
    metadata = [("authorization", f"Bearer {token}"), *key.items()]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="is another key than request_id") as refused:
            await auth_pb2_grpc.AuthServiceStub(channel).CreateApiKey(request, metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await superuser.fetchval("SELECT count(*) FROM api_keys") == 0
    assert await superuser.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_a_final_refusal_is_repeated_as_it_was_and_a_bad_request_is_forgotten(http, superuser):
    key, gone = {"idempotency-key": str(uuid4())}, f"{KEYS}/{uuid4()}"
    first, second = [await http.delete(gone, headers=key) for _ in range(2)]
    assert (first.status_code, reason_of(first)) == (404, "RESOURCE_NOT_FOUND")
    assert (second.status_code, second.json()["message"]) == (404, first.json()["message"])
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    bad = {"idempotency-key": str(uuid4())}
    assert (await http.post(KEYS, json=BODY | {"displayName": " "}, headers=bad)).status_code == 400
    assert (await http.post(KEYS, json=BODY, headers=bad)).status_code == 200
    assert await superuser.fetchval("SELECT count(*) FROM idempotency_keys") == 2


async def test_a_key_stands_in_the_query_of_a_request_without_a_body(http, superuser):
    made = (await http.post(KEYS, json=BODY)).json()["apiKey"]["apiKey"]
    once, again = [await http.delete(f"{KEYS}/{made}", params={"requestId": str(uuid4())}) for _ in range(2)]
    assert "idempotent-replayed" not in again.headers
    params = {"requestId": str(uuid4())}
    first, second = [await http.delete(f"{KEYS}/{made}", params=params) for _ in range(2)]
    assert (first.text, second.headers["idempotent-replayed"]) == (second.text, "true")
    assert once.status_code == 200
    rows = "SELECT count(*) FROM audit_log WHERE action = 'identity.api_key.revoked'"
    assert await superuser.fetchval(rows) == 1


async def test_another_tenant_s_key_is_an_unknown_one(http, database, redis_client, tenants, superuser):
    key = {"idempotency-key": "the same"}
    theirs = await token_of(database, redis_client, tenants[1])
    ours = await http.post(KEYS, json=BODY, headers=key)
    other = await http.post(
        KEYS, json=BODY | {"displayName": "x"}, headers=key | {"authorization": f"Bearer {theirs}"}
    )
    assert (ours.status_code, other.status_code) == (200, 200)
    assert "idempotent-replayed" not in other.headers
    assert await superuser.fetchval("SELECT count(DISTINCT tenant_id) FROM idempotency_keys") == 2


async def test_an_answer_lost_behind_the_commit_is_read_again_without_its_secret(http, superuser):
    key = {"idempotency-key": str(uuid4())}
    first = (await http.post(KEYS, json=BODY, headers=key)).json()
    await lost_answer(superuser)
    again, third = [await http.post(KEYS, json=BODY, headers=key) for _ in range(2)]
    assert again.json()["apiKey"] == first["apiKey"]
    assert again.json()["secret"] == ""
    assert third.text == again.text
    assert (again.headers["idempotent-replayed"], third.headers["idempotent-replayed"]) == ("true", "true")
    assert await superuser.fetchval("SELECT count(*) FROM api_keys") == 1


async def test_an_attempt_that_left_no_effect_is_taken_over_once_it_is_overdue(http, superuser, tenants):
    key = {"idempotency-key": str(uuid4())}
    assert (await http.post(KEYS, json=BODY, headers=key)).status_code == 200
    await superuser.execute(
        "UPDATE idempotency_keys SET state = 'IN_PROGRESS', answer_enc = NULL; DELETE FROM api_keys"
    )
    waiting = await http.post(KEYS, json=BODY, headers=key)
    assert (waiting.status_code, reason_of(waiting)) == (409, "IDEMPOTENCY_IN_PROGRESS")
    await overdue(superuser)
    taken = await http.post(KEYS, json=BODY, headers=key)
    assert (taken.status_code, "idempotent-replayed" in taken.headers) == (200, False)
    assert await superuser.fetchval("SELECT count(*) FROM api_keys") == 1


async def test_an_expired_key_counts_no_more(http, superuser):
    key = {"idempotency-key": str(uuid4())}
    first = await http.post(KEYS, json=BODY, headers=key)
    await superuser.execute("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
    later = await http.post(KEYS, json=BODY | {"displayName": "other"}, headers=key)
    assert (first.status_code, later.status_code, "idempotent-replayed" in later.headers) == (200, 200, False)
    assert await superuser.fetchval("SELECT count(*) FROM api_keys") == 2


async def test_an_upload_under_a_key_is_stored_once_and_its_file_is_compared(http, superuser):
    async def cut(data, size):
        for at in range(0, len(data), size):
            yield data[at : at + size]

    async def send(content):
        headers = {"content-type": "text/csv", "idempotency-key": "upload-1"}
        url = "/api/v1/transactions:import?fileName=a.csv"
        return await http.post(url, content=content, headers=headers)

    first, second = await send(CSV), await send(cut(CSV, 7))
    assert first.status_code == 200, first.text
    assert second.json()["import"]["import"] == first.json()["import"]["import"]
    assert second.headers["idempotent-replayed"] == "true"
    other = await send(CSV.replace(b"6.00", b"7.00"))
    assert (other.status_code, reason_of(other)) == (400, "IDEMPOTENCY_KEY_REUSED")
    await lost_answer(superuser)
    again = await send(CSV)
    assert again.json()["import"]["import"] == first.json()["import"]["import"]
    assert await superuser.fetchval("SELECT count(*) FROM imports") == 1
