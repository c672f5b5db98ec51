"""Public keys of service accounts: which JWKs are taken, and how a signature is proven with one.

The arithmetic is PyJWT's; what it leaves open (key sizes, exponents, canonical text, the algorithm a key is
for) is decided here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from cohortlens.identity.access import jws
from cohortlens.identity.models import TokenInvalid, field_fault

MOST_KEYS = 5
_RSA_BITS = (2048, 4096)
_RSA_EXPONENT = 65537
_KID = re.compile(r"[A-Za-z0-9._~-]{1,64}", re.ASCII)
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True)
class _Kind:
    """What a key of one algorithm holds, and who proves its signatures."""

    fixed: Mapping[str, str]
    parts: tuple[str, ...]
    algorithm: Algorithm


_KINDS = {
    "EdDSA": _Kind({"kty": "OKP", "crv": "Ed25519"}, ("x",), OKPAlgorithm()),
    "ES256": _Kind({"kty": "EC", "crv": "P-256"}, ("x", "y"), ECAlgorithm(ECAlgorithm.SHA256)),
    "RS256": _Kind({"kty": "RSA"}, ("n", "e"), RSAAlgorithm(RSAAlgorithm.SHA256)),
}
ALGORITHMS = tuple(_KINDS)
"""Algorithms that an assertion may be signed with."""


@dataclass(frozen=True)
class ProgramKey:
    """A public key in its stored form.

    Attributes:
        kid: Its identifier within the account.
        alg: The only algorithm it is used with.
        jwk: Its members: kty, crv, x, y, n, e.
    """

    kid: str
    alg: str
    jwk: Mapping[str, str]

    def proves(self, signed: bytes, signature: bytes) -> bool:
        """Whether ``signature`` over ``signed`` was made with the private half."""
        algorithm = _KINDS[self.alg].algorithm
        return bool(algorithm.verify(signed, algorithm.from_jwk(dict(self.jwk)), signature))


def program_key(members: Mapping[str, str], field: str) -> ProgramKey:
    """A key as a tenant hands it in.

    Args:
        members: Members of the JWK, all text; empty ones count as absent.
        field: Field to name in a fault.

    Raises:
        InvalidArgument: FIELD_INVALID naming the member.
    """
    given = {name: value for name, value in members.items() if value}
    if _PRIVATE & set(given):
        raise field_fault(field, "holds members of a private key; give its public half only")
    kind = _KINDS.get(given.get("alg", ""))
    if kind is None:
        raise field_fault(f"{field}.alg", f"must be one of {', '.join(ALGORITHMS)}")
    for name, wanted in kind.fixed.items():
        if given.get(name) != wanted:
            raise field_fault(f"{field}.{name}", f"must be {wanted} for the algorithm {given['alg']}")
    if given.get("use", "sig") != "sig":
        raise field_fault(f"{field}.use", "must be sig or absent")
    jwk = {**kind.fixed, **{name: _canonical(given, name, field) for name in kind.parts}}
    _require_strong(kind, jwk, field)
    kid = given.get("kid") or thumbprint(jwk)
    if _KID.fullmatch(kid) is None:
        raise field_fault(f"{field}.kid", "must be 1 to 64 letters, digits or . _ ~ -")
    return ProgramKey(kid, given["alg"], jwk)


def stored_keys(rows: Mapping[str, Any]) -> dict[str, ProgramKey]:
    """The keys of an account by ``kid``, as the database gives them.

    Args:
        rows: ``{kid: {alg, ...members}}``.
    """
    return {
        kid: ProgramKey(kid, row["alg"], {name: value for name, value in row.items() if name != "alg"})
        for kid, row in rows.items()
    }


def thumbprint(jwk: Mapping[str, str]) -> str:
    """The thumbprint of a key after RFC 7638, SHA-256."""
    canonical = json.dumps(dict(sorted(jwk.items())), separators=(",", ":"))
    return jws.encode(hashlib.sha256(canonical.encode()).digest())


def _canonical(given: Mapping[str, str], name: str, field: str) -> str:
    try:
        if not jws.decode(given.get(name, "")):
            raise jws.invalid()
    except TokenInvalid:
        raise field_fault(f"{field}.{name}", "must be base64url without padding") from None
    return given[name]


def _require_strong(kind: _Kind, jwk: Mapping[str, str], field: str) -> None:
    try:
        key = kind.algorithm.from_jwk(dict(jwk))
    except (InvalidKeyError, ValueError):
        raise field_fault(field, "is no public key of its kind") from None
    if isinstance(key, RSAPublicKey):
        low, high = _RSA_BITS
        if not low <= key.key_size <= high or key.public_numbers().e != _RSA_EXPONENT:
            raise field_fault(f"{field}.n", f"must have {low} to {high} bits and the exponent AQAB")
