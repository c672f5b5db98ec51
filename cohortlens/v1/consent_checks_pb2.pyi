from cohortlens.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BatchCheckConsentRequest(_message.Message):
    __slots__ = ("customers", "purposes", "activities")
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    ACTIVITIES_FIELD_NUMBER: _ClassVar[int]
    customers: _containers.RepeatedScalarFieldContainer[str]
    purposes: _containers.RepeatedScalarFieldContainer[str]
    activities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, customers: _Optional[_Iterable[str]] = ..., purposes: _Optional[_Iterable[str]] = ..., activities: _Optional[_Iterable[str]] = ...) -> None: ...

class ConsentCheck(_message.Message):
    __slots__ = ("purpose", "activity", "allowed", "allowed_count")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_COUNT_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    activity: str
    allowed: bytes
    allowed_count: int
    def __init__(self, purpose: _Optional[str] = ..., activity: _Optional[str] = ..., allowed: _Optional[bytes] = ..., allowed_count: _Optional[int] = ...) -> None: ...

class BatchCheckConsentResponse(_message.Message):
    __slots__ = ("checks", "consent_version", "resume_token")
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    CONSENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    checks: _containers.RepeatedCompositeFieldContainer[ConsentCheck]
    consent_version: int
    resume_token: str
    def __init__(self, checks: _Optional[_Iterable[_Union[ConsentCheck, _Mapping]]] = ..., consent_version: _Optional[int] = ..., resume_token: _Optional[str] = ...) -> None: ...

class WatchConsentsRequest(_message.Message):
    __slots__ = ("from_version", "resume_token")
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    from_version: int
    resume_token: str
    def __init__(self, from_version: _Optional[int] = ..., resume_token: _Optional[str] = ...) -> None: ...

class ConsentChange(_message.Message):
    __slots__ = ("identity", "customer", "purpose", "allowed", "version")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    identity: str
    customer: str
    purpose: str
    allowed: bool
    version: int
    def __init__(self, identity: _Optional[str] = ..., customer: _Optional[str] = ..., purpose: _Optional[str] = ..., allowed: _Optional[bool] = ..., version: _Optional[int] = ...) -> None: ...

class WatchConsentsResponse(_message.Message):
    __slots__ = ("changes", "consent_version", "resume_token")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CONSENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[ConsentChange]
    consent_version: int
    resume_token: str
    def __init__(self, changes: _Optional[_Iterable[_Union[ConsentChange, _Mapping]]] = ..., consent_version: _Optional[int] = ..., resume_token: _Optional[str] = ...) -> None: ...
