"""Nodes of UnixFS files: the two small messages of dag-pb and UnixFS, written and read byte for byte.

Written by hand because dag-pb wants the links before the data, against the order of their field numbers,
which no protobuf library writes; a CID depends on each byte.

Source: specs/dag-pb (github.com/ipld/specs) and UNIXFS (github.com/ipfs/specs).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sidecars.web3.pinning.cid import Cid, cid_from_bytes, read_varint, varint
from sidecars.web3.pinning.errors import CidUnsupported

RAW_NODE = 0
FILE_NODE = 2
_DIRECTORIES = (1, 5)
_BYTES, _VARINT = 2, 0


@dataclass(frozen=True, slots=True)
class Link:
    """A link from a node to a part of its file.

    Attributes:
        cid: The part.
        tree_bytes: Bytes of the part's blocks with all that they link to (``Tsize``).
        file_bytes: Bytes of the file that the part holds.
    """

    cid: Cid
    tree_bytes: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class FileNode:
    """A node of a file.

    Attributes:
        data: Bytes of the file in the node itself; they come before those of its links.
        links: Parts in the order of the file.
    """

    data: bytes
    links: tuple[Link, ...]

    @property
    def file_bytes(self) -> int:
        """Bytes of the file below this node."""
        return len(self.data) + sum(link.file_bytes for link in self.links)


def encode_parent(links: list[Link]) -> bytes:
    """Write a node with links and no data of its own."""
    total = sum(link.file_bytes for link in links)
    unixfs = _number(1, FILE_NODE) + _number(3, total)
    unixfs += b"".join(_number(4, link.file_bytes) for link in links)
    body = b"".join(_piece(2, _link(link)) for link in links)
    return body + _piece(1, unixfs)


def encode_leaf(data: bytes) -> bytes:
    """Write a leaf of the older profile: the data within a dag-pb node."""
    unixfs = _number(1, FILE_NODE)
    if data:
        unixfs += _piece(2, data)
    return _piece(1, unixfs + _number(3, len(data)))


def decode_node(block: bytes) -> FileNode:
    """Read a dag-pb node of a file.

    Raises:
        CidUnsupported: It is no such node, or one of a directory, a link or another kind.
    """
    targets: list[tuple[Cid, int]] = []
    unixfs = b""
    for field, value in _fields(block):
        if field == 2 and isinstance(value, bytes):
            targets.append(_read_link(value))
        elif field == 1 and isinstance(value, bytes):
            unixfs = value
        else:
            raise CidUnsupported("the block is no dag-pb node")
    data, sizes = _read_unixfs(unixfs)
    if len(sizes) != len(targets):
        raise CidUnsupported("the node states the sizes of more or fewer parts than it has")
    links = (Link(cid, tree, size) for (cid, tree), size in zip(targets, sizes, strict=True))
    return FileNode(data, tuple(links))


def linked(block: bytes) -> list[Cid]:
    """What a dag-pb node links to, whatever kind of node it is.

    Raises:
        CidUnsupported: It is no dag-pb node.
    """
    return [
        _read_link(value)[0] for field, value in _fields(block) if field == 2 and isinstance(value, bytes)
    ]


def _link(link: Link) -> bytes:
    # The name is written though it is empty, as every other implementation does.
    return _piece(1, link.cid.to_bytes()) + _piece(2, b"") + _number(3, link.tree_bytes)


def _read_link(message: bytes) -> tuple[Cid, int]:
    cid: Cid | None = None
    tree_bytes = 0
    for field, value in _fields(message):
        if field == 1 and isinstance(value, bytes):
            cid = cid_from_bytes(value)
        elif field == 3 and isinstance(value, int):
            tree_bytes = value
    if cid is None:
        raise CidUnsupported("a link of the node has no CID")
    return cid, tree_bytes


def _read_unixfs(message: bytes) -> tuple[bytes, list[int]]:
    kind, data, stated, sizes = -1, b"", -1, []
    for field, value in _fields(message):
        match field, value:
            case 1, int():
                kind = value
            case 2, bytes():
                data = value
            case 3, int():
                stated = value
            case 4, int():
                sizes.append(value)
            case 4, bytes():
                sizes.extend(_packed(value))
    if kind in _DIRECTORIES:
        raise CidUnsupported("this dag node is a directory")
    if kind not in (RAW_NODE, FILE_NODE):
        raise CidUnsupported("the node is no part of a file")
    if stated not in (-1, len(data) + sum(sizes)):
        raise CidUnsupported("the node states another size than its parts have")
    return data, sizes


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        value, at = read_varint(message, at)
        if tag & 7 == _VARINT:
            yield tag >> 3, value
        elif tag & 7 == _BYTES and at + value <= len(message):
            yield tag >> 3, message[at : at + value]
            at += value
        else:
            raise CidUnsupported("the block is no dag-pb node, or is cut off")


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        number, at = read_varint(data, at)
        yield number


def _number(field: int, value: int) -> bytes:
    return varint(field << 3 | _VARINT) + varint(value)


def _piece(field: int, value: bytes) -> bytes:
    return varint(field << 3 | _BYTES) + varint(len(value)) + value
