"""The rows of rewards and of the months' budgets; the only SQL that changes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.fulfilment.models import REWARD_CHANGES, Reward, reward_of
from cohortlens.consent.web3_models import RewardStatus
from cohortlens.core.ids import TenantId, plain_uuid

COLUMNS = ", ".join(Reward.__dataclass_fields__)
EARNED_AGAIN_AFTER = timedelta(days=365)
MOST_POLL_S = 30.0


class RewardRows:
    """Rewards of the transaction's tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def find(self, reward_id: bytes, *, lock: bool = False) -> Reward | None:
        """A reward; with ``lock`` nobody else changes it until the end of the transaction."""
        end = " FOR UPDATE" if lock else ""
        query = f"SELECT {COLUMNS} FROM rewards WHERE reward_id = :id{end}"  # noqa: S608 - columns of ours
        row = (await self._tx.execute(text(query), {"id": reward_id})).one_or_none()
        return None if row is None else reward_of(row)

    async def was_earned(self, identity_id: UUID, purpose_key: str, now: datetime) -> bool:
        """Whether the purpose was rewarded to this person within the last 365 days."""
        return bool(
            await self._tx.scalar(
                text(
                    "SELECT EXISTS (SELECT 1 FROM rewards WHERE identity_id = :identity "
                    "AND purpose_key = :purpose AND state <> 'CANCELLED' AND created_at > :since)"
                ),
                {"identity": identity_id, "purpose": purpose_key, "since": now - EARNED_AGAIN_AFTER},
            )
        )

    async def record_held(
        self,
        reward_id: bytes,
        kind: int,
        source_id: UUID,
        identity_id: UUID,
        purpose_key: str,
        preferred_chain: str,
        amount_micro: int,
        delivery: str,
    ) -> None:
        """Store a reward that nobody can be paid yet; one that is there stays as it is."""
        await self._tx.execute(
            text(
                "INSERT INTO rewards (reward_id, kind, source_id, identity_id, purpose_key, preferred_chain,"
                " amount_micro, delivery, state, reason) VALUES (:id, :kind, :source, :identity, :purpose, "
                ":chain, :amount, :delivery, 'HELD', 'WALLET_MISSING') ON CONFLICT DO NOTHING"
            ),
            {
                "id": reward_id,
                "kind": kind,
                "source": source_id,
                "identity": identity_id,
                "purpose": purpose_key,
                "chain": preferred_chain,
                "amount": amount_micro,
                "delivery": delivery,
            },
        )

    async def hold(self, reward_id: bytes, reason: str) -> None:
        """Say why a reward is held."""
        await self._tx.execute(
            text(
                "UPDATE rewards SET reason = :reason, updated_at = clock_timestamp() "
                "WHERE reward_id = :id AND state = 'HELD'"
            ),
            {"id": reward_id, "reason": reason},
        )

    async def look_again(self) -> None:
        """Have the next sweep look at what waits for a budget, as after a change of the budget."""
        await self._tx.execute(
            text(
                "UPDATE rewards SET updated_at = updated_at - interval '1 hour' "
                "WHERE state = 'HELD' AND reason = 'REWARD_BUDGET_EXCEEDED'"
            )
        )

    async def owe(
        self, reward_id: bytes, wallet_id: UUID, chain: str, recipient: str, delivery: str, month: date
    ) -> None:
        """Turn a reward that is held into one that is owed: from here on nothing of it changes."""
        await self._tx.execute(
            text(
                "UPDATE rewards SET state = 'OWED', reason = '', wallet_id = :wallet, chain = :chain, "
                "recipient = :recipient, delivery = :delivery, budget_month = :month, "
                "updated_at = clock_timestamp() WHERE reward_id = :id AND state = 'HELD'"
            ),
            {
                "id": reward_id,
                "wallet": wallet_id,
                "chain": chain,
                "recipient": recipient,
                "delivery": delivery,
                "month": month,
            },
        )

    async def reserve(self, month: date, amount_micro: int, budget_micro: int) -> bool:
        """Take an amount out of a month's budget; False when there is not enough left."""
        row = await self._tx.scalar(
            text(
                "INSERT INTO reward_budgets AS b (month, reserved_micro) "
                "SELECT CAST(:month AS date), CAST(:amount AS bigint) "
                "WHERE CAST(:amount AS bigint) <= CAST(:budget AS bigint) "
                "ON CONFLICT (tenant_id, month) DO UPDATE SET "
                "reserved_micro = b.reserved_micro + excluded.reserved_micro "
                "WHERE b.reserved_micro + excluded.reserved_micro <= CAST(:budget AS bigint) RETURNING 1"
            ),
            {"month": month, "amount": amount_micro, "budget": budget_micro},
        )
        return row is not None

    async def hand_over(self, reward_id: bytes) -> None:
        """Note that the sidecar may know the reward from now on."""
        await self._tx.execute(
            text(
                "UPDATE rewards SET handed_at = coalesce(handed_at, clock_timestamp()), "
                "next_at = clock_timestamp() + interval '1 second' WHERE reward_id = :id"
            ),
            {"id": reward_id},
        )

    async def cancel(self, reward: Reward) -> None:
        """End a reward that will not be paid; its part of the budget is free again."""
        ended = await self._tx.scalar(
            text(
                "UPDATE rewards SET state = 'CANCELLED', reason = 'CONSENT_WITHDRAWN', "
                "updated_at = clock_timestamp() WHERE reward_id = :id AND state <> 'CANCELLED' RETURNING 1"
            ),
            {"id": reward.reward_id},
        )
        if ended:
            await self._book(reward, -1)

    async def _book(self, reward: Reward, sign: int) -> None:
        """Give the amount back to the month's budget (-1), or take it again (1)."""
        await self._tx.execute(
            text(
                "UPDATE reward_budgets b SET reserved_micro = b.reserved_micro "
                "+ CAST(:sign AS integer) * r.amount_micro FROM rewards r WHERE r.reward_id = :id "
                "AND r.tenant_id = app.tid() AND b.tenant_id = app.tid() AND b.month = r.budget_month"
            ),
            {"id": reward.reward_id, "sign": sign},
        )

    async def note(self, reward: Reward, status: RewardStatus) -> bool:
        """Store what the sidecar says of a reward; answers whether its state changed.

        An unlawful change is not stored: it would say that a payment was undone.
        """
        state = status.state
        changed = state != reward.state
        if changed and state not in REWARD_CHANGES[reward.state]:
            return False
        await self._tx.execute(
            text(
                "UPDATE rewards SET state = :state, reason = :reason, tx_ref = :tx, block_height = :height, "
                "finalized_at = :final, "
                "polls = CASE WHEN CAST(:changed AS boolean) THEN 0 ELSE polls + 1 END, "
                "next_at = clock_timestamp() + make_interval(secs => "
                "CASE WHEN CAST(:changed AS boolean) THEN 1.0 "
                "ELSE least(CAST(:most AS double precision), 1.0 * power(1.5, least(polls, 20))) END), "
                "updated_at = clock_timestamp() WHERE reward_id = :id"
            ),
            {
                "id": reward.reward_id,
                "state": state,
                "reason": status.reason,
                "tx": status.tx_ref,
                "height": status.block_height,
                "final": status.finalized_at,
                "changed": changed,
                "most": MOST_POLL_S,
            },
        )
        if changed and "CANCELLED" in {state, reward.state}:
            # A voucher that was claimed before its end reached the chain is paid after all.
            await self._book(reward, -1 if state == "CANCELLED" else 1)
        return changed

    async def held_of(self, identity_id: UUID) -> list[Reward]:
        """Rewards of a person that wait for a wallet or for a new month, oldest first, locked."""
        rows = await self._tx.execute(
            text(
                f"SELECT {COLUMNS} FROM rewards WHERE identity_id = :identity AND state = 'HELD' "  # noqa: S608 - columns of ours
                "ORDER BY created_at, reward_id FOR UPDATE"
            ),
            {"identity": identity_id},
        )
        return [reward_of(row) for row in rows]

    async def many(self, reward_ids: Sequence[bytes]) -> list[Reward]:
        """Rewards by identifier, locked, in a fixed order."""
        rows = await self._tx.execute(
            text(f"SELECT {COLUMNS} FROM rewards WHERE reward_id = ANY (:ids) ORDER BY reward_id FOR UPDATE"),  # noqa: S608
            {"ids": list(reward_ids)},
        )
        return [reward_of(row) for row in rows]


async def due(tx: AsyncConnection, limit: int, lease_s: float) -> list[tuple[TenantId, bytes]]:
    """Rewards of all tenants whose state is to be asked for, kept from others for ``lease_s`` seconds.

    Args:
        tx: A connection inside ``Database.transaction``, as the role of jobs.
        limit: Most of them.
        lease_s: Seconds.
    """
    rows = await tx.execute(
        text("SELECT * FROM app.rewards_due(:limit, CAST(:lease AS double precision))"),
        {"limit": limit, "lease": lease_s},
    )
    return [(TenantId(plain_uuid(row.tenant_id)), bytes(row.reward_id)) for row in rows]
