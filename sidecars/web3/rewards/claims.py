"""What a chain offers beyond ``Chain`` when holders can fetch rewards themselves; only the EVM does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cohortlens.core.errors import InvalidArgument
from sidecars.web3.rewards.chain import Chain, Mint, RewardChange, TxRef


@dataclass(frozen=True, slots=True)
class Voucher:
    """What a holder sends to the contract.

    Attributes:
        typed_data_json: EIP-712 typed data as JSON, as wallets show it.
        signature: 65 bytes r, s, v with a low s.
        contract: Address of the contract.
        chain_id: Number of the chain.
    """

    typed_data_json: bytes
    signature: bytes
    contract: str
    chain_id: int


@dataclass(frozen=True, slots=True)
class PublishedEpoch:
    """A Merkle root whose transaction is signed.

    Attributes:
        epoch: Its number in the contract, >= 1.
        root: 32 bytes.
        tx: The transaction that publishes it.
    """

    epoch: int
    root: bytes
    tx: TxRef


@dataclass(frozen=True, slots=True)
class EpochProof:
    """What a holder sends to ``claimEpoch``.

    Attributes:
        epoch: Number of the epoch.
        leaf: 32 bytes.
        proof: Siblings from the leaf up, 32 bytes each.
        contract: Address of the contract.
        chain_id: Number of the chain.
    """

    epoch: int
    leaf: bytes
    proof: tuple[bytes, ...]
    contract: str
    chain_id: int


class EpochRefused(InvalidArgument):
    """Nothing to publish, or nothing to prove: ``EPOCH_EMPTY`` or ``REWARD_NOT_CLAIMABLE``."""

    reason = "EPOCH_EMPTY"


class ClaimableChain(Chain, Protocol):
    """A chain on which holders can fetch rewards themselves: CLAIMABLE until the claim is final."""

    def create_voucher(self, mint: Mint, deadline_s: int) -> Voucher:
        """Sign a voucher for a CLAIMABLE reward of delivery VOUCHER.

        Args:
            mint: The reward.
            deadline_s: Last second, since 1970, at which it works; ahead of now by at most 7 days.

        Raises:
            ChainRefused: There is no contract yet, or it is not the right one.
            VoucherDeadlineInvalid: See ``deadline_s``.
        """
        ...

    async def publish_epoch(self, mints: Sequence[Mint]) -> PublishedEpoch:
        """Publish a Merkle root of CLAIMABLE rewards of delivery EPOCH; the same set gives the same epoch.

        Args:
            mints: 1 to 100,000 rewards.

        Raises:
            ChainRefused: As ``submit``.
            ChainUnavailable: As ``submit``.
            EpochRefused: No reward, or one of another epoch among them.
        """
        ...

    async def epoch_proof(self, reward_id: bytes) -> EpochProof:
        """Give the proof with which the holder claims a reward of a published epoch.

        Raises:
            EpochRefused: The reward stands in no epoch.
        """
        ...

    async def cancel(self, reward_id: bytes) -> RewardChange:
        """Settle a CLAIMABLE reward on the chain without minting it: no voucher or proof works any more.

        Raises:
            ChainRefused: As ``submit``.
            ChainUnavailable: As ``submit``.
        """
        ...
