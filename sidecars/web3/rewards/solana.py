"""Solana as a chain of the rewards ledger: signs once, sends the same bytes again, believes only finality.

A transaction's bytes are in the journal before they are sent. It is signed anew only when its blockhash has
run out by the finalized height and the chain, asked with its whole history, knows neither it nor the marker
of its reward; the marker lets the chain refuse a second mint even after the journal was restored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from solders.pubkey import Pubkey

from cohortlens.core.clock import now
from cohortlens.core.errors import CohortLensError
from cohortlens.core.failpoints import failpoint
from cohortlens.core.telemetry import get_logger
from sidecars.web3.journal.chain_rewards import RewardRow
from sidecars.web3.journal.chains import Instance
from sidecars.web3.journal.pool import Journal
from sidecars.web3.journal.solana import OpenMint, SolanaRows
from sidecars.web3.rewards import solana_transactions as made
from sidecars.web3.rewards.chain import (
    Balance,
    ChainHealth,
    ChainRefused,
    ChainUnavailable,
    Delivery,
    Mint,
    Resynced,
    RewardChange,
    RewardState,
    TxRef,
)
from sidecars.web3.rewards.metrics import count, dropped
from sidecars.web3.rewards.solana_identity import AIRDROP_LAMPORTS, NAME, SolanaIdentity, SolanaSettings
from sidecars.web3.rewards.solana_rpc import Recent, SeenTransaction, SolanaRpc

_log = get_logger(__name__)
_TOKEN_ACCOUNT_RENT_LAMPORTS = 2_039_280
_FEE_LAMPORTS = 5_000
_COST_LAMPORTS = made.MARKER_RENT_LAMPORTS + _TOKEN_ACCOUNT_RENT_LAMPORTS + _FEE_LAMPORTS
_AMOUNT = slice(64, 72)
_OPEN_MOST = 1_000


class SolanaChain:
    """Implements ``rewards.chain.Chain``; see there.

    Args:
        settings: The chain.
        journal: Where everything signed is kept.
    """

    def __init__(self, settings: SolanaSettings, journal: Journal) -> None:
        self._settings = settings
        self._journal = journal
        self._rpc = SolanaRpc(settings.url)
        self._authority = settings.authority.pubkey()
        self._token = Pubkey.from_string(settings.mint) if settings.mint else made.mint_of(self._authority)
        self._identity = SolanaIdentity(settings, self._rpc, self._token, journal)
        self._instance: Instance | None = None
        self._refused: ChainRefused | None = None
        self._starting = asyncio.Lock()

    @property
    def name(self) -> str:
        """See the protocol."""
        return NAME

    @property
    def deliveries(self) -> frozenset[Delivery]:
        """See the protocol."""
        return frozenset({Delivery.MINT})

    async def start(self) -> None:
        """See the protocol."""
        async with self._starting:
            if self._instance is not None and not self._identity.is_due:
                return
            self._instance = None
            try:
                self._instance = await self._identity.known()
            except ChainRefused as refused:
                self._refused = refused
                raise
            self._refused = None

    def canonical(self, address: str) -> str:
        """See the protocol."""
        return made.canonical_address(address, frozenset({self._token, self._authority}))

    def verify_wallet(self, address: str, message: str, signature: bytes) -> str:
        """See the protocol."""
        canonical = self.canonical(address)
        made.verify_message(canonical, message, signature)
        return canonical

    async def submit(self, mints: Sequence[Mint]) -> list[RewardChange]:
        """See the protocol."""
        instance = await self._ready()
        markers = [made.marker_of(self._authority, mint.reward_id) for mint in mints]
        present = await self._rpc.accounts_data(markers)
        changes = []
        for mint, marker in zip(mints, present, strict=True):
            if marker is not None and (change := await self._adopt(instance, mint)):
                changes.append(change)
        fresh = [mint for mint, marker in zip(mints, present, strict=True) if marker is None]
        if fresh:
            await self._assert_funds(len(fresh))
            recent = await self._rpc.recent()
            for mint in fresh:
                await self._sign(instance, mint, recent)
            failpoint("web3.reward.signed")
            changes += await self.poll()
        return changes

    async def poll(self) -> list[RewardChange]:
        """See the protocol."""
        instance = await self._ready()
        async with self._journal.transaction(None) as tx:
            waiting = await SolanaRows(tx, NAME).open_mints(instance.genesis)
        if not waiting:
            return []
        seen = await self._rpc.statuses([mint.tx_hash for mint in waiting])
        height = await self._rpc.finalized_height()
        changes: list[RewardChange] = []
        for mint, status in zip(waiting, seen, strict=True):
            changes += await self._follow(instance, mint, status, height)
        return changes

    async def balance(self, address: str) -> Balance:
        """See the protocol."""
        await self._ready()
        data = await self._rpc.account_data(made.token_account_of(self.canonical(address), self._token))
        confirmed, _ = await self._rpc.slots()
        return Balance(int.from_bytes(data[_AMOUNT], "little") if data else 0, confirmed, now())

    async def health(self) -> ChainHealth:
        """See the protocol."""
        try:
            return await self._health(await self._ready())
        except (ChainRefused, ChainUnavailable) as fault:
            detail = str(self._refused or fault)
        except CohortLensError as fault:
            detail = fault.reason
        except Exception:  # a fault here must not end who asks: the metrics, the ops page, a call
            _log.exception("solana_health_failed")
            detail = "INTERNAL"
        return ChainHealth(NAME, self._settings.mode, "down", detail)

    async def resync(self) -> Resynced:
        """See the protocol; open rewards are looked up by their markers."""
        self._instance = None
        instance = await self._ready()
        async with self._journal.transaction(None) as tx:
            owed = await SolanaRows(tx, NAME).in_state(["OWED"], _OPEN_MOST)
        mints = [Mint(row.reward_id, row.recipient, row.amount_micro) for row in owed]
        markers = [made.marker_of(self._authority, mint.reward_id) for mint in mints]
        present = await self._rpc.accounts_data(markers)
        adopted = [
            change
            for mint, marker in zip(mints, present, strict=True)
            if marker is not None and (change := await self._adopt(instance, mint))
        ]
        return Resynced(adopted=tuple(adopted))

    async def close(self) -> None:
        """See the protocol."""
        await self._rpc.close()

    async def _ready(self) -> Instance:
        await self.start()
        if self._instance is None:  # another task found just now that the chain must be asked again
            raise ChainUnavailable("The chain is being asked who it is; try again.", retry_delay_s=1.0)
        return self._instance

    async def _assert_funds(self, mints: int) -> None:
        if await self._rpc.lamports(self._authority) >= _COST_LAMPORTS * mints:
            return
        if not self._settings.is_embedded:
            raise ChainUnavailable(
                "The signer's lamports do not pay for these mints.",
                reason="SIGNER_FUNDS_LOW",
                retry_delay_s=60.0,
            )
        await self._rpc.airdrop(self._authority, AIRDROP_LAMPORTS)

    async def _sign(self, instance: Instance, mint: Mint, recent: Recent) -> None:
        signed = made.mint_reward(self._settings.authority, self._token, mint, recent.blockhash)
        async with self._journal.transaction(None) as tx:
            await SolanaRows(tx, NAME).sign(
                instance.genesis,
                str(self._authority),
                mint.reward_id,
                str(signed.signatures[0]),
                bytes(signed),
                recent.last_valid_height,
            )

    async def _follow(
        self, instance: Instance, mint: OpenMint, status: SeenTransaction | None, height: int
    ) -> list[RewardChange]:
        """What became of one open transaction."""
        if status is not None and status.is_failed:
            return await self._lost(instance, mint, "TRANSACTION_FAILED")
        if status is not None:
            return await self._seen(mint, status)
        if mint.state == RewardState.MINED:
            return await self._rolled_back(mint)
        if mint.raw is None or mint.last_valid_height is None or height > mint.last_valid_height:
            return await self._lost(instance, mint, "BLOCKHASH_EXPIRED")
        taken = await self._rpc.send(mint.raw)
        failpoint("web3.reward.sent")
        count(NAME, "sent" if taken else "refused")
        if not taken or mint.state == RewardState.SENT:
            return []
        async with self._journal.transaction(None) as tx:
            return _changes(await SolanaRows(tx, NAME).mark_sent(mint.tx_id))

    async def _seen(self, mint: OpenMint, status: SeenTransaction) -> list[RewardChange]:
        if status.commitment == "processed":
            return []
        async with self._journal.transaction(None) as tx:
            rows = SolanaRows(tx, NAME)
            changed = []
            if mint.state != RewardState.MINED:
                await rows.landed(mint.tx_id, status.slot)
                count(NAME, "mined")
                changed = await rows.mined_rewards([mint.reward_id], mint.tx_id)
            if status.commitment == "finalized":
                changed = await rows.mark_final([mint.tx_id])
                count(NAME, "final")
        failpoint("web3.reward.mined")
        return _changes(changed)

    async def _rolled_back(self, mint: OpenMint) -> list[RewardChange]:
        _log.warning("a confirmed transaction is gone from the chain", signature=mint.tx_hash)
        dropped(NAME)
        async with self._journal.transaction(None) as tx:
            return _changes(await SolanaRows(tx, NAME).unland(mint))

    async def _lost(self, instance: Instance, mint: OpenMint, reason: str) -> list[RewardChange]:
        """A transaction that did nothing: its reward is found under its marker, or owed again."""
        count(NAME, "reverted" if reason == "TRANSACTION_FAILED" else "expired")
        async with self._journal.transaction(None) as tx:
            changed = await SolanaRows(tx, NAME).give_up(mint, reason)
        marker = made.marker_of(self._authority, mint.reward_id)
        if await self._rpc.account_data(marker) is not None:
            change = await self._adopt(instance, Mint(mint.reward_id, mint.recipient, mint.amount_micro))
            return [change] if change is not None else _changes(changed)
        return _changes(changed)

    async def _adopt(self, instance: Instance, mint: Mint) -> RewardChange | None:
        """Take the transaction that the chain has for a reward, if it paid what is owed."""
        holder = made.token_account_of(mint.to, self._token)
        marker = made.marker_of(self._authority, mint.reward_id)
        paid_otherwise = False
        for signature, slot in await self._rpc.transactions_of(marker):
            raw = await self._rpc.transaction(signature)
            paid = made.paid_by(raw, self._token) if raw is not None else None
            if paid == (holder, mint.amount_micro):
                async with self._journal.transaction(None) as tx:
                    row = await SolanaRows(tx, NAME).adopt(
                        instance.genesis, str(self._authority), mint.reward_id, signature, slot
                    )
                return _change(row) if row is not None else None
            paid_otherwise = paid_otherwise or paid is not None
        if not paid_otherwise:
            # A node may have dropped its history, or not have it yet: nothing is known, so nothing changes.
            _log.warning("a reward's marker exists, but the node shows no transaction that paid it")
            return None
        _log.error("a reward's marker exists, but its transaction paid something else")
        async with self._journal.transaction(None) as tx:
            row = await SolanaRows(tx, NAME).conflict(mint.reward_id)
        return _change(row) if row is not None else None

    async def _health(self, instance: Instance) -> ChainHealth:
        confirmed, finalized = await self._rpc.slots()
        lamports = await self._rpc.lamports(self._authority)
        mint = made.parse_mint(await self._rpc.account_data(self._token) or b"")
        async with self._journal.transaction(None) as tx:
            lag_s = await SolanaRows(tx, NAME).oldest_open_s(instance.genesis)
        detail = ""
        if self._settings.is_embedded:
            detail = "local development chain, no validators: finality is simulated"
        is_poor = lamports < _COST_LAMPORTS and not self._settings.is_embedded
        return ChainHealth(
            chain=NAME,
            mode=self._settings.mode,
            status="degraded" if is_poor else "ok",
            detail="The signer cannot pay for a mint; send it lamports." if is_poor else detail,
            genesis=instance.genesis,
            token=str(self._token),
            head=confirmed,
            finalized=finalized,
            signer=str(self._authority),
            signer_balance=lamports,
            lag_s=lag_s,
            total_supply_micro=mint.supply if mint is not None else 0,
        )


def _changes(rows: Sequence[RewardRow]) -> list[RewardChange]:
    return [_change(row) for row in rows]


def _change(row: RewardRow) -> RewardChange:
    tx = TxRef(NAME, row.tx_hash, row.block_height) if row.tx_hash else None
    return RewardChange(row.reward_id, RewardState(row.state), tx, row.reason, row.finalized_at)
