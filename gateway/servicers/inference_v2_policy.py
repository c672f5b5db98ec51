"""Access to the Open Inference Protocol: the published contract has no options, so they are stated here."""

from __future__ import annotations

from typing import Final

from cohortlens.oip import inference_pb2
from gateway.registry import MethodTable, Policy, RateClass

SERVICE: Final = "inference.GRPCInferenceService"

UNSUPPORTED: Final = (
    "RepositoryModelLoad",
    "RepositoryModelUnload",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus",
    "CudaSharedMemoryRegister",
    "CudaSharedMemoryUnregister",
    "TraceSetting",
    "LogSettings",
)
"""Methods of extensions that are not offered: a caller with a token learns so."""

EXTENSION_UNSUPPORTED: Final = "OIP_EXTENSION_UNSUPPORTED"

_FINDING = ("RESOURCE_NOT_FOUND", "NO_ACTIVE_MODEL", "VERSION_NOT_READY")
_SCORING = (
    *_FINDING,
    "TENSOR_INVALID",
    "HORIZON_UNSUPPORTED",
    "TASK_UNSUPPORTED",
    "OPTION_UNSUPPORTED",
    "VALUE_NOT_FINITE",
    "FEATURE_OUT_OF_RANGE",
    "FEATURE_SCHEMA_MISMATCH",
    "WORKERS_UNAVAILABLE",
    "OVERLOADED",
    EXTENSION_UNSUPPORTED,
)
_PUBLIC = Policy(public=True, rate_class=RateClass.PUBLIC, quiet=True, self_checked=True)
_READ = Policy(
    public=False,
    rate_class=RateClass.READ,
    scopes=("analytics.read",),
    errors=_FINDING,
    self_checked=True,
    meter="api_calls",
)
_INFER = Policy(
    public=False,
    rate_class=RateClass.INFERENCE,
    scopes=("analytics.run",),
    errors=_SCORING,
    self_checked=True,
    feature="prediction",
    meter="api_calls",
)
_REFUSED = Policy(
    public=False,
    rate_class=RateClass.READ,
    scopes=("analytics.read",),
    errors=(EXTENSION_UNSUPPORTED,),
    self_checked=True,
)

POLICIES: Final[dict[str, Policy]] = {
    **dict.fromkeys(("ServerLive", "ServerReady", "ServerMetadata"), _PUBLIC),
    **dict.fromkeys(
        ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex"), _READ
    ),
    **dict.fromkeys(("ModelInfer", "ModelStreamInfer"), _INFER),
    **dict.fromkeys(UNSUPPORTED, _REFUSED),
}
"""Policy of every method by name."""


def add_inference(table: MethodTable) -> None:
    """Add every method of the protocol to the table."""
    table.add_service(inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"], POLICIES)
