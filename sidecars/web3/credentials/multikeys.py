"""Keys as text: multibase base58btc around a multicodec prefix, as did:key and Multikey write them.

Sources: the did:key method (w3c-ccg, section 3), Controlled Identifiers 1.0 section 2.2.2 (Multikey),
the multicodec table for the prefixes, RFC 7748 section 4.1 for the map from Ed25519 to X25519.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import base58
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecars.web3.credentials.refusals import RefusedError

ED25519 = "Ed25519"
X25519 = "X25519"
_BASE58BTC = re.compile(r"z[1-9A-HJ-NP-Za-km-z]+\Z")
_MAX_TEXT = 256
_SEED_PREFIX = bytes.fromhex("8026")
_SEED_BYTES = 32

# Multicodec prefix (an unsigned varint) -> name, length of the key.
_TYPES: dict[bytes, tuple[str, int]] = {
    bytes.fromhex("ed01"): (ED25519, 32),
    bytes.fromhex("ec01"): (X25519, 32),
    bytes.fromhex("e701"): ("secp256k1", 33),
    bytes.fromhex("8024"): ("P-256", 33),
    bytes.fromhex("8124"): ("P-384", 49),
    bytes.fromhex("8224"): ("P-521", 67),
}
_PREFIXES = {name: prefix for prefix, (name, _) in _TYPES.items()}
CURVES: dict[str, ec.EllipticCurve] = {
    "secp256k1": ec.SECP256K1(),
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}

# The field and curve of Ed25519: -x^2 + y^2 = 1 + d x^2 y^2 over 2^255 - 19 (RFC 8032 section 5.1).
_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


@dataclass(frozen=True)
class PublicKey:
    """A public key by type and raw bytes; points of the elliptic curves are compressed."""

    type: str
    raw: bytes

    @property
    def multibase(self) -> str:
        """The key as Multikey's ``publicKeyMultibase`` writes it."""
        return encoded(_PREFIXES[self.type] + self.raw)


def encoded(content: bytes) -> str:
    """Multibase base58btc of ``content``: ``z`` and base58."""
    return "z" + base58.b58encode(content).decode("ascii")


def decoded(text: object, *, max_chars: int = _MAX_TEXT) -> bytes:
    """What a multibase text holds.

    Raises:
        ValueError: It is not base58btc, or too long.
    """
    if not isinstance(text, str) or len(text) > max_chars or not _BASE58BTC.match(text):
        raise ValueError("it is not multibase base58btc")
    return base58.b58decode(text[1:])


@lru_cache(maxsize=4096)
def read_public(text: str) -> PublicKey:
    """Read a public key.

    Raises:
        RefusedError: DID_KEY_MALFORMED or DID_KEY_TYPE_UNSUPPORTED.
    """
    try:
        content = decoded(text)
    except ValueError as fault:
        raise malformed(str(fault)) from None
    prefix, rest = _varint(content)
    if prefix not in _TYPES:
        raise RefusedError(
            "DID_KEY_TYPE_UNSUPPORTED", f"Keys of multicodec 0x{prefix.hex()} are not supported."
        )
    name, length = _TYPES[prefix]
    if len(rest) != length:
        raise malformed(f"a key of type {name} has {length} bytes, this one {len(rest)}")
    if name in CURVES:
        _check_point(name, rest)
    elif name == ED25519:
        _check_edwards(rest)
    return PublicKey(name, rest)


def read_seed(text: str) -> Ed25519PrivateKey:
    """Read an Ed25519 private key written as ``privateKeyMultibase`` (``z3u2...``).

    Raises:
        RefusedError: DID_KEY_MALFORMED.
    """
    try:
        content = decoded(text)
    except ValueError as fault:
        raise malformed(str(fault)) from None
    if content[:2] != _SEED_PREFIX or len(content) != len(_SEED_PREFIX) + _SEED_BYTES:
        raise malformed("it is no Ed25519 private key of 32 bytes")
    return Ed25519PrivateKey.from_private_bytes(content[2:])


def public_of(private: Ed25519PrivateKey) -> PublicKey:
    """The public key of a private one."""
    return PublicKey(ED25519, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def x25519_of(ed25519: bytes) -> PublicKey:
    """The key for key agreement that an Ed25519 point maps to: u = (1 + y) / (1 - y)."""
    y = int.from_bytes(ed25519, "little") & (2**255 - 1)
    u = (1 + y) * pow(1 - y, -1, _P) % _P
    return PublicKey(X25519, u.to_bytes(32, "little"))


def malformed(fault: str) -> RefusedError:
    """The refusal of a key that cannot be read."""
    return RefusedError("DID_KEY_MALFORMED", f"The key cannot be read: {fault}.")


def _varint(content: bytes) -> tuple[bytes, bytes]:
    """The leading unsigned varint and the rest; it must be minimal and short."""
    for at, byte in enumerate(content[:9]):
        if byte < 0x80:
            if at and not byte:
                raise malformed("its prefix is not in the shortest form")
            return content[: at + 1], content[at + 1 :]
    raise malformed("it has no multicodec prefix")


def _check_point(name: str, compressed: bytes) -> None:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(CURVES[name], compressed)
    except ValueError:
        raise malformed(f"it is no point of {name}") from None


def _check_edwards(raw: bytes) -> None:
    """Refuse what is no point, is written in a second way, or has a small order.

    Under a point of small order one signature fits any message, so such a key would vouch for every change.
    Those points have y = 0, 1 or -1, or double to y = 0, which is d y^4 + 2 y^2 = 1.
    """
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    square = y * y % _P
    if y >= _P or y in (0, 1, _P - 1) or (_D * square * square + 2 * square - 1) % _P == 0:
        raise malformed("it is no usable point of Ed25519")
    x_square = (square - 1) * pow(_D * square + 1, -1, _P) % _P
    if pow(x_square, (_P - 1) // 2, _P) != 1:
        raise malformed("it is no point of Ed25519")
