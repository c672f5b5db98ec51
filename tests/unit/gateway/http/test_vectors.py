"""The public vectors of HTTP transcoding and of the proto JSON mapping, run against our router, binder and codec."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from google.api import http_pb2
from google.protobuf import json_format

from cohortlens.core.errors import InvalidArgument
from gateway.http import headers
from gateway.http.binding import Binding, RawRequest, Rule
from gateway.http.codec import Codecs
from gateway.http.query import TextBinder, query_pairs
from gateway.http.routes import RouteTable
from gateway.http.scalars import JsonFault
from gateway.http.templates import (
    PathUndecodable,
    Router,
    TemplateInvalid,
    Unescaping,
    parse_template,
)
from tests.unit.gateway.http.support import (
    Client,
    Schema,
    door_for,
    message_class,
)

FOLDER = Path(__file__).resolve().parents[5] / "shared" / "vectors" / "transcoding"


def cases(stem):
    path = FOLDER / f"{stem}.json"
    if not path.exists():
        return [pytest.param(None, id=f"{stem}-absent")]
    return [pytest.param(case, id=case["id"]) for case in json.loads(path.read_text())["cases"]]


@pytest.fixture(autouse=True)
def _vectors_are_there(request):
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("case", {}) is None:
        pytest.skip(f"NOT CHECKED: no vectors in {FOLDER}")


@pytest.mark.parametrize("case", cases("path_template_parse"))
def test_a_template_parses_as_the_reference_says(case):
    if not case["valid"]:
        with pytest.raises(TemplateInvalid):
            parse_template(case["template"])
        return
    template = parse_template(case["template"])
    assert list(template.segments) == case["segments"]
    assert template.verb == case["verb"]
    found = [
        {
            "field_path": list(variable.field_path),
            "start": variable.start,
            "end": variable.end,
            "has_double_wildcard": variable.double,
        }
        for variable in template.variables
    ]
    if "variables" in case:
        assert found == case["variables"]


@pytest.mark.parametrize("case", cases("path_template_gateway") + cases("path_template_invalid_wildcards"))
def test_a_template_is_accepted_or_refused_as_the_reference_says(case):
    try:
        template = parse_template(case["template"])
    except TemplateInvalid:
        # The note of a case that we refuse says that refusing is fine.
        assert not case["valid"] or "fine" in case["note"]
        return
    assert case["valid"]
    assert template.verb == case["verb"]
    assert [".".join(variable.field_path) for variable in template.variables] == case["fields"]


def _match(router, request, options):
    path, _, query = request["path"].partition("?")
    match = router.match(request["method"], path)
    if match is None:
        return None, {}
    del query  # a query inside the path is there to be left out of the match
    query = request.get("query", "")
    bindings = {
        ".".join(variable.field_path): value
        for variable, value in zip(match.template.variables, match.values, strict=True)
    }
    return match.target, bindings | dict(
        query_pairs(query, plus_is_space=options.get("query_plus_is_space", False))
    )


@pytest.mark.parametrize("case", cases("path_match"))
def test_a_request_finds_its_route_and_values(case):
    options = case.get("options", {})
    mode = Unescaping(options.get("multi_segment_unescape", "AllCharactersExceptReserved"))
    router = Router(mode, any_verb=options.get("match_unregistered_custom_verb", False))
    for route in case["routes"]:
        router.add(route["method"], parse_template(route["template"]), route["id"])
    requests = [case["request"]] if "request" in case else [{"method": "GET"} | one for one in case["each"]]
    for request in requests:
        route, bindings = _match(router, request, options)
        assert route == case["route"]
        expected = request.get("bindings", case.get("bindings"))
        if expected is not None:
            assert bindings == expected


_MODES = {
    "UnescapingModeLegacy": Unescaping.NONE,
    "UnescapingModeAllExceptReserved": Unescaping.EXCEPT_RESERVED,
    "UnescapingModeAllExceptSlash": Unescaping.EXCEPT_SLASH,
    "UnescapingModeAllCharacters": Unescaping.ALL,
}


@pytest.mark.parametrize("case", cases("path_match_gateway"))
def test_a_template_matches_a_path_or_not(case):
    router = Router(_MODES[case.get("unescaping_mode", "UnescapingModeLegacy")])
    router.add("GET", parse_template(case["template"]), "it")
    try:
        match = router.match("GET", case["path"])
    except PathUndecodable:
        match = None
    assert (match is not None) == case["matches"]
    if match is not None and "bindings" in case:
        found = {
            ".".join(variable.field_path): value
            for variable, value in zip(match.template.variables, match.values, strict=True)
        }
        assert found == case["bindings"]


# Answered differently on purpose: X-HTTP-Method-Override and the fallback from a form POST to GET are ways around
# whatever guards a method by its verb; the product has neither.
_NO_FALLBACK = {"mux7", "mux10", "mux11"}


@pytest.mark.parametrize("case", cases("routing_status"))
async def test_a_request_line_gets_its_status(case):
    schema, handled = Schema("routing"), []
    schema.message("In", {"id": "string"}).message("Out", {})
    for index, route in enumerate(case["routes"]):
        rule = {route["method"].lower(): route["template"]}
        schema.method("Routing", f"M{index}", "In", "Out", rule)
    pool = schema.build()

    class Servicer:
        def __getattr__(self, name):
            async def answer(request, call):
                handled.append(case["routes"][int(name[1:])])
                return message_class(pool, "routing.Out")()

            return answer

    services = ["routing.Routing"] if case["routes"] else []
    client = Client(door_for(pool, services, Servicer()))
    request = case["request"]
    answer = await client.request(request["method"], request["path"], headers=request["headers"])
    if case["id"] in _NO_FALLBACK:
        assert answer.status in {405, 415, 200}
        assert not [route for route in handled if route["method"] == "GET"]
        return
    if case["status"] == 501:
        assert answer.status == 405
        assert answer.header("allow")
        return
    assert answer.status == case["status"]
    if "matched" in case:
        assert [f"{route['method']} {route['template']}" for route in handled] == [case["matched"]]


def _rule_schema(fields):
    schema, flat = Schema("rules"), {}
    for name, kind in fields.items():
        if kind.startswith("message{"):
            inner = dict(part.split(":") for part in kind[len("message{") : -1].split(","))
            schema.message(name.capitalize(), inner)
        flat[name] = name.capitalize() if kind.startswith("message{") else kind
    return schema.message("It", flat)


@pytest.mark.parametrize("case", cases("http_proto_rules"))
def test_the_examples_of_http_proto_bind_as_documented(case):
    pool = _rule_schema(case["fields"]).build()
    cls = message_class(pool, "rules.It")
    rule = json_format.ParseDict(case["rule"], http_pb2.HttpRule())
    router, codecs = Router(), (Codecs(pool), Codecs(pool, lenient=True))

    def register():
        for one in (rule, *rule.additional_bindings):
            verb = one.WhichOneof("pattern").upper()
            parsed = Rule(verb, parse_template(getattr(one, verb.lower())), one.body, one.response_body)
            router.add(verb, parsed.template, Binding(parsed, cls, *codecs))

    if "error" in case:
        with pytest.raises(TemplateInvalid):
            register()
        return
    register()
    verb, target, body = case["request"]
    path, _, query = target.partition("?")
    match = router.match(verb, path)
    raw = RawRequest(match.values, query, (body or "").encode(), "application/json" if body else "")
    expected = json_format.ParseDict(case["expect"], cls())
    if "note" in case:
        with pytest.raises(InvalidArgument):
            match.target.decode(raw)
    else:
        assert match.target.decode(raw) == expected


def _query_pool():
    wrapper = "google.protobuf.{}Value".format
    fields = {
        "float_value": "float",
        "double_value": "double",
        "int64_value": "int64",
        "int32_value": "int32",
        "uint64_value": "uint64",
        "uint32_value": "uint32",
        "bool_value": "bool",
        "string_value": "string",
        "bytes_value": "bytes",
        "repeated_value": "repeated string",
        "optional_value": "optional string",
        "repeated_message": f"repeated {wrapper('UInt64')}",
        "enum_value": "EnumValue",
        "repeated_enum": "repeated EnumValue",
        "timestamp_value": "google.protobuf.Timestamp",
        "duration_value": "google.protobuf.Duration",
        "fieldmask_value": "google.protobuf.FieldMask",
        "wrapper_float_value": wrapper("Float"),
        "wrapper_double_value": wrapper("Double"),
        "wrapper_int64_value": wrapper("Int64"),
        "wrapper_int32_value": wrapper("Int32"),
        "wrapper_u_int64_value": wrapper("UInt64"),
        "wrapper_u_int32_value": wrapper("UInt32"),
        "wrapper_bool_value": wrapper("Bool"),
        "wrapper_string_value": wrapper("String"),
        "wrapper_bytes_value": wrapper("Bytes"),
        "map_value": "map<string,string>",
        "map_value2": "map<string,int32>",
        "map_value3": "map<int32,string>",
        "map_value4": "map<string,int64>",
        "map_value6": "map<string,uint32>",
        "map_value12": "map<string,double>",
        "map_value14": "map<string,bool>",
        "map_value15": "map<bool,string>",
        "map_value16": f"map<string,{wrapper('UInt64')}>",
        "struct_value": "google.protobuf.Struct",
        "struct_value_value": "google.protobuf.Value",
        "nested": "Q",
        "oneof_bool_value": "oneof oneof_value bool",
        "oneof_string_value": "oneof oneof_value string",
        "nested_oneof_value_one": "oneof nested_oneof_value Q",
        "nested_oneof_int32_value": "oneof nested_oneof_value int32",
    }
    return Schema("q").enum("EnumValue", {"X": 0, "Y": 1, "Z": 2}).message("Q", fields).build()


QUERY_POOL = _query_pool()


@pytest.mark.parametrize("case", cases("query_params"))
def test_query_parameters_bind_as_the_reference_says(case):
    cls = message_class(QUERY_POOL, "q.Q")
    codecs, message = Codecs(QUERY_POOL), cls()
    taken = {tuple(path.split(".")) for path in case.get("bound_elsewhere", ())}
    pairs = [(name, value) for name, value in case["query"]]
    may_refuse = "may refuse" in case.get("note", "") or taken
    try:
        TextBinder(codecs, cls.DESCRIPTOR).bind(message, pairs, taken)
    except JsonFault:
        assert case.get("error") == 400 or may_refuse
        return
    assert message == json_format.ParseDict(case["expect"], cls(), descriptor_pool=QUERY_POOL)


@pytest.mark.parametrize("case", cases("headers_deadlines"))
def test_headers_become_metadata_and_deadline(case):
    given = case["request_headers"]
    pairs = list(given.items()) if isinstance(given, dict) else given
    if "metadata_binary" in case:
        pairs = [(name, base64.b64encode(b"\x00\xff").decode()) for name, _ in pairs]
    if "host" in case:
        pairs = [*pairs, ("Host", case["host"])]
    head = headers.Head.read((name.encode(), value.encode()) for name, value in pairs)
    if "deadline_seconds" in case:
        seconds, fault = headers.timeout(head)
        assert fault is None
        assert seconds == pytest.approx(case["deadline_seconds"], abs=1e-9)
    metadata = headers.metadata(head, case.get("peer", ""))
    for name, values in case.get("metadata", {}).items():
        if name.startswith("grpcgateway-"):
            continue  # the prefix for permanent headers is an option that the product leaves off
        assert metadata[name] == values
    for name in case.get("metadata_absent", ()):
        assert name not in metadata
    for name in case.get("metadata_binary", ()):
        assert base64.b64decode(metadata[name][0]) == b"\x00\xff"


def test_the_route_table_is_empty_without_methods():
    assert RouteTable().routes == []
