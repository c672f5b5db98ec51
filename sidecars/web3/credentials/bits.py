"""Bitstring Status List 1.0: the bits of a list and their published text.

Index 0 is the most significant bit of byte 0; ``encodedList`` is ``u`` (multibase) and the base64url without
padding of the gzipped bytes (sections 2.2 and 3). Two gzips may give
two texts of the same bits.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Iterable

from sidecars.web3.credentials.refusals import RefusedError

LIST_BITS = 131_072
"""Entries of a list of ours, and the least a list may have."""
MAX_BITS = 16_777_216
MAX_TEXT_CHARS = 4 * 1024 * 1024
_MAX_BYTES = MAX_BITS // 8
_SIZES = (1, 2, 4, 8)
_BASE64URL = re.compile(r"u[A-Za-z0-9_-]+\Z")
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_BITS_A_BYTE = 8


def with_bits(bits: bytes, indexes: Iterable[int]) -> bytes:
    """A list with these bits set as well."""
    made = bytearray(bits)
    for index in indexes:
        made[index // _BITS_A_BYTE] |= 0x80 >> index % _BITS_A_BYTE
    return bytes(made)


def encode(bits: bytes) -> str:
    """The ``encodedList`` of a list; the same bits give the same text."""
    # Level 6: 9 takes four times as long on a list with thousands of bits and is a few per cent smaller.
    packed = gzip.compress(bits, compresslevel=6, mtime=0)
    return "u" + base64.urlsafe_b64encode(packed).rstrip(b"=").decode("ascii")


def decode(text: object, *, least_bits: int = LIST_BITS) -> bytes:
    """The bits of an ``encodedList``.

    Args:
        text: As published.
        least_bits: Fewest bits of a list, so that an index hides in a crowd.

    Raises:
        RefusedError: STATUS_LIST_INVALID.
    """
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS or not _BASE64URL.match(text):
        raise invalid("its text is not multibase base64url of at most 4 MiB")
    body = text[1:]
    try:
        packed = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError):
        raise invalid("its text is not base64url") from None
    bits = _unpacked(packed)
    if len(bits) * _BITS_A_BYTE < least_bits:
        raise invalid(f"it has {len(bits) * _BITS_A_BYTE} entries, fewer than {least_bits}")
    return bits


def value_at(bits: bytes, index: int, size: int = 1) -> int:
    """The value of an entry of ``size`` bits, most significant bit first.

    Raises:
        RefusedError: STATUS_INDEX_OUT_OF_RANGE, or STATUS_LIST_INVALID for another size than 1, 2, 4 or 8.
    """
    if size not in _SIZES:
        raise invalid("the size of an entry is 1, 2, 4 or 8 bits")
    if index < 0 or (index + 1) * size > len(bits) * _BITS_A_BYTE:
        raise RefusedError("STATUS_INDEX_OUT_OF_RANGE", f"The status list has no entry {index}.")
    # A size divides 8, so an entry never crosses a byte.
    at = index * size
    shift = _BITS_A_BYTE - size - at % _BITS_A_BYTE
    return bits[at // _BITS_A_BYTE] >> shift & ((1 << size) - 1)


def invalid(fault: str) -> RefusedError:
    """The refusal of a list that cannot be used."""
    return RefusedError("STATUS_LIST_INVALID", f"The status list cannot be used: {fault}.")


def _unpacked(packed: bytes) -> bytes:
    """Gunzip up to the largest list; a bomb is let go at the byte that is too many."""
    machine = zlib.decompressobj(_GZIP_WINDOW)
    try:
        bits = machine.decompress(packed, _MAX_BYTES + 1)
    except zlib.error:
        raise invalid("its text does not unpack") from None
    if len(bits) > _MAX_BYTES:
        raise invalid(f"it has more than {MAX_BITS} entries")
    if not machine.eof or machine.unused_data:
        raise invalid("its text is cut off, or goes on after its end")
    return bits
