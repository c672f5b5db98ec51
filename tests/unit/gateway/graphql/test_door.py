"""What the door takes and refuses: methods, media types, bodies, tokens, documents; what an answer holds."""

import asyncio
import gzip
import json
import logging

import pytest

from cohortlens.core.errors import NotFound, Unavailable
from cohortlens.v1 import auth_pb2, customers_pb2
from gateway.graphql.bodies import MAX_BODY_BYTES
from tests.fixtures.waiting import eventually
from tests.unit.gateway.graphql.door import JSON, TOKEN, ask, only_error, reason

CUSTOMERS = "{ customers { totalSize } }"
ME = "{ me { user } }"


async def post(client, body, **headers):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.request("POST", "/graphql", text, JSON | TOKEN | headers)


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "HEAD"])
async def test_only_post_is_taken(door, verb):
    answer = await door[0].request(verb, "/graphql?query={me{__typename}}", headers=TOKEN)
    assert answer.status == 405
    assert answer.header("allow") == "OPTIONS, POST"
    assert door[1].asked == []


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/graphql",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin-1",
    ],
)
async def test_what_a_page_could_send_without_asking_is_refused(door, kind):
    client, servicer = door
    headers = {**TOKEN, **({"content-type": kind} if kind else {})}
    answer = await client.request("POST", "/graphql", json.dumps({"query": ME}).encode(), headers)
    assert (answer.status, reason(answer)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert servicer.asked == []


async def test_a_cookie_makes_nobody_known(door):
    answer = await ask(door[0], ME, headers={"cookie": "session=good; authorization=Bearer good"})
    assert answer.status == 401
    assert door[1].asked == []


@pytest.mark.parametrize(
    ("body", "status", "why", "text"),
    [
        (b"", 400, "MALFORMED_JSON", "line 1"),
        (b"{", 400, "MALFORMED_JSON", "line 1"),
        (b"[" * 10_000, 400, "MALFORMED_JSON", "nested"),
        (b'{"query": "{ me { __typename } }", "query": "x"}', 400, "DUPLICATE_FIELD", "query"),
        ([{"query": ME}, {"query": ME}], 400, "FIELD_INVALID", "one by one"),
        ("x", 400, "FIELD_INVALID", "expected an object"),
        ({}, 400, "FIELD_INVALID", "query"),
        ({"query": 5}, 400, "FIELD_INVALID", "query"),
        ({"query": ME, "variables": []}, 400, "FIELD_INVALID", "variables"),
        ({"query": ME, "operationName": 5}, 400, "FIELD_INVALID", "operationName"),
        ({"query": ME, "operation_name": "x"}, 400, "UNKNOWN_FIELD", "operation_name"),
        ({"query": ME, "pad": "x" * MAX_BODY_BYTES}, 413, "BODY_TOO_LARGE", str(MAX_BODY_BYTES)),
    ],
)
async def test_a_body_that_is_no_request_says_why(door, body, status, why, text):
    answer = await post(door[0], body)
    assert (answer.status, reason(answer)) == (status, why)
    assert text in only_error(answer)["message"]
    assert door[1].asked == []


async def test_a_gzip_bomb_is_refused_at_the_limit(door):
    bomb = gzip.compress(b" " * 50_000_000)
    answer = await post(door[0], bomb, **{"content-encoding": "gzip"})
    assert (answer.status, reason(answer)) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    ("document", "why", "text"),
    [
        ("{ me(", "GRAPHQL_SYNTAX_INVALID", "line 1, column"),
        ("{ nope }", "GRAPHQL_DOCUMENT_INVALID", "'nope'"),
        ("{ customer { customer { customer } } }", "GRAPHQL_DOCUMENT_INVALID", "Query.customer(customer:)"),
        (
            "query A { me { __typename } } query B { me { __typename } }",
            "GRAPHQL_DOCUMENT_INVALID",
            "name one",
        ),
        ("{ me { ...A } } fragment A on GetMeResponse { ...A }", "GRAPHQL_DOCUMENT_INVALID", "'A'"),
        ("fragment A on User { email }", "GRAPHQL_DOCUMENT_INVALID", "'A'"),
        ("# nothing", "GRAPHQL_SYNTAX_INVALID", "line 1"),
    ],
)
async def test_a_document_that_cannot_be_run_says_where(door, document, why, text):
    answer = await ask(door[0], document)
    assert (answer.status, reason(answer)) == (400, why)
    assert text in answer.json["errors"][0]["message"]
    assert "data" not in answer.json
    assert door[1].asked == []


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ('{ customers(pageSize: "hunter2") { totalSize } }', None),
        ("{ customers(pageSize: [hunter2]) { totalSize } }", None),
        ('mutation { createSession(email: 5, password: {a: "hunter2"}) { __typename } }', None),
        ("query($n: Int) { customers(pageSize: $n) { totalSize } }", {"n": "hunter2"}),
        (
            "mutation($p: String!) { createSession(email: $p, password: $p) { __typename } }",
            {"p": {"a": "hunter2"}},
        ),
        (
            "mutation($v: [FeatureVectorInput!]) { predict(task: PREDICTION_TASK_SPEND, vectors: $v)"
            " { __typename } }",
            {"v": [{"values": [1], "hunter": "hunter2"}]},
        ),
    ],
)
async def test_no_value_of_a_caller_is_repeated(door, caplog, document, variables):
    caplog.set_level(logging.DEBUG)
    answer = await ask(door[0], document, variables)
    assert (answer.status, reason(answer)) == (400, "GRAPHQL_DOCUMENT_INVALID")
    assert b"hunter2" not in answer.body
    assert "hunter2" not in caplog.text


