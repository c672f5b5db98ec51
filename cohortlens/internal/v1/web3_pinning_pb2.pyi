from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PinKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PIN_KIND_UNSPECIFIED: _ClassVar[PinKind]
    PIN_KIND_RECEIPT: _ClassVar[PinKind]
    PIN_KIND_STATUS_LIST: _ClassVar[PinKind]
    PIN_KIND_OFFER_TERMS: _ClassVar[PinKind]
    PIN_KIND_REPORT: _ClassVar[PinKind]
    PIN_KIND_ARTIFACT: _ClassVar[PinKind]
PIN_KIND_UNSPECIFIED: PinKind
PIN_KIND_RECEIPT: PinKind
PIN_KIND_STATUS_LIST: PinKind
PIN_KIND_OFFER_TERMS: PinKind
PIN_KIND_REPORT: PinKind
PIN_KIND_ARTIFACT: PinKind

class PinHeader(_message.Message):
    __slots__ = ("tenant_id", "pin_id", "kind", "size_bytes")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PIN_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    pin_id: bytes
    kind: PinKind
    size_bytes: int
    def __init__(self, tenant_id: _Optional[bytes] = ..., pin_id: _Optional[bytes] = ..., kind: _Optional[_Union[PinKind, str]] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class PinContentRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: PinHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[PinHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class BackendState(_message.Message):
    __slots__ = ("backend", "state", "reason")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    backend: str
    state: str
    reason: str
    def __init__(self, backend: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Pin(_message.Message):
    __slots__ = ("pin_id", "cid", "size_bytes", "is_sealed", "backends")
    PIN_ID_FIELD_NUMBER: _ClassVar[int]
    CID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IS_SEALED_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    pin_id: bytes
    cid: str
    size_bytes: int
    is_sealed: bool
    backends: _containers.RepeatedCompositeFieldContainer[BackendState]
    def __init__(self, pin_id: _Optional[bytes] = ..., cid: _Optional[str] = ..., size_bytes: _Optional[int] = ..., is_sealed: _Optional[bool] = ..., backends: _Optional[_Iterable[_Union[BackendState, _Mapping]]] = ...) -> None: ...

class GetContentRequest(_message.Message):
    __slots__ = ("tenant_id", "pin_id", "cid")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PIN_ID_FIELD_NUMBER: _ClassVar[int]
    CID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    pin_id: bytes
    cid: str
    def __init__(self, tenant_id: _Optional[bytes] = ..., pin_id: _Optional[bytes] = ..., cid: _Optional[str] = ...) -> None: ...

class GetContentResponse(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...

class GetPinRequest(_message.Message):
    __slots__ = ("tenant_id", "pin_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PIN_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    pin_id: bytes
    def __init__(self, tenant_id: _Optional[bytes] = ..., pin_id: _Optional[bytes] = ...) -> None: ...

class UnpinContentRequest(_message.Message):
    __slots__ = ("tenant_id", "pin_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PIN_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    pin_id: bytes
    def __init__(self, tenant_id: _Optional[bytes] = ..., pin_id: _Optional[bytes] = ...) -> None: ...

class UnpinContentResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PinContentResponse(_message.Message):
    __slots__ = ("pin",)
    PIN_FIELD_NUMBER: _ClassVar[int]
    pin: Pin
    def __init__(self, pin: _Optional[_Union[Pin, _Mapping]] = ...) -> None: ...

class GetPinResponse(_message.Message):
    __slots__ = ("pin",)
    PIN_FIELD_NUMBER: _ClassVar[int]
    pin: Pin
    def __init__(self, pin: _Optional[_Union[Pin, _Mapping]] = ...) -> None: ...
