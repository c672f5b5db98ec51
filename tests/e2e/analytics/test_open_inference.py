"""Clients that Triton publishes, and curl, get from the Open Inference Protocol what Predict gives."""

from __future__ import annotations

import json
import math
import re
import subprocess
from pathlib import Path

import pytest

from cohortlens.v1 import analytics_pb2, customers_pb2, models_pb2

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv-oip" / "bin" / "python"
GUIDE = ROOT / "docs" / "guides" / "open-inference.md"


@pytest.fixture(scope="module")
def asked(demo):
    """Rows of five customers at the longest horizon, and what Predict gives for them by task."""
    page = demo.call(demo.customers.ListCustomers, customers_pb2.ListCustomersRequest(page_size=5))
    features = [
        demo.call(
            demo.analytics.GetFeatures, analytics_pb2.GetFeaturesRequest(customer=one.customer)
        ).features
        for one in page.customers
    ]
    found = {}
    for task in ("SPEND", "PURCHASES"):
        request = analytics_pb2.PredictRequest(
            task=analytics_pb2.PredictionTask.Value(f"PREDICTION_TASK_{task}"), vectors=features
        )
        found[task] = demo.call(demo.analytics.Predict, request).predictions
    rows = [[None if math.isnan(value) else value for value in one.values] for one in features]
    expected = {
        "spend": [one.value for one in found["SPEND"]],
        "spend_lower": [one.lower for one in found["SPEND"]],
        "spend_upper": [one.upper for one in found["SPEND"]],
        "purchases": [one.value for one in found["PURCHASES"]],
    }
    segments = demo.call(demo.analytics.Segment, analytics_pb2.SegmentRequest(vectors=features)).assignments
    return {"rows": rows, "expected": expected, "segments": [one.segment for one in segments]}


@pytest.fixture(scope="module")
def told(stack, demo, asked):
    assert PYTHON.exists(), "no environment of Triton's clients; next: make setup-dev"
    question = {
        "grpc": stack.grpc,
        "http": stack.http.removeprefix("http://"),
        "token": demo.access_token(),
        "rows": asked["rows"],
    }
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name("oip_client.py")],
        input=json.dumps(question), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def _close(values, expected):
    assert set(values) == set(expected)
    for name, found in values.items():
        assert found == pytest.approx(expected[name], rel=1e-6)


def test_a_grpc_client_of_triton_gets_the_values_that_predict_gives(told, asked, demo):
    grpc = told["grpc"]
    assert (grpc["live"], grpc["ready"], grpc["model_ready"]) == (True, True, True)
    _close(grpc["values"], asked["expected"])
    assert [f"s{index + 1}" for index in grpc["segments"]] == asked["segments"]
    active = demo.call(
        demo.models.GetModelVersion, models_pb2.GetModelVersionRequest(model="prediction")
    ).version
    assert (grpc["id"], grpc["version"]) == ("g", str(active.version))
    assert grpc["horizons"] == ",".join(str(days) for days in active.horizons_days)
    assert grpc["shape"] == [-1, len(asked["rows"][0])]
    assert sorted(grpc["index"]) == ["prediction", "segmentation"]
    assert grpc["counted"] >= 5


def test_a_stream_of_triton_s_client_goes_on_after_a_fault(told, asked):
    first, fault, last = told["stream"]
    assert "sequence" in fault["error"]
    _close(first["values"], asked["expected"])
    assert first == last


def test_an_http_client_of_triton_gets_the_same_in_json_and_in_bytes(told, asked):
    http = told["http"]
    assert (http["live"], http["ready"], http["model_ready"], http["unknown_ready"]) == (
        True,
        True,
        True,
        False,
    )
    for form in ("json", "binary"):
        _close(http[form], asked["expected"])
    assert (http["shape"], http["rows_max"]) == ([-1, len(asked["rows"][0])], 4096)
    assert sorted(http["index"]) == ["prediction", "segmentation"]
    assert http["counted"] >= 5


def test_faults_reach_triton_s_clients_with_status_and_reason(told):
    grpc, http = told["grpc"]["faults"], told["http"]["faults"]
    assert grpc["no token"][0] == "StatusCode.UNAUTHENTICATED"
    assert grpc["unknown model"][0] == "StatusCode.NOT_FOUND"
    assert grpc["load"][0] == "StatusCode.UNIMPLEMENTED"
    assert [http[name][0] for name in ("no token", "unknown model", "load")] == ["401", "404", "501"]
    assert http["load"][1].startswith("OIP_EXTENSION_UNSUPPORTED")


def test_the_curl_example_of_the_guide_works_as_it_stands(stack, demo, asked):
    example = re.search(r"```bash\n# score by curl\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    environ = stack.environ | {"TOKEN": demo.access_token(), "HOST": stack.http}
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", example[1]],
        env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    (output,) = answer["outputs"]
    assert (answer["model_name"], output["name"], output["shape"]) == ("prediction", "spend", [1, 1])
    assert output["data"][0] > 0
