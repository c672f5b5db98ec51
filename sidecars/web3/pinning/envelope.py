"""Sealed content: AES-256-GCM under a key of the pin's own, so that destroying the key destroys the content.

Layout: ``CLS1``, nonce (12 bytes), ciphertext, tag (16 bytes). Bound to tenant and pin, so that bytes copied
to another pin do not open there.

Source: NIST SP 800-38D; one message per key, so the random nonce can never meet itself.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import AsyncIterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import GCM

from sidecars.web3.pinning.errors import PinContentCorrupt

MARK = b"CLS1"
KEY_BYTES = 32
_NONCE_BYTES, _TAG_BYTES = 12, 16
OVERHEAD_BYTES = len(MARK) + _NONCE_BYTES + _TAG_BYTES


def new_key() -> bytes:
    """A fresh key for one pin."""
    return os.urandom(KEY_BYTES)


def content_digest(key: bytes) -> hmac.HMAC:
    """What tells the same content again: keyed, so that without the key it says nothing about the content."""
    return hmac.new(key, digestmod=hashlib.sha256)


async def sealed(pieces: AsyncIterator[bytes], key: bytes, bound_to: bytes) -> AsyncIterator[bytes]:
    """Seal content as it comes.

    Args:
        pieces: The content.
        key: 32 bytes that seal nothing else.
        bound_to: Tenant and pin.
    """
    nonce = os.urandom(_NONCE_BYTES)
    encryptor = Cipher(AES256(key), GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(MARK + bound_to)
    yield MARK + nonce
    async for piece in pieces:
        yield encryptor.update(piece)
    yield encryptor.finalize() + encryptor.tag


async def opened(
    pieces: AsyncIterator[bytes], size_bytes: int, key: bytes, bound_to: bytes
) -> AsyncIterator[bytes]:
    """Open sealed content; its last check is only at the end, so a caller hands nothing out before.

    Args:
        pieces: The sealed bytes.
        size_bytes: How many there are.
        key: Its key.
        bound_to: Tenant and pin.

    Raises:
        PinContentCorrupt: It was altered, cut, or sealed for another pin.
    """
    head, tail = b"", b""
    left = size_bytes - OVERHEAD_BYTES
    decryptor: CipherContext | None = None
    async for piece in pieces:
        data = piece
        if decryptor is None:
            head += data
            if len(head) < len(MARK) + _NONCE_BYTES:
                continue
            decryptor, data = _decryptor(head, key, bound_to)
        shown, rest = data[: max(0, left)], data[max(0, left) :]
        left -= len(shown)
        tail += rest
        if shown:
            yield decryptor.update(shown)
    _finish(decryptor, tail)


def _decryptor(head: bytes, key: bytes, bound_to: bytes) -> tuple[CipherContext, bytes]:
    start = len(MARK) + _NONCE_BYTES
    if not head.startswith(MARK):
        raise _corrupt()
    decryptor = Cipher(AES256(key), GCM(head[len(MARK) : start])).decryptor()
    decryptor.authenticate_additional_data(MARK + bound_to)
    return decryptor, head[start:]


def _finish(decryptor: CipherContext | None, tag: bytes) -> None:
    if decryptor is None or len(tag) != _TAG_BYTES:
        raise _corrupt()
    try:
        decryptor.finalize_with_tag(tag)  # type: ignore[attr-defined]
    except InvalidTag:
        raise _corrupt() from None


def _corrupt() -> PinContentCorrupt:
    return PinContentCorrupt("the sealed content is not what was pinned; pin it again")
