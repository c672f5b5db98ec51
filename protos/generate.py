"""Generates the committed stubs and the descriptor image from ``protos/`` (``make protos``).

Run with the workers' Python: the output of its grpcio-tools imports under the protobuf of both environments.
The types of ``cohortlens.client`` are made by a tool with an environment of its own.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
IMAGE = Path("cohortlens") / "descriptors.binpb"
PUBLISHED = "cohortlens/oip"
CLIENT_PYTHON = ROOT.parent / ".venv-client" / "bin" / "python"


def generate(out: Path) -> None:
    """Write stubs, ``.pyi`` files and ``cohortlens/descriptors.binpb`` below ``out``.

    Args:
        out: Folder that holds (or will hold) the package ``cohortlens``.

    Raises:
        SystemExit: protoc refused a file, or the client's types could not be made; the reason is on standard
            error.
    """
    # The published protocol keeps its package name; its stubs belong to ours, so its folder is mapped first.
    published = f"-I{PUBLISHED}={ROOT / 'inference'}"
    includes = [published, f"-I{ROOT}", f"-I{files('grpc_tools') / '_proto'}", f"-I{_google_api_root()}"]
    public = sorted((ROOT / "cohortlens" / "v1").glob("*.proto"))
    internal = sorted((ROOT / "cohortlens" / "internal" / "v1").glob("*.proto"))
    inference = sorted((ROOT / "inference").glob("*.proto"))
    sources = [str(path) for path in public + internal + inference]
    (out / IMAGE).parent.mkdir(parents=True, exist_ok=True)
    _run(
        [
            *includes,
            f"--python_out={out}",
            f"--pyi_out={out}",
            f"--grpc_python_out={out}",
            *sources,
        ]
    )
    image = [f"--descriptor_set_out={out / IMAGE}", "--include_imports", "--include_source_info"]
    _run([*includes, *image, *sources])
    _generate_client(out)


def _google_api_root() -> Path:
    """Folder from which ``google/api/*.proto`` resolves: where googleapis-common-protos is installed."""
    import google.api.annotations_pb2 as annotations  # noqa: PLC0415 - its location is what is asked for

    return Path(annotations.__file__).parents[2]


def _generate_client(out: Path) -> None:
    if not CLIENT_PYTHON.exists():
        raise SystemExit(f"error TOOL_MISSING: {CLIENT_PYTHON}\nnext: make setup-dev")
    made = subprocess.run(  # noqa: S603 - our own tool
        [CLIENT_PYTHON, ROOT / "client_types.py", out], check=False, capture_output=True, text=True
    )
    if made.returncode:
        raise SystemExit(made.stderr)


def _run(arguments: list[str]) -> None:
    if code := protoc.main(["protoc", *arguments]):
        raise SystemExit(code)


if __name__ == "__main__":
    generate(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
