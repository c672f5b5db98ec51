"""Bad input, as a user sends it: each answer names the field, the reason and the way out; nothing is stored."""

import contextlib
import json
import math
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from cohortlens.cli.errors import ApiError
from cohortlens.v1 import analytics_pb2, customers_pb2
from tests.e2e.conftest import COHORTLENS
from tests.fixtures.waiting import eventually_blocking

SPEND = analytics_pb2.PREDICTION_TASK_SPEND
TASK = {"task": "PREDICTION_TASK_SPEND"}
KNOWN, UNKNOWN = "external:4", "external:nobody"


def post(stack, client, path, body, content_type="application/json"):
    """Status and JSON of a POST with the client's token."""
    request = urllib.request.Request(f"{stack.http}{path}", data=body, method="POST")
    request.add_header("authorization", f"Bearer {client.access_token()}")
    request.add_header("content-type", content_type)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with contextlib.closing(error):
            return error.code, json.load(error)


def reason_and_fields(answer):
    details = answer["details"]
    fields = [one["field"] for detail in details for one in detail.get("fieldViolations", ())]
    return details[0]["reason"], fields


def predictions(client):
    found = client.call(
        client.analytics.ListPredictions, analytics_pb2.ListPredictionsRequest(page_size=1000)
    )
    return {p.prediction for p in found.predictions}


@pytest.mark.parametrize(
    ("request_", "status", "reason", "field"),
    [
        ({"customers": KNOWN}, 400, "FIELD_INVALID", "customers"),
        ({"customers": [4]}, 400, "FIELD_INVALID", "customers[0]"),
        ({"customer": [KNOWN]}, 400, "UNKNOWN_FIELD", "customer"),
        ({"vectors": [{"value": [1]}]}, 400, "UNKNOWN_FIELD", "vectors[0].value"),
        ({}, 400, "FIELD_INVALID", "customers"),
        ({"customers": [KNOWN], "vectors": [{"values": [1]}]}, 400, "FIELD_INVALID", "vectors"),
        ({"customers": [KNOWN] * 1001}, 400, "FIELD_INVALID", "customers"),
        ({"customers": [KNOWN, UNKNOWN]}, 404, "RESOURCE_NOT_FOUND", "customers[1]"),
        ({"customers": ["4"]}, 400, "FIELD_INVALID", "customers[0]"),
        ({"customers": [KNOWN], "horizonDays": -1}, 400, "FIELD_INVALID", "horizon_days"),
        ({"customers": [KNOWN], "horizonDays": 800}, 400, "HORIZON_UNSUPPORTED", "horizon_days"),
        ({"vectors": [{"values": [1, 2]}]}, 400, "FEATURE_SCHEMA_MISMATCH", "vectors[0]"),
        (
            {"vectors": [{"values": [1]}], "schemaHash": "0" * 64},
            400,
            "FEATURE_SCHEMA_MISMATCH",
            "schema_hash",
        ),
        ({"vectors": [{"values": ["Infinity"]}]}, 400, "VALUE_NOT_FINITE", "vectors[0].values[0]"),
    ],
)
def test_a_prediction_that_cannot_be_made_names_its_field_and_stores_nothing(
    stack, demo, request_, status, reason, field
):
    before = predictions(demo)
    got, answer = post(stack, demo, "/api/v1/predict", json.dumps(TASK | request_).encode())
    assert got == status
    found, fields = reason_and_fields(answer)
    assert found == reason
    assert field in fields
    assert "Traceback" not in json.dumps(answer)
    assert predictions(demo) == before


