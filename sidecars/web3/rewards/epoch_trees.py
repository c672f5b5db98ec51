"""Merkle trees in files, so that the proof of one reward reads its siblings and not every leaf of its epoch.

A file holds the levels of a tree from the leaves up, 32 bytes a node, after the number of leaves. It is only
kept to save work: each proof is checked against the root that the journal knows, and a file that is missing,
damaged or of another tree is made anew from the leaves in the journal.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from cohortlens.core.private import make_private
from sidecars.web3.rewards.merkle import MerkleTree, root_from

NODE: Final = 32
_COUNT: Final = 8
KEPT: Final = 64
"""Files at most; of 100,000 leaves each they take 410 MB. What was not asked for longest goes first."""


class EpochTrees:
    """The trees of published epochs.

    Args:
        folder: Where the files are; made when missing.
        kept: Files at most.
    """

    def __init__(self, folder: Path, kept: int = KEPT) -> None:
        self._folder = folder
        self._kept = kept

    def keep(self, tree: MerkleTree) -> None:
        """Write a tree down under its root.

        Raises:
            OSError: The folder cannot be written.
        """
        make_private(self._folder)
        handle, draft = tempfile.mkstemp(dir=self._folder, suffix=".draft")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(len(tree.levels[0]).to_bytes(_COUNT, "big"))
                for level in tree.levels:
                    file.write(b"".join(level))
            Path(draft).rename(self._path(tree.root))
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
        self._forget()

    def proof(self, root: bytes, leaf: bytes) -> list[bytes] | None:
        """Siblings of a leaf from the bottom up; None where the tree of this root has to be made.

        Args:
            root: Root of the tree, 32 bytes.
            leaf: The leaf, 32 bytes.
        """
        path = self._path(root)
        try:
            with path.open("rb") as file:
                found = _siblings(file, leaf)
            os.utime(path)
        except OSError:
            return None
        return found if found is not None and root_from(leaf, found) == root else None

    def _path(self, root: bytes) -> Path:
        return self._folder / f"{root.hex()}.tree"

    def _forget(self) -> None:
        by_age = sorted(self._folder.glob("*.tree"), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in by_age[self._kept :]:
            with contextlib.suppress(OSError):
                old.unlink()


def _siblings(file: BinaryIO, leaf: bytes) -> list[bytes] | None:
    count = int.from_bytes(file.read(_COUNT), "big")
    at = _position(file, leaf, count)
    if at is None:
        return None
    found = []
    for start, width in _levels(count):
        beside = at ^ 1
        if width > 1 and beside < width:
            found.append(_node(file, start + beside))
        at //= 2
    return found


def _position(file: BinaryIO, leaf: bytes, count: int) -> int | None:
    """Where a leaf stands among the sorted ones."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        node = _node(file, middle)
        if len(node) < NODE:
            return None
        low, high = (middle + 1, high) if node < leaf else (low, middle)
    return low if low < count and _node(file, low) == leaf else None


def _levels(count: int) -> Iterator[tuple[int, int]]:
    """First node and number of nodes of each level."""
    start, width = 0, count
    while width >= 1:
        yield start, width
        if width == 1:
            return
        start, width = start + width, (width + 1) // 2


def _node(file: BinaryIO, at: int) -> bytes:
    file.seek(_COUNT + at * NODE)
    return file.read(NODE)
