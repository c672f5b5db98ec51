"""Values, states and errors of batch predictions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from cohortlens.analytics.models import Task, WorkState
from cohortlens.analytics.options import DEFAULT_OPTIONS, PredictionOptions
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Violation

BATCH_REQUESTED = "batch.requested"

SLICE_ROWS = 50_000
"""Rows of a slice: what one task scores and one transaction stores."""

MAX_INPUT_BYTES = 1 << 30
MAX_INPUT_ROWS = 5_000_000
MAX_WAITING = 20
"""Batches of a tenant that may be unfinished at the same time; one of them runs."""

RETENTION = timedelta(days=7)
"""How long inputs and results are kept, counted from the end of the work."""

"""States that never change again."""


@dataclass(frozen=True)
class BatchInput:
    """An uploaded input, every row of it checked; times aware, UTC.

    Attributes:
        input_id: Identifier.
        file_name: As the caller named it.
        file_bytes: Size of the uploaded file.
        file_sha256: Digest of the uploaded file, hex.
        rows: Rows.
        slice_rows: Rows of each of its slices but the last.
        schema_hash: Schema its columns were read by, hex.
        created_at: When it was stored.
        removed_at: When its file was removed.
    """

    input_id: UUID
    file_name: str
    file_bytes: int
    file_sha256: str
    rows: int
    slice_rows: int
    schema_hash: str
    created_at: datetime
    removed_at: datetime | None


@dataclass(frozen=True)
class BatchPrediction:
    """One batch; times aware, UTC.

    Attributes:
        batch_id: Identifier.
        task: What is predicted.
        horizon_days: Days looked ahead.
        input_id: Uploaded input; None for all customers.
        state: State of the work.
        model_version: Version, pinned when the batch was requested.
        unit: Unit of the values.
        as_of: Last day of data; None for an uploaded input and until the batch has begun.
        rows: Rows of the input; 0 until the batch has begun.
        rows_done: Rows of committed slices.
        rows_skipped: Rows among them whose customer was gone or may not be used any more.
        result_sha256: Digest of the result, hex; empty until the end.
        result_bytes: Its size.
        error_reason: Why it failed, in upper snake case.
        error_message: The same as a sentence.
        created_at: When it was requested; also the time of its predictions.
        ended_at: When it ended.
        removed_at: When its files were removed.
        options: Level of the intervals, loss, discount.
        excluded_no_consent: Customers left out because they may not be used: at the freeze, or among
            ``rows_skipped``.
    """

    batch_id: UUID
    task: Task
    horizon_days: int
    input_id: UUID | None
    state: WorkState
    model_version: int
    unit: str
    as_of: date | None
    rows: int
    rows_done: int
    rows_skipped: int
    result_sha256: str
    result_bytes: int
    error_reason: str
    error_message: str
    created_at: datetime
    ended_at: datetime | None
    removed_at: datetime | None
    options: PredictionOptions = DEFAULT_OPTIONS
    excluded_no_consent: int = 0

    @property
    def progress_ratio(self) -> float:
        """Share of the rows done, 0 to 1."""
        if self.state is WorkState.SUCCEEDED:
            return 1.0
        return self.rows_done / self.rows if self.rows else 0.0


class InputFault(InvalidArgument):
    """An uploaded input that cannot be used.

    Args:
        message: What is wrong and what to do.
        reason: ``FILE_EMPTY``, ``FILE_INVALID``, ``INPUT_TOO_LARGE``, ``COLUMNS_INVALID``, ``ID_INVALID``,
            ``VALUE_INVALID``, ``VALUE_NOT_FINITE`` or ``FEATURE_OUT_OF_RANGE``.
        column: Column of the file, when one is at fault.
        row: Row of the file, from 1; 0 when none is at fault.
    """

    def __init__(self, message: str, reason: str, *, column: str = "", row: int = 0) -> None:
        metadata = {"column": column[:80]} if column else {}
        if row:
            metadata["row"] = str(row)
        where = ", ".join(filter(None, (f"row {row}" if row else "", column[:80]))) or "chunk"
        super().__init__(message, reason=reason, metadata=metadata, violations=(Violation(where, message),))


class SubjectInvalid(InvalidArgument):
    """Neither or both of all customers and an input."""

    def __init__(self) -> None:
        text = "set all_customers, or give an input; exactly one of them"
        super().__init__(text, violations=(Violation("all_customers", text), Violation("input", text)))


class BatchQueueFull(ResourceExhausted):
    """Too many batches of the tenant wait."""

    reason = "BATCH_QUEUE_FULL"

    def __init__(self) -> None:
        super().__init__(
            f"{MAX_WAITING} batches are not finished yet; wait for one, or cancel one", retry_delay_s=60.0
        )


class BatchNotSucceeded(FailedPrecondition):
    """Only a batch that succeeded has a result."""

    reason = "BATCH_NOT_SUCCEEDED"

    def __init__(self, state: WorkState) -> None:
        super().__init__(
            f"the batch is {state}; a result is there once it is SUCCEEDED", metadata={"state": state.value}
        )


class BatchFilesRemoved(FailedPrecondition):
    """Inputs and results are kept for some days only."""

    reason = "BATCH_FILES_REMOVED"

    def __init__(self) -> None:
        super().__init__(
            f"its files were removed, {RETENTION.days} days after the work ended; upload or predict again"
        )
