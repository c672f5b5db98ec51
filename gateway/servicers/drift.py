"""Drift reports of AnalyticsService: messages to use cases and back."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from cohortlens.analytics.drift.models import (
    DaysInvalid,
    DriftColumn,
    DriftConvention,
    DriftReport,
    TargetPerformance,
)
from cohortlens.bootstrap.services import Services
from cohortlens.v1 import drift_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import (
    day_text,
    identifier_of,
    state_number,
    timestamp,
    work_error,
)
from gateway.servicers.paging import read_page

_CONVENTIONS = {
    pb.DRIFT_CONVENTION_UNSPECIFIED: DriftConvention.COHORTLENS,
    pb.DRIFT_CONVENTION_COHORTLENS: DriftConvention.COHORTLENS,
    pb.DRIFT_CONVENTION_EVIDENTLY: DriftConvention.EVIDENTLY,
}


class DriftServicer:
    """The drift methods of ``cohortlens.v1.AnalyticsService``.

    Args:
        services: The use cases.
    """

    def __init__(self, services: Services) -> None:
        self._drift = services.analytics.drift
        self._tokens = services.page_tokens

    async def StartDriftReport(
        self, request: pb.StartDriftReportRequest, call: Call
    ) -> pb.StartDriftReportResponse:
        """Start a report on the active version."""
        stored = await self._drift.start(
            call.context,
            request.model,
            reference_as_of=_day("reference_as_of", request.reference_as_of),
            as_of=_day("as_of", request.as_of),
            convention=_CONVENTIONS[request.convention],
        )
        return pb.StartDriftReportResponse(drift_report=_report(stored))

    async def GetDriftReport(
        self, request: pb.GetDriftReportRequest, call: Call
    ) -> pb.GetDriftReportResponse:
        """One report with its columns."""
        found = await self._drift.get(call.context, identifier_of("drift_report", request.drift_report))
        return pb.GetDriftReportResponse(drift_report=_report(found))

    async def ListDriftReports(
        self, request: pb.ListDriftReportsRequest, call: Call
    ) -> pb.ListDriftReportsResponse:
        """A page of reports, newest first."""

        async def read(cursor: Any, limit: int) -> list[DriftReport]:
            before = None if cursor is None else UUID(cursor)
            return await self._drift.page(call.context, request.model, before, limit)

        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListDriftReports",
            {"model": request.model},
            request,
            read,
            lambda row: str(row.report_id),
        )
        return pb.ListDriftReportsResponse(
            drift_reports=[_report(row) for row in rows], next_page_token=following
        )


def _day(field: str, text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DaysInvalid(field, f"{text} is no day of the calendar, YYYY-MM-DD") from None


def _report(report: DriftReport) -> pb.DriftReport:
    return pb.DriftReport(
        drift_report=str(report.report_id),
        state=state_number(report.state),
        progress_ratio=report.progress_ratio,
        cause=f"DRIFT_CAUSE_{report.cause.value}",
        model=report.model,
        model_version=report.model_version,
        convention=f"DRIFT_CONVENTION_{report.convention.value}",
        baseline=report.is_baseline,
        reference_as_of=day_text(report.reference_as_of),
        data_as_of=day_text(report.as_of),
        rows_reference=report.rows_reference,
        rows_current=report.rows_current,
        verdict=f"DRIFT_VERDICT_{report.verdict.value}",
        columns=[_column(one) for one in report.columns],
        performance=[_performance(one) for one in report.performance],
        error=work_error(report.error_reason, report.error_message),
        create_time=timestamp(report.created_at),
        end_time=timestamp(report.ended_at),
        excluded_no_consent=report.excluded_no_consent,
    )


def _column(column: DriftColumn) -> pb.DriftColumn:
    return pb.DriftColumn(
        name=column.name,
        kind=f"DRIFT_COLUMN_KIND_{column.kind.value}",
        verdict=f"DRIFT_VERDICT_{column.verdict.value}",
        reason=column.reason,
        method=column.method,
        statistic=column.statistic,
        p_value=column.p_value,
        p_adjusted=column.p_adjusted,
        p_holm=column.p_holm,
        psi=column.psi,
        jensen_shannon=column.jensen_shannon,
        wasserstein_normed=column.wasserstein_normed,
        missing_reference_ratio=column.missing_reference_ratio,
        missing_current_ratio=column.missing_current_ratio,
        mean_reference=column.mean_reference,
        mean_current=column.mean_current,
        rows_reference=column.rows_reference,
        rows_current=column.rows_current,
    )


def _performance(one: TargetPerformance) -> pb.TargetPerformance:
    return pb.TargetPerformance(
        target=one.target,
        horizon_days=one.horizon_days,
        predicted_on=one.predicted_on.isoformat(),
        customers=one.customers,
        predicted_total=one.predicted_total,
        actual_total=one.actual_total,
        error_ratio=one.error_ratio,
        lower_total=one.lower_total,
        upper_total=one.upper_total,
        within=one.is_within,
        coverage_ratio=one.coverage_ratio,
        calibration_error=one.calibration_error,
    )
