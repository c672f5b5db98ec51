from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CredentialKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CREDENTIAL_KIND_UNSPECIFIED: _ClassVar[CredentialKind]
    CREDENTIAL_KIND_CONSENT: _ClassVar[CredentialKind]
    CREDENTIAL_KIND_AGREEMENT: _ClassVar[CredentialKind]

class Cryptosuite(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CRYPTOSUITE_UNSPECIFIED: _ClassVar[Cryptosuite]
    CRYPTOSUITE_EDDSA_RDFC_2022: _ClassVar[Cryptosuite]
    CRYPTOSUITE_EDDSA_JCS_2022: _ClassVar[Cryptosuite]

class DocumentKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DOCUMENT_KIND_UNSPECIFIED: _ClassVar[DocumentKind]
    DOCUMENT_KIND_RECEIPT: _ClassVar[DocumentKind]
    DOCUMENT_KIND_CHECKPOINT: _ClassVar[DocumentKind]
    DOCUMENT_KIND_OFFER_TERMS: _ClassVar[DocumentKind]

class RotationReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROTATION_REASON_UNSPECIFIED: _ClassVar[RotationReason]
    ROTATION_REASON_ROUTINE: _ClassVar[RotationReason]
    ROTATION_REASON_COMPROMISED: _ClassVar[RotationReason]
CREDENTIAL_KIND_UNSPECIFIED: CredentialKind
CREDENTIAL_KIND_CONSENT: CredentialKind
CREDENTIAL_KIND_AGREEMENT: CredentialKind
CRYPTOSUITE_UNSPECIFIED: Cryptosuite
CRYPTOSUITE_EDDSA_RDFC_2022: Cryptosuite
CRYPTOSUITE_EDDSA_JCS_2022: Cryptosuite
DOCUMENT_KIND_UNSPECIFIED: DocumentKind
DOCUMENT_KIND_RECEIPT: DocumentKind
DOCUMENT_KIND_CHECKPOINT: DocumentKind
DOCUMENT_KIND_OFFER_TERMS: DocumentKind
ROTATION_REASON_UNSPECIFIED: RotationReason
ROTATION_REASON_ROUTINE: RotationReason
ROTATION_REASON_COMPROMISED: RotationReason

class CredentialItem(_message.Message):
    __slots__ = ("source_id", "kind", "claims_json", "valid_until_s", "holder_did", "suite", "subject_id")
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_JSON_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    HOLDER_DID_FIELD_NUMBER: _ClassVar[int]
    SUITE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    source_id: bytes
    kind: CredentialKind
    claims_json: bytes
    valid_until_s: int
    holder_did: str
    suite: Cryptosuite
    subject_id: bytes
    def __init__(self, source_id: _Optional[bytes] = ..., kind: _Optional[_Union[CredentialKind, str]] = ..., claims_json: _Optional[bytes] = ..., valid_until_s: _Optional[int] = ..., holder_did: _Optional[str] = ..., suite: _Optional[_Union[Cryptosuite, str]] = ..., subject_id: _Optional[bytes] = ...) -> None: ...

class IssueCredentialsRequest(_message.Message):
    __slots__ = ("tenant_id", "operation_id", "items")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    operation_id: bytes
    items: _containers.RepeatedCompositeFieldContainer[CredentialItem]
    def __init__(self, tenant_id: _Optional[bytes] = ..., operation_id: _Optional[bytes] = ..., items: _Optional[_Iterable[_Union[CredentialItem, _Mapping]]] = ...) -> None: ...

class IssuedCredential(_message.Message):
    __slots__ = ("source_id", "credential_id", "credential_json", "sha256", "issuer_did", "status_list_id", "status_index", "valid_from_s", "valid_until_s", "suite")
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_JSON_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    ISSUER_DID_FIELD_NUMBER: _ClassVar[int]
    STATUS_LIST_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_INDEX_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_S_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    SUITE_FIELD_NUMBER: _ClassVar[int]
    source_id: bytes
    credential_id: bytes
    credential_json: bytes
    sha256: bytes
    issuer_did: str
    status_list_id: bytes
    status_index: int
    valid_from_s: int
    valid_until_s: int
    suite: Cryptosuite
    def __init__(self, source_id: _Optional[bytes] = ..., credential_id: _Optional[bytes] = ..., credential_json: _Optional[bytes] = ..., sha256: _Optional[bytes] = ..., issuer_did: _Optional[str] = ..., status_list_id: _Optional[bytes] = ..., status_index: _Optional[int] = ..., valid_from_s: _Optional[int] = ..., valid_until_s: _Optional[int] = ..., suite: _Optional[_Union[Cryptosuite, str]] = ...) -> None: ...

class IssueCredentialsResponse(_message.Message):
    __slots__ = ("credentials",)
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    credentials: _containers.RepeatedCompositeFieldContainer[IssuedCredential]
    def __init__(self, credentials: _Optional[_Iterable[_Union[IssuedCredential, _Mapping]]] = ...) -> None: ...

class RevokeCredentialRequest(_message.Message):
    __slots__ = ("tenant_id", "operation_id", "credential_id", "reason_code")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_CODE_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    operation_id: bytes
    credential_id: bytes
    reason_code: str
    def __init__(self, tenant_id: _Optional[bytes] = ..., operation_id: _Optional[bytes] = ..., credential_id: _Optional[bytes] = ..., reason_code: _Optional[str] = ...) -> None: ...

class RevokeCredentialResponse(_message.Message):
    __slots__ = ("list_version", "published_at_us")
    LIST_VERSION_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_AT_US_FIELD_NUMBER: _ClassVar[int]
    list_version: int
    published_at_us: int
    def __init__(self, list_version: _Optional[int] = ..., published_at_us: _Optional[int] = ...) -> None: ...

class VerifyCredentialRequest(_message.Message):
    __slots__ = ("credential_json", "skip_status", "now_s")
    CREDENTIAL_JSON_FIELD_NUMBER: _ClassVar[int]
    SKIP_STATUS_FIELD_NUMBER: _ClassVar[int]
    NOW_S_FIELD_NUMBER: _ClassVar[int]
    credential_json: bytes
    skip_status: bool
    now_s: int
    def __init__(self, credential_json: _Optional[bytes] = ..., skip_status: _Optional[bool] = ..., now_s: _Optional[int] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("reason", "detail", "proof_index")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    PROOF_INDEX_FIELD_NUMBER: _ClassVar[int]
    reason: str
    detail: str
    proof_index: int
    def __init__(self, reason: _Optional[str] = ..., detail: _Optional[str] = ..., proof_index: _Optional[int] = ...) -> None: ...

class VerifyCredentialResponse(_message.Message):
    __slots__ = ("verified", "refusals", "issuer_did", "types", "valid_from_s", "valid_until_s", "status")
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    ISSUER_DID_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_S_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    verified: bool
    refusals: _containers.RepeatedCompositeFieldContainer[Refusal]
    issuer_did: str
    types: _containers.RepeatedScalarFieldContainer[str]
    valid_from_s: int
    valid_until_s: int
    status: str
    def __init__(self, verified: _Optional[bool] = ..., refusals: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ..., issuer_did: _Optional[str] = ..., types: _Optional[_Iterable[str]] = ..., valid_from_s: _Optional[int] = ..., valid_until_s: _Optional[int] = ..., status: _Optional[str] = ...) -> None: ...

class SignDocumentRequest(_message.Message):
    __slots__ = ("tenant_id", "operation_id", "kind", "json")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    operation_id: bytes
    kind: DocumentKind
    json: bytes
    def __init__(self, tenant_id: _Optional[bytes] = ..., operation_id: _Optional[bytes] = ..., kind: _Optional[_Union[DocumentKind, str]] = ..., json: _Optional[bytes] = ...) -> None: ...

class SignDocumentResponse(_message.Message):
    __slots__ = ("signed_json", "sha256")
    SIGNED_JSON_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    signed_json: bytes
    sha256: bytes
    def __init__(self, signed_json: _Optional[bytes] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class VerifyDocumentRequest(_message.Message):
    __slots__ = ("signed_json",)
    SIGNED_JSON_FIELD_NUMBER: _ClassVar[int]
    signed_json: bytes
    def __init__(self, signed_json: _Optional[bytes] = ...) -> None: ...

class VerifyDocumentResponse(_message.Message):
    __slots__ = ("verified", "refusals", "issuer_did")
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    ISSUER_DID_FIELD_NUMBER: _ClassVar[int]
    verified: bool
    refusals: _containers.RepeatedCompositeFieldContainer[Refusal]
    issuer_did: str
    def __init__(self, verified: _Optional[bool] = ..., refusals: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ..., issuer_did: _Optional[str] = ...) -> None: ...

class RotateIssuerKeyRequest(_message.Message):
    __slots__ = ("tenant_id", "operation_id", "reason")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    operation_id: bytes
    reason: RotationReason
    def __init__(self, tenant_id: _Optional[bytes] = ..., operation_id: _Optional[bytes] = ..., reason: _Optional[_Union[RotationReason, str]] = ...) -> None: ...

class RotateIssuerKeyResponse(_message.Message):
    __slots__ = ("kid", "did", "revoked_credential_ids")
    KID_FIELD_NUMBER: _ClassVar[int]
    DID_FIELD_NUMBER: _ClassVar[int]
    REVOKED_CREDENTIAL_IDS_FIELD_NUMBER: _ClassVar[int]
    kid: str
    did: str
    revoked_credential_ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, kid: _Optional[str] = ..., did: _Optional[str] = ..., revoked_credential_ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetIssuerRequest(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    def __init__(self, tenant_id: _Optional[bytes] = ...) -> None: ...

class IssuerKey(_message.Message):
    __slots__ = ("kid", "did", "state", "not_before_s", "not_after_s", "public_key_multibase")
    KID_FIELD_NUMBER: _ClassVar[int]
    DID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_S_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_MULTIBASE_FIELD_NUMBER: _ClassVar[int]
    kid: str
    did: str
    state: str
    not_before_s: int
    not_after_s: int
    public_key_multibase: str
    def __init__(self, kid: _Optional[str] = ..., did: _Optional[str] = ..., state: _Optional[str] = ..., not_before_s: _Optional[int] = ..., not_after_s: _Optional[int] = ..., public_key_multibase: _Optional[str] = ...) -> None: ...

class GetIssuerResponse(_message.Message):
    __slots__ = ("did", "issuer_id", "keys")
    DID_FIELD_NUMBER: _ClassVar[int]
    ISSUER_ID_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    did: str
    issuer_id: bytes
    keys: _containers.RepeatedCompositeFieldContainer[IssuerKey]
    def __init__(self, did: _Optional[str] = ..., issuer_id: _Optional[bytes] = ..., keys: _Optional[_Iterable[_Union[IssuerKey, _Mapping]]] = ...) -> None: ...

class GetDidDocumentRequest(_message.Message):
    __slots__ = ("issuer_id",)
    ISSUER_ID_FIELD_NUMBER: _ClassVar[int]
    issuer_id: bytes
    def __init__(self, issuer_id: _Optional[bytes] = ...) -> None: ...

class GetStatusListRequest(_message.Message):
    __slots__ = ("status_list_id",)
    STATUS_LIST_ID_FIELD_NUMBER: _ClassVar[int]
    status_list_id: bytes
    def __init__(self, status_list_id: _Optional[bytes] = ...) -> None: ...

class PublishedDocument(_message.Message):
    __slots__ = ("body", "version", "etag", "valid_until_s")
    BODY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    version: int
    etag: str
    valid_until_s: int
    def __init__(self, body: _Optional[bytes] = ..., version: _Optional[int] = ..., etag: _Optional[str] = ..., valid_until_s: _Optional[int] = ...) -> None: ...

class GetDidDocumentResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: PublishedDocument
    def __init__(self, document: _Optional[_Union[PublishedDocument, _Mapping]] = ...) -> None: ...

class GetStatusListResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: PublishedDocument
    def __init__(self, document: _Optional[_Union[PublishedDocument, _Mapping]] = ...) -> None: ...
