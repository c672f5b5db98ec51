"""SQL of chains: instances, signers, signed transactions and the states of their rewards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sidecars.web3.journal.chain_rewards import OPEN_WITH_TX, RewardRow, RewardRows


@dataclass(frozen=True, slots=True)
class Instance:
    """A chain as it was first seen; columns of ``web3.chain_instance``."""

    id: int
    genesis: str
    chain_id: int
    mode: str
    token: str | None
    deployed_height: int | None
    head_height: int
    head_hash: str
    scanned_height: int


@dataclass(frozen=True, slots=True)
class Signer:
    """A signing account: its next nonce, and why it signs no more."""

    next_nonce: int
    halted_reason: str | None


@dataclass(frozen=True, slots=True)
class TxRow:
    """A signed transaction; columns of ``web3.chain_tx``."""

    id: int
    nonce: int
    attempt: int
    kind: str
    tx_hash: str
    raw: bytes | None
    fee: Mapping[str, Any]
    state: str
    block_height: int | None
    block_hash: str | None
    signed_at: datetime
    sent_at: datetime | None


_INSTANCE = "id, genesis, chain_id, mode, token, deployed_height, head_height, head_hash, scanned_height"
_TX = "id, nonce, attempt, kind, tx_hash, raw, fee, state, block_height, block_hash, signed_at, sent_at"


class ChainRows(RewardRows):
    """Rows of one chain in one transaction, its rewards among them.

    Args:
        tx: A transaction of the journal that sees all tenants.
        chain: ``evm`` or ``solana``.
    """

    async def current(self) -> Instance | None:
        """The instance in use, None before the first start."""
        row = await self._tx.fetchrow(
            f"SELECT {_INSTANCE} FROM web3.chain_instance WHERE chain = $1 AND lost_at IS NULL",  # noqa: S608
            self._chain,
        )
        return Instance(**row) if row else None

    async def begin(self, genesis: str, chain_id: int, mode: str) -> Instance:
        """Take a chain that was never seen as the current one."""
        row = await self._tx.fetchrow(
            "INSERT INTO web3.chain_instance (chain, genesis, chain_id, mode) VALUES ($1, $2, $3, $4) "  # noqa: S608
            f"RETURNING {_INSTANCE}",
            self._chain,
            genesis,
            chain_id,
            mode,
        )
        return Instance(**row)

    async def lose(self, instance_id: int) -> int:
        """Close the instance of an embedded chain that lost its data; what it had paid is owed again."""
        await self._tx.execute("UPDATE web3.chain_instance SET lost_at = now() WHERE id = $1", instance_id)
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'DROPPED' WHERE instance_id = $1 AND state <> 'DROPPED'",
            instance_id,
        )
        # A claimed voucher cannot be claimed again on the new chain at the holder's cost: it is minted.
        rows = await self._tx.fetch(
            "UPDATE web3.reward_tx SET state = 'OWED', tx_id = NULL, finalized_at = NULL, "
            "reason = 'CHAIN_REBUILT', delivery = 'MINT' "
            "WHERE chain = $1 AND state IN ('SIGNED', 'SENT', 'MINED', 'FINAL', 'CLAIMED') RETURNING 1",
            self._chain,
        )
        return len(rows)

    async def set_token(self, instance_id: int, token: str, height: int) -> None:
        """Remember the contract and from which height on its events can be."""
        await self._tx.execute(
            "UPDATE web3.chain_instance SET token = $2, deployed_height = $3, "
            "scanned_height = greatest(scanned_height, $3) WHERE id = $1",
            instance_id,
            token,
            height,
        )

    async def saw(self, instance_id: int, height: int, block_hash: str, scanned: int) -> None:
        """Remember the newest head, and up to where events of claims were read."""
        await self._tx.execute(
            "UPDATE web3.chain_instance SET head_height = $2, head_hash = $3, scanned_height = $4 "
            "WHERE id = $1",
            instance_id,
            height,
            block_hash,
            scanned,
        )

    async def lock_signer(self, instance_id: int, address: str, first_nonce: int) -> Signer:
        """Lock the row under which nonces are given out; make it at the chain's own count."""
        await self._tx.execute(
            "INSERT INTO web3.signer (instance_id, address, next_nonce) VALUES ($1, $2, $3) "
            "ON CONFLICT DO NOTHING",
            instance_id,
            address,
            first_nonce,
        )
        row = await self._tx.fetchrow(
            "SELECT next_nonce, halted_reason FROM web3.signer "
            "WHERE instance_id = $1 AND address = $2 FOR UPDATE",
            instance_id,
            address,
        )
        return Signer(row["next_nonce"], row["halted_reason"])

    async def signer(self, instance_id: int, address: str) -> Signer | None:
        """Read the signer without locking it."""
        row = await self._tx.fetchrow(
            "SELECT next_nonce, halted_reason FROM web3.signer WHERE instance_id = $1 AND address = $2",
            instance_id,
            address,
        )
        return Signer(row["next_nonce"], row["halted_reason"]) if row else None

    async def set_signer(
        self, instance_id: int, address: str, next_nonce: int, halted_reason: str | None
    ) -> None:
        """Store the next nonce and whether the signer is halted."""
        await self._tx.execute(
            "UPDATE web3.signer SET next_nonce = $3, halted_reason = $4 "
            "WHERE instance_id = $1 AND address = $2",
            instance_id,
            address,
            next_nonce,
            halted_reason,
        )

    async def insert_tx(
        self,
        instance_id: int,
        signer: str,
        nonce: int,
        attempt: int,
        kind: str,
        tx_hash: str,
        raw: bytes | None,
        fee: Mapping[str, Any],
        replaces: int | None = None,
    ) -> int:
        """Store a signed transaction before it is sent; return its row's id."""
        identity = await self._tx.fetchval(
            "INSERT INTO web3.chain_tx (instance_id, signer, nonce, attempt, kind, tx_hash, raw, fee, "
            "replaces, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, 'SIGNED') RETURNING id",
            instance_id,
            signer,
            nonce,
            attempt,
            kind,
            tx_hash,
            raw,
            json.dumps(dict(fee)),
            replaces,
        )
        return int(identity)

    async def open_txs(self, instance_id: int, signer: str) -> list[TxRow]:
        """Transactions that are not final, in the order of nonces and attempts."""
        rows = await self._tx.fetch(
            f"SELECT {_TX} FROM web3.chain_tx WHERE instance_id = $1 AND signer = $2 "  # noqa: S608
            "AND state IN ('SIGNED', 'SENT', 'MINED') ORDER BY nonce, attempt",
            instance_id,
            signer,
        )
        return [_tx(row) for row in rows]

    async def mined_txs(self, instance_id: int, from_height: int) -> list[TxRow]:
        """All mined transactions that are not final, and the final ones from a height on."""
        rows = await self._tx.fetch(
            f"SELECT {_TX} FROM web3.chain_tx WHERE instance_id = $1 "  # noqa: S608
            "AND (state = 'MINED' OR (state = 'FINAL' AND block_height >= $2)) ORDER BY nonce, attempt",
            instance_id,
            from_height,
        )
        return [_tx(row) for row in rows]

    async def mark_sent(self, tx_id: int) -> list[RewardRow]:
        """The node has it: transaction and rewards are SENT."""
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'SENT', sent_at = now() "
            "WHERE id = $1 AND state IN ('SIGNED', 'SENT')",
            tx_id,
        )
        return await self._move("tx_id = $2 AND state = 'SIGNED'", "SENT", tx_id)

    async def mark_mined(self, row: TxRow, height: int, block_hash: str, reverted: bool) -> None:
        """A block holds it: its other attempts are REPLACED, and the slot's rewards point to it."""
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = CASE WHEN id = $1 THEN 'MINED' ELSE 'REPLACED' END, "
            "block_height = CASE WHEN id = $1 THEN $2::bigint END, "
            "block_hash = CASE WHEN id = $1 THEN $3 END, "
            "reverted = (id = $1 AND $4) "
            "WHERE (instance_id, signer, nonce) = (SELECT instance_id, signer, nonce FROM web3.chain_tx "
            "WHERE id = $1) AND state NOT IN ('DROPPED', 'FINAL')",
            row.id,
            height,
            block_hash,
            reverted,
        )
        await self._tx.execute(
            "UPDATE web3.reward_tx SET tx_id = $1 WHERE tx_id IN (SELECT o.id FROM web3.chain_tx o "
            "JOIN web3.chain_tx m ON m.id = $1 AND (o.instance_id, o.signer, o.nonce) = "
            "(m.instance_id, m.signer, m.nonce))",
            row.id,
        )

    async def mark_unmined(self, row: TxRow) -> list[RewardRow]:
        """Its block is gone: it will be sent again as it is, and its other attempts count again.

        A transaction that was adopted cannot be sent again; its rewards are owed once more.
        """
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = CASE WHEN raw IS NULL THEN 'DROPPED' "
            "WHEN id = $1 THEN 'SIGNED' ELSE 'SENT' END, block_height = NULL, block_hash = NULL, "
            "reverted = false, finalized_at = NULL "
            "WHERE (instance_id, signer, nonce) = (SELECT instance_id, signer, nonce FROM web3.chain_tx "
            "WHERE id = $1) AND state IN ('MINED', 'FINAL', 'REPLACED')",
            row.id,
        )
        if row.raw is None:
            return await self._reopen("tx_id = $2", "CHAIN_REORGANISED", row.id)
        return await self._move(f"tx_id = $2 AND state IN {OPEN_WITH_TX}", "SIGNED", row.id)

    async def mark_final(self, tx_ids: Sequence[int]) -> list[RewardRow]:
        """Transactions and their rewards can no longer change."""
        await self._tx.execute(
            "UPDATE web3.chain_tx SET state = 'FINAL', finalized_at = now() "
            "WHERE id = ANY($1) AND state = 'MINED'",
            list(tx_ids),
        )
        return await self._move("tx_id = ANY($2) AND state = 'MINED'", "FINAL", list(tx_ids))

    async def drop(self, tx_ids: Sequence[int]) -> list[RewardRow]:
        """These transactions can never be mined; their rewards are owed again."""
        await self._tx.execute("UPDATE web3.chain_tx SET state = 'DROPPED' WHERE id = ANY($1)", list(tx_ids))
        return await self._reopen("tx_id = ANY($2)", "SIGNER_NONCE_CONFLICT", list(tx_ids))


def _tx(row: Mapping[str, Any]) -> TxRow:
    values = dict(row)
    values["fee"] = json.loads(values["fee"])
    return TxRow(**values)
