"""Seal small secrets with AES-256-GCM under keys derived from the installation's keys (KEKs).

A sealed value names the key it was sealed under, so that an installation can change its key: values of the
current key and of the previous ones open, new values are sealed under the current one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cohortlens.core.key_settings import KEY_BYTES, parse_kek, parse_previous

KEY_ID_BYTES = 4
_UNNAMED, _NAMED = b"\x01", b"\x02"
_NONCE_BYTES = 12
_TAG_BYTES = 16


class SealBroken(Exception):
    """Sealed bytes that were altered, cut, sealed for another context or with another key."""


class Keyring:
    """The keys of an installation: one seals, all of them open.

    Args:
        current: Seals, and opens what it sealed; 32 bytes.
        previous: Open what they sealed; also where a key stands that is to become the current one, so that
            every process opens its values before the first one seals with it.

    Attributes:
        current: As given.
        current_id: Identifier of the current key, as in the values it sealed.

    Raises:
        ValueError: A key is not 32 bytes long.
    """

    def __init__(self, current: bytes, previous: Iterable[bytes] = ()) -> None:
        self.current = current
        self.keys: dict[bytes, bytes] = {}
        for kek in (current, *previous):
            if len(kek) != KEY_BYTES:
                raise ValueError(f"the key-encryption key must be {KEY_BYTES} bytes long, not {len(kek)}")
            self.keys.setdefault(key_id(kek), kek)
        self.current_id = next(iter(self.keys))

    @classmethod
    def parse(cls, current: str, previous: str = "") -> Keyring:
        """The keys out of the settings ``COHORTLENS_KEK`` and ``COHORTLENS_KEK_PREVIOUS``.

        Args:
            current: A key in base64.
            previous: Any number of keys in base64, separated by commas or white space.

        Raises:
            ValueError: A text is not base64 of 32 bytes; the text itself is not repeated.
        """
        return cls(parse_kek(current), parse_previous(previous))


SealingKeys = bytes | Keyring
"""A keyring, or the one key of an installation that never changed it."""


class Sealer:
    """Seals bytes for one purpose; a sealed value of one purpose does not open under another.

    Args:
        keys: The installation's keys.
        purpose: Name of the use, such as ``signing-key``.

    Attributes:
        head: The first bytes of what it seals: version and current key.

    Raises:
        ValueError: A key is not 32 bytes long.
    """

    def __init__(self, keys: SealingKeys, purpose: str) -> None:
        ring = keys if isinstance(keys, Keyring) else Keyring(keys)
        self._ciphers = {name: AESGCM(_derive(kek, purpose)) for name, kek in ring.keys.items()}
        self.head = _NAMED + ring.current_id
        self._cipher = self._ciphers[ring.current_id]

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Seal ``plaintext`` bound to ``context``: version (1 byte), key (4), nonce (12), ciphertext, tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return self.head + nonce + self._cipher.encrypt(nonce, plaintext, self.head + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The plaintext.

        Raises:
            SealBroken: The value is not what ``seal`` gave for this context under one of the keys.
        """
        name = sealed_under(sealed)
        if name is None:
            return self._open_unnamed(sealed, context)
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise SealBroken("sealed under a key that this process was not given")
        opened = _decrypted(cipher, sealed, 1 + KEY_ID_BYTES, context)
        if opened is None:
            raise SealBroken("the seal does not match")
        return opened

    def _open_unnamed(self, sealed: bytes, context: bytes) -> bytes:
        # Values from before keys had names: the tag tells which key it was.
        for cipher in self._ciphers.values():
            opened = _decrypted(cipher, sealed, 1, context)
            if opened is not None:
                return opened
        raise SealBroken("the seal does not match")


def sealed_under(sealed: bytes) -> bytes | None:
    """Identifier of the key of a sealed value; None for one from before keys had names.

    Raises:
        SealBroken: It is no sealed value.
    """
    version = sealed[:1]
    head = 1 + (KEY_ID_BYTES if version == _NAMED else 0)
    if version not in (_UNNAMED, _NAMED) or len(sealed) < head + _NONCE_BYTES + _TAG_BYTES:
        raise SealBroken("not a sealed value")
    return sealed[1:head] if version == _NAMED else None


def key_id(kek: bytes) -> bytes:
    """Four bytes that tell keys apart and say nothing about the key."""
    return _derive(kek, "key-id")[:KEY_ID_BYTES]


def derived_key(keys: SealingKeys, purpose: str) -> bytes:
    """32 bytes for one purpose that is not sealing, such as a MAC; other ones after a change of the key."""
    return _derive(keys.current if isinstance(keys, Keyring) else keys, "raw:" + purpose)


def _decrypted(cipher: AESGCM, sealed: bytes, head: int, context: bytes) -> bytes | None:
    nonce, body = sealed[head : head + _NONCE_BYTES], sealed[head + _NONCE_BYTES :]
    try:
        return cipher.decrypt(nonce, body, sealed[:head] + context)
    except InvalidTag:
        return None


def _derive(kek: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, None, f"cohortlens/{purpose}".encode()).derive(kek)
