"""Vectors of request headers: the metadata and the deadline that they become."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.http.headers import Head, binary_fault, metadata, timeout
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.transcoding.listed import each, first_keys

_PREFIX: Final = "grpcgateway-"
# A copy of credentials under another name, which nobody here makes.
_OPTIONAL: Final = frozenset({f"{_PREFIX}authorization"})
_BINARY: Final = b"\x00\xff\xfe?>"
_SECONDS: Final = 1e-9


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    return "request_headers" in first_keys(content)


def cases(vector: Vector) -> Iterator[Case]:
    """Read the headers of each case as the door reads those of a request."""
    return each(vector, lambda case: tuple(_faults(case)))


def _faults(case: Mapping[str, Any]) -> Iterator[str]:
    head = Head.read((name.encode(), value.encode()) for name, value in _given(case))
    seconds, fault = timeout(head)
    if fault := fault or binary_fault(head):
        yield f"expected headers without fault, found {fault.reason}"
    if "deadline_seconds" in case:
        wanted = float(case["deadline_seconds"])
        yield from (f"deadline: {one}" for one in differing(wanted, seconds, absolute=_SECONDS))
    found = metadata(head, case.get("peer", ""), permanent=_PREFIX)
    for name, values in case.get("metadata", {}).items():
        if name not in _OPTIONAL or name in found:
            yield from (f"{name}: {one}" for one in differing(values, found.get(name)))
    for name in case.get("metadata_absent", ()):
        if name in found:
            yield f"expected no metadata {name}, found {found[name]}"
    for name in case.get("metadata_binary", {}):
        decoded = [base64.b64decode(value + "=" * (-len(value) % 4)) for value in found.get(name, ())]
        yield from (f"{name}: {one}" for one in differing([_BINARY], decoded))


def _given(case: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    listed = case["request_headers"]
    pairs = listed.items() if isinstance(listed, dict) else listed
    prefixed = {f"grpc-metadata-{name}" for name in case.get("metadata_binary", {})}
    for name, value in pairs:
        # The text of a case stands for any bytes.
        yield name, base64.b64encode(_BINARY).decode() if name.lower() in prefixed else value
    if "host" in case:
        yield "Host", case["host"]


HEADERS = Format("headers and deadlines", recognises, cases, frozenset({"headers_deadlines"}))
"""Headers, metadata, deadlines."""
