"""Each RPC of the public API is one field, takes what its JSON route takes, answers what that answers."""

import json

import pytest
from google.api import annotations_pb2
from graphql import get_named_type, get_nullable_type, is_list_type, is_object_type

from gateway.composition import public_table
from gateway.graphql.names import PACKAGE, Root, field_name, root_of, served
from gateway.graphql.scalars import OF_MESSAGE
from gateway.http.codec import Codecs, is_map
from gateway.http.comments import Comments
from tests.unit.gateway.graphql.door import EVENTS, TOKEN, ask, events

TABLE = public_table(with_reflection=False)
COMMENTS = Comments.load()
CODECS = Codecs()
METHODS = served(TABLE)
STAFF = {"authorization": "Bearer staff"}
GET_RULE = "get"


def to_arguments(descriptor, value):
    """A JSON value of a message as GraphQL takes it: maps as lists of entries."""
    found = {}
    for field in descriptor.fields:
        if field.json_name not in value:
            continue
        item = value[field.json_name]
        if is_map(field):
            item = [{"key": key, "value": one} for key, one in item.items()]
        elif field.message_type is not None and field.message_type.full_name not in OF_MESSAGE:
            inner = field.message_type
            many = field.is_repeated
            item = [to_arguments(inner, one) for one in item] if many else to_arguments(inner, item)
        found[field.json_name] = item
    return found


def document_for(client, method, example, levels=4):
    """(document, variables) that call a method with the arguments of an example and ask for all it answers."""
    schema, root, name = client.app.schema, root_of(method), field_name(method)
    field = getattr(schema, f"{root.value.lower()}_type").fields[name]
    values = to_arguments(method.descriptor.input_type, example)
    declared = ", ".join(f"${one}: {field.args[one].type}" for one in values)
    given = ", ".join(f"{one}: ${one}" for one in values)
    head = f"{root.value.lower()} {f'({declared})' if declared else ''}"
    call = f"{name}{f'({given})' if given else ''}"
    return f"{head} {{ {call} {selection(get_named_type(field.type), levels)} }}", values


def selection(type_, levels):
    parts = []
    for name, field in type_.fields.items():
        inner = get_named_type(field.type)
        if name.endswith("Details"):
            continue
        if not is_object_type(inner):
            parts.append(name)
        elif levels > 1:
            parts.append(f"{name} {selection(inner, levels - 1)}")
    return "{ " + " ".join(parts or ["__typename"]) + " }"


def expected(type_, value, levels):
    """What GraphQL answers for a JSON value of the JSON door."""
    if value is None:
        return None
    found = {}
    for name, field in type_.fields.items():
        inner = get_named_type(field.type)
        if name.endswith("Details"):
            continue
        item = value.get(name)
        if name == "ok" and not value:
            found[name] = True
        elif not is_object_type(inner):
            found[name] = item
        elif levels > 1:
            if isinstance(item, dict) and is_list_type(get_nullable_type(field.type)):
                item = [{"key": key, "value": one} for key, one in item.items()]
            many = isinstance(item, list)
            shown = [expected(inner, one, levels - 1) for one in item] if many else None
            found[name] = shown if many else expected(inner, item, levels - 1)
    return found or {"__typename": type_.name}


async def asked_fully(client, method, example, headers, accept):
    """(answer, levels) of the deepest document that keeps the limits of documents."""
    for levels in (4, 3, 2):
        document, values = document_for(client, method, example, levels)
        got = await ask(client, document, values, headers, accept=accept)
        if b"GRAPHQL_LIMIT_EXCEEDED" not in got.body:
            return got, levels
    raise AssertionError(got.body)


def test_every_rpc_that_takes_one_message_is_exactly_one_field(door):
    schema = door[0].app.schema
    fields = {
        (root.value, name) for root in Root for name in getattr(schema, f"{root.value.lower()}_type").fields
    }
    public = [method for method in TABLE if method.service.startswith(f"{PACKAGE}.")]
    assert len(public) > 190
    wanted = {(root_of(one).value, field_name(one)) for one in public if not one.client_streaming}
    assert fields == wanted
    assert len(wanted) == sum(not one.client_streaming for one in public)


def test_what_changes_something_is_a_mutation():
    for method in METHODS:
        options = method.descriptor.GetOptions()
        verb = options.Extensions[annotations_pb2.http].WhichOneof("pattern")
        root = root_of(method)
        if verb in {"put", "patch", "delete"}:
            assert root is Root.MUTATION, method.full_name
        if verb == GET_RULE and not method.server_streaming:
            assert root is Root.QUERY, method.full_name
    names = {(root_of(one), field_name(one)) for one in METHODS}
    assert (Root.QUERY, "segments") in names
    assert (Root.QUERY, "prediction") in names
    assert (Root.MUTATION, "grantConsent") in names
    assert (Root.MUTATION, "predict") in names
    assert (Root.SUBSCRIPTION, "watchConsents") in names


@pytest.mark.parametrize("method", METHODS, ids=lambda one: f"{one.service.rpartition('.')[2]}.{one.name}")
async def test_a_field_takes_and_answers_what_the_json_route_does(door, method):
    client, servicer = door
    example = COMMENTS.of(method.descriptor.input_type.full_name).example or {}
    answer = COMMENTS.of(method.descriptor.output_type.full_name).example or {}
    request, reply = method.input_class(), method.output_class()
    CODECS.parse(request, json.dumps(example).encode())
    CODECS.parse(reply, json.dumps(answer).encode())
    streams = method.server_streaming
    servicer.script[method.name] = [reply] if streams else reply

    headers = STAFF if method.policy.platform else TOKEN
    got, levels = await asked_fully(client, method, example, headers, EVENTS if streams else "")

    assert got.status == 200, got.body
    assert [name for name, _ in servicer.asked] == [method.name], got.body
    assert servicer.asked[0][1] == request
    assert servicer.calls[0].door == "graphql"
    result = events(got)[0][1] if streams else got.json
    assert "errors" not in result, result
    type_ = client.app.schema.get_type(get_named_type(_field(client, method).type).name)
    shown = expected(type_, json.loads(CODECS.print(reply)), levels)
    assert result["data"] == {field_name(method): shown}


def _field(client, method):
    return getattr(client.app.schema, f"{root_of(method).value.lower()}_type").fields[field_name(method)]
