"""A Solana ledger without validators: LiteSVM, slots by the clock, and a file that survives ``kill -9``.

LiteSVM runs the real programs (system, SPL token, associated token account, memo); it has no blocks, no
history and no disk. This module adds what a client can see of them. A slot lasts 400 ms of wall time since
the genesis; the blockhash of a slot is a hash of the genesis and its number, valid for 150 slots as on the
real network. What a transaction did is appended to ``ledger.jsonl`` and synced before it is answered.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solders.account import Account
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.message import MessageHeader
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

SLOT_S = 0.4
BLOCKHASH_SLOTS = 150
CONFIRMED_AFTER = 1
FINALIZED_AFTER = 4
_TOKEN_ACCOUNT_BYTES = 165
_TOKEN_PROGRAMS = frozenset({str(TOKEN_PROGRAM_ID), str(TOKEN_2022_PROGRAM_ID)})
_FILE = "ledger.jsonl"


class TransactionRefused(Exception):
    """A transaction that never reaches the ledger.

    Args:
        error: The error as the network's JSON spells it, such as ``BlockhashNotFound``.
        logs: Lines that programs wrote before it failed.
    """

    def __init__(self, error: Any, logs: list[str] | None = None) -> None:
        super().__init__(f"refused: {json.dumps(error)}")
        self.error = error
        self.logs = logs or []


@dataclass(frozen=True)
class Landed:
    """A transaction in the ledger.

    Attributes:
        signature: Its first signature, base58.
        slot: Slot that holds it.
        raw: Its bytes.
        error: None when it succeeded, else the error as the network's JSON spells it.
        fee: Lamports.
        logs: Lines that programs wrote.
        accounts: Every account it names, base58.
    """

    signature: str
    slot: int
    raw: bytes
    error: Any
    fee: int
    logs: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)


class SolanaLedger:
    """Accounts and transactions of one embedded chain; one task at a time may call it.

    Args:
        folder: Where the ledger lies; made if it is missing. Without its file a new chain begins, with
            another genesis.
        now: Seconds since 1970.
    """

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / _FILE
        self._now = now
        self._svm = LiteSVM().with_blockhash_check(False).with_sigverify(True).with_transaction_history(0)
        self._landed: dict[str, Landed] = {}
        self._by_account: dict[str, list[str]] = defaultdict(list)
        self._warped = 0
        self._genesis, self._began = b"", 0.0
        self._read_or_begin()
        self._file = self._path.open("a", encoding="utf-8")

    @property
    def genesis_hash(self) -> str:
        """Hash of the genesis, base58."""
        return str(Hash(self._genesis))

    @property
    def slot(self) -> int:
        """The slot now; also the block height, since no slot is skipped here."""
        return int((self._now() - self._began) / SLOT_S) + self._warped

    def warp(self, slots: int) -> None:
        """Let slots pass at once, for tests of what waits for them; gone with the process."""
        self._warped += slots

    def blockhash(self, slot: int) -> str:
        """The blockhash of a slot, base58."""
        return str(Hash(hashlib.sha256(self._genesis + slot.to_bytes(8, "big")).digest()))

    def is_valid(self, blockhash: str) -> bool:
        """Whether a transaction may still name this blockhash."""
        newest = self.slot
        oldest = max(0, newest - BLOCKHASH_SLOTS)
        return any(blockhash == self.blockhash(slot) for slot in range(newest, oldest - 1, -1))

    def account(self, address: str) -> Account | None:
        """An account, or None."""
        return self._svm.get_account(Pubkey.from_string(address))

    def rent(self, size: int) -> int:
        """Lamports that keep an account of ``size`` bytes."""
        return int(self._svm.minimum_balance_for_rent_exemption(size))

    def landed(self, signature: str) -> Landed | None:
        """A transaction by its signature, or None."""
        return self._landed.get(signature)

    def signatures_of(self, address: str) -> list[Landed]:
        """Transactions that name an account, newest first."""
        return [self._landed[signature] for signature in reversed(self._by_account[address])]

    def token_accounts(
        self, owner: str, *, mint: str | None = None, program: str | None = None
    ) -> list[tuple[str, Account]]:
        """Token accounts of an owner, of one mint or of one token program."""
        found = []
        for address in list(self._by_account):
            account = self.account(address)
            if account is None or len(account.data) != _TOKEN_ACCOUNT_BYTES:
                continue
            if str(Pubkey(account.data[32:64])) != owner or str(account.owner) not in _TOKEN_PROGRAMS:
                continue
            if mint in (None, str(Pubkey(account.data[:32]))) and program in (None, str(account.owner)):
                found.append((address, account))
        return found

    def simulate(self, transaction: VersionedTransaction) -> TransactionMetadata | FailedTransactionMetadata:
        """Run a transaction without keeping what it does."""
        result = self._svm.simulate_transaction(transaction)
        if isinstance(result, FailedTransactionMetadata):
            return result
        return result.meta()

    def send(self, transaction: VersionedTransaction, *, preflight: bool = True) -> Landed:
        """Run a transaction and keep it; one that is known already is answered, never run again.

        Args:
            transaction: Signed.
            preflight: Refuse what would fail instead of charging for it, as nodes do by default.

        Raises:
            TransactionRefused: Its blockhash is too old or unknown, a signature is wrong, or the preflight
                failed.
        """
        signature = str(transaction.signatures[0])
        if known := self._landed.get(signature):
            return known
        if not self.is_valid(str(transaction.message.recent_blockhash)):
            raise TransactionRefused("BlockhashNotFound")
        if preflight:
            outcome = self.simulate(transaction)
            if isinstance(outcome, FailedTransactionMetadata):
                raise TransactionRefused(_error(outcome), list(outcome.meta().logs()))
        result = self._svm.send_transaction(transaction)
        error = _error(result) if isinstance(result, FailedTransactionMetadata) else None
        if isinstance(error, str):
            # Errors without an instruction (a bad signature, an account without lamports) reach no block.
            raise TransactionRefused(error)
        meta = result.meta() if isinstance(result, FailedTransactionMetadata) else result
        keys = [str(key) for key in transaction.message.account_keys]
        landed = Landed(signature, self.slot, bytes(transaction), error, meta.fee(), list(meta.logs()), keys)
        self._append(landed, _writable(keys, transaction.message.header))
        self._keep(landed)
        return landed

    def airdrop(self, address: str, lamports: int) -> Landed:
        """Give lamports out of nothing; a development chain has a faucet."""
        before = self.account(address)
        total = lamports + (before.lamports if before is not None else 0)
        if before is None:
            account = Account(total, b"", Pubkey.default())
        else:
            account = Account(total, before.data, before.owner, before.executable, before.rent_epoch)
        self._svm.set_account(Pubkey.from_string(address), account)
        signature = str(Signature(secrets.token_bytes(Signature.LENGTH)))
        landed = Landed(signature, self.slot, b"", None, 0, [], [address])
        self._append(landed, [address])
        self._keep(landed)
        return landed

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_or_begin(self) -> None:
        lines = self._path.read_bytes().split(b"\n") if self._path.exists() else []
        if len(lines) < 2:
            self._genesis, self._began = secrets.token_bytes(32), self._now()
            head = {"genesis": self._genesis.hex(), "began": self._began}
            self._path.write_text(json.dumps(head) + "\n", encoding="utf-8")
            _sync(self._path)
            return
        head = json.loads(lines[0])
        self._genesis, self._began = bytes.fromhex(head["genesis"]), float(head["began"])
        # The last piece has no line end: nothing, or a line that was cut off before it was answered.
        for line in lines[1:-1]:
            self._replay(json.loads(line))
        if lines[-1]:
            whole = self._path.stat().st_size - len(lines[-1])
            os.truncate(self._path, whole)

    def _replay(self, row: dict[str, Any]) -> None:
        for address, (lamports, data, owner, executable, rent_epoch) in row["state"].items():
            account = Account(lamports, b64decode(data), Pubkey.from_string(owner), executable, rent_epoch)
            self._svm.set_account(Pubkey.from_string(address), account)
        self._keep(
            Landed(
                row["signature"], row["slot"], b64decode(row["raw"]), row["error"], row["fee"],
                row["logs"], row["accounts"],
            )
        )  # fmt: skip

    def _keep(self, landed: Landed) -> None:
        self._landed[landed.signature] = landed
        for address in landed.accounts:
            self._by_account[address].append(landed.signature)

    def _append(self, landed: Landed, changed: list[str]) -> None:
        row = {
            "signature": landed.signature,
            "slot": landed.slot,
            "raw": b64encode(landed.raw).decode(),
            "error": landed.error,
            "fee": landed.fee,
            "logs": landed.logs,
            "accounts": landed.accounts,
            "state": {address: self._state(address) for address in changed},
        }
        self._file.write(json.dumps(row, separators=(",", ":")) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _state(self, address: str) -> tuple[int, str, str, bool, int]:
        account = self.account(address)
        if account is None:
            return 0, "", str(Pubkey.default()), False, 0
        data = b64encode(account.data).decode()
        return account.lamports, data, str(account.owner), account.executable, account.rent_epoch


def _error(result: FailedTransactionMetadata) -> Any:
    """The error as JSON of the network: text, or ``{"InstructionError": [index, error]}``."""
    return json.loads(result.to_json())["err"]


def _writable(keys: list[str], header: MessageHeader) -> list[str]:
    """The accounts that a message may change: signers first, read-only ones last within each half."""
    signers = header.num_required_signatures
    signed = keys[: signers - header.num_readonly_signed_accounts]
    return signed + keys[signers : len(keys) - header.num_readonly_unsigned_accounts]


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
