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

class AgreementState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGREEMENT_STATE_UNSPECIFIED: _ClassVar[AgreementState]
    AGREEMENT_STATE_REQUESTED: _ClassVar[AgreementState]
    AGREEMENT_STATE_OFFERED: _ClassVar[AgreementState]
    AGREEMENT_STATE_ACCEPTED: _ClassVar[AgreementState]
    AGREEMENT_STATE_AGREED: _ClassVar[AgreementState]
    AGREEMENT_STATE_VERIFIED: _ClassVar[AgreementState]
    AGREEMENT_STATE_FINALIZED: _ClassVar[AgreementState]
    AGREEMENT_STATE_TERMINATED: _ClassVar[AgreementState]
AGREEMENT_STATE_UNSPECIFIED: AgreementState
AGREEMENT_STATE_REQUESTED: AgreementState
AGREEMENT_STATE_OFFERED: AgreementState
AGREEMENT_STATE_ACCEPTED: AgreementState
AGREEMENT_STATE_AGREED: AgreementState
AGREEMENT_STATE_VERIFIED: AgreementState
AGREEMENT_STATE_FINALIZED: AgreementState
AGREEMENT_STATE_TERMINATED: AgreementState

class AgreementMove(_message.Message):
    __slots__ = ("state", "actor", "time")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    state: AgreementState
    actor: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, state: _Optional[_Union[AgreementState, str]] = ..., actor: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Agreement(_message.Message):
    __slots__ = ("agreement", "offer", "offer_version", "is_seller", "purpose", "state", "reason", "price_minor", "currency", "incentive_micro", "data_revision", "create_time", "end_time", "moves")
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    OFFER_VERSION_FIELD_NUMBER: _ClassVar[int]
    IS_SELLER_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PRICE_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    INCENTIVE_MICRO_FIELD_NUMBER: _ClassVar[int]
    DATA_REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    agreement: str
    offer: str
    offer_version: int
    is_seller: bool
    purpose: str
    state: AgreementState
    reason: str
    price_minor: int
    currency: str
    incentive_micro: int
    data_revision: int
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    moves: _containers.RepeatedCompositeFieldContainer[AgreementMove]
    def __init__(self, agreement: _Optional[str] = ..., offer: _Optional[str] = ..., offer_version: _Optional[int] = ..., is_seller: _Optional[bool] = ..., purpose: _Optional[str] = ..., state: _Optional[_Union[AgreementState, str]] = ..., reason: _Optional[str] = ..., price_minor: _Optional[int] = ..., currency: _Optional[str] = ..., incentive_micro: _Optional[int] = ..., data_revision: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., moves: _Optional[_Iterable[_Union[AgreementMove, _Mapping]]] = ...) -> None: ...

class RequestAccessRequest(_message.Message):
    __slots__ = ("offer", "offer_version", "purpose", "request_id")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    OFFER_VERSION_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    offer: str
    offer_version: int
    purpose: str
    request_id: str
    def __init__(self, offer: _Optional[str] = ..., offer_version: _Optional[int] = ..., purpose: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RequestAccessResponse(_message.Message):
    __slots__ = ("agreement",)
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    agreement: Agreement
    def __init__(self, agreement: _Optional[_Union[Agreement, _Mapping]] = ...) -> None: ...

class ListAccessRequestsRequest(_message.Message):
    __slots__ = ("offer", "page_size", "page_token")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    offer: str
    page_size: int
    page_token: str
    def __init__(self, offer: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAccessRequestsResponse(_message.Message):
    __slots__ = ("agreements", "next_page_token")
    AGREEMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    agreements: _containers.RepeatedCompositeFieldContainer[Agreement]
    next_page_token: str
    def __init__(self, agreements: _Optional[_Iterable[_Union[Agreement, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ApproveAccessRequestRequest(_message.Message):
    __slots__ = ("agreement", "request_id")
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    agreement: str
    request_id: str
    def __init__(self, agreement: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ApproveAccessRequestResponse(_message.Message):
    __slots__ = ("agreement",)
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    agreement: Agreement
    def __init__(self, agreement: _Optional[_Union[Agreement, _Mapping]] = ...) -> None: ...

class RejectAccessRequestRequest(_message.Message):
    __slots__ = ("agreement", "reason", "request_id")
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    agreement: str
    reason: str
    request_id: str
    def __init__(self, agreement: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RejectAccessRequestResponse(_message.Message):
    __slots__ = ("agreement",)
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    agreement: Agreement
    def __init__(self, agreement: _Optional[_Union[Agreement, _Mapping]] = ...) -> None: ...

class GetAgreementRequest(_message.Message):
    __slots__ = ("agreement",)
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    agreement: str
    def __init__(self, agreement: _Optional[str] = ...) -> None: ...

class GetAgreementResponse(_message.Message):
    __slots__ = ("agreement",)
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    agreement: Agreement
    def __init__(self, agreement: _Optional[_Union[Agreement, _Mapping]] = ...) -> None: ...

class TerminateAgreementRequest(_message.Message):
    __slots__ = ("agreement", "reason", "request_id")
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    agreement: str
    reason: str
    request_id: str
    def __init__(self, agreement: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class TerminateAgreementResponse(_message.Message):
    __slots__ = ("agreement",)
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    agreement: Agreement
    def __init__(self, agreement: _Optional[_Union[Agreement, _Mapping]] = ...) -> None: ...

class GetSettlementRequest(_message.Message):
    __slots__ = ("agreement",)
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    agreement: str
    def __init__(self, agreement: _Optional[str] = ...) -> None: ...

class SettlementAccount(_message.Message):
    __slots__ = ("account", "currency", "amount", "entries")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    account: str
    currency: str
    amount: int
    entries: int
    def __init__(self, account: _Optional[str] = ..., currency: _Optional[str] = ..., amount: _Optional[int] = ..., entries: _Optional[int] = ...) -> None: ...

class SettlementStep(_message.Message):
    __slots__ = ("step", "time")
    STEP_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    step: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, step: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetSettlementResponse(_message.Message):
    __slots__ = ("settlement", "steps", "accounts", "accrued_micro", "rewards", "credential_json", "cid", "last_reason")
    class RewardsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SETTLEMENT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    ACCRUED_MICRO_FIELD_NUMBER: _ClassVar[int]
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_JSON_FIELD_NUMBER: _ClassVar[int]
    CID_FIELD_NUMBER: _ClassVar[int]
    LAST_REASON_FIELD_NUMBER: _ClassVar[int]
    settlement: str
    steps: _containers.RepeatedCompositeFieldContainer[SettlementStep]
    accounts: _containers.RepeatedCompositeFieldContainer[SettlementAccount]
    accrued_micro: int
    rewards: _containers.ScalarMap[str, int]
    credential_json: str
    cid: str
    last_reason: str
    def __init__(self, settlement: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[SettlementStep, _Mapping]]] = ..., accounts: _Optional[_Iterable[_Union[SettlementAccount, _Mapping]]] = ..., accrued_micro: _Optional[int] = ..., rewards: _Optional[_Mapping[str, int]] = ..., credential_json: _Optional[str] = ..., cid: _Optional[str] = ..., last_reason: _Optional[str] = ...) -> None: ...
