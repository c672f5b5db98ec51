"""Messages about cohorts, survival and retention to questions of the domain, and answers to messages."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any, TypeVar

from cohortlens.analytics.cohorts.matrix import Align
from cohortlens.analytics.cohorts.models import (
    ApplyTo,
    CohortBy,
    CohortQuery,
    CohortTable,
    Criterion,
    Filter,
    Measure,
    Population,
)
from cohortlens.analytics.cohorts.periods import Period, day_number
from cohortlens.analytics.survival.models import (
    Projection,
    RetentionAnswer,
    RetentionQuery,
    SurvivalAnswer,
    SurvivalEvent,
    SurvivalQuery,
)
from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.v1 import cohorts_pb2 as pb

ChoiceT = TypeVar("ChoiceT", bound=StrEnum)


def cohort_query(request: pb.QueryCohortsRequest) -> CohortQuery:
    """The question of a request.

    Raises:
        InvalidArgument: FIELD_INVALID: an enum value that does not exist, a day that is none.
    """
    by = _chosen(CohortBy, pb.CohortBy, request.cohort_by, "cohort_by") or CohortBy.MONTH
    return CohortQuery(
        population=_population(by, request),
        period=_period(request),
        align=_chosen(Align, pb.CohortAlign, request.align, "align") or Align.CALENDAR,
        criterion=_chosen(Criterion, pb.CohortCriterion, request.criterion, "criterion") or Criterion.ON,
        at_least=request.at_least,
        measure=_chosen(Measure, pb.CohortMeasure, request.measure, "measure") or Measure.CUSTOMERS,
        margin_ratio=request.margin_ratio if request.HasField("margin_ratio") else None,
        periods=request.periods,
    )


def survival_query(request: pb.QuerySurvivalRequest) -> SurvivalQuery:
    """The question of a request; raises as ``cohort_query``."""
    by = _chosen(CohortBy, pb.CohortBy, request.cohort_by, "cohort_by") or CohortBy.ALL
    event = _chosen(SurvivalEvent, pb.SurvivalEvent, request.event, "event")
    return SurvivalQuery(
        population=_population(by, request),
        event=event or SurvivalEvent.INACTIVITY,
        gap_days=request.gap_days,
        order_number=request.order_number,
        max_days=request.max_days,
        level_ratio=request.level_ratio,
    )


def retention_query(request: pb.ProjectRetentionRequest) -> RetentionQuery:
    """The question of a request; raises as ``cohort_query``."""
    by = _chosen(CohortBy, pb.CohortBy, request.cohort_by, "cohort_by") or CohortBy.ALL
    return RetentionQuery(
        population=_population(by, request),
        survivors=tuple(request.survivors),
        periods=request.periods,
        period=_period(request) or Period.MONTH,
        gap_days=request.gap_days,
        level_ratio=request.level_ratio,
        seed=request.seed,
    )


def cohorts_message(query: CohortQuery, table: CohortTable) -> pb.QueryCohortsResponse:
    """The answer, with everything as asked or by default."""
    money = query.measure not in {Measure.CUSTOMERS, Measure.ORDERS}
    population = query.population
    total = table.total.tolist()
    width = table.values.shape[1]
    return pb.QueryCohortsResponse(
        cohorts=[
            pb.Cohort(key=key, name=name, size=size, cells=_cells(values, by_customer, observed))
            for key, name, size, values, by_customer, observed in zip(
                table.keys,
                table.names,
                table.sizes.tolist(),
                table.values.tolist(),
                table.per_customer.tolist(),
                table.observed.tolist(),
                strict=True,
            )
        ],
        total=pb.Cohort(size=int(table.sizes.sum()), cells=_cells(total[0], total[1], total[2])),
        periods=width,
        unit=table.data.currency if money else query.measure.value.lower(),
        currency=table.data.currency,
        data_as_of=table.data.as_of,
        data_revision=table.data.revision,
        excluded_no_consent=table.data.excluded_no_consent,
        cohort_by=f"COHORT_BY_{population.by}",
        period=f"COHORT_PERIOD_{query.unit}",
        align=f"COHORT_ALIGN_{query.align}",
        criterion=f"COHORT_CRITERION_{query.criterion}",
        measure=f"COHORT_MEASURE_{query.measure}",
        apply_to=f"COHORT_APPLY_TO_{population.filter.apply_to}",
        time_zone=population.time_zone or "UTC",
    )


def survival_message(query: SurvivalQuery, answer: SurvivalAnswer) -> pb.QuerySurvivalResponse:
    """The answer, with everything as asked or by default."""
    is_order = query.event is SurvivalEvent.ORDER
    return pb.QuerySurvivalResponse(
        curves=[
            pb.SurvivalCurve(
                key=one.key,
                name=one.name,
                size=one.size,
                events=one.events,
                median_days=one.curve.median,
                steps=[
                    pb.SurvivalStep(
                        day=day,
                        at_risk=at_risk,
                        events=events,
                        survival=share,
                        lower=_known(low),
                        upper=_known(high),
                    )
                    for day, at_risk, events, share, low, high in zip(
                        *(column.tolist() for column in vars(one.curve).values()), strict=True
                    )
                ],
            )
            for one in answer.curves
        ],
        gap_days=answer.gap_days,
        order_number=(query.order_number or 2) if is_order else 0,
        level_ratio=query.level_ratio or 0.95,
        data_as_of=answer.data.as_of,
        data_revision=answer.data.revision,
        excluded_no_consent=answer.data.excluded_no_consent,
        event=f"SURVIVAL_EVENT_{query.event}",
        time_zone=query.population.time_zone or "UTC",
    )


def retention_message(query: RetentionQuery, answer: RetentionAnswer) -> pb.ProjectRetentionResponse:
    """The answer, with everything as asked or by default."""
    return pb.ProjectRetentionResponse(
        projections=[_projection(one) for one in answer.projections],
        gap_days=answer.gap_days,
        period_days=answer.period_days,
        level_ratio=query.level_ratio or 0.8,
        data_as_of=answer.data.as_of,
        data_revision=answer.data.revision,
        excluded_no_consent=answer.data.excluded_no_consent,
        basis="sbg",
    )


def _population(by: CohortBy, request: Any) -> Population:
    chosen = request.filter
    return Population(
        by=by,
        attribute=request.attribute,
        time_zone=request.time_zone,
        filter=Filter(
            countries=tuple(chosen.countries),
            segments=tuple(chosen.segments),
            attribute=chosen.attribute,
            attribute_values=tuple(chosen.attribute_values),
            skus=tuple(chosen.skus),
            min_amount=chosen.min_amount if chosen.HasField("min_amount") else None,
            max_amount=chosen.max_amount if chosen.HasField("max_amount") else None,
            apply_to=_chosen(ApplyTo, pb.CohortApplyTo, chosen.apply_to, "filter.apply_to")
            or ApplyTo.RETURNS,
            first_from=_day(chosen.first_from, "filter.first_from"),
            first_to=_day(chosen.first_to, "filter.first_to"),
            net=chosen.net,
        ),
    )


def _period(request: Any) -> Period | None:
    return _chosen(Period, pb.CohortPeriod, request.period, "period")


def _day(text: str, field: str) -> int | None:
    return day_number(text, field) if text else None


def _chosen(kind: type[ChoiceT], numbers: Any, number: int, field: str) -> ChoiceT | None:
    """The domain's value of an enum; None for the unspecified one."""
    if number == 0:
        return None
    # The names of ours end the names of the contract: COHORT_BY_MONTH.
    prefix = numbers.Name(0).removesuffix("UNSPECIFIED")
    if number not in numbers.values():
        why = f"{number} is no value of {numbers.DESCRIPTOR.name}"
        raise InvalidArgument(f"{field}: {why}", violations=(Violation(field, why),))
    return kind(numbers.Name(number).removeprefix(prefix))


def _cells(values: list[float], by_customer: list[float], observed: list[float]) -> list[pb.CohortCell]:
    return [
        pb.CohortCell(observed=int(seen), value=value, per_customer=share) if seen else pb.CohortCell()
        for value, share, seen in zip(values, by_customer, observed, strict=True)
    ]


def _projection(one: Projection) -> pb.RetentionProjection:
    seen = sum(not math.isnan(share) for share in one.observed.tolist())
    return pb.RetentionProjection(
        key=one.key,
        name=one.name,
        size=one.size,
        observed_periods=max(0, seen - 1),
        points=[
            pb.RetentionPoint(
                period=period, observed=_known(share), projected=value, lower=low, upper=high, at_risk=at_risk
            )
            for period, (share, value, low, high, at_risk) in enumerate(
                zip(
                    one.observed.tolist(),
                    one.projected.tolist(),
                    one.lower.tolist(),
                    one.upper.tolist(),
                    one.at_risk.tolist(),
                    strict=True,
                )
            )
        ],
        alpha=_known(one.alpha),
        beta=_known(one.beta),
        boundary=one.boundary,
        reason=one.reason,
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
