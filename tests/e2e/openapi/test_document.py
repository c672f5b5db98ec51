"""The committed OpenAPI document passes the linter of Redocly, and TypeScript compiles what is made of it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.openapi.running import DOCUMENT

NODE = Path(__file__).parent / "node"


def _run(tool, *arguments):
    if shutil.which("node") is None or not (NODE / "node_modules" / ".bin" / tool).exists():
        pytest.skip(f"NOT CHECKED: npm {tool}; next: apt-get install -y nodejs npm && make setup-dev")
    command = [NODE / "node_modules" / ".bin" / tool, *arguments]
    return subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=300, check=False)


def test_the_linter_finds_nothing_in_the_document():
    done = _run("redocly", "lint", "--config", "redocly.yaml", "--format", "stylish", DOCUMENT)
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]


def test_typescript_compiles_the_types_of_the_document_and_a_client_of_them(tmp_path):
    made = _run("openapi-typescript", DOCUMENT, "--output", tmp_path / "api.d.ts")
    assert made.returncode == 0, made.stderr[-4000:]
    for name in ("client.ts", "tsconfig.json"):
        shutil.copy(NODE / name, tmp_path)
    done = _run("tsc", "--project", tmp_path / "tsconfig.json")
    assert done.returncode == 0, done.stdout[-4000:]
