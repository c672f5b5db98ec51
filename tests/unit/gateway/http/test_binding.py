"""What a rule binds: values of a path that nothing contradicts, masks of a PATCH, rules that cannot start."""

from __future__ import annotations

import itertools
import json

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from cohortlens.core.errors import InvalidArgument
from gateway import composition
from gateway.http import headers
from gateway.http.binding import Binding, RawRequest, Rule
from gateway.http.codec import Codecs
from gateway.http.headers import FORM
from gateway.http.routes import build_routes
from gateway.http.templates import TemplateInvalid, parse_template
from tests.unit.gateway.http.support import Client, Schema, door_for, message_class
from tests.vectors.transcoding.scripted import Scripted

ROUTES = build_routes(composition.public_table(with_reflection=False)).routes
BOUND = [route for route in ROUTES if route.rule.template.variables]
_TEXTS = {
    FieldDescriptor.CPPTYPE_STRING: "external:1",
    FieldDescriptor.CPPTYPE_BOOL: "true",
    FieldDescriptor.CPPTYPE_ENUM: "1",
}


def _name(route):
    return f"{route.rule.verb} {route.rule.template.text}"


def _fields(route, variable):
    found, descriptor = [], route.method.descriptor.input_type
    for name in variable.field_path:
        fields = {one: field for field in descriptor.fields for one in (field.name, field.json_name)}
        found.append(fields[name])
        descriptor = found[-1].message_type
    return found


def _spellings(fields):
    """Every way to name a field, proto and JSON names mixed, and every message around it."""
    for depth in range(1, len(fields) + 1):
        for names in itertools.product(*((one.name, one.json_name) for one in fields[:depth])):
            yield ".".join(names)


def _values(route):
    leaves = [_fields(route, variable)[-1] for variable in route.rule.template.variables]
    return tuple(_TEXTS.get(leaf.cpp_type, "1") for leaf in leaves)


def _nested(path, value):
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def test_the_product_has_rules_of_every_kind_with_a_path():
    assert {route.rule.verb for route in BOUND} >= {"GET", "POST", "PATCH", "DELETE"}
    assert {bool(route.rule.body) for route in BOUND} == {False, True}


@settings(max_examples=6, deadline=None)
@given(other=st.text(max_size=8))
@pytest.mark.parametrize("route", BOUND, ids=_name)
@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "lenient"])
def test_no_query_and_no_body_contradicts_a_value_of_a_path(route, lenient, other):
    values, body = _values(route), b"{}" if route.rule.body else b""
    media = "application/json" if body else ""
    whole = RawRequest(values, "", body, media, lenient)
    bound = route.binding.decode(whole)
    for variable, value in zip(route.rule.template.variables, values, strict=True):
        for spelling in set(_spellings(_fields(route, variable))):
            for given_value in (value, other):
                query = f"{spelling}={''.join(f'%{byte:02X}' for byte in given_value.encode())}"
                _refused(route, RawRequest(values, query, body, media, lenient))
                _refused(route, RawRequest(values, f"{spelling}[a]=1", body, media, lenient))
                if route.rule.body == "*":
                    text = json.dumps(_nested(spelling, given_value)).encode()
                    _refused(route, RawRequest(values, "", text, media, lenient))
    assert route.binding.decode(whole) == bound


def _refused(route, raw):
    try:
        found = route.binding.decode(raw)
    except InvalidArgument as refusal:
        assert refusal.reason in {"FIELD_CONFLICT", "FIELD_INVALID", "UNKNOWN_PARAMETER"}
        return
    raise AssertionError(f"{raw.query} {raw.body!r} was taken: {found}")


