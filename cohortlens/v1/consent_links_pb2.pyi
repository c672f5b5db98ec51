import datetime

from cohortlens.v1 import common_pb2 as _common_pb2
from cohortlens.v1 import consent_acts_pb2 as _consent_acts_pb2
from cohortlens.v1 import consent_data_requests_pb2 as _consent_data_requests_pb2
from cohortlens.v1 import consent_notices_pb2 as _consent_notices_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateConsentLinkRequest(_message.Message):
    __slots__ = ("customer", "page_url", "request_id")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PAGE_URL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    customer: str
    page_url: str
    request_id: str
    def __init__(self, customer: _Optional[str] = ..., page_url: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateConsentLinkResponse(_message.Message):
    __slots__ = ("link", "url", "expire_time")
    LINK_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    link: str
    url: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, link: _Optional[str] = ..., url: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class OpenConsentLinkRequest(_message.Message):
    __slots__ = ("secret",)
    SECRET_FIELD_NUMBER: _ClassVar[int]
    secret: str
    def __init__(self, secret: _Optional[str] = ...) -> None: ...

class OpenConsentLinkResponse(_message.Message):
    __slots__ = ("token", "expire_time")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    token: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, token: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateOwnDataRequestRequest(_message.Message):
    __slots__ = ("token", "type", "corrections", "lifts")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CORRECTIONS_FIELD_NUMBER: _ClassVar[int]
    LIFTS_FIELD_NUMBER: _ClassVar[int]
    token: str
    type: _consent_data_requests_pb2.DataRequestType
    corrections: _containers.RepeatedCompositeFieldContainer[_consent_data_requests_pb2.Correction]
    lifts: bool
    def __init__(self, token: _Optional[str] = ..., type: _Optional[_Union[_consent_data_requests_pb2.DataRequestType, str]] = ..., corrections: _Optional[_Iterable[_Union[_consent_data_requests_pb2.Correction, _Mapping]]] = ..., lifts: _Optional[bool] = ...) -> None: ...

class CreateOwnDataRequestResponse(_message.Message):
    __slots__ = ("data_request",)
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    data_request: _consent_data_requests_pb2.DataRequest
    def __init__(self, data_request: _Optional[_Union[_consent_data_requests_pb2.DataRequest, _Mapping]] = ...) -> None: ...

class ListOwnDataRequestsRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class ListOwnDataRequestsResponse(_message.Message):
    __slots__ = ("data_requests",)
    DATA_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    data_requests: _containers.RepeatedCompositeFieldContainer[_consent_data_requests_pb2.DataRequest]
    def __init__(self, data_requests: _Optional[_Iterable[_Union[_consent_data_requests_pb2.DataRequest, _Mapping]]] = ...) -> None: ...

class DownloadOwnDataExportRequest(_message.Message):
    __slots__ = ("token", "data_request")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DATA_REQUEST_FIELD_NUMBER: _ClassVar[int]
    token: str
    data_request: str
    def __init__(self, token: _Optional[str] = ..., data_request: _Optional[str] = ...) -> None: ...

class GetOwnConsentsRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class GetOwnConsentsResponse(_message.Message):
    __slots__ = ("consents",)
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    consents: _containers.RepeatedCompositeFieldContainer[_consent_acts_pb2.CustomerConsent]
    def __init__(self, consents: _Optional[_Iterable[_Union[_consent_acts_pb2.CustomerConsent, _Mapping]]] = ...) -> None: ...

class RecordOwnConsentRequest(_message.Message):
    __slots__ = ("token", "act", "purposes", "notice", "locale")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ACT_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    token: str
    act: _consent_acts_pb2.ConsentAct
    purposes: _containers.RepeatedCompositeFieldContainer[_consent_notices_pb2.PurposeVersion]
    notice: str
    locale: str
    def __init__(self, token: _Optional[str] = ..., act: _Optional[_Union[_consent_acts_pb2.ConsentAct, str]] = ..., purposes: _Optional[_Iterable[_Union[_consent_notices_pb2.PurposeVersion, _Mapping]]] = ..., notice: _Optional[str] = ..., locale: _Optional[str] = ...) -> None: ...

class RecordOwnConsentResponse(_message.Message):
    __slots__ = ("consents", "receipt")
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    consents: _containers.RepeatedCompositeFieldContainer[_consent_acts_pb2.CustomerConsent]
    receipt: str
    def __init__(self, consents: _Optional[_Iterable[_Union[_consent_acts_pb2.CustomerConsent, _Mapping]]] = ..., receipt: _Optional[str] = ...) -> None: ...
