"""Files as trees of blocks: cut into pieces on the way in, walked on the way out.

The profile is fixed: pieces of 262,144 bytes, at most 174 links a node, a balanced tree, raw leaves, so that
the CID of a file is the one that Kubo, Pinata and every other service gives it.

Source: UNIXFS (github.com/ipfs/specs); the balanced layout of boxo's ``unixfs/importer/balanced``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sidecars.web3.pinning.cid import DAG_PB, RAW, Cid, cid_of
from sidecars.web3.pinning.dagpb import Link, decode_node, encode_leaf, encode_parent
from sidecars.web3.pinning.errors import CidUnsupported

PIECE_BYTES = 262_144
MOST_PIECE_BYTES = 1_048_576
"""Bytes of a block that every IPFS node takes over the network; a piece is never larger."""
LINKS_PER_NODE = 174
MOST_LEVELS = 32
"""Levels that a tree to be read may have; 174 links a node need 6 of them for a terabyte."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How a file is cut.

    Attributes:
        cid_version: Version of the CIDs, 0 or 1.
        has_raw_leaves: Whether a leaf is the bytes themselves.
        piece_bytes: Bytes of a leaf, 1 to ``MOST_PIECE_BYTES``.
    """

    cid_version: int = 1
    has_raw_leaves: bool = True
    piece_bytes: int = PIECE_BYTES


USUAL = Profile()


class TreeBuilder:
    """Builds the tree of one file from bytes as they come; every block is handed out once.

    Args:
        keep: Takes each block, leaves before the nodes that link to them.
        profile: How the file is cut.
    """

    def __init__(self, keep: Callable[[Cid, bytes], None], profile: Profile = USUAL) -> None:
        self._keep = keep
        self._profile = profile
        self._waiting = bytearray()
        self._levels: list[list[Link]] = [[]]
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        """Go on with the file."""
        self.size_bytes += len(data)
        self._waiting += data
        piece = self._profile.piece_bytes
        while len(self._waiting) >= piece:
            self._leaf(bytes(self._waiting[:piece]))
            del self._waiting[:piece]

    def finish(self) -> Link:
        """End the file; its root."""
        if self._waiting or not self.size_bytes:
            self._leaf(bytes(self._waiting))
            self._waiting.clear()
        level = 0
        while level < len(self._levels) - 1 or len(self._levels[level]) > 1:
            if self._levels[level]:
                self._collapse(level)
            level += 1
        return self._levels[level][0]

    def _leaf(self, data: bytes) -> None:
        is_raw = self._profile.has_raw_leaves
        block = data if is_raw else encode_leaf(data)
        # Version 0 has no spelling for raw leaves: they are of version 1 within a tree of version 0.
        cid = cid_of(block, RAW if is_raw else DAG_PB, 1 if is_raw else self._profile.cid_version)
        self._keep(cid, block)
        self._append(0, Link(cid, len(block), len(data)))

    def _append(self, level: int, link: Link) -> None:
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(link)
        if len(self._levels[level]) == LINKS_PER_NODE:
            self._collapse(level)

    def _collapse(self, level: int) -> None:
        links, self._levels[level] = self._levels[level], []
        block = encode_parent(links)
        cid = cid_of(block, DAG_PB, self._profile.cid_version)
        self._keep(cid, block)
        tree_bytes = len(block) + sum(link.tree_bytes for link in links)
        self._append(level + 1, Link(cid, tree_bytes, sum(link.file_bytes for link in links)))


def content_cid(content: bytes, profile: Profile = USUAL) -> Cid:
    """The CID of a file, without keeping it."""
    builder = TreeBuilder(lambda _cid, _block: None, profile)
    builder.write(content)
    return builder.finish().cid


def file_size(read: Callable[[Cid], bytes], cid: Cid) -> int:
    """Bytes of a file.

    Raises:
        CidUnsupported: The block is no part of a file.
    """
    block = read(cid)
    return len(block) if cid.codec == RAW else decode_node(block).file_bytes


def read_file(
    read: Callable[[Cid], bytes], cid: Cid, offset: int = 0, length: int | None = None
) -> Iterator[bytes]:
    """Walk a file; whole parts before ``offset`` and after the end are never read.

    Args:
        read: Gives a block, checked against its CID.
        cid: Root of the file.
        offset: First byte that is wanted, >= 0.
        length: Bytes that are wanted; to the end when absent.

    Raises:
        CidUnsupported: A block is no part of a file, or not the part that its node says.
    """
    left = length
    for piece in _walk(read, cid, None, offset, 0):
        if left is not None and left <= 0:
            return
        shown = piece if left is None else piece[:left]
        if left is not None:
            left -= len(shown)
        if shown:
            yield shown


def _walk(
    read: Callable[[Cid], bytes], cid: Cid, stated: int | None, skip: int, level: int
) -> Iterator[bytes]:
    if level > MOST_LEVELS:
        raise CidUnsupported(f"the file's tree has more than {MOST_LEVELS} levels")
    block = read(cid)
    if cid.codec == RAW:
        _check_size(len(block), stated)
        yield block[skip:]
        return
    node = decode_node(block)
    _check_size(node.file_bytes, stated)
    yield node.data[skip:]
    skip = max(0, skip - len(node.data))
    for link in node.links:
        if skip < link.file_bytes:
            yield from _walk(read, link.cid, link.file_bytes, skip, level + 1)
        skip = max(0, skip - link.file_bytes)


def _check_size(actual: int, stated: int | None) -> None:
    if stated is not None and actual != stated:
        raise CidUnsupported("a part of the file has another size than its node says")
