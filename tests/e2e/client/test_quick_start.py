"""The client, installed alone in an environment of its own, runs the quick start of its guide."""

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WHEELS = ROOT / ".state" / "client-wheels"
GUIDE = ROOT / "docs" / "guides" / "client.md"
SERVER = {
    "ray",
    "sqlalchemy",
    "h2corn",
    "orjson",
    "cryptography",
    "asyncpg",
    "redis",
    "protobuf",
    "numpy",
    "web3",
}


def checked(*arguments, **options):
    done = subprocess.run(
        [str(one) for one in arguments], capture_output=True, text=True, check=False, timeout=180, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Python of a fresh environment with the extra ``client`` and nothing else, installed without a network."""
    if not WHEELS.is_dir():
        pytest.skip(f"NOT CHECKED: no wheels in {WHEELS}; next: make setup-dev")
    folder = tmp_path_factory.mktemp("client")
    # What setuptools builds on the way stays out of the tree.
    apart = folder / "setup.cfg"
    apart.write_text(f"[build]\nbuild_base = {folder / 'build'}\n[egg_info]\negg_base = {folder}\n")
    environ = os.environ | {"DIST_EXTRA_CONFIG": str(apart)}
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    checked(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT, env=environ)
    (wheel,) = folder.glob("cohortlens-*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    install = ("--python", python, "install", "--no-index", "--find-links", WHEELS)
    checked(*pip, *install, f"{wheel}[client]")
    checked(*pip, "--python", python, "check")
    return python


def test_the_extra_brings_what_its_lock_names_and_nothing_of_the_server(fresh):
    listed = json.loads(checked(sys.executable, "-m", "pip", "--python", fresh, "list", "--format", "json"))
    found = {f"{one['name'].replace('_', '-')}=={one['version']}" for one in listed}
    lock = (ROOT / "deploy" / "locks" / "client.lock").read_text().split()
    wanted = {line.replace("_", "-") for line in lock}
    assert {one for one in found if not one.startswith("cohortlens==")} == wanted
    assert not SERVER & {one["name"] for one in listed}


def test_the_quick_start_of_the_guide_runs(fresh, stack, tmp_path):
    program = tmp_path / "first.py"
    program.write_text(re.search(r"```python\n(import asyncio\n.*?)```", GUIDE.read_text(), re.DOTALL)[1])
    account = json.loads((stack.data_dir / "credentials.json").read_text())["tenants"][0]
    told = {"TARGET": stack.grpc, "EMAIL": account["email"], "PASSWORD": account["password"]}
    lines = checked(fresh, program, cwd=tmp_path, env={"PATH": os.environ["PATH"], **told}).splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["tenant", "customers", "spend"]
    assert int(lines[1].split()[1]) > 1000
    for line in lines[2:]:
        _, customer, value, unit = line.split()
        assert re.fullmatch(r"[0-9a-f-]{36}", customer)
        assert float(value) >= 0
        assert unit == "USD"
