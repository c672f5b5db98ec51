"""A file of features goes in, a Parquet file of predictions comes out, by every door; all customers likewise."""

import hashlib
import io
import json
import time
import urllib.error
import urllib.request

import pyarrow.parquet as pq
import pytest

from cohortlens.v1 import analytics_pb2, common_pb2

TASK = analytics_pb2.PREDICTION_TASK_SPEND
CUSTOMERS = [f"external:{number}" for number in (4, 21, 50)]
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def schema(demo):
    return demo.call(demo.analytics.GetFeatureSchema, analytics_pb2.GetFeatureSchemaRequest())


@pytest.fixture(scope="module")
def vectors(demo):
    """Features of some customers, so that a file of them must predict what they do."""
    return [
        list(
            demo.call(
                demo.analytics.GetFeatures, analytics_pb2.GetFeaturesRequest(customer=name)
            ).features.values
        )
        for name in CUSTOMERS
    ]


@pytest.fixture(scope="module")
def csv(schema, vectors):
    """The vectors as CSV, columns reversed, unknown values left empty."""
    names = [column.name for column in schema.columns]
    lines = [",".join(["lead", *reversed(names)])]
    for number, vector in enumerate(vectors):
        texts = ["" if value != value else repr(value) for value in reversed(vector)]
        lines.append(",".join([f"lead-{number}", *texts]))
    return "\n".join(lines).encode()


@pytest.fixture(scope="module")
def expected(demo, vectors):
    request = analytics_pb2.PredictRequest(
        task=TASK, horizon_days=90, vectors=[analytics_pb2.FeatureVector(values=one) for one in vectors]
    )
    return demo.call(demo.analytics.Predict, request).predictions


def ended(demo, batch):
    deadline = time.monotonic() + 120
    while batch.state in {common_pb2.WORK_STATE_PENDING, common_pb2.WORK_STATE_RUNNING}:
        assert time.monotonic() < deadline, batch
        time.sleep(0.2)
        request = analytics_pb2.GetBatchPredictionRequest(batch=batch.batch)
        batch = demo.call(demo.analytics.GetBatchPrediction, request).batch
    assert batch.state == common_pb2.WORK_STATE_SUCCEEDED, batch.error
    return batch


def http(stack, demo, path, data=None, content_type="application/json"):
    request = urllib.request.Request(
        stack.http + path,
        data=data,
        headers={"Authorization": f"Bearer {demo.access_token()}", "Content-Type": content_type},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.headers, reply.read()


def check_rows(data, expected):
    table = pq.read_table(io.BytesIO(data))
    assert table["id"].to_pylist() == [f"lead-{number}" for number in range(len(expected))]
    for row, one in zip(table.to_pylist(), expected, strict=True):
        assert [row[name] for name in ("value", "lower", "upper")] == pytest.approx(
            [one.value, one.lower, one.upper], rel=TOLERANCE, abs=TOLERANCE
        )
        assert (row["unit"], row["horizon"], row["model_version"], row["snapshot_id"]) == (
            one.unit, 90, one.model_version, one.snapshot_id,
        )  # fmt: skip


def test_a_csv_file_gives_by_grpc_what_predict_gives_by_vector(demo, csv, expected):
    options = analytics_pb2.BatchInputOptions(file_name="leads.csv", id_column="lead")
    given = demo.upload_batch_input(options, io.BytesIO(csv).read)
    assert (given.rows, given.file_sha256) == (len(expected), hashlib.sha256(csv).hexdigest())
    request = analytics_pb2.PredictBatchRequest(task=TASK, horizon_days=90, input=given.input)
    batch = ended(demo, demo.call(demo.analytics.PredictBatch, request).batch)
    data = b"".join(demo.download_batch_result(batch.batch))
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (batch.result_sha256, batch.result_bytes)
    check_rows(data, expected)


def test_the_same_by_http_is_a_plain_parquet_body(stack, demo, csv, expected):
    _, body = http(stack, demo, "/api/v1/batchInputs?idColumn=lead&fileName=leads.csv", csv, "text/csv")
    given = json.loads(body)["input"]
    wanted = {
        "task": "PREDICTION_TASK_SPEND",
        "horizonDays": 90,
        "input": given["input"],
        "requestId": given["input"],
    }
    answers = [
        json.loads(http(stack, demo, "/api/v1/batchPredictions", json.dumps(wanted).encode())[1])["batch"]
        for _ in range(2)
    ]
    assert answers[0]["batch"] == answers[1]["batch"], "a repeated request starts no other batch"
    batch = ended(demo, analytics_pb2.BatchPrediction(batch=answers[0]["batch"], state=1))
    headers, data = http(stack, demo, f"/api/v1/batchPredictions/{batch.batch}/result")
    assert headers["Content-Type"] == "application/vnd.apache.parquet"
    assert headers["Content-Disposition"] == f'attachment; filename="batch-{batch.batch}.parquet"'
    check_rows(data, expected)


def test_a_bad_value_in_a_file_is_named_with_its_row_and_column(stack, demo, csv):
    lines = csv.split(b"\n")
    lines[2] = lines[2].rpartition(b",")[0] + b",-5"  # the last column is the schema's first, x
    with pytest.raises(urllib.error.HTTPError) as caught:
        http(stack, demo, "/api/v1/batchInputs?idColumn=lead", b"\n".join(lines), "text/csv")
    fault = json.loads(caught.value.read())
    assert caught.value.code == 400
    assert fault["message"].startswith("row 2, column 'x': -5 lies outside 0 to 40000")


def test_the_command_line_predicts_for_all_customers_and_their_predictions_are_stored(stack, demo, tmp_path):
    output = tmp_path / "spend.parquet"
    told = stack.json("predict-batch", "--task", "spend", "--horizon", "90d", "--output", str(output))
    assert told["ok"], told
    assert (told["data"]["state"], told["data"]["rows"]["skipped"]) == ("succeeded", 0)
    table = pq.read_table(output)
    assert table.num_rows == told["data"]["rows"]["total"] > 2000
    rows = {row["id"]: row for row in table.to_pylist()}
    listed = analytics_pb2.ListPredictionsRequest(customer=CUSTOMERS[0], task=TASK, page_size=10)
    stored = [
        one
        for one in demo.call(demo.analytics.ListPredictions, listed).predictions
        if one.create_time.ToJsonString() and one.snapshot_id == rows["4"]["snapshot_id"]
    ]
    assert stored
    assert stored[0].value == pytest.approx(rows["4"]["value"], rel=TOLERANCE)


def test_a_cancelled_batch_is_final_and_has_no_result(stack, demo):
    request = analytics_pb2.PredictBatchRequest(task=TASK, all_customers=True)
    batch = demo.call(demo.analytics.PredictBatch, request).batch
    cancelled = demo.call(
        demo.analytics.CancelBatchPrediction, analytics_pb2.CancelBatchPredictionRequest(batch=batch.batch)
    ).batch
    assert cancelled.state == common_pb2.WORK_STATE_CANCELLED
    with pytest.raises(urllib.error.HTTPError) as caught:
        http(stack, demo, f"/api/v1/batchPredictions/{batch.batch}/result")
    assert caught.value.code == 400
    assert "BATCH_NOT_SUCCEEDED" in caught.value.read().decode()
    page = demo.call(
        demo.analytics.ListBatchPredictions, analytics_pb2.ListBatchPredictionsRequest(page_size=1)
    )
    assert (page.batches[0].batch, page.batches[0].state) == (batch.batch, cancelled.state)
