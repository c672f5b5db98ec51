"""The tables of drift reports and their columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.drift.models import (
    ColumnKind,
    DriftCause,
    DriftColumn,
    DriftConvention,
    DriftReport,
    DriftVerdict,
    TargetPerformance,
)
from cohortlens.analytics.endings import end_failed
from cohortlens.analytics.models import WorkState

_REPORT = """
id, state, progress_ratio, cause, model, model_version, convention, wanted_reference_as_of, wanted_as_of,
reference_as_of, as_of, rows_reference, rows_current, verdict, performance, error_reason, error_message,
created_at, ended_at, excluded_no_consent FROM drift_reports WHERE tenant_id = app.tid()
"""
_COLUMN = """
name, kind, is_numerical, method, rows_reference, rows_current, statistic, p_value, p_adjusted, p_holm, psi,
jensen_shannon, wasserstein_normed, missing_reference_ratio, missing_current_ratio, mean_reference,
mean_current, verdict, reason
FROM drift_columns WHERE tenant_id = app.tid()
"""
_INSERT = """
INSERT INTO drift_reports (tenant_id, id, cause, model, model_version, convention, wanted_reference_as_of,
  wanted_as_of, created_by, created_at)
VALUES (app.tid(), :id, :cause, :model, :version, :convention, :reference_as_of, :as_of, :created_by, :at)
"""
_INSERT_COLUMNS = """
INSERT INTO drift_columns (tenant_id, report_id, place, name, kind, is_numerical, method, rows_reference,
  rows_current, statistic, p_value, p_adjusted, p_holm, psi, jensen_shannon, wasserstein_normed,
  missing_reference_ratio, missing_current_ratio, mean_reference, mean_current, verdict, reason)
SELECT app.tid(), :report, given.place,
  given.name, given.kind, given.is_numerical, given.method, given.rows_reference, given.rows_current,
  given.statistic, given.p_value, given.p_adjusted, given.p_holm, given.psi, given.jensen_shannon,
  given.wasserstein_normed, given.missing_reference_ratio, given.missing_current_ratio, given.mean_reference,
  given.mean_current, given.verdict, given.reason
FROM jsonb_to_recordset(CAST(:columns AS jsonb)) AS given (place int, name text, kind text,
  is_numerical boolean, method text, rows_reference bigint, rows_current bigint, statistic float8,
  p_value float8, p_adjusted float8, p_holm float8, psi float8, jensen_shannon float8,
  wasserstein_normed float8, missing_reference_ratio float8, missing_current_ratio float8,
  mean_reference float8, mean_current float8, verdict text, reason text)
