"""Follows the rewards of one chain: hands over what is OWED, looks after what is under way, backs off."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from cohortlens.core.errors import CohortLensError
from cohortlens.core.telemetry import get_logger
from sidecars.web3.journal.pool import Journal
from sidecars.web3.journal.rewards import counts, owed
from sidecars.web3.rewards.chain import Chain, Mint
from sidecars.web3.rewards.metrics import REWARDS, show

BATCH = 50
"""Rewards that go into one transaction at most."""

GATHER_S = 0.25
"""How long the first of several rewards waits for others to share its transaction."""

_BUSY_S = 0.5
_IDLE_S = 5.0
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 10.0
_SHOW_EVERY_S = 15.0
_UNDER_WAY = frozenset({"OWED", "SIGNED", "SENT", "MINED"})
_log = get_logger(__name__)


class Follower:
    """The worker of one chain; several sidecars may run one each, since every signature is a row lock.

    Args:
        chain: The chain.
        journal: Where its rewards are.
    """

    def __init__(self, chain: Chain, journal: Journal) -> None:
        self._chain = chain
        self._journal = journal
        self._something_new = asyncio.Event()
        self._failures = 0
        self._said = ""
        self._shown_at = float("-inf")

    def wake(self) -> None:
        """There is something new to sign."""
        self._something_new.set()

    async def run(self) -> None:
        """Work until cancelled; a chain that fails is tried again, each time later, up to every 10 s."""
        is_started = False
        while True:
            try:
                if not is_started:
                    await self._chain.start()
                    is_started = True
                is_busy = await self.turn()
            except CohortLensError as fault:
                await self._back_off(fault.reason)
            except Exception:  # a fault of ours in one turn must not end the worker of all rewards
                _log.exception("rewards_turn_failed", chain=self._chain.name)
                await self._back_off("INTERNAL")
            else:
                self._recovered()
                await self._show()
                await self._rest(_BUSY_S if is_busy else _IDLE_S)

    async def turn(self) -> bool:
        """Look at all that is under way, then hand over what is OWED; answers whether anything is open.

        Raises:
            ChainRefused: The chain must not be used as it is.
            ChainUnavailable: The chain does not answer.
        """
        # First what is under way: a chain that takes nothing new (paused, halted, full) still goes on.
        await self._chain.poll()
        offered: set[bytes] = set()
        while mints := await self._owed(offered):
            offered |= {mint.reward_id for mint in mints}
            await self._chain.submit(mints)
        async with self._journal.transaction(None) as tx:
            open_now = await counts(tx, self._chain.name)
        for state in sorted(_UNDER_WAY | {"CLAIMABLE"}):
            REWARDS.labels(self._chain.name, state).set(open_now.get(state, 0))
        return any(open_now.get(state) for state in _UNDER_WAY)

    async def _owed(self, offered: set[bytes]) -> list[Mint]:
        async with self._journal.transaction(None) as tx:
            rows = await owed(tx, self._chain.name, BATCH)
        # What the chain did not sign stays OWED; it is offered again in the next turn, not now.
        return [
            Mint(row.reward_id, row.recipient, row.amount_micro)
            for row in rows
            if row.reward_id not in offered
        ]

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._something_new.wait(), seconds)
            await asyncio.sleep(GATHER_S)
        self._something_new.clear()

    async def _show(self) -> None:
        """Ask the chain how it is for the metrics: seldom, since a node may count what it is asked."""
        if time.monotonic() - self._shown_at >= _SHOW_EVERY_S:
            self._shown_at = time.monotonic()
            try:
                show(await self._chain.health())
            except Exception:  # what is only shown must not end the worker of all rewards
                _log.exception("chain_health_failed", chain=self._chain.name)

    async def _back_off(self, reason: str) -> None:
        self._failures += 1
        if reason != self._said:
            _log.warning("chain_not_usable", chain=self._chain.name, reason=reason)
            self._said = reason
        await self._show()
        await asyncio.sleep(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(self._failures - 1, 8)))

    def _recovered(self) -> None:
        if self._said:
            _log.info("chain_usable", chain=self._chain.name)
        self._failures, self._said = 0, ""
