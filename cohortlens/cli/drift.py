"""``cohortlens drift``: how far the customers have moved from what a model was trained on."""

from __future__ import annotations

from typing import Any

import click

from cohortlens.cli.output import NEXT_BY_REASON, Fault, table
from cohortlens.cli.session import Session, calls_api
from cohortlens.cli.waiting import wait_until_final
from cohortlens.v1 import common_pb2, drift_pb2

_CONVENTIONS = {
    "cohortlens": drift_pb2.DRIFT_CONVENTION_COHORTLENS,
    "evidently": drift_pb2.DRIFT_CONVENTION_EVIDENTLY,
}
_SHOWN = 12


@click.command("drift")
@click.option(
    "--model", type=click.Choice(["prediction", "segmentation"]), default="prediction", show_default=True
)
@click.option(
    "--reference-as-of", default="", metavar="YYYY-MM-DD", help="Compare with this day's customers."
)
@click.option("--as-of", default="", metavar="YYYY-MM-DD", help="Look at this day's customers; the last one.")
@click.option(
    "--convention", type=click.Choice(sorted(_CONVENTIONS)), default="cohortlens", show_default=True
)
@click.option("--list", "is_list", is_flag=True, help="Show the latest reports instead.")
@click.option("--no-wait", is_flag=True, help="Start the report and return at once.")
@calls_api("drift")
def drift(
    session: Session,
    model: str,
    reference_as_of: str,
    as_of: str,
    convention: str,
    is_list: bool,
    no_wait: bool,
) -> None:
    r"""Report how far the present customers are from those that the active version was trained on.

    \b
    Examples:
      cohortlens drift
      cohortlens drift --model segmentation --json
      cohortlens drift --reference-as-of 2026-01-31
      cohortlens drift --list
    """
    if is_list:
        _list(session, model)
        return
    client = session.client
    request = drift_pb2.StartDriftReportRequest(
        model=model, reference_as_of=reference_as_of, as_of=as_of, convention=_CONVENTIONS[convention]
    )
    report = client.call(client.analytics.StartDriftReport, request).drift_report
    if not no_wait:
        report = _waited(session, report)
    session.out.result(report_data(report), _text(report))


def verdict_word(number: Any) -> str:
    """A verdict as people read it: stable, changed, watch, act, unknown."""
    return str(drift_pb2.DriftVerdict.Name(number)).removeprefix("DRIFT_VERDICT_").lower()


def report_data(report: drift_pb2.DriftReport) -> dict[str, Any]:
    """A report in the JSON envelope; numbers that are not defined are null."""
    return {
        "drift_report": report.drift_report,
        "state": str(common_pb2.WorkState.Name(report.state)).removeprefix("WORK_STATE_").lower(),
        "model": report.model,
        "model_version": report.model_version,
        "verdict": verdict_word(report.verdict),
        "reference_as_of": report.reference_as_of,
        "data_as_of": report.data_as_of,
        "rows": {"reference": report.rows_reference, "current": report.rows_current},
        "columns": [_column_data(one) for one in report.columns],
        "performance": [_performance_data(one) for one in report.performance],
    }


def _waited(session: Session, report: drift_pb2.DriftReport) -> drift_pb2.DriftReport:
    client = session.client
    wanted = drift_pb2.GetDriftReportRequest(drift_report=report.drift_report)

    def poll() -> drift_pb2.DriftReport:
        found: drift_pb2.DriftReport = client.call(client.analytics.GetDriftReport, wanted).drift_report
        return found

    with session.out.progress("drift report") as show:
        report = wait_until_final(
            report,
            poll,
            lambda found: show(found.model, found.progress_ratio),
            f"drift report {report.drift_report}",
        )
    if report.state == common_pb2.WORK_STATE_FAILED:
        raise Fault(
            report.error.reason,
            report.error.message,
            NEXT_BY_REASON.get(report.error.reason, ""),
            metadata={"drift_report": report.drift_report},
        )
    return report


def _list(session: Session, model: str) -> None:
    client = session.client
    reply = client.call(
        client.analytics.ListDriftReports, drift_pb2.ListDriftReportsRequest(model=model, page_size=20)
    )
    rows = [
        [one.drift_report, str(one.model_version), one.data_as_of, verdict_word(one.verdict)]
        for one in reply.drift_reports
    ]
    text = table(rows, ["report", "version", "data as of", "verdict"], frozenset({1}))
    session.out.result({"drift_reports": [report_data(one) for one in reply.drift_reports]}, text)


def _text(report: drift_pb2.DriftReport) -> str:
    if report.state != common_pb2.WORK_STATE_SUCCEEDED:
        return f"drift report {report.drift_report} started; cohortlens drift --list shows its verdict"
    since = "its training" if report.baseline else f"{report.reference_as_of}"
    lines = [
        f"{report.model} version {report.model_version}: {verdict_word(report.verdict)}; "
        f"{report.rows_current:,} customers of {report.data_as_of}, "
        f"{report.rows_reference:,} of {since}",
        table(
            [
                [
                    one.name,
                    verdict_word(one.verdict),
                    _number(one, "psi"),
                    _number(one, "p_adjusted"),
                    one.method,
                ]
                for one in report.columns[:_SHOWN]
            ],
            ["column", "verdict", "index", "p adjusted", "method"],
            frozenset({2, 3}),
        ),
    ]
    lines += [
        f"{one.target} in {one.horizon_days} days from {one.predicted_on}: predicted "
        f"{one.predicted_total:,.1f}, came {one.actual_total:,.1f}"
        for one in report.performance
    ]
    return "\n".join(lines)


def _number(message: Any, field: str) -> str:
    return f"{getattr(message, field):.4f}" if message.HasField(field) else "-"


def _optional(message: Any, *fields: str) -> dict[str, float | None]:
    return {name: getattr(message, name) if message.HasField(name) else None for name in fields}


def _column_data(column: drift_pb2.DriftColumn) -> dict[str, Any]:
    return {
        "name": column.name,
        "verdict": verdict_word(column.verdict),
        "reason": column.reason,
        "method": column.method,
        "missing_reference_ratio": column.missing_reference_ratio,
        "missing_current_ratio": column.missing_current_ratio,
        **_optional(column, "statistic", "p_value", "p_adjusted", "p_holm", "psi", "jensen_shannon"),
        **_optional(column, "wasserstein_normed", "mean_reference", "mean_current"),
    }


def _performance_data(one: drift_pb2.TargetPerformance) -> dict[str, Any]:
    return {
        "target": one.target,
        "horizon_days": one.horizon_days,
        "predicted_on": one.predicted_on,
        "customers": one.customers,
        "predicted_total": one.predicted_total,
        "actual_total": one.actual_total,
        "lower_total": one.lower_total,
        "upper_total": one.upper_total,
        "within": one.within,
        **_optional(one, "error_ratio", "coverage_ratio", "calibration_error"),
    }
