"""SQL of rewards as a chain sees them: which are waiting, signed, mined, final, and by which transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sidecars.web3.journal.pool import JournalTransaction


@dataclass(frozen=True, slots=True)
class RewardRow:
    """A reward with the transaction that counts; columns of ``web3.reward_tx``."""

    reward_id: bytes
    recipient: str
    amount_micro: int
    delivery: str
    state: str
    reason: str | None
    tx_id: UUID | None
    tx_hash: str | None
    block_height: int | None
    block_hash: str | None
    finalized_at: datetime | None


_REWARD = (
    "r.reward_id, r.recipient, r.amount_micro, r.delivery, r.state, r.reason, r.tx_id, "
    "t.tx_hash, t.block_height, t.block_hash, r.finalized_at"
)
OPEN_WITH_TX = "('SIGNED', 'SENT', 'MINED', 'FINAL')"


class RewardRows:
    """Rewards of one chain in one transaction.

    Args:
        tx: A transaction of the journal that sees all tenants.
        chain: ``evm`` or ``solana``.
    """

    def __init__(self, tx: JournalTransaction, chain: str) -> None:
        self._tx = tx
        self._chain = chain

    async def rewards_of(self, tx_id: UUID) -> list[RewardRow]:
        """Rewards whose transaction is of the same nonce as this one."""
        return await self._rewards(
            "r.tx_id IN (SELECT o.tx_id FROM web3.chain_tx o JOIN web3.chain_tx m ON m.tx_id = $2 AND "
            "(o.chain, o.genesis, o.signer, o.nonce) = (m.chain, m.genesis, m.signer, m.nonce)) "
            "ORDER BY r.reward_id",
            tx_id,
        )

    async def mined_rewards(self, reward_ids: Sequence[bytes], tx_id: UUID) -> list[RewardRow]:
        """The chain has minted these rewards in this transaction."""
        await self._tx.execute(
            "UPDATE web3.reward_tx SET tx_id = $2 WHERE reward_id = ANY($1)", list(reward_ids), tx_id
        )
        return await self._move(
            "reward_id = ANY($2) AND state IN ('OWED', 'SIGNED', 'SENT')", "MINED", list(reward_ids)
        )

    async def reopen(self, reward_ids: Sequence[bytes], reason: str) -> list[RewardRow]:
        """Nothing was minted: the rewards are OWED again, without a transaction."""
        return await self._reopen("reward_id = ANY($2)", reason, list(reward_ids))

    async def end(
        self, reward_ids: Sequence[bytes], state: str, reason: str | None, tx_id: UUID | None = None
    ) -> list[RewardRow]:
        """Give rewards a state in which nothing more is done: CLAIMED, CANCELLED or FAILED."""
        await self._tx.execute(
            "UPDATE web3.reward_tx SET state = $2, reason = $3, tx_id = coalesce($4, tx_id), "
            "finalized_at = CASE WHEN $2 = 'CLAIMED' THEN now() END WHERE reward_id = ANY($1) AND chain = $5",
            list(reward_ids),
            state,
            reason,
            tx_id,
            self._chain,
        )
        return await self._rewards("r.reward_id = ANY($2)", list(reward_ids))

    async def in_state(self, states: Sequence[str], limit: int) -> list[RewardRow]:
        """Rewards in these states, oldest first."""
        return await self._rewards(
            "r.state = ANY($2) ORDER BY r.created_at, r.reward_id LIMIT $3", list(states), limit
        )

    async def by_id(self, reward_ids: Sequence[bytes]) -> list[RewardRow]:
        """Rewards by their ids; unknown ones are left out."""
        return await self._rewards("r.reward_id = ANY($2)", list(reward_ids))

    async def waiting(
        self, reward_ids: Sequence[bytes] | None, min_age_s: float, limit: int
    ) -> list[RewardRow]:
        """Lock rewards that are OWED by minting; those of other sidecars' transactions are passed over."""
        locked = await self._tx.fetch(
            "SELECT reward_id FROM web3.reward_tx WHERE chain = $1 AND state = 'OWED' AND delivery = 'MINT' "
            "AND ($2::bytea[] IS NULL OR reward_id = ANY($2)) "
            "AND created_at <= now() - make_interval(secs => $3) "
            "ORDER BY created_at, reward_id LIMIT $4 FOR UPDATE SKIP LOCKED",
            self._chain,
            None if reward_ids is None else list(reward_ids),
            min_age_s,
            limit,
        )
        return await self.by_id([row["reward_id"] for row in locked])

    async def signed_rewards(self, reward_ids: Sequence[bytes], tx_id: UUID) -> list[RewardRow]:
        """The rewards' transaction is signed."""
        await self._tx.execute(
            "UPDATE web3.reward_tx SET tx_id = $2, reason = NULL WHERE reward_id = ANY($1)",
            list(reward_ids),
            tx_id,
        )
        return await self._move("tx_id = $2 AND state = 'OWED'", "SIGNED", tx_id)

    async def note(self, reward_ids: Sequence[bytes], reason: str) -> None:
        """Say why rewards that are OWED are not signed."""
        await self._tx.execute(
            "UPDATE web3.reward_tx SET reason = $2 WHERE reward_id = ANY($1) AND state = 'OWED'",
            list(reward_ids),
            reason,
        )

    async def replaced_by(self, old_id: UUID, new_id: UUID) -> None:
        """Let the rewards of an attempt point to the one that takes its place."""
        await self._tx.execute("UPDATE web3.reward_tx SET tx_id = $2 WHERE tx_id = $1", old_id, new_id)

    async def _move(self, where: str, state: str, argument: Any) -> list[RewardRow]:
        ids = await self._tx.fetch(
            "UPDATE web3.reward_tx SET state = $3, "  # noqa: S608
            "finalized_at = CASE WHEN $3 = 'FINAL' THEN now() END, "
            "reason = CASE WHEN $3 IN ('MINED', 'FINAL') THEN NULL ELSE reason END "
            f"WHERE chain = $1 AND {where} RETURNING reward_id",
            self._chain,
            argument,
            state,
        )
        return await self.by_id([row["reward_id"] for row in ids])

    async def _reopen(self, where: str, reason: str, argument: Any) -> list[RewardRow]:
        ids = await self._tx.fetch(
            "UPDATE web3.reward_tx SET state = 'OWED', tx_id = NULL, finalized_at = NULL, reason = $3 "  # noqa: S608
            f"WHERE chain = $1 AND {where} AND state IN {OPEN_WITH_TX} RETURNING reward_id",
            self._chain,
            argument,
            reason,
        )
        return await self.by_id([row["reward_id"] for row in ids])

    async def _rewards(self, where: str, *arguments: Any) -> list[RewardRow]:
        rows = await self._tx.fetch(
            f"SELECT {_REWARD} FROM web3.reward_tx r LEFT JOIN web3.chain_tx t ON t.tx_id = r.tx_id "  # noqa: S608
            f"WHERE r.chain = $1 AND {where}",
            self._chain,
            *arguments,
        )
        return [RewardRow(**row) for row in rows]
