"""Cohorts of the demo tenant: the published counts, the same by every road."""

import json
import urllib.error
import urllib.request

import pytest

from cohortlens.v1 import analytics_pb2, cohorts_pb2


def posted(stack, demo, path, body):
    request = urllib.request.Request(
        f"{stack.http}/api/v1/{path}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {demo.access_token()}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


@pytest.fixture(scope="module")
def cohorts(demo):
    return demo.call(demo.analytics.QueryCohorts, cohorts_pb2.QueryCohortsRequest())


def test_the_cohorts_of_the_demo_data_are_the_published_ones(cohorts):
    assert [(one.key, one.size) for one in cohorts.cohorts] == [
        ("1997-01", 777),
        ("1997-02", 854),
        ("1997-03", 718),
    ]
    assert [cell.value for cell in cohorts.cohorts[0].cells[:4]] == [777, 124, 95, 70]
    # March of 1997 has seen two months less than January.
    assert [cell.HasField("value") for cell in cohorts.cohorts[2].cells[-3:]] == [True, False, False]
    assert (cohorts.unit, cohorts.currency, cohorts.data_as_of) == ("customers", "USD", "1998-06-30")


def test_json_and_the_command_line_tell_what_grpc_tells(stack, demo, cohorts):
    by_json = posted(stack, demo, "cohorts:query", {})
    by_command = stack.json("cohorts", "table")["data"]

    wanted = [
        [cell.value if cell.HasField("value") else None for cell in one.cells] for one in cohorts.cohorts
    ]
    assert [[cell.get("value") for cell in one["cells"]] for one in by_json["cohorts"]] == wanted
    assert [[cell["value"] for cell in one["cells"]] for one in by_command["cohorts"]] == wanted
    shown = stack.run("cohorts", "table", "--align", "rolling", "--criterion", "on-or-after").stdout.decode()
    assert "44.0%" in shown, "342 of 777 came back after 30 days or later"


def test_segments_group_their_members(demo):
    request = cohorts_pb2.QueryCohortsRequest(cohort_by="COHORT_BY_SEGMENT", measure="COHORT_MEASURE_REVENUE")
    found = demo.call(demo.analytics.QueryCohorts, request)
    segments = demo.call(demo.analytics.ListSegments, analytics_pb2.ListSegmentsRequest()).segments

    names = {one.segment: one.name for one in segments}
    assert {one.key: one.name for one in found.cohorts if one.key} == names
    assert sum(one.size for one in found.cohorts) == found.total.size == 2349


def test_survival_and_retention_answer_by_every_road(stack, demo):
    survival = demo.call(demo.analytics.QuerySurvival, cohorts_pb2.QuerySurvivalRequest(gap_days=90))
    retained = demo.call(
        demo.analytics.ProjectRetention, cohorts_pb2.ProjectRetentionRequest(periods=18, seed=2)
    )
    by_json = posted(stack, demo, "survival:query", {"gapDays": 90})
    by_command = stack.json("cohorts", "retention", "--periods", "18", "--seed", "2")["data"]

    assert [step["survival"] for step in by_json["curves"][0]["steps"]] == [
        step.survival for step in survival.curves[0].steps
    ]
    assert [point["lower"] for point in by_command["projections"][0]["points"]] == [
        point.lower for point in retained.projections[0].points
    ]
    years = posted(stack, demo, "retention:project", {"survivors": [1000, 869, 743, 653, 593], "periods": 5})
    assert [point.get("observed") for point in years["projections"][0]["points"]][-2:] == [
        pytest.approx(0.593),
        None,
    ]


def test_what_cannot_be_asked_is_refused_by_its_field(stack, demo):
    with pytest.raises(urllib.error.HTTPError) as refused:
        posted(stack, demo, "cohorts:query", {"timeZone": "Mars/Olympus"})

    told = json.load(refused.value)
    assert refused.value.code == 400
    assert "time_zone" in json.dumps(told)
