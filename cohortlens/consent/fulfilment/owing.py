"""Who is owed what: turns a consent into a reward, and a reward that is held into one that is owed."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.fulfilment.consents import ConsentReading
from cohortlens.consent.fulfilment.models import (
    REWARD_OF_CONSENT,
    Fulfilment,
    Reward,
    reward_id_of,
)
from cohortlens.consent.fulfilment.reward_rows import RewardRows
from cohortlens.consent.tariffs import Tariff, TariffRows, compute_reward_tokens
from cohortlens.core.db import locked_in_tenant
from cohortlens.core.ids import plain_uuid
from cohortlens.core.outbox import Outbox

REWARD_RELEASED = "fulfilment.release"
"""Topic: something a person's held rewards waited for is there. Key: the identity, and ``release``."""


async def want_release(tx: AsyncConnection, identity_id: UUID) -> None:
    """Have the held rewards of a person looked at again."""
    payload = {"identity_id": str(identity_id)}
    await Outbox(tx).record(REWARD_RELEASED, f"{REWARD_RELEASED}:{identity_id}", payload)


async def owe_for_consent(
    tx: AsyncConnection, of: Fulfilment, reward_chain: str, now: datetime
) -> tuple[str, str]:
    """Record what a consent earns.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        of: The fulfilment, locked.
        reward_chain: The deployment's reward chain.
        now: The time.

    Returns:
        State of the reward (SKIPPED, HELD or OWED), and why where it is not OWED.
    """
    # Two consents of one person could else both be the first within the year.
    await locked_in_tenant(tx, f"rewards/{of.identity_id}")
    tariff, rows = await TariffRows(tx).read(), RewardRows(tx)
    reward_id = reward_id_of(of.tenant_id, REWARD_OF_CONSENT, of.event_id)
    known = await rows.find(reward_id, lock=True)
    if known is not None:
        return known.state, known.reason
    earning = compute_reward_tokens(
        of.purpose_key,
        tariff,
        may_reward=await ConsentReading(tx).may_reward(of.identity_id),
        was_earned=await rows.was_earned(of.identity_id, of.purpose_key, now),
    )
    if earning.amount_micro == 0:
        return "SKIPPED", earning.reason
    await rows.record_held(
        reward_id,
        REWARD_OF_CONSENT,
        of.event_id,
        of.identity_id,
        of.purpose_key,
        tariff.rate(of.purpose_key).chain,
        earning.amount_micro,
        tariff.delivery,
    )
    held = await rows.find(reward_id, lock=True)
    if held is None:
        raise RuntimeError("a reward that was recorded is not there")
    return await release(tx, held, tariff, reward_chain, now)


async def release(
    tx: AsyncConnection, reward: Reward, tariff: Tariff, reward_chain: str, now: datetime
) -> tuple[str, str]:
    """Turn a held reward into one that is owed, if a wallet is bound and the budget of the month allows it.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        reward: The reward, locked.
        tariff: The tenant's tariff.
        reward_chain: The deployment's reward chain.
        now: The time; its month (UTC) pays.

    Returns:
        State and reason.
    """
    rows, month = RewardRows(tx), date(now.year, now.month, 1)
    if reward.state != "HELD" or reward.identity_id is None:
        return reward.state, reward.reason
    # Tokens on a chain are never taken back: both are asked when they leave, not only when they were earned.
    if reward.kind == REWARD_OF_CONSENT and not tariff.is_enabled:
        await rows.hold(reward.reward_id, "REWARDS_OFF")
        return "HELD", "REWARDS_OFF"
    if not await ConsentReading(tx).may_reward(reward.identity_id):
        await rows.hold(reward.reward_id, "REWARD_NOT_CONSENTED")
        return "HELD", "REWARD_NOT_CONSENTED"
    wallet = await _wallet(tx, reward.identity_id, reward.preferred_chain or reward_chain)
    if wallet is None:
        await rows.hold(reward.reward_id, "WALLET_MISSING")
        return "HELD", "WALLET_MISSING"
    if not await rows.reserve(month, reward.amount_micro, tariff.monthly_budget_micro):
        await rows.hold(reward.reward_id, "REWARD_BUDGET_EXCEEDED")
        return "HELD", "REWARD_BUDGET_EXCEEDED"
    wallet_id, chain, address = wallet
    delivery = "MINT" if chain == "solana" else reward.delivery
    await rows.owe(reward.reward_id, wallet_id, chain, address, delivery, month)
    return "OWED", ""


async def _wallet(tx: AsyncConnection, identity_id: UUID, chain: str) -> tuple[UUID, str, str] | None:
    """The wallet that a reward goes to: the one on the chain that is preferred, else the other one."""
    rows = await tx.execute(
        text(
            "SELECT id, chain, address FROM wallets WHERE identity_id = :identity AND released_at IS NULL "
            "ORDER BY chain <> :chain LIMIT 1"
        ),
        {"identity": identity_id, "chain": chain},
    )
    row = rows.one_or_none()
    return None if row is None else (plain_uuid(row.id), row.chain, row.address)
