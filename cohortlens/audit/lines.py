"""The lines of an export: JSON, one object each, that name everything a verification needs.

``header``, then ``event`` lines in the order of the chain with each ``checkpoint`` behind the row it seals,
then ``end``. Hashes are hex digits, signatures and keys base64url without padding, times microseconds.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from cohortlens.audit.models import ChainedRow, Checkpoint, instant, microseconds

FORMAT = "cohortlens.audit.v1"


class LineInvalid(ValueError):
    """A line that no export has."""


def header(tenant_id: UUID, from_seq: int, to_seq: int, keys: Mapping[str, bytes]) -> dict[str, Any]:
    """The first line. ``keys`` tells which keys signed; a verifier trusts only those it was given."""
    return {
        "type": "header",
        "format": FORMAT,
        "tenant_id": str(tenant_id),
        "from_seq": from_seq,
        "to_seq": to_seq,
        "keys": jwks(keys)["keys"],
    }


def end(to_seq: int) -> dict[str, Any]:
    """The last line: without it the file is not whole."""
    return {"type": "end", "to_seq": to_seq}


def event(row: ChainedRow) -> dict[str, Any]:
    """A row; ``canonical`` is the very text that was hashed."""
    return {
        "type": "event",
        "seq": row.seq,
        "at_us": microseconds(row.at),
        "previous_hash": row.previous_hash.hex(),
        "hash": row.hash.hex(),
        "canonical": row.canonical.decode(),
    }


def checkpoint(it: Checkpoint) -> dict[str, Any]:
    """A checkpoint."""
    return {
        "type": "checkpoint",
        "seq": it.seq,
        "at_us": microseconds(it.at),
        "hash": it.hash.hex(),
        "kid": it.kid,
        "signature": _text(it.signature),
    }


def written(line: Mapping[str, Any]) -> bytes:
    """A line as bytes, with its end."""
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read(line: bytes) -> dict[str, Any]:
    """A line as an object.

    Raises:
        LineInvalid: It is no JSON object with a ``type``.
    """
    try:
        found = json.loads(line)
    except ValueError as fault:
        raise LineInvalid("is not JSON") from fault
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise LineInvalid("is not an object with a type")
    return found


def read_event(line: Mapping[str, Any]) -> ChainedRow:
    """The row of an ``event`` line.

    Raises:
        LineInvalid: A member is missing or of another kind.
    """
    try:
        return ChainedRow(
            _number(line["seq"]),
            instant(_number(line["at_us"])),
            bytes.fromhex(line["previous_hash"]),
            bytes.fromhex(line["hash"]),
            line["canonical"].encode(),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as fault:
        raise LineInvalid("is no event") from fault


def read_checkpoint(line: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint of a ``checkpoint`` line.

    Raises:
        LineInvalid: A member is missing or of another kind.
    """
    try:
        return Checkpoint(
            _number(line["seq"]),
            bytes.fromhex(line["hash"]),
            instant(_number(line["at_us"])),
            str(line["kid"]),
            _bytes(line["signature"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as fault:
        raise LineInvalid("is no checkpoint") from fault


def jwks(keys: Mapping[str, bytes]) -> dict[str, list[dict[str, str]]]:
    """Public keys as a JSON Web Key Set (RFC 8037)."""
    return {
        "keys": [
            {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": _text(raw)}
            for kid, raw in sorted(keys.items())
        ]
    }


def read_jwks(source: bytes) -> dict[str, bytes]:
    """The Ed25519 keys of a JSON Web Key Set, or of one key, by identifier.

    Raises:
        LineInvalid: It holds none.
    """
    try:
        found = json.loads(source)
        listed = found.get("keys", [found])
        keys = {
            str(key["kid"]): _bytes(key["x"])
            for key in listed
            if (key["kty"], key["crv"]) == ("OKP", "Ed25519")
        }
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise LineInvalid("is no JSON Web Key Set") from fault
    if not keys or any(len(raw) != 32 for raw in keys.values()):
        raise LineInvalid("holds no Ed25519 key of 32 bytes")
    return keys


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError("no number")
    return value


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(value: str) -> bytes:
    return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
