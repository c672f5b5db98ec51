"""Nonces: a transaction is signed and stored under the lock of its signer, and only then sent.

A nonce is never given back: what was stored is sent again as the same bytes until a block holds it, or its
place is taken by another attempt with the same nonce.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from sidecars.web3.journal.chains import ChainRows, NewTx, TxRow
from sidecars.web3.rewards.chain import ChainRefused, ChainUnavailable
from sidecars.web3.rewards.evm_desk import EvmDesk
from sidecars.web3.rewards.evm_node import Head

MAX_UNMINED = 16
_GAS_RESERVE = 1.25
_SELF_TRANSFER_GAS = 21_000


@dataclass(frozen=True, slots=True)
class Fees:
    """What a unit of gas may cost: most in all, and of it to the block's maker; wei."""

    most: int
    tip: int


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction does; ``to`` is None for a deployment, ``gas`` is the estimate."""

    kind: str
    to: str | None
    data: str
    gas: int


async def current_fees(desk: EvmDesk, head: Head) -> Fees:
    """Read what is usual now: twice the base fee and the node's tip, within the settings' limit."""
    tip = await desk.node.tip()
    most = min(2 * head.base_fee + tip, desk.settings.max_fee_wei)
    return Fees(most, min(tip, most))


async def allocate(desk: EvmDesk, rows: ChainRows, chain_count: int) -> int:
    """Lock the signer and tell the nonce that the next transaction takes.

    Args:
        desk: The chain.
        rows: The transaction in which the nonce is used.
        chain_count: Mined transactions of the signer, read before; a new signer begins there.

    Raises:
        ChainRefused: SIGNER_NONCE_CONFLICT: somebody else used the signer.
        ChainUnavailable: Too many transactions wait for a block.
    """
    genesis = desk.instance.genesis
    signer = await rows.lock_signer(genesis, desk.minter, chain_count)
    if signer.halted_reason is not None:
        raise halted()
    open_txs = await rows.open_txs(genesis, desk.minter)
    if len({row.nonce for row in open_txs if row.state != "MINED"}) >= MAX_UNMINED:
        raise ChainUnavailable("too many transactions wait for a block; the next go when some are mined")
    return signer.next_nonce


async def sign_next(desk: EvmDesk, rows: ChainRows, nonce: int, call: Call, fees: Fees) -> UUID:
    """Sign a transaction with an allocated nonce and store it; answers its row."""
    new = _signed(desk, nonce, 1, call.kind, call.to, call.data, int(call.gas * _GAS_RESERVE), fees)
    tx_id = await rows.insert_tx(desk.instance.genesis, new)
    await rows.set_signer(desk.instance.genesis, desk.minter, nonce + 1, None)
    return tx_id


async def sign_again(desk: EvmDesk, rows: ChainRows, row: TxRow, fees: Fees, *, is_filled: bool) -> UUID:
    """Sign another attempt with the nonce of a transaction: the same call with other fees, or nothing at all.

    Args:
        desk: The chain.
        rows: The transaction of the journal.
        row: The newest attempt.
        fees: Fees of the new one.
        is_filled: Take the place of a call that would revert with a transfer of nothing to ourselves.
    """
    to, data = call_of(row)
    kind, gas = row.kind, row.gas_limit or 0
    if is_filled:
        kind, to, data, gas = "FILL", desk.minter, "0x", _SELF_TRANSFER_GAS
    new = _signed(desk, row.nonce, row.attempt + 1, kind, to, data, gas, fees, row.tx_id)
    tx_id = await rows.insert_tx(desk.instance.genesis, new)
    await rows.replaced_by(row.tx_id, tx_id)
    return tx_id


def call_of(row: TxRow) -> tuple[str | None, str]:
    """Read receiver and data out of the signed bytes."""
    assert row.raw is not None
    old: dict[str, Any] = TypedTransaction.from_bytes(HexBytes(row.raw)).as_dict()
    to = "0x" + bytes(old["to"]).hex() if old.get("to") else None
    return to, "0x" + bytes(old["data"]).hex()


def halted() -> ChainRefused:
    """The error of a signer that must not sign before a re-synchronisation."""
    return ChainRefused(
        "somebody else used the signer's key, or the database was restored; check who has the key, "
        "then run: cohortlens web3 resync",
        reason="SIGNER_NONCE_CONFLICT",
    )


def _signed(
    desk: EvmDesk,
    nonce: int,
    attempt: int,
    kind: str,
    to: str | None,
    data: str,
    gas: int,
    fees: Fees,
    replaces: UUID | None = None,
) -> NewTx:
    fields: dict[str, Any] = {
        "type": 2,
        "chainId": desk.settings.chain_id,
        "nonce": nonce,
        "to": HexBytes(to) if to else b"",
        "value": 0,
        "data": HexBytes(data),
        "gas": gas,
        "maxFeePerGas": fees.most,
        "maxPriorityFeePerGas": fees.tip,
    }
    signed = Account.sign_transaction(fields, desk.signers.minter.key)
    return NewTx(
        signer=desk.minter,
        nonce=nonce,
        attempt=attempt,
        kind=kind,
        tx_hash="0x" + bytes(signed.hash).hex(),
        raw=bytes(signed.raw_transaction),
        max_fee=fees.most,
        priority_fee=fees.tip,
        gas_limit=gas,
        replaces=replaces,
    )
