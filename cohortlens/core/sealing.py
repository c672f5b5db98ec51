"""Seal small secrets with AES-256-GCM under keys derived from the installation's one key (KEK)."""

from __future__ import annotations

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_VERSION = b"\x01"
_NONCE_BYTES = 12
_TAG_BYTES = 16


class SealBroken(Exception):
    """Sealed bytes that were altered, cut, sealed for another context or with another key."""


class Sealer:
    """Seals bytes for one purpose; a sealed value of one purpose does not open under another.

    Args:
        kek: The installation's key, 32 bytes.
        purpose: Name of the use, such as ``signing-key``.

    Raises:
        ValueError: ``kek`` is not 32 bytes long.
    """

    def __init__(self, kek: bytes, purpose: str) -> None:
        if len(kek) != KEY_BYTES:
            raise ValueError(f"the key-encryption key must be {KEY_BYTES} bytes long, not {len(kek)}")
        self._cipher = AESGCM(_derive(kek, purpose))

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Seal ``plaintext`` bound to ``context``: version (1 byte), nonce (12), ciphertext with tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plaintext, _VERSION + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The plaintext.

        Raises:
            SealBroken: The value is not what ``seal`` gave for this context.
        """
        if len(sealed) < 1 + _NONCE_BYTES + _TAG_BYTES or sealed[:1] != _VERSION:
            raise SealBroken("not a sealed value")
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, body, _VERSION + context)
        except InvalidTag:
            raise SealBroken("the seal does not match") from None


def derived_key(kek: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose that is not sealing, such as a MAC."""
    return _derive(kek, "raw:" + purpose)


def parse_kek(text: str) -> bytes:
    """The key out of the setting ``COHORTLENS_KEK``.

    Raises:
        ValueError: The text is not base64 of 32 bytes; the text itself is not repeated.
    """
    try:
        kek = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        kek = b""
    if len(kek) != KEY_BYTES:
        raise ValueError(
            "COHORTLENS_KEK must be 32 bytes in base64, for example from: openssl rand -base64 32"
        )
    return kek


def _derive(kek: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, None, f"cohortlens/{purpose}".encode()).derive(kek)
