"""Training runs: what one is, and the table of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.analytics.endings import end_cancelled, end_failed
from cohortlens.analytics.models import WorkState
from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.core.ids import TrainingRunId


class Cause(StrEnum):
    """Why a training began."""

    REQUESTED = "REQUESTED"
    FIRST_IMPORT = "FIRST_IMPORT"
    GROWTH = "GROWTH"
    DRIFT = "DRIFT"
    SCHEDULE = "SCHEDULE"
    ERASURE = "ERASURE"


@dataclass(frozen=True)
class TrainingRun:
    """One training of one model; times aware, UTC.

    Attributes:
        run_id: Identifier.
        model: ``segmentation`` or ``prediction``.
        state: State of the work.
        cause: Why it began.
        stage: What it is doing.
        progress_ratio: Share of the work done, 0 to 1.
        seed: Seed of everything random.
        segments: Number of segments that was asked for; chosen by the rule when 0.
        wanted_as_of: Last day of data that was asked for; None for all there is.
        snapshot_digest: Its snapshot in the artifact store, hex; None while it is not taken.
        data_revision: Number of the data's last change that the snapshot knows; None likewise.
        purchase_days: Rows of the snapshot; None while it is not taken, and for runs of earlier releases.
        as_of: Last day of its data; None while the snapshot is not taken.
        currency: ISO 4217 code of the money columns; None likewise.
        champion_version: Version its own is held against; None when none was active.
        champion_digest: That version's digest, hex.
        artifact_digest: What it made, hex; None before.
        cpu_s: CPU seconds of the training.
        version: Version it registered; 0 before.
        outcome: What became of it: ``PROMOTED``, ``CHALLENGER``, ``REJECTED``, ``KEPT``; empty before.
        drift_report: Drift report that asked for it.
        error_reason: Why it failed, upper snake case; empty otherwise.
        error_message: The same for a person.
        created_at: When it was asked for.
        started_at: When the first attempt began.
        ended_at: When it ended.
        excluded_no_consent: Customers with purchases left out of the snapshot.
        consent_version: Version of the last change of a consent that the snapshot knows; None while it is not
            taken, and for runs of earlier releases.
    """

    run_id: TrainingRunId
    model: str
    state: WorkState
    cause: Cause
    stage: str
    progress_ratio: float
    seed: int
    segments: int
    wanted_as_of: date | None
    snapshot_digest: str | None
    data_revision: int | None
    purchase_days: int | None
    as_of: date | None
    currency: str | None
    champion_version: int | None
    champion_digest: str | None
    artifact_digest: str | None
    cpu_s: float
    version: int
    outcome: str
    drift_report: UUID | None
    error_reason: str
    error_message: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    excluded_no_consent: int = 0
    consent_version: int | None = None


_TRAINING = """
id, model, state, cause, stage, progress_ratio, seed, segments, wanted_as_of, snapshot_digest,
data_revision, purchase_days, as_of, currency, champion_version, champion_digest, artifact_digest, cpu_s,
coalesce(version, 0) AS version, coalesce(outcome, '') AS outcome, drift_report, error_reason, error_message,
created_at, started_at, ended_at, excluded_no_consent, consent_version
FROM training_runs WHERE tenant_id = app.tid()
"""


@dataclass(frozen=True)
class NewRun:
    """A run that is asked for.

    Attributes:
        run_id: Identifier.
        model: ``segmentation`` or ``prediction``.
        cause: Why.
        seed: Seed of everything random.
        wanted_as_of: Last day of data to train on; None for all there is.
        created_by: User or program; None for the service itself.
        created_at: When.
        drift_report: Drift report that asks for it.
        segments: Number of segments; chosen by the rule when 0.
    """

    run_id: TrainingRunId
    model: str
    cause: Cause
    seed: int
    wanted_as_of: date | None
    created_by: UUID | None
    created_at: datetime
    drift_report: UUID | None = None
    segments: int = 0


class SegmentsInvalid(InvalidArgument):
    """A number of segments that cannot be asked for."""

    def __init__(self, segments: int, model: str) -> None:
        text = (
            f"is {segments}, which only a training of the segmentation takes; name the model, or leave it out"
            if model != "segmentation"
            else "is 1, which is no segmentation; give 2 to 20, or 0 to let it be chosen"
        )
        super().__init__(f"segments {text}", violations=(Violation("segments", text),))


class TrainingRunsRepository:
    """SQL of training runs.

    Args:
        tx: A transaction of the tenant.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def insert(self, run: NewRun) -> bool:
        """Store a pending run; False when one of the model is pending or running already."""
        rows = await self._tx.execute(
            text(
                """
                INSERT INTO training_runs
                  (tenant_id, id, model, cause, seed, wanted_as_of, created_by, created_at, drift_report,
                   segments)
                VALUES (app.tid(), :id, :model, :cause, :seed, :wanted_as_of, :created_by, :created_at,
                  :report, :segments)
                ON CONFLICT (tenant_id, model) WHERE state IN ('PENDING', 'RUNNING') DO NOTHING
                RETURNING id
                """
            ),
            {
                "id": run.run_id,
                "model": run.model,
                "cause": run.cause.value,
                "seed": run.seed,
                "wanted_as_of": run.wanted_as_of,
                "created_by": run.created_by,
                "created_at": run.created_at,
                "report": run.drift_report,
                "segments": run.segments,
            },
        )
        return rows.one_or_none() is not None

    async def get(self, run_id: UUID, *, lock: bool = False) -> TrainingRun | None:
        """One run, locked until the transaction ends if wanted."""
        suffix = "FOR UPDATE" if lock else ""
        rows = await self._tx.execute(text(f"SELECT {_TRAINING} AND id = :id {suffix}"), {"id": run_id})
        row = rows.one_or_none()
        return None if row is None else _training(row)

    async def page(self, before: UUID | None, limit: int) -> list[TrainingRun]:
        """Runs older than ``before``, newest first."""
        rows = await self._tx.execute(
            text(
                f"SELECT {_TRAINING} AND (CAST(:before AS uuid) IS NULL OR id < :before) "
                "ORDER BY id DESC LIMIT :limit"
            ),
            {"before": before, "limit": limit},
        )
        return [_training(row) for row in rows]

    async def last(self, model: str) -> TrainingRun | None:
        """The run of the model that was asked for last, however it ended."""
        rows = await self._tx.execute(
            text(f"SELECT {_TRAINING} AND model = :model ORDER BY created_at DESC, id DESC LIMIT 1"),
            {"model": model},
        )
        row = rows.one_or_none()
        return None if row is None else _training(row)

    async def begin(self, run_id: UUID, at: datetime) -> None:
        """Say that work on it begins; the first attempt sets the time from which its limit runs."""
        await self._tx.execute(
            text(
                "UPDATE training_runs SET started_at = coalesce(started_at, :at) "
                "WHERE tenant_id = app.tid() AND id = :id AND state IN ('PENDING', 'RUNNING')"
            ),
            {"id": run_id, "at": at},
        )

    async def progress(self, run_id: UUID, stage: str, progress_ratio: float) -> bool:
        """Say how far a run is; a run that has ended stays as it is, and the answer is False."""
        done = await self._tx.execute(
            text(
                "UPDATE training_runs SET state = 'RUNNING', stage = :stage, progress_ratio = :ratio "
                "WHERE tenant_id = app.tid() AND id = :id AND state IN ('PENDING', 'RUNNING')"
            ),
            {"id": run_id, "stage": stage, "ratio": min(1.0, max(0.0, progress_ratio))},
        )
        return bool(done.rowcount)

    async def set_snapshot(
        self,
        run_id: UUID,
        digest: str,
        *,
        purchase_days: int,
        as_of: date,
        currency: str,
        champion: tuple[int, str] | None,
        data_revision: int | None,
        excluded_no_consent: int = 0,
        consent_version: int | None = None,
    ) -> None:
        """Remember what the run trains on and what its version is held against (number and digest)."""
        version, champion_digest = champion or (None, None)
        await self._tx.execute(
            text(
                "UPDATE training_runs SET snapshot_digest = :digest, purchase_days = :rows, as_of = :as_of, "
                "currency = :currency, champion_version = :version, champion_digest = :champion, "
                "data_revision = :revision, excluded_no_consent = :excluded, consent_version = :consent "
                "WHERE tenant_id = app.tid() AND id = :id"
            ),
            {
                "id": run_id,
                "digest": digest,
                "rows": purchase_days,
                "as_of": as_of,
                "currency": currency,
                "version": version,
                "champion": champion_digest,
                "revision": data_revision,
                "excluded": excluded_no_consent,
                "consent": consent_version,
            },
        )

    async def set_purchase_days(self, run_id: UUID, purchase_days: int) -> None:
        """Take the present number as that of a run of an earlier release, which stored none."""
        await self._tx.execute(
            text(
                "UPDATE training_runs SET purchase_days = :rows "
                "WHERE tenant_id = app.tid() AND id = :id AND purchase_days IS NULL"
            ),
            {"id": run_id, "rows": purchase_days},
        )

    async def set_artifact(self, run_id: UUID, digest: str, cpu_s: float) -> None:
        """Remember what the run made."""
        await self._tx.execute(
            text(
                "UPDATE training_runs SET artifact_digest = :digest, cpu_s = :cpu_s "
                "WHERE tenant_id = app.tid() AND id = :id AND state IN ('PENDING', 'RUNNING')"
            ),
            {"id": run_id, "digest": digest, "cpu_s": cpu_s},
        )

    async def succeed(self, run_id: UUID, version: int, outcome: str, at: datetime) -> None:
        """End a run well."""
        await self._tx.execute(
            text(
                "UPDATE training_runs SET state = 'SUCCEEDED', stage = 'register', progress_ratio = 1, "
                "version = :version, outcome = :outcome, ended_at = :at "
                "WHERE tenant_id = app.tid() AND id = :id AND state IN ('PENDING', 'RUNNING')"
            ),
            {"id": run_id, "version": version, "outcome": outcome, "at": at},
        )

    async def fail(self, run_id: UUID, reason: str, message: str, at: datetime) -> None:
        """End a run badly; one that has ended stays as it is."""
        await end_failed(self._tx, "training_runs", run_id, reason, message, at)

    async def cancel(self, run_id: UUID, at: datetime) -> bool:
        """End a run because somebody wants so; False when it has ended already."""
        return await end_cancelled(self._tx, "training_runs", run_id, at)


def _training(row: Any) -> TrainingRun:
    run_id, model, state, cause, *others = row
    return TrainingRun(TrainingRunId(run_id), model, WorkState(state), Cause(cause), *others)
