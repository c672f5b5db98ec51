"""A chain in memory: signs what it is handed and keeps it in the journal, as ``rewards.chain.Chain`` promises."""

from __future__ import annotations

import uuid

from cohortlens.core.clock import now
from sidecars.web3.rewards.chain import (
    Balance,
    ChainHealth,
    ChainUnavailable,
    Delivery,
    Resynced,
    RewardChange,
    RewardState,
    TxRef,
    WalletAddressInvalid,
)


class FakeChain:
    def __init__(self, name, journal, deliveries=frozenset(Delivery)):
        self.name = name
        self.deliveries = deliveries
        self.journal = journal
        self.minted = {}
        self.is_down = False
        self.starts = 0
        self.batches = []

    async def start(self):
        self._assert_up()
        self.starts += 1

    def canonical(self, address):
        if not address.lower().startswith("addr-"):
            raise WalletAddressInvalid("address must begin with addr-")
        return address.lower()

    def verify_wallet(self, address, message, signature):
        return self.canonical(address)

    async def submit(self, mints):
        self._assert_up()
        self.batches.append(len(mints))
        for mint in mints:
            async with self.journal.transaction(None) as tx:
                taken = await tx.execute(
                    "UPDATE reward_tx SET state = 'MINED' WHERE reward_id = $1 AND state = 'OWED'",
                    mint.reward_id,
                )
            if taken:
                assert mint.reward_id not in self.minted, "minted twice"
                self.minted[mint.reward_id] = mint
        return []

    async def poll(self):
        self._assert_up()
        async with self.journal.transaction(None) as tx:
            await tx.execute(
                "UPDATE reward_tx SET state = 'FINAL', finalized_at = now() WHERE chain = $1 AND state = 'MINED'",
                self.name,
            )
        return []

    async def balance(self, address):
        self._assert_up()
        held = sum(mint.amount_micro for mint in self.minted.values() if mint.to == address)
        return Balance(held, len(self.minted), now())

    async def cancel(self, reward_id):
        self._assert_up()
        async with self.journal.transaction(None) as tx:
            await tx.execute("UPDATE reward_tx SET state = 'CANCELLED' WHERE reward_id = $1", reward_id)
        return RewardChange(reward_id, RewardState.CANCELLED, TxRef(self.name, uuid.uuid4().hex))

    async def health(self):
        return ChainHealth(self.name, "remote", "down" if self.is_down else "ok", "a chain of a test")

    async def resync(self):
        return Resynced()

    async def close(self):
        return None

    def _assert_up(self):
        if self.is_down:
            raise ChainUnavailable("the chain is down")
