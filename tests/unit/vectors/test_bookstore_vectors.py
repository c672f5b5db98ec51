"""The vectors of whole exchanges pass, and their format finds what is wrong."""

from __future__ import annotations

import json

import pytest

from tests.vectors.runner import FAILED, PASSED, run
from tests.vectors.transcoding.bookstore import BOOKSTORE_EXCHANGES
from tests.vectors.transcoding.json_mapping import SHARED

SHELF = {
    "rpc": "CreateShelf",
    "request": {"method": "POST", "path": "/shelf", "body": '{"theme": "Sea"}'},
    "grpc_requests": [{"shelf": {"theme": "Sea"}}],
    "grpc_replies": [{"id": "3", "theme": "Sea"}],
    "status": 200,
    "response": {"id": "3", "theme": "Sea"},
}
BOOKS = {
    "rpc": "ListBooks",
    "request": {"method": "GET", "path": "/shelves/1/books"},
    "grpc_requests": [{"shelf": "1"}],
    "grpc_replies": [{"id": "1"}, {"id": "2"}],
    "status": 200,
    "response": [{"id": "1"}, {"id": "2"}],
    "stream": True,
}


def ran(folder, *cases):
    (folder / "some.json").write_text(json.dumps({"cases": cases}))
    lines = []
    return run(folder, (BOOKSTORE_EXCHANGES,), say=lines.append), lines


def test_the_public_vectors_pass(tmp_path):
    path = SHARED / "bookstore_end_to_end.json"
    if not path.is_file():
        pytest.skip(f"NOT CHECKED: no vectors in {SHARED}")
    (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = []
    assert run(tmp_path, (BOOKSTORE_EXCHANGES,), say=lines.append) == PASSED, "\n".join(lines)


def test_an_unknown_field_is_refused_and_dropped_for_who_asks_for_that(tmp_path):
    body = json.dumps({"theme": "Sea", "colour": "blue"})
    unknown = {**SHELF, "request": {**SHELF["request"], "body": body}}
    other = {**unknown, "grpc_requests": [{"shelf": {"theme": "Hill"}}]}
    code, lines = ran(tmp_path, {"id": "dropped", **unknown}, {"id": "other", **other})
    assert (code, lines[-1]) == (FAILED, "1 passed, 1 failed")


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ({**SHELF, "status": 201}, "expected 201, found 200"),
        ({**SHELF, "rpc": "GetShelf"}, "rpc: expected ['GetShelf'], found ['CreateShelf']"),
        ({**SHELF, "grpc_requests": [{"shelf": {"theme": "Hill"}}]}, "requests: expected"),
        ({**SHELF, "grpc_requests": []}, "requests: expected 0, found 1"),
        ({**SHELF, "response": {"id": "4", "theme": "Sea"}}, "'id': '4'"),
        ({**SHELF, "content_type": "text/html"}, "expected 'text/html', found 'application/json'"),
        ({**SHELF, "limit_request_bytes": 8}, "expected 200, found 413"),
        ({**SHELF, "grpc_status": ["NOT_FOUND", "gone"], "status": 404, "response": {"code": 6}}, "code: expected 6"),
        ({**BOOKS, "response": [{"id": "2"}, {"id": "1"}]}, "expected [{'id': '2'}, {'id': '1'}]"),
        ({**BOOKS, "response": [{"id": "1"}]}, "expected [{'id': '1'}]"),
    ],
)  # fmt: skip
def test_an_exchange_that_is_not_as_its_case_says_fails(case, said, tmp_path):
    code, lines = ran(tmp_path, {"id": "right", **SHELF}, {"id": "wrong", **case})
    assert code == FAILED
    assert any(line.startswith("some.json/wrong: ") and said in line for line in lines), lines
    assert lines[-1] == "1 passed, 1 failed"
