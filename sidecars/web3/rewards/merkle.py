"""Merkle trees over rewards, in the form that ``RewardToken.claimEpoch`` checks.

A leaf is ``keccak(keccak(abi.encode(epoch, to, amount, rewardId)))``: hashed twice, so that no inner node
can be given out as a leaf. Leaves are sorted, both of a pair are sorted, and an odd node moves up as it is.

Source: OpenZeppelin Contracts 5.7, ``utils/cryptography/MerkleProof.sol``
(commutative pairs, leaves hashed twice).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from sidecars.web3.rewards.chain import Mint


def leaf(epoch: int, mint: Mint) -> bytes:
    """Hash a reward of an epoch to its leaf, 32 bytes."""
    row = encode(
        ["uint256", "address", "uint256", "bytes32"], [epoch, mint.to, mint.amount_micro, mint.reward_id]
    )
    return keccak(keccak(row))


class MerkleTree:
    """A tree over leaves, with the proof of each.

    Args:
        leaves: Distinct leaves of 32 bytes each in any order, at least one.

    Raises:
        ValueError: There is no leaf, or one twice.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        ordered = sorted(leaves)
        if not ordered or len(set(ordered)) != len(ordered):
            raise ValueError("a tree needs at least one leaf, and each leaf once")
        self._levels = [ordered]
        while len(self._levels[-1]) > 1:
            self._levels.append(_parents(self._levels[-1]))

    @property
    def levels(self) -> Sequence[Sequence[bytes]]:
        """The sorted leaves, their parents, and so on; the last level holds the root alone."""
        return self._levels

    @property
    def root(self) -> bytes:
        """The root, 32 bytes; of a single leaf, the leaf."""
        return self._levels[-1][0]

    def proof(self, of: bytes) -> list[bytes]:
        """Give the siblings of a leaf from the bottom up; none where a node moved up alone.

        Raises:
            KeyError: The leaf is not in the tree.
        """
        position = bisect_left(self._levels[0], of)
        if position == len(self._levels[0]) or self._levels[0][position] != of:
            raise KeyError("the leaf is not in the tree")
        siblings = []
        for level in self._levels[:-1]:
            beside = position ^ 1
            if beside < len(level):
                siblings.append(level[beside])
            position //= 2
        return siblings


def root_from(of: bytes, proof: Sequence[bytes]) -> bytes:
    """Compute the root that a leaf and its proof lead to, as the contract does."""
    node = of
    for sibling in proof:
        node = _pair(node, sibling)
    return node


def _parents(level: list[bytes]) -> list[bytes]:
    paired = [_pair(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    return paired + level[len(level) - len(level) % 2 :]


def _pair(one: bytes, other: bytes) -> bytes:
    return keccak(one + other if one < other else other + one)
