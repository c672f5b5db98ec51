"""What the parts of the EVM chain share: node, journal, signers, instance, and who the chain is."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sidecars.web3.config import MAINNET_IDS
from sidecars.web3.journal.chain_rewards import RewardRow
from sidecars.web3.journal.chains import ChainRows, Instance
from sidecars.web3.journal.pool import Journal
from sidecars.web3.rewards.chain import ChainRefused, ChainUnavailable, RewardChange, RewardState, TxRef
from sidecars.web3.rewards.evm_keys import EvmSigners
from sidecars.web3.rewards.evm_node import EvmNode, Head
from sidecars.web3.rewards.token import RewardToken

NAME = "evm"
_IDENTITY_S = 60.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EvmSettings:
    """How the EVM chain is used.

    Attributes:
        chain_id: The number that the chain must have.
        mode: ``embedded-anvil``, ``embedded-py-evm`` or ``remote``.
        contract: Address of the reward token; empty lets an embedded chain deploy it.
        is_mainnet_confirmed: Whether chains whose coins have a price may be used.
        confirmations: Blocks after which a transaction is final; None asks the node's ``finalized`` tag.
        max_fee_wei: Most wei that a unit of gas may cost.
        stuck_s: Seconds without a block after which fees are raised.
        gather_s: Seconds for which rewards are gathered into one transaction.
        batch: Rewards of one transaction at most, 1 to 200.
    """

    chain_id: int
    mode: str
    contract: str = ""
    is_mainnet_confirmed: bool = False
    confirmations: int | None = None
    max_fee_wei: int = 500 * 10**9
    stuck_s: float = 60.0
    gather_s: float = 2.0
    batch: int = 50

    @property
    def is_remote(self) -> bool:
        """Whether somebody else runs the chain."""
        return self.mode == "remote"


class EvmDesk:
    """Node, journal and signers of one chain.

    Args:
        node: The node that is asked.
        journal: The journal.
        signers: The accounts.
        settings: How the chain is used.
    """

    def __init__(self, node: EvmNode, journal: Journal, signers: EvmSigners, settings: EvmSettings) -> None:
        self.node = node
        self.journal = journal
        self.signers = signers
        self.settings = settings
        self.token = RewardToken()
        self._instance: Instance | None = None
        self._checked_at = float("-inf")
        self._failures_seen = 0

    @property
    def instance(self) -> Instance:
        """The chain in use.

        Raises:
            ChainUnavailable: It was never reached.
        """
        if self._instance is None:
            raise ChainUnavailable("the EVM chain was not reached yet; try again")
        return self._instance

    @property
    def is_known(self) -> bool:
        """Whether the chain was reached and is the right one."""
        return self._instance is not None

    @property
    def minter(self) -> str:
        """Address that sends."""
        return str(self.signers.minter.address)

    @asynccontextmanager
    async def rows(self) -> AsyncIterator[ChainRows]:
        """A transaction of the journal on this chain's rows, of all tenants."""
        async with self.journal.transaction(None) as tx:
            yield ChainRows(tx, NAME)

    async def reload(self) -> Instance:
        """Read the instance anew: another sidecar may have moved it on."""
        async with self.rows() as rows:
            self._instance = await rows.current()
        return self.instance

    async def identify(self, *, is_forced: bool = False) -> None:
        """Check, at start, after each lost connection and every minute, that this is the chain it should be.

        Raises:
            ChainRefused: Another number or first block; nothing is signed.
            ChainUnavailable: No answer.
        """
        is_due = time.monotonic() - self._checked_at >= _IDENTITY_S
        if not (is_due or is_forced or self.node.losses != self._failures_seen):
            return
        self._checked_at = float("-inf")
        losses = self.node.losses
        await self._check_number()
        first = await self.node.head(0)
        if first is None:
            raise ChainUnavailable("the EVM node has no first block; try again")
        await self._check_first_block(first)
        self._checked_at, self._failures_seen = time.monotonic(), losses

    async def head(self) -> Head:
        """The newest block."""
        found = await self.node.head()
        if found is None:
            raise ChainUnavailable("the EVM node has no block; try again")
        return found

    async def final_height(self, head: Head) -> int:
        """The newest height that is final; -1 before there is one."""
        depth = self.settings.confirmations
        if depth is None:
            tagged = await self.node.tagged("finalized")
            if tagged is not None:
                return min(tagged.height, head.height)
            # Where a node has no usable tag: what Polygon's own documents count (0xPolygon/bor#868).
            depth = 160
        return head.height - depth

    async def _check_number(self) -> None:
        wanted, found = self.settings.chain_id, await self.node.chain_id()
        if found != wanted:
            raise ChainRefused(
                f"the node serves chain {found}, the settings name {wanted}; correct one of them",
                reason="CHAIN_ID_MISMATCH",
            )
        if wanted in MAINNET_IDS and not self.settings.is_mainnet_confirmed:
            raise ChainRefused(
                f"chain {wanted} is a main network: set COHORTLENS_WEB3_MAINNET=yes if it is meant",
                reason="CHAIN_MAINNET_NOT_CONFIRMED",
            )

    async def _check_first_block(self, first: Head) -> None:
        async with self.rows() as rows:
            current = await rows.current()
            if current is not None and current.genesis != first.block_hash:
                if self.settings.is_remote or not current.mode.startswith("embedded"):
                    raise ChainRefused(
                        "the node's first block is not the one that this journal has worked with; "
                        "connect the right node, or use another database",
                        reason="CHAIN_GENESIS_MISMATCH",
                    )
                owed = await rows.lose(current.genesis)
                _LOG.warning(
                    "the embedded EVM chain is new: its rewards are paid again", extra={"rewards": owed}
                )
                current = None
            if current is None:
                current = await rows.begin(first.block_hash, self.settings.chain_id, self.settings.mode)
        self._instance = current


def change(row: RewardRow) -> RewardChange:
    """Say a stored reward in the words of the ledger."""
    tx = None
    if row.tx_hash is not None:
        tx = TxRef(NAME, row.tx_hash, row.block_height, row.block_hash)
    return RewardChange(row.reward_id, RewardState(row.state), tx, row.reason, row.finalized_at)