@pytest.mark.parametrize(
    ("body", "content_type", "status", "reason"),
    [
        (b'{"task":"PREDICTION_TASK_SPEND",}', "application/json", 400, "MALFORMED_JSON"),
        (b'{"vectors":[{"values":[NaN]}]}', "application/json", 400, "MALFORMED_JSON"),
        (b'{"customers":[],"customers":[]}', "application/json", 400, "DUPLICATE_FIELD"),
        (b'{"task":"\xe9"}', "application/json", 400, "MALFORMED_JSON"),
        (b"{}", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
def test_a_body_that_is_no_request_says_where_it_breaks(stack, demo, body, content_type, status, reason):
    got, answer = post(stack, demo, "/api/v1/predict", body, content_type)
    assert (got, reason_and_fields(answer)[0]) == (status, reason)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_has_one_answer_at_both_doors(stack, demo, value):
    schema = demo.call(demo.analytics.GetFeatureSchema, analytics_pb2.GetFeatureSchemaRequest())
    at = next(i for i, column in enumerate(schema.columns) if not column.nullable)
    values = [0.0] * len(schema.columns)
    values[at] = value
    message = analytics_pb2.PredictRequest(task=SPEND, vectors=[analytics_pb2.FeatureVector(values=values)])
    with pytest.raises(ApiError) as caught:
        demo.call(demo.analytics.Predict, message)
    texts = {math.inf: "Infinity", -math.inf: "-Infinity"}
    written = [texts.get(v, "NaN") if not math.isfinite(v) else v for v in values]
    body = json.dumps(TASK | {"vectors": [{"values": written}]}).encode()
    status, answer = post(stack, demo, "/api/v1/predict", body)
    assert (status, caught.value.code) == (400, "INVALID_ARGUMENT")
    assert (caught.value.reason, [f for f, _ in caught.value.violations]) == reason_and_fields(answer)
    assert caught.value.reason == "VALUE_NOT_FINITE"
    assert caught.value.message == answer["message"]
    assert f"values[{at}]" in caught.value.violations[0][0]


HEADER = "customer,date,amount\n"
FILES = {
    "empty.csv": (b"", "FILE_EMPTY"),
    "columns.csv": (b"client,when,price\na,2024-01-02,1\n", "HEADER_MISSING"),
    "utf16.csv": ((HEADER + "a,2024-01-02,1\n").encode("utf-16"), "ENCODING_INVALID"),
    "book.xlsx": (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "FORMAT_UNSUPPORTED"),
    "folder.csv": (None, "FILE_UNREADABLE"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_imported_says_why_and_what_to_do(stack, demo, tmp_path, name):
    content, reason = FILES[name]
    path = tmp_path / name
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    before = demo.call(
        demo.customers.ListCustomers, customers_pb2.ListCustomersRequest(page_size=1)
    ).total_size
    told = stack.json("import", str(path))
    assert (told["ok"], told["error"]["reason"], told["error"]["code"]) == (False, reason, "INVALID_ARGUMENT")
    assert told["error"]["next"]
    after = demo.call(
        demo.customers.ListCustomers, customers_pb2.ListCustomersRequest(page_size=1)
    ).total_size
    assert after == before


def test_rows_that_are_no_numbers_are_listed_and_the_good_ones_counted(stack, tmp_path):
    path = tmp_path / "windows.csv"
    rows = [
        "a,2024-01-02,NaN",
        "b,2024-01-02,Infinity",
        '"A ""x"", Ltd",2024-01-02,"12.50"',
        "c,2024-13-02,1",
    ]
    path.write_bytes("\r\n".join([HEADER.strip(), *rows, ""]).encode())
    told = stack.json("import", str(path), "--dry-run")["data"]
    assert (told["rows"]["accepted"], told["rejected_by_reason"]) == (
        1,
        {"AMOUNT_INVALID": 2, "DATE_INVALID": 1},
    )
    assert [(f["line"], f["column"], f["preview"]) for f in told["faults"]] == [
        (2, "amount", "NaN"),
        (3, "amount", "Infinity"),
        (5, "date", "2024-13-02"),
    ]


def answers(client):
    """Whether the gateway is there."""
    try:
        return client.call(client.customers.ListImports, customers_pb2.ListImportsRequest()).imports
    except ApiError as error:
        assert error.code == "UNAVAILABLE", error
        return None


def test_an_import_outlives_the_gateway_that_took_it(stack, demo, tmp_path):
    """The command waits through the restart: the work goes on in the background."""
    path = tmp_path / "large.csv"
    lines = (f"n{n % 5000},1997-{n % 12 + 1:02d}-{n % 28 + 1:02d},{n % 90}.50\n" for n in range(200_000))
    path.write_text(HEADER + "".join(lines))

    log = stack.data_dir / "logs" / "gateway.log"
    before = log.stat().st_size

    def asks():
        """Whether the command knows that its upload was taken: it asks for the state of the import."""
        with log.open("rb") as lines:
            lines.seek(before)
            return b"CustomersService/GetImport" in lines.read()

    pid = stack.services()["gateway"]["pid"]
    command = [COHORTLENS, "import", str(path), "--dry-run", "--json"]
    with subprocess.Popen(command, env=stack.environ, stdout=subprocess.PIPE) as running:
        end = time.monotonic() + 60
        while not asks():
            assert running.poll() is None, "the command ended before its upload was taken"
            assert time.monotonic() < end
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        printed, _ = running.communicate(timeout=120)
    # Whatever the command says: the tests that follow find a gateway.
    eventually_blocking(lambda: stack.services()["gateway"]["pid"] not in {pid, None, 0}, 60.0)
    eventually_blocking(lambda: answers(demo), 60.0)
    told = json.loads(printed)
    assert running.returncode == 0, told
    assert told["data"]["rows"] == {"read": 200_000, "accepted": 200_000, "rejected": 0, "duplicate": 0}
