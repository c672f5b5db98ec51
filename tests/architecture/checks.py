"""The checks of the tree itself. Each takes a folder and gives one sentence per fault, so that a test can
plant a violation in a copy and see the check find it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

SOURCE_PACKAGES = ("cohortlens", "gateway", "workers", "sidecars", "load")
MAX_LINES = 400
FORBIDDEN_MODULE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
COMMIT_HOME = "cohortlens/core/db.py"
CLOCK_HOME = "cohortlens/core/clock.py"
ENVIRON_HOMES = re.compile(
    r"(^|/)(config|settings|__main__|supervisor|app|main)\.py$|^docs/generate\.py$|^load/"
)
ALLOWED_TOP_LEVEL = {
    "protos", "cohortlens", "workers", "sidecars", "gateway", "tests", "load", "deploy", "docs",
    "pyproject.toml", "Makefile", "README.md", "CHANGELOG.md", "LICENSE",
}  # fmt: skip


def python_files(root: Path, *folders: str) -> Iterator[tuple[str, Path]]:
    """Hand-written Python files below ``folders``, with their path relative to ``root``."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if not re.search("_pb2|__pycache__|/_generated/", name):
                yield name, path


def oversized_files(root: Path) -> list[str]:
    """Hand-written files of code over 400 lines."""
    faults = []
    for name, path in python_files(root, *SOURCE_PACKAGES, "tests", "docs", "protos"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES:
            faults.append(f"{name}: {lines} lines, more than {MAX_LINES}; split it by idea")
    return faults


def misnamed_modules(root: Path) -> list[str]:
    """Modules whose name says nothing."""
    return [
        f"{name}: name it for what it holds"
        for name, path in python_files(root, *SOURCE_PACKAGES)
        if path.stem in FORBIDDEN_MODULE_NAMES
    ]


def stray_calls(root: Path) -> list[str]:
    """Commits, clock reads and environment reads outside their homes."""
    faults = []
    for name, path in python_files(root, *SOURCE_PACKAGES):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = _dotted(node.func) if isinstance(node, ast.Call) else ""
            if called.endswith(".commit") and name != COMMIT_HOME:
                faults.append(f"{name}:{node.lineno}: commits; only {COMMIT_HOME} may")
            if re.search(r"\b(datetime|date)\.(now|utcnow|today)$", called) and name != CLOCK_HOME:
                faults.append(f"{name}:{node.lineno}: reads the wall clock; use cohortlens.core.clock")
            if _reads_environment(node) and not ENVIRON_HOMES.search(name):
                faults.append(f"{name}:{node.lineno}: reads the environment; declare a setting")
    return faults


def undocumented_names(root: Path) -> list[str]:
    """Modules and public classes and functions without a docstring."""
    faults = []
    for name, path in python_files(root, *SOURCE_PACKAGES):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree):
            faults.append(f"{name}: the module has no docstring")
        faults += [f"{name}: {what} has no docstring" for what in _undocumented(tree, "")]
    return faults


def importing_init_files(root: Path) -> list[str]:
    """``__init__.py`` files that import something, the client's excepted."""
    faults = []
    for name, path in python_files(root, "cohortlens", "gateway", "workers", "sidecars"):
        if path.name != "__init__.py" or name == "cohortlens/client/__init__.py":
            continue
        faults += [
            f"{name}:{node.lineno}: imports; importing one module must not drag in another"
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", "") != "__future__"
        ]
    return faults


def uncommented_protos(root: Path) -> list[str]:
    """Messages, fields, enums, values, services and RPCs without a comment above them."""
    faults = []
    element = re.compile(r"^\s*((message|enum|service|rpc|oneof) |[A-Z_0-9]+ = \d+;|[\w.<>, ]+ \w+ = \d+\b)")
    for path in sorted((root / "protos").rglob("*.proto")):
        previous = ""
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            text = line.strip()
            if element.match(line) and not previous.startswith("//"):
                faults.append(f"{path.relative_to(root).as_posix()}:{number}: no comment above `{text[:40]}`")
            previous = text
    return faults


def rust_in_worker_locks(root: Path) -> list[str]:
    """Pins of the workers' locks that are known to carry Rust."""
    rusty = {
        "pydantic-core", "orjson", "cryptography", "rpds-py", "watchfiles", "polars", "tokenizers",
        "safetensors", "tiktoken", "jiter", "ruff", "uv", "bcrypt", "opencensus", "py-spy", "hf-xet", "solders",
        "blake3",
    }  # fmt: skip
    faults = []
    for lock in ("workers.lock", "workers-dev.lock"):
        for line in (root / "deploy/locks" / lock).read_text(encoding="utf-8").splitlines():
            package = re.split(r"[=<>\[ ]", line.strip().lower().replace("_", "-"))[0]
            if package in rusty:
                faults.append(f"deploy/locks/{lock}: {package} carries Rust")
    return faults


def unpinned_requirements(root: Path) -> list[str]:
    """Lines of a lock file that are not an exact pin."""
    pin = re.compile(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!]+")
    return [
        f"deploy/locks/{path.name}: `{line}` is not an exact pin"
        for path in sorted((root / "deploy/locks").glob("*.lock"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line and not pin.fullmatch(line)
    ]


def faulty_images(root: Path) -> list[str]:
    """Dockerfiles that run as root, lack a health check or an exec-form entry point, or copy what is not there."""
    faults = []
    for path in sorted((root / "deploy/docker").glob("*.Dockerfile")):
        lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        words = [line.split() for line in lines if line and not line.startswith("#")]
        rules = {
            "no numeric user": any(w[0] == "USER" and re.fullmatch(r"[1-9]\d*(:\d+)?", w[1]) for w in words),
            "no health check": any(w[0] == "HEALTHCHECK" for w in words),
            "no entry point in exec form": any(w[0] == "ENTRYPOINT" and w[1].startswith("[") for w in words),
            "a COPY of something that is not there": all(
                (root / source).exists()
                for w in words
                if w[0] == "COPY" and not w[1].startswith("--from=")
                for source in w[1:-1]
            ),
        }
        faults += [f"deploy/docker/{path.name}: {fault}" for fault, holds in rules.items() if not holds]
    return faults


def stray_top_level(root: Path) -> list[str]:
    """Entries of the top level that the house does not know."""
    return [
        f"{path.name}: not a part of the house's top level"
        for path in sorted(root.iterdir())
        if path.name not in ALLOWED_TOP_LEVEL and not re.search(r"^\.|^build$|\.egg-info$", path.name)
    ]  # fmt: skip


def version_mismatches(root: Path) -> list[str]:
    """Places that state another version than pyproject.toml."""
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    faults = []
    if f'__version__ = "{version}"' not in (root / "cohortlens/__init__.py").read_text(encoding="utf-8"):
        faults.append("cohortlens/__init__.py: __version__ differs from pyproject.toml")
    if f"## [{version}]" not in (root / "CHANGELOG.md").read_text(encoding="utf-8"):
        faults.append(f"CHANGELOG.md: no entry for {version}")
    return faults


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _reads_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return _dotted(node) == "os.environ"
    return isinstance(node, ast.Call) and _dotted(node.func) == "os.getenv"


def _undocumented(tree: ast.AST, prefix: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        overloads = any(
            _dotted(d).endswith("overload") for d in node.decorator_list if isinstance(d, ast.expr)
        )
        if node.name.startswith("_") or overloads:
            continue
        if not ast.get_docstring(node):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node, f"{prefix}{node.name}.")