async def test_a_variable_that_does_not_fit_is_named_with_its_path(door):
    document = "mutation($v: [FeatureVectorInput!]) { predict(task: PREDICTION_TASK_SPEND, vectors: $v) { __typename } }"
    answer = await ask(door[0], document, {"v": [{"values": [1, True]}]})
    (violation,) = only_error(answer)["extensions"]["details"][1]["fieldViolations"]
    assert violation["field"] == "$v[0].values[1]"


async def test_a_variable_that_is_not_declared_is_refused(door):
    answer = await ask(door[0], ME, {"typo": 1})
    assert (answer.status, reason(answer)) == (400, "GRAPHQL_DOCUMENT_INVALID")
    assert "$typo" in only_error(answer)["message"]


async def test_who_cannot_prove_who_calls_gets_401_when_nothing_was_answered(door):
    client, servicer = door
    for headers in ({}, {"authorization": "Bearer stolen"}):
        answer = await ask(client, "{ a: me { __typename } customers { totalSize } }", headers=headers)
        assert answer.status == 401
        assert answer.header("www-authenticate").startswith("Bearer")
        assert {one["extensions"]["reason"] for one in answer.json["errors"]} == {"TOKEN_INVALID"}
    assert servicer.asked == []


async def test_a_public_method_answers_without_a_token_beside_one_that_does_not(door):
    client, servicer = door
    answer = await ask(client, "{ jwks { __typename } me { __typename } }", headers={})
    assert answer.status == 200
    assert answer.json["data"] == {"jwks": {"__typename": "GetJwksResponse"}, "me": None}
    assert reason(answer) == "TOKEN_INVALID"
    assert [name for name, _ in servicer.asked] == ["GetJwks"]


async def test_a_failed_field_takes_nothing_from_the_others(door):
    client, servicer = door
    servicer.script["GetCustomer"] = NotFound("no such customer", reason="RESOURCE_NOT_FOUND")
    servicer.script["ListCustomers"] = customers_pb2.ListCustomersResponse(total_size=3)
    answer = await ask(
        client,
        '{ b: customer(customer: "x") { customer { externalId } } customers { totalSize } }',
        headers=TOKEN | {"x-request-id": "my-request-1"},
    )
    assert answer.status == 200
    assert answer.json["data"] == {"b": None, "customers": {"totalSize": "3"}}
    error = only_error(answer)
    assert error["path"] == ["b"]
    assert error["locations"] == [{"line": 1, "column": 3}]
    extensions = error["extensions"]
    assert {name: extensions[name] for name in ("code", "reason", "httpStatus", "requestId")} == {
        "code": "NOT_FOUND",
        "reason": "RESOURCE_NOT_FOUND",
        "httpStatus": 404,
        "requestId": "my-request-1",
    }
    assert extensions["details"][0]["reason"] == "RESOURCE_NOT_FOUND"
    assert answer.header("x-request-id") == "my-request-1"


async def test_what_nobody_foresaw_keeps_its_text_to_itself(door):
    client, servicer = door
    servicer.script["ListCustomers"] = RuntimeError("password=hunter2 at /srv/db.py")
    answer = await ask(client, CUSTOMERS)
    assert (answer.status, reason(answer)) == (200, "INTERNAL")
    assert b"hunter2" not in answer.body
    assert b"db.py" not in answer.body


async def test_a_value_that_the_codec_refuses_gets_the_error_of_the_json_door(door):
    client, servicer = door
    document = "query($t: DateTime) { accessEntries(startTime: $t) { __typename } }"
    answer = await ask(client, document, {"t": "yesterday"})
    details = only_error(answer)["extensions"]["details"]
    assert answer.status == 200
    assert reason(answer) == "FIELD_INVALID"
    assert details[1]["fieldViolations"][0]["field"] == "start_time"
    assert servicer.asked == []


async def test_a_wait_that_can_help_is_in_the_headers(door):
    client, servicer = door
    servicer.script["ListCustomers"] = Unavailable("busy", reason="OVERLOADED", retry_delay_s=1.2)
    answer = await ask(client, CUSTOMERS)
    assert answer.header("retry-after") == "2"


