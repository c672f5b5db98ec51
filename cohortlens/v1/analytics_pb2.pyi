import datetime

from cohortlens.v1 import cohorts_pb2 as _cohorts_pb2
from cohortlens.v1 import common_pb2 as _common_pb2
from cohortlens.v1 import drift_pb2 as _drift_pb2
from cohortlens.v1 import explanations_pb2 as _explanations_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PredictionTask(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREDICTION_TASK_UNSPECIFIED: _ClassVar[PredictionTask]
    PREDICTION_TASK_PURCHASES: _ClassVar[PredictionTask]
    PREDICTION_TASK_SPEND: _ClassVar[PredictionTask]
    PREDICTION_TASK_CHURN: _ClassVar[PredictionTask]
    PREDICTION_TASK_CLV: _ClassVar[PredictionTask]

class PredictionLoss(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREDICTION_LOSS_UNSPECIFIED: _ClassVar[PredictionLoss]
    PREDICTION_LOSS_RMSE: _ClassVar[PredictionLoss]
    PREDICTION_LOSS_MAE: _ClassVar[PredictionLoss]

class PredictionBasis(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREDICTION_BASIS_UNSPECIFIED: _ClassVar[PredictionBasis]
    PREDICTION_BASIS_BLEND: _ClassVar[PredictionBasis]
    PREDICTION_BASIS_BLEND_NO_SEQUENCE: _ClassVar[PredictionBasis]
    PREDICTION_BASIS_BTYD: _ClassVar[PredictionBasis]
    PREDICTION_BASIS_POPULATION_MEAN: _ClassVar[PredictionBasis]
    PREDICTION_BASIS_BOOSTING: _ClassVar[PredictionBasis]

class ExplanationMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPLANATION_METHOD_UNSPECIFIED: _ClassVar[ExplanationMethod]
    EXPLANATION_METHOD_SHAP: _ClassVar[ExplanationMethod]
    EXPLANATION_METHOD_LIME: _ClassVar[ExplanationMethod]
    EXPLANATION_METHOD_COUNTERFACTUAL: _ClassVar[ExplanationMethod]

class ExplanationSpace(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPLANATION_SPACE_UNSPECIFIED: _ClassVar[ExplanationSpace]
    EXPLANATION_SPACE_LOG: _ClassVar[ExplanationSpace]
PREDICTION_TASK_UNSPECIFIED: PredictionTask
PREDICTION_TASK_PURCHASES: PredictionTask
PREDICTION_TASK_SPEND: PredictionTask
PREDICTION_TASK_CHURN: PredictionTask
PREDICTION_TASK_CLV: PredictionTask
PREDICTION_LOSS_UNSPECIFIED: PredictionLoss
PREDICTION_LOSS_RMSE: PredictionLoss
PREDICTION_LOSS_MAE: PredictionLoss
PREDICTION_BASIS_UNSPECIFIED: PredictionBasis
PREDICTION_BASIS_BLEND: PredictionBasis
PREDICTION_BASIS_BLEND_NO_SEQUENCE: PredictionBasis
PREDICTION_BASIS_BTYD: PredictionBasis
PREDICTION_BASIS_POPULATION_MEAN: PredictionBasis
PREDICTION_BASIS_BOOSTING: PredictionBasis
EXPLANATION_METHOD_UNSPECIFIED: ExplanationMethod
EXPLANATION_METHOD_SHAP: ExplanationMethod
EXPLANATION_METHOD_LIME: ExplanationMethod
EXPLANATION_METHOD_COUNTERFACTUAL: ExplanationMethod
EXPLANATION_SPACE_UNSPECIFIED: ExplanationSpace
EXPLANATION_SPACE_LOG: ExplanationSpace

class FeatureVector(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("task", "customers", "vectors", "horizon_days", "schema_hash", "request_id", "level_ratio", "loss", "annual_discount_ratio")
    TASK_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LEVEL_RATIO_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    ANNUAL_DISCOUNT_RATIO_FIELD_NUMBER: _ClassVar[int]
    task: PredictionTask
    customers: _containers.RepeatedScalarFieldContainer[str]
    vectors: _containers.RepeatedCompositeFieldContainer[FeatureVector]
    horizon_days: int
    schema_hash: str
    request_id: str
    level_ratio: float
    loss: PredictionLoss
    annual_discount_ratio: float
    def __init__(self, task: _Optional[_Union[PredictionTask, str]] = ..., customers: _Optional[_Iterable[str]] = ..., vectors: _Optional[_Iterable[_Union[FeatureVector, _Mapping]]] = ..., horizon_days: _Optional[int] = ..., schema_hash: _Optional[str] = ..., request_id: _Optional[str] = ..., level_ratio: _Optional[float] = ..., loss: _Optional[_Union[PredictionLoss, str]] = ..., annual_discount_ratio: _Optional[float] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("prediction", "customer", "external_id", "task", "horizon_days", "value", "lower", "upper", "level_ratio", "unit", "model_version", "snapshot_id", "data_as_of", "create_time", "basis", "loss", "annual_discount_ratio")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    LEVEL_RATIO_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_AS_OF_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    ANNUAL_DISCOUNT_RATIO_FIELD_NUMBER: _ClassVar[int]
    prediction: str
    customer: str
    external_id: str
    task: PredictionTask
    horizon_days: int
    value: float
    lower: float
    upper: float
    level_ratio: float
    unit: str
    model_version: int
    snapshot_id: str
    data_as_of: str
    create_time: _timestamp_pb2.Timestamp
    basis: PredictionBasis
    loss: PredictionLoss
    annual_discount_ratio: float
    def __init__(self, prediction: _Optional[str] = ..., customer: _Optional[str] = ..., external_id: _Optional[str] = ..., task: _Optional[_Union[PredictionTask, str]] = ..., horizon_days: _Optional[int] = ..., value: _Optional[float] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., level_ratio: _Optional[float] = ..., unit: _Optional[str] = ..., model_version: _Optional[int] = ..., snapshot_id: _Optional[str] = ..., data_as_of: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., basis: _Optional[_Union[PredictionBasis, str]] = ..., loss: _Optional[_Union[PredictionLoss, str]] = ..., annual_discount_ratio: _Optional[float] = ...) -> None: ...

class PredictResponse(_message.Message):
    __slots__ = ("predictions", "excluded_no_consent")
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_NO_CONSENT_FIELD_NUMBER: _ClassVar[int]
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    excluded_no_consent: int
    def __init__(self, predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., excluded_no_consent: _Optional[int] = ...) -> None: ...

class PredictStreamRequest(_message.Message):
    __slots__ = ("correlation_id", "task", "vectors", "horizon_days", "schema_hash", "level_ratio", "loss", "annual_discount_ratio")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    LEVEL_RATIO_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    ANNUAL_DISCOUNT_RATIO_FIELD_NUMBER: _ClassVar[int]
    correlation_id: str
    task: PredictionTask
    vectors: _containers.RepeatedCompositeFieldContainer[FeatureVector]
    horizon_days: int
    schema_hash: str
    level_ratio: float
    loss: PredictionLoss
    annual_discount_ratio: float
    def __init__(self, correlation_id: _Optional[str] = ..., task: _Optional[_Union[PredictionTask, str]] = ..., vectors: _Optional[_Iterable[_Union[FeatureVector, _Mapping]]] = ..., horizon_days: _Optional[int] = ..., schema_hash: _Optional[str] = ..., level_ratio: _Optional[float] = ..., loss: _Optional[_Union[PredictionLoss, str]] = ..., annual_discount_ratio: _Optional[float] = ...) -> None: ...

class FieldFault(_message.Message):
    __slots__ = ("field", "description")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    field: str
    description: str
    def __init__(self, field: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class RequestFault(_message.Message):
    __slots__ = ("code", "reason", "message", "violations", "retry_delay_s")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_S_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    message: str
    violations: _containers.RepeatedCompositeFieldContainer[FieldFault]
    retry_delay_s: float
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., violations: _Optional[_Iterable[_Union[FieldFault, _Mapping]]] = ..., retry_delay_s: _Optional[float] = ...) -> None: ...

class PredictStreamResponse(_message.Message):
    __slots__ = ("predictions", "correlation_id", "position", "fault")
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    correlation_id: str
    position: int
    fault: RequestFault
    def __init__(self, predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., correlation_id: _Optional[str] = ..., position: _Optional[int] = ..., fault: _Optional[_Union[RequestFault, _Mapping]] = ...) -> None: ...

class TensorHeader(_message.Message):
    __slots__ = ("task", "horizon_days", "schema_hash", "columns", "model_version", "level_ratio", "loss", "annual_discount_ratio")
    TASK_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    LEVEL_RATIO_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    ANNUAL_DISCOUNT_RATIO_FIELD_NUMBER: _ClassVar[int]
    task: PredictionTask
    horizon_days: int
    schema_hash: str
    columns: _containers.RepeatedScalarFieldContainer[str]
    model_version: int
    level_ratio: float
    loss: PredictionLoss
    annual_discount_ratio: float
    def __init__(self, task: _Optional[_Union[PredictionTask, str]] = ..., horizon_days: _Optional[int] = ..., schema_hash: _Optional[str] = ..., columns: _Optional[_Iterable[str]] = ..., model_version: _Optional[int] = ..., level_ratio: _Optional[float] = ..., loss: _Optional[_Union[PredictionLoss, str]] = ..., annual_discount_ratio: _Optional[float] = ...) -> None: ...

class TensorChunk(_message.Message):
    __slots__ = ("sequence", "rows", "values")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    rows: int
    values: bytes
    def __init__(self, sequence: _Optional[int] = ..., rows: _Optional[int] = ..., values: _Optional[bytes] = ...) -> None: ...

class ScoreTensorRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: TensorHeader
    chunk: TensorChunk
    def __init__(self, header: _Optional[_Union[TensorHeader, _Mapping]] = ..., chunk: _Optional[_Union[TensorChunk, _Mapping]] = ...) -> None: ...

class ScoreTensorResponse(_message.Message):
    __slots__ = ("sequence", "rows", "value", "lower", "upper", "model_version", "basis")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    rows: int
    value: bytes
    lower: bytes
    upper: bytes
    model_version: int
    basis: PredictionBasis
    def __init__(self, sequence: _Optional[int] = ..., rows: _Optional[int] = ..., value: _Optional[bytes] = ..., lower: _Optional[bytes] = ..., upper: _Optional[bytes] = ..., model_version: _Optional[int] = ..., basis: _Optional[_Union[PredictionBasis, str]] = ...) -> None: ...

class SegmentRequest(_message.Message):
    __slots__ = ("customers", "vectors", "schema_hash", "request_id")
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    customers: _containers.RepeatedScalarFieldContainer[str]
    vectors: _containers.RepeatedCompositeFieldContainer[FeatureVector]
    schema_hash: str
    request_id: str
    def __init__(self, customers: _Optional[_Iterable[str]] = ..., vectors: _Optional[_Iterable[_Union[FeatureVector, _Mapping]]] = ..., schema_hash: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SegmentAssignment(_message.Message):
    __slots__ = ("customer", "external_id", "segment", "name", "distance", "model_version", "snapshot_id")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    customer: str
    external_id: str
    segment: str
    name: str
    distance: float
    model_version: int
    snapshot_id: str
    def __init__(self, customer: _Optional[str] = ..., external_id: _Optional[str] = ..., segment: _Optional[str] = ..., name: _Optional[str] = ..., distance: _Optional[float] = ..., model_version: _Optional[int] = ..., snapshot_id: _Optional[str] = ...) -> None: ...

class SegmentResponse(_message.Message):
    __slots__ = ("assignments", "excluded_no_consent")
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_NO_CONSENT_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[SegmentAssignment]
    excluded_no_consent: int
    def __init__(self, assignments: _Optional[_Iterable[_Union[SegmentAssignment, _Mapping]]] = ..., excluded_no_consent: _Optional[int] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("task", "customers", "vectors", "horizon_days", "schema_hash", "method", "top", "request_id", "prediction", "interventional", "seed", "goal")
    TASK_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    INTERVENTIONAL_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    GOAL_FIELD_NUMBER: _ClassVar[int]
    task: PredictionTask
    customers: _containers.RepeatedScalarFieldContainer[str]
    vectors: _containers.RepeatedCompositeFieldContainer[FeatureVector]
    horizon_days: int
    schema_hash: str
    method: ExplanationMethod
    top: int
    request_id: str
    prediction: str
    interventional: bool
    seed: int
    goal: _explanations_pb2.CounterfactualGoal
    def __init__(self, task: _Optional[_Union[PredictionTask, str]] = ..., customers: _Optional[_Iterable[str]] = ..., vectors: _Optional[_Iterable[_Union[FeatureVector, _Mapping]]] = ..., horizon_days: _Optional[int] = ..., schema_hash: _Optional[str] = ..., method: _Optional[_Union[ExplanationMethod, str]] = ..., top: _Optional[int] = ..., request_id: _Optional[str] = ..., prediction: _Optional[str] = ..., interventional: _Optional[bool] = ..., seed: _Optional[int] = ..., goal: _Optional[_Union[_explanations_pb2.CounterfactualGoal, _Mapping]] = ...) -> None: ...

class Attribution(_message.Message):
    __slots__ = ("feature", "value", "unit", "contribution", "factor")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    feature: str
    value: float
    unit: str
    contribution: float
    factor: float
    def __init__(self, feature: _Optional[str] = ..., value: _Optional[float] = ..., unit: _Optional[str] = ..., contribution: _Optional[float] = ..., factor: _Optional[float] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("customer", "external_id", "value", "unit", "horizon_days", "space", "base_value", "attributions", "other_contribution", "additivity_residual", "model_version", "snapshot_id", "method", "surrogate_residual", "fidelity_r2", "lime", "counterfactual")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    BASE_VALUE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    OTHER_CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    ADDITIVITY_RESIDUAL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    SURROGATE_RESIDUAL_FIELD_NUMBER: _ClassVar[int]
    FIDELITY_R2_FIELD_NUMBER: _ClassVar[int]
    LIME_FIELD_NUMBER: _ClassVar[int]
    COUNTERFACTUAL_FIELD_NUMBER: _ClassVar[int]
    customer: str
    external_id: str
    value: float
    unit: str
    horizon_days: int
    space: ExplanationSpace
    base_value: float
    attributions: _containers.RepeatedCompositeFieldContainer[Attribution]
    other_contribution: float
    additivity_residual: float
    model_version: int
    snapshot_id: str
    method: ExplanationMethod
    surrogate_residual: float
    fidelity_r2: float
    lime: _explanations_pb2.LimeFit
    counterfactual: _explanations_pb2.Counterfactual
    def __init__(self, customer: _Optional[str] = ..., external_id: _Optional[str] = ..., value: _Optional[float] = ..., unit: _Optional[str] = ..., horizon_days: _Optional[int] = ..., space: _Optional[_Union[ExplanationSpace, str]] = ..., base_value: _Optional[float] = ..., attributions: _Optional[_Iterable[_Union[Attribution, _Mapping]]] = ..., other_contribution: _Optional[float] = ..., additivity_residual: _Optional[float] = ..., model_version: _Optional[int] = ..., snapshot_id: _Optional[str] = ..., method: _Optional[_Union[ExplanationMethod, str]] = ..., surrogate_residual: _Optional[float] = ..., fidelity_r2: _Optional[float] = ..., lime: _Optional[_Union[_explanations_pb2.LimeFit, _Mapping]] = ..., counterfactual: _Optional[_Union[_explanations_pb2.Counterfactual, _Mapping]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("explanations", "excluded_no_consent")
    EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_NO_CONSENT_FIELD_NUMBER: _ClassVar[int]
    explanations: _containers.RepeatedCompositeFieldContainer[Explanation]
    excluded_no_consent: int
    def __init__(self, explanations: _Optional[_Iterable[_Union[Explanation, _Mapping]]] = ..., excluded_no_consent: _Optional[int] = ...) -> None: ...

class GetPredictionRequest(_message.Message):
    __slots__ = ("prediction",)
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    prediction: str
    def __init__(self, prediction: _Optional[str] = ...) -> None: ...

class GetPredictionResponse(_message.Message):
    __slots__ = ("prediction", "features", "schema_hash", "sequence")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    features: FeatureVector
    schema_hash: str
    sequence: FeatureVector
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., features: _Optional[_Union[FeatureVector, _Mapping]] = ..., schema_hash: _Optional[str] = ..., sequence: _Optional[_Union[FeatureVector, _Mapping]] = ...) -> None: ...

class ListPredictionsRequest(_message.Message):
    __slots__ = ("customer", "task", "page_size", "page_token")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    customer: str
    task: PredictionTask
    page_size: int
    page_token: str
    def __init__(self, customer: _Optional[str] = ..., task: _Optional[_Union[PredictionTask, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPredictionsResponse(_message.Message):
    __slots__ = ("predictions", "next_page_token")
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    next_page_token: str
    def __init__(self, predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PredictBatchRequest(_message.Message):
    __slots__ = ("task", "horizon_days", "all_customers", "input", "request_id", "level_ratio", "loss", "annual_discount_ratio")
    TASK_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    ALL_CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LEVEL_RATIO_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    ANNUAL_DISCOUNT_RATIO_FIELD_NUMBER: _ClassVar[int]
    task: PredictionTask
    horizon_days: int
    all_customers: bool
    input: str
    request_id: str
    level_ratio: float
    loss: PredictionLoss
    annual_discount_ratio: float
    def __init__(self, task: _Optional[_Union[PredictionTask, str]] = ..., horizon_days: _Optional[int] = ..., all_customers: _Optional[bool] = ..., input: _Optional[str] = ..., request_id: _Optional[str] = ..., level_ratio: _Optional[float] = ..., loss: _Optional[_Union[PredictionLoss, str]] = ..., annual_discount_ratio: _Optional[float] = ...) -> None: ...

class BatchPrediction(_message.Message):
    __slots__ = ("batch", "state", "progress_ratio", "rows", "rows_done", "rows_skipped", "task", "horizon_days", "unit", "model_version", "data_as_of", "input", "result_sha256", "result_bytes", "files_removed", "error", "create_time", "end_time", "level_ratio", "loss", "annual_discount_ratio", "excluded_no_consent")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_RATIO_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ROWS_DONE_FIELD_NUMBER: _ClassVar[int]
    ROWS_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    DATA_AS_OF_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    RESULT_SHA256_FIELD_NUMBER: _ClassVar[int]
    RESULT_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILES_REMOVED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_RATIO_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    ANNUAL_DISCOUNT_RATIO_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_NO_CONSENT_FIELD_NUMBER: _ClassVar[int]
    batch: str
    state: _common_pb2.WorkState
    progress_ratio: float
    rows: int
    rows_done: int
    rows_skipped: int
    task: PredictionTask
    horizon_days: int
    unit: str
    model_version: int
    data_as_of: str
    input: str
    result_sha256: str
    result_bytes: int
    files_removed: bool
    error: _common_pb2.WorkError
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    level_ratio: float
    loss: PredictionLoss
    annual_discount_ratio: float
    excluded_no_consent: int
    def __init__(self, batch: _Optional[str] = ..., state: _Optional[_Union[_common_pb2.WorkState, str]] = ..., progress_ratio: _Optional[float] = ..., rows: _Optional[int] = ..., rows_done: _Optional[int] = ..., rows_skipped: _Optional[int] = ..., task: _Optional[_Union[PredictionTask, str]] = ..., horizon_days: _Optional[int] = ..., unit: _Optional[str] = ..., model_version: _Optional[int] = ..., data_as_of: _Optional[str] = ..., input: _Optional[str] = ..., result_sha256: _Optional[str] = ..., result_bytes: _Optional[int] = ..., files_removed: _Optional[bool] = ..., error: _Optional[_Union[_common_pb2.WorkError, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., level_ratio: _Optional[float] = ..., loss: _Optional[_Union[PredictionLoss, str]] = ..., annual_discount_ratio: _Optional[float] = ..., excluded_no_consent: _Optional[int] = ...) -> None: ...

class PredictBatchResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: BatchPrediction
    def __init__(self, batch: _Optional[_Union[BatchPrediction, _Mapping]] = ...) -> None: ...

class GetBatchPredictionRequest(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: str
    def __init__(self, batch: _Optional[str] = ...) -> None: ...

class GetBatchPredictionResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: BatchPrediction
    def __init__(self, batch: _Optional[_Union[BatchPrediction, _Mapping]] = ...) -> None: ...

class ListBatchPredictionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBatchPredictionsResponse(_message.Message):
    __slots__ = ("batches", "next_page_token")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[BatchPrediction]
    next_page_token: str
    def __init__(self, batches: _Optional[_Iterable[_Union[BatchPrediction, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelBatchPredictionRequest(_message.Message):
    __slots__ = ("batch", "request_id")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    batch: str
    request_id: str
    def __init__(self, batch: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CancelBatchPredictionResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: BatchPrediction
    def __init__(self, batch: _Optional[_Union[BatchPrediction, _Mapping]] = ...) -> None: ...

class BatchInputOptions(_message.Message):
    __slots__ = ("file_name", "id_column", "request_id")
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    ID_COLUMN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    file_name: str
    id_column: str
    request_id: str
    def __init__(self, file_name: _Optional[str] = ..., id_column: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UploadBatchInputRequest(_message.Message):
    __slots__ = ("options", "chunk")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    options: BatchInputOptions
    chunk: bytes
    def __init__(self, options: _Optional[_Union[BatchInputOptions, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class BatchInput(_message.Message):
    __slots__ = ("input", "rows", "file_name", "file_bytes", "file_sha256", "schema_hash", "create_time")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILE_SHA256_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    input: str
    rows: int
    file_name: str
    file_bytes: int
    file_sha256: str
    schema_hash: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, input: _Optional[str] = ..., rows: _Optional[int] = ..., file_name: _Optional[str] = ..., file_bytes: _Optional[int] = ..., file_sha256: _Optional[str] = ..., schema_hash: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UploadBatchInputResponse(_message.Message):
    __slots__ = ("input",)
    INPUT_FIELD_NUMBER: _ClassVar[int]
    input: BatchInput
    def __init__(self, input: _Optional[_Union[BatchInput, _Mapping]] = ...) -> None: ...

class GetBatchInputRequest(_message.Message):
    __slots__ = ("input",)
    INPUT_FIELD_NUMBER: _ClassVar[int]
    input: str
    def __init__(self, input: _Optional[str] = ...) -> None: ...

class GetBatchInputResponse(_message.Message):
    __slots__ = ("input",)
    INPUT_FIELD_NUMBER: _ClassVar[int]
    input: BatchInput
    def __init__(self, input: _Optional[_Union[BatchInput, _Mapping]] = ...) -> None: ...

class DownloadBatchResultRequest(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: str
    def __init__(self, batch: _Optional[str] = ...) -> None: ...

class StartSegmentationRequest(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    def __init__(self, request_id: _Optional[str] = ...) -> None: ...

class SegmentationRun(_message.Message):
    __slots__ = ("run", "state", "progress_ratio", "model_version", "customers", "data_as_of", "published", "error", "create_time", "end_time", "excluded_no_consent")
    RUN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_RATIO_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    DATA_AS_OF_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_NO_CONSENT_FIELD_NUMBER: _ClassVar[int]
    run: str
    state: _common_pb2.WorkState
    progress_ratio: float
    model_version: int
    customers: int
    data_as_of: str
    published: bool
    error: _common_pb2.WorkError
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    excluded_no_consent: int
    def __init__(self, run: _Optional[str] = ..., state: _Optional[_Union[_common_pb2.WorkState, str]] = ..., progress_ratio: _Optional[float] = ..., model_version: _Optional[int] = ..., customers: _Optional[int] = ..., data_as_of: _Optional[str] = ..., published: _Optional[bool] = ..., error: _Optional[_Union[_common_pb2.WorkError, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., excluded_no_consent: _Optional[int] = ...) -> None: ...

class StartSegmentationResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: SegmentationRun
    def __init__(self, run: _Optional[_Union[SegmentationRun, _Mapping]] = ...) -> None: ...

class GetSegmentationRunRequest(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: str
    def __init__(self, run: _Optional[str] = ...) -> None: ...

class GetSegmentationRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: SegmentationRun
    def __init__(self, run: _Optional[_Union[SegmentationRun, _Mapping]] = ...) -> None: ...

class ListSegmentationRunsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSegmentationRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[SegmentationRun]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[SegmentationRun, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelSegmentationRunRequest(_message.Message):
    __slots__ = ("run", "request_id")
    RUN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run: str
    request_id: str
    def __init__(self, run: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CancelSegmentationRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: SegmentationRun
    def __init__(self, run: _Optional[_Union[SegmentationRun, _Mapping]] = ...) -> None: ...

class CompareSegmentationRunsRequest(_message.Message):
    __slots__ = ("base_run", "run")
    BASE_RUN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    base_run: str
    run: str
    def __init__(self, base_run: _Optional[str] = ..., run: _Optional[str] = ...) -> None: ...

class SegmentMovement(_message.Message):
    __slots__ = ("base_segment", "base_name", "segment", "name", "customers")
    BASE_SEGMENT_FIELD_NUMBER: _ClassVar[int]
    BASE_NAME_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    base_segment: str
    base_name: str
    segment: str
    name: str
    customers: int
    def __init__(self, base_segment: _Optional[str] = ..., base_name: _Optional[str] = ..., segment: _Optional[str] = ..., name: _Optional[str] = ..., customers: _Optional[int] = ...) -> None: ...

class CompareSegmentationRunsResponse(_message.Message):
    __slots__ = ("base_run", "run", "movements", "stayed_ratio", "adjusted_rand_index")
    BASE_RUN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    MOVEMENTS_FIELD_NUMBER: _ClassVar[int]
    STAYED_RATIO_FIELD_NUMBER: _ClassVar[int]
    ADJUSTED_RAND_INDEX_FIELD_NUMBER: _ClassVar[int]
    base_run: SegmentationRun
    run: SegmentationRun
    movements: _containers.RepeatedCompositeFieldContainer[SegmentMovement]
    stayed_ratio: float
    adjusted_rand_index: float
    def __init__(self, base_run: _Optional[_Union[SegmentationRun, _Mapping]] = ..., run: _Optional[_Union[SegmentationRun, _Mapping]] = ..., movements: _Optional[_Iterable[_Union[SegmentMovement, _Mapping]]] = ..., stayed_ratio: _Optional[float] = ..., adjusted_rand_index: _Optional[float] = ...) -> None: ...

class ListSegmentsRequest(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: str
    def __init__(self, run: _Optional[str] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("segment", "name", "sentence", "customers", "share_ratio", "spend_minor", "spend_share_ratio", "currency", "median_days_since", "mean_purchase_days", "mean_spend_per_day")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    SHARE_RATIO_FIELD_NUMBER: _ClassVar[int]
    SPEND_MINOR_FIELD_NUMBER: _ClassVar[int]
    SPEND_SHARE_RATIO_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_DAYS_SINCE_FIELD_NUMBER: _ClassVar[int]
    MEAN_PURCHASE_DAYS_FIELD_NUMBER: _ClassVar[int]
    MEAN_SPEND_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    segment: str
    name: str
    sentence: str
    customers: int
    share_ratio: float
    spend_minor: int
    spend_share_ratio: float
    currency: str
    median_days_since: float
    mean_purchase_days: float
    mean_spend_per_day: float
    def __init__(self, segment: _Optional[str] = ..., name: _Optional[str] = ..., sentence: _Optional[str] = ..., customers: _Optional[int] = ..., share_ratio: _Optional[float] = ..., spend_minor: _Optional[int] = ..., spend_share_ratio: _Optional[float] = ..., currency: _Optional[str] = ..., median_days_since: _Optional[float] = ..., mean_purchase_days: _Optional[float] = ..., mean_spend_per_day: _Optional[float] = ...) -> None: ...

class ListSegmentsResponse(_message.Message):
    __slots__ = ("segments", "run")
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    run: SegmentationRun
    def __init__(self, segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ..., run: _Optional[_Union[SegmentationRun, _Mapping]] = ...) -> None: ...

class ListSegmentMembersRequest(_message.Message):
    __slots__ = ("segment", "run", "page_size", "page_token")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    segment: str
    run: str
    page_size: int
    page_token: str
    def __init__(self, segment: _Optional[str] = ..., run: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSegmentMembersResponse(_message.Message):
    __slots__ = ("members", "next_page_token")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[SegmentAssignment]
    next_page_token: str
    def __init__(self, members: _Optional[_Iterable[_Union[SegmentAssignment, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetFeatureSchemaRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FeatureColumn(_message.Message):
    __slots__ = ("name", "unit", "min", "max", "nullable", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    NULLABLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    unit: str
    min: float
    max: float
    nullable: bool
    description: str
    def __init__(self, name: _Optional[str] = ..., unit: _Optional[str] = ..., min: _Optional[float] = ..., max: _Optional[float] = ..., nullable: _Optional[bool] = ..., description: _Optional[str] = ...) -> None: ...

class GetFeatureSchemaResponse(_message.Message):
    __slots__ = ("name", "version", "schema_hash", "columns", "sequence_columns", "sequence_hash")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_HASH_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    schema_hash: str
    columns: _containers.RepeatedCompositeFieldContainer[FeatureColumn]
    sequence_columns: _containers.RepeatedCompositeFieldContainer[FeatureColumn]
    sequence_hash: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., schema_hash: _Optional[str] = ..., columns: _Optional[_Iterable[_Union[FeatureColumn, _Mapping]]] = ..., sequence_columns: _Optional[_Iterable[_Union[FeatureColumn, _Mapping]]] = ..., sequence_hash: _Optional[str] = ...) -> None: ...

class GetFeaturesRequest(_message.Message):
    __slots__ = ("customer",)
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    customer: str
    def __init__(self, customer: _Optional[str] = ...) -> None: ...

class GetFeaturesResponse(_message.Message):
    __slots__ = ("customer", "features", "schema_hash", "snapshot_id", "data_as_of", "sequence", "sequence_hash")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_AS_OF_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_HASH_FIELD_NUMBER: _ClassVar[int]
    customer: str
    features: FeatureVector
    schema_hash: str
    snapshot_id: str
    data_as_of: str
    sequence: FeatureVector
    sequence_hash: str
    def __init__(self, customer: _Optional[str] = ..., features: _Optional[_Union[FeatureVector, _Mapping]] = ..., schema_hash: _Optional[str] = ..., snapshot_id: _Optional[str] = ..., data_as_of: _Optional[str] = ..., sequence: _Optional[_Union[FeatureVector, _Mapping]] = ..., sequence_hash: _Optional[str] = ...) -> None: ...
