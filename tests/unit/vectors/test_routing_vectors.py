"""The vectors of templates, routes, queries, masks and headers pass, and their formats find what is wrong."""

from __future__ import annotations

import json

import pytest

from tests.vectors.runner import FAILED, PASSED, run
from tests.vectors.transcoding.json_mapping import SHARED
from tests.vectors.transcoding.masks import PATCH_MASK
from tests.vectors.transcoding.matches import PATH_MATCH, PATH_MATCH_GATEWAY
from tests.vectors.transcoding.queries import QUERY_PARAMS
from tests.vectors.transcoding.requests import HEADERS
from tests.vectors.transcoding.rules import HTTP_RULES
from tests.vectors.transcoding.statuses import ROUTING_STATUS
from tests.vectors.transcoding.templates import PATH_TEMPLATE

FORMATS = (
    PATH_TEMPLATE,
    PATH_MATCH,
    PATH_MATCH_GATEWAY,
    ROUTING_STATUS,
    HTTP_RULES,
    QUERY_PARAMS,
    PATCH_MASK,
    HEADERS,
)


def ran(folder, *cases):
    (folder / "some.json").write_text(json.dumps({"cases": cases}))
    lines = []
    return run(folder, FORMATS, say=lines.append), lines


@pytest.mark.parametrize("stem", sorted(stem for kind in FORMATS for stem in kind.stems))
@pytest.mark.parametrize("renamed", [False, True], ids=["by name", "by content"])
def test_the_public_vectors_pass(stem, renamed, tmp_path):
    path = SHARED / f"{stem}.json"
    if not path.is_file():
        pytest.skip(f"NOT CHECKED: no vectors in {SHARED}")
    (tmp_path / ("some.json" if renamed else path.name)).write_bytes(path.read_bytes())
    lines = []
    assert run(tmp_path, FORMATS, say=lines.append) == PASSED, "\n".join(lines)


TABLE = [{"id": "one", "method": "GET", "template": "/a/{b}"}]
ANSWERS = {"routes": [{"method": "GET", "template": "/a"}], "request": {"method": "GET", "path": "/a"}}
RULE = {"rule": {"get": "/v1/{name}"}, "fields": {"name": "string"}, "request": ["GET", "/v1/x", None]}
BODY = {"body": {"amount": 1, "ofWhat": {"name": "x"}}, "schema": "amount int32"}


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ({"template": "/a", "valid": False}, "expected a refusal, found a template of ['a']"),
        ({"template": "/a/", "valid": True}, "expected a template, found the refusal"),
        ({"template": "/a/*", "valid": True, "segments": ["a", "**"]}, "segments: expected ['a', '**']"),
        ({"template": "/{a}", "valid": True, "fields": ["b"]}, "fields: expected ['b'], found ['a']"),
        ({"routes": TABLE, "request": {"method": "GET", "path": "/a/x"}, "route": None}, "found 'one'"),
        ({"routes": TABLE, "request": {"method": "PUT", "path": "/a/x"}, "route": "one"}, "found None"),
        ({"routes": TABLE, "each": [{"path": "/a/%2F", "bindings": {"b": "%2F"}}], "route": "one"}, "found {'b': '/'}"),
        ({"routes": TABLE, "each": [], "route": "one"}, "a case without a request"),
        (
            {"routes": TABLE, "each": [{"path": "/a/x"}], "route": "one", "options": {"fold_case": True}},
            "options that nobody knows: fold_case",
        ),
        ({"template": "/a/*", "path": "/a/b", "matches": False}, "expected False, found True"),
        ({"template": "/a/*", "path": "/a/b", "matches": True, "unescaping_mode": "Half"}, "KeyError: 'Half'"),
        (ANSWERS | {"status": 404}, "expected 404, found 200"),
        (ANSWERS | {"status": 200, "matched": "GET /b"}, "expected ['GET /b'], found ['GET /a']"),
        (RULE | {"error": "refused"}, "expected a refusal of the rule"),
        (RULE | {"expect": {"name": "y"}}, """expected {'name': 'y'}, found {"name": "x"}"""),
        (RULE | {"expect": {"name": "x"}, "request": ["GET", "/v1", None]}, "expected the method to be called, found 404"),
        (RULE | {"rule": {"get": "/v1/{id}"}, "expect": {}}, "expected a rule that can be registered"),
        ({"query": [["int32Value", "1"]], "expect": {"int32Value": 2}}, """found {"int32Value": 1}"""),
        ({"query": [["int32Value", "1"]], "error": 400}, "expected the status 400"),
        ({"query": [["int32Value", "x"]], "expect": {}}, "expected a message, found the fault"),
        ({"query": [["int32Value", "x"]], "error": 500}, "ValueError: a case expects a message, or the error 400"),
        (BODY | {"paths": ["amount"]}, "found ['amount', 'of_what.name']"),
        ({"request_headers": {"Grpc-Timeout": "1S"}, "deadline_seconds": 2}, "deadline: expected 2.0, found 1.0"),
        ({"request_headers": {"Accept": "x"}, "metadata_absent": ["grpcgateway-accept"]}, "expected no metadata"),
        ({"request_headers": {"Accept": "x"}, "metadata": {"accept": ["x"]}}, "accept: expected ['x'], found None"),
        ({"request_headers": {"Grpc-Metadata-A-Bin": "x"}, "metadata_binary": {"b-bin": ""}}, "HEADER_INVALID"),
    ],
)  # fmt: skip
def test_a_case_that_is_not_as_it_says_fails(case, said, tmp_path):
    code, lines = ran(tmp_path, {"id": "wrong", **case})
    assert code == FAILED
    assert said in next(line for line in lines if line.startswith("some.json/wrong: "))
    assert lines[-1] == "0 passed, 1 failed"


@pytest.mark.parametrize(
    ("note", "code"),
    [("a stricter answer is fine", PASSED), ("400 is acceptable", PASSED), ("must be accepted", FAILED)],
)
def test_a_refusal_passes_where_the_note_allows_it(note, code, tmp_path):
    assert ran(tmp_path, {"id": "a", "template": "/{a}:", "valid": True, "note": note})[0] == code


def test_a_message_written_inside_a_field_is_a_type_of_its_own(tmp_path):
    fields = {"one_more": "repeated message{a:string,deep:message{b:int64,m:map<string,int32>}}"}
    wanted = {"oneMore": [{"a": "x", "deep": {"b": "7", "m": {"k": 2}}}]}
    case = {"rule": {"post": "/v1", "body": "*"}, "request": ["POST", "/v1", json.dumps(wanted)]}
    code, lines = ran(tmp_path, {"id": "deep", "fields": fields, "expect": wanted, **case})
    assert code == PASSED, lines
