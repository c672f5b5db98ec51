"""The Open Inference Protocol over HTTP: routes, bodies in JSON and with binary tensors, errors in one form."""

from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cohortlens.contracts.features import SCHEMA
from gateway.http.oip import ROUTES, OipDoor, is_oip
from gateway.http.oip_bodies import InferBody
from gateway.servicers.inference_v2_policy import POLICIES
from gateway.servicers.inference_v2_tensors import read_rows
from tests.fakes.inference import scores_of
from tests.fakes.oip import COLUMNS, oip_world, rows_of
from tests.unit.gateway.http.support import Client

TOKEN = {"authorization": "Bearer north"}
INFER = "/v2/models/prediction/infer"


@pytest.fixture
def world():
    made = oip_world()
    made.http = Client(OipDoor(made.chain))
    return made


def tensor(matrix, name="features", datatype="FP32", **more):
    return {"name": name, "datatype": datatype, "shape": list(matrix.shape), **more}


def json_body(matrix, **more):
    return json.dumps({"inputs": [tensor(matrix, data=matrix.tolist())], **more}).encode()


def binary(matrix, dtype="<f4", **more):
    """Body and headers of a request with one binary tensor."""
    raw = matrix.astype(dtype).tobytes()
    named = {"<f4": "FP32", "<f8": "FP64"}[dtype]
    document = {
        "inputs": [tensor(matrix, datatype=named, parameters={"binary_data_size": len(raw)})],
        **more,
    }
    text = json.dumps(document).encode()
    return text + raw, TOKEN | {"inference-header-content-length": str(len(text))}


async def refused(world, body, headers=TOKEN, status=400):
    answer = await world.http.request("POST", INFER, body, headers)
    assert (answer.status, answer.header("content-type")) == (status, "application/json"), answer.body
    assert list(answer.json) == ["error"]
    return answer.json["error"]


def test_every_method_but_the_stream_has_a_route():
    assert set(ROUTES) == set(POLICIES) - {"ModelStreamInfer"}
    assert is_oip("/v2")
    assert is_oip("/v2/anything")
    assert not is_oip("/v2x")


async def test_health_and_metadata_of_the_server_are_public(world):
    assert (await world.http.request("GET", "/v2/health/live")).json == {"live": True}
    assert (await world.http.request("GET", "/v2/health/ready")).json == {"ready": True}
    assert (await world.http.request("GET", "/v2")).json["name"] == "cohortlens"
    world.board.block("draining")
    answer = await world.http.request("GET", "/v2/health/ready")
    assert (answer.status, answer.json) == (400, {"ready": False})


@pytest.mark.parametrize("path", ["/v2/models/prediction", "/v2/models/stats", "/v2/logging"])
async def test_all_else_needs_a_token(world, path):
    answer = await world.http.request("GET", path)
    assert (answer.status, list(answer.json)) == (401, ["error"])
    assert answer.header("www-authenticate")
    assert answer.json["error"].startswith("TOKEN_INVALID: ")


