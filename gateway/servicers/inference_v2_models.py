"""Models as the Open Inference Protocol shows them: names, tensors, metadata, configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cohortlens.analytics.models import Task
from cohortlens.analytics.options import tasks_of
from cohortlens.analytics.predictions import unit_of
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.errors import NotFound, Violation
from cohortlens.oip import inference_pb2 as pb
from cohortlens.oip import model_config_pb2 as config_pb
from cohortlens.registry.models import PREDICTION, SEGMENTATION, ModelVersion

FEATURES: Final = "features"
"""Name of the tensor that holds all columns."""

PLATFORM: Final = "onnxruntime_onnx"
_BACKEND: Final = "onnxruntime"
_VERSION_DIGITS = 9
_DATA_TYPES = {"FP64": config_pb.TYPE_FP64, "INT64": config_pb.TYPE_INT64}


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor that a model gives.

    Attributes:
        name: Name of the tensor.
        datatype: FP64 or INT64.
        column: Column of the scores it is made of.
        task: What must be predicted for it; None for a segmentation.
    """

    name: str
    datatype: str
    column: str
    task: Task | None = None


_PARTS = (("", "value"), ("_lower", "lower"), ("_upper", "upper"))

OUTPUTS: Final[dict[str, dict[str, Output]]] = {
    PREDICTION: {
        f"{task.target}{suffix}": Output(f"{task.target}{suffix}", "FP64", column, task)
        for task in Task
        for suffix, column in _PARTS
    },
    SEGMENTATION: {
        "segment_id": Output("segment_id", "INT64", "segment"),
        "distance": Output("distance", "FP64", "distance"),
    },
}
"""Outputs of every model by name."""


def outputs_of(model: str, field: str) -> dict[str, Output]:
    """The outputs of a model.

    Raises:
        NotFound: No such model; ``field`` is where the request names it.
    """
    outputs = OUTPUTS.get(model)
    if outputs is None:
        why = f"there is no model {model[:40]!r}; the models are {', '.join(OUTPUTS)}"
        raise NotFound(f"{field}: {why}", violations=(Violation(field, why),), metadata={"field": field})
    return outputs


def offered_by(version: ModelVersion) -> dict[str, Output]:
    """The outputs that a version gives."""
    outputs = OUTPUTS[version.model]
    if version.model == SEGMENTATION:
        return outputs
    tasks = tasks_of(version.manifest)
    return {name: one for name, one in outputs.items() if one.task is not None and one.task.target in tasks}


def version_number(model: str, version: str, field: str) -> int | None:
    """The version a request names; None for the active one.

    Raises:
        NotFound: The text is no version.
    """
    if not version:
        return None
    if not (version.isascii() and version.isdigit() and len(version) <= _VERSION_DIGITS and int(version)):
        why = f"model {model} has no version {version[:20]!r}"
        raise NotFound(f"{field}: {why}", violations=(Violation(field, why),), metadata={"field": field})
    return int(version)


def facts(version: ModelVersion) -> dict[str, str]:
    """What a caller must know beside names and shapes: the columns, and what the outputs mean."""
    manifest = version.manifest
    found = {
        "schema": f"{SCHEMA.name} v{SCHEMA.version}",
        "schema_hash": manifest.schema_hash,
        "columns": ",".join(SCHEMA.names),
        "as_of": manifest.as_of,
    }
    if version.model == SEGMENTATION:
        return found | {"segments": ",".join(one.key for one in manifest.segments)}
    units = {f"{task.target}_unit": unit_of(task, version) for task in Task}
    asked = set(tasks_of(manifest))
    return (
        found
        | {"horizons_days": ",".join(str(days) for days in manifest.horizons_days)}
        | ({"horizon_most_days": str(manifest.horizon_most_days)} if manifest.horizon_most_days else {})
        | {name: unit for name, unit in units.items() if name.removesuffix("_unit") in asked}
    )


def metadata(version: ModelVersion) -> pb.ModelMetadataResponse:
    """Tensors of a version."""
    reply = pb.ModelMetadataResponse(name=version.model, versions=[str(version.version)], platform=PLATFORM)
    reply.inputs.add(name=FEATURES, datatype="FP32", shape=(-1, len(SCHEMA.columns)))
    for output in offered_by(version).values():
        reply.outputs.add(name=output.name, datatype=output.datatype, shape=(-1, 1))
    for name, text in facts(version).items():
        reply.parameters[name].string_param = text
    return reply


def configuration(version: ModelVersion, max_rows: int) -> config_pb.ModelConfig:
    """Configuration of a version; shapes leave out the first dimension, the rows."""
    reply = config_pb.ModelConfig(
        name=version.model,
        platform=PLATFORM,
        backend=_BACKEND,
        max_batch_size=max_rows,
        version_policy=config_pb.ModelVersionPolicy(
            specific=config_pb.ModelVersionPolicy.Specific(versions=[version.version])
        ),
        dynamic_batching=config_pb.ModelDynamicBatching(preserve_ordering=True),
        model_transaction_policy=config_pb.ModelTransactionPolicy(decoupled=False),
    )
    reply.input.add(name=FEATURES, data_type=config_pb.TYPE_FP32, dims=(len(SCHEMA.columns),))
    for output in offered_by(version).values():
        reply.output.add(name=output.name, data_type=_DATA_TYPES[output.datatype], dims=(1,))
    for name, text in facts(version).items():
        reply.parameters[name].string_value = text
    return reply
