"""Values and errors of the analytics slice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.options import Basis, Loss
from cohortlens.analytics.ports import Features
from cohortlens.core.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Violation,
)
from cohortlens.core.ids import CustomerId, PredictionId, SegmentationRunId

Vectors: TypeAlias = NDArray[np.float64] | Sequence[Sequence[float]]
TRAINING_REQUESTED = "training.requested"
SEGMENTATION_REQUESTED = "segmentation.requested"

PURCHASE_DAYS_UNIT = "purchase_days"
PROBABILITY_UNIT = "probability"


class Task(StrEnum):
    """What is predicted; the value is the model's target in upper case."""

    PURCHASES = "PURCHASES"
    SPEND = "SPEND"
    CHURN = "CHURN"
    CLV = "CLV"

    @property
    def target(self) -> str:
        """Name of the target in a model's manifest."""
        return self.value.lower()


class WorkState(StrEnum):
    """State of long work; all but the first two are final."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether nothing changes any more."""
        return self not in (WorkState.PENDING, WorkState.RUNNING)


@dataclass(frozen=True)
class Subjects:
    """What a request is about: customers or vectors, exactly one of them.

    Attributes:
        customers: Identifiers, or ``external:`` and the tenant's own.
        vectors: Rows in schema order: a matrix, or a sequence of numbers per row.
        schema_hash: Schema the vectors were built for; empty when the caller does not say.
    """

    customers: tuple[str, ...] = ()
    vectors: Vectors = ()
    schema_hash: str = ""


@dataclass(frozen=True)
class Rows:
    """Subjects as feature rows.

    Attributes:
        customer_ids: Customers, one per row; empty for vectors.
        external_ids: Their identifiers in the tenant's data; empty for vectors.
        matrix: Shape (n, columns), float32; each row with its weekly sequence behind it where those are read.
        as_of: Last day of data the features know; None for vectors.
        currency: Currency of the stored features; empty for vectors.
        excluded_no_consent: Customers asked about who were left out because they may not be used.
    """

    customer_ids: tuple[CustomerId, ...]
    external_ids: tuple[str, ...]
    matrix: Features
    as_of: date | None
    currency: str = ""
    excluded_no_consent: int = 0


