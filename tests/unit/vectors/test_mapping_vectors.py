"""The vectors of the JSON mapping and of failures pass, and their formats find what is wrong."""

from __future__ import annotations

import json

import pytest

from tests.vectors.runner import FAILED, PASSED, run
from tests.vectors.transcoding.connect_codes import CONNECT_CODES
from tests.vectors.transcoding.errors import ERRORS
from tests.vectors.transcoding.json_mapping import JSON_MAPPING, SCHEMA, SHARED

FORMATS = (JSON_MAPPING, ERRORS, CONNECT_CODES)


def ran(folder, *cases):
    (folder / "some.json").write_text(json.dumps({"cases": cases}))
    lines = []
    return run(folder, FORMATS, say=lines.append), lines


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_the_public_vectors_pass(kind, tmp_path):
    files = [SHARED / f"{stem}.json" for stem in kind.stems]
    if not all(path.is_file() for path in files):
        pytest.skip(f"NOT CHECKED: no vectors in {SHARED}")
    for path in files:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = []
    assert run(tmp_path, FORMATS, say=lines.append) == PASSED, "\n".join(lines)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ({"json": '{"optionalInt32": 1}', "expect": "parse_error"}, "expected a fault, found 'optional_int32: 1'"),
        ({"json": '{"optionalInt32": "x"}', "expect": "ok"}, "expected a message, found the fault optional_int32"),
        ({"json": '{"optionalInt32": 1}', "expect": "ok", "textproto": "optional_int32: 2"}, "expected b"),
        ({"json": '{"optionalInt32": 1}', "expect": "ok", "expected_wire_base64": ""}, "expected b''"),
        ({"json": "{}", "expect": "ok", "json_out_field": {"optionalInt32": "0"}}, "expected '0', found 0"),
        ({"json": '{"x": 1}', "expect": "ok"}, "there is no field 'x'"),
        ({"json": "{}", "expect": "maybe"}, "ValueError: expect is ok or parse_error, not 'maybe'"),
        ({"json": "{}"}, "KeyError: 'expect'"),
    ],
)  # fmt: skip
def test_a_case_of_the_mapping_that_is_not_as_it_says_fails(case, said, tmp_path):
    if not (SHARED / SCHEMA).is_file():
        pytest.skip(f"NOT CHECKED: no {SCHEMA} in {SHARED}")
    first = {"id": "first", "json": '{"x": 1}', "expect": "ok", "ignore_unknown_fields": True}
    code, lines = ran(tmp_path, first, {"id": "wrong", **case})
    assert code == FAILED
    assert said in next(line for line in lines if line.startswith("some.json/wrong: "))
    assert lines[-1] == "1 passed, 1 failed"


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ({"grpc_code": "NOT_FOUND", "http_status": 400}, "expected 400, found 404"),
        ({"grpc_code": "NOT_FOUND", "http_status": 404, "content_type": "text/plain"}, "expected 'text/plain'"),
        ({"grpc_code": "NOT_THERE", "http_status": 404}, "KeyError: 'NOT_THERE'"),
        (
            {"grpc_code": "ABORTED", "http_status": 409, "details_types": ["type.googleapis.com/google.rpc.Help"]},
            "expected a detail of type type.googleapis.com/google.rpc.Help",
        ),
        (
            {"grpc_code": "UNKNOWN", "http_status": 200, "in_stream": True, "last_line": {"error": {"code": 3}}},
            "code: expected 3, found 2",
        ),
        ({"healthz": {"status": "SERVING"}, "http_status": 503}, "expected 503, found 200"),
    ],
)  # fmt: skip
def test_a_failure_that_is_not_as_it_says_fails(case, said, tmp_path):
    first = {"id": "first", "grpc_code": "ABORTED", "http_status": 409}
    code, lines = ran(tmp_path, first, {"id": "wrong", **case})
    assert code == FAILED
    assert said in "\n".join(lines)
    assert lines[-1] == "1 passed, 1 failed"


def test_a_detail_that_a_case_asks_for_is_one_that_the_fault_brings(tmp_path):
    kinds = ("BadRequest", "QuotaFailure", "RetryInfo", "ErrorInfo", "RequestInfo")
    details = [f"type.googleapis.com/google.rpc.{kind}" for kind in kinds]
    code, lines = ran(
        tmp_path, {"id": "all", "grpc_code": "OUT_OF_RANGE", "http_status": 400, "details_types": details}
    )
    assert code == PASSED, lines


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ({"connect_code": "canceled", "http_status": 408}, "expected 408, found 499"),
        ({"connect_code": "cancelled", "http_status": 499}, "KeyError: 'cancelled'"),
        ({"connect_code": "ok", "http_status": 200}, "KeyError: 'ok'"),
    ],
)
def test_a_code_of_connect_that_is_not_as_it_says_fails(case, said, tmp_path):
    first = {"id": "first", "connect_code": "aborted", "http_status": 409}
    code, lines = ran(tmp_path, first, {"id": "wrong", **case})
    assert code == FAILED
    assert said in "\n".join(lines)
    assert lines[-1] == "1 passed, 1 failed"
