from cohortlens.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LimeFit(_message.Message):
    __slots__ = ("seed", "samples", "r2", "low_fidelity", "imputed")
    SEED_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    R2_FIELD_NUMBER: _ClassVar[int]
    LOW_FIDELITY_FIELD_NUMBER: _ClassVar[int]
    IMPUTED_FIELD_NUMBER: _ClassVar[int]
    seed: int
    samples: int
    r2: float
    low_fidelity: bool
    imputed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, seed: _Optional[int] = ..., samples: _Optional[int] = ..., r2: _Optional[float] = ..., low_fidelity: _Optional[bool] = ..., imputed: _Optional[_Iterable[str]] = ...) -> None: ...

class CounterfactualGoal(_message.Message):
    __slots__ = ("churn_below_ratio", "segment", "other_segment")
    CHURN_BELOW_RATIO_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    OTHER_SEGMENT_FIELD_NUMBER: _ClassVar[int]
    churn_below_ratio: float
    segment: str
    other_segment: bool
    def __init__(self, churn_below_ratio: _Optional[float] = ..., segment: _Optional[str] = ..., other_segment: _Optional[bool] = ...) -> None: ...

class Counterfactual(_message.Message):
    __slots__ = ("holds_already", "found", "purchase_days", "amount", "currency", "churn_before", "churn_after", "segment_before", "segment_after", "tried")
    HOLDS_ALREADY_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    PURCHASE_DAYS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    CHURN_BEFORE_FIELD_NUMBER: _ClassVar[int]
    CHURN_AFTER_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_AFTER_FIELD_NUMBER: _ClassVar[int]
    TRIED_FIELD_NUMBER: _ClassVar[int]
    holds_already: bool
    found: bool
    purchase_days: int
    amount: float
    currency: str
    churn_before: float
    churn_after: float
    segment_before: str
    segment_after: str
    tried: int
    def __init__(self, holds_already: _Optional[bool] = ..., found: _Optional[bool] = ..., purchase_days: _Optional[int] = ..., amount: _Optional[float] = ..., currency: _Optional[str] = ..., churn_before: _Optional[float] = ..., churn_after: _Optional[float] = ..., segment_before: _Optional[str] = ..., segment_after: _Optional[str] = ..., tried: _Optional[int] = ...) -> None: ...

class GetGlobalImportanceRequest(_message.Message):
    __slots__ = ("model", "version", "top")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    top: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., top: _Optional[int] = ...) -> None: ...

class FeatureImportance(_message.Message):
    __slots__ = ("feature", "importance", "share_ratio")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    SHARE_RATIO_FIELD_NUMBER: _ClassVar[int]
    feature: str
    importance: float
    share_ratio: float
    def __init__(self, feature: _Optional[str] = ..., importance: _Optional[float] = ..., share_ratio: _Optional[float] = ...) -> None: ...

class TargetImportance(_message.Message):
    __slots__ = ("target", "features", "fidelity_r2")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    FIDELITY_R2_FIELD_NUMBER: _ClassVar[int]
    target: str
    features: _containers.RepeatedCompositeFieldContainer[FeatureImportance]
    fidelity_r2: float
    def __init__(self, target: _Optional[str] = ..., features: _Optional[_Iterable[_Union[FeatureImportance, _Mapping]]] = ..., fidelity_r2: _Optional[float] = ...) -> None: ...

class GetGlobalImportanceResponse(_message.Message):
    __slots__ = ("model", "version", "targets")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    targets: _containers.RepeatedCompositeFieldContainer[TargetImportance]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., targets: _Optional[_Iterable[_Union[TargetImportance, _Mapping]]] = ...) -> None: ...
