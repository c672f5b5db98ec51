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

class DataRequestType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATA_REQUEST_TYPE_UNSPECIFIED: _ClassVar[DataRequestType]
    DATA_REQUEST_TYPE_ACCESS: _ClassVar[DataRequestType]
    DATA_REQUEST_TYPE_PORTABILITY: _ClassVar[DataRequestType]
    DATA_REQUEST_TYPE_ERASURE: _ClassVar[DataRequestType]
    DATA_REQUEST_TYPE_RECTIFICATION: _ClassVar[DataRequestType]
    DATA_REQUEST_TYPE_RESTRICTION: _ClassVar[DataRequestType]
    DATA_REQUEST_TYPE_OBJECTION: _ClassVar[DataRequestType]

class DataRequestChannel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATA_REQUEST_CHANNEL_UNSPECIFIED: _ClassVar[DataRequestChannel]
    DATA_REQUEST_CHANNEL_EMAIL: _ClassVar[DataRequestChannel]
    DATA_REQUEST_CHANNEL_PHONE: _ClassVar[DataRequestChannel]
    DATA_REQUEST_CHANNEL_POST: _ClassVar[DataRequestChannel]
    DATA_REQUEST_CHANNEL_IN_PERSON: _ClassVar[DataRequestChannel]
    DATA_REQUEST_CHANNEL_WEB: _ClassVar[DataRequestChannel]
    DATA_REQUEST_CHANNEL_LINK: _ClassVar[DataRequestChannel]

class DataRequestState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATA_REQUEST_STATE_UNSPECIFIED: _ClassVar[DataRequestState]
    DATA_REQUEST_STATE_RECEIVED: _ClassVar[DataRequestState]
    DATA_REQUEST_STATE_VERIFIED: _ClassVar[DataRequestState]
    DATA_REQUEST_STATE_APPROVED: _ClassVar[DataRequestState]
    DATA_REQUEST_STATE_RUNNING: _ClassVar[DataRequestState]
    DATA_REQUEST_STATE_COMPLETED: _ClassVar[DataRequestState]
    DATA_REQUEST_STATE_REJECTED: _ClassVar[DataRequestState]
    DATA_REQUEST_STATE_CANCELLED: _ClassVar[DataRequestState]
    DATA_REQUEST_STATE_FAILED: _ClassVar[DataRequestState]
DATA_REQUEST_TYPE_UNSPECIFIED: DataRequestType
DATA_REQUEST_TYPE_ACCESS: DataRequestType
DATA_REQUEST_TYPE_PORTABILITY: DataRequestType
DATA_REQUEST_TYPE_ERASURE: DataRequestType
DATA_REQUEST_TYPE_RECTIFICATION: DataRequestType
DATA_REQUEST_TYPE_RESTRICTION: DataRequestType
DATA_REQUEST_TYPE_OBJECTION: DataRequestType
DATA_REQUEST_CHANNEL_UNSPECIFIED: DataRequestChannel
DATA_REQUEST_CHANNEL_EMAIL: DataRequestChannel
DATA_REQUEST_CHANNEL_PHONE: DataRequestChannel
DATA_REQUEST_CHANNEL_POST: DataRequestChannel
DATA_REQUEST_CHANNEL_IN_PERSON: DataRequestChannel
DATA_REQUEST_CHANNEL_WEB: DataRequestChannel
DATA_REQUEST_CHANNEL_LINK: DataRequestChannel
DATA_REQUEST_STATE_UNSPECIFIED: DataRequestState
DATA_REQUEST_STATE_RECEIVED: DataRequestState
DATA_REQUEST_STATE_VERIFIED: DataRequestState
DATA_REQUEST_STATE_APPROVED: DataRequestState
DATA_REQUEST_STATE_RUNNING: DataRequestState
DATA_REQUEST_STATE_COMPLETED: DataRequestState
DATA_REQUEST_STATE_REJECTED: DataRequestState
DATA_REQUEST_STATE_CANCELLED: DataRequestState
DATA_REQUEST_STATE_FAILED: DataRequestState

