import datetime

from cohortlens.v1 import common_pb2 as _common_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CredentialState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CREDENTIAL_STATE_UNSPECIFIED: _ClassVar[CredentialState]
    CREDENTIAL_STATE_ACTIVE: _ClassVar[CredentialState]
    CREDENTIAL_STATE_REVOKED: _ClassVar[CredentialState]
    CREDENTIAL_STATE_EXPIRED: _ClassVar[CredentialState]

class KeyRotationReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_ROTATION_REASON_UNSPECIFIED: _ClassVar[KeyRotationReason]
    KEY_ROTATION_REASON_ROUTINE: _ClassVar[KeyRotationReason]
    KEY_ROTATION_REASON_COMPROMISED: _ClassVar[KeyRotationReason]
CREDENTIAL_STATE_UNSPECIFIED: CredentialState
CREDENTIAL_STATE_ACTIVE: CredentialState
CREDENTIAL_STATE_REVOKED: CredentialState
CREDENTIAL_STATE_EXPIRED: CredentialState
KEY_ROTATION_REASON_UNSPECIFIED: KeyRotationReason
KEY_ROTATION_REASON_ROUTINE: KeyRotationReason
KEY_ROTATION_REASON_COMPROMISED: KeyRotationReason

class Credential(_message.Message):
    __slots__ = ("credential", "event", "purpose", "state", "issuer", "cryptosuite", "status_list", "status_index", "valid_from", "valid_until", "issue_time", "revoke_time", "revoke_reason", "credential_json")
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    CRYPTOSUITE_FIELD_NUMBER: _ClassVar[int]
    STATUS_LIST_FIELD_NUMBER: _ClassVar[int]
    STATUS_INDEX_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    ISSUE_TIME_FIELD_NUMBER: _ClassVar[int]
    REVOKE_TIME_FIELD_NUMBER: _ClassVar[int]
    REVOKE_REASON_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_JSON_FIELD_NUMBER: _ClassVar[int]
    credential: str
    event: str
    purpose: str
    state: CredentialState
    issuer: str
    cryptosuite: str
    status_list: str
    status_index: int
    valid_from: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    issue_time: _timestamp_pb2.Timestamp
    revoke_time: _timestamp_pb2.Timestamp
    revoke_reason: str
    credential_json: str
    def __init__(self, credential: _Optional[str] = ..., event: _Optional[str] = ..., purpose: _Optional[str] = ..., state: _Optional[_Union[CredentialState, str]] = ..., issuer: _Optional[str] = ..., cryptosuite: _Optional[str] = ..., status_list: _Optional[str] = ..., status_index: _Optional[int] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., issue_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoke_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoke_reason: _Optional[str] = ..., credential_json: _Optional[str] = ...) -> None: ...

class GetCredentialRequest(_message.Message):
    __slots__ = ("credential",)
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    credential: str
    def __init__(self, credential: _Optional[str] = ...) -> None: ...

class GetCredentialResponse(_message.Message):
    __slots__ = ("credential",)
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    credential: Credential
    def __init__(self, credential: _Optional[_Union[Credential, _Mapping]] = ...) -> None: ...

class DownloadCredentialRequest(_message.Message):
    __slots__ = ("credential",)
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    credential: str
    def __init__(self, credential: _Optional[str] = ...) -> None: ...