KINDS = {
    "id": "string",
    "other_id": "string",
    "tags": "repeated string",
    "labels": "map<string,string>",
    "day": "google.protobuf.Timestamp",
    "one": "oneof kind string",
    "two": "oneof kind int32",
    "part": "Part",
    "page": "google.api.HttpBody",
}


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"get": "/a/{nothing}"}, "nothing"),
        ({"get": "/a/{id.more}"}, "id has no fields to name"),
        ({"get": "/a/{tags}"}, "tags is not a singular scalar"),
        ({"get": "/a/{labels}"}, "labels is not a singular scalar"),
        ({"get": "/a/{day}"}, "day is not a singular scalar"),
        ({"get": "/a/{part}"}, "part is not a singular scalar"),
        ({"get": "/a/{other_id}/{otherId}"}, "other_id is bound twice"),
        ({"get": "/a/{one}/{two}"}, "two and another variable are members of one oneof"),
        ({"get": "/a", "body": "*"}, "a GET rule has no body"),
        ({"delete": "/a", "body": "part"}, "a DELETE rule has no body"),
        ({"post": "/a", "body": "nothing"}, "nothing"),
        ({"post": "/a", "body": "part.name"}, "a body is a field of the request itself"),
        ({"post": "/a", "response_body": "nothing"}, "the reply has no field nothing"),
        ({"post": "/a", "response_body": "part.name"}, "the reply has no field part.name"),
        ({"body": "*"}, "an HTTP rule without a path"),
        ({"get": "/a/{id}", "additional_bindings": [{"get": "/a/{one}"}]}, "has the shape of '/a/{id}'"),
    ],
)
def test_a_rule_that_binds_what_it_must_not_stops_the_start_and_names_file_and_method(rule, why):
    schema = Schema("rules").message("Part", {"name": "string"}).message("It", KINDS)
    pool = schema.method("Rules", "Do", "It", "It", rule).build()
    with pytest.raises(TemplateInvalid) as caught:
        door_for(pool, ["rules.Rules"], Scripted(pool, "rules.Rules"))
    assert why in str(caught.value)
    assert str(caught.value).startswith("rules.proto: rules.Rules.Do: ")


def _changed(rpc, body, path=(), *, query="", lenient=False):
    route = next(one for one in ROUTES if one.method.name == rpc)
    raw = RawRequest(path, query, json.dumps(body).encode(), "application/json", lenient)
    return route.binding.decode(raw)


@pytest.mark.parametrize(
    ("rpc", "path", "body", "paths"),
    [
        ("UpdateTenant", (), {"displayName": ""}, ["display_name"]),
        ("UpdateTenant", (), {"settings": {"a.b": "c"}, "retention_days": 0}, ["settings", "retention_days"]),
        ("UpdateTenant", (), {"etag": "1", "requestId": "x", "termsVersion": "2"}, ["terms_version"]),
        ("UpdateTenant", (), {"displayName": "x", "retentionDays": 1, "updateMask": "displayName"}, ["display_name"]),
        ("UpdateTenant", (), {"displayName": "x", "updateMask": ""}, ["display_name"]),
        ("UpdateTenant", (), {}, []),
        ("UpdatePurpose", ("p",), {"validityDays": None, "requiresReconsent": True}, ["validity_days"]),
        ("UpdatePurpose", ("p",), {"recipients": [], "validateOnly": True}, ["recipients"]),
        ("UpdateUser", ("u",), {"role": "viewer"}, ["role"]),
    ],
)  # fmt: skip
def test_a_patch_without_a_mask_changes_the_fields_that_its_body_names(rpc, path, body, paths):
    assert list(_changed(rpc, body, path).update_mask.paths) == paths


@pytest.mark.parametrize("path", ["nothing", "etag", "displayName.more", "updateMask"])
def test_a_mask_that_names_no_field_of_the_change_is_refused(path):
    with pytest.raises(InvalidArgument) as caught:
        _changed("UpdateTenant", {"displayName": "x", "updateMask": path})
    assert [violation.field for violation in caught.value.violations] == ["update_mask"]


def test_what_a_lenient_caller_has_dropped_is_no_change():
    body = {"lawfulBasis": "LAWFUL_BASIS_OF_TOMORROW", "tomorrow": 1, "title": "x"}
    assert list(_changed("UpdatePurpose", body, ("p",), lenient=True).update_mask.paths) == ["title"]


