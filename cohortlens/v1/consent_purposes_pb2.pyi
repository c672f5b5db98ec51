import datetime

from cohortlens.v1 import common_pb2 as _common_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LawfulBasis(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LAWFUL_BASIS_UNSPECIFIED: _ClassVar[LawfulBasis]
    LAWFUL_BASIS_CONSENT: _ClassVar[LawfulBasis]
    LAWFUL_BASIS_CONTRACT: _ClassVar[LawfulBasis]
    LAWFUL_BASIS_LEGAL_OBLIGATION: _ClassVar[LawfulBasis]
    LAWFUL_BASIS_VITAL_INTEREST: _ClassVar[LawfulBasis]
    LAWFUL_BASIS_PUBLIC_TASK: _ClassVar[LawfulBasis]
    LAWFUL_BASIS_LEGITIMATE_INTEREST: _ClassVar[LawfulBasis]

class ConsentMechanism(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSENT_MECHANISM_UNSPECIFIED: _ClassVar[ConsentMechanism]
    CONSENT_MECHANISM_OPT_IN: _ClassVar[ConsentMechanism]
    CONSENT_MECHANISM_OPT_OUT: _ClassVar[ConsentMechanism]
    CONSENT_MECHANISM_NOTICE: _ClassVar[ConsentMechanism]
LAWFUL_BASIS_UNSPECIFIED: LawfulBasis
LAWFUL_BASIS_CONSENT: LawfulBasis
LAWFUL_BASIS_CONTRACT: LawfulBasis
LAWFUL_BASIS_LEGAL_OBLIGATION: LawfulBasis
LAWFUL_BASIS_VITAL_INTEREST: LawfulBasis
LAWFUL_BASIS_PUBLIC_TASK: LawfulBasis
LAWFUL_BASIS_LEGITIMATE_INTEREST: LawfulBasis
CONSENT_MECHANISM_UNSPECIFIED: ConsentMechanism
CONSENT_MECHANISM_OPT_IN: ConsentMechanism
CONSENT_MECHANISM_OPT_OUT: ConsentMechanism
CONSENT_MECHANISM_NOTICE: ConsentMechanism

class Purpose(_message.Message):
    __slots__ = ("purpose", "version", "title", "description", "dpv_purpose", "lawful_basis", "mechanism", "data_categories", "recipients", "retention_days", "validity_days", "requires_reconsent", "min_version", "activities", "create_time", "etag")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DPV_PURPOSE_FIELD_NUMBER: _ClassVar[int]
    LAWFUL_BASIS_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    DATA_CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    RECIPIENTS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_DAYS_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_DAYS_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_RECONSENT_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    ACTIVITIES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    version: int
    title: str
    description: str
    dpv_purpose: str
    lawful_basis: LawfulBasis
    mechanism: ConsentMechanism
    data_categories: _containers.RepeatedScalarFieldContainer[str]
    recipients: _containers.RepeatedScalarFieldContainer[str]
    retention_days: int
    validity_days: int
    requires_reconsent: bool
    min_version: int
    activities: _containers.RepeatedScalarFieldContainer[str]
    create_time: _timestamp_pb2.Timestamp
    etag: str
    def __init__(self, purpose: _Optional[str] = ..., version: _Optional[int] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., dpv_purpose: _Optional[str] = ..., lawful_basis: _Optional[_Union[LawfulBasis, str]] = ..., mechanism: _Optional[_Union[ConsentMechanism, str]] = ..., data_categories: _Optional[_Iterable[str]] = ..., recipients: _Optional[_Iterable[str]] = ..., retention_days: _Optional[int] = ..., validity_days: _Optional[int] = ..., requires_reconsent: _Optional[bool] = ..., min_version: _Optional[int] = ..., activities: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class CreatePurposeRequest(_message.Message):
    __slots__ = ("purpose", "title", "description", "dpv_purpose", "lawful_basis", "mechanism", "data_categories", "recipients", "retention_days", "validity_days", "activities", "request_id")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DPV_PURPOSE_FIELD_NUMBER: _ClassVar[int]
    LAWFUL_BASIS_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    DATA_CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    RECIPIENTS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_DAYS_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_DAYS_FIELD_NUMBER: _ClassVar[int]
    ACTIVITIES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    title: str
    description: str
    dpv_purpose: str
    lawful_basis: LawfulBasis
    mechanism: ConsentMechanism
    data_categories: _containers.RepeatedScalarFieldContainer[str]
    recipients: _containers.RepeatedScalarFieldContainer[str]
    retention_days: int
    validity_days: int
    activities: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    def __init__(self, purpose: _Optional[str] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., dpv_purpose: _Optional[str] = ..., lawful_basis: _Optional[_Union[LawfulBasis, str]] = ..., mechanism: _Optional[_Union[ConsentMechanism, str]] = ..., data_categories: _Optional[_Iterable[str]] = ..., recipients: _Optional[_Iterable[str]] = ..., retention_days: _Optional[int] = ..., validity_days: _Optional[int] = ..., activities: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreatePurposeResponse(_message.Message):
    __slots__ = ("purpose",)
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    purpose: Purpose
    def __init__(self, purpose: _Optional[_Union[Purpose, _Mapping]] = ...) -> None: ...

class UpdatePurposeRequest(_message.Message):
    __slots__ = ("purpose", "title", "description", "dpv_purpose", "lawful_basis", "mechanism", "data_categories", "recipients", "retention_days", "validity_days", "activities", "requires_reconsent", "update_mask", "etag", "validate_only", "request_id")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DPV_PURPOSE_FIELD_NUMBER: _ClassVar[int]
    LAWFUL_BASIS_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    DATA_CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    RECIPIENTS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_DAYS_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_DAYS_FIELD_NUMBER: _ClassVar[int]
    ACTIVITIES_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_RECONSENT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    title: str
    description: str
    dpv_purpose: str
    lawful_basis: LawfulBasis
    mechanism: ConsentMechanism
    data_categories: _containers.RepeatedScalarFieldContainer[str]
    recipients: _containers.RepeatedScalarFieldContainer[str]
    retention_days: int
    validity_days: int
    activities: _containers.RepeatedScalarFieldContainer[str]
    requires_reconsent: bool
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    validate_only: bool
    request_id: str
    def __init__(self, purpose: _Optional[str] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., dpv_purpose: _Optional[str] = ..., lawful_basis: _Optional[_Union[LawfulBasis, str]] = ..., mechanism: _Optional[_Union[ConsentMechanism, str]] = ..., data_categories: _Optional[_Iterable[str]] = ..., recipients: _Optional[_Iterable[str]] = ..., retention_days: _Optional[int] = ..., validity_days: _Optional[int] = ..., activities: _Optional[_Iterable[str]] = ..., requires_reconsent: _Optional[bool] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ..., validate_only: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdatePurposeResponse(_message.Message):
    __slots__ = ("purpose",)
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    purpose: Purpose
    def __init__(self, purpose: _Optional[_Union[Purpose, _Mapping]] = ...) -> None: ...

class ListPurposesRequest(_message.Message):
    __slots__ = ("versions_of",)
    VERSIONS_OF_FIELD_NUMBER: _ClassVar[int]
    versions_of: str
    def __init__(self, versions_of: _Optional[str] = ...) -> None: ...

class ListPurposesResponse(_message.Message):
    __slots__ = ("purposes",)
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    purposes: _containers.RepeatedCompositeFieldContainer[Purpose]
    def __init__(self, purposes: _Optional[_Iterable[_Union[Purpose, _Mapping]]] = ...) -> None: ...
