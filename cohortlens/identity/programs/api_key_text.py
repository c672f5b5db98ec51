"""How an API key is written: prefix, identifier, secret and a checksum that tells a slip from a key.

``cl_live_`` or ``cl_test_``, 12 characters that name the row, ``_``, a secret of 256 bits in 43 characters,
and the CRC-32 of all before it in 6. Only digits and letters, so that a double click takes a key whole and a
scanner of leaked secrets can prove a find without asking us.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

LIVE, TEST = "cl_live_", "cl_test_"
START = "cl_"
"""What no access token begins with."""
CHARACTERS = 70

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LOOKUP_CHARACTERS = 12
_SECRET_BYTES = 32
_SECRET_CHARACTERS = 43
_CHECKSUM_CHARACTERS = 6
_FORM = re.compile(r"(cl_(?:live|test)_)([0-9A-Za-z]{12})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})", re.ASCII)


@dataclass(frozen=True)
class KeyText:
    """A key taken apart; its checksum holds, nothing else is proven.

    Attributes:
        prefix: ``cl_live_`` or ``cl_test_``.
        lookup: The 12 characters that name the row.
        secret_sha256: SHA-256 of the secret; enough, since the secret is 256 random bits.
    """

    prefix: str
    lookup: str
    secret_sha256: bytes = field(repr=False)


def made(prefix: str) -> tuple[str, KeyText]:
    """A new key, and what of it is stored.

    Args:
        prefix: ``cl_live_`` or ``cl_test_``.
    """
    lookup = "".join(secrets.choice(_ALPHABET) for _ in range(_LOOKUP_CHARACTERS))
    secret = _base62(int.from_bytes(secrets.token_bytes(_SECRET_BYTES), "big"), _SECRET_CHARACTERS)
    body = f"{prefix}{lookup}_{secret}"
    return body + _checksum(body), KeyText(prefix, lookup, _digest(secret))


def parsed(text: str) -> KeyText | None:
    """The parts of a key; None when it is not written like one or its checksum is wrong."""
    if len(text) != CHARACTERS:
        return None
    match = _FORM.fullmatch(text)
    if match is None or _checksum(text[:-_CHECKSUM_CHARACTERS]) != match[4]:
        return None
    return KeyText(match[1], match[2], _digest(match[3]))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("ascii")).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("ascii")), _CHECKSUM_CHARACTERS)


def _base62(value: int, characters: int) -> str:
    digits = []
    for _ in range(characters):
        value, digit = divmod(value, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
