import datetime

from cohortlens.v1 import common_pb2 as _common_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DriftVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRIFT_VERDICT_UNSPECIFIED: _ClassVar[DriftVerdict]
    DRIFT_VERDICT_UNKNOWN: _ClassVar[DriftVerdict]
    DRIFT_VERDICT_STABLE: _ClassVar[DriftVerdict]
    DRIFT_VERDICT_CHANGED: _ClassVar[DriftVerdict]
    DRIFT_VERDICT_WATCH: _ClassVar[DriftVerdict]
    DRIFT_VERDICT_ACT: _ClassVar[DriftVerdict]

class DriftConvention(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRIFT_CONVENTION_UNSPECIFIED: _ClassVar[DriftConvention]
    DRIFT_CONVENTION_COHORTLENS: _ClassVar[DriftConvention]
    DRIFT_CONVENTION_EVIDENTLY: _ClassVar[DriftConvention]

class DriftCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRIFT_CAUSE_UNSPECIFIED: _ClassVar[DriftCause]
    DRIFT_CAUSE_REQUESTED: _ClassVar[DriftCause]
    DRIFT_CAUSE_SCHEDULE: _ClassVar[DriftCause]
    DRIFT_CAUSE_IMPORT: _ClassVar[DriftCause]

class DriftColumnKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRIFT_COLUMN_KIND_UNSPECIFIED: _ClassVar[DriftColumnKind]
    DRIFT_COLUMN_KIND_INPUT: _ClassVar[DriftColumnKind]
    DRIFT_COLUMN_KIND_PREDICTION: _ClassVar[DriftColumnKind]
    DRIFT_COLUMN_KIND_SEGMENT: _ClassVar[DriftColumnKind]
    DRIFT_COLUMN_KIND_MISSING: _ClassVar[DriftColumnKind]
DRIFT_VERDICT_UNSPECIFIED: DriftVerdict
DRIFT_VERDICT_UNKNOWN: DriftVerdict
DRIFT_VERDICT_STABLE: DriftVerdict
DRIFT_VERDICT_CHANGED: DriftVerdict
DRIFT_VERDICT_WATCH: DriftVerdict
DRIFT_VERDICT_ACT: DriftVerdict
DRIFT_CONVENTION_UNSPECIFIED: DriftConvention
DRIFT_CONVENTION_COHORTLENS: DriftConvention
DRIFT_CONVENTION_EVIDENTLY: DriftConvention
DRIFT_CAUSE_UNSPECIFIED: DriftCause
DRIFT_CAUSE_REQUESTED: DriftCause
DRIFT_CAUSE_SCHEDULE: DriftCause
DRIFT_CAUSE_IMPORT: DriftCause
DRIFT_COLUMN_KIND_UNSPECIFIED: DriftColumnKind
DRIFT_COLUMN_KIND_INPUT: DriftColumnKind
DRIFT_COLUMN_KIND_PREDICTION: DriftColumnKind
DRIFT_COLUMN_KIND_SEGMENT: DriftColumnKind
DRIFT_COLUMN_KIND_MISSING: DriftColumnKind

class StartDriftReportRequest(_message.Message):
    __slots__ = ("model", "reference_as_of", "as_of", "convention", "request_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_AS_OF_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    CONVENTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    reference_as_of: str
    as_of: str
    convention: DriftConvention
    request_id: str
    def __init__(self, model: _Optional[str] = ..., reference_as_of: _Optional[str] = ..., as_of: _Optional[str] = ..., convention: _Optional[_Union[DriftConvention, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class DriftColumn(_message.Message):
    __slots__ = ("name", "kind", "verdict", "reason", "method", "statistic", "p_value", "p_adjusted", "p_holm", "psi", "jensen_shannon", "wasserstein_normed", "missing_reference_ratio", "missing_current_ratio", "mean_reference", "mean_current", "rows_reference", "rows_current")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    STATISTIC_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    P_ADJUSTED_FIELD_NUMBER: _ClassVar[int]
    P_HOLM_FIELD_NUMBER: _ClassVar[int]
    PSI_FIELD_NUMBER: _ClassVar[int]
    JENSEN_SHANNON_FIELD_NUMBER: _ClassVar[int]
    WASSERSTEIN_NORMED_FIELD_NUMBER: _ClassVar[int]
    MISSING_REFERENCE_RATIO_FIELD_NUMBER: _ClassVar[int]
    MISSING_CURRENT_RATIO_FIELD_NUMBER: _ClassVar[int]
    MEAN_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    MEAN_CURRENT_FIELD_NUMBER: _ClassVar[int]
    ROWS_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    ROWS_CURRENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: DriftColumnKind
    verdict: DriftVerdict
    reason: str
    method: str
    statistic: float
    p_value: float
    p_adjusted: float
    p_holm: float
    psi: float
    jensen_shannon: float
    wasserstein_normed: float
    missing_reference_ratio: float
    missing_current_ratio: float
    mean_reference: float
    mean_current: float
    rows_reference: int
    rows_current: int
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[DriftColumnKind, str]] = ..., verdict: _Optional[_Union[DriftVerdict, str]] = ..., reason: _Optional[str] = ..., method: _Optional[str] = ..., statistic: _Optional[float] = ..., p_value: _Optional[float] = ..., p_adjusted: _Optional[float] = ..., p_holm: _Optional[float] = ..., psi: _Optional[float] = ..., jensen_shannon: _Optional[float] = ..., wasserstein_normed: _Optional[float] = ..., missing_reference_ratio: _Optional[float] = ..., missing_current_ratio: _Optional[float] = ..., mean_reference: _Optional[float] = ..., mean_current: _Optional[float] = ..., rows_reference: _Optional[int] = ..., rows_current: _Optional[int] = ...) -> None: ...

class TargetPerformance(_message.Message):
    __slots__ = ("target", "horizon_days", "predicted_on", "customers", "predicted_total", "actual_total", "error_ratio", "lower_total", "upper_total", "within", "coverage_ratio", "calibration_error")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_ON_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ERROR_RATIO_FIELD_NUMBER: _ClassVar[int]
    LOWER_TOTAL_FIELD_NUMBER: _ClassVar[int]
    UPPER_TOTAL_FIELD_NUMBER: _ClassVar[int]
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_RATIO_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_ERROR_FIELD_NUMBER: _ClassVar[int]
    target: str
    horizon_days: int
    predicted_on: str
    customers: int
    predicted_total: float
    actual_total: float
    error_ratio: float
    lower_total: float
    upper_total: float
    within: bool
    coverage_ratio: float
    calibration_error: float
    def __init__(self, target: _Optional[str] = ..., horizon_days: _Optional[int] = ..., predicted_on: _Optional[str] = ..., customers: _Optional[int] = ..., predicted_total: _Optional[float] = ..., actual_total: _Optional[float] = ..., error_ratio: _Optional[float] = ..., lower_total: _Optional[float] = ..., upper_total: _Optional[float] = ..., within: _Optional[bool] = ..., coverage_ratio: _Optional[float] = ..., calibration_error: _Optional[float] = ...) -> None: ...

class DriftReport(_message.Message):
    __slots__ = ("drift_report", "state", "progress_ratio", "cause", "model", "model_version", "convention", "baseline", "reference_as_of", "data_as_of", "rows_reference", "rows_current", "verdict", "columns", "performance", "error", "create_time", "end_time", "excluded_no_consent")
    DRIFT_REPORT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_RATIO_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONVENTION_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_AS_OF_FIELD_NUMBER: _ClassVar[int]
    DATA_AS_OF_FIELD_NUMBER: _ClassVar[int]
    ROWS_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    ROWS_CURRENT_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_NO_CONSENT_FIELD_NUMBER: _ClassVar[int]
    drift_report: str
    state: _common_pb2.WorkState
    progress_ratio: float
    cause: DriftCause
    model: str
    model_version: int
    convention: DriftConvention
    baseline: bool
    reference_as_of: str
    data_as_of: str
    rows_reference: int
    rows_current: int
    verdict: DriftVerdict
    columns: _containers.RepeatedCompositeFieldContainer[DriftColumn]
    performance: _containers.RepeatedCompositeFieldContainer[TargetPerformance]
    error: _common_pb2.WorkError
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    excluded_no_consent: int
    def __init__(self, drift_report: _Optional[str] = ..., state: _Optional[_Union[_common_pb2.WorkState, str]] = ..., progress_ratio: _Optional[float] = ..., cause: _Optional[_Union[DriftCause, str]] = ..., model: _Optional[str] = ..., model_version: _Optional[int] = ..., convention: _Optional[_Union[DriftConvention, str]] = ..., baseline: _Optional[bool] = ..., reference_as_of: _Optional[str] = ..., data_as_of: _Optional[str] = ..., rows_reference: _Optional[int] = ..., rows_current: _Optional[int] = ..., verdict: _Optional[_Union[DriftVerdict, str]] = ..., columns: _Optional[_Iterable[_Union[DriftColumn, _Mapping]]] = ..., performance: _Optional[_Iterable[_Union[TargetPerformance, _Mapping]]] = ..., error: _Optional[_Union[_common_pb2.WorkError, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., excluded_no_consent: _Optional[int] = ...) -> None: ...

class StartDriftReportResponse(_message.Message):
    __slots__ = ("drift_report",)
    DRIFT_REPORT_FIELD_NUMBER: _ClassVar[int]
    drift_report: DriftReport
    def __init__(self, drift_report: _Optional[_Union[DriftReport, _Mapping]] = ...) -> None: ...

class GetDriftReportRequest(_message.Message):
    __slots__ = ("drift_report",)
    DRIFT_REPORT_FIELD_NUMBER: _ClassVar[int]
    drift_report: str
    def __init__(self, drift_report: _Optional[str] = ...) -> None: ...

class GetDriftReportResponse(_message.Message):
    __slots__ = ("drift_report",)
    DRIFT_REPORT_FIELD_NUMBER: _ClassVar[int]
    drift_report: DriftReport
    def __init__(self, drift_report: _Optional[_Union[DriftReport, _Mapping]] = ...) -> None: ...

class ListDriftReportsRequest(_message.Message):
    __slots__ = ("model", "page_size", "page_token")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    page_size: int
    page_token: str
    def __init__(self, model: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDriftReportsResponse(_message.Message):
    __slots__ = ("drift_reports", "next_page_token")
    DRIFT_REPORTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    drift_reports: _containers.RepeatedCompositeFieldContainer[DriftReport]
    next_page_token: str
    def __init__(self, drift_reports: _Optional[_Iterable[_Union[DriftReport, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
