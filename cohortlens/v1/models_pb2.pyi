import datetime

from cohortlens.v1 import analytics_pb2 as _analytics_pb2
from cohortlens.v1 import common_pb2 as _common_pb2
from cohortlens.v1 import model_versions_pb2 as _model_versions_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TrainingCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAINING_CAUSE_UNSPECIFIED: _ClassVar[TrainingCause]
    TRAINING_CAUSE_REQUESTED: _ClassVar[TrainingCause]
    TRAINING_CAUSE_FIRST_IMPORT: _ClassVar[TrainingCause]
    TRAINING_CAUSE_GROWTH: _ClassVar[TrainingCause]
    TRAINING_CAUSE_DRIFT: _ClassVar[TrainingCause]
    TRAINING_CAUSE_SCHEDULE: _ClassVar[TrainingCause]
    TRAINING_CAUSE_ERASURE: _ClassVar[TrainingCause]

class TrainingOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAINING_OUTCOME_UNSPECIFIED: _ClassVar[TrainingOutcome]
    TRAINING_OUTCOME_PROMOTED: _ClassVar[TrainingOutcome]
    TRAINING_OUTCOME_CHALLENGER: _ClassVar[TrainingOutcome]
    TRAINING_OUTCOME_REJECTED: _ClassVar[TrainingOutcome]
    TRAINING_OUTCOME_KEPT: _ClassVar[TrainingOutcome]

class VersionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERSION_STATE_UNSPECIFIED: _ClassVar[VersionState]
    VERSION_STATE_READY: _ClassVar[VersionState]
    VERSION_STATE_REJECTED: _ClassVar[VersionState]
    VERSION_STATE_RETIRED: _ClassVar[VersionState]
TRAINING_CAUSE_UNSPECIFIED: TrainingCause
TRAINING_CAUSE_REQUESTED: TrainingCause
TRAINING_CAUSE_FIRST_IMPORT: TrainingCause
TRAINING_CAUSE_GROWTH: TrainingCause
TRAINING_CAUSE_DRIFT: TrainingCause
TRAINING_CAUSE_SCHEDULE: TrainingCause
TRAINING_CAUSE_ERASURE: TrainingCause
TRAINING_OUTCOME_UNSPECIFIED: TrainingOutcome
TRAINING_OUTCOME_PROMOTED: TrainingOutcome
TRAINING_OUTCOME_CHALLENGER: TrainingOutcome
TRAINING_OUTCOME_REJECTED: TrainingOutcome
TRAINING_OUTCOME_KEPT: TrainingOutcome
VERSION_STATE_UNSPECIFIED: VersionState
VERSION_STATE_READY: VersionState
VERSION_STATE_REJECTED: VersionState
VERSION_STATE_RETIRED: VersionState

class StartTrainingRequest(_message.Message):
    __slots__ = ("model", "seed", "request_id", "as_of", "segments")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    model: str
    seed: int
    request_id: str
    as_of: str
    segments: int
    def __init__(self, model: _Optional[str] = ..., seed: _Optional[int] = ..., request_id: _Optional[str] = ..., as_of: _Optional[str] = ..., segments: _Optional[int] = ...) -> None: ...

