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

class BillingEventState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BILLING_EVENT_STATE_UNSPECIFIED: _ClassVar[BillingEventState]
    BILLING_EVENT_STATE_PENDING: _ClassVar[BillingEventState]
    BILLING_EVENT_STATE_DONE: _ClassVar[BillingEventState]
    BILLING_EVENT_STATE_IGNORED: _ClassVar[BillingEventState]
    BILLING_EVENT_STATE_DEAD: _ClassVar[BillingEventState]
BILLING_EVENT_STATE_UNSPECIFIED: BillingEventState
BILLING_EVENT_STATE_PENDING: BillingEventState
BILLING_EVENT_STATE_DONE: BillingEventState
BILLING_EVENT_STATE_IGNORED: BillingEventState
BILLING_EVENT_STATE_DEAD: BillingEventState

class BillingEvent(_message.Message):
    __slots__ = ("event", "type", "livemode", "api_version", "customer", "object", "tenant", "state", "attempts", "last_error", "create_time", "receive_time", "next_try_time", "end_time")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    LIVEMODE_FIELD_NUMBER: _ClassVar[int]
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    NEXT_TRY_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    event: str
    type: str
    livemode: bool
    api_version: str
    customer: str
    object: str
    tenant: str
    state: BillingEventState
    attempts: int
    last_error: str
    create_time: _timestamp_pb2.Timestamp
    receive_time: _timestamp_pb2.Timestamp
    next_try_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, event: _Optional[str] = ..., type: _Optional[str] = ..., livemode: _Optional[bool] = ..., api_version: _Optional[str] = ..., customer: _Optional[str] = ..., object: _Optional[str] = ..., tenant: _Optional[str] = ..., state: _Optional[_Union[BillingEventState, str]] = ..., attempts: _Optional[int] = ..., last_error: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., receive_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_try_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListBillingEventsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "state", "type")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    state: BillingEventState
    type: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., state: _Optional[_Union[BillingEventState, str]] = ..., type: _Optional[str] = ...) -> None: ...

class ListBillingEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[BillingEvent]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[BillingEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReplayBillingEventRequest(_message.Message):
    __slots__ = ("event", "reason", "request_id")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    event: str
    reason: str
    request_id: str
    def __init__(self, event: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReplayBillingEventResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: BillingEvent
    def __init__(self, event: _Optional[_Union[BillingEvent, _Mapping]] = ...) -> None: ...

class ReconcileSubscriptionRequest(_message.Message):
    __slots__ = ("tenant", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReconcileSubscriptionResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: BillingEvent
    def __init__(self, event: _Optional[_Union[BillingEvent, _Mapping]] = ...) -> None: ...
