"""Values, states and errors of drift reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from cohortlens.analytics.models import WorkState
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Violation

DRIFT_REQUESTED = "analytics.drift.requested"
"""Topic: a report waits for a job. Payload ``drift_report_id``."""

DRIFT_REPORTED = "analytics.drift.reported"
"""Topic: a report has ended well. Payload: see ``reported_payload``."""

MIN_ROWS = 200
"""Fewest rows on each side of a comparison."""

MAX_WAITING = 20
"""Reports of a tenant that may be unfinished at the same time; one of them runs."""

RETENTION = timedelta(days=25 * 31)
"""How long reports are kept: 25 months."""


class DriftVerdict(StrEnum):
    """What a report or a column says; from calm to urgent."""

    UNKNOWN = "UNKNOWN"
    STABLE = "STABLE"
    CHANGED = "CHANGED"
    WATCH = "WATCH"
    ACT = "ACT"


class DriftConvention(StrEnum):
    """Whose rules turn statistics into verdicts."""

    COHORTLENS = "COHORTLENS"
    EVIDENTLY = "EVIDENTLY"


class DriftCause(StrEnum):
    """Why a report was made."""

    REQUESTED = "REQUESTED"
    SCHEDULE = "SCHEDULE"
    IMPORT = "IMPORT"


class ColumnKind(StrEnum):
    """What a column of a report tells about."""

    INPUT = "INPUT"
    PREDICTION = "PREDICTION"
    SEGMENT = "SEGMENT"
    MISSING = "MISSING"


@dataclass(frozen=True)
class DriftColumn:
    """One compared column; a number that is not defined is None, never NaN.

    Attributes:
        name: Name, such as ``rate_30``, ``spend:90``, ``segment`` or ``missing.gap_mean``.
        kind: What it tells about.
        is_numerical: Numbers; else categories.
        method: Test behind ``p_value``: ``ks_exact``, ``ks_asymptotic``, ``chi_square``,
            ``chi_square_monte_carlo``, ``two_proportions`` or, with EVIDENTLY, the distance that decides.
        rows_reference: Values that are there in the baseline.
        rows_current: Values that are there now.
        statistic: Statistic of the test.
        p_value: Its p-value, 0 to 1.
        p_adjusted: The same after Benjamini and Hochberg over all columns.
        p_holm: The same after Holm.
        psi: Population stability index, >= 0.
        jensen_shannon: Square root of the divergence, 0 to .8326.
        wasserstein_normed: Distance over the standard deviation of the baseline; None for categories.
        missing_reference_ratio: Share missing in the baseline.
        missing_current_ratio: Share missing now.
        mean_reference: Mean of the baseline; None for categories.
        mean_current: Mean now; None for categories.
        verdict: What it says.
        reason: Why it is UNKNOWN; else empty.
    """

    name: str
    kind: ColumnKind
    is_numerical: bool
    method: str
    rows_reference: int
    rows_current: int
    statistic: float | None
    p_value: float | None
    p_adjusted: float | None
    p_holm: float | None
    psi: float | None
    jensen_shannon: float | None
    wasserstein_normed: float | None
    missing_reference_ratio: float
    missing_current_ratio: float
    mean_reference: float | None
    mean_current: float | None
    verdict: DriftVerdict
    reason: str = ""


@dataclass(frozen=True)
class TargetPerformance:
    """How true one target was, once its horizon had passed; undefined numbers are None.

    Attributes:
        target: ``purchases``, ``spend`` or ``churn``.
        horizon_days: Days looked ahead.
        predicted_on: Last day of data that the predictions knew.
        customers: Customers predicted.
        predicted_total: Sum of the predictions; of probabilities for ``churn``.
        actual_total: What came; customers without a purchase for ``churn``.
        error_ratio: predicted / actual - 1.
        lower_total: Lower end of the 95 % interval of the actual total, were the predictions unbiased.
        upper_total: Upper end.
        coverage_ratio: Share of customers within their 80 % interval.
        calibration_error: Mean absolute difference between predicted and observed share over tenths of the
            customers, 0 to 1; ``churn`` only.
    """

    target: str
    horizon_days: int
    predicted_on: date
    customers: int
    predicted_total: float
    actual_total: float
    error_ratio: float | None
    lower_total: float
    upper_total: float
    coverage_ratio: float | None
    calibration_error: float | None

    @property
    def is_within(self) -> bool:
        """Whether the actual total lies in its interval."""
        return self.lower_total <= self.actual_total <= self.upper_total


@dataclass(frozen=True)
class DriftReport:
    """One report; times aware, UTC.

    Attributes:
        report_id: Identifier.
        state: State of the work.
        progress_ratio: Share done.
        cause: Why it was made.
        model: ``prediction`` or ``segmentation``.
        model_version: Version, pinned when the report was requested.
        convention: Whose rules decide.
        reference_as_of: Last day of data behind the reference side; None until known.
        is_baseline: The reference is the version's baseline; else the customers of ``reference_as_of``.
        as_of: Last day of data of the current side; None until known.
        rows_reference: Customers on the reference side.
        rows_current: Customers on the current side.
        verdict: What it says; UNKNOWN until it has ended well.
        performance: Realised errors; empty until a horizon has passed.
        columns: Compared columns, the most alarming first; empty in lists.
        error_reason: Why it failed.
        error_message: The same as a sentence.
        created_at: When it was requested.
        ended_at: When it ended.
        excluded_no_consent: Customers with purchases left out of either side.
    """

    report_id: UUID
    state: WorkState
    progress_ratio: float
    cause: DriftCause
    model: str
    model_version: int
    convention: DriftConvention
    reference_as_of: date | None
    is_baseline: bool
    as_of: date | None
    rows_reference: int
    rows_current: int
    verdict: DriftVerdict
    performance: tuple[TargetPerformance, ...]
    columns: tuple[DriftColumn, ...]
    error_reason: str
    error_message: str
    created_at: datetime
    ended_at: datetime | None
    excluded_no_consent: int = 0


def reported_payload(report: DriftReport) -> dict[str, Any]:
    """What ``DRIFT_REPORTED`` carries: identifiers and the verdict, no data of customers."""
    return {
        "drift_report_id": str(report.report_id),
        "model": report.model,
        "model_version": report.model_version,
        "verdict": report.verdict.value,
        "cause": report.cause.value,
        "as_of": "" if report.as_of is None else report.as_of.isoformat(),
    }


class BaselineMissing(FailedPrecondition):
    """The active version keeps no baseline."""

    reason = "BASELINE_MISSING"

    def __init__(self, model: str, version: int) -> None:
        super().__init__(
            f"version {version} of {model} keeps no baseline; train it again, or give reference_as_of",
            metadata={"model": model, "version": str(version)},
        )


class SampleTooSmall(FailedPrecondition):
    """Too few customers on one side for a verdict."""

    reason = "SAMPLE_TOO_SMALL"

    def __init__(self, side: str, rows: int) -> None:
        super().__init__(
            f"{rows} customers on the {side} side, at least {MIN_ROWS} are needed on each; import more",
            metadata={"side": side, "rows": str(rows), "needed": str(MIN_ROWS)},
        )


class DaysInvalid(InvalidArgument):
    """The days of a comparison do not fit the data or each other."""

    def __init__(self, field: str, why: str, *, reason: str = "") -> None:
        super().__init__(f"{field}: {why}", reason=reason or self.reason, violations=(Violation(field, why),))


class DriftQueueFull(ResourceExhausted):
    """Too many reports of the tenant wait."""

    reason = "DRIFT_QUEUE_FULL"

    def __init__(self) -> None:
        super().__init__(
            f"{MAX_WAITING} drift reports are not finished yet; wait for one", retry_delay_s=60.0
        )
