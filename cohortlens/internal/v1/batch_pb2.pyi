from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ScoreSlicesRequest(_message.Message):
    __slots__ = ("tenant", "batch", "input", "artifact_digest", "schema_hash", "target", "horizon_days", "slices")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    SLICES_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    batch: str
    input: str
    artifact_digest: str
    schema_hash: str
    target: str
    horizon_days: int
    slices: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, tenant: _Optional[str] = ..., batch: _Optional[str] = ..., input: _Optional[str] = ..., artifact_digest: _Optional[str] = ..., schema_hash: _Optional[str] = ..., target: _Optional[str] = ..., horizon_days: _Optional[int] = ..., slices: _Optional[_Iterable[int]] = ...) -> None: ...

class ScoreSlicesResponse(_message.Message):
    __slots__ = ("slice", "rows", "sha256", "cpu_s")
    SLICE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CPU_S_FIELD_NUMBER: _ClassVar[int]
    slice: int
    rows: int
    sha256: str
    cpu_s: float
    def __init__(self, slice: _Optional[int] = ..., rows: _Optional[int] = ..., sha256: _Optional[str] = ..., cpu_s: _Optional[float] = ...) -> None: ...
