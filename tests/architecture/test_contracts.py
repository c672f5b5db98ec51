"""The import contracts and linters fail on a planted violation: none passes because it sees nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

# File to plant, its text, the contract that must name it.
VIOLATIONS = [
    ("gateway/planted.py", "import workers.app\n", "Processes stand on cohortlens"),
    ("cohortlens/core/planted.py", "import cohortlens.identity.service\n", "imports point downwards"),
    ("cohortlens/customers/planted.py", "import grpc\n", "no transport and no vendor"),
    ("workers/planted.py", "import cohortlens.core.db\n", "Workers see the contracts only"),
    ("workers/runtime/planted.py", "import torch\n", "Only training knows torch"),
    ("gateway/interceptors/planted.py", "import gateway.composition\n", "Gateway layers"),
    ("gateway/planted.py", "import cohortlens.internal.v1.inference_pb2\n", "internal stubs"),
    ("cohortlens/newslice/__init__.py", "", "imports point downwards"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the sources that a test may spoil."""
    root = tmp_path_factory.mktemp("tree")
    ignore = shutil.ignore_patterns("__pycache__", "static", "*.binpb", "data")
    for package in ("cohortlens", "gateway", "workers", "sidecars"):
        shutil.copytree(ROOT / package, root / package, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", root / "pyproject.toml")
    return root


@pytest.mark.parametrize(
    ("name", "text", "contract"), VIOLATIONS, ids=[v[0] + ":" + v[2] for v in VIOLATIONS]
)
def test_an_import_contract_finds_a_planted_violation(copy, name, text, contract):
    planted = copy / name
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(text, encoding="utf-8")
    try:
        run = subprocess.run(
            [BIN / "lint-imports", "--no-cache"], cwd=copy, capture_output=True, text=True, check=False,
            env={"PYTHONPATH": str(copy), "PATH": str(BIN)},
        )  # fmt: skip
    finally:
        shutil.rmtree(planted.parent) if planted.name == "__init__.py" else planted.unlink()
    broken = [line for line in run.stdout.splitlines() if line.endswith("BROKEN")]
    assert run.returncode != 0
    assert any(contract in line for line in broken), run.stdout[-2000:]


def test_buf_lint_finds_an_uncommented_message(tmp_path):
    source = '// Doc.\nsyntax = "proto3";\npackage bad.v1;\nmessage lower_case {\n  string Name = 1;\n}\n'
    (tmp_path / "bad" / "v1").mkdir(parents=True)
    (tmp_path / "bad" / "v1" / "bad.proto").write_text(source, encoding="utf-8")
    shutil.copy(ROOT / "protos" / "buf.yaml", tmp_path / "buf.yaml")
    run = subprocess.run([BIN / "buf", "lint"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "COMMENT" in run.stdout or "comment" in run.stdout


def test_buf_breaking_finds_a_removed_field(tmp_path):
    from google.protobuf import descriptor_pb2

    image = descriptor_pb2.FileDescriptorSet.FromString(
        (ROOT / "cohortlens" / "descriptors.binpb").read_bytes()
    )
    auth = next(f for f in image.file if f.name == "cohortlens/v1/auth.proto")
    del next(m for m in auth.message_type if m.name == "TokenPair").field[-1]
    auth.ClearField("source_code_info")
    (tmp_path / "changed.binpb").write_bytes(image.SerializeToString())
    run = subprocess.run(
        [BIN / "buf", "breaking", tmp_path / "changed.binpb", "--against", ROOT / "protos" / "released.binpb",
         "--config", ROOT / "protos" / "buf.yaml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode != 0
    assert "TokenPair" in run.stdout
