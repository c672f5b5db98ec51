"""The vectors of a client's requests and of the showcase pass, and their formats find what is wrong."""

import json

import pytest

from tests.vectors.runner import FAILED, PASSED, run
from tests.vectors.transcoding.client_expand import CLIENT_EXPAND
from tests.vectors.transcoding.json_mapping import SHARED
from tests.vectors.transcoding.showcase import SHOWCASE

FORMATS = (CLIENT_EXPAND, SHOWCASE)
GET = {"bindings": [["GET", "/v1/{name}", None]], "fields": {"name": "x", "page": "2"}}
FOUND = {"method": "GET", "path": "/v1/x", "query": {"page": "2"}}
BOTH = [
    "/v1beta1/repeat/{info.f_string=first/*}/{info.f_child.f_string=second/*}/bool/{info.f_bool}:pathresource",
    "/v1beta1/repeat/{info.f_child.f_string=first/*}/{info.f_string=second/*}/bool/{info.f_bool}"
    ":childfirstpathresource",
]


def picked(uri, first, child):
    info = {"fString": first, "fChild": {"fString": child}}
    return {
        "rpc": "Compliance.RepeatDataPathResource",
        "bindings_in_order": BOTH,
        "expect": {"info": info, "intendedBindingUri": uri},
    }


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


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (GET | {"expect": FOUND | {"path": "/v1/y"}}, "path: expected '/v1/y', found '/v1/x'"),
        (GET | {"expect": FOUND | {"query": {}}}, "query: expected {}, found {'page': '2'}"),
        (GET | {"expect": FOUND | {"body": {}}}, "body: expected {}, found None"),
        (GET | {"error": "no binding applies"}, "expected 'no binding applies', found HttpRequest"),
        (GET | {"fields": {"name": ""}, "expect": FOUND}, "expected a request, found: no binding applies"),
        (
            # A rule whose query cannot say it: what comes out must bind back.
            {"bindings": [["POST", "/v1", "a"]], "fields": {"a": "x"}, "expect": {"method": "POST"}},
            "path: expected None, found '/v1'",
        ),
        (picked(BOTH[1], "first/x", "second/y"), f"expected '{BOTH[1]}', found '{BOTH[0]}'"),
        (
            {
                "rpc": "Compliance.RepeatDataQuery",
                "expect": {"name": "x"},
                "request": {"method": "GET", "path": "/v1beta1/repeat:query", "query": [["name", "y"]]},
            },
            'name: "y"',
        ),
        (
            {
                "rpc": "Compliance.RepeatDataBody",
                "expect": {"name": "x"},
                "request": {"method": "GET", "path": "/v1beta1/repeat:query", "query": [["name", "x"]]},
            },
            "rpc: expected ['RepeatDataBody'], found ['RepeatDataQuery']",
        ),
    ],
)
def test_a_wrong_case_fails_and_says_why(case, said, tmp_path):
    code, lines = ran(tmp_path, case | {"id": "it"})
    assert code == FAILED
    assert said in " ".join(lines)


def test_a_client_picks_the_second_binding_when_only_that_one_fits(tmp_path):
    assert ran(tmp_path, picked(BOTH[1], "second/x", "first/y"))[0] == PASSED
