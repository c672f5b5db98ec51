"""Content identifiers of IPFS: read strictly, written in the two usual spellings.

Written by hand: the libraries for CIDs in Python take URLs and paths for CIDs and bring a dozen hash
functions with native parts, where the store keeps one hash, two codecs and refuses the rest.

Source: the specifications CID, multibase, multicodec and multihash (github.com/multiformats).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

import base58

from sidecars.web3.pinning.errors import CidUnsupported

RAW = 0x55
"""Codec of a leaf: the bytes themselves."""
DAG_PB = 0x70
"""Codec of a node with links, or of a leaf of the older profile."""
SHA2_256 = 0x12
IDENTITY = 0x00
IDENTITY_MOST_BYTES = 128
"""Bytes that a CID may carry in itself instead of a hash; Kubo has the same bound."""

_CODEC_NAMES = {RAW: "raw", DAG_PB: "dag-pb"}
_DIGEST_BYTES = 32
_LONGEST_TEXT = 300
_BASE32 = frozenset("abcdefghijklmnopqrstuvwxyz234567")


@dataclass(frozen=True, slots=True)
class Cid:
    """Identifier of a block.

    Attributes:
        codec: ``RAW`` or ``DAG_PB``.
        digest: SHA2-256 of the block, 32 bytes; the block itself where ``is_inline``.
        version: 0 or 1; only how it is written. Two spellings of a block are told apart by it alone.
        is_inline: Whether the CID carries the block (identity hash).
    """

    codec: int
    digest: bytes
    version: int = 1
    is_inline: bool = False

    def __str__(self) -> str:
        """The usual spelling: base58 for version 0, base32 in lower case for version 1."""
        if self.version == 0:
            return base58.b58encode(self._multihash()).decode()
        return self.key

    @property
    def key(self) -> str:
        """The spelling of version 1, the same for both versions: the name of the block's file."""
        return "b" + base64.b32encode(self.to_bytes_v1()).decode().rstrip("=").lower()

    def to_bytes(self) -> bytes:
        """The binary form, as links carry it."""
        return self._multihash() if self.version == 0 else self.to_bytes_v1()

    def to_bytes_v1(self) -> bytes:
        """The binary form of version 1."""
        return bytes((1, self.codec)) + self._multihash()

    def spelled(self, version: int) -> Cid:
        """The same block's identifier in another version.

        Raises:
            CidUnsupported: Version 0 can only name dag-pb blocks by their SHA2-256.
        """
        if version == 0 and (self.codec != DAG_PB or self.is_inline):
            raise CidUnsupported("a CID of version 0 can only name a dag-pb block; ask for version 1")
        return Cid(self.codec, self.digest, version, self.is_inline)

    def names(self, block: bytes) -> bool:
        """Whether this is the identifier of ``block``."""
        return self.digest == (block if self.is_inline else hashlib.sha256(block).digest())

    def _multihash(self) -> bytes:
        if self.is_inline:
            return bytes((IDENTITY,)) + varint(len(self.digest)) + self.digest
        return bytes((SHA2_256, _DIGEST_BYTES)) + self.digest


def cid_of(block: bytes, codec: int, version: int = 1) -> Cid:
    """The identifier of a block."""
    return Cid(codec, hashlib.sha256(block).digest(), version)


def parse_cid(text: str) -> Cid:
    """Read a CID of version 0 or of version 1 in base32 or base58.

    Raises:
        CidUnsupported: It is none, or one of another codec or hash.
    """
    if not text or len(text) > _LONGEST_TEXT or not text.isascii():
        raise CidUnsupported(f"a CID has 1 to {_LONGEST_TEXT} ASCII characters")
    try:
        if text.startswith("Qm") and len(text) == 46:
            return cid_from_bytes(base58.b58decode(text))
        if text[0] == "b":
            return cid_from_bytes(_base32(text[1:]))
        if text[0] == "z":
            return cid_from_bytes(base58.b58decode(text[1:]))
    except (ValueError, binascii.Error) as error:
        raise CidUnsupported("the text is no CID: it is mistyped or cut off") from error
    raise CidUnsupported("the text is no CID in a known spelling: expected Qm..., b... or z...")


def cid_from_bytes(data: bytes) -> Cid:
    """Read the binary form; all of ``data`` must be one CID.

    Raises:
        CidUnsupported: It is none, or one of another codec or hash.
    """
    if len(data) == 2 + _DIGEST_BYTES and data[0] == SHA2_256 and data[1] == _DIGEST_BYTES:
        return Cid(DAG_PB, data[2:], version=0)
    version, at = read_varint(data, 0)
    codec, at = read_varint(data, at)
    hashing, at = read_varint(data, at)
    length, at = read_varint(data, at)
    digest = data[at:]
    if version != 1 or codec not in _CODEC_NAMES:
        raise CidUnsupported(f"CIDs of version 0 or 1 and codecs raw and dag-pb are kept, not {codec:#x}")
    if len(digest) != length:
        raise CidUnsupported("the CID is cut off or has bytes too many")
    if hashing == IDENTITY and length <= IDENTITY_MOST_BYTES:
        return Cid(codec, digest, is_inline=True)
    if hashing != SHA2_256 or length != _DIGEST_BYTES:
        raise CidUnsupported(
            f"CIDs by SHA2-256, or carrying at most {IDENTITY_MOST_BYTES} bytes themselves, are kept; "
            f"not hash {hashing:#x} of {length} bytes"
        )
    return Cid(codec, digest)


def varint(number: int) -> bytes:
    """Write an unsigned LEB128 number, >= 0."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number at ``at``; the number and where the next byte is.

    Raises:
        CidUnsupported: It is cut off, longer than 63 bits, or not written as short as it could be.
    """
    number = shift = 0
    while at < len(data) and shift < 63:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise CidUnsupported("a number of the CID or block is written with zeros too many")
            return number, at
        shift += 7
    raise CidUnsupported("a number of the CID or block is cut off or too large")


def _base32(text: str) -> bytes:
    if not _BASE32.issuperset(text):
        raise CidUnsupported("a CID in base32 has the characters a to z and 2 to 7")
    data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    # The last character may hold bits that mean nothing: one block, one spelling.
    if base64.b32encode(data).decode().rstrip("=").lower() != text:
        raise CidUnsupported("the CID's last character is not the one that belongs there")
    return data
