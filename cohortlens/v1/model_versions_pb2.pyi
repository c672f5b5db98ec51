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

class ModelAlias(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_ALIAS_UNSPECIFIED: _ClassVar[ModelAlias]
    MODEL_ALIAS_CHAMPION: _ClassVar[ModelAlias]
    MODEL_ALIAS_CHALLENGER: _ClassVar[ModelAlias]

class AliasAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALIAS_ACTION_UNSPECIFIED: _ClassVar[AliasAction]
    ALIAS_ACTION_PROMOTED: _ClassVar[AliasAction]
    ALIAS_ACTION_ROLLED_BACK: _ClassVar[AliasAction]
    ALIAS_ACTION_CHALLENGED: _ClassVar[AliasAction]
MODEL_ALIAS_UNSPECIFIED: ModelAlias
MODEL_ALIAS_CHAMPION: ModelAlias
MODEL_ALIAS_CHALLENGER: ModelAlias
ALIAS_ACTION_UNSPECIFIED: AliasAction
ALIAS_ACTION_PROMOTED: AliasAction
ALIAS_ACTION_ROLLED_BACK: AliasAction
ALIAS_ACTION_CHALLENGED: AliasAction

class AliasInterval(_message.Message):
    __slots__ = ("alias", "version", "start_time", "end_time", "action", "actor", "reason", "forced", "share_ratio")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FORCED_FIELD_NUMBER: _ClassVar[int]
    SHARE_RATIO_FIELD_NUMBER: _ClassVar[int]
    alias: ModelAlias
    version: int
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    action: AliasAction
    actor: str
    reason: str
    forced: bool
    share_ratio: float
    def __init__(self, alias: _Optional[_Union[ModelAlias, str]] = ..., version: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., action: _Optional[_Union[AliasAction, str]] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., forced: _Optional[bool] = ..., share_ratio: _Optional[float] = ...) -> None: ...

class ListAliasHistoryRequest(_message.Message):
    __slots__ = ("model", "alias", "page_size", "page_token")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    alias: ModelAlias
    page_size: int
    page_token: str
    def __init__(self, model: _Optional[str] = ..., alias: _Optional[_Union[ModelAlias, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAliasHistoryResponse(_message.Message):
    __slots__ = ("intervals", "next_page_token")
    INTERVALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    intervals: _containers.RepeatedCompositeFieldContainer[AliasInterval]
    next_page_token: str
    def __init__(self, intervals: _Optional[_Iterable[_Union[AliasInterval, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetBacktestRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class BacktestFold(_message.Message):
    __slots__ = ("cut_day", "horizon_days", "customers")
    CUT_DAY_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    cut_day: str
    horizon_days: int
    customers: int
    def __init__(self, cut_day: _Optional[str] = ..., horizon_days: _Optional[int] = ..., customers: _Optional[int] = ...) -> None: ...

class BacktestRow(_message.Message):
    __slots__ = ("model", "kind", "target", "fold", "mae", "rmse", "correlation", "lift10", "gini", "bias_ratio", "auc", "coverage80", "fit_cpu_s", "status", "reason")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    FOLD_FIELD_NUMBER: _ClassVar[int]
    MAE_FIELD_NUMBER: _ClassVar[int]
    RMSE_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    LIFT10_FIELD_NUMBER: _ClassVar[int]
    GINI_FIELD_NUMBER: _ClassVar[int]
    BIAS_RATIO_FIELD_NUMBER: _ClassVar[int]
    AUC_FIELD_NUMBER: _ClassVar[int]
    COVERAGE80_FIELD_NUMBER: _ClassVar[int]
    FIT_CPU_S_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    model: str
    kind: str
    target: str
    fold: int
    mae: float
    rmse: float
    correlation: float
    lift10: float
    gini: float
    bias_ratio: float
    auc: float
    coverage80: float
    fit_cpu_s: float
    status: str
    reason: str
    def __init__(self, model: _Optional[str] = ..., kind: _Optional[str] = ..., target: _Optional[str] = ..., fold: _Optional[int] = ..., mae: _Optional[float] = ..., rmse: _Optional[float] = ..., correlation: _Optional[float] = ..., lift10: _Optional[float] = ..., gini: _Optional[float] = ..., bias_ratio: _Optional[float] = ..., auc: _Optional[float] = ..., coverage80: _Optional[float] = ..., fit_cpu_s: _Optional[float] = ..., status: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class BacktestChoice(_message.Message):
    __slots__ = ("target", "weights", "beaten_by")
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TARGET_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    BEATEN_BY_FIELD_NUMBER: _ClassVar[int]
    target: str
    weights: _containers.ScalarMap[str, float]
    beaten_by: str
    def __init__(self, target: _Optional[str] = ..., weights: _Optional[_Mapping[str, float]] = ..., beaten_by: _Optional[str] = ...) -> None: ...

class GetBacktestResponse(_message.Message):
    __slots__ = ("version", "folds", "rows", "choices")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FOLDS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    version: int
    folds: _containers.RepeatedCompositeFieldContainer[BacktestFold]
    rows: _containers.RepeatedCompositeFieldContainer[BacktestRow]
    choices: _containers.RepeatedCompositeFieldContainer[BacktestChoice]
    def __init__(self, version: _Optional[int] = ..., folds: _Optional[_Iterable[_Union[BacktestFold, _Mapping]]] = ..., rows: _Optional[_Iterable[_Union[BacktestRow, _Mapping]]] = ..., choices: _Optional[_Iterable[_Union[BacktestChoice, _Mapping]]] = ...) -> None: ...