class TrainingRun(_message.Message):
    __slots__ = ("run", "model", "state", "stage", "progress_ratio", "version", "error", "create_time", "end_time", "cause", "outcome", "data_as_of", "purchase_days", "champion_version", "seed", "cpu_s", "drift_report", "excluded_no_consent", "consent_version")
    RUN_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_RATIO_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DATA_AS_OF_FIELD_NUMBER: _ClassVar[int]
    PURCHASE_DAYS_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_VERSION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CPU_S_FIELD_NUMBER: _ClassVar[int]
    DRIFT_REPORT_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_NO_CONSENT_FIELD_NUMBER: _ClassVar[int]
    CONSENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    run: str
    model: str
    state: _common_pb2.WorkState
    stage: str
    progress_ratio: float
    version: int
    error: _common_pb2.WorkError
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    cause: TrainingCause
    outcome: TrainingOutcome
    data_as_of: str
    purchase_days: int
    champion_version: int
    seed: int
    cpu_s: float
    drift_report: str
    excluded_no_consent: int
    consent_version: int
    def __init__(self, run: _Optional[str] = ..., model: _Optional[str] = ..., state: _Optional[_Union[_common_pb2.WorkState, str]] = ..., stage: _Optional[str] = ..., progress_ratio: _Optional[float] = ..., version: _Optional[int] = ..., error: _Optional[_Union[_common_pb2.WorkError, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cause: _Optional[_Union[TrainingCause, str]] = ..., outcome: _Optional[_Union[TrainingOutcome, str]] = ..., data_as_of: _Optional[str] = ..., purchase_days: _Optional[int] = ..., champion_version: _Optional[int] = ..., seed: _Optional[int] = ..., cpu_s: _Optional[float] = ..., drift_report: _Optional[str] = ..., excluded_no_consent: _Optional[int] = ..., consent_version: _Optional[int] = ...) -> None: ...

class StartTrainingResponse(_message.Message):
    __slots__ = ("runs",)
    RUNS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[TrainingRun]
    def __init__(self, runs: _Optional[_Iterable[_Union[TrainingRun, _Mapping]]] = ...) -> None: ...

class GetTrainingRunRequest(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: str
    def __init__(self, run: _Optional[str] = ...) -> None: ...

class GetTrainingRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: TrainingRun
    def __init__(self, run: _Optional[_Union[TrainingRun, _Mapping]] = ...) -> None: ...

class CancelTrainingRunRequest(_message.Message):
    __slots__ = ("run", "request_id")
    RUN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run: str
    request_id: str
    def __init__(self, run: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CancelTrainingRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: TrainingRun
    def __init__(self, run: _Optional[_Union[TrainingRun, _Mapping]] = ...) -> None: ...

class ListTrainingRunsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTrainingRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[TrainingRun]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[TrainingRun, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("model", "version", "state", "active", "artifact_digest", "schema_hash", "data_sha256", "metrics", "gate", "horizons_days", "data_as_of", "seed", "create_time", "active_since", "challenger", "training_run", "code_version", "basis", "notes")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    DATA_SHA256_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    GATE_FIELD_NUMBER: _ClassVar[int]
    HORIZONS_DAYS_FIELD_NUMBER: _ClassVar[int]
    DATA_AS_OF_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_SINCE_FIELD_NUMBER: _ClassVar[int]
    CHALLENGER_FIELD_NUMBER: _ClassVar[int]
    TRAINING_RUN_FIELD_NUMBER: _ClassVar[int]
    CODE_VERSION_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    state: VersionState
    active: bool
    artifact_digest: str
    schema_hash: str
    data_sha256: str
    metrics: _containers.ScalarMap[str, float]
    gate: _containers.RepeatedCompositeFieldContainer[GateCriterion]
    horizons_days: _containers.RepeatedScalarFieldContainer[int]
    data_as_of: str
    seed: int
    create_time: _timestamp_pb2.Timestamp
    active_since: _timestamp_pb2.Timestamp
    challenger: bool
    training_run: str
    code_version: str
    basis: str
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[VersionState, str]] = ..., active: _Optional[bool] = ..., artifact_digest: _Optional[str] = ..., schema_hash: _Optional[str] = ..., data_sha256: _Optional[str] = ..., metrics: _Optional[_Mapping[str, float]] = ..., gate: _Optional[_Iterable[_Union[GateCriterion, _Mapping]]] = ..., horizons_days: _Optional[_Iterable[int]] = ..., data_as_of: _Optional[str] = ..., seed: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., active_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., challenger: _Optional[bool] = ..., training_run: _Optional[str] = ..., code_version: _Optional[str] = ..., basis: _Optional[str] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class GateCriterion(_message.Message):
    __slots__ = ("name", "value", "threshold", "passed")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    threshold: float
    passed: bool
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., threshold: _Optional[float] = ..., passed: _Optional[bool] = ...) -> None: ...

class ListModelVersionsRequest(_message.Message):
    __slots__ = ("model", "page_size", "page_token", "live_at")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LIVE_AT_FIELD_NUMBER: _ClassVar[int]
    model: str
    page_size: int
    page_token: str
    live_at: _timestamp_pb2.Timestamp
    def __init__(self, model: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., live_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListModelVersionsResponse(_message.Message):
    __slots__ = ("versions", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[ModelVersion]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[ModelVersion, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetModelVersionRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class GetModelVersionResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: ModelVersion
    def __init__(self, version: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class PromoteModelRequest(_message.Message):
    __slots__ = ("model", "version", "reason", "request_id", "force")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    reason: str
    request_id: str
    force: bool
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class PromoteModelResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: ModelVersion
    def __init__(self, version: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class RollbackModelRequest(_message.Message):
    __slots__ = ("model", "reason", "request_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    reason: str
    request_id: str
    def __init__(self, model: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RollbackModelResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: ModelVersion
    def __init__(self, version: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class Challenger(_message.Message):
    __slots__ = ("model", "version", "share_ratio", "set_time")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHARE_RATIO_FIELD_NUMBER: _ClassVar[int]
    SET_TIME_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    share_ratio: float
    set_time: _timestamp_pb2.Timestamp
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., share_ratio: _Optional[float] = ..., set_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ShadowComparison(_message.Message):
    __slots__ = ("champion_version", "task", "horizon_days", "rows", "champion_mean", "challenger_mean", "mean_difference", "mean_absolute_difference", "correlation", "outside_interval_ratio", "timed_calls", "champion_ms", "challenger_ms", "update_time")
    CHAMPION_VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_MEAN_FIELD_NUMBER: _ClassVar[int]
    CHALLENGER_MEAN_FIELD_NUMBER: _ClassVar[int]
    MEAN_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    MEAN_ABSOLUTE_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    OUTSIDE_INTERVAL_RATIO_FIELD_NUMBER: _ClassVar[int]
    TIMED_CALLS_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_MS_FIELD_NUMBER: _ClassVar[int]
    CHALLENGER_MS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    champion_version: int
    task: _analytics_pb2.PredictionTask
    horizon_days: int
    rows: int
    champion_mean: float
    challenger_mean: float
    mean_difference: float
    mean_absolute_difference: float
    correlation: float
    outside_interval_ratio: float
    timed_calls: int
    champion_ms: float
    challenger_ms: float
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, champion_version: _Optional[int] = ..., task: _Optional[_Union[_analytics_pb2.PredictionTask, str]] = ..., horizon_days: _Optional[int] = ..., rows: _Optional[int] = ..., champion_mean: _Optional[float] = ..., challenger_mean: _Optional[float] = ..., mean_difference: _Optional[float] = ..., mean_absolute_difference: _Optional[float] = ..., correlation: _Optional[float] = ..., outside_interval_ratio: _Optional[float] = ..., timed_calls: _Optional[int] = ..., champion_ms: _Optional[float] = ..., challenger_ms: _Optional[float] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SetChallengerRequest(_message.Message):
    __slots__ = ("model", "version", "share_ratio", "reason", "request_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHARE_RATIO_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    share_ratio: float
    reason: str
    request_id: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., share_ratio: _Optional[float] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetChallengerResponse(_message.Message):
    __slots__ = ("challenger",)
    CHALLENGER_FIELD_NUMBER: _ClassVar[int]
    challenger: Challenger
    def __init__(self, challenger: _Optional[_Union[Challenger, _Mapping]] = ...) -> None: ...

class ClearChallengerRequest(_message.Message):
    __slots__ = ("model", "request_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    request_id: str
    def __init__(self, model: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ClearChallengerResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetChallengerRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class GetChallengerResponse(_message.Message):
    __slots__ = ("challenger", "comparisons")
    CHALLENGER_FIELD_NUMBER: _ClassVar[int]
    COMPARISONS_FIELD_NUMBER: _ClassVar[int]
    challenger: Challenger
    comparisons: _containers.RepeatedCompositeFieldContainer[ShadowComparison]
    def __init__(self, challenger: _Optional[_Union[Challenger, _Mapping]] = ..., comparisons: _Optional[_Iterable[_Union[ShadowComparison, _Mapping]]] = ...) -> None: ...
