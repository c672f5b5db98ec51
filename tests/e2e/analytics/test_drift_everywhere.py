"""A drift report of the demo tenant: the same by every road, and calm right after the training."""

import json
import urllib.request

import pytest

from cohortlens.v1 import common_pb2, drift_pb2
from tests.fixtures.waiting import eventually_blocking


@pytest.fixture(scope="module")
def report(demo):
    started = demo.call(demo.analytics.StartDriftReport, drift_pb2.StartDriftReportRequest()).drift_report
    wanted = drift_pb2.GetDriftReportRequest(drift_report=started.drift_report)

    def ended():
        found = demo.call(demo.analytics.GetDriftReport, wanted).drift_report
        assert found.state != common_pb2.WORK_STATE_FAILED, found.error
        return found if found.state == common_pb2.WORK_STATE_SUCCEEDED else None

    return eventually_blocking(ended, 60)


def test_right_after_its_training_a_version_meets_the_customers_that_it_knows(report):
    assert report.verdict == drift_pb2.DRIFT_VERDICT_STABLE
    assert (report.baseline, report.reference_as_of) == (True, report.data_as_of)
    assert report.rows_reference == report.rows_current > 2_000
    columns = {one.name: one for one in report.columns}
    assert columns["rate_30"].statistic == 0.0, "the same customers, the same features"
    predicted = [one for one in report.columns if one.kind == drift_pb2.DRIFT_COLUMN_KIND_PREDICTION]
    assert len(predicted) >= 2
    assert all(one.statistic < 0.01 for one in predicted), "what training kept is what the workers answer"


def test_json_and_the_command_line_tell_what_grpc_tells(stack, demo, report):
    request = urllib.request.Request(
        f"{stack.http}/api/v1/driftReports/{report.drift_report}",
        headers={"Authorization": f"Bearer {demo.access_token()}"},
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        by_json = json.load(reply)["driftReport"]
    assert by_json["verdict"] == "DRIFT_VERDICT_STABLE"
    assert [one["name"] for one in by_json["columns"]] == [one.name for one in report.columns]
    assert [one.get("psi") for one in by_json["columns"]] == [
        one.psi if one.HasField("psi") else None for one in report.columns
    ]
    listed = stack.json("drift", "--list")["data"]["drift_reports"]
    assert (report.drift_report, "stable") in [(one["drift_report"], one["verdict"]) for one in listed]


def test_the_command_line_reports_on_the_segments(stack):
    found = stack.json("drift", "--model", "segmentation")["data"]
    assert (found["state"], found["verdict"]) == ("succeeded", "stable")
    assert {one["name"] for one in found["columns"]} == {"age", "since", "x", "mean", "segment"}
