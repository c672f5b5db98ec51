"""One page of metrics from those of several processes: text in, text out.

Counters and histograms are summed, those of processes that ended included. Of gauges, those that count what
is under way are summed; of the others the highest is shown, or the lowest where low is the bad news.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.utils import floatToGoString

_NAME = re.compile(r"[^{ ]+")
_BY_TENANT = re.compile(r'^(gateway_tenant_calls_total\{tenant=")[^"]*("\}$)')
_SUMMED = ("inflight", "in_flight", "_open", "_rows", "_connections", "_waiting", "gateway_processes")
_LOWEST = ("dependency_up", "_created")


@dataclass
class _Family:
    head: list[str] = field(default_factory=list)
    kind: str = "untyped"
    samples: dict[str, float] = field(default_factory=dict)


def merged(living: Iterable[str], ended: Iterable[str] = ()) -> str:
    """One page in the Prometheus text format.

    Args:
        living: Pages of the processes that live.
        ended: Pages of those that ended; their gauges tell of nothing any more.
    """
    families: dict[str, _Family] = {}
    for page in living:
        _add(families, page, gauges=True)
    for page in ended:
        _add(families, page, gauges=False)
    lines = []
    for family in families.values():
        if family.samples:
            lines += family.head
            lines += [f"{key} {_number(value)}" for key, value in family.samples.items()]
    return "\n".join(lines) + "\n" if lines else ""


def _add(families: dict[str, _Family], page: str, *, gauges: bool) -> None:
    family = _Family()
    for line in page.splitlines():
        if line.startswith("# "):
            family = _headed(families, line)
        elif line and (gauges or family.kind != "gauge"):
            key, _, text = line.rpartition(" ")
            if not gauges:
                # Each process has its busiest tenants; those of processes that ended must not add up.
                key = _BY_TENANT.sub(r"\1other\2", key)
            value, known = float(text), family.samples.get(key)
            family.samples[key] = value if known is None else _joined(family.kind, key, known, value)


def _headed(families: dict[str, _Family], line: str) -> _Family:
    _, word, name, *rest = line.split(" ", 3)
    family = families.setdefault(name, _Family())
    if line not in family.head:
        family.head.append(line)
    if word == "TYPE" and rest:
        family.kind = rest[0]
    return family


def _joined(kind: str, key: str, one: float, other: float) -> float:
    found = _NAME.match(key)
    name = found[0] if found else key
    if name.endswith(_LOWEST):
        return min(one, other)
    if kind == "gauge" and not name.endswith(_SUMMED):
        return max(one, other)
    return one + other


def _number(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text