def test_the_mask_of_a_field_as_body_may_stand_in_the_query_and_leaves_out_what_the_path_binds():
    schema = Schema("shop").message("Maker", {"name": "string", "town": "string"})
    schema.message(
        "Book", {"id": "string", "title": "string", "maker": "Maker", "more": "google.protobuf.Struct"}
    )
    schema.message("Change", {"book": "Book", "update_mask": "google.protobuf.FieldMask"})
    pool = schema.build()
    rule = Rule("PATCH", parse_template("/books/{book.id}"), "book")
    binding = Binding(rule, message_class(pool, "shop.Change"), Codecs(pool), Codecs(pool, lenient=True))

    def paths(body, query=""):
        raw = RawRequest(("7",), query, json.dumps(body).encode(), "application/json")
        return list(binding.decode(raw).update_mask.paths)

    assert paths({"title": "x", "maker": {"town": ""}}) == ["title", "maker.town"]
    assert paths({"maker": {}, "more": {"a": {"b": 1}, "c": []}}) == ["maker", "more.a.b", "more.c"]
    assert paths({"more": {"a.b": 1, "c": 2}}) == ["more"]
    assert paths({"title": "x", "maker": {"town": "y"}}, "updateMask=maker.town") == ["maker.town"]
    for wrong in ("id", "maker.street", "title.x"):
        with pytest.raises(InvalidArgument, match="which no update changes"):
            paths({"title": "x"}, f"updateMask={wrong}")


def _forms(**options):
    schema = Schema("forms").message("In", {"name": "string", "age": "int32"}).message("Out", {})
    schema.method("Forms", "Find", "In", "Out", {"get": "/people"})
    schema.method("Forms", "Remove", "In", "Out", {"delete": "/people"})
    pool = schema.build()
    service = Scripted(pool, "forms.Forms")
    return Client(door_for(pool, ["forms.Forms"], service, **options)), service


async def test_a_form_stands_for_a_long_query_only_where_that_is_switched_on():
    media = {"content-type": f"{FORM}; charset=utf-8"}
    for options, statuses, called in (
        ({}, [405, 405], []),
        ({"form_fallback": True}, [200, 200], ["Find", "Remove"]),
    ):
        client, service = _forms(**options)
        named = media | {"x-http-method-override": "DELETE"}
        answers = [
            await client.request("POST", "/people?age=7", b"name=A+b%C3%A9", media),
            await client.request("POST", "/people", b"name=c", named),
        ]
        assert [answer.status for answer in answers] == statuses
        assert service.called == called
    assert [(one.name, one.age) for one in service.asked] == [("A b\u00e9", 7), ("c", 0)]
    refused = await client.request("POST", "/people", "name=\u00e9".encode(), media)
    assert (refused.status, refused.reason) == (400, "PATH_ENCODING_INVALID")
    twice = await client.request("POST", "/people?name=a", b"name=b", media)
    assert (twice.status, twice.reason) == (400, "DUPLICATE_FIELD")


async def test_the_product_takes_no_other_method_than_that_of_the_request_line():
    assert not build_routes(composition.public_table(with_reflection=False)).form_fallback


async def test_a_path_without_a_slash_is_refused():
    client, _ = _forms()
    answer = await client.request("GET", "people")
    assert (answer.status, answer.reason) == (400, "PATH_ENCODING_INVALID")


@pytest.mark.parametrize(
    ("value", "kept"),
    [("AP/+Pw==", "AP/+Pw"), ("AP_-Pw", "AP/+Pw"), ("AA, AQ==", "AA"), ("", ""), ("A", None), ("A*==", None)],
)
async def test_binary_metadata_is_base64_of_one_alphabet_or_refused_by_name(value, kept):
    head = headers.Head.read([(b"grpc-metadata-key-bin", value.encode())])
    fault = headers.binary_fault(head)
    if kept is not None:
        assert fault is None
        assert headers.metadata(head, "")["key-bin"][0] == kept
        return
    assert fault.reason == "HEADER_INVALID"
    client, service = _forms()
    answer = await client.request("GET", "/people", headers={"grpc-metadata-key-bin": value})
    assert (answer.status, answer.reason, service.called) == (400, "HEADER_INVALID", [])
    assert "grpc-metadata-key-bin must be base64" in answer.json["message"]


@pytest.mark.parametrize(("before", "chosen"), [(63, "application/json"), (64, None)])
def test_of_a_list_in_a_header_only_the_first_items_are_compared(before, chosen):
    head = headers.Head({"accept": ["a/b," * before + "application/json"]})
    assert headers.accepts(head, ["application/json"]) == chosen
