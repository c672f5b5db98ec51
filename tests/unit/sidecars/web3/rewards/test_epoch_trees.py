"""Trees of epochs in files: the same proofs as in memory, from a few reads, and never a wrong one."""

from __future__ import annotations

import hashlib
import os

import pytest

from sidecars.web3.rewards.epoch_trees import EpochTrees
from sidecars.web3.rewards.merkle import MerkleTree, root_from


def _leaves(count):
    return [hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 33])
def test_every_leaf_has_the_proof_that_the_tree_itself_gives(tmp_path, count):
    trees, tree = EpochTrees(tmp_path / "epochs"), MerkleTree(_leaves(count))
    trees.keep(tree)
    for leaf in _leaves(count):
        found = trees.proof(tree.root, leaf)
        assert found == tree.proof(leaf)
        assert root_from(leaf, found) == tree.root


def test_a_stranger_a_missing_file_and_a_damaged_one_have_no_proof(tmp_path):
    trees, tree, leaf = EpochTrees(tmp_path), MerkleTree(_leaves(9)), min(_leaves(9))
    assert trees.proof(tree.root, leaf) is None
    trees.keep(tree)
    assert trees.proof(tree.root, bytes(32)) is None

    [path] = tmp_path.glob("*.tree")
    whole = path.read_bytes()
    for damaged in (whole[:60], whole[:3], b"", whole[:40] + bytes(32) + whole[72:]):
        path.write_bytes(damaged)
        assert trees.proof(tree.root, leaf) is None


def test_the_trees_that_were_not_asked_for_longest_go_first(tmp_path):
    trees = EpochTrees(tmp_path, kept=2)
    made = [MerkleTree(_leaves(count)) for count in (2, 3, 4)]
    for age, tree in zip((300, 200), made, strict=False):
        trees.keep(tree)
        path = tmp_path / f"{tree.root.hex()}.tree"
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    assert trees.proof(made[0].root, min(_leaves(2))) is not None
    trees.keep(made[2])
    assert {path.stem for path in tmp_path.glob("*.tree")} == {made[0].root.hex(), made[2].root.hex()}