"""


class DriftRepository:
    """SQL of drift reports.

    Args:
        tx: A transaction of the tenant.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def insert(
        self,
        report_id: UUID,
        *,
        cause: DriftCause,
        model: str,
        version: int,
        convention: DriftConvention,
        reference_as_of: date | None,
        as_of: date | None,
        created_by: UUID | None,
        at: datetime,
    ) -> None:
        """Store a pending report; days that are None mean the baseline and the last day of data."""
        await self._tx.execute(
            text(_INSERT),
            {
                "id": report_id,
                "cause": cause.value,
                "model": model,
                "version": version,
                "convention": convention.value,
                "reference_as_of": reference_as_of,
                "as_of": as_of,
                "created_by": created_by,
                "at": at,
            },
        )

    async def get(self, report_id: UUID, *, lock: bool = False) -> DriftReport | None:
        """One report without its columns; ``lock`` keeps others from changing it until the commit."""
        statement = f"SELECT {_REPORT} AND id = :id" + (" FOR UPDATE" if lock else "")
        row = (await self._tx.execute(text(statement), {"id": report_id})).one_or_none()
        return None if row is None else _report(row)

    async def columns(self, report_id: UUID) -> tuple[DriftColumn, ...]:
        """The columns of a report, the most alarming first."""
        rows = await self._tx.execute(
            text(f"SELECT {_COLUMN} AND report_id = :id ORDER BY place"), {"id": report_id}
        )
        return tuple(_column(dict(row)) for row in rows.mappings())

    async def page(self, model: str, before: UUID | None, limit: int) -> list[DriftReport]:
        """Reports of a model (of both when empty) requested before ``before``, newest first."""
        rows = await self._tx.execute(
            text(
                f"SELECT {_REPORT} AND (CAST(:before AS uuid) IS NULL OR id < :before) "
                "AND (:model = '' OR model = :model) ORDER BY id DESC LIMIT :limit"
            ),
            {"before": before, "model": model, "limit": limit},
        )
        return [_report(row) for row in rows]

    async def count_unfinished(self) -> int:
        """Reports of the tenant that have not ended."""
        found = await self._tx.scalar(
            text(
                "SELECT count(*) FROM drift_reports "
                "WHERE tenant_id = app.tid() AND state IN ('PENDING', 'RUNNING')"
            )
        )
        return int(found or 0)

    async def has_since(self, model: str, version: int, since: datetime | None) -> bool:
        """Whether a whole report of the version waits, runs, or was requested after ``since``."""
        found = await self._tx.scalar(
            text(
                "SELECT EXISTS (SELECT FROM drift_reports WHERE tenant_id = app.tid() AND model = :model "
                "AND model_version = :version AND wanted_reference_as_of IS NULL AND wanted_as_of IS NULL "
                "AND (state IN ('PENDING', 'RUNNING') OR created_at > :since))"
            ),
            {"model": model, "version": version, "since": since},
        )
        return bool(found)

    async def progress(self, report_id: UUID, ratio: float) -> None:
        """Say how far the work is."""
        await self._tx.execute(
            text(
                "UPDATE drift_reports SET state = 'RUNNING', progress_ratio = :ratio "
                "WHERE tenant_id = app.tid() AND id = :id AND state IN ('PENDING', 'RUNNING')"
            ),
            {"id": report_id, "ratio": ratio},
        )

    async def succeed(self, report: DriftReport, at: datetime) -> None:
        """Store what a report found, its columns in their order."""
        columns = [{"place": place, **asdict(one)} for place, one in enumerate(report.columns)]
        await self._tx.execute(
            text(_INSERT_COLUMNS),
            {"report": report.report_id, "columns": json.dumps(columns, allow_nan=False)},
        )
        performance = [
            {**asdict(one), "predicted_on": one.predicted_on.isoformat()} for one in report.performance
        ]
        await self._tx.execute(
            text(
                "UPDATE drift_reports SET state = 'SUCCEEDED', progress_ratio = 1, verdict = :verdict, "
                "reference_as_of = :reference_as_of, as_of = :as_of, rows_reference = :rows_reference, "
                "rows_current = :rows_current, excluded_no_consent = :excluded, "
                "performance = CAST(:performance AS jsonb), ended_at = :at "
                "WHERE tenant_id = app.tid() AND id = :id"
            ),
            {
                "id": report.report_id,
                "verdict": report.verdict.value,
                "reference_as_of": report.reference_as_of,
                "as_of": report.as_of,
                "rows_reference": report.rows_reference,
                "rows_current": report.rows_current,
                "excluded": report.excluded_no_consent,
                "performance": json.dumps(performance, allow_nan=False),
                "at": at,
            },
        )

    async def fail(self, report_id: UUID, reason: str, message: str, at: datetime) -> None:
        """End a report badly; one that has ended is left alone."""
        await end_failed(self._tx, "drift_reports", report_id, reason, message, at)


def _report(row: Any) -> DriftReport:
    return DriftReport(
        report_id=row.id,
        state=WorkState(row.state),
        progress_ratio=row.progress_ratio,
        cause=DriftCause(row.cause),
        model=row.model,
        model_version=row.model_version,
        convention=DriftConvention(row.convention),
        reference_as_of=row.reference_as_of or row.wanted_reference_as_of,
        is_baseline=row.wanted_reference_as_of is None,
        as_of=row.as_of or row.wanted_as_of,
        rows_reference=row.rows_reference,
        rows_current=row.rows_current,
        verdict=DriftVerdict(row.verdict),
        performance=tuple(_performance(one) for one in _list(row.performance)),
        columns=(),
        error_reason=row.error_reason,
        error_message=row.error_message,
        created_at=row.created_at,
        ended_at=row.ended_at,
        excluded_no_consent=row.excluded_no_consent,
    )


def _list(stored: str | Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    return json.loads(stored) if isinstance(stored, str) else stored


def _performance(stored: dict[str, Any]) -> TargetPerformance:
    return TargetPerformance(
        **{**stored, "predicted_on": date.fromisoformat(stored["predicted_on"])},
    )


def _column(stored: dict[str, Any]) -> DriftColumn:
    return DriftColumn(
        **{**stored, "kind": ColumnKind(stored["kind"]), "verdict": DriftVerdict(stored["verdict"])}
    )
