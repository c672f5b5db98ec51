"""The tree keeps the house's rules, and every check is seen to fail on a planted violation."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture import checks

ROOT = Path(__file__).resolve().parents[2]
Check = Callable[[Path], list[str]]

# Check, file to plant, its text.
PLANTED: list[tuple[Check, str, str]] = [
    (checks.oversized_files, "cohortlens/core/long.py", "x = 1\n" * 401),
    (checks.misnamed_modules, "cohortlens/core/utils.py", '"""Bits and pieces."""\n'),
    (
        checks.stray_calls,
        "cohortlens/core/writer.py",
        "async def save(session):\n    await session.commit()\n",
    ),
    (checks.stray_calls, "gateway/today.py", "import datetime\nnow = datetime.datetime.now(datetime.UTC)\n"),
    (checks.stray_calls, "workers/reader.py", "import os\nhome = os.environ['HOME']\n"),
    (checks.stray_calls, "workers/getter.py", "import os\nhome = os.getenv('HOME')\n"),
    (checks.undocumented_names, "gateway/bare.py", "def serve():\n    return 1\n"),
    (
        checks.undocumented_names,
        "gateway/method.py",
        '"""Doc."""\n\n\nclass A:\n    """Doc."""\n\n    def b(self): ...\n',
    ),
    (checks.importing_init_files, "cohortlens/core/extra/__init__.py", "from cohortlens.core import db\n"),
    (checks.uncommented_protos, "protos/x.proto", 'syntax = "proto3";\nmessage Bare {\n}\n'),
    (checks.uncommented_protos, "protos/y.proto", "// Doc.\nmessage M {\n  string name = 1;\n}\n"),
    (checks.uncommented_protos, "protos/z.proto", "// Doc.\nservice S {\n  rpc Do(A) returns (B);\n}\n"),
    (checks.rust_in_worker_locks, "deploy/locks/workers.lock", "orjson==3.13.0\n"),
    (checks.unpinned_requirements, "deploy/locks/main.lock", "numpy>=2\n"),
    (
        checks.faulty_images,
        "deploy/docker/root.Dockerfile",
        'FROM x\nUSER root\nHEALTHCHECK NONE\nENTRYPOINT ["x"]\n',
    ),
    (
        checks.faulty_images,
        "deploy/docker/gone.Dockerfile",
        'FROM x\nCOPY gone .\nUSER 1\nHEALTHCHECK NONE\nENTRYPOINT ["x"]\n',
    ),
    (checks.stray_top_level, "scripts/run.sh", "true\n"),
    (checks.version_mismatches, "CHANGELOG.md", "# Changelog\n"),
]


@pytest.mark.parametrize(
    "check", sorted({c for c, _, _ in PLANTED}, key=lambda c: c.__name__), ids=lambda c: c.__name__
)
def test_the_tree_has_no_fault(check):
    assert check(ROOT) == []


@pytest.mark.parametrize(
    ("check", "name", "text"), PLANTED, ids=lambda v: getattr(v, "__name__", str(v)[:40])
)
def test_a_planted_violation_is_found(check, name, text, tmp_path):
    for kept in ("deploy/locks", "pyproject.toml", "CHANGELOG.md", "cohortlens/__init__.py"):
        source, target = ROOT / kept, tmp_path / kept
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    before = check(tmp_path)
    planted = tmp_path / name
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(text, encoding="utf-8")
    assert len(check(tmp_path)) > len(before), "the check did not see the planted violation"