@dataclass(frozen=True, slots=True)
class Prediction:
    """One predicted value.

    Attributes:
        prediction_id: Of the stored row; None for a vector.
        customer_id: None for a vector.
        external_id: Empty for a vector.
        task: What is predicted.
        horizon_days: Days looked ahead.
        value: Expected value, >= 0, in ``unit``.
        lower: Lower end of the interval.
        upper: Upper end.
        level_ratio: Share of outcomes the interval covers.
        unit: ``purchase_days`` or an ISO 4217 code.
        model_version: Version that made it.
        snapshot_id: Digest of the features used, 32 hex digits.
        as_of: Last day of data; None for a vector.
        created_at: When it was made.
        basis: What the value rests on.
        loss: What errors cost.
        annual_discount_ratio: Discount a year; None unless it is a lifetime value.
    """

    prediction_id: PredictionId | None
    customer_id: CustomerId | None
    external_id: str
    task: Task
    horizon_days: int
    value: float
    lower: float
    upper: float
    level_ratio: float
    unit: str
    model_version: int
    snapshot_id: str
    as_of: date | None
    created_at: datetime
    basis: Basis = Basis.BOOSTING
    loss: Loss = Loss.RMSE
    annual_discount_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """A prediction with what is needed to make it again.

    Attributes:
        prediction: The prediction, with identifiers.
        features: Little-endian float32 values in schema order, the horizon set; the weekly sequence behind
            them where it was used.
        schema_hash: Schema of the values, hex.
        request_id: Request that made it.
    """

    prediction: Prediction
    features: bytes
    schema_hash: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One customer or vector in a segment; ``distance`` in standardised units."""

    customer_id: CustomerId | None
    external_id: str
    segment_key: str
    name: str
    distance: float
    model_version: int
    snapshot_id: str


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """One row of a segmentation run, as it is written.

    Attributes:
        assignment: Where the customer belongs.
        features: Little-endian float32 values in schema order.
        days_since: Days since the last purchase.
        purchase_days: Purchase-days in all.
        spend_minor: Money spent so far, minor units.
    """

    assignment: Assignment
    features: bytes
    days_since: float
    purchase_days: int
    spend_minor: int


@dataclass(frozen=True)
class SegmentationRun:
    """One pass over all customers; times aware, UTC.

    Attributes:
        cursor: Last customer assigned; None before the first chunk.
        data_revision: Revision of the data that its chunks were made of; None before the first one.
        restarts: How often an import came in between, so that it began anew.
        excluded_no_consent: Customers with features left out because they may not be segmented.
    """

    run_id: SegmentationRunId
    state: WorkState
    progress_ratio: float
    model_version: int
    customers: int
    as_of: date | None
    currency: str
    current: bool
    cursor: UUID | None
    error_reason: str
    error_message: str
    created_at: datetime
    ended_at: datetime | None
    data_revision: int | None = None
    restarts: int = 0
    excluded_no_consent: int = 0


@dataclass(frozen=True)
class SegmentProfile:
    """A segment of a run and what its members have in common.

    Attributes:
        segment_key: Key, such as ``s1``.
        name: Name, unique in its run.
        sentence: One sentence of numbers.
        size: Customers in it.
        share_ratio: Share of all customers.
        spend_minor: Money they spent so far, minor units.
        spend_share_ratio: Share of all spend.
        median_days_since: Median days since the last purchase.
        mean_purchase_days: Mean purchase-days per customer.
        mean_spend_per_day: Mean money per purchase-day, major units.
    """

    segment_key: str
    name: str
    sentence: str
    size: int
    share_ratio: float
    spend_minor: int
    spend_share_ratio: float
    median_days_since: float
    mean_purchase_days: float
    mean_spend_per_day: float


@dataclass(frozen=True)
class Attribution:
    """Share of one feature: contribution in log space, factor its exponential; value None when missing."""

    feature: str
    value: float | None
    unit: str
    contribution: float

    @property
    def factor(self) -> float:
        """What the feature multiplies the value by."""
        return math.exp(self.contribution)


@dataclass(frozen=True)
class Explanation:
    """Why one prediction is what it is; everything but ``value`` in log space.

    Attributes:
        customer_id: None for a vector.
        external_id: Empty for a vector.
        value: Predicted value as ``Predict`` gives it.
        unit: Its unit.
        horizon_days: Days looked ahead.
        base_value: Expected log value.
        attributions: Strongest first.
        other_contribution: Sum of those left out.
        additivity_residual: What the explained model gives - base - all contributions.
        model_version: Version.
        snapshot_id: Digest of the features used.
        surrogate_residual: log(value) - what the explained model gives.
        fidelity_r2: Share of the variance of log(value) that the explained model reproduces.
    """

    customer_id: CustomerId | None
    external_id: str
    value: float
    unit: str
    horizon_days: int
    base_value: float
    attributions: tuple[Attribution, ...]
    other_contribution: float
    additivity_residual: float
    model_version: int
    snapshot_id: str
    surrogate_residual: float
    fidelity_r2: float


class SubjectsInvalid(InvalidArgument):
    """Neither or both of customers and vectors."""

    def __init__(self) -> None:
        text = "give either customers or vectors, at least one and not both"
        super().__init__(text, violations=(Violation("customers", text), Violation("vectors", text)))


class VectorInvalid(InvalidArgument):
    """A feature vector that does not keep to the schema; ``column`` is empty when its length is wrong."""

    def __init__(self, row: int, position: int | None, column: str, reason: str, why: str) -> None:
        path = f"vectors[{row}]" if position is None else f"vectors[{row}].values[{position}]"
        named = f" ({column})" if column else ""
        super().__init__(
            f"{path}{named}: {why}",
            reason=reason,
            metadata={"column": column} if column else {},
            violations=(Violation(path, f"{column}: {why}" if column else why),),
        )


class MethodUnsupported(InvalidArgument):
    """The method cannot explain what is asked; ``why`` says what can."""

    reason = "METHOD_UNSUPPORTED"

    def __init__(self, why: str) -> None:
        super().__init__(why, violations=(Violation("method", why),))


class ResourceMissing(NotFound):
    """No such row, or another tenant's; names the field of the request."""

    def __init__(self, field_path: str) -> None:
        text = f"{field_path}: not found"
        super().__init__(
            text, violations=(Violation(field_path, "not found"),), metadata={"field": field_path}
        )


class RunNotPublished(FailedPrecondition):
    """There is no published segmentation yet, or the run named has not ended."""

    reason = "RUN_NOT_PUBLISHED"

    def __init__(self) -> None:
        super().__init__("no segmentation is published yet; start one, or wait until it has ended")


class TrainingInProgress(FailedPrecondition):
    """A training of this model is already under way."""

    reason = "TRAINING_IN_PROGRESS"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"a training of {model} is under way; wait until it has ended", metadata={"model": model}
        )


class AsOfInFuture(InvalidArgument):
    """The day asked for is behind the last day of data."""

    reason = "AS_OF_IN_FUTURE"

    def __init__(self, as_of: date, last_day: date) -> None:
        text = f"is {as_of}, the data ends on {last_day}; give that day or an earlier one"
        super().__init__(
            f"as_of {text}", metadata={"last_day": str(last_day)}, violations=(Violation("as_of", text),)
        )


class HistoryTooShort(FailedPrecondition):
    """Too few customers to train on."""

    reason = "HISTORY_TOO_SHORT"

    def __init__(self, customers: int, needed: int) -> None:
        super().__init__(
            f"a training needs {needed} {_customers(needed)} with purchases, there "
            f"{'is' if customers == 1 else 'are'} {customers}; import more",
            metadata={"customers": str(customers), "needed": str(needed)},
        )


def _customers(count: int) -> str:
    return "customer" if count == 1 else "customers"


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_LATEST = datetime.fromisoformat("9999-12-31T00:00:00+00:00")
_LATEST_MS = (_LATEST - _EPOCH) // timedelta(milliseconds=1)


def created_at_of(identifier: UUID) -> datetime:
    """The time in a UUIDv7, in milliseconds; rows are stored under it, so an id leads to its partition.

    An identifier that is none of ours can name a time that there is not: it gets the latest, without rows.
    """
    return _EPOCH + timedelta(milliseconds=min(identifier.int >> 80, _LATEST_MS))
