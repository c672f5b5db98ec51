"""What a chain is to the rewards ledger: one Protocol, its states and its plain values.

``ledger.py`` stands on this module alone; ``evm.py`` and ``solana.py`` implement ``Chain``. The ledger
inserts rows of ``web3.reward_tx`` (OWED or CLAIMABLE, no transaction yet) and cancels them. From OWED on,
the chain writes ``state``, ``tx_id`` and ``reason`` itself, in the journal's transaction that stores the
signed bytes or what was seen of them, because the two must never differ: what a chain returns, it has stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from cohortlens.core.errors import FailedPrecondition, InvalidArgument, Unavailable

REWARD_ID_BYTES = 32
DECIMALS = 6
MICRO_PER_TOKEN = 10**DECIMALS
MAX_REWARD_MICRO = 1_000 * MICRO_PER_TOKEN


class RewardState(StrEnum):
    """Where a reward stands; the names are those of the tables and of the internal contract."""

    OWED = "OWED"
    SIGNED = "SIGNED"
    SENT = "SENT"
    MINED = "MINED"
    FINAL = "FINAL"
    CLAIMABLE = "CLAIMABLE"
    CLAIMED = "CLAIMED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


_S = RewardState

# Besides the straight way: SENT and MINED fall back to SIGNED when a reorganisation drops the block, and to
# OWED when the transaction was mined and minted nothing. OWED meets MINED when the chain knows the reward
# already (a restored database, a voucher that was faster). An embedded chain can lose what was final: all of
# it (FINAL and CLAIMED become OWED and are paid again on the new chain) or its last blocks (FINAL becomes
# SIGNED). CANCELLED becomes CLAIMED where the holder's claim was mined first. HELD is a state of the control
# plane alone: what it holds is never handed over.
LAWFUL_CHANGES: Mapping[RewardState, frozenset[RewardState]] = {
    _S.OWED: frozenset({_S.SIGNED, _S.MINED, _S.CLAIMABLE, _S.CANCELLED, _S.FAILED}),
    _S.SIGNED: frozenset({_S.SENT, _S.MINED, _S.OWED, _S.FAILED}),
    _S.SENT: frozenset({_S.MINED, _S.SIGNED, _S.OWED, _S.FAILED}),
    _S.MINED: frozenset({_S.FINAL, _S.SIGNED, _S.OWED, _S.FAILED}),
    _S.FINAL: frozenset({_S.OWED, _S.SIGNED}),
    _S.CLAIMABLE: frozenset({_S.CLAIMED, _S.CANCELLED, _S.OWED}),
    _S.CLAIMED: frozenset({_S.OWED}),
    _S.CANCELLED: frozenset({_S.CLAIMED}),
    _S.FAILED: frozenset({_S.OWED}),
}


class Delivery(StrEnum):
    """How a reward reaches its holder.

    ``MINT``: we send the transaction. ``VOUCHER``: the holder sends it with our signature. ``EPOCH``: the
    holder sends it with a proof against a published root. Solana has ``MINT`` only.
    """

    MINT = "MINT"
    VOUCHER = "VOUCHER"
    EPOCH = "EPOCH"


@dataclass(frozen=True, slots=True)
class Mint:
    """A reward to be minted.

    Attributes:
        reward_id: 32 bytes, as the domain computed them; the chain itself settles an id only once.
        to: Address of the holder in the chain's canonical spelling (what ``Chain.canonical`` answered).
        amount_micro: Micro-tokens, 1 to ``MAX_REWARD_MICRO``.
    """

    reward_id: bytes
    to: str
    amount_micro: int


@dataclass(frozen=True, slots=True)
class TxRef:
    """A transaction on a chain.

    Attributes:
        chain: Name of the chain, such as ``evm``.
        tx_hash: Its hash or signature in the chain's usual spelling.
        block_height: Block (EVM) or slot (Solana) that holds it; absent until mined.
        block_hash: Hash of that block; absent until mined.
    """

    chain: str
    tx_hash: str
    block_height: int | None = None
    block_hash: str | None = None


@dataclass(frozen=True, slots=True)
class RewardChange:
    """A new state of a reward, stored in the journal already.

    Attributes:
        reward_id: The reward, 32 bytes.
        state: Its state now.
        tx: The transaction that counts; absent before signing.
        reason: Why, in upper snake case, where the state alone does not say it.
        finalized_at: When it became final; UTC.
    """

    reward_id: bytes
    state: RewardState
    tx: TxRef | None = None
    reason: str | None = None
    finalized_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """What an address holds.

    Attributes:
        amount_micro: Micro-tokens, >= 0, read from the chain.
        block_height: Height at which it was read.
        as_of: When it was read, UTC.
    """

    amount_micro: int
    block_height: int
    as_of: datetime


@dataclass(frozen=True, slots=True)
class ChainHealth:
    """How a chain is; no key, password or address with credentials in it.

    Attributes:
        chain: ``evm`` or ``solana``.
        mode: ``embedded-anvil``, ``embedded-py-evm``, ``embedded-litesvm`` or ``remote``.
        status: ``ok``, ``degraded`` or ``down``.
        detail: One sentence for a person.
        chain_id: Number of the chain; 0 where it has none.
        genesis: Hash of the first block in the chain's spelling; empty until seen.
        token: Address of the contract (EVM) or mint (Solana); empty until deployed.
        head: Newest height seen.
        finalized: Newest height that is final.
        signer: Address that pays for and signs mints.
        signer_balance: What the signer holds for fees: wei or lamports.
        lag_s: Seconds since the time of the newest final block while a reward waits for it; else 0.
        total_supply_micro: Micro-tokens in circulation.
    """

    chain: str
    mode: str
    status: str
    detail: str
    chain_id: int = 0
    genesis: str = ""
    token: str = ""
    head: int = 0
    finalized: int = 0
    signer: str = ""
    signer_balance: int = 0
    lag_s: float = 0.0
    total_supply_micro: int = 0


@dataclass(frozen=True, slots=True)
class Resynced:
    """What a re-synchronisation found.

    Attributes:
        next_nonce: The signer's next nonce now; 0 on chains without nonces.
        adopted: Open rewards that the chain had settled already.
        reopened: Rewards whose transaction can never be mined; they are OWED again.
        released: True when the signer was halted and signs again.
    """

    next_nonce: int = 0
    adopted: Sequence[RewardChange] = field(default_factory=tuple)
    reopened: Sequence[RewardChange] = field(default_factory=tuple)
    released: bool = False


class Chain(Protocol):
    """One chain. Several tasks, and several sidecars on one journal, may call every method at once."""

    @property
    def name(self) -> str:
        """Name in tables and requests: ``evm`` or ``solana``."""
        ...

    @property
    def deliveries(self) -> frozenset[Delivery]:
        """The deliveries that this chain has."""
        ...

    async def start(self) -> None:
        """Check the chain's identity, deploy or check the token, rebuild a lost embedded chain.

        Raises:
            ChainRefused: It is not the chain or token it should be; nothing will be signed.
            ChainUnavailable: It does not answer; ``poll`` starts it again later.
        """
        ...

    def canonical(self, address: str) -> str:
        """Spell an address the canonical way (EVM: EIP-55; Solana: base58).

        Raises:
            WalletAddressInvalid: It is no address, mistyped, or one that must not hold rewards.
        """
        ...

    def verify_wallet(self, address: str, message: str, signature: bytes) -> str:
        """Check that the holder of ``address`` signed ``message``; return the canonical address.

        EVM: ``personal_sign`` (EIP-191), 65 bytes. Solana: Ed25519 over the UTF-8 bytes, 64 bytes.

        Raises:
            WalletAddressInvalid: See ``canonical``.
            WalletProofInvalid: The signature is malformed or somebody else's.
        """
        ...

    async def submit(self, mints: Sequence[Mint]) -> list[RewardChange]:
        """Sign rewards that the journal holds as OWED and send what may be sent.

        The ledger has stored the rows before. A row that another sidecar has signed meanwhile is left out, so
        the answer may be shorter than ``mints``. What cannot be signed now stays OWED and is offered again.

        Args:
            mints: 1 to 200 rewards of this chain.

        Raises:
            ChainRefused: Identity, token or signer do not allow signing; rows stay OWED.
            ChainUnavailable: The chain does not answer, or the signer cannot pay; rows stay OWED.
        """
        ...

    async def poll(self) -> list[RewardChange]:
        """Go on with all open transactions once: send, look for receipts, reorganisations and finality.

        Raises:
            ChainRefused: As ``submit``.
            ChainUnavailable: The chain does not answer; nothing was lost.
        """
        ...

    async def balance(self, address: str) -> Balance:
        """Read what an address holds, at the newest block.

        Raises:
            WalletAddressInvalid: See ``canonical``.
            ChainUnavailable: The chain does not answer.
        """
        ...

    async def health(self) -> ChainHealth:
        """Say how the chain is; never raises, an unreachable chain is a row too."""
        ...

    async def resync(self) -> Resynced:
        """Take the chain's word after a foreign nonce or a restored database, and let the signer sign again.

        Raises:
            ChainRefused: The chain is not the one of the journal; this needs another remedy.
            ChainUnavailable: The chain does not answer.
        """
        ...

    async def close(self) -> None:
        """Let the connection go; open rewards go on at the next start."""
        ...


class ChainRefused(FailedPrecondition):
    """The chain must not be used as it is.

    ``reason`` is one of ``CHAIN_ID_MISMATCH``, ``CHAIN_GENESIS_MISMATCH``, ``CHAIN_MAINNET_NOT_CONFIRMED``,
    ``CONTRACT_MISMATCH``, ``MINT_MISMATCH`` and ``SIGNER_NONCE_CONFLICT``.
    """

    reason = "CHAIN_ID_MISMATCH"


class ChainUnavailable(Unavailable):
    """The chain does not answer, or its signer cannot pay (``SIGNER_FUNDS_LOW``); a retry can help."""

    reason = "CHAIN_UNAVAILABLE"


class WalletAddressInvalid(InvalidArgument):
    """The address cannot hold rewards."""

    reason = "WALLET_ADDRESS_INVALID"


class WalletProofInvalid(InvalidArgument):
    """The signature does not prove that the address is the caller's."""

    reason = "WALLET_PROOF_INVALID"