class ListCredentialsRequest(_message.Message):
    __slots__ = ("customer", "purpose", "state", "page_size", "page_token")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    customer: str
    purpose: str
    state: CredentialState
    page_size: int
    page_token: str
    def __init__(self, customer: _Optional[str] = ..., purpose: _Optional[str] = ..., state: _Optional[_Union[CredentialState, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCredentialsResponse(_message.Message):
    __slots__ = ("credentials", "next_page_token")
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    credentials: _containers.RepeatedCompositeFieldContainer[Credential]
    next_page_token: str
    def __init__(self, credentials: _Optional[_Iterable[_Union[Credential, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class VerifyCredentialRequest(_message.Message):
    __slots__ = ("credential",)
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    credential: _httpbody_pb2.HttpBody
    def __init__(self, credential: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...

class ProofRefusal(_message.Message):
    __slots__ = ("reason", "detail", "proof_index")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    PROOF_INDEX_FIELD_NUMBER: _ClassVar[int]
    reason: str
    detail: str
    proof_index: int
    def __init__(self, reason: _Optional[str] = ..., detail: _Optional[str] = ..., proof_index: _Optional[int] = ...) -> None: ...

class VerifyCredentialResponse(_message.Message):
    __slots__ = ("verified", "refusals", "issuer", "types", "valid_from", "valid_until", "status")
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    verified: bool
    refusals: _containers.RepeatedCompositeFieldContainer[ProofRefusal]
    issuer: str
    types: _containers.RepeatedScalarFieldContainer[str]
    valid_from: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    status: str
    def __init__(self, verified: _Optional[bool] = ..., refusals: _Optional[_Iterable[_Union[ProofRefusal, _Mapping]]] = ..., issuer: _Optional[str] = ..., types: _Optional[_Iterable[str]] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., status: _Optional[str] = ...) -> None: ...

class RevokeCredentialRequest(_message.Message):
    __slots__ = ("credential", "reason", "request_id")
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    credential: str
    reason: str
    request_id: str
    def __init__(self, credential: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RevokeCredentialResponse(_message.Message):
    __slots__ = ("credential",)
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    credential: Credential
    def __init__(self, credential: _Optional[_Union[Credential, _Mapping]] = ...) -> None: ...

class GetIssuerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IssuerKey(_message.Message):
    __slots__ = ("kid", "state", "not_before", "not_after", "public_key_multibase")
    KID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_MULTIBASE_FIELD_NUMBER: _ClassVar[int]
    kid: str
    state: str
    not_before: _timestamp_pb2.Timestamp
    not_after: _timestamp_pb2.Timestamp
    public_key_multibase: str
    def __init__(self, kid: _Optional[str] = ..., state: _Optional[str] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., public_key_multibase: _Optional[str] = ...) -> None: ...

class GetIssuerResponse(_message.Message):
    __slots__ = ("did", "issuer", "keys")
    DID_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    did: str
    issuer: str
    keys: _containers.RepeatedCompositeFieldContainer[IssuerKey]
    def __init__(self, did: _Optional[str] = ..., issuer: _Optional[str] = ..., keys: _Optional[_Iterable[_Union[IssuerKey, _Mapping]]] = ...) -> None: ...

class RotateIssuerKeyRequest(_message.Message):
    __slots__ = ("reason", "request_id")
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    reason: KeyRotationReason
    request_id: str
    def __init__(self, reason: _Optional[_Union[KeyRotationReason, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class RotateIssuerKeyResponse(_message.Message):
    __slots__ = ("kid", "did", "reissued")
    KID_FIELD_NUMBER: _ClassVar[int]
    DID_FIELD_NUMBER: _ClassVar[int]
    REISSUED_FIELD_NUMBER: _ClassVar[int]
    kid: str
    did: str
    reissued: int
    def __init__(self, kid: _Optional[str] = ..., did: _Optional[str] = ..., reissued: _Optional[int] = ...) -> None: ...

class GetFulfilmentRequest(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: str
    def __init__(self, event: _Optional[str] = ...) -> None: ...

class FulfilmentStep(_message.Message):
    __slots__ = ("state", "id")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    state: str
    id: str
    def __init__(self, state: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class CommitmentSalt(_message.Message):
    __slots__ = ("of", "salt")
    OF_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    of: str
    salt: str
    def __init__(self, of: _Optional[str] = ..., salt: _Optional[str] = ...) -> None: ...

class GetFulfilmentResponse(_message.Message):
    __slots__ = ("event", "credential", "reward", "pin", "last_reason", "attempts", "transaction", "salts", "end_time", "end_reason", "update_time")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    PIN_FIELD_NUMBER: _ClassVar[int]
    LAST_REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    SALTS_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    END_REASON_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    event: str
    credential: FulfilmentStep
    reward: FulfilmentStep
    pin: FulfilmentStep
    last_reason: str
    attempts: int
    transaction: str
    salts: _containers.RepeatedCompositeFieldContainer[CommitmentSalt]
    end_time: _timestamp_pb2.Timestamp
    end_reason: str
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, event: _Optional[str] = ..., credential: _Optional[_Union[FulfilmentStep, _Mapping]] = ..., reward: _Optional[_Union[FulfilmentStep, _Mapping]] = ..., pin: _Optional[_Union[FulfilmentStep, _Mapping]] = ..., last_reason: _Optional[str] = ..., attempts: _Optional[int] = ..., transaction: _Optional[str] = ..., salts: _Optional[_Iterable[_Union[CommitmentSalt, _Mapping]]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_reason: _Optional[str] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CommitmentOpening(_message.Message):
    __slots__ = ("of", "salt", "content")
    OF_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    of: str
    salt: str
    content: bytes
    def __init__(self, of: _Optional[str] = ..., salt: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class VerifyReceiptPinRequest(_message.Message):
    __slots__ = ("cid", "signed_json", "openings")
    CID_FIELD_NUMBER: _ClassVar[int]
    SIGNED_JSON_FIELD_NUMBER: _ClassVar[int]
    OPENINGS_FIELD_NUMBER: _ClassVar[int]
    cid: str
    signed_json: bytes
    openings: _containers.RepeatedCompositeFieldContainer[CommitmentOpening]
    def __init__(self, cid: _Optional[str] = ..., signed_json: _Optional[bytes] = ..., openings: _Optional[_Iterable[_Union[CommitmentOpening, _Mapping]]] = ...) -> None: ...

class VerifyReceiptPinResponse(_message.Message):
    __slots__ = ("verified", "refusals", "issuer", "state", "superseded_by")
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_BY_FIELD_NUMBER: _ClassVar[int]
    verified: bool
    refusals: _containers.RepeatedCompositeFieldContainer[ProofRefusal]
    issuer: str
    state: str
    superseded_by: str
    def __init__(self, verified: _Optional[bool] = ..., refusals: _Optional[_Iterable[_Union[ProofRefusal, _Mapping]]] = ..., issuer: _Optional[str] = ..., state: _Optional[str] = ..., superseded_by: _Optional[str] = ...) -> None: ...

class GetStatusListRequest(_message.Message):
    __slots__ = ("status_list",)
    STATUS_LIST_FIELD_NUMBER: _ClassVar[int]
    status_list: str
    def __init__(self, status_list: _Optional[str] = ...) -> None: ...

class GetDidDocumentRequest(_message.Message):
    __slots__ = ("issuer",)
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    def __init__(self, issuer: _Optional[str] = ...) -> None: ...
