"""Cancelling on the EVM: the contract settles a reward without minting it, and no claim of it works."""

from __future__ import annotations

import logging

from sidecars.web3.journal.chain_rewards import RewardRow
from sidecars.web3.rewards.chain import ChainRefused, RewardChange
from sidecars.web3.rewards.claims import EpochRefused
from sidecars.web3.rewards.evm_desk import EvmDesk, change
from sidecars.web3.rewards.evm_node import Reverted
from sidecars.web3.rewards.evm_watch import EvmWatcher
from sidecars.web3.rewards.nonces import Call, allocate, current_fees, sign_next

_GAS = 100_000
_AMENDED = 20
_LOG = logging.getLogger(__name__)


class EvmCancels:
    """Signs cancellations, and signs again those that came to nothing.

    Args:
        desk: The chain.
        watcher: Reads its events.
    """

    def __init__(self, desk: EvmDesk, watcher: EvmWatcher) -> None:
        self._desk = desk
        self._watcher = watcher

    async def sign(self, reward_id: bytes) -> RewardChange:
        """Sign the cancellation of a CLAIMABLE reward.

        Raises:
            ChainRefused: The contract takes no cancellation of it, and has not settled it either.
            EpochRefused: The reward is not known here.
        """
        try:
            ended = await self._signed(reward_id)
        except Reverted as refused:
            # The holder was faster, or it is cancelled already; the chain knows which.
            async with self._desk.rows() as rows:
                known = await rows.by_id([reward_id])
            found = await self._watcher.look_up(known)
            if found:
                return found[0]
            if not await self._watcher.is_settled(reward_id):
                reason = self._desk.token.reason(refused.data)
                raise ChainRefused("the reward token takes no cancellation now", reason=reason) from refused
            async with self._desk.rows() as rows:
                ended = await rows.end([reward_id], "CANCELLED", None)
        if not ended:
            raise EpochRefused("the reward is not known here", reason="REWARD_NOT_CLAIMABLE")
        return change(ended[0])

    async def amend(self) -> list[RewardChange]:
        """Cancel again what was to be cancelled and is not: its holder could still claim it.

        A transaction comes to nothing when it is reverted, when a transfer of nothing took its nonce, or when
        a re-synchronisation found that it can never be mined.

        Raises:
            ChainRefused: The contract takes no cancellation now.
        """
        async with self._desk.rows() as rows:
            vain = await rows.cancelled_in_vain(_AMENDED)
        changes: list[RewardChange] = []
        for row in vain:
            if await self._watcher.is_settled(row.reward_id):
                changes += await self._settled(row)
                continue
            try:
                await self._signed(row.reward_id, is_again=True)
            except Reverted as refused:
                reason = self._desk.token.reason(refused.data)
                if reason != "ALREADY_SETTLED":
                    raise ChainRefused(
                        "the reward token takes no cancellation now", reason=reason
                    ) from refused
                continue
            _LOG.warning("the cancellation of a reward came to nothing; another was signed")
        return changes

    async def _settled(self, row: RewardRow) -> list[RewardChange]:
        found = await self._watcher.look_up([row])
        if not found:
            async with self._desk.rows() as rows:
                await rows.cancelled_elsewhere(row.reward_id)
        return found

    async def _signed(self, reward_id: bytes, *, is_again: bool = False) -> list[RewardRow]:
        desk = self._desk
        data = desk.token.call("cancelReward", reward_id)
        await desk.node.gas(desk.minter, desk.instance.token, data)
        fees, count = await current_fees(desk, await desk.head()), await desk.node.nonce(desk.minter)
        async with desk.rows() as rows:
            nonce = await allocate(desk, rows, count)
            if is_again and not await rows.is_cancelled_in_vain(reward_id):
                # Another sidecar was faster: seen under the signer's lock.
                return []
            call = Call("CANCEL", desk.instance.token, data, _GAS)
            tx_id = await sign_next(desk, rows, nonce, call, fees)
            return await rows.end([reward_id], "CANCELLED", None, tx_id)
