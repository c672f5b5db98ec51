"""Our copy of the Open Inference Protocol has the names, numbers and types that Triton publishes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from cohortlens.oip import extensions_pb2, inference_pb2, model_config_pb2

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-oip" / "bin" / "python"
FILES = (inference_pb2, extensions_pb2, model_config_pb2)
MLSERVER_ONLY = {
    "inference.ModelMetadataResponse.parameters",
    "inference.ModelMetadataResponse.ParametersEntry",
}

# Printed by a process that holds Triton's copy: every element of its contract with number and type.
PRINT = """
import json
from google.protobuf import descriptor_pb2
from tritonclient.grpc import model_config_pb2, service_pb2
print(json.dumps([m.DESCRIPTOR.serialized_pb.hex() for m in (service_pb2, model_config_pb2)]))
"""


def _elements(files):
    """Elements by full name: type and number of fields, numbers of enum values, streams of methods."""
    found = {}
    for file in files:
        for message in file.message_type:
            _message(found, "inference", message)
        for enum in file.enum_type:
            _enum(found, "inference", enum)
        for service in file.service:
            for one in service.method:
                found[f"inference.{service.name}.{one.name}"] = (
                    one.input_type, one.output_type, one.client_streaming, one.server_streaming,
                )  # fmt: skip
    return found


def _message(found, prefix, message):
    name = f"{prefix}.{message.name}"
    found[name] = ("message", message.options.map_entry)
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        found[f"{name}.{field.name}"] = (field.number, field.type, field.label, field.type_name, oneof)
    for nested in message.nested_type:
        _message(found, name, nested)
    for enum in message.enum_type:
        _enum(found, name, enum)


def _enum(found, prefix, enum):
    found[f"{prefix}.{enum.name}"] = {value.name: value.number for value in enum.value}


def _published():
    from google.protobuf import descriptor_pb2

    assert PYTHON.exists(), "no environment of Triton's clients; next: make setup-dev"
    done = subprocess.run([PYTHON, "-c", PRINT], capture_output=True, text=True, check=True, timeout=60)
    return _elements(
        descriptor_pb2.FileDescriptorProto.FromString(bytes.fromhex(one)) for one in json.loads(done.stdout)
    )


def test_every_element_of_ours_is_published_under_its_name_and_number():
    from google.protobuf import descriptor_pb2

    ours = []
    for module in FILES:
        proto = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(proto)
        ours.append(proto)
    elements, published = _elements(ours), _published()
    elements = {
        name: what
        for name, what in elements.items()
        if not any(name == one or name.startswith(f"{one}.") for one in MLSERVER_ONLY)
    }
    assert len(elements) > 150
    assert {name: what for name, what in elements.items() if published.get(name) != what} == {}
    methods = {name for name in published if name.startswith("inference.GRPCInferenceService.")}
    assert methods <= set(elements), "a published method is missing"
