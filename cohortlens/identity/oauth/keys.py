"""The key set of a client that signs JWTs: as it is handed in, as it is stored, as it is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cohortlens.identity.models import field_fault
from cohortlens.identity.programs.keys import MOST_KEYS, program_key

# A key says what it is; which algorithm that means needs not be said again.
_ALGORITHM = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256", ("RSA", ""): "RS256"}


def key_set(text: str, field: str) -> dict[str, Any]:
    """The keys of an RFC 7517 set by ``kid``, cut down to what proves a signature.

    Raises:
        InvalidArgument: FIELD_INVALID: no set of 1 to 5 public keys of the kinds we take.
    """
    try:
        keys = json.loads(text)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise field_fault(field, 'must be a key set such as {"keys": [...]}') from None
    if not isinstance(keys, list) or not 1 <= len(keys) <= MOST_KEYS:
        raise field_fault(field, f"must hold 1 to {MOST_KEYS} keys")
    found: dict[str, Any] = {}
    for at, members in enumerate(keys):
        key = program_key(_texts(members, f"{field}.keys[{at}]"), f"{field}.keys[{at}]")
        if key.kid in found:
            raise field_fault(f"{field}.keys[{at}].kid", "names another key of the set")
        found[key.kid] = {"alg": key.alg, **key.jwk}
    return found


def shown_key_set(stored: Mapping[str, Any] | None) -> str:
    """The set as JSON text; empty without one."""
    if stored is None:
        return ""
    keys = [{"kid": kid, "use": "sig", **members} for kid, members in stored.items()]
    return json.dumps({"keys": keys}, separators=(",", ":"))


def _texts(members: Any, field: str) -> dict[str, str]:
    if not isinstance(members, dict):
        raise field_fault(field, "must be a key")
    texts = {name: value for name, value in members.items() if isinstance(value, str)}
    kind = texts.get("kty", ""), texts.get("crv", "")
    if texts.get("alg") == "Ed25519":  # RFC 9864
        texts["alg"] = "EdDSA"
    return {"alg": _ALGORITHM.get(kind, ""), **texts}
