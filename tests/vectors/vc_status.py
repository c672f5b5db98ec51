"""Vectors of Bitstring Status Lists: an ``encodedList`` and what it decodes to, or a whole list credential."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sidecars.web3.credentials import bits
from tests.vectors.cases import Case, Format, Vector, differing

_BITS_A_BYTE = 8


def _recognises(content: Mapping[str, Any]) -> bool:
    return _facts(content) is not None


def _facts(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The object that holds the list: the file itself, or the subject of a credential."""
    for one in (content, content.get("credentialSubject")):
        if isinstance(one, dict) and "encodedList" in one:
            return one
    return None


def list_cases(content: Mapping[str, Any]) -> Iterator[Case]:
    """The cases of the list in a file; none where it holds no list."""
    facts = _facts(content)
    if facts is None:
        return
    # A vector may be shorter than a list that hides whom it is about.
    found = bits.decode(facts["encodedList"], least_bits=_BITS_A_BYTE)
    size = int(facts.get("statusSize", 1))
    if "decodedBytes" in facts:
        yield Case("decodedBytes", differing(facts["decodedBytes"], len(found)))
    if "lengthBits" in facts:
        yield Case("lengthBits", differing(facts["lengthBits"], len(found) * _BITS_A_BYTE))
    if "setIndexes" in facts:
        entries = len(found) * _BITS_A_BYTE // size
        ours = [at for at in range(entries) if bits.value_at(found, at, size)]
        yield Case("setIndexes", differing(sorted(facts["setIndexes"]), ours))
    yield from _values(facts.get("values"), found, size)
    # The text of two gzips may differ; what it decodes to may not.
    yield Case("encoded again", differing(found, bits.decode(bits.encode(found), least_bits=_BITS_A_BYTE)))


def _values(values: Any, found: bytes, size: int) -> Iterator[Case]:
    listed = values.items() if isinstance(values, dict) else enumerate(values or [])
    for at, value in listed:
        yield Case(f"value {at}", differing(value, bits.value_at(found, int(at), size)))


def _cases(vector: Vector) -> Iterator[Case]:
    return list_cases(vector.content)


STATUS_LIST = Format("status list", _recognises, _cases)
