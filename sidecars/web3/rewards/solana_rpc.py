"""What the rewards ledger asks a Solana node, with its faults as errors of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.core import RPCException
from solana.rpc.models import TxOpts
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction_status import TransactionConfirmationStatus

from sidecars.web3.rewards.chain import ChainUnavailable

Answer = TypeVar("Answer")

_TIMEOUT_S = 5.0
_STATUSES_AT_ONCE = 256
_ACCOUNTS_AT_ONCE = 100
_HISTORY_PAGE = 1_000


@dataclass(frozen=True)
class Recent:
    """A blockhash and the last block height at which it is valid."""

    blockhash: Hash
    last_valid_height: int


@dataclass(frozen=True)
class SeenTransaction:
    """A transaction as the chain knows it.

    Attributes:
        slot: Slot that holds it.
        is_failed: It was charged for and did nothing.
        commitment: ``processed``, ``confirmed`` or ``finalized``.
    """

    slot: int
    is_failed: bool
    commitment: str


class SolanaRpc:
    """One node.

    Args:
        url: Its JSON-RPC.
    """

    def __init__(self, url: str) -> None:
        self._client = AsyncClient(url, timeout=_TIMEOUT_S)
        self._losses = 0

    @property
    def losses(self) -> int:
        """How often the node did not answer; a new number means that it may be another node now."""
        return self._losses

    async def genesis_hash(self) -> str:
        """Hash of the genesis, base58."""
        return str((await self._ask(self._client.get_genesis_hash())).value)

    async def slots(self) -> tuple[int, int]:
        """Newest confirmed slot and newest finalized one."""
        confirmed = (await self._ask(self._client.get_slot(Confirmed))).value
        return confirmed, (await self._ask(self._client.get_slot(Finalized))).value

    async def finalized_height(self) -> int:
        """Newest finalized block height, which blockhashes run out by."""
        return int((await self._ask(self._client.get_block_height(Finalized))).value)

    async def recent(self) -> Recent:
        """The newest confirmed blockhash."""
        found = (await self._ask(self._client.get_latest_blockhash(Confirmed))).value
        return Recent(found.blockhash, found.last_valid_block_height)

    async def lamports(self, address: Pubkey) -> int:
        """What an address holds for fees."""
        return int((await self._ask(self._client.get_balance(address, Confirmed))).value)

    async def rent(self, size: int) -> int:
        """Lamports that keep an account of ``size`` bytes."""
        return int((await self._ask(self._client.get_minimum_balance_for_rent_exemption(size))).value)

    async def airdrop(self, address: Pubkey, lamports: int) -> None:
        """Ask the faucet of a development chain."""
        await self._ask(self._client.request_airdrop(address, lamports))

    async def account_data(self, address: Pubkey) -> bytes | None:
        """Data of an account, or None when there is none."""
        found = (await self._ask(self._client.get_account_info(address, Confirmed))).value
        return bytes(found.data) if found is not None else None

    async def accounts_data(self, addresses: Sequence[Pubkey]) -> list[bytes | None]:
        """Data of many accounts, in their order."""
        data: list[bytes | None] = []
        for start in range(0, len(addresses), _ACCOUNTS_AT_ONCE):
            some = list(addresses[start : start + _ACCOUNTS_AT_ONCE])
            found = (await self._ask(self._client.get_multiple_accounts(some, Confirmed))).value
            data += [bytes(account.data) if account is not None else None for account in found]
        return data

    async def statuses(self, signatures: Sequence[str]) -> list[SeenTransaction | None]:
        """What the chain knows of transactions, its whole history searched, in their order."""
        seen: list[SeenTransaction | None] = []
        for start in range(0, len(signatures), _STATUSES_AT_ONCE):
            some = [Signature.from_string(one) for one in signatures[start : start + _STATUSES_AT_ONCE]]
            found = await self._ask(
                self._client.get_signature_statuses(some, search_transaction_history=True)
            )
            seen += [_seen(status) for status in found.value]
        return seen

    async def transactions_of(self, address: Pubkey) -> list[tuple[str, int]]:
        """Signatures and slots of all confirmed transactions of an account that succeeded, oldest first."""
        found: list[Any] = []
        while True:
            before = found[-1].signature if found else None
            page = await self._ask(
                self._client.get_signatures_for_address(
                    address, before=before, limit=_HISTORY_PAGE, commitment=Confirmed
                )
            )
            if not page.value:
                # A node may give less than was asked for: only an empty page is the end.
                return [(str(one.signature), one.slot) for one in reversed(found) if one.err is None]
            found += page.value

    async def transaction(self, signature: str) -> bytes | None:
        """Bytes of a confirmed transaction, or None."""
        found = await self._ask(
            self._client.get_transaction(
                Signature.from_string(signature), "base64", Confirmed, max_supported_transaction_version=0
            )
        )
        return bytes(found.value.transaction.transaction) if found.value is not None else None

    async def send(self, raw: bytes) -> bool:
        """Send a transaction; the same bytes again do no harm.

        Returns:
            Whether the node took it. One that says no would have failed, or knows it already: the caller asks
            for its status.
        """
        options = TxOpts(skip_confirmation=True, preflight_commitment=Processed)
        try:
            await self._client.send_raw_transaction(raw, options)
        except RPCException:
            return False
        except SolanaRpcException:
            self._losses += 1
            raise _unavailable() from None
        return True

    async def close(self) -> None:
        """Let the connection go."""
        await self._client.close()

    async def _ask(self, asked: Awaitable[Answer]) -> Answer:
        try:
            return await asked
        except (SolanaRpcException, RPCException) as fault:
            self._losses += isinstance(fault, SolanaRpcException)
            # Either kind says that this node cannot answer now: it is down, behind, or limits us.
            raise _unavailable() from None


def _unavailable() -> ChainUnavailable:
    return ChainUnavailable("The Solana node does not answer; it is asked again.", retry_delay_s=2.0)


def _seen(status: Any) -> SeenTransaction | None:
    if status is None:
        return None
    commitment = "processed"
    # The enumeration of solders compares, but does not hash.
    if status.confirmation_status == TransactionConfirmationStatus.Finalized:
        commitment = "finalized"
    elif status.confirmation_status == TransactionConfirmationStatus.Confirmed:
        commitment = "confirmed"
    return SeenTransaction(status.slot, status.err is not None, commitment)
