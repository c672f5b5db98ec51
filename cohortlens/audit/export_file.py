"""Verifies an export offline: the file and the keys the reader trusts, nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from cohortlens.audit import lines
from cohortlens.audit.lines import LineInvalid
from cohortlens.audit.models import ChainReport
from cohortlens.audit.verifier import ChainVerifier


class ExportInvalid(ValueError):
    """The file is no export, or not a whole one; says which line and why."""


def verify_export(source: Iterable[bytes], keys: Mapping[str, bytes]) -> ChainReport:
    """Compute the chain of an export again.

    Args:
        source: Its lines, such as a file opened for binary reading; read once, line by line.
        keys: Public keys the reader trusts, 32 bytes each, by identifier.

    Raises:
        ExportInvalid: The file cannot be read as an export, or ends before its last line.
    """
    parsed = _parsed(source)
    tenant_id, from_seq, to_seq = _header(next(parsed, (0, {}))[1])
    verifier = ChainVerifier(tenant_id, keys, (), from_seq)
    is_whole = False
    for number, line in parsed:
        if is_whole:
            raise ExportInvalid(f"line {number} stands behind the end of the export")
        is_whole = _take(number, line, verifier)
    if not is_whole:
        raise ExportInvalid("the file stops before the end of the export; fetch it again")
    return verifier.end(to_seq, must_be_sealed=True)


def _take(number: int, line: Mapping[str, Any], verifier: ChainVerifier) -> bool:
    """Hand a line to the verifier; True for the last one."""
    try:
        if line["type"] == "event":
            verifier.take([lines.read_event(line)])
        elif line["type"] == "checkpoint":
            verifier.seal(lines.read_checkpoint(line))
        elif line["type"] != "end":
            raise LineInvalid(f"has the unknown type {line['type'][:40]!r}")
    except LineInvalid as fault:
        raise ExportInvalid(f"line {number} {fault}") from fault
    return bool(line["type"] == "end")


def _parsed(source: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in zip(itertools.count(1), source, strict=False):
        try:
            yield number, lines.read(line)
        except LineInvalid as fault:
            raise ExportInvalid(f"line {number} {fault}") from fault


def _header(line: Mapping[str, Any]) -> tuple[UUID, int, int]:
    if line.get("type") != "header" or line.get("format") != lines.FORMAT:
        raise ExportInvalid(f"the first line is no header of the format {lines.FORMAT}")
    try:
        from_seq, to_seq = int(line["from_seq"]), int(line["to_seq"])
        tenant_id = UUID(line["tenant_id"])
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise ExportInvalid("the header names no tenant or no range of rows") from fault
    if not 1 <= from_seq <= to_seq:
        raise ExportInvalid("the header names no range of rows")
    return tenant_id, from_seq, to_seq
