import math

import numpy as np
import pytest

from cohortlens.analytics.cohorts.matrix import Align
from cohortlens.analytics.cohorts.models import (
    ApplyTo,
    CohortBy,
    CohortQuery,
    CohortTable,
    Criterion,
    DataState,
    Measure,
    check_query,
)
from cohortlens.analytics.cohorts.periods import Period
from cohortlens.analytics.survival.kaplan_meier import kaplan_meier
from cohortlens.analytics.survival.models import (
    CohortCurve,
    Projection,
    RetentionAnswer,
    SurvivalAnswer,
    SurvivalEvent,
)
from cohortlens.core.errors import InvalidArgument
from cohortlens.v1 import cohorts_pb2 as pb
from gateway.servicers import cohorts_mapping as mapping

NAN = math.nan
DATA = DataState("EUR", "2026-03-31", 7)


@pytest.mark.parametrize(
    ("numbers", "kind", "extra"),
    [
        (pb.CohortBy, CohortBy, {"ALL"}),
        (pb.CohortPeriod, Period, set()),
        (pb.CohortAlign, Align, set()),
        (pb.CohortCriterion, Criterion, set()),
        (pb.CohortMeasure, Measure, set()),
        (pb.CohortApplyTo, ApplyTo, set()),
        (pb.SurvivalEvent, SurvivalEvent, set()),
    ],
)
def test_every_value_of_the_contract_is_one_of_the_domain_and_the_other_way_round(numbers, kind, extra):
    prefix = numbers.Name(0).removesuffix("UNSPECIFIED")

    named = {numbers.Name(number).removeprefix(prefix) for number in numbers.values() if number}

    assert named | extra == set(kind)


def test_a_question_without_anything_is_one_about_months():
    query = mapping.cohort_query(pb.QueryCohortsRequest())

    assert query.population.by is CohortBy.MONTH
    assert (query.unit, query.align, query.criterion, query.measure) == (
        Period.MONTH,
        Align.CALENDAR,
        Criterion.ON,
        Measure.CUSTOMERS,
    )
    assert query.population.filter.apply_to is ApplyTo.RETURNS
    assert query.population.filter.min_amount is None


def test_every_field_of_a_question_arrives():
    request = pb.QueryCohortsRequest(
        cohort_by="COHORT_BY_ATTRIBUTE",
        attribute="tier",
        period="COHORT_PERIOD_WEEK",
        align="COHORT_ALIGN_ROLLING",
        criterion="COHORT_CRITERION_AT_LEAST_N",
        at_least=3,
        time_zone="Asia/Tokyo",
        periods=9,
        filter=pb.CohortFilter(
            countries=["ES"],
            segments=["loyal"],
            attribute="plan",
            attribute_values=["x"],
            skus=["tea"],
            min_amount=0.0,
            max_amount=9.5,
            apply_to="COHORT_APPLY_TO_DEFINITION",
            first_from="1970-01-02",
            first_to="1970-01-03",
            net=True,
        ),
    )
    query = mapping.cohort_query(request)
    chosen = query.population.filter

    check_query(query)
    assert (query.population.attribute, query.population.time_zone) == ("tier", "Asia/Tokyo")
    assert (query.unit, query.align, query.criterion, query.at_least, query.periods) == (
        Period.WEEK,
        Align.ROLLING,
        Criterion.AT_LEAST_N,
        3,
        9,
    )
    assert (chosen.countries, chosen.segments, chosen.skus) == (("ES",), ("loyal",), ("tea",))
    assert (chosen.attribute, chosen.attribute_values) == ("plan", ("x",))
    assert (chosen.min_amount, chosen.max_amount, chosen.first_from, chosen.first_to) == (0.0, 9.5, 1, 2)
    assert (chosen.apply_to, chosen.net) == (ApplyTo.DEFINITION, True)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cohort_by": 99}, "cohort_by"),
        ({"align": 99}, "align"),
        ({"filter": pb.CohortFilter(apply_to=99)}, "filter.apply_to"),
        ({"filter": pb.CohortFilter(first_from="01/02/26")}, "filter.first_from"),
        ({"cohort_by": "COHORT_BY_ATTRIBUTE"}, "attribute"),
        ({"attribute": "tier"}, "attribute"),
        ({"criterion": "COHORT_CRITERION_AT_LEAST_N"}, "at_least"),
        ({"at_least": 2}, "at_least"),
        ({"measure": "COHORT_MEASURE_MARGIN"}, "margin_ratio"),
        ({"margin_ratio": 0.5}, "margin_ratio"),
        ({"measure": "COHORT_MEASURE_REVENUE", "criterion": "COHORT_CRITERION_ON_OR_AFTER"}, "criterion"),
        ({"filter": pb.CohortFilter(min_amount=2, max_amount=1)}, "filter.max_amount"),
        ({"filter": pb.CohortFilter(apply_to="COHORT_APPLY_TO_DEFINITION")}, "filter.apply_to"),
        ({"filter": pb.CohortFilter(first_from="2026-02-01", first_to="2026-01-01")}, "filter.first_to"),
        ({"filter": pb.CohortFilter(attribute="tier")}, "filter.attribute_values"),
        ({"filter": pb.CohortFilter(skus=["a\0b"])}, "filter.skus"),
        ({"filter": pb.CohortFilter(countries=["x" * 1001])}, "filter.countries"),
    ],
)
def test_what_contradicts_is_refused_by_its_field(fields, field):
    with pytest.raises(InvalidArgument) as refused:
        check_query(mapping.cohort_query(pb.QueryCohortsRequest(**fields)))

    assert refused.value.reason == "FIELD_INVALID"
    assert [one.field for one in refused.value.violations] == [field]


