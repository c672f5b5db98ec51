from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Access(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCESS_UNSPECIFIED: _ClassVar[Access]
    ACCESS_PUBLIC: _ClassVar[Access]
    ACCESS_TOKEN: _ClassVar[Access]
    ACCESS_PLATFORM: _ClassVar[Access]

class RateClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RATE_CLASS_UNSPECIFIED: _ClassVar[RateClass]
    RATE_CLASS_PUBLIC: _ClassVar[RateClass]
    RATE_CLASS_AUTH_SENSITIVE: _ClassVar[RateClass]
    RATE_CLASS_AUTH_REFRESH: _ClassVar[RateClass]
    RATE_CLASS_READ: _ClassVar[RateClass]
    RATE_CLASS_WRITE: _ClassVar[RateClass]
    RATE_CLASS_INFERENCE: _ClassVar[RateClass]
    RATE_CLASS_BULK: _ClassVar[RateClass]
    RATE_CLASS_INTERNAL: _ClassVar[RateClass]
    RATE_CLASS_PLATFORM: _ClassVar[RateClass]

class WorkState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORK_STATE_UNSPECIFIED: _ClassVar[WorkState]
    WORK_STATE_PENDING: _ClassVar[WorkState]
    WORK_STATE_RUNNING: _ClassVar[WorkState]
    WORK_STATE_SUCCEEDED: _ClassVar[WorkState]
    WORK_STATE_FAILED: _ClassVar[WorkState]
    WORK_STATE_CANCELLED: _ClassVar[WorkState]
ACCESS_UNSPECIFIED: Access
ACCESS_PUBLIC: Access
ACCESS_TOKEN: Access
ACCESS_PLATFORM: Access
RATE_CLASS_UNSPECIFIED: RateClass
RATE_CLASS_PUBLIC: RateClass
RATE_CLASS_AUTH_SENSITIVE: RateClass
RATE_CLASS_AUTH_REFRESH: RateClass
RATE_CLASS_READ: RateClass
RATE_CLASS_WRITE: RateClass
RATE_CLASS_INFERENCE: RateClass
RATE_CLASS_BULK: RateClass
RATE_CLASS_INTERNAL: RateClass
RATE_CLASS_PLATFORM: RateClass
WORK_STATE_UNSPECIFIED: WorkState
WORK_STATE_PENDING: WorkState
WORK_STATE_RUNNING: WorkState
WORK_STATE_SUCCEEDED: WorkState
WORK_STATE_FAILED: WorkState
WORK_STATE_CANCELLED: WorkState
POLICY_FIELD_NUMBER: _ClassVar[int]
policy: _descriptor.FieldDescriptor
DEPRECATION_FIELD_NUMBER: _ClassVar[int]
deprecation: _descriptor.FieldDescriptor
RULES_FIELD_NUMBER: _ClassVar[int]
rules: _descriptor.FieldDescriptor

class MethodPolicy(_message.Message):
    __slots__ = ("access", "scopes", "rate_class", "feature", "errors", "audit_action", "never_shed", "meter", "cost", "open_read_only", "activity")
    ACCESS_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    RATE_CLASS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    AUDIT_ACTION_FIELD_NUMBER: _ClassVar[int]
    NEVER_SHED_FIELD_NUMBER: _ClassVar[int]
    METER_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    OPEN_READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    access: Access
    scopes: _containers.RepeatedScalarFieldContainer[str]
    rate_class: RateClass
    feature: str
    errors: _containers.RepeatedScalarFieldContainer[str]
    audit_action: str
    never_shed: bool
    meter: str
    cost: int
    open_read_only: bool
    activity: str
    def __init__(self, access: _Optional[_Union[Access, str]] = ..., scopes: _Optional[_Iterable[str]] = ..., rate_class: _Optional[_Union[RateClass, str]] = ..., feature: _Optional[str] = ..., errors: _Optional[_Iterable[str]] = ..., audit_action: _Optional[str] = ..., never_shed: _Optional[bool] = ..., meter: _Optional[str] = ..., cost: _Optional[int] = ..., open_read_only: _Optional[bool] = ..., activity: _Optional[str] = ...) -> None: ...

class Deprecation(_message.Message):
    __slots__ = ("since", "removed", "link")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    since: str
    removed: str
    link: str
    def __init__(self, since: _Optional[str] = ..., removed: _Optional[str] = ..., link: _Optional[str] = ...) -> None: ...

class FieldRules(_message.Message):
    __slots__ = ("required", "min", "has_min", "max", "has_max", "min_len", "max_len", "pattern", "sensitive", "allow_nan", "uuid", "counts_rows", "unmasked")
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    HAS_MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    HAS_MAX_FIELD_NUMBER: _ClassVar[int]
    MIN_LEN_FIELD_NUMBER: _ClassVar[int]
    MAX_LEN_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_NAN_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    COUNTS_ROWS_FIELD_NUMBER: _ClassVar[int]
    UNMASKED_FIELD_NUMBER: _ClassVar[int]
    required: bool
    min: float
    has_min: bool
    max: float
    has_max: bool
    min_len: int
    max_len: int
    pattern: str
    sensitive: bool
    allow_nan: bool
    uuid: bool
    counts_rows: bool
    unmasked: bool
    def __init__(self, required: _Optional[bool] = ..., min: _Optional[float] = ..., has_min: _Optional[bool] = ..., max: _Optional[float] = ..., has_max: _Optional[bool] = ..., min_len: _Optional[int] = ..., max_len: _Optional[int] = ..., pattern: _Optional[str] = ..., sensitive: _Optional[bool] = ..., allow_nan: _Optional[bool] = ..., uuid: _Optional[bool] = ..., counts_rows: _Optional[bool] = ..., unmasked: _Optional[bool] = ...) -> None: ...

class WorkError(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
