"""Assertions by which a service account proves that it holds its private key (RFC 7523, private_key_jwt).

As strict as with our own tokens: the algorithm comes from the stored key, the text is canonical, no member
stands twice, and an assertion works once. Which check failed is told to the tenant's audit log alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cohortlens.core.ids import parse_uuid
from cohortlens.identity.access import jws
from cohortlens.identity.models import ClientInvalid, TokenInvalid
from cohortlens.identity.programs.keys import ALGORITHMS, ProgramKey

LONGEST_LIFE_S = 300
LEEWAY_S = 30
_TYPES = frozenset({None, "JWT", "client-authentication+jwt"})
_HEADER = frozenset({"alg", "kid", "typ"})
_JTI = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_MOST_BYTES = 4096


@dataclass(frozen=True)
class Assertion:
    """An assertion taken apart; nothing of it is proven yet.

    Attributes:
        account_id: The account it claims to be from (``iss`` and ``sub``).
        alg: Algorithm it names.
        kid: Key it names; empty when it names none.
        signed: The bytes under the signature.
        signature: The signature.
        claims: Its claims.
    """

    account_id: UUID
    alg: str
    kid: str
    signed: bytes
    signature: bytes
    claims: dict[str, Any]


def parsed(text: str) -> Assertion:
    """Take an assertion apart.

    Raises:
        ClientInvalid: It is not written as one.
    """
    try:
        return _parsed(text)
    except TokenInvalid:
        raise invalid() from None


def proven(
    assertion: Assertion,
    key: ProgramKey | None,
    audiences: Collection[str],
    at: float,
    longest_s: int = LONGEST_LIFE_S,
) -> str:
    """Why an assertion does not hold, in upper snake case; empty when it does, but for being used before.

    Args:
        assertion: The assertion.
        key: The account's key that it names.
        audiences: What ``aud`` may be: the issuer, or the address of the token endpoint.
        at: Seconds since 1970.
        longest_s: Longest life of an assertion.
    """
    if key is None or key.alg != assertion.alg:
        return "KEY_UNKNOWN"
    if not key.proves(assertion.signed, assertion.signature):
        return "SIGNATURE_WRONG"
    claims = assertion.claims
    if _audience(claims) not in audiences:
        return "AUDIENCE_WRONG"
    return _timing(claims, at, longest_s)


def fingerprint(assertion: Assertion) -> bytes:
    """SHA-256 of the identifier that makes an assertion work once."""
    return hashlib.sha256(assertion.claims["jti"].encode("ascii")).digest()


def ends(assertion: Assertion) -> int:
    """Seconds since 1970 from when on the assertion is refused for its age."""
    return int(assertion.claims["exp"]) + LEEWAY_S


def invalid() -> ClientInvalid:
    """The one fault of a program that did not prove itself."""
    return ClientInvalid("the client did not prove that it is a service account; check its key and its clock")


def _parsed(text: str) -> Assertion:
    if len(text) > _MOST_BYTES or not text.isascii():
        raise invalid()
    segments = text.split(".")
    if len(segments) != 3:
        raise invalid()
    header = jws.json_object(jws.decode(segments[0]))
    alg, kid, kind = header.get("alg"), header.get("kid", ""), header.get("typ")
    # RFC 9864 gives EdDSA with this curve, the only one we take, a name of its own.
    alg = "EdDSA" if alg == "Ed25519" else alg
    known = isinstance(kind, str | None) and kind in _TYPES and isinstance(alg, str) and isinstance(kid, str)
    # What is not known here (jku, x5u, jwk, crit) would change what is to be checked.
    if not known or alg not in ALGORITHMS or set(header) - _HEADER:
        raise invalid()
    claims = jws.json_object(jws.decode(segments[1]))
    issuer, jti = claims.get("iss"), claims.get("jti")
    account = parse_uuid(issuer) if isinstance(issuer, str) else None
    named = isinstance(jti, str) and _JTI.fullmatch(jti) is not None
    if account is None or claims.get("sub") != issuer or type(claims.get("exp")) is not int or not named:
        raise invalid()
    signed = f"{segments[0]}.{segments[1]}".encode("ascii")
    return Assertion(account, str(alg), str(kid), signed, jws.decode(segments[2]), claims)


def _audience(claims: dict[str, Any]) -> str:
    """The one audience; an assertion for several would work for whoever of them is dishonest."""
    audience = claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        [audience] = audience
    return audience if isinstance(audience, str) else ""


def _timing(claims: dict[str, Any], at: float, longest_s: int) -> str:
    if claims["exp"] + LEEWAY_S <= at:
        return "EXPIRED"
    if claims["exp"] > at + longest_s + LEEWAY_S:
        return "LIVES_TOO_LONG"
    for name in ("iat", "nbf"):
        begins = claims.get(name, 0)
        if type(begins) is not int or begins > at + LEEWAY_S:
            return "NOT_YET_VALID"
    return ""
