"""Limits of documents: each refused before anything runs, in time that does not grow with what it stands for."""

import pytest

from gateway.graphql import limits
from tests.unit.gateway.graphql.door import ask, only_error, reason


def bomb(levels):
    """Fragments that each stand for two of the next: 2 to the power of ``levels`` fields."""
    parts = [f"fragment F{n} on Customer {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels)]
    return " ".join(
        [
            "{ customers { customers { ...F0 } } }",
            *parts,
            f"fragment F{levels} on Customer {{ a: externalId }}",
        ]
    )


def many(count, one):
    return " ".join(one.replace("#", str(number)) for number in range(count))


REFUSED = {
    "source": "{ me { __typename } } #" + "x" * limits.MAX_SOURCE_BYTES,
    "tokens": "{ me { user { " + "email " * limits.MAX_TOKENS + "} } }",
    "comments": "#\n" * (limits.MAX_TOKENS + 1) + "{ me { __typename } }",
    "nesting": "{ a" * 400,
    "values nested": "{ customers(pageSize: " + "[" * 900 + ") { totalSize } }",
    "root fields": "{ " + many(11, "a#: customers { totalSize } ") + "}",
    "root fields of one name": "{ " + "jwks { __typename } " * 245 + "}",
    "root fields in fragments": "{ ...A ...B } fragment A on Query { "
    + many(6, "a#: customers { totalSize } ")
    + "} fragment B on Query { "
    + many(6, "b#: customers { totalSize } ")
    + "}",
    "aliases": "{ customers { customers { " + many(16, "a#: externalId ") + "} } }",
    "aliases of a bomb": bomb(60),
    "fields beside one another": "{ customers { customers { " + "externalId " * 101 + "} } }",
    "pairs of fields with one name": "{ customers { "
    + many(60, "customers { externalId country orders } ")
    + "} }",
    "page size": "{ customers(pageSize: 1001) { customers { externalId } } }",
    "page size by default": "query($n: Int = 1001) { customers(pageSize: $n) { customers { externalId } } }",
    "names in the document": "{ customersByName(customers: ["
    + '"a" ' * 600
    + "]) { customers { externalId } } predictions(pageSize: 401) { predictions { value } } }",
    "introspection": "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_document_beyond_a_limit_is_refused_before_anything_runs(door, name):
    client, servicer = door
    answer = await ask(client, REFUSED[name])
    wanted = "GRAPHQL_DOCUMENT_INVALID" if name == "introspection" else "GRAPHQL_LIMIT_EXCEEDED"
    assert (answer.status, reason(answer)) == (400, wanted)
    assert servicer.asked == []


async def test_what_is_at_a_limit_is_run(door):
    client, servicer = door
    for document in (
        "{ " + many(10, "a#: customers { totalSize } ") + "}",
        "{ customers { customers { " + many(15, "a#: externalId ") + "} } }",
        "{ customers(pageSize: 1000) { customers { externalId country orders spendMinor } } }",
        "{ customers { customers { ...A ...A } } } fragment A on Customer { externalId }",
    ):
        answer = await ask(client, document)
        assert (answer.status, "errors" in answer.json) == (200, False), answer.body
    assert len(servicer.asked) == 13


async def test_a_page_size_in_a_variable_counts_as_one_in_the_document(door):
    client, _ = door
    document = "query($n: Int) { customers(pageSize: $n) { customers { externalId } } }"
    assert (await ask(client, document, {"n": 1000})).status == 200
    refused = await ask(client, document, {"n": 1001})
    assert reason(refused) == "GRAPHQL_LIMIT_EXCEEDED"
    metadata = only_error(refused)["extensions"]["details"][0]["metadata"]
    assert metadata == {"limit": "1000", "found": "1001"}


@pytest.mark.parametrize("size", [1001, 1001.0, 1e6])
async def test_a_page_size_counts_however_json_writes_it(door, size):
    client, servicer = door
    document = "query($n: Int = 1) { customers(pageSize: $n) { customers { externalId } } }"
    assert reason(await ask(client, document, {"n": size})) == "GRAPHQL_LIMIT_EXCEEDED"
    assert servicer.asked == []


async def test_things_asked_for_by_name_count_as_many_as_there_are_names(door):
    client, servicer = door
    document = "query($c: [String!]!) { customersByName(customers: $c) { customers { externalId } } }"
    assert (await ask(client, document, {"c": ["a"] * 1000})).status == 200
    assert reason(await ask(client, document, {"c": ["a"] * 1001})) == "GRAPHQL_LIMIT_EXCEEDED"
    assert len(servicer.asked) == 1


@pytest.mark.parametrize("values", [["a"] * 10_000, [["a"] * 99] * 101, {str(n): n for n in range(10_000)}])
async def test_variables_of_too_many_values_are_refused_before_anybody_looks_at_each(
    door, monkeypatch, values
):
    client, servicer = door
    looked = []
    monkeypatch.setattr("gateway.graphql.documents.validate_input_value", lambda *_, **__: looked.append(1))
    document = "query($c: [String!]!) { customersByName(customers: $c) { customers { externalId } } }"
    refused = await ask(client, document, {"c": values})
    assert reason(refused) == "GRAPHQL_LIMIT_EXCEEDED"
    assert "values in the variables" in only_error(refused)["message"]
    assert (servicer.asked, looked) == ([], [])


async def test_lists_inside_items_multiply(door):
    client, _ = door
    inside = "predictions(pageSize: #) { predictions { customerDetails { externalId } } }"
    assert (await ask(client, "{ " + inside.replace("#", "500") + " }")).status == 200
    assert reason(await ask(client, "{ " + inside.replace("#", "501") + " }")) == "GRAPHQL_LIMIT_EXCEEDED"
