"""SQL of chains: instances, signers, signed transactions and the states of their rewards.

Everything of a chain hangs on its first block, so that an embedded chain that lost its data begins anew, with
its own nonces and heights, while the old rows stay to be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sidecars.web3.journal.chain_rewards import OPEN_WITH_TX, RewardRow, RewardRows


@dataclass(frozen=True, slots=True)
class Instance:
    """A chain as it was first seen; columns of ``web3.chain_instance``."""

    genesis: str
    chain_id: int
    mode: str
    token: str
    deployed_height: int
    head_height: int
    head_hash: str
    scanned_height: int


@dataclass(frozen=True, slots=True)
class Signer:
    """A signing account: its next nonce, and why it signs no more."""

    next_nonce: int
    halted_reason: str | None


@dataclass(frozen=True, slots=True)
class NewTx:
    """A signed transaction that is to be stored; fees in wei, absent where it was adopted."""

    signer: str
    nonce: int
    attempt: int
    kind: str
    tx_hash: str
    raw: bytes | None
    max_fee: int | None = None
    priority_fee: int | None = None
    gas_limit: int | None = None
    replaces: UUID | None = None


@dataclass(frozen=True, slots=True)
class TxRow:
    """A signed transaction; columns of ``web3.chain_tx``."""

    tx_id: UUID
    signer: str
    nonce: int
    attempt: int
    kind: str
    tx_hash: str
    raw: bytes | None
    max_fee: int | None
    priority_fee: int | None
    gas_limit: int | None
    state: str
    block_height: int | None
    block_hash: str | None
    signed_at: datetime
    sent_at: datetime | None


_INSTANCE = "genesis, chain_id::bigint, mode, token, deployed_height, head_height, head_hash, scanned_height"
_TX = (
    "tx_id, signer, nonce, attempt, kind, tx_hash, raw, max_fee, priority_fee, gas_limit, state, "
    "block_height, block_hash, signed_at, sent_at"
)
# The other attempts with the nonce of one transaction, itself among them.
_SLOT = (
    "(chain, genesis, signer, nonce) = (SELECT m.chain, m.genesis, m.signer, m.nonce "
    "FROM web3.chain_tx m WHERE m.tx_id = $1)"
)
FRUITLESS = (
    "(EXISTS (SELECT 1 FROM web3.chain_tx s WHERE (s.chain, s.genesis, s.signer, s.nonce) "
    "= (o.chain, o.genesis, o.signer, o.nonce) AND s.state IN ('MINED', 'FINAL') "
    "AND (s.kind = 'FILL' OR s.reason = 'REVERTED')) "
    "OR NOT EXISTS (SELECT 1 FROM web3.chain_tx s WHERE (s.chain, s.genesis, s.signer, s.nonce) "
    "= (o.chain, o.genesis, o.signer, o.nonce) AND s.state <> 'EXPIRED'))"
)
"""Whether transaction ``o`` came to nothing: reverted, its nonce filled, or no attempt can be mined."""

_IN_VAIN = (
    "r.state = 'CANCELLED' AND r.delivery <> 'MINT' AND EXISTS (SELECT 1 FROM web3.chain_tx o "  # noqa: S608
    f"WHERE o.tx_id = r.tx_id AND {FRUITLESS})"
)


class ChainRows(RewardRows):
    """Rows of one chain in one transaction, its rewards among them."""

    async def current(self) -> Instance | None:
        """The instance in use, None before the first start."""
        row = await self._tx.fetchrow(
            f"SELECT {_INSTANCE} FROM web3.chain_instance WHERE chain = $1 AND lost_at IS NULL",  # noqa: S608
            self._chain,
        )
        return Instance(**row) if row else None

    async def begin(self, genesis: str, chain_id: int, mode: str) -> Instance:
        """Take a chain as the current one: one never seen, or one that came back."""
        row = await self._tx.fetchrow(
            "INSERT INTO web3.chain_instance (chain, genesis, chain_id, mode) VALUES ($1, $2, $3, $4) "  # noqa: S608
            f"ON CONFLICT (chain, genesis) DO UPDATE SET lost_at = NULL RETURNING {_INSTANCE}",
            self._chain,
            genesis,
            chain_id,
            mode,
        )
        return Instance(**row)

    async def lose(self, genesis: str) -> int:
        """Close the instance of an embedded chain that lost its data; what it had paid is owed again."""
        await self._tx.execute(
            "UPDATE web3.chain_instance SET lost_at = now() WHERE chain = $1 AND genesis = $2",
            self._chain,
            genesis,
        )
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'EXPIRED', reason = 'CHAIN_REBUILT' "
            "WHERE chain = $1 AND genesis = $2 AND state <> 'EXPIRED'",
            self._chain,
            genesis,
        )
        # What its holder had claimed is minted now: nobody pays twice for what is ours to keep.
        return int(
            await self._tx.execute(
                "UPDATE web3.reward_tx SET state = 'OWED', tx_id = NULL, finalized_at = NULL, "
                "reason = 'CHAIN_REBUILT', delivery = 'MINT' "
                "WHERE chain = $1 AND state IN ('SIGNED', 'SENT', 'MINED', 'FINAL', 'CLAIMED')",
                self._chain,
            )
        )

    async def set_token(self, genesis: str, token: str, height: int) -> None:
        """Remember the contract and from which height on its events can be."""
        await self._tx.execute(
            "UPDATE web3.chain_instance SET token = $3, deployed_height = $4, "
            "scanned_height = greatest(scanned_height, $4) WHERE chain = $1 AND genesis = $2",
            self._chain,
            genesis,
            token,
            height,
        )

    async def saw(self, genesis: str, height: int, block_hash: str, scanned: int) -> None:
        """Remember the newest head, and up to where events of claims were read."""
        await self._tx.execute(
            "UPDATE web3.chain_instance SET head_height = $3, head_hash = $4, scanned_height = $5 "
            "WHERE chain = $1 AND genesis = $2",
            self._chain,
            genesis,
            height,
            block_hash,
            scanned,
        )

    async def lock_signer(self, genesis: str, address: str, first_nonce: int) -> Signer:
        """Lock the row under which nonces are given out; make it at the chain's own count."""
        await self._tx.execute(
            "INSERT INTO web3.signer (chain, genesis, address, next_nonce) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT DO NOTHING",
            self._chain,
            genesis,
            address,
            first_nonce,
        )
        row = await self._tx.fetchrow(
            "SELECT next_nonce, halted_reason FROM web3.signer "
            "WHERE chain = $1 AND genesis = $2 AND address = $3 FOR UPDATE",
            self._chain,
            genesis,
            address,
        )
        return Signer(row["next_nonce"], row["halted_reason"])

    async def signer(self, genesis: str, address: str) -> Signer | None:
        """Read the signer without locking it."""
        row = await self._tx.fetchrow(
            "SELECT next_nonce, halted_reason FROM web3.signer "
            "WHERE chain = $1 AND genesis = $2 AND address = $3",
            self._chain,
            genesis,
            address,
        )
        return Signer(row["next_nonce"], row["halted_reason"]) if row else None

    async def set_signer(self, genesis: str, address: str, next_nonce: int, halted: str | None) -> None:
        """Store the next nonce and why the signer is halted."""
        await self._tx.execute(
            "UPDATE web3.signer SET next_nonce = $4, halted_reason = $5 "
            "WHERE chain = $1 AND genesis = $2 AND address = $3",
            self._chain,
            genesis,
            address,
            next_nonce,
            halted,
        )

    async def insert_tx(self, genesis: str, new: NewTx) -> UUID:
        """Store a signed transaction before it is sent; answers its row's id, also when it is there."""
        identity: UUID = await self._tx.fetchval(
            "INSERT INTO web3.chain_tx (tx_id, chain, genesis, signer, nonce, attempt, kind, tx_hash, raw, "
            "max_fee, priority_fee, gas_limit, replaces, state) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'SIGNED') "
            "ON CONFLICT (chain, genesis, tx_hash) DO UPDATE SET state = "
            "CASE chain_tx.state WHEN 'EXPIRED' THEN 'SIGNED' ELSE chain_tx.state END RETURNING tx_id",
            uuid4(),
            self._chain,
            genesis,
            new.signer,
            new.nonce,
            new.attempt,
            new.kind,
            new.tx_hash,
            new.raw,
            new.max_fee,
            new.priority_fee,
            new.gas_limit,
            new.replaces,
        )
        return identity

    async def open_txs(self, genesis: str, signer: str) -> list[TxRow]:
        """Transactions of a signer that are not final, in the order of nonces and attempts."""
        return await self._txs(
            "genesis = $2 AND signer = $3 AND raw IS NOT NULL AND state IN ('SIGNED', 'SENT', 'MINED')",
            genesis,
            signer,
        )

    async def mined_txs(self, genesis: str, from_height: int) -> list[TxRow]:
        """All mined transactions that are not final, and the final ones from a height on."""
        return await self._txs(
            "genesis = $2 AND (state = 'MINED' OR (state = 'FINAL' AND block_height >= $3))",
            genesis,
            from_height,
        )

    async def of_kind(self, genesis: str, kind: str) -> list[TxRow]:
        """Transactions of a kind that can still be mined, or were."""
        return await self._txs("genesis = $2 AND kind = $3 AND state <> 'EXPIRED'", genesis, kind)

    async def by_hash(self, genesis: str, tx_hash: str) -> TxRow | None:
        """A transaction by its hash; None for one that is not ours and was not adopted."""
        found = await self._txs("genesis = $2 AND tx_hash = $3 AND state <> 'EXPIRED'", genesis, tx_hash)
        return found[0] if found else None

    async def mark_sent(self, tx_id: UUID) -> list[RewardRow]:
        """The node has it: transaction and rewards are SENT."""
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'SENT', sent_at = now() "
            "WHERE tx_id = $1 AND state IN ('SIGNED', 'SENT')",
            tx_id,
        )
        return await self._move("tx_id = $2 AND state = 'SIGNED'", "SENT", tx_id)

    async def mark_mined(self, row: TxRow, height: int, block_hash: str, is_reverted: bool) -> None:
        """A block holds it: its other attempts are REPLACED, and their rewards point to it."""
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = CASE WHEN tx_id = $1 THEN 'MINED' ELSE 'REPLACED' END, "  # noqa: S608
            "block_height = CASE WHEN tx_id = $1 THEN $2::bigint END, "
            "block_hash = CASE WHEN tx_id = $1 THEN $3::text END, "
            "mined_at = CASE WHEN tx_id = $1 THEN now() END, "
            "reason = CASE WHEN tx_id = $1 AND $4 THEN 'REVERTED' END "
            f"WHERE {_SLOT} AND state NOT IN ('EXPIRED', 'FINAL')",
            row.tx_id,
            height,
            block_hash,
            is_reverted,
        )
        await self._tx.execute(
            "UPDATE web3.reward_tx SET tx_id = $1 "  # noqa: S608
            f"WHERE tx_id IN (SELECT tx_id FROM web3.chain_tx WHERE {_SLOT})",
            row.tx_id,
        )

    async def mark_unmined(self, row: TxRow) -> list[RewardRow]:
        """Its block is gone: it will be sent again as it is, and its other attempts count again.

        What was adopted cannot be sent again; its rewards are owed once more.
        """
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = CASE WHEN raw IS NULL THEN 'EXPIRED' "  # noqa: S608
            "WHEN tx_id = $1 THEN 'SIGNED' ELSE 'SENT' END, block_height = NULL, block_hash = NULL, "
            "mined_at = NULL, reason = NULL, finalized_at = NULL "
            f"WHERE {_SLOT} AND state IN ('MINED', 'FINAL', 'REPLACED')",
            row.tx_id,
        )
        if row.raw is None:
            return await self._reopen("tx_id = $2", "CHAIN_REORGANISED", row.tx_id)
        return await self._move(f"tx_id = $2 AND state IN {OPEN_WITH_TX}", "SIGNED", row.tx_id)

    async def mark_final(self, tx_ids: Sequence[UUID]) -> list[RewardRow]:
        """Transactions and their rewards can no longer change."""
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'FINAL', finalized_at = now() "
            "WHERE tx_id = ANY($1) AND state = 'MINED'",
            list(tx_ids),
        )
        # Also rewards that were adopted by a transaction which had been final before.
        return await self._move(
            "(tx_id = ANY($2) OR tx_id IN (SELECT t.tx_id FROM web3.chain_tx t WHERE t.state = 'FINAL')) "
            "AND state = 'MINED'",
            "FINAL",
            list(tx_ids),
        )

    async def drop(self, tx_ids: Sequence[UUID]) -> list[RewardRow]:
        """These transactions can never be mined; their rewards are owed again."""
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'EXPIRED', reason = 'SIGNER_NONCE_CONFLICT' "
            "WHERE tx_id = ANY($1)",
            list(tx_ids),
        )
        return await self._reopen("tx_id = ANY($2)", "SIGNER_NONCE_CONFLICT", list(tx_ids))

    async def cancelled_in_vain(self, limit: int) -> list[RewardRow]:
        """Cancelled rewards that holders could have claimed and whose cancellation came to nothing."""
        return await self._rewards(f"{_IN_VAIN} ORDER BY r.created_at, r.reward_id LIMIT $2", limit)

    async def is_cancelled_in_vain(self, reward_id: bytes) -> bool:
        """Whether this reward is one of ``cancelled_in_vain``."""
        return bool(await self._rewards(f"{_IN_VAIN} AND r.reward_id = $2", reward_id))

    async def cancelled_elsewhere(self, reward_id: bytes) -> None:
        """The chain has cancelled a reward, by a transaction that is not ours."""
        await self._tx.execute(
            "UPDATE web3.reward_tx SET tx_id = NULL WHERE reward_id = $1 AND state = 'CANCELLED'", reward_id
        )

    async def _txs(self, where: str, *arguments: Any) -> list[TxRow]:
        rows = await self._tx.fetch(
            f"SELECT {_TX} FROM web3.chain_tx WHERE chain = $1 AND {where} ORDER BY nonce, attempt",  # noqa: S608
            self._chain,
            *arguments,
        )
        return [_tx(row) for row in rows]


def _tx(row: Any) -> TxRow:
    values = dict(row)
    for name in ("max_fee", "priority_fee"):
        values[name] = None if values[name] is None else int(values[name])
    return TxRow(**values)
