from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Matrix(_message.Message):
    __slots__ = ("rows", "columns", "values")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    rows: int
    columns: int
    values: bytes
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[int] = ..., values: _Optional[bytes] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: bytes
    def __init__(self, name: _Optional[str] = ..., values: _Optional[bytes] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("artifact_digest", "schema_hash", "target", "features")
    ARTIFACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    artifact_digest: str
    schema_hash: str
    target: str
    features: Matrix
    def __init__(self, artifact_digest: _Optional[str] = ..., schema_hash: _Optional[str] = ..., target: _Optional[str] = ..., features: _Optional[_Union[Matrix, _Mapping]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("columns",)
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    def __init__(self, columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("artifact_digest", "schema_hash", "target", "features", "method", "seeds")
    ARTIFACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    artifact_digest: str
    schema_hash: str
    target: str
    features: Matrix
    method: str
    seeds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, artifact_digest: _Optional[str] = ..., schema_hash: _Optional[str] = ..., target: _Optional[str] = ..., features: _Optional[_Union[Matrix, _Mapping]] = ..., method: _Optional[str] = ..., seeds: _Optional[_Iterable[int]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("base_value", "contributions", "values", "explained", "bases", "fidelities", "imputed")
    BASE_VALUE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    EXPLAINED_FIELD_NUMBER: _ClassVar[int]
    BASES_FIELD_NUMBER: _ClassVar[int]
    FIDELITIES_FIELD_NUMBER: _ClassVar[int]
    IMPUTED_FIELD_NUMBER: _ClassVar[int]
    base_value: float
    contributions: bytes
    values: bytes
    explained: bytes
    bases: bytes
    fidelities: bytes
    imputed: _containers.RepeatedCompositeFieldContainer[ImputedFeatures]
    def __init__(self, base_value: _Optional[float] = ..., contributions: _Optional[bytes] = ..., values: _Optional[bytes] = ..., explained: _Optional[bytes] = ..., bases: _Optional[bytes] = ..., fidelities: _Optional[bytes] = ..., imputed: _Optional[_Iterable[_Union[ImputedFeatures, _Mapping]]] = ...) -> None: ...

class ImputedFeatures(_message.Message):
    __slots__ = ("columns",)
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, columns: _Optional[_Iterable[int]] = ...) -> None: ...

class LoadModelRequest(_message.Message):
    __slots__ = ("artifact_digest",)
    ARTIFACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    artifact_digest: str
    def __init__(self, artifact_digest: _Optional[str] = ...) -> None: ...

class LoadModelResponse(_message.Message):
    __slots__ = ("load_ms",)
    LOAD_MS_FIELD_NUMBER: _ClassVar[int]
    load_ms: float
    def __init__(self, load_ms: _Optional[float] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ("probe_rust",)
    PROBE_RUST_FIELD_NUMBER: _ClassVar[int]
    probe_rust: bool
    def __init__(self, probe_rust: _Optional[bool] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("deployment", "replica", "pid", "loaded", "rows_in_flight", "uptime_s", "rust_files", "probed_files")
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    ROWS_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    RUST_FILES_FIELD_NUMBER: _ClassVar[int]
    PROBED_FILES_FIELD_NUMBER: _ClassVar[int]
    deployment: str
    replica: str
    pid: int
    loaded: _containers.RepeatedScalarFieldContainer[str]
    rows_in_flight: int
    uptime_s: float
    rust_files: _containers.RepeatedScalarFieldContainer[str]
    probed_files: int
    def __init__(self, deployment: _Optional[str] = ..., replica: _Optional[str] = ..., pid: _Optional[int] = ..., loaded: _Optional[_Iterable[str]] = ..., rows_in_flight: _Optional[int] = ..., uptime_s: _Optional[float] = ..., rust_files: _Optional[_Iterable[str]] = ..., probed_files: _Optional[int] = ...) -> None: ...

class TrainRequest(_message.Message):
    __slots__ = ("model", "snapshot_digest", "as_of", "currency", "seed", "champion_digest", "cause", "run", "segments")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    model: str
    snapshot_digest: str
    as_of: str
    currency: str
    seed: int
    champion_digest: str
    cause: str
    run: str
    segments: int
    def __init__(self, model: _Optional[str] = ..., snapshot_digest: _Optional[str] = ..., as_of: _Optional[str] = ..., currency: _Optional[str] = ..., seed: _Optional[int] = ..., champion_digest: _Optional[str] = ..., cause: _Optional[str] = ..., run: _Optional[str] = ..., segments: _Optional[int] = ...) -> None: ...

class TrainResponse(_message.Message):
    __slots__ = ("stage", "progress_ratio", "result", "failure")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_RATIO_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    stage: str
    progress_ratio: float
    result: TrainResult
    failure: TrainFailure
    def __init__(self, stage: _Optional[str] = ..., progress_ratio: _Optional[float] = ..., result: _Optional[_Union[TrainResult, _Mapping]] = ..., failure: _Optional[_Union[TrainFailure, _Mapping]] = ...) -> None: ...

class TrainResult(_message.Message):
    __slots__ = ("artifact_digest", "manifest_json", "cpu_s")
    ARTIFACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_JSON_FIELD_NUMBER: _ClassVar[int]
    CPU_S_FIELD_NUMBER: _ClassVar[int]
    artifact_digest: str
    manifest_json: str
    cpu_s: float
    def __init__(self, artifact_digest: _Optional[str] = ..., manifest_json: _Optional[str] = ..., cpu_s: _Optional[float] = ...) -> None: ...

class TrainFailure(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
