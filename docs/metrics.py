"""The table of all metrics, read from the sources that declare them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gateway", "cohortlens", "workers", "sidecars")
_KINDS = {
    "Counter": "counter",
    "Gauge": "gauge",
    "Histogram": "histogram",
    "Busiest": "counter",
    "CounterMetricFamily": "counter",
    "GaugeMetricFamily": "gauge",
}
_NAME = re.compile(r"[a-z][a-z0-9_]+")
_DECLARES = frozenset({"cohortlens/core/busiest.py", "cohortlens/core/counting.py"})


@dataclass(frozen=True, order=True)
class MetricRow:
    """One metric as it is declared.

    Attributes:
        name: Name on the page of metrics.
        kind: counter, gauge or histogram.
        labels: Names of its labels.
        meaning: What it counts.
        file: File that declares it.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    file: str


def metrics() -> list[MetricRow]:
    """Every metric of the product, by name."""
    return sorted({row.name: row for package in PACKAGES for row in _of_package(package)}.values())


def metrics_page() -> str:
    """Text of ``docs/reference/metrics.md``."""
    lines = [
        "# Metrics",
        "",
        "Generated from the code. Each process shows its own at `/metrics` of its ops port.",
        "",
        "| metric | kind | labels | counts |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{row.name}` | {row.kind} | {', '.join(row.labels) or '-'} | {row.meaning} |" for row in metrics()
    ]
    return "\n".join(lines) + "\n"


def _of_package(package: str) -> Iterator[MetricRow]:
    for path in sorted((ROOT / package).rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        source = path.read_text(encoding="utf-8")
        if file not in _DECLARES and any(kind in source for kind in _KINDS):
            tree = ast.parse(source)
            constants = _constants(tree)
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and (row := _row(node, constants, file)) is not None:
                    yield row


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _row(node: ast.Call, constants: Mapping[str, ast.expr], file: str) -> MetricRow | None:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    texts = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
    if called not in _KINDS or len(texts) != 2 or not all(isinstance(one, str) for one in texts):
        return None
    name, meaning = map(str, texts)
    if not _NAME.fullmatch(name):
        return None
    kind = _KINDS[called]
    given = node.args[2:3] or [one.value for one in node.keywords if one.arg in {"labels", "labelnames"}]
    labels = tuple(_texts(given[0], constants)) if given else ()
    if kind == "counter" and not name.endswith("_total"):
        name += "_total"
    return MetricRow(name, kind, labels, meaning, file)


def _texts(node: ast.expr, constants: Mapping[str, ast.expr]) -> Iterator[str]:
    """The texts of labels: one, a tuple, a constant of the module, or a tuple with such a one in it."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.Name):
        yield from _texts(constants[node.id], constants)
    elif isinstance(node, ast.Starred):
        yield from _texts(node.value, constants)
    elif isinstance(node, ast.Tuple | ast.List):
        for part in node.elts:
            yield from _texts(part, constants)
