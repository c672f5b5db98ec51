"""Watching the EVM: receipts, reorganisations, finality, and claims that holders sent themselves.

The chain's word counts: a reward was minted when the token's own event says so, to the same address and with
the same amount; whose transaction it was does not matter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from cohortlens.core.failpoints import failpoint
from sidecars.web3.journal.chain_rewards import RewardRow
from sidecars.web3.journal.chains import ChainRows, NewTx, TxRow
from sidecars.web3.rewards.chain import RewardChange
from sidecars.web3.rewards.evm_desk import NAME, EvmDesk, change
from sidecars.web3.rewards.evm_node import LOG_WINDOW, Head, Receipt
from sidecars.web3.rewards.metrics import count, dropped
from sidecars.web3.rewards.token import REVERTED, Minted

_MISSES_TO_HALT = 3
_REWIND = 64
_ASKED_AT_ONCE = 10
_LOOKED_UP = 100
_WINDOWS = 10
_LOG = logging.getLogger(__name__)


class EvmWatcher:
    """Follows transactions to finality.

    Args:
        desk: The chain.

    Attributes:
        reorgs: Transactions whose block was dropped since the start.
    """

    def __init__(self, desk: EvmDesk) -> None:
        self._desk = desk
        self._misses: dict[int, int] = {}
        self.reorgs = 0

    async def unwind(self, head: Head) -> list[RewardChange]:
        """Compare the blocks of mined transactions with the chain's own; take back what was dropped."""
        from_height = await self._rewound_to(head)
        async with self._desk.rows() as rows:
            mined = await rows.mined_txs(self._desk.instance.genesis, from_height)
        changes: list[RewardChange] = []
        hashes: dict[int, str | None] = {}
        for row in mined:
            height = row.block_height or 0
            if height not in hashes:
                block = await self._desk.node.head(height) if height <= head.height else None
                hashes[height] = block.block_hash if block else None
            if hashes[height] != row.block_hash:
                changes += await self._unmine(row)
        return changes

    async def receipts(self) -> list[RewardChange]:
        """Look for the blocks of transactions whose nonce the chain has used."""
        desk = self._desk
        mined = await desk.node.nonce(desk.minter)
        async with desk.rows() as rows:
            signer = await rows.signer(desk.instance.genesis, desk.minter)
            open_txs = await rows.open_txs(desk.instance.genesis, desk.minter)
        if signer is None:
            return []
        changes: list[RewardChange] = []
        is_foreign = mined > signer.next_nonce
        for nonce, attempts in groupby(open_txs, key=lambda row: row.nonce):
            slot = list(attempts)
            if nonce >= mined or any(row.state == "MINED" for row in slot):
                continue
            found = await self._first_mined(slot)
            if found is None:
                is_foreign = self._missed(nonce) or is_foreign
                continue
            self._misses.pop(nonce, None)
            changes += await self._mined(*found)
        if is_foreign and signer.halted_reason is None:
            await self._halt()
        return changes

    async def finalize(self, head: Head, final_height: int) -> list[RewardChange]:
        """Close what can no longer change, and read the claims of final blocks."""
        desk = self._desk
        async with desk.rows() as rows:
            mined = await rows.mined_txs(desk.instance.genesis, head.height + 1)
            due = [row.tx_id for row in mined if (row.block_height or 0) <= final_height]
            changes = [change(row) for row in await rows.mark_final(due)]
        count(NAME, "final", len(due))
        scanned = desk.instance.scanned_height
        await self._saw(head, scanned)
        if desk.instance.token:
            # A long absence is made up for over many turns: each window that was read stays read.
            for _ in range(_WINDOWS):
                if scanned >= final_height:
                    break
                last = min(scanned + LOG_WINDOW, final_height)
                changes += await self._claims(scanned + 1, last)
                scanned = last
                await self._saw(head, scanned)
        return changes

    async def look_up(self, rewards: Sequence[RewardRow]) -> list[RewardChange]:
        """Ask the chain which rewards it has settled, and adopt those; the others stay as they are."""
        changes: list[RewardChange] = []
        for start in range(0, len(rewards), _LOOKED_UP):
            part = rewards[start : start + _LOOKED_UP]
            found = await self._found([row.reward_id for row in part])
            async with self._desk.rows() as rows:
                for row in part:
                    if row.reward_id in found:
                        changes += await self._adopt(rows, row, found[row.reward_id])
        return changes

    async def _saw(self, head: Head, scanned: int) -> None:
        async with self._desk.rows() as rows:
            genesis = self._desk.instance.genesis
            await rows.saw(genesis, head.height, head.block_hash, min(scanned, head.height))

    async def _rewound_to(self, head: Head) -> int:
        seen = self._desk.instance
        if not seen.head_hash:
            return head.height + 1
        if seen.head_height <= head.height:
            block = await self._desk.node.head(seen.head_height)
            if block is not None and block.block_hash == seen.head_hash:
                return head.height + 1
        # A development chain that was killed before its dump goes back behind what was final.
        return max(min(head.height, seen.head_height) - _REWIND, 0)

    async def _unmine(self, row: TxRow) -> list[RewardChange]:
        receipt = await self._desk.node.receipt(row.tx_hash)
        async with self._desk.rows() as rows:
            changes = [change(reward) for reward in await rows.mark_unmined(row)]
        self.reorgs += 1
        dropped(NAME)
        _LOG.warning("a block of the EVM chain was dropped", extra={"height": row.block_height})
        return changes + (await self._mined(row, receipt) if receipt and row.raw is not None else [])

    async def _first_mined(self, slot: Sequence[TxRow]) -> tuple[TxRow, Receipt] | None:
        for row in reversed(slot):
            receipt = await self._desk.node.receipt(row.tx_hash)
            if receipt is not None:
                return row, receipt
        return None

    def _missed(self, nonce: int) -> bool:
        # Nodes behind one address do not see a block at the same moment: only what stays is foreign.
        self._misses[nonce] = self._misses.get(nonce, 0) + 1
        return self._misses[nonce] >= _MISSES_TO_HALT

    async def _halt(self) -> None:
        desk = self._desk
        async with desk.rows() as rows:
            signer = await rows.lock_signer(desk.instance.genesis, desk.minter, 0)
            await rows.set_signer(
                desk.instance.genesis, desk.minter, signer.next_nonce, "SIGNER_NONCE_CONFLICT"
            )
        _LOG.error("a foreign transaction used the signer of the EVM chain; it signs no more")

    async def _mined(self, row: TxRow, receipt: Receipt) -> list[RewardChange]:
        desk = self._desk
        async with desk.rows() as rows:
            rewards = await rows.rewards_of(row.tx_id)
        topic = bytes.fromhex(desk.token.topic("RewardMinted")[2:])
        events = [
            desk.token.minted(log) for log in receipt.logs if log["topics"] and log["topics"][0] == topic
        ]
        own = {event.reward_id: event for event in events}
        missing = [reward.reward_id for reward in rewards if reward.reward_id not in own]
        elsewhere = await self._found(missing) if missing else {}
        is_settled = {key: await self.is_settled(key) for key in missing if key not in elsewhere}
        async with desk.rows() as rows:
            await rows.mark_mined(row, receipt.height, receipt.block_hash, receipt.is_reverted)
            changes = []
            for reward in rewards:
                event = own.get(reward.reward_id) or elsewhere.get(reward.reward_id)
                if event is not None:
                    changes += await self._adopt(rows, reward, event)
                else:
                    changes += await self._not_minted(rows, reward, is_settled[reward.reward_id])
        count(NAME, "reverted" if receipt.is_reverted else "mined")
        failpoint("web3.reward.mined")
        return changes

    async def _not_minted(self, rows: ChainRows, reward: RewardRow, is_settled: bool) -> list[RewardChange]:
        if reward.state == "CANCELLED":
            return []
        if is_settled:
            _LOG.error("a reward was settled on the EVM chain without being minted")
            return [change(row) for row in await rows.end([reward.reward_id], "FAILED", "REWARD_CONFLICT")]
        return [change(row) for row in await rows.reopen([reward.reward_id], REVERTED)]

    async def _adopt(self, rows: ChainRows, reward: RewardRow, event: Minted) -> list[RewardChange]:
        if (event.to, event.amount_micro) != (reward.recipient, reward.amount_micro):
            _LOG.error("a reward was minted on the EVM chain with another body")
            return [change(row) for row in await rows.end([reward.reward_id], "FAILED", "REWARD_CONFLICT")]
        genesis, place = self._desk.instance.genesis, (event.block_height, event.block_hash)
        tx_id = await adopted(rows, genesis, event.tx_hash, *place)
        if reward.state in ("CLAIMABLE", "CANCELLED"):
            return [change(row) for row in await rows.end([reward.reward_id], "CLAIMED", None, tx_id)]
        return [change(row) for row in await rows.mined_rewards([reward.reward_id], tx_id)]

    async def _claims(self, first: int, last: int) -> list[RewardChange]:
        events = await self._events(first, last)
        if not events:
            return []
        async with self._desk.rows() as rows:
            known = await rows.by_id([event.reward_id for event in events])
            open_claims = {row.reward_id: row for row in known if row.state in ("CLAIMABLE", "CANCELLED")}
            changes: list[RewardChange] = []
            for event in events:
                if event.reward_id in open_claims:
                    changes += await self._adopt(rows, open_claims[event.reward_id], event)
        return changes

    async def newest_logs(
        self, topics: Sequence[str | list[str] | None], wanted: set[bytes]
    ) -> dict[bytes, Any]:
        """The newest event of each wanted identifier, read back from the head until all are found.

        Args:
            topics: Kinds of events, and what they are of; the second topic of a log is its identifier.
            wanted: The identifiers, 32 bytes each.
        """
        desk, found = self._desk, dict[bytes, Any]()
        last, first_of_all = (await desk.head()).height, desk.instance.deployed_height
        while last >= first_of_all and len(found) < len(wanted):
            first = max(first_of_all, last - LOG_WINDOW + 1)
            for log in await desk.node.logs(desk.instance.token, topics, first, last):
                # Within a window the node tells the oldest first.
                found[bytes(log["topics"][1])] = log
            last = first - 1
        return found

    async def is_settled(self, reward_id: bytes) -> bool:
        """Whether the contract has minted or cancelled a reward."""
        desk = self._desk
        answer = await desk.node.call(desk.instance.token, desk.token.call("settled", reward_id))
        return any(answer)

    async def _found(self, reward_ids: Sequence[bytes]) -> dict[bytes, Minted]:
        """The mints of rewards; only what the contract has settled is looked for, from the newest block back.

        A settled reward has exactly one event, of its mint or of its cancellation: the search ends with the
        last one and reads the chain to its beginning for none that was never settled.
        """
        token, settled = self._desk.token, list[bytes]()
        for start in range(0, len(reward_ids), _ASKED_AT_ONCE):
            part = reward_ids[start : start + _ASKED_AT_ONCE]
            answers = await asyncio.gather(*(self.is_settled(one) for one in part))
            settled += [one for one, is_so in zip(part, answers, strict=True) if is_so]
        if not settled:
            return {}
        kinds = [token.topic("RewardMinted"), token.topic("RewardCancelled")]
        logs = await self.newest_logs([kinds, ["0x" + one.hex() for one in settled]], set(settled))
        mints = [log for log in logs.values() if bytes(log["topics"][0]).hex() == kinds[0][2:]]
        return {event.reward_id: event for event in map(token.minted, mints)}

    async def _events(self, first: int, last: int) -> list[Minted]:
        token, desk = self._desk.token, self._desk
        topics = [token.topic("RewardMinted")]
        logs = await desk.node.logs(desk.instance.token, topics, first, last)
        return [token.minted(log) for log in logs]


async def adopted(rows: ChainRows, genesis: str, tx_hash: str, height: int, block_hash: str) -> UUID:
    """The row of a mined transaction; made where it is not ours. Nothing is asked of the node here.

    Args:
        rows: The transaction of the journal.
        genesis: First block of the chain.
        tx_hash: The transaction.
        height: Block that holds it.
        block_hash: Hash of that block.
    """
    known = await rows.by_hash(genesis, tx_hash)
    if known is not None:
        return known.tx_id
    tx_id = await rows.insert_tx(genesis, NewTx("adopted:" + tx_hash, 0, 1, "ADOPTED", tx_hash, None))
    made = await rows.by_hash(genesis, tx_hash)
    assert made is not None
    await rows.mark_mined(made, height, block_hash, False)
    return tx_id
