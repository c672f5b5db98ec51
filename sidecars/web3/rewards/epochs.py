"""Merkle epochs: one root on the chain for many rewards, which their holders claim with a proof."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from cohortlens.core.clock import now
from sidecars.web3.journal.chains import ChainRows
from sidecars.web3.journal.epochs import EpochInVain, EpochRow, EpochRows
from sidecars.web3.rewards.chain import ChainRefused, Mint, TxRef
from sidecars.web3.rewards.claims import EpochProof, EpochRefused, PublishedEpoch
from sidecars.web3.rewards.epoch_trees import EpochTrees
from sidecars.web3.rewards.evm_desk import NAME, EvmDesk
from sidecars.web3.rewards.evm_node import Reverted
from sidecars.web3.rewards.evm_watch import EvmWatcher, adopted
from sidecars.web3.rewards.merkle import MerkleTree, leaf
from sidecars.web3.rewards.nonces import Call, allocate, current_fees, sign_next

MAX_LEAVES = 100_000
LIFETIME = timedelta(days=365)
_AMENDED = 10
_LOG = logging.getLogger(__name__)


class EvmEpochs:
    """Publishes epochs and proves what is in them.

    Args:
        desk: The chain.
        watcher: Reads its events.
        trees: Keeps the trees.
    """

    def __init__(self, desk: EvmDesk, watcher: EvmWatcher, trees: EpochTrees) -> None:
        self._desk = desk
        self._watcher = watcher
        self._trees = trees
        self._planting = asyncio.Lock()

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
        await self._keep(tree)
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
            found, own = await rows.of_reward(reward_id), await rows.leaf(reward_id)
        if found is None or own is None:
            raise _not_claimable("the reward stands in no published epoch; publish one with it first")
        siblings = await asyncio.to_thread(self._trees.proof, found.root, own)
        if siblings is None:
            siblings = await self._planted_anew(found, own)
        contract, chain_id = desk.instance.token, desk.settings.chain_id
        return EpochProof(found.epoch, own, tuple(siblings), contract, chain_id)

    async def amend(self) -> None:
        """Publish anew each epoch whose transaction came to nothing, under its own number and root.

        Its holders have proofs that the contract does not know; the control plane takes it for published.

        Raises:
            ChainRefused: The contract takes no epoch now, or the number stands for another root.
        """
        desk, genesis = self._desk, self._desk.instance.genesis
        async with desk.journal.transaction(None) as tx:
            vain = await EpochRows(tx, NAME, genesis).in_vain(_AMENDED)
        for one in vain:
            on_chain = (await desk.node.call(desk.instance.token, desk.token.call("epochs", one.epoch)))[:32]
            if on_chain == one.root:
                await self._adopt(one)
            elif any(on_chain):
                raise ChainRefused(
                    f"epoch {one.epoch} has another root in the contract: somebody else uses our key",
                    reason="EPOCH_NUMBER_TAKEN",
                )
            else:
                await self._publish_again(one)

    async def _planted_anew(self, of: EpochRow, own: bytes) -> list[bytes]:
        async with self._planting:
            # Whoever waited here finds the tree that the first one has made.
            found = await asyncio.to_thread(self._trees.proof, of.root, own)
            if found is not None:
                return found
            async with self._desk.journal.transaction(None) as tx:
                leaves = await EpochRows(tx, NAME, self._desk.instance.genesis).leaves(of.epoch)
            tree = await asyncio.to_thread(MerkleTree, leaves)
            await self._keep(tree)
            return tree.proof(own)

    async def _keep(self, tree: MerkleTree) -> None:
        try:
            await asyncio.to_thread(self._trees.keep, tree)
        except OSError as fault:
            # A full disk costs time, not proofs: the next one is computed from the leaves.
            _LOG.warning("the tree of an epoch was not kept", extra={"fault": fault.strerror})

    async def _adopt(self, one: EpochInVain) -> None:
        """Point an epoch to the transaction that did publish it, whoever sent that."""
        desk, genesis = self._desk, self._desk.instance.genesis
        number = one.epoch.to_bytes(32, "big")
        topics: list[str | list[str] | None] = [desk.token.topic("EpochPublished"), "0x" + number.hex()]
        log = (await self._watcher.newest_logs(topics, {number})).get(number)
        if log is None:
            return
        tx_hash = "0x" + bytes(log["transactionHash"]).hex()
        place = int(log["blockNumber"]), "0x" + bytes(log["blockHash"]).hex()
        async with desk.journal.transaction(None) as tx:
            tx_id = await adopted(ChainRows(tx, NAME), genesis, tx_hash, *place)
            await EpochRows(tx, NAME, genesis).stands_by(one.epoch, tx_id)

    async def _publish_again(self, one: EpochInVain) -> None:
        call, expires_at = await self._call(one.epoch, one.root, one.total_micro)
        desk, genesis = self._desk, self._desk.instance.genesis
        fees, count = await current_fees(desk, await desk.head()), await desk.node.nonce(desk.minter)
        async with desk.journal.transaction(None) as tx:
            chain_rows, rows = ChainRows(tx, NAME), EpochRows(tx, NAME, genesis)
            nonce = await allocate(desk, chain_rows, count)
            # Under the signer's lock: another sidecar may have been faster.
            if one in await rows.in_vain(_AMENDED):
                tx_id = await sign_next(desk, chain_rows, nonce, call, fees)
                await rows.stands_by(one.epoch, tx_id, expires_at)
        told = "the transaction of an epoch came to nothing; another was signed"
        _LOG.warning(told, extra={"epoch": one.epoch})

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
        call, expires_at = await self._call(epoch, tree.root, total_micro)
        fees, count = await current_fees(desk, await desk.head()), await desk.node.nonce(desk.minter)
        async with desk.journal.transaction(None) as tx:
            chain_rows = ChainRows(tx, NAME)
            nonce = await allocate(desk, chain_rows, count)
            tx_id = await sign_next(desk, chain_rows, nonce, call, fees)
            rows = EpochRows(tx, NAME, desk.instance.genesis)
            await rows.insert(epoch, tree.root, set_sha256, total_micro, expires_at, tx_id)
            await rows.insert_leaves(epoch, [mint.reward_id for mint in mints], leaves)

    async def _call(self, epoch: int, root: bytes, total_micro: int) -> tuple[Call, datetime]:
        """What publishes an epoch, and until when it can be claimed then."""
        desk, expires_at = self._desk, now().replace(microsecond=0) + LIFETIME
        data = desk.token.call("publishEpoch", epoch, root, total_micro, int(expires_at.timestamp()))
        try:
            gas = await desk.node.gas(desk.minter, desk.instance.token, data)
        except Reverted as refused:
            raise ChainRefused(
                "the reward token takes no epoch now", reason=desk.token.reason(refused.data)
            ) from refused
        return Call("EPOCH", desk.instance.token, data, gas), expires_at


def _planted(epoch: int, mints: Sequence[Mint]) -> tuple[list[bytes], MerkleTree]:
    leaves = [leaf(epoch, mint) for mint in mints]
    return leaves, MerkleTree(leaves)


def _published(row: EpochRow) -> PublishedEpoch:
    return PublishedEpoch(row.epoch, row.root, TxRef(NAME, row.tx_hash, row.block_height, row.block_hash))


def _not_claimable(message: str) -> EpochRefused:
    return EpochRefused(message, reason="REWARD_NOT_CLAIMABLE")
