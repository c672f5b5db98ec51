"""The hash of a list of entries as a tree (RFC 9162, section 2.1.1): leaves begin with 00, nodes with 01."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def root_of(entries: Iterable[bytes]) -> bytes:
    """The root, 32 bytes; of no entries the SHA-256 of nothing.

    Args:
        entries: Their bytes, in their order.
    """
    complete: list[tuple[int, bytes]] = []  # roots of whole subtrees, largest first: height, hash
    for entry in entries:
        height, hash_ = 0, hashlib.sha256(b"\x00" + entry).digest()
        while complete and complete[-1][0] == height:
            hash_ = _node(complete.pop()[1], hash_)
            height += 1
        complete.append((height, hash_))
    if not complete:
        return hashlib.sha256(b"").digest()
    root = complete.pop()[1]
    while complete:
        root = _node(complete.pop()[1], root)
    return root


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
