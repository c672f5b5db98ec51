"""SQL of rewards as the ledger sees them: accepted once, read by their tenant, cancelled before signing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sidecars.web3.journal.pool import JournalTransaction

_COLUMNS = (
    "r.reward_id, r.chain, r.recipient, r.amount_micro, r.delivery, r.state, r.reason, r.finalized_at,"
    " t.tx_hash, t.block_height"
)
_FROM = "reward_tx r LEFT JOIN chain_tx t ON t.tx_id = r.tx_id"


@dataclass(frozen=True, slots=True)
class StoredReward:
    """A reward and the transaction that counts; columns of ``web3.reward_tx`` and ``web3.chain_tx``."""

    reward_id: bytes
    chain: str
    recipient: str
    amount_micro: int
    delivery: str
    state: str
    reason: str | None = None
    finalized_at: datetime | None = None
    tx_hash: str | None = None
    block_height: int | None = None

    @property
    def body(self) -> tuple[str, str, int, str]:
        """What a reward id stands for; another body under the same id is a conflict."""
        return self.chain, self.recipient, self.amount_micro, self.delivery


class LedgerRows:
    """Rewards of a tenant.

    Args:
        tx: A transaction of the tenant.
        tenant_id: The tenant.
    """

    def __init__(self, tx: JournalTransaction, tenant_id: UUID) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def add(self, rewards: Sequence[StoredReward]) -> None:
        """Insert rewards, in the order of their ids so that two sidecars do not lock crosswise.

        Known ids are left as they are, another tenant's too.
        """
        rows = sorted(rewards, key=lambda one: one.reward_id)
        await self._tx.execute(
            "INSERT INTO reward_tx (tenant_id, reward_id, chain, recipient, amount_micro, delivery, state)"
            " SELECT $1, * FROM unnest($2::bytea[], $3::text[], $4::text[], $5::bigint[], $6::text[],"
            " $7::text[])"
            " ON CONFLICT DO NOTHING",
            self._tenant_id,
            [row.reward_id for row in rows],
            [row.chain for row in rows],
            [row.recipient for row in rows],
            [row.amount_micro for row in rows],
            [row.delivery for row in rows],
            [row.state for row in rows],
        )

    async def by_id(self, reward_ids: Sequence[bytes]) -> dict[bytes, StoredReward]:
        """The tenant's rewards by id; unknown ones are left out."""
        rows = await self._tx.fetch(
            f"SELECT {_COLUMNS} FROM {_FROM} WHERE r.tenant_id = $1 AND r.reward_id = ANY($2)",  # noqa: S608
            self._tenant_id,
            list(reward_ids),
        )
        return {row["reward_id"]: _stored(row) for row in rows}

    async def accepted_micro(self, hours: int) -> int:
        """Micro-tokens of the tenant's rewards that were accepted in the last hours and not cancelled.

        Holds a lock of the tenant until the end of the transaction: two submissions at once cannot each find
        the same room.
        """
        await self._tx.fetchval(
            "SELECT pg_advisory_xact_lock(hashtextextended('web3.reward_limit' || $1::text, 0))",
            str(self._tenant_id),
        )
        total = await self._tx.fetchval(
            "SELECT coalesce(sum(amount_micro), 0) FROM reward_tx WHERE tenant_id = $1"
            " AND created_at > now() - make_interval(hours => $2) AND state <> 'CANCELLED'",
            self._tenant_id,
            hours,
        )
        return int(total)

    async def cancel_owed(self, reward_id: bytes) -> bool:
        """Cancel a reward that is not signed, unless a signer at work on it is first; was it OWED?"""
        return bool(
            await self._tx.execute(
                "UPDATE reward_tx SET state = 'CANCELLED', reason = NULL"
                " WHERE tenant_id = $1 AND reward_id = $2 AND state = 'OWED' AND tx_id IS NULL",
                self._tenant_id,
                reward_id,
            )
        )


async def owed(tx: JournalTransaction, chain: str, limit: int) -> list[StoredReward]:
    """Rewards of all tenants that wait to be minted, oldest first."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM {_FROM} WHERE r.chain = $1 AND r.state = 'OWED' AND r.delivery = 'MINT'"  # noqa: S608
        " ORDER BY r.created_at, r.reward_id LIMIT $2",
        chain,
        limit,
    )
    return [_stored(row) for row in rows]


async def counts(tx: JournalTransaction, chain: str) -> Mapping[str, int]:
    """How many rewards of a chain, of all tenants, are in each state that is not an end."""
    rows = await tx.fetch(
        "SELECT state, count(*) AS n FROM reward_tx WHERE chain = $1"
        " AND state IN ('OWED', 'SIGNED', 'SENT', 'MINED', 'CLAIMABLE') GROUP BY state",
        chain,
    )
    return {row["state"]: row["n"] for row in rows}


def _stored(row: Any) -> StoredReward:
    return StoredReward(**dict(row))
