"""Cohorts of the demo tenant: those of its customers who consent, the same by every road.

The published counts are of all customers of the sample. A plain count of its rows, shown here to give the
published ones, tells what is left of them without those who refuse.
"""

import csv
import gzip
import json
import urllib.error
import urllib.request
from collections import defaultdict
from datetime import date
from pathlib import Path

import pytest

from cohortlens.cli.seed_consents import refusing_customers
from cohortlens.v1 import analytics_pb2, cohorts_pb2

SAMPLE = Path(__file__).resolve().parents[3] / "cohortlens/data/cdnow_sample.csv.gz"
MONTHS = 18  # of the sample: January of 1997 to June of 1998


def purchase_days():
    """Days on which each customer paid something."""
    found = defaultdict(set)
    with gzip.open(SAMPLE, "rt") as lines:
        for row in csv.DictReader(lines):
            if float(row["amount"]) > 0:
                found[row["customer_id"]].add(date.fromisoformat(row["date"]))
    return found


def counted(days):
    """Customers of each cohort of 1997 who bought in its month and in each month after it."""
    cells = {f"1997-{month:02d}": [0] * (MONTHS + 1 - month) for month in (1, 2, 3)}
    for of_one in days.values():
        first = min(of_one).month
        for after in {(day.year - 1997) * 12 + day.month - first for day in of_one}:
            cells[f"1997-{first:02d}"][after] += 1
    return cells


def came_back(days):
    """Customers of January of 1997, and those of them who bought 30 days after their first day or later."""
    january = [of_one for of_one in days.values() if min(of_one) < date(1997, 2, 1)]
    return len(january), sum((max(of_one) - min(of_one)).days >= 30 for of_one in january)


@pytest.fixture(scope="module")
def everybody():
    return purchase_days()


@pytest.fixture(scope="module")
def consenting(everybody):
    with SAMPLE.open("rb") as source:
        refusing = set(refusing_customers(source))
    assert len(refusing) == 118
    return {name: days for name, days in everybody.items() if name not in refusing}


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


def test_a_plain_count_of_all_rows_gives_the_published_cohorts(everybody):
    cells = counted(everybody)
    assert {key: row[0] for key, row in cells.items()} == {"1997-01": 777, "1997-02": 854, "1997-03": 718}
    assert cells["1997-01"][:4] == [777, 124, 95, 70]
    assert came_back(everybody) == (777, 342)


def test_the_cohorts_of_the_demo_data_are_those_of_customers_who_consent(cohorts, consenting):
    wanted = counted(consenting)
    assert [(one.key, one.size) for one in cohorts.cohorts] == [(key, row[0]) for key, row in wanted.items()]
    assert {
        one.key: [cell.value for cell in one.cells if cell.HasField("value")] for one in cohorts.cohorts
    } == wanted
    # March of 1997 has seen two months less than January.
    assert [cell.HasField("value") for cell in cohorts.cohorts[2].cells[-3:]] == [True, False, False]
    assert (cohorts.unit, cohorts.currency, cohorts.data_as_of) == ("customers", "USD", "1998-06-30")


def test_json_and_the_command_line_tell_what_grpc_tells(stack, demo, cohorts, consenting):
    by_json = posted(stack, demo, "cohorts:query", {})
    by_command = stack.json("cohorts", "table")["data"]

    wanted = [
        [cell.value if cell.HasField("value") else None for cell in one.cells] for one in cohorts.cohorts
    ]
    assert [[cell.get("value") for cell in one["cells"]] for one in by_json["cohorts"]] == wanted
    assert [[cell["value"] for cell in one["cells"]] for one in by_command["cohorts"]] == wanted
    shown = stack.run("cohorts", "table", "--align", "rolling", "--criterion", "on-or-after").stdout.decode()
    january, back = came_back(consenting)
    assert f"{back / january:.1%}" in shown, f"{back} of {january} came back after 30 days or later"


def test_segments_group_their_members(demo, consenting):
    request = cohorts_pb2.QueryCohortsRequest(cohort_by="COHORT_BY_SEGMENT", measure="COHORT_MEASURE_REVENUE")
    found = demo.call(demo.analytics.QueryCohorts, request)
    segments = demo.call(demo.analytics.ListSegments, analytics_pb2.ListSegmentsRequest()).segments

    names = {one.segment: one.name for one in segments}
    assert {one.key: one.name for one in found.cohorts if one.key} == names
    assert sum(one.size for one in found.cohorts) == found.total.size == len(consenting)


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
