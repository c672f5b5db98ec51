"""The strict part of JSON Web Tokens that access tokens use: compact form, EdDSA, nothing optional.

Stricter than RFC 7515: one header form, canonical base64url, no duplicate member, no number that is not
finite. Every fault is ``TokenInvalid`` with the same text, so that a forger learns nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cohortlens.identity.models import TokenInvalid

MAX_TOKEN_BYTES = 4096
TYPE = "at+jwt"
ALGORITHM = "EdDSA"
_SIGNATURE_BYTES = 64


@dataclass(frozen=True)
class ParsedToken:
    """A token taken apart; nothing of it is proven yet.

    Attributes:
        kid: Key it names.
        signed: The bytes under the signature.
        payload: The payload's segment.
        signature: The signature, 64 bytes.
    """

    kid: str
    signed: bytes
    payload: str
    signature: bytes


def sign(kid: str, key: Ed25519PrivateKey, claims: dict[str, Any]) -> str:
    """The compact token of ``claims``."""
    header = encode(_dump({"alg": ALGORITHM, "kid": kid, "typ": TYPE}))
    signed = f"{header}.{encode(_dump(claims))}"
    return f"{signed}.{encode(key.sign(signed.encode('ascii')))}"


def parse(token: str) -> ParsedToken:
    """Take a token apart and check its header.

    Raises:
        TokenInvalid: It is too long, not three canonical segments, or its header is not exactly
            ``alg`` EdDSA, ``typ`` at+jwt and a ``kid``.
    """
    if len(token) > MAX_TOKEN_BYTES or not token.isascii():
        raise invalid()
    segments = token.split(".")
    if len(segments) != 3:
        raise invalid()
    header = json_object(decode(segments[0]))
    if set(header) != {"alg", "kid", "typ"} or header["alg"] != ALGORITHM or header["typ"] != TYPE:
        raise invalid()
    signature = decode(segments[2])
    if not isinstance(header["kid"], str) or len(signature) != _SIGNATURE_BYTES:
        raise invalid()
    return ParsedToken(header["kid"], f"{segments[0]}.{segments[1]}".encode("ascii"), segments[1], signature)


def claims_of(parsed: ParsedToken, key: Ed25519PublicKey) -> dict[str, Any]:
    """The claims, once the signature is proven.

    Raises:
        TokenInvalid: The signature is not of ``key``, or the payload is not one JSON object.
    """
    try:
        key.verify(parsed.signature, parsed.signed)
    except InvalidSignature:
        raise invalid() from None
    return json_object(decode(parsed.payload))


def encode(value: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The bytes of canonical base64url without padding: one text per value.

    Raises:
        TokenInvalid: Any other text.
    """
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise invalid() from None
    if encode(value) != text:
        raise invalid()
    return value


def json_object(raw: bytes) -> dict[str, Any]:
    """The JSON object written in ``raw``.

    Raises:
        TokenInvalid: Not UTF-8, not one object, a member twice, or NaN and Infinity.
    """
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise invalid() from None
    if not isinstance(value, dict):
        raise invalid()
    return value


def invalid() -> TokenInvalid:
    """The one fault of a token that is not ours."""
    return TokenInvalid("the access token is not valid; log in again")


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member twice")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
