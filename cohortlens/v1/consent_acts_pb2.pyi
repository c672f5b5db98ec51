import datetime

from cohortlens.v1 import common_pb2 as _common_pb2
from cohortlens.v1 import consent_notices_pb2 as _consent_notices_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CollectionMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COLLECTION_METHOD_UNSPECIFIED: _ClassVar[CollectionMethod]
    COLLECTION_METHOD_FORM: _ClassVar[CollectionMethod]
    COLLECTION_METHOD_BANNER: _ClassVar[CollectionMethod]
    COLLECTION_METHOD_API: _ClassVar[CollectionMethod]
    COLLECTION_METHOD_IMPORT: _ClassVar[CollectionMethod]
    COLLECTION_METHOD_LINK: _ClassVar[CollectionMethod]
    COLLECTION_METHOD_SIGNAL: _ClassVar[CollectionMethod]
    COLLECTION_METHOD_SYSTEM: _ClassVar[CollectionMethod]

class ConsentAct(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSENT_ACT_UNSPECIFIED: _ClassVar[ConsentAct]
    CONSENT_ACT_GIVEN: _ClassVar[ConsentAct]
    CONSENT_ACT_REAFFIRMED: _ClassVar[ConsentAct]
    CONSENT_ACT_REFUSED: _ClassVar[ConsentAct]
    CONSENT_ACT_WITHDRAWN: _ClassVar[ConsentAct]
    CONSENT_ACT_EXPIRED: _ClassVar[ConsentAct]
    CONSENT_ACT_INVALIDATED: _ClassVar[ConsentAct]

class ConsentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSENT_STATE_UNSPECIFIED: _ClassVar[ConsentState]
    CONSENT_STATE_NONE: _ClassVar[ConsentState]
    CONSENT_STATE_GIVEN: _ClassVar[ConsentState]
    CONSENT_STATE_REFUSED: _ClassVar[ConsentState]
    CONSENT_STATE_WITHDRAWN: _ClassVar[ConsentState]
    CONSENT_STATE_EXPIRED: _ClassVar[ConsentState]
    CONSENT_STATE_INVALIDATED: _ClassVar[ConsentState]

class GoogleConsent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GOOGLE_CONSENT_UNSPECIFIED: _ClassVar[GoogleConsent]
    GOOGLE_CONSENT_GRANTED: _ClassVar[GoogleConsent]
    GOOGLE_CONSENT_DENIED: _ClassVar[GoogleConsent]
COLLECTION_METHOD_UNSPECIFIED: CollectionMethod
COLLECTION_METHOD_FORM: CollectionMethod
COLLECTION_METHOD_BANNER: CollectionMethod
COLLECTION_METHOD_API: CollectionMethod
COLLECTION_METHOD_IMPORT: CollectionMethod
COLLECTION_METHOD_LINK: CollectionMethod
COLLECTION_METHOD_SIGNAL: CollectionMethod
COLLECTION_METHOD_SYSTEM: CollectionMethod
CONSENT_ACT_UNSPECIFIED: ConsentAct
CONSENT_ACT_GIVEN: ConsentAct
CONSENT_ACT_REAFFIRMED: ConsentAct
CONSENT_ACT_REFUSED: ConsentAct
CONSENT_ACT_WITHDRAWN: ConsentAct
CONSENT_ACT_EXPIRED: ConsentAct
CONSENT_ACT_INVALIDATED: ConsentAct
CONSENT_STATE_UNSPECIFIED: ConsentState
CONSENT_STATE_NONE: ConsentState
CONSENT_STATE_GIVEN: ConsentState
CONSENT_STATE_REFUSED: ConsentState
CONSENT_STATE_WITHDRAWN: ConsentState
CONSENT_STATE_EXPIRED: ConsentState
CONSENT_STATE_INVALIDATED: ConsentState
GOOGLE_CONSENT_UNSPECIFIED: GoogleConsent
GOOGLE_CONSENT_GRANTED: GoogleConsent
GOOGLE_CONSENT_DENIED: GoogleConsent

class ConsentCustomer(_message.Message):
    __slots__ = ("customer", "external_id")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    customer: str
    external_id: str
    def __init__(self, customer: _Optional[str] = ..., external_id: _Optional[str] = ...) -> None: ...

class ConsentEvidence(_message.Message):
    __slots__ = ("address", "user_agent", "url")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    USER_AGENT_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    address: str
    user_agent: str
    url: str
    def __init__(self, address: _Optional[str] = ..., user_agent: _Optional[str] = ..., url: _Optional[str] = ...) -> None: ...

class ConsentSignals(_message.Message):
    __slots__ = ("gpc", "ad_storage", "ad_user_data", "ad_personalization", "analytics_storage")
    GPC_FIELD_NUMBER: _ClassVar[int]
    AD_STORAGE_FIELD_NUMBER: _ClassVar[int]
    AD_USER_DATA_FIELD_NUMBER: _ClassVar[int]
    AD_PERSONALIZATION_FIELD_NUMBER: _ClassVar[int]
    ANALYTICS_STORAGE_FIELD_NUMBER: _ClassVar[int]
    gpc: bool
    ad_storage: GoogleConsent
    ad_user_data: GoogleConsent
    ad_personalization: GoogleConsent
    analytics_storage: GoogleConsent
    def __init__(self, gpc: _Optional[bool] = ..., ad_storage: _Optional[_Union[GoogleConsent, str]] = ..., ad_user_data: _Optional[_Union[GoogleConsent, str]] = ..., ad_personalization: _Optional[_Union[GoogleConsent, str]] = ..., analytics_storage: _Optional[_Union[GoogleConsent, str]] = ...) -> None: ...

class CustomerConsent(_message.Message):
    __slots__ = ("purpose", "state", "since", "expire_time", "purpose_version", "consent_event", "customer", "consent_version", "notice_version", "receipt")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONSENT_EVENT_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CONSENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    NOTICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    state: ConsentState
    since: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    purpose_version: int
    consent_event: str
    customer: ConsentCustomer
    consent_version: int
    notice_version: int
    receipt: str
    def __init__(self, purpose: _Optional[str] = ..., state: _Optional[_Union[ConsentState, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., purpose_version: _Optional[int] = ..., consent_event: _Optional[str] = ..., customer: _Optional[_Union[ConsentCustomer, _Mapping]] = ..., consent_version: _Optional[int] = ..., notice_version: _Optional[int] = ..., receipt: _Optional[str] = ...) -> None: ...

class GrantConsentRequest(_message.Message):
    __slots__ = ("customer", "purposes", "notice", "locale", "method", "collect_time", "evidence", "signals", "request_id")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    COLLECT_TIME_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    customer: str
    purposes: _containers.RepeatedCompositeFieldContainer[_consent_notices_pb2.PurposeVersion]
    notice: str
    locale: str
    method: CollectionMethod
    collect_time: _timestamp_pb2.Timestamp
    evidence: ConsentEvidence
    signals: ConsentSignals
    request_id: str
    def __init__(self, customer: _Optional[str] = ..., purposes: _Optional[_Iterable[_Union[_consent_notices_pb2.PurposeVersion, _Mapping]]] = ..., notice: _Optional[str] = ..., locale: _Optional[str] = ..., method: _Optional[_Union[CollectionMethod, str]] = ..., collect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., evidence: _Optional[_Union[ConsentEvidence, _Mapping]] = ..., signals: _Optional[_Union[ConsentSignals, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class GrantConsentResponse(_message.Message):
    __slots__ = ("consents", "receipt")
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    consents: _containers.RepeatedCompositeFieldContainer[CustomerConsent]
    receipt: str
    def __init__(self, consents: _Optional[_Iterable[_Union[CustomerConsent, _Mapping]]] = ..., receipt: _Optional[str] = ...) -> None: ...

class RefuseConsentRequest(_message.Message):
    __slots__ = ("customer", "purposes", "notice", "locale", "method", "collect_time", "evidence", "signals", "request_id")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    COLLECT_TIME_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    customer: str
    purposes: _containers.RepeatedCompositeFieldContainer[_consent_notices_pb2.PurposeVersion]
    notice: str
    locale: str
    method: CollectionMethod
    collect_time: _timestamp_pb2.Timestamp
    evidence: ConsentEvidence
    signals: ConsentSignals
    request_id: str
    def __init__(self, customer: _Optional[str] = ..., purposes: _Optional[_Iterable[_Union[_consent_notices_pb2.PurposeVersion, _Mapping]]] = ..., notice: _Optional[str] = ..., locale: _Optional[str] = ..., method: _Optional[_Union[CollectionMethod, str]] = ..., collect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., evidence: _Optional[_Union[ConsentEvidence, _Mapping]] = ..., signals: _Optional[_Union[ConsentSignals, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class RefuseConsentResponse(_message.Message):
    __slots__ = ("consents", "receipt")
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    consents: _containers.RepeatedCompositeFieldContainer[CustomerConsent]
    receipt: str
    def __init__(self, consents: _Optional[_Iterable[_Union[CustomerConsent, _Mapping]]] = ..., receipt: _Optional[str] = ...) -> None: ...

class WithdrawConsentRequest(_message.Message):
    __slots__ = ("customer", "purposes", "method", "collect_time", "evidence", "request_id")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    COLLECT_TIME_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    customer: str
    purposes: _containers.RepeatedCompositeFieldContainer[_consent_notices_pb2.PurposeVersion]
    method: CollectionMethod
    collect_time: _timestamp_pb2.Timestamp
    evidence: ConsentEvidence
    request_id: str
    def __init__(self, customer: _Optional[str] = ..., purposes: _Optional[_Iterable[_Union[_consent_notices_pb2.PurposeVersion, _Mapping]]] = ..., method: _Optional[_Union[CollectionMethod, str]] = ..., collect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., evidence: _Optional[_Union[ConsentEvidence, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class WithdrawConsentResponse(_message.Message):
    __slots__ = ("consents", "receipt")
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    consents: _containers.RepeatedCompositeFieldContainer[CustomerConsent]
    receipt: str
    def __init__(self, consents: _Optional[_Iterable[_Union[CustomerConsent, _Mapping]]] = ..., receipt: _Optional[str] = ...) -> None: ...

class ReaffirmConsentRequest(_message.Message):
    __slots__ = ("customer", "purposes", "notice", "locale", "method", "collect_time", "evidence", "request_id")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    COLLECT_TIME_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    customer: str
    purposes: _containers.RepeatedCompositeFieldContainer[_consent_notices_pb2.PurposeVersion]
    notice: str
    locale: str
    method: CollectionMethod
    collect_time: _timestamp_pb2.Timestamp
    evidence: ConsentEvidence
    request_id: str
    def __init__(self, customer: _Optional[str] = ..., purposes: _Optional[_Iterable[_Union[_consent_notices_pb2.PurposeVersion, _Mapping]]] = ..., notice: _Optional[str] = ..., locale: _Optional[str] = ..., method: _Optional[_Union[CollectionMethod, str]] = ..., collect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., evidence: _Optional[_Union[ConsentEvidence, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReaffirmConsentResponse(_message.Message):
    __slots__ = ("consents", "receipt")
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    consents: _containers.RepeatedCompositeFieldContainer[CustomerConsent]
    receipt: str
    def __init__(self, consents: _Optional[_Iterable[_Union[CustomerConsent, _Mapping]]] = ..., receipt: _Optional[str] = ...) -> None: ...

class ConsentRecord(_message.Message):
    __slots__ = ("customer", "act", "purposes", "notice", "locale", "method", "collect_time", "evidence")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    ACT_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    COLLECT_TIME_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    customer: str
    act: ConsentAct
    purposes: _containers.RepeatedCompositeFieldContainer[_consent_notices_pb2.PurposeVersion]
    notice: str
    locale: str
    method: CollectionMethod
    collect_time: _timestamp_pb2.Timestamp
    evidence: ConsentEvidence
    def __init__(self, customer: _Optional[str] = ..., act: _Optional[_Union[ConsentAct, str]] = ..., purposes: _Optional[_Iterable[_Union[_consent_notices_pb2.PurposeVersion, _Mapping]]] = ..., notice: _Optional[str] = ..., locale: _Optional[str] = ..., method: _Optional[_Union[CollectionMethod, str]] = ..., collect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., evidence: _Optional[_Union[ConsentEvidence, _Mapping]] = ...) -> None: ...

class BatchRecordConsentsRequest(_message.Message):
    __slots__ = ("records", "request_id")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[ConsentRecord]
    request_id: str
    def __init__(self, records: _Optional[_Iterable[_Union[ConsentRecord, _Mapping]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class BatchRecordConsentsResponse(_message.Message):
    __slots__ = ("events", "receipts")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    events: int
    receipts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, events: _Optional[int] = ..., receipts: _Optional[_Iterable[str]] = ...) -> None: ...

class GetConsentRequest(_message.Message):
    __slots__ = ("customer", "at")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    customer: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, customer: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetConsentResponse(_message.Message):
    __slots__ = ("consents",)
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    consents: _containers.RepeatedCompositeFieldContainer[CustomerConsent]
    def __init__(self, consents: _Optional[_Iterable[_Union[CustomerConsent, _Mapping]]] = ...) -> None: ...

class ListConsentsRequest(_message.Message):
    __slots__ = ("purpose", "state", "page_size", "page_token")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    state: ConsentState
    page_size: int
    page_token: str
    def __init__(self, purpose: _Optional[str] = ..., state: _Optional[_Union[ConsentState, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListConsentsResponse(_message.Message):
    __slots__ = ("consents", "next_page_token")
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    consents: _containers.RepeatedCompositeFieldContainer[CustomerConsent]
    next_page_token: str
    def __init__(self, consents: _Optional[_Iterable[_Union[CustomerConsent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ConsentEvent(_message.Message):
    __slots__ = ("consent_event", "customer", "purpose", "purpose_version", "act", "collect_time", "record_time", "expire_time", "method", "actor", "locale", "notice", "notice_sha256", "receipt", "previous_event", "evidence")
    CONSENT_EVENT_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ACT_FIELD_NUMBER: _ClassVar[int]
    COLLECT_TIME_FIELD_NUMBER: _ClassVar[int]
    RECORD_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    NOTICE_SHA256_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_EVENT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    consent_event: str
    customer: ConsentCustomer
    purpose: str
    purpose_version: int
    act: ConsentAct
    collect_time: _timestamp_pb2.Timestamp
    record_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    method: CollectionMethod
    actor: str
    locale: str
    notice: str
    notice_sha256: str
    receipt: str
    previous_event: str
    evidence: ConsentEvidence
    def __init__(self, consent_event: _Optional[str] = ..., customer: _Optional[_Union[ConsentCustomer, _Mapping]] = ..., purpose: _Optional[str] = ..., purpose_version: _Optional[int] = ..., act: _Optional[_Union[ConsentAct, str]] = ..., collect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., record_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., method: _Optional[_Union[CollectionMethod, str]] = ..., actor: _Optional[str] = ..., locale: _Optional[str] = ..., notice: _Optional[str] = ..., notice_sha256: _Optional[str] = ..., receipt: _Optional[str] = ..., previous_event: _Optional[str] = ..., evidence: _Optional[_Union[ConsentEvidence, _Mapping]] = ...) -> None: ...

class ListConsentEventsRequest(_message.Message):
    __slots__ = ("customer", "purpose", "page_size", "page_token")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    customer: str
    purpose: str
    page_size: int
    page_token: str
    def __init__(self, customer: _Optional[str] = ..., purpose: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListConsentEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[ConsentEvent]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[ConsentEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
