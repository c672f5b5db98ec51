import datetime

from cohortlens.v1 import common_pb2 as _common_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Controller(_message.Message):
    __slots__ = ("name", "address", "contact", "country", "storage_countries", "authority", "rights_url")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    STORAGE_COUNTRIES_FIELD_NUMBER: _ClassVar[int]
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_URL_FIELD_NUMBER: _ClassVar[int]
    name: str
    address: str
    contact: str
    country: str
    storage_countries: _containers.RepeatedScalarFieldContainer[str]
    authority: str
    rights_url: str
    def __init__(self, name: _Optional[str] = ..., address: _Optional[str] = ..., contact: _Optional[str] = ..., country: _Optional[str] = ..., storage_countries: _Optional[_Iterable[str]] = ..., authority: _Optional[str] = ..., rights_url: _Optional[str] = ...) -> None: ...

class PurposeVersion(_message.Message):
    __slots__ = ("purpose", "version")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    version: int
    def __init__(self, purpose: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("notice", "name", "version", "locale", "content", "sha256", "purposes", "controller", "create_time")
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    notice: str
    name: str
    version: int
    locale: str
    content: str
    sha256: str
    purposes: _containers.RepeatedCompositeFieldContainer[PurposeVersion]
    controller: Controller
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, notice: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., locale: _Optional[str] = ..., content: _Optional[str] = ..., sha256: _Optional[str] = ..., purposes: _Optional[_Iterable[_Union[PurposeVersion, _Mapping]]] = ..., controller: _Optional[_Union[Controller, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PublishNoticeRequest(_message.Message):
    __slots__ = ("name", "version", "locale", "content", "purposes", "controller", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    locale: str
    content: str
    purposes: _containers.RepeatedCompositeFieldContainer[PurposeVersion]
    controller: Controller
    request_id: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., locale: _Optional[str] = ..., content: _Optional[str] = ..., purposes: _Optional[_Iterable[_Union[PurposeVersion, _Mapping]]] = ..., controller: _Optional[_Union[Controller, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class PublishNoticeResponse(_message.Message):
    __slots__ = ("notice",)
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    notice: Notice
    def __init__(self, notice: _Optional[_Union[Notice, _Mapping]] = ...) -> None: ...

class GetNoticeRequest(_message.Message):
    __slots__ = ("notice",)
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    notice: str
    def __init__(self, notice: _Optional[str] = ...) -> None: ...

class GetNoticeResponse(_message.Message):
    __slots__ = ("notice",)
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    notice: Notice
    def __init__(self, notice: _Optional[_Union[Notice, _Mapping]] = ...) -> None: ...
