from cohortlens.cli.cohort_tables import (
    cohort_data,
    cohort_text,
    projection_data,
    projection_text,
    share_at,
    step_data,
)
from cohortlens.v1 import cohorts_pb2 as pb

SEEN = pb.CohortCell(value=3, per_customer=0.75, observed=4)
OPEN = pb.CohortCell()


def test_a_period_that_is_not_over_is_null_for_programs_and_blank_for_people():
    reply = pb.QueryCohortsResponse(
        cohorts=[pb.Cohort(key="2026-01", name="2026-01", size=4, cells=[SEEN, OPEN])],
        total=pb.Cohort(size=4, cells=[SEEN, OPEN]),
        periods=2,
        unit="customers",
        data_as_of="2026-02-14",
        time_zone="UTC",
    )

    assert [cell["value"] for cell in cohort_data(reply.cohorts[0])["cells"]] == [3, None]
    text = cohort_text(reply, is_share=True)
    assert text.splitlines()[-2].split() == ["all", "4", "75.0%"]
    assert text.endswith("share of customers; data until 2026-02-14, UTC")


def test_more_periods_than_a_line_holds_are_told():
    one = pb.Cohort(key="a", name="a", size=4, cells=[pb.CohortCell(value=1234.5, observed=4)] * 20)
    reply = pb.QueryCohortsResponse(cohorts=[one], total=one, periods=20, unit="USD", time_zone="UTC")

    text = cohort_text(reply, is_share=False)

    assert "1,234.50" in text
    assert "7 more periods with --json" in text


def test_before_the_first_import_there_is_nothing_to_show():
    assert cohort_text(pb.QueryCohortsResponse(), is_share=True) == "no orders yet"


def test_the_share_of_a_day_is_that_of_the_last_step_before_it():
    steps = [
        pb.SurvivalStep(day=10, survival=0.5, lower=0.4, upper=0.6),
        pb.SurvivalStep(day=40, survival=0.0),
    ]
    curve = pb.SurvivalCurve(steps=steps)

    assert [share_at(curve, day) for day in (9, 10, 39, 40)] == ["100.0%", "50.0%", "50.0%", "0.0%"]
    assert [step_data(step)["lower"] for step in steps] == [0.4, None]


def test_a_projection_that_cannot_be_says_why():
    short = pb.RetentionProjection(name="2026-03", size=2, reason="HISTORY_TOO_SHORT")
    made = pb.RetentionProjection(
        size=9,
        alpha=0.5,
        beta=1.5,
        points=[
            pb.RetentionPoint(period=0, observed=1, projected=1, lower=1, upper=1),
            pb.RetentionPoint(period=1, projected=0.75, lower=0.7, upper=0.8),
        ],
    )

    assert "HISTORY_TOO_SHORT" in projection_text(short)
    assert (projection_data(short)["alpha"], projection_data(made)["alpha"]) == (None, 0.5)
    assert [point["observed"] for point in projection_data(made)["points"]] == [1, None]
    assert projection_text(made).splitlines()[-1].split() == ["1", "75.0%", "70.0%", "-", "80.0%"]