def test_a_cell_that_was_not_observed_has_no_value_and_a_zero_has_one():
    table = CohortTable(
        keys=("2026-01",),
        names=("2026-01",),
        sizes=np.array([4]),
        values=np.array([[4.0, 0.0, NAN]]),
        per_customer=np.array([[1.0, 0.0, NAN]]),
        observed=np.array([[4, 4, 0]]),
        total=np.array([[4.0, 0.0, NAN], [1.0, 0.0, NAN], [4.0, 4.0, 0.0]]),
        data=DATA,
    )
    query = mapping.cohort_query(pb.QueryCohortsRequest())
    reply = mapping.cohorts_message(query, table)

    for one in (reply.cohorts[0], reply.total):
        assert [cell.HasField("value") for cell in one.cells] == [True, True, False]
        assert [cell.HasField("per_customer") for cell in one.cells] == [True, True, False]
        assert [cell.observed for cell in one.cells] == [4, 4, 0]
    assert (reply.unit, reply.currency, reply.data_as_of, reply.data_revision) == (
        "customers",
        "EUR",
        "2026-03-31",
        7,
    )
    assert (reply.period, reply.time_zone) == (pb.COHORT_PERIOD_MONTH, "UTC")


@pytest.mark.parametrize(
    ("measure", "unit"), [("ORDERS", "orders"), ("REVENUE", "EUR"), ("LTV_PER_CUSTOMER", "EUR")]
)
def test_money_has_the_currency_as_its_unit(measure, unit):
    empty = CohortTable((), (), *[np.zeros(0)], *[np.zeros((0, 0))] * 3, np.zeros((3, 0)), DATA)
    query = CohortQuery(mapping.cohort_query(pb.QueryCohortsRequest()).population, measure=Measure(measure))

    assert mapping.cohorts_message(query, empty).unit == unit


def test_where_nobody_is_left_a_step_has_no_interval():
    curve = kaplan_meier(np.array([3, 3, 5]), np.array([True, True, True]), 0.95)
    query = mapping.survival_query(pb.QuerySurvivalRequest(event="SURVIVAL_EVENT_ORDER"))
    reply = mapping.survival_message(query, SurvivalAnswer((CohortCurve("", "", 3, 3, curve),), 0, DATA))

    (one,) = reply.curves
    assert [(step.day, step.at_risk, step.events) for step in one.steps] == [(3, 3, 2), (5, 1, 1)]
    assert [step.HasField("lower") for step in one.steps] == [True, False]
    assert (one.median_days, reply.order_number, reply.level_ratio) == (3, 2, 0.95)


def test_behind_the_observed_periods_there_is_only_the_projection():
    share = np.array([1.0, 0.8, 0.7])
    made = Projection(
        "k", "n", 9, np.array([1.0, 0.75, NAN]), np.array([9, 8, 0]), share, share - 0.1, share, 0.5, 1.5
    )
    short = Projection("s", "s", 1, *[np.zeros(0)] * 5, reason="HISTORY_TOO_SHORT")
    query = mapping.retention_query(pb.ProjectRetentionRequest(seed=4))
    reply = mapping.retention_message(query, RetentionAnswer((made, short), 35, 30, DATA))

    first, second = reply.projections
    assert [point.HasField("observed") for point in first.points] == [True, True, False]
    assert (first.observed_periods, first.alpha, first.points[2].projected) == (1, 0.5, 0.7)
    assert (second.reason, len(second.points), second.HasField("alpha")) == ("HISTORY_TOO_SHORT", 0, False)
    assert (reply.basis, reply.level_ratio, query.seed) == ("sbg", 0.8, 4)
