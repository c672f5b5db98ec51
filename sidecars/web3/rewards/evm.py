"""The EVM chain as the rewards ledger sees it: ``ClaimableChain`` on Polygon or an embedded chain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.address import is_address, is_checksum_address, to_checksum_address

from cohortlens.core.clock import now
from cohortlens.core.errors import CohortLensError, Violation
from cohortlens.core.failpoints import failpoint
from cohortlens.core.telemetry import get_logger
from sidecars.web3.journal.chain_rewards import RewardRow
from sidecars.web3.rewards import metrics
from sidecars.web3.rewards.chain import (
    Balance,
    ChainHealth,
    ChainRefused,
    ChainUnavailable,
    Delivery,
    Mint,
    Resynced,
    RewardChange,
    WalletAddressInvalid,
    WalletProofInvalid,
)
from sidecars.web3.rewards.claims import EpochProof, PublishedEpoch, Voucher
from sidecars.web3.rewards.epoch_trees import EpochTrees
from sidecars.web3.rewards.epochs import EvmEpochs
from sidecars.web3.rewards.evm_cancels import EvmCancels
from sidecars.web3.rewards.evm_contract import own_addresses, provide_contract
from sidecars.web3.rewards.evm_desk import NAME, EvmDesk, change
from sidecars.web3.rewards.evm_keys import check_keys
from sidecars.web3.rewards.evm_node import Head, Reverted
from sidecars.web3.rewards.evm_send import EvmSender
from sidecars.web3.rewards.evm_watch import EvmWatcher
from sidecars.web3.rewards.nonces import Call, allocate, current_fees, halted, sign_next
from sidecars.web3.rewards.vouchers import sign_voucher

_log = get_logger(__name__)
_SIGNATURE_BYTES = 65
_LATE_S = 1800.0
_OPEN_LIMIT = 10_000
_CALL_GAS = 100_000
_AMEND_EVERY_S = 15.0
_MINTS_IN_RESERVE = 100
_MODES = {
    "embedded-anvil": "local development chain, id {chain_id}; tokens have no value",
    "embedded-py-evm": "in-process chain without disk: rebuilt from the journal at each start; "
    "finality is not simulated",
    "remote": "chain {chain_id}",
}


class EvmChain:
    """The EVM chain of one sidecar.

    Args:
        desk: Node, journal, signers and settings.
        trees: Folder of the trees of epochs.
        nudge: Lets an embedded chain mine a block, so that what is mined becomes final; None elsewhere.
    """

    def __init__(
        self, desk: EvmDesk, trees: Path, nudge: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        check_keys(desk.signers, desk.settings.is_remote)
        self._desk = desk
        self._nudge = nudge
        self._sender = EvmSender(desk)
        self._watcher = EvmWatcher(desk)
        self._cancels = EvmCancels(desk, self._watcher)
        self._epochs = EvmEpochs(desk, self._watcher, EpochTrees(trees))
        self._amended_at = float("-inf")
        self._turn = asyncio.Lock()
        self._is_ready = False
        self._fault: Exception | None = None
        self._nudged_at = float("-inf")

    @property
    def name(self) -> str:
        """See ``Chain``."""
        return NAME

    @property
    def deliveries(self) -> frozenset[Delivery]:
        """See ``Chain``."""
        return frozenset(Delivery)

    @property
    def reorgs(self) -> int:
        """Transactions whose block was dropped since the start."""
        return self._watcher.reorgs

    async def start(self) -> None:
        """See ``Chain``."""
        async with self._turn:
            await self._ready()

    def canonical(self, address: str) -> str:
        """See ``Chain``: EIP-55; mixed case must match its checksum."""
        said = None
        if not is_address(address) or not address.startswith("0x"):
            said = "is no EVM address: 0x and 40 hexadecimal digits"
        elif address[2:] not in (address[2:].lower(), address[2:].upper()) and not is_checksum_address(
            address
        ):
            said = "has a wrong checksum (EIP-55): look for a mistyped character"
        elif to_checksum_address(address) in own_addresses(self._desk):
            said = "cannot hold rewards: give the address of a wallet"
        if said is not None:
            raise WalletAddressInvalid(f"address {said}", violations=(Violation("address", said),))
        return to_checksum_address(address)

    def verify_wallet(self, address: str, message: str, signature: bytes) -> str:
        """See ``Chain``: personal_sign of EIP-191."""
        canonical = self.canonical(address)
        said = f"must be the {_SIGNATURE_BYTES} bytes of personal_sign over the message by this address"
        wrong = WalletProofInvalid(f"signature {said}", violations=(Violation("signature", said),))
        if len(signature) != _SIGNATURE_BYTES:
            raise wrong
        try:
            signer = Account.recover_message(encode_defunct(text=message), signature=signature)
        except Exception as fault:
            raise wrong from fault
        if signer != canonical:
            raise wrong
        return canonical

    async def submit(self, mints: Sequence[Mint]) -> list[RewardChange]:
        """See ``Chain``."""
        async with self._turn, self._noting():
            await self._ready()
            changes = await self._sign([mint.reward_id for mint in mints], 0.0)
            return changes + await self._sender.send()

    async def poll(self) -> list[RewardChange]:
        """See ``Chain``; also signs rewards that were left OWED."""
        async with self._turn, self._noting():
            await self._ready()
            return await self._went_on()

    async def balance(self, address: str) -> Balance:
        """See ``Chain``."""
        holder, desk = self.canonical(address), self._desk
        if not desk.is_known:
            raise ChainUnavailable("the EVM chain was not reached yet; try again", retry_delay_s=1.0)
        head = await desk.head()
        answer = await desk.node.call(desk.instance.token, desk.token.call("balanceOf", holder))
        return Balance(int.from_bytes(answer, "big"), head.height, now())

    async def health(self) -> ChainHealth:
        """See ``Chain``."""
        settings = self._desk.settings
        detail = _MODES[settings.mode].format(chain_id=settings.chain_id)
        try:
            return await self._health(detail)
        except Exception as fault:  # a fault here must not end who asks: the metrics, the ops page, a call
            said = self._fault or fault
            reason = _reason_of(said)
            if reason == "INTERNAL":
                _log.exception("evm_health_failed")
            return ChainHealth(
                NAME,
                settings.mode,
                "down",
                f"{detail}; {reason}",
                settings.chain_id,
                signer=self._desk.minter,
            )

    async def resync(self) -> Resynced:
        """See ``Chain``."""
        async with self._turn:
            await self._desk.identify(is_forced=True)
            await self._desk.reload()
            changes = await self._watcher.unwind(await self._desk.head())
            changes += await self._watcher.receipts()
            next_nonce, reopened, was_halted = await self._take_count()
            async with self._desk.rows() as rows:
                lost = await rows.in_state(["OWED", "CLAIMABLE", "CANCELLED"], _OPEN_LIMIT)
            adopted = await self._watcher.look_up(lost)
            ids = {row.reward_id for row in adopted}
            left = [row for row in reopened if row.reward_id not in ids]
            self._is_ready = False
            return Resynced(next_nonce, tuple(adopted), tuple(left), was_halted)

    async def close(self) -> None:
        """See ``Chain``."""
        await self._desk.node.close()

    def create_voucher(self, mint: Mint, deadline_s: int) -> Voucher:
        """See ``ClaimableChain``."""
        desk, signed_at = self._desk, now()
        if not self._is_ready:
            raise ChainUnavailable("the EVM chain was not reached yet; try again", retry_delay_s=1.0)
        contract, chain_id = desk.instance.token, desk.settings.chain_id
        return sign_voucher(mint, deadline_s, contract, chain_id, desk.signers.voucher, signed_at)

    async def publish_epoch(self, mints: Sequence[Mint]) -> PublishedEpoch:
        """See ``ClaimableChain``."""
        async with self._turn:
            await self._ready()
            published = await self._epochs.publish(mints)
            await self._sender.send()
            return published

    async def epoch_proof(self, reward_id: bytes) -> EpochProof:
        """See ``ClaimableChain``."""
        return await self._epochs.proof(reward_id)

    async def cancel(self, reward_id: bytes) -> RewardChange:
        """See ``ClaimableChain``."""
        async with self._turn:
            await self._ready()
            cancelled = await self._cancels.sign(reward_id)
            await self._sender.send()
            return cancelled

    @asynccontextmanager
    async def _noting(self) -> AsyncIterator[None]:
        """Let the health say what a turn failed of, until one goes well."""
        try:
            yield
        except Exception as fault:
            self._fault = fault
            raise

    async def _ready(self) -> None:
        desk = self._desk
        try:
            # Asked before: a lost chain is another instance already when its identity is known.
            known = desk.instance if self._is_ready and desk.is_known else None
            await desk.identify()
            await desk.reload()
            if known is None or known.genesis != desk.instance.genesis:
                self._is_ready = False
                await provide_contract(desk, self._sender, self._watcher)
                self._is_ready = True
            self._fault = None
        except CohortLensError as fault:
            self._fault = fault
            raise

    async def _went_on(self) -> list[RewardChange]:
        head = await self._desk.head()
        changes = await self._watcher.unwind(head)
        changes += await self._watcher.receipts()
        changes += await self._watcher.finalize(head, await self._desk.final_height(head))
        await self._sender.raise_stuck(head)
        try:
            changes += await self._amend()
            changes += await self._sign(None, self._desk.settings.gather_s)
        except (ChainRefused, ChainUnavailable) as fault:
            self._fault = fault
        changes += await self._sender.send()
        await self._nudged()
        return changes

    async def _amend(self) -> list[RewardChange]:
        """See ``EvmCancels.amend`` and ``EvmEpochs.amend``; seldom, since hardly ever is there anything."""
        if time.monotonic() - self._amended_at < _AMEND_EVERY_S:
            return []
        self._amended_at = time.monotonic()
        changes = await self._cancels.amend()
        await self._epochs.amend()
        return changes

    async def _sign(self, reward_ids: Sequence[bytes] | None, min_age_s: float) -> list[RewardChange]:
        """Sign one batch after another until nothing waits."""
        changes: list[RewardChange] = []
        left = None if reward_ids is None else list(reward_ids)
        while left is None or left:
            part = None if left is None else left[: self._desk.settings.batch]
            signed = await self._sign_batch(part, min_age_s)
            changes += signed
            if not signed and left is None:
                break
            left = None if left is None else left[self._desk.settings.batch :]
        return changes

    async def _sign_batch(self, reward_ids: Sequence[bytes] | None, min_age_s: float) -> list[RewardChange]:
        desk = self._desk
        async with desk.rows() as rows:
            waiting = await rows.waiting(reward_ids, min_age_s, desk.settings.batch)
        if not waiting:
            return []
        data = desk.token.mint(_mints(waiting))
        try:
            gas = await desk.node.gas(desk.minter, desk.instance.token, data)
        except Reverted as refused:
            return await self._refused(waiting, desk.token.reason(refused.data))
        fees, count = await current_fees(desk, await desk.head()), await desk.node.nonce(desk.minter)
        async with desk.rows() as rows:
            nonce = await allocate(desk, rows, count)
            locked = await rows.waiting([row.reward_id for row in waiting], 0.0, len(waiting))
            if not locked:
                return []
            call = Call("MINT", desk.instance.token, desk.token.mint(_mints(locked)), gas)
            tx_id = await sign_next(desk, rows, nonce, call, fees)
            signed = await rows.signed_rewards([row.reward_id for row in locked], tx_id)
        failpoint("web3.reward.signed")
        return [change(row) for row in signed]

    async def _refused(self, waiting: Sequence[RewardRow], reason: str) -> list[RewardChange]:
        if reason == "ALREADY_SETTLED":
            return await self._watcher.look_up(waiting)
        async with self._desk.rows() as rows:
            await rows.note([row.reward_id for row in waiting], reason)
        raise ChainRefused(
            "the reward token takes no mints now; see the reason of the rewards", reason=reason
        )

    async def _take_count(self) -> tuple[int, list[RewardChange], bool]:
        desk = self._desk
        count, genesis = await desk.node.nonce(desk.minter), desk.instance.genesis
        async with desk.rows() as rows:
            signer = await rows.lock_signer(genesis, desk.minter, count)
            unmined = [row for row in await rows.open_txs(genesis, desk.minter) if row.state != "MINED"]
            nonces = sorted({row.nonce for row in unmined})
            # What follows the chain's count without a gap can still be mined as it is.
            live = {nonce for at, nonce in enumerate(n for n in nonces if n >= count) if nonce == count + at}
            reopened = await rows.drop([row.tx_id for row in unmined if row.nonce not in live])
            next_nonce = count + len(live)
            await rows.set_signer(genesis, desk.minter, next_nonce, None)
        metrics.count(NAME, "expired", sum(row.nonce not in live for row in unmined))
        return next_nonce, [change(row) for row in reopened], signer.halted_reason is not None

    async def _nudged(self) -> None:
        if self._nudge is None or time.monotonic() - self._nudged_at < 1.0:
            return
        desk = self._desk
        async with desk.rows() as rows:
            mined = await rows.mined_txs(desk.instance.genesis, 2**62)
        if mined:
            self._nudged_at = time.monotonic()
            await self._nudge()

    async def _health(self, detail: str) -> ChainHealth:
        desk, settings = self._desk, self._desk.settings
        head = await desk.head()
        final_height, funds = await desk.final_height(head), await desk.node.funds(desk.minter)
        async with desk.rows() as rows:
            signer = await rows.signer(desk.instance.genesis, desk.minter)
            mined = await rows.mined_txs(desk.instance.genesis, 2**62)
        supply = await desk.node.call(desk.instance.token, desk.token.call("totalSupply"))
        lag_s = await self._lag_s(final_height, head) if mined else 0.0
        is_halted = signer is not None and signer.halted_reason is not None
        is_poor = (
            funds < _MINTS_IN_RESERVE * _CALL_GAS * max(head.base_fee, 1) or self._sender.is_out_of_funds
        )
        said = {
            _reason_of(self._fault) if self._fault else "": self._fault is not None,
            halted().reason: is_halted,
            "SIGNER_FUNDS_LOW": is_poor,
            "FINALITY_LATE": lag_s > _LATE_S,
        }
        reasons = [reason for reason, holds in said.items() if holds]
        is_good = not reasons and settings.mode != "embedded-py-evm"
        return ChainHealth(
            NAME,
            settings.mode,
            "ok" if is_good else "degraded",
            "; ".join([detail, *reasons]),
            settings.chain_id,
            desk.instance.genesis,
            desk.instance.token,
            head.height,
            max(final_height, 0),
            desk.minter,
            funds,
            lag_s,
            int.from_bytes(supply, "big"),
        )

    async def _lag_s(self, final_height: int, head: Head) -> float:
        final = await self._desk.node.head(max(final_height, 0))
        return max(0.0, time.time() - (final or head).time_s)


def _reason_of(fault: Exception) -> str:
    if isinstance(fault, CohortLensError):
        return fault.reason
    return "CONTRACT_MISMATCH" if isinstance(fault, Reverted) else "INTERNAL"


def _mints(rows: Sequence[RewardRow]) -> list[Mint]:
    return [Mint(row.reward_id, row.recipient, row.amount_micro) for row in rows]
