"""Messages of AnalyticsService to values of the domain and back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from uuid import UUID

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from cohortlens.analytics.methods import Method
from cohortlens.analytics.models import (
    Assignment,
    Prediction,
    ResourceMissing,
    SegmentationRun,
    SegmentProfile,
    StoredPrediction,
    Subjects,
    Task,
    Vectors,
    WorkState,
)
from cohortlens.analytics.options import DEFAULT_OPTIONS, Basis, Loss, PredictionOptions
from cohortlens.contracts.asks import DEFAULT_DISCOUNT, DEFAULT_LEVEL
from cohortlens.contracts.features import FeatureColumn, FeatureSchema, snapshot_id
from cohortlens.contracts.sequences import FEATURE_COLUMNS, SEQUENCE, split
from cohortlens.core.errors import CohortLensError, InvalidArgument, Violation
from cohortlens.core.ids import parse_uuid
from cohortlens.customers.models import FeatureRows
from cohortlens.v1 import analytics_pb2 as pb
from cohortlens.v1 import common_pb2
from gateway.wire.vectors import Matrix, VectorRequest

_TASKS = {getattr(pb, f"PREDICTION_TASK_{task.value}"): task for task in Task}
_LOSSES = {pb.PREDICTION_LOSS_UNSPECIFIED: Loss.RMSE} | {
    getattr(pb, f"PREDICTION_LOSS_{loss.value}"): loss for loss in Loss
}
LOSS_NUMBERS: dict[Loss, pb.PredictionLoss] = {loss: number for number, loss in _LOSSES.items()}
BASIS_NUMBERS: dict[Basis, pb.PredictionBasis] = {
    basis: getattr(pb, f"PREDICTION_BASIS_{basis.value}") for basis in Basis
}
TASK_NUMBERS = {task: number for number, task in _TASKS.items()}
METHOD_NUMBERS = {
    Method.SHAP: pb.EXPLANATION_METHOD_SHAP,
    Method.LIME: pb.EXPLANATION_METHOD_LIME,
    Method.COUNTERFACTUAL: pb.EXPLANATION_METHOD_COUNTERFACTUAL,
}
_STATES: dict[WorkState, common_pb2.WorkState] = {
    state: getattr(common_pb2, f"WORK_STATE_{state.value}") for state in WorkState
}


def task_of(number: int) -> Task:
    """The task that a request names.

    Raises:
        InvalidArgument: No such task.
    """
    task = _TASKS.get(number)
    if task is None:
        text = f"must be one of {', '.join(f'PREDICTION_TASK_{task.value}' for task in Task)}"
        raise InvalidArgument(f"task {text}", violations=(Violation("task", text),))
    return task


def options_of(message: Any) -> PredictionOptions:
    """How a request asks for predictions: level of the interval, loss, discount.

    Raises:
        InvalidArgument: No such loss.
    """
    is_discounted = message.HasField("annual_discount_ratio")
    if not (message.level_ratio or message.loss or is_discounted):
        return DEFAULT_OPTIONS
    loss = _LOSSES.get(message.loss)
    if loss is None:
        text = "must be PREDICTION_LOSS_RMSE or PREDICTION_LOSS_MAE"
        raise InvalidArgument(f"loss {text}", violations=(Violation("loss", text),))
    return PredictionOptions(
        message.level_ratio or DEFAULT_LEVEL,
        loss,
        message.annual_discount_ratio if is_discounted else DEFAULT_DISCOUNT,
    )


def identifier_of(field: str, text: str) -> UUID:
    """The UUID of a required field.

    Raises:
        ResourceMissing: The text is none, so it names nothing that exists.
    """
    found = parse_uuid(text)
    if found is None:
        raise ResourceMissing(field)
    return found


def optional_identifier(field: str, text: str) -> UUID | None:
    """As ``identifier_of``; None for a field that was left out."""
    return identifier_of(field, text) if text else None


def subjects_of(
    message: pb.PredictRequest | pb.SegmentRequest | pb.ExplainRequest, vectors: Matrix | None
) -> Subjects:
    """What a request is about.

    Args:
        message: The request.
        vectors: Its vectors if they were read in bulk; None when they stand in the message.
    """
    return Subjects(
        tuple(message.customers),
        vectors_of(message, vectors),
        message.schema_hash,
    )


def vectors_of(message: Any, vectors: Matrix | None) -> Vectors:
    """The vectors of a request: those read in bulk, or those that stand in the message."""
    return [vector.values for vector in message.vectors] if vectors is None else vectors


def opened(request: Any) -> tuple[Any, Matrix | None]:
    """A request as the ``validate`` step gives it: the message, and its vectors if they stand beside it."""
    return request if isinstance(request, VectorRequest) else (request, None)


def prediction_message(one: Prediction) -> pb.Prediction:
    """A prediction; the fields of a stored row stay empty for a vector."""
    return pb.Prediction(
        prediction=_text(one.prediction_id),
        customer=_text(one.customer_id),
        external_id=one.external_id,
        task=TASK_NUMBERS[one.task],
        horizon_days=one.horizon_days,
        value=one.value,
        lower=one.lower,
        upper=one.upper,
        level_ratio=one.level_ratio,
        unit=one.unit,
        model_version=one.model_version,
        snapshot_id=one.snapshot_id,
        data_as_of=day_text(one.as_of),
        create_time=timestamp(one.created_at),
        basis=BASIS_NUMBERS[one.basis],
        loss=LOSS_NUMBERS[one.loss],
        annual_discount_ratio=one.annual_discount_ratio,
    )


def stored_prediction_message(stored: StoredPrediction) -> pb.GetPredictionResponse:
    """A stored prediction with the features it was made of."""
    values = np.frombuffer(stored.features, "<f4").tolist()
    sequence = values[FEATURE_COLUMNS:]
    return pb.GetPredictionResponse(
        prediction=prediction_message(stored.prediction),
        features=pb.FeatureVector(values=values[:FEATURE_COLUMNS]),
        schema_hash=stored.schema_hash,
        sequence=pb.FeatureVector(values=sequence) if sequence else None,
    )


def assignment_message(one: Assignment) -> pb.SegmentAssignment:
    """An assignment to a segment."""
    return pb.SegmentAssignment(
        customer=_text(one.customer_id),
        external_id=one.external_id,
        segment=one.segment_key,
        name=one.name,
        distance=one.distance,
        model_version=one.model_version,
        snapshot_id=one.snapshot_id,
    )


def run_message(run: SegmentationRun) -> pb.SegmentationRun:
    """A segmentation run."""
    return pb.SegmentationRun(
        run=str(run.run_id),
        state=state_number(run.state),
        progress_ratio=run.progress_ratio,
        model_version=run.model_version,
        customers=run.customers,
        data_as_of=day_text(run.as_of),
        published=run.current,
        error=work_error(run.error_reason, run.error_message),
        create_time=timestamp(run.created_at),
        end_time=timestamp(run.ended_at),
        excluded_no_consent=run.excluded_no_consent,
    )


def segments_message(run: SegmentationRun, profiles: Iterable[SegmentProfile]) -> pb.ListSegmentsResponse:
    """The segments of a run."""
    return pb.ListSegmentsResponse(
        run=run_message(run),
        segments=[
            pb.Segment(
                segment=one.segment_key,
                name=one.name,
                sentence=one.sentence,
                customers=one.size,
                share_ratio=one.share_ratio,
                spend_minor=one.spend_minor,
                spend_share_ratio=one.spend_share_ratio,
                currency=run.currency,
                median_days_since=one.median_days_since,
                mean_purchase_days=one.mean_purchase_days,
                mean_spend_per_day=one.mean_spend_per_day,
            )
            for one in profiles
        ],
    )


def schema_message(schema: FeatureSchema, sequence: FeatureSchema) -> pb.GetFeatureSchemaResponse:
    """The feature schema, and that of the weekly sequence."""
    return pb.GetFeatureSchemaResponse(
        name=schema.name,
        version=schema.version,
        schema_hash=schema.hash,
        columns=[_column_message(column) for column in schema.columns],
        sequence_columns=[_column_message(column) for column in sequence.columns],
        sequence_hash=sequence.hash,
    )


def _column_message(column: FeatureColumn) -> pb.FeatureColumn:
    return pb.FeatureColumn(
        name=column.name,
        unit=column.unit,
        min=column.minimum,
        max=column.maximum,
        nullable=column.nullable,
        description=column.description,
    )


def features_message(rows: FeatureRows) -> pb.GetFeaturesResponse:
    """The features of one customer, read wide."""
    features, sequence = split(rows.matrix)
    assert sequence is not None
    return pb.GetFeaturesResponse(
        customer=str(rows.customer_ids[0]),
        features=pb.FeatureVector(values=features[0].tolist()),
        schema_hash=rows.schema_hash,
        snapshot_id=snapshot_id(rows.schema_hash, features[0]),
        data_as_of=day_text(rows.as_of),
        sequence=pb.FeatureVector(values=sequence[0].ravel().tolist()),
        sequence_hash=SEQUENCE.hash,
    )


def state_number(state: WorkState) -> common_pb2.WorkState:
    """A state as the enum's number."""
    return _STATES[state]


def work_error(reason: str, message: str) -> common_pb2.WorkError | None:
    """Why long work failed; None when it did not."""
    return common_pb2.WorkError(reason=reason, message=message) if reason else None


def fault_message(error: CohortLensError) -> pb.RequestFault:
    """A fault of one message of a stream."""
    return pb.RequestFault(
        code=int(error.code),
        reason=error.reason,
        message=error.message.encode("utf-8", "replace").decode("utf-8"),
        violations=[pb.FieldFault(field=one.field, description=one.description) for one in error.violations],
        retry_delay_s=error.retry_delay_s or 0.0,
    )


def timestamp(at: datetime | None) -> Timestamp | None:
    """A time as a message; None stays absent."""
    if at is None:
        return None
    return Timestamp(seconds=math.floor(at.timestamp()), nanos=at.microsecond * 1000)


def day_text(day: date | None) -> str:
    """YYYY-MM-DD, or empty."""
    return "" if day is None else day.isoformat()


def _text(identifier: object) -> str:
    return "" if identifier is None else str(identifier)
