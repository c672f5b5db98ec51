"""Requests of which nothing is run: bodies that do not come, values that are missing, conditions."""

import asyncio

import pytest

from tests.unit.gateway.graphql.door import JSON, TOKEN, ask, only_error, reason

ME = "{ me { user } }"


@pytest.mark.parametrize("first", [[], [b'{"query":']])
async def test_a_body_that_does_not_come_is_not_waited_for_longer_than_the_caller_gives(door, first):
    client, servicer = door
    pieces = list(first)

    async def silent(scope, receive, send):
        async def waiting():
            if not pieces:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": pieces.pop(), "more_body": True}

        await client.app(scope, waiting, send)

    asking = type(client)(silent).request("POST", "/graphql", b"", JSON | {"x-request-timeout": "0.05"})
    answer = await asyncio.wait_for(asking, 10)
    assert (answer.status, reason(answer)) == (408, "REQUEST_TIMEOUT")
    assert servicer.asked == []


BY_NAME = "customersByName(customers: $c) { customers { customer } }"


@pytest.mark.parametrize(
    ("document", "variables", "field"),
    [
        ("query($c: [String!]!) { " + BY_NAME + " }", {}, "$c"),
        ("query($c: Boolean!) { me @include(if: $c) { user } }", None, "$c"),
        ('query($c: [String!] = ["a"]) { ' + BY_NAME + " }", {"c": None}, "customers"),
        ('query($c: String = "a") { ' + BY_NAME.replace("$c", "[$c]") + " }", {"c": None}, "customers"),
        ("query($c: Boolean = true) { me @include(if: $c) { user } }", {"c": None}, "if"),
    ],
)
async def test_a_value_that_is_missing_is_the_callers_fault_and_logged_as_one(
    door, caplog, document, variables, field
):
    client, servicer = door
    answer = await ask(client, document, variables, headers={})
    assert (answer.status, reason(answer)) == (400, "GRAPHQL_DOCUMENT_INVALID")
    assert only_error(answer)["message"].startswith(f"{field}: ")
    assert (servicer.asked, "unexpected" in caplog.text) == ([], False)


async def test_a_wrong_argument_of_one_field_leaves_the_others(door):
    client, servicer = door
    document = 'query($c: [String!] = ["a"]) { me { user } ' + BY_NAME + " }"
    answer = await ask(client, document, {"c": None})
    assert (answer.status, reason(answer)) == (200, "GRAPHQL_DOCUMENT_INVALID")
    assert answer.json["data"] == {"me": {"user": ""}, "customersByName": None}
    assert [name for name, _ in servicer.asked] == ["GetMe"]


@pytest.mark.parametrize("document", ["{ me @skip(if: true) { user } }", "{ __typename }"])
async def test_a_document_that_calls_nothing_needs_in_production_what_the_schema_needs(production, document):
    client, _ = production
    assert (await ask(client, document, headers={})).status == 401
    assert (await ask(client, document)).status == 200


async def test_a_condition_that_would_not_be_kept_is_refused(door):
    answer = await ask(door[0], ME, headers=TOKEN | {"if-match": '"7"'})
    assert reason(answer) == "HEADER_INVALID"
    assert door[1].asked == []
