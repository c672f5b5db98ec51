"""No module of the workers loads a Rust extension: shown in a clean interpreter, one for each entry."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
KNOWN_RUST = {
    "pydantic_core", "orjson", "cryptography", "solders", "polars", "tokenizers", "safetensors", "rpds", "watchfiles",
}  # fmt: skip
SCRIPT = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
from workers.rust_probe import probe
for name in sys.argv[1:]:
    importlib.import_module(name)
found = probe()
print(json.dumps({"rust": found.rust_files, "probed": found.probed, "modules": sorted(sys.modules)}))
"""


def modules() -> list[str]:
    files = sorted((ROOT / "workers").rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def loaded_by(*names: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_every_module_of_the_workers_and_the_explainer_maps_no_rust():
    loaded = loaded_by(*modules(), "shap")

    assert loaded["rust"] == []
    assert loaded["probed"] > 100
    assert KNOWN_RUST.isdisjoint(name.split(".")[0] for name in loaded["modules"])


@pytest.mark.parametrize("name", ["workers.supervisor", "workers.app"])
def test_the_supervisor_and_the_serve_graph_load_neither_torch_nor_the_numeric_libraries(name):
    heavy = {"torch", "sklearn", "shap", "onnxruntime"}

    assert heavy.isdisjoint(loaded_by(name)["modules"])


def test_a_replica_s_runtime_loads_neither_torch_nor_scikit_learn():
    names = [name for name in modules() if name.startswith("workers.runtime")]

    assert {"torch", "sklearn", "workers.training"}.isdisjoint(loaded_by(*names)["modules"])