async def test_a_model_is_described_with_its_names_and_numbers_as_declared(world):
    found = (await world.http.request("GET", "/v2/models/prediction/versions/2", headers=TOKEN)).json
    assert found["versions"] == ["2"]
    assert found["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, COLUMNS]}]
    assert found["parameters"]["schema_hash"] == SCHEMA.hash
    config = (await world.http.request("GET", "/v2/models/segmentation/config", headers=TOKEN)).json
    assert config["max_batch_size"] == 4096
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert config["parameters"]["segments"] == {"string_value": "s1,s2"}
    index = (await world.http.request("POST", "/v2/repository/index", b'{"ready":true}', TOKEN)).json
    assert {"name": "prediction", "version": "1", "state": "READY", "reason": ""} in index
    assert len((await world.http.request("POST", "/v2/repository/index", headers=TOKEN)).json) == 2
    answer = await world.http.request("POST", "/v2/repository/index", b"[]", TOKEN)
    assert (answer.status, list(answer.json)) == (400, ["error"])


async def test_whether_a_model_is_ready_is_told_by_the_status(world):
    answer = await world.http.request("GET", "/v2/models/prediction/ready", headers=TOKEN)
    assert (answer.status, answer.json) == (200, {"name": "prediction", "ready": True})
    answer = await world.http.request("GET", "/v2/models/prediction/versions/3/ready", headers=TOKEN)
    assert (answer.status, answer.json["ready"]) == (400, False)
    answer = await world.http.request("GET", "/v2/models/sequence/ready", headers=TOKEN)
    assert (answer.status, answer.json["error"][:18]) == (404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize("nested", [True, False])
async def test_json_in_json_out(world, nested):
    rows = rows_of(3, horizon=30)
    data = rows.tolist() if nested else rows.ravel().tolist()
    body = json.dumps({"id": "7", "inputs": [tensor(rows, data=data)], "outputs": [{"name": "spend"}]})
    answer = await world.http.request("POST", INFER, body.encode(), TOKEN)
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    (output,) = answer.json["outputs"]
    assert (answer.json["id"], answer.json["model_version"]) == ("7", "1")
    assert (output["name"], output["datatype"], output["shape"]) == ("spend", "FP64", [3, 1])
    assert output["data"] == scores_of("spend", rows)["value"].tolist()
    assert answer.header("inference-header-content-length") is None


async def test_an_unknown_value_is_nan_null_or_its_name(world):
    rows, at = rows_of(1, horizon=90), SCHEMA.index("gap_mean")
    answers = []
    for unknown in (math.nan, None, "NaN"):
        values = rows.tolist()
        values[0][at] = unknown
        body = json.dumps({"inputs": [tensor(rows, data=values)]}).encode()
        answers.append(await world.http.request("POST", INFER, body, TOKEN))
    assert {one.status for one in answers} == {200}
    assert len({one.body for one in answers}) == 1


async def test_tensors_travel_as_bytes_behind_the_json(world):
    rows = rows_of(4, horizon=90)
    body, headers = binary(rows, parameters={"binary_data_output": True})
    answer = await world.http.request("POST", INFER, body, headers)
    assert (answer.status, answer.header("content-type")) == (200, "application/octet-stream")
    length = int(answer.header("inference-header-content-length"))
    document, rest = json.loads(answer.body[:length]), answer.body[length:]
    assert [one["parameters"]["binary_data_size"] for one in document["outputs"]] == [32] * 6
    spend = np.frombuffer(rest[32 * 3 : 32 * 4], "<f8")
    np.testing.assert_array_equal(spend, scores_of("spend", rows)["value"])


async def test_each_output_has_the_form_that_is_asked_of_it(world):
    rows = rows_of(2, horizon=90)
    outputs = [{"name": "spend", "parameters": {"binary_data": True}}, {"name": "purchases"}]
    body, headers = binary(rows, "<f8", outputs=outputs)
    answer = await world.http.request("POST", INFER, body, headers)
    length = int(answer.header("inference-header-content-length"))
    spend, purchases = json.loads(answer.body[:length])["outputs"]
    assert "data" not in spend
    assert purchases["data"] == scores_of("purchases", rows)["value"].tolist()
    assert np.frombuffer(answer.body[length:], "<f8").tolist() == scores_of("spend", rows)["value"].tolist()


async def test_curl_may_call_json_a_form_and_gzip_it(world):
    headers = TOKEN | {"content-type": "application/x-www-form-urlencoded", "content-encoding": "gzip"}
    answer = await world.http.request("POST", INFER, gzip.compress(json_body(rows_of(2))), headers)
    assert answer.status == 200


async def test_a_version_of_the_path_answers(world):
    path = "/v2/models/prediction/versions/2/infer"
    answer = await world.http.request("POST", path, json_body(rows_of(1)), TOKEN)
    assert answer.json["model_version"] == "2"


@pytest.mark.parametrize(
    ("path", "verb"),
    [
        ("/v2/repository/models/prediction/load", "POST"),
        ("/v2/repository/models/prediction/unload", "POST"),
        ("/v2/systemsharedmemory/region/x/register", "POST"),
        ("/v2/systemsharedmemory/status", "GET"),
        ("/v2/cudasharedmemory/unregister", "POST"),
        ("/v2/models/prediction/trace/setting", "POST"),
        ("/v2/trace/setting", "GET"),
        ("/v2/logging", "POST"),
    ],
)
async def test_an_extension_that_is_not_offered_says_so(world, path, verb):
    answer = await world.http.request(verb, path, b"{}" if verb == "POST" else b"", TOKEN)
    assert answer.status == 501
    assert answer.json["error"].startswith("OIP_EXTENSION_UNSUPPORTED: ")


async def test_an_unknown_path_and_a_wrong_verb_have_the_protocol_s_errors(world):
    answer = await world.http.request("GET", "/v2/nothing", headers=TOKEN)
    assert (answer.status, list(answer.json)) == (404, ["error"])
    answer = await world.http.request("GET", INFER, headers=TOKEN)
    assert (answer.status, answer.header("allow")) == (405, "OPTIONS, POST")
    assert list(answer.json) == ["error"]


FAULTS = {
    "no json": (b"nothing", "MALFORMED_JSON"),
    "no object": (b"[]", "body"),
    "twice": (b'{"inputs":[],"inputs":[]}', "DUPLICATE_FIELD"),
    "no inputs": (b"{}", "inputs"),
    "inputs is no list": (b'{"inputs":{}}', "inputs"),
    "input is no object": (b'{"inputs":[1]}', "inputs"),
    "outputs is no list": (b'{"inputs":[],"outputs":1}', "outputs"),
    "id is a number": (b'{"id":1,"inputs":[]}', "id"),
    "no shape": (b'{"inputs":[{"name":"features","datatype":"FP32","data":[]}]}', "inputs[0].shape"),
    "a shape of text": (
        b'{"inputs":[{"name":"features","datatype":"FP32","shape":["1"],"data":[1]}]}',
        "inputs[0].shape",
    ),
    "no data": (b'{"inputs":[{"name":"features","datatype":"FP32","shape":[1,1]}]}', "inputs[0].data"),
    "data of text": (
        b'{"inputs":[{"name":"features","datatype":"FP32","shape":[1,1],"data":["1"]}]}',
        "inputs[0].data",
    ),
    "data of truth": (
        b'{"inputs":[{"name":"features","datatype":"FP32","shape":[1,1],"data":[true]}]}',
        "inputs[0].data",
    ),
    "too many values": (
        b'{"inputs":[{"name":"features","datatype":"FP32","shape":[1,1],"data":[1,2]}]}',
        "inputs[0].data",
    ),
    "ragged rows": (
        b'{"inputs":[{"name":"features","datatype":"FP32","shape":[2,2],"data":[[1,2,3],[4]]}]}',
        "inputs[0].data",
    ),
    "rows and values mixed": (
        b'{"inputs":[{"name":"features","datatype":"FP32","shape":[2,1],"data":[[1],2]}]}',
        "inputs[0].data",
    ),
    "a number that no double holds": (
        b'{"inputs":[{"name":"features","datatype":"FP32","shape":[1,1],"data":[1' + b"0" * 400 + b"]}]}",
        "inputs[0].data",
    ),
    "parameters is a list": (b'{"inputs":[],"parameters":[]}', "parameters"),
    "a parameter of objects": (b'{"inputs":[],"parameters":{"a":{}}}', "parameters.a"),
    "an integer": (
        b'{"inputs":[{"name":"features","datatype":"INT32","shape":[1,1],"data":[1]}]}',
        "inputs[0].datatype",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_body_that_cannot_be_read_is_refused_by_member(world, name):
    body, expected = FAULTS[name]
    assert expected in await refused(world, body)
    assert world.client.sent == []


@pytest.mark.parametrize("length", ["-1", "0", "x", "999999"])
async def test_a_length_of_the_json_part_that_cannot_be_is_refused(world, length):
    body, headers = binary(rows_of(1))
    error = await refused(world, body, headers | {"inference-header-content-length": length})
    assert error.startswith("TENSOR_INVALID: Inference-Header-Content-Length")


async def test_binary_parts_must_be_used_up_and_no_more(world):
    body, headers = binary(rows_of(1))
    assert "belong to no input" in await refused(world, body + b"1234", headers)
    assert "binary_data_size" in await refused(world, body[:-1], headers)
    both = {"inputs": [tensor(rows_of(1), data=[1], parameters={"binary_data_size": 4})]}
    assert "one form" in await refused(world, json.dumps(both).encode())


async def test_a_body_beyond_4_mib_is_refused_before_it_is_read(world):
    error = await refused(world, b"", TOKEN | {"content-length": str(2**22 + 1)}, status=413)
    assert error.startswith("BODY_TOO_LARGE")


@given(
    matrix=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.just(COLUMNS)),
        elements=st.floats(width=32, allow_infinity=False),
    ),
    as_bytes=st.booleans(),
)
def test_what_is_written_in_json_or_bytes_is_read_as_it_was(matrix, as_bytes):
    body, headers = binary(matrix) if as_bytes else (json_body(matrix), {})
    request = InferBody().read(body, headers.get("inference-header-content-length", ""))
    np.testing.assert_array_equal(read_rows(request)[0], matrix)