class DataRequestStep(_message.Message):
    __slots__ = ("name", "state", "rows_found", "rows_erased", "sha256", "done_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FOUND_FIELD_NUMBER: _ClassVar[int]
    ROWS_ERASED_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DONE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: _common_pb2.WorkState
    rows_found: int
    rows_erased: int
    sha256: str
    done_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[_common_pb2.WorkState, str]] = ..., rows_found: _Optional[int] = ..., rows_erased: _Optional[int] = ..., sha256: _Optional[str] = ..., done_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DataRequest(_message.Message):
    __slots__ = ("data_request", "type", "state", "channel", "identity", "customer_id", "external_id", "lifts", "identity_verification", "reason", "received_time", "due_time", "is_extended", "steps", "progress_ratio", "export_sha256", "export_bytes", "export_expire_time", "error", "create_time", "end_time")
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    LIFTS_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_VERIFICATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_TIME_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    IS_EXTENDED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_RATIO_FIELD_NUMBER: _ClassVar[int]
    EXPORT_SHA256_FIELD_NUMBER: _ClassVar[int]
    EXPORT_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXPORT_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    data_request: str
    type: DataRequestType
    state: DataRequestState
    channel: DataRequestChannel
    identity: str
    customer_id: str
    external_id: str
    lifts: bool
    identity_verification: str
    reason: str
    received_time: _timestamp_pb2.Timestamp
    due_time: _timestamp_pb2.Timestamp
    is_extended: bool
    steps: _containers.RepeatedCompositeFieldContainer[DataRequestStep]
    progress_ratio: float
    export_sha256: str
    export_bytes: int
    export_expire_time: _timestamp_pb2.Timestamp
    error: _common_pb2.WorkError
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, data_request: _Optional[str] = ..., type: _Optional[_Union[DataRequestType, str]] = ..., state: _Optional[_Union[DataRequestState, str]] = ..., channel: _Optional[_Union[DataRequestChannel, str]] = ..., identity: _Optional[str] = ..., customer_id: _Optional[str] = ..., external_id: _Optional[str] = ..., lifts: _Optional[bool] = ..., identity_verification: _Optional[str] = ..., reason: _Optional[str] = ..., received_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_extended: _Optional[bool] = ..., steps: _Optional[_Iterable[_Union[DataRequestStep, _Mapping]]] = ..., progress_ratio: _Optional[float] = ..., export_sha256: _Optional[str] = ..., export_bytes: _Optional[int] = ..., export_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[_common_pb2.WorkError, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Correction(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class CreateDataRequestRequest(_message.Message):
    __slots__ = ("customer", "type", "channel", "identity_verification", "received_time", "corrections", "lifts", "request_id")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_VERIFICATION_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_TIME_FIELD_NUMBER: _ClassVar[int]
    CORRECTIONS_FIELD_NUMBER: _ClassVar[int]
    LIFTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    customer: str
    type: DataRequestType
    channel: DataRequestChannel
    identity_verification: str
    received_time: _timestamp_pb2.Timestamp
    corrections: _containers.RepeatedCompositeFieldContainer[Correction]
    lifts: bool
    request_id: str
    def __init__(self, customer: _Optional[str] = ..., type: _Optional[_Union[DataRequestType, str]] = ..., channel: _Optional[_Union[DataRequestChannel, str]] = ..., identity_verification: _Optional[str] = ..., received_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., corrections: _Optional[_Iterable[_Union[Correction, _Mapping]]] = ..., lifts: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateDataRequestResponse(_message.Message):
    __slots__ = ("data_request",)
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    data_request: DataRequest
    def __init__(self, data_request: _Optional[_Union[DataRequest, _Mapping]] = ...) -> None: ...

class GetDataRequestRequest(_message.Message):
    __slots__ = ("data_request",)
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    data_request: str
    def __init__(self, data_request: _Optional[str] = ...) -> None: ...

class GetDataRequestResponse(_message.Message):
    __slots__ = ("data_request",)
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    data_request: DataRequest
    def __init__(self, data_request: _Optional[_Union[DataRequest, _Mapping]] = ...) -> None: ...

class ListDataRequestsRequest(_message.Message):
    __slots__ = ("state", "type", "customer", "page_size", "page_token")
    STATE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    state: DataRequestState
    type: DataRequestType
    customer: str
    page_size: int
    page_token: str
    def __init__(self, state: _Optional[_Union[DataRequestState, str]] = ..., type: _Optional[_Union[DataRequestType, str]] = ..., customer: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDataRequestsResponse(_message.Message):
    __slots__ = ("data_requests", "next_page_token")
    DATA_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    data_requests: _containers.RepeatedCompositeFieldContainer[DataRequest]
    next_page_token: str
    def __init__(self, data_requests: _Optional[_Iterable[_Union[DataRequest, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ApproveDataRequestRequest(_message.Message):
    __slots__ = ("data_request", "identity_verification", "request_id")
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_VERIFICATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    data_request: str
    identity_verification: str
    request_id: str
    def __init__(self, data_request: _Optional[str] = ..., identity_verification: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ApproveDataRequestResponse(_message.Message):
    __slots__ = ("data_request",)
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    data_request: DataRequest
    def __init__(self, data_request: _Optional[_Union[DataRequest, _Mapping]] = ...) -> None: ...

class RejectDataRequestRequest(_message.Message):
    __slots__ = ("data_request", "reason", "request_id")
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    data_request: str
    reason: str
    request_id: str
    def __init__(self, data_request: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RejectDataRequestResponse(_message.Message):
    __slots__ = ("data_request",)
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    data_request: DataRequest
    def __init__(self, data_request: _Optional[_Union[DataRequest, _Mapping]] = ...) -> None: ...

class CancelDataRequestRequest(_message.Message):
    __slots__ = ("data_request", "request_id")
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    data_request: str
    request_id: str
    def __init__(self, data_request: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CancelDataRequestResponse(_message.Message):
    __slots__ = ("data_request",)
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    data_request: DataRequest
    def __init__(self, data_request: _Optional[_Union[DataRequest, _Mapping]] = ...) -> None: ...

class ExtendDataRequestRequest(_message.Message):
    __slots__ = ("data_request", "reason", "request_id")
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    data_request: str
    reason: str
    request_id: str
    def __init__(self, data_request: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ExtendDataRequestResponse(_message.Message):
    __slots__ = ("data_request",)
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    data_request: DataRequest
    def __init__(self, data_request: _Optional[_Union[DataRequest, _Mapping]] = ...) -> None: ...

class DownloadDataExportRequest(_message.Message):
    __slots__ = ("data_request",)
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    data_request: str
    def __init__(self, data_request: _Optional[str] = ...) -> None: ...

class SetLegalHoldRequest(_message.Message):
    __slots__ = ("customer", "reason", "is_held", "request_id")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    IS_HELD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    customer: str
    reason: str
    is_held: bool
    request_id: str
    def __init__(self, customer: _Optional[str] = ..., reason: _Optional[str] = ..., is_held: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetLegalHoldResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LiftSuppressionRequest(_message.Message):
    __slots__ = ("external_id", "reason", "request_id")
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    external_id: str
    reason: str
    request_id: str
    def __init__(self, external_id: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class LiftSuppressionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
