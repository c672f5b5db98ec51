"""Generates what ``cohortlens.client`` is made of: messages, services, rules of HTTP, the service config.

``protos/generate.py`` runs it with the Python of the client's generator (``deploy/locks/client-types.lock``),
over the descriptor image it has just written. Messages come from betterproto2's compiler; its stubs do not
serve: the asynchronous ones want grpclib, the others know no deadline. So the services are written here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from betterproto2_compiler.lib.google.protobuf import FileDescriptorProto, FileDescriptorSet, SourceCodeInfo
from betterproto2_compiler.lib.google.protobuf.compiler import CodeGeneratorRequest
from betterproto2_compiler.plugin.parser import generate_code
from client_services import Services
from google.rpc import error_details_pb2, status_pb2

IMAGE = Path("cohortlens") / "descriptors.binpb"
GENERATED = Path("cohortlens") / "client" / "_generated"
CONFIG = "service_config.json"
REFERENCE = Path("docs") / "reference"
# Options are read when this runs and never by a client.
_LEFT_OUT = {"google/protobuf/descriptor.proto", "google/api/http.proto", "google/api/annotations.proto"}
_PACKAGES = ("cohortlens.v1", "google.")
_SOURCE = "# Generated from protos/ by protos/client_types.py (make protos). Do not edit.\n"


def generate(out: Path) -> None:
    """Write the generated part of the client below ``out``.

    Args:
        out: Folder that holds ``cohortlens/descriptors.binpb``.
    """
    image = (out / IMAGE).read_bytes()
    for name, text in _messages(image):
        _write(out / GENERATED / name, text)
    services = Services(image, "cohortlens.v1")
    _write(out / GENERATED / "methods.py", _SOURCE + services.methods())
    _write(out / GENERATED / "services.py", _SOURCE + services.asynchronous())
    _write(out / GENERATED / "blocking_services.py", _SOURCE + services.blocking())
    _write(out / GENERATED / "sensitive.py", _SOURCE + services.sensitive())
    config = json.dumps(services.config(), indent=2) + "\n"
    _write(out / GENERATED / CONFIG, config)
    _write(out / REFERENCE / CONFIG, config)


def _messages(image: bytes) -> Iterator[tuple[str, str]]:
    """Name and text of each file that betterproto2's compiler makes."""
    files = [
        file
        for file in FileDescriptorSet.parse(image).file
        if file.package.startswith(_PACKAGES) and file.name not in _LEFT_OUT
    ]
    # Failures carry these as Any, so no file of ours imports them.
    for module in (status_pb2, error_details_pb2):
        file = FileDescriptorProto.parse(module.DESCRIPTOR.serialized_pb)
        file.source_code_info = SourceCodeInfo()
        files.append(file)
    request = CodeGeneratorRequest(
        file_to_generate=[file.name for file in files],
        parameter="client_generation=none",
        proto_file=files,
    )
    # The compiler formats what it makes with the ruff beside it.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for file in generate_code(request).file:
        yield file.name, file.content


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    generate(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
