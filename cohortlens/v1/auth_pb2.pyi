import datetime

from cohortlens.v1 import auth_keys_pb2 as _auth_keys_pb2
from cohortlens.v1 import auth_login_pb2 as _auth_login_pb2
from cohortlens.v1 import auth_oauth_pb2 as _auth_oauth_pb2
from cohortlens.v1 import auth_sessions_pb2 as _auth_sessions_pb2
from cohortlens.v1 import auth_tenants_pb2 as _auth_tenants_pb2
from cohortlens.v1 import auth_users_pb2 as _auth_users_pb2
from cohortlens.v1 import common_pb2 as _common_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RegisterTenantRequest(_message.Message):
    __slots__ = ("display_name", "email", "password", "accept_terms_version")
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_TERMS_VERSION_FIELD_NUMBER: _ClassVar[int]
    display_name: str
    email: str
    password: str
    accept_terms_version: str
    def __init__(self, display_name: _Optional[str] = ..., email: _Optional[str] = ..., password: _Optional[str] = ..., accept_terms_version: _Optional[str] = ...) -> None: ...

class RegisterTenantResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateSessionRequest(_message.Message):
    __slots__ = ("email", "password", "tenant", "device_name", "totp", "mfa_token")
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    TOTP_FIELD_NUMBER: _ClassVar[int]
    MFA_TOKEN_FIELD_NUMBER: _ClassVar[int]
    email: str
    password: str
    tenant: str
    device_name: str
    totp: str
    mfa_token: str
    def __init__(self, email: _Optional[str] = ..., password: _Optional[str] = ..., tenant: _Optional[str] = ..., device_name: _Optional[str] = ..., totp: _Optional[str] = ..., mfa_token: _Optional[str] = ...) -> None: ...

class TokenPair(_message.Message):
    __slots__ = ("access_token", "expires_in", "refresh_token", "refresh_expires_in", "session")
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_IN_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REFRESH_EXPIRES_IN_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    session: str
    def __init__(self, access_token: _Optional[str] = ..., expires_in: _Optional[int] = ..., refresh_token: _Optional[str] = ..., refresh_expires_in: _Optional[int] = ..., session: _Optional[str] = ...) -> None: ...

class CreateSessionResponse(_message.Message):
    __slots__ = ("tokens", "tenant", "tenants")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    tokens: TokenPair
    tenant: str
    tenants: _containers.RepeatedCompositeFieldContainer[_auth_login_pb2.TenantChoice]
    def __init__(self, tokens: _Optional[_Union[TokenPair, _Mapping]] = ..., tenant: _Optional[str] = ..., tenants: _Optional[_Iterable[_Union[_auth_login_pb2.TenantChoice, _Mapping]]] = ...) -> None: ...

class VerifyEmailResponse(_message.Message):
    __slots__ = ("tokens", "tenant", "tenants")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    tokens: TokenPair
    tenant: str
    tenants: _containers.RepeatedCompositeFieldContainer[_auth_login_pb2.TenantChoice]
    def __init__(self, tokens: _Optional[_Union[TokenPair, _Mapping]] = ..., tenant: _Optional[str] = ..., tenants: _Optional[_Iterable[_Union[_auth_login_pb2.TenantChoice, _Mapping]]] = ...) -> None: ...

class RefreshSessionRequest(_message.Message):
    __slots__ = ("refresh_token",)
    REFRESH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    refresh_token: str
    def __init__(self, refresh_token: _Optional[str] = ...) -> None: ...

class RefreshSessionResponse(_message.Message):
    __slots__ = ("tokens", "replayed")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    tokens: TokenPair
    replayed: bool
    def __init__(self, tokens: _Optional[_Union[TokenPair, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class DeleteSessionRequest(_message.Message):
    __slots__ = ("session", "request_id")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    session: str
    request_id: str
    def __init__(self, session: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetMeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetMeResponse(_message.Message):
    __slots__ = ("user", "tenant", "tenant_display_name", "role", "scopes", "session", "create_time", "email", "status", "last_login_time")
    USER_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TENANT_DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LAST_LOGIN_TIME_FIELD_NUMBER: _ClassVar[int]
    user: str
    tenant: str
    tenant_display_name: str
    role: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    session: str
    create_time: _timestamp_pb2.Timestamp
    email: str
    status: _auth_users_pb2.UserStatus
    last_login_time: _timestamp_pb2.Timestamp
    def __init__(self, user: _Optional[str] = ..., tenant: _Optional[str] = ..., tenant_display_name: _Optional[str] = ..., role: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., session: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., email: _Optional[str] = ..., status: _Optional[_Union[_auth_users_pb2.UserStatus, str]] = ..., last_login_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetJwksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class JsonWebKey(_message.Message):
    __slots__ = ("kty", "crv", "x", "kid", "use", "alg")
    KTY_FIELD_NUMBER: _ClassVar[int]
    CRV_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    KID_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    ALG_FIELD_NUMBER: _ClassVar[int]
    kty: str
    crv: str
    x: str
    kid: str
    use: str
    alg: str
    def __init__(self, kty: _Optional[str] = ..., crv: _Optional[str] = ..., x: _Optional[str] = ..., kid: _Optional[str] = ..., use: _Optional[str] = ..., alg: _Optional[str] = ...) -> None: ...

class GetJwksResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[JsonWebKey]
    def __init__(self, keys: _Optional[_Iterable[_Union[JsonWebKey, _Mapping]]] = ...) -> None: ...
