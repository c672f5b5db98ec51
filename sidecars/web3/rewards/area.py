"""Rewards as a part of the sidecar: the ledger, a follower per chain, start and end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sidecars.web3.journal.pool import Journal
from sidecars.web3.rewards.chain import Chain, ChainHealth
from sidecars.web3.rewards.follower import Follower
from sidecars.web3.rewards.ledger import RewardLedger


class RewardsArea:
    """What runs for rewards.

    Args:
        journal: Where rewards are kept.
        chains: The chains, not started.
        daily_micro: Micro-tokens that a tenant's rewards of 24 hours may sum up to.

    Attributes:
        ledger: Accepts, reads and cancels rewards.
    """

    def __init__(self, journal: Journal, chains: Sequence[Chain], daily_micro: int) -> None:
        self._chains = chains
        self._followers = {chain.name: Follower(chain, journal) for chain in chains}
        self.ledger = RewardLedger(
            journal,
            {chain.name: chain for chain in chains},
            daily_micro,
            lambda name: self._followers[name].wake(),
        )

    async def run(self) -> None:
        """Follow the rewards of every chain until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for follower in self._followers.values():
                tasks.create_task(follower.run())

    async def health(self) -> list[ChainHealth]:
        """How each chain is; never raises."""
        return await self.ledger.health()

    async def close(self) -> None:
        """Let the connections to the chains go; call it after ``run`` was cancelled."""
        for chain in self._chains:
            await chain.close()