async def test_answers_are_never_stored_by_caches(door):
    for answer in (await ask(door[0], ME), await ask(door[0], "{ nope }")):
        assert answer.header("cache-control") == "no-store"
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("content-security-policy").startswith("default-src 'none'")


async def test_the_media_type_of_graphql_is_answered_to_who_asks_for_it(door):
    kind = "application/graphql-response+json"
    assert (await ask(door[0], ME, accept=kind)).header("content-type") == kind
    assert (await ask(door[0], ME, accept="*/*")).header("content-type") == "application/json"
    answer = await ask(door[0], ME, accept="text/html")
    assert (answer.status, reason(answer)) == (406, "NOT_ACCEPTABLE")


async def test_queries_run_side_by_side_and_mutations_in_order(door):
    client, servicer = door
    order, both = [], asyncio.Barrier(2)

    async def together(request, call):
        async with asyncio.timeout(5):
            await both.wait()

    async def noted(request, call):
        order.append(request.session)
        await asyncio.sleep(0 if order[1:] else 0.01)
        order.append(request.session)

    servicer.script |= {
        "GetMe": lambda request, call: _answering(together, auth_pb2.GetMeResponse(), request, call),
        "ListCustomers": lambda request, call: _answering(
            together, customers_pb2.ListCustomersResponse(), request, call
        ),
        "DeleteSession": lambda request, call: _answering(
            noted, auth_pb2.DeleteSessionResponse(), request, call
        ),
    }
    answer = await ask(client, "{ me { __typename } customers { totalSize } }")
    assert "errors" not in answer.json
    first, second = (f"00000000-0000-7000-8000-00000000000{digit}" for digit in "12")
    document = f'mutation {{ a: deleteSession(session: "{first}") {{ ok }} b: deleteSession(session: "{second}") {{ ok }} }}'
    answer = await ask(client, document)
    assert answer.json == {"data": {"a": {"ok": True}, "b": {"ok": True}}}
    assert order == [first, first, second, second]


async def _answering(act, reply, request, call):
    await act(request, call)
    return reply


async def test_a_deadline_ends_the_fields_that_are_late_alone(door):
    client, servicer = door

    async def late(request, call):
        await asyncio.sleep(30)

    servicer.script["GetMe"] = late
    answer = await ask(
        client, "{ me { __typename } customers { totalSize } }", headers=TOKEN | {"x-request-timeout": "0.2"}
    )
    assert answer.status == 200
    assert answer.json["data"] == {"me": None, "customers": {"totalSize": "0"}}
    assert reason(answer) == "DEADLINE_EXCEEDED"


async def test_a_timeout_that_cannot_be_read_is_refused(door):
    answer = await ask(door[0], ME, headers=TOKEN | {"x-request-timeout": "soon"})
    assert reason(answer) == "DEADLINE_INVALID"
    assert door[1].asked == []


async def test_a_caller_that_leaves_ends_its_calls(door):
    client, servicer = door
    begun, ended, leave = asyncio.Event(), [], asyncio.Event()

    async def slow(request, call):
        begun.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(call.method.name)

    servicer.script |= {"GetMe": slow, "ListCustomers": slow}
    asking = asyncio.create_task(ask(client, "{ me { __typename } customers { totalSize } }", leave=leave))
    await begun.wait()
    leave.set()
    await asking

    async def both_ended():
        return sorted(ended) == ["GetMe", "ListCustomers"]

    await eventually(both_ended, 5, "both calls are cancelled")


async def test_the_schema_is_shown_to_anybody_but_in_production(door, production):
    document = '{ __schema { queryType { name } } __type(name: "Customer") { name } }'
    shown = {"__schema": {"queryType": {"name": "Query"}}, "__type": {"name": "Customer"}}
    assert (await ask(door[0], document, headers={})).json == {"data": shown}
    refused = await ask(production[0], document, headers={})
    assert (refused.status, reason(refused)) == (401, "TOKEN_INVALID")
    assert "data" not in refused.json
    assert (await ask(production[0], document)).json == {"data": shown}
    named = await ask(production[0], "{ __typename }", headers={})
    assert named.status == 401


async def test_no_name_of_the_schema_is_suggested_in_production(door, production):
    assert b"customers" in (await ask(door[0], "{ custmers { totalSize } }")).body
    assert b"customers" not in (await ask(production[0], "{ custmers { totalSize } }")).body


async def test_a_schema_hidden_in_a_fragment_needs_a_token_too(production):
    document = "{ jwks { __typename } ...A } fragment A on Query { ... { __schema { queryType { name } } } }"
    refused = await ask(production[0], document, headers={})
    assert refused.status == 401
    assert production[1].asked == []
