"""Merkle epochs: one root on the chain for many rewards, which their holders claim with a proof."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import timedelta

from cohortlens.core.clock import now
from sidecars.web3.journal.chains import ChainRows
from sidecars.web3.journal.epochs import EpochRow, EpochRows
from sidecars.web3.rewards.chain import ChainRefused, Mint, TxRef
from sidecars.web3.rewards.claims import EpochProof, EpochRefused, PublishedEpoch
from sidecars.web3.rewards.evm_desk import NAME, EvmDesk
from sidecars.web3.rewards.evm_node import Reverted
from sidecars.web3.rewards.merkle import MerkleTree, leaf
from sidecars.web3.rewards.nonces import Call, allocate, current_fees, sign_next

MAX_LEAVES = 100_000
LIFETIME = timedelta(days=365)


class EvmEpochs:
    """Publishes epochs and proves what is in them.

    Args:
        desk: The chain.
    """

    def __init__(self, desk: EvmDesk) -> None:
        self._desk = desk
        self._trees: dict[tuple[str, int], MerkleTree] = {}

    async def publish(self, mints: Sequence[Mint]) -> PublishedEpoch:
        """Sign the transaction that publishes the root of these rewards; once for the same set.

        Raises:
            EpochRefused: EPOCH_EMPTY without rewards or with too many, REWARD_NOT_CLAIMABLE when one is not
                CLAIMABLE by an epoch or stands in another.
            ChainRefused: The contract takes no epoch.
        """
        desk, genesis = self._desk, self._desk.instance.genesis
        ids = sorted({mint.reward_id for mint in mints})
        if not ids or len(ids) > MAX_LEAVES:
            raise EpochRefused(f"reward_ids must name 1 to {MAX_LEAVES} rewards")
        set_sha256 = hashlib.sha256(b"".join(ids)).digest()
        async with desk.journal.transaction(None) as tx:
            rows = EpochRows(tx, NAME, genesis)
            known = await rows.of_set(set_sha256)
            free, epoch = await rows.claimable(ids), await rows.next_number()
        if known is not None:
            return _published(known)
        if free != len(ids):
            raise _not_claimable("a reward is unknown, not claimable by an epoch, or stands in another epoch")
        epoch = await self._unused(epoch)
        leaves, tree = await asyncio.to_thread(_planted, epoch, mints)
        await self._sign(epoch, tree, leaves, mints, set_sha256)
        async with desk.journal.transaction(None) as tx:
            stored = await EpochRows(tx, NAME, genesis).of_set(set_sha256)
        assert stored is not None
        return _published(stored)

    async def proof(self, reward_id: bytes) -> EpochProof:
        """Prove that a reward stands in its epoch.

        Raises:
            EpochRefused: REWARD_NOT_CLAIMABLE: it stands in none.
        """
        desk, genesis = self._desk, self._desk.instance.genesis
        async with desk.journal.transaction(None) as tx:
            rows = EpochRows(tx, NAME, genesis)
            found = await rows.of_reward(reward_id)
            leaves = await rows.leaves(found.epoch) if found else {}
        if found is None:
            raise _not_claimable("the reward stands in no published epoch; publish one with it first")
        tree = self._trees.get((genesis, found.epoch))
        if tree is None:
            tree = await asyncio.to_thread(MerkleTree, list(leaves.values()))
            # One tree of 100,000 leaves takes 10 MB: holders of one epoch ask one after another.
            self._trees = {(genesis, found.epoch): tree}
        own = leaves[reward_id]
        contract, chain_id = desk.instance.token, desk.settings.chain_id
        return EpochProof(found.epoch, own, tuple(tree.proof(own)), contract, chain_id)

    async def _unused(self, epoch: int) -> int:
        # A restored database may have forgotten numbers that the contract has taken.
        desk = self._desk
        while any((await desk.node.call(desk.instance.token, desk.token.call("epochs", epoch)))[:32]):
            epoch += 1
        return epoch

    async def _sign(
        self, epoch: int, tree: MerkleTree, leaves: Sequence[bytes], mints: Sequence[Mint], set_sha256: bytes
    ) -> None:
        desk = self._desk
        total_micro = sum(mint.amount_micro for mint in mints)
        expires_at = now().replace(microsecond=0) + LIFETIME
        data = desk.token.call("publishEpoch", epoch, tree.root, total_micro, int(expires_at.timestamp()))
        try:
            gas = await desk.node.gas(desk.minter, desk.instance.token, data)
        except Reverted as refused:
            raise ChainRefused(
                "the reward token takes no epoch now", reason=desk.token.reason(refused.data)
            ) from refused
        fees, count = await current_fees(desk, await desk.head()), await desk.node.nonce(desk.minter)
        async with desk.journal.transaction(None) as tx:
            chain_rows = ChainRows(tx, NAME)
            nonce = await allocate(desk, chain_rows, count)
            tx_id = await sign_next(
                desk, chain_rows, nonce, Call("EPOCH", desk.instance.token, data, gas), fees
            )
            rows = EpochRows(tx, NAME, desk.instance.genesis)
            await rows.insert(epoch, tree.root, set_sha256, total_micro, expires_at, tx_id)
            await rows.insert_leaves(epoch, [mint.reward_id for mint in mints], leaves)


def _planted(epoch: int, mints: Sequence[Mint]) -> tuple[list[bytes], MerkleTree]:
    leaves = [leaf(epoch, mint) for mint in mints]
    return leaves, MerkleTree(leaves)


def _published(row: EpochRow) -> PublishedEpoch:
    return PublishedEpoch(row.epoch, row.root, TxRef(NAME, row.tx_hash, row.block_height, row.block_hash))


def _not_claimable(message: str) -> EpochRefused:
    return EpochRefused(message, reason="REWARD_NOT_CLAIMABLE")
