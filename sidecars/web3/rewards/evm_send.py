"""Sending on the EVM: in the order of nonces, the same bytes until a block holds them, dearer if stuck."""

from __future__ import annotations

import logging
from datetime import timedelta
from itertools import groupby

from cohortlens.core.clock import now
from cohortlens.core.failpoints import failpoint
from sidecars.web3.journal.chains import TxRow
from sidecars.web3.rewards.chain import RewardChange
from sidecars.web3.rewards.evm_desk import NAME, EvmDesk, change
from sidecars.web3.rewards.evm_node import Head, Reverted, SendOutcome
from sidecars.web3.rewards.metrics import count
from sidecars.web3.rewards.nonces import Fees, call_of, current_fees, sign_again

MAX_RAISES = 5
_RESEND = timedelta(seconds=5)
_LOG = logging.getLogger(__name__)


class EvmSender:
    """Sends what is signed.

    Args:
        desk: The chain.

    Attributes:
        is_out_of_funds: The node refused the last transaction because the signer cannot pay.
    """

    def __init__(self, desk: EvmDesk) -> None:
        self._desk = desk
        self.is_out_of_funds = False

    async def send(self) -> list[RewardChange]:
        """Send every transaction that no block holds, once in five seconds each, in the order of nonces."""
        changes: list[RewardChange] = []
        for row in await self._newest():
            if row.state == "SENT" and row.sent_at and now() - row.sent_at < _RESEND:
                continue
            assert row.raw is not None
            outcome = await self._desk.node.send(row.raw)
            self.is_out_of_funds = outcome is SendOutcome.NO_FUNDS
            if outcome is SendOutcome.UNDERPRICED:
                # A fault of the fee alone: the nonce is not used up, a dearer attempt takes its place.
                await self._raise(row, await self._desk.head())
                break
            if outcome in (SendOutcome.NO_FUNDS, SendOutcome.REFUSED):
                _LOG.warning("the EVM node refused a transaction", extra={"outcome": outcome.value})
                count(NAME, "refused")
                break
            # Known bytes and used nonces are no failures: the look-up by hash tells what became of them.
            count(NAME, "sent", int(outcome is SendOutcome.ACCEPTED))
            failpoint("web3.reward.sent")
            async with self._desk.rows() as rows:
                changes += [change(reward) for reward in await rows.mark_sent(row.tx_id)]
        return changes

    async def raise_stuck(self, head: Head) -> None:
        """Pay more for the first transaction that waits too long; those behind it wait for it."""
        waiting = await self._newest()
        if not waiting or waiting[0].state != "SENT":
            return
        age_s = (now() - waiting[0].signed_at).total_seconds()
        if age_s >= self._desk.settings.stuck_s:
            await self._raise(waiting[0], head)

    async def _newest(self) -> list[TxRow]:
        desk = self._desk
        async with desk.rows() as rows:
            open_txs = await rows.open_txs(desk.instance.genesis, desk.minter)
        slots = [list(attempts) for _, attempts in groupby(open_txs, key=lambda row: row.nonce)]
        return [slot[-1] for slot in slots if all(row.state != "MINED" for row in slot)]

    async def _raise(self, row: TxRow, head: Head) -> None:
        desk = self._desk
        usual = await current_fees(desk, head)
        fees = Fees(
            min(max(usual.most, _quarter_more(row.max_fee)), desk.settings.max_fee_wei),
            min(max(usual.tip, _quarter_more(row.priority_fee)), desk.settings.max_fee_wei),
        )
        # Nodes take the place of a transaction only for a tenth more.
        if row.attempt > MAX_RAISES or fees.most * 10 < (row.max_fee or 0) * 11:
            return
        is_filled = await self._would_revert(row)
        async with desk.rows() as rows:
            await rows.lock_signer(desk.instance.genesis, desk.minter, row.nonce)
            newest = [
                other
                for other in await rows.open_txs(desk.instance.genesis, desk.minter)
                if other.nonce == row.nonce
            ]
            if newest and newest[-1].tx_id == row.tx_id:
                await sign_again(desk, rows, row, fees, is_filled=is_filled)
                count(NAME, "replaced")

    async def _would_revert(self, row: TxRow) -> bool:
        to, data = call_of(row)
        if row.kind in ("FILL", "DEPLOY") or to is None:
            return False
        try:
            await self._desk.node.call(to, data, self._desk.minter)
        except Reverted:
            return True
        return False


def _quarter_more(fee: int | None) -> int:
    return ((fee or 0) * 5 + 3) // 4
