"""Step 2: the reward of a consent, handed to the sidecar; and the watch over rewards on their way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.fulfilment.consents import ConsentReading
from cohortlens.consent.fulfilment.following import want
from cohortlens.consent.fulfilment.models import (
    BY_JOBS,
    END_WANTED,
    MOVING,
    REWARD_OF_CONSENT,
    SETTLED,
    Fulfilment,
    Reward,
    operation_id,
    reward_id_of,
)
from cohortlens.consent.fulfilment.owing import owe_for_consent, release
from cohortlens.consent.fulfilment.reward_rows import RewardRows, due
from cohortlens.consent.fulfilment.rows import FulfilmentRows
from cohortlens.consent.fulfilment.steps import Means, is_permanent, renew_pin
from cohortlens.consent.tariffs import TariffRows
from cohortlens.consent.web3_models import Delivery, RewardOrder, RewardStatus
from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import TenantId

BATCH = 200
LEASE_S = 15.0
PENDING_IS_TOLD_AFTER = timedelta(hours=24)


class Rewarding:
    """Pays rewards, each once.

    Args:
        means: What it works with.
    """

    def __init__(self, means: Means) -> None:
        self._means = means

    async def run(self, tenant_id: TenantId, event_id: UUID) -> None:
        """Compute the reward of a consent, record it, hand it over. Safe to repeat at any point.

        Raises:
            CohortLensError: The sidecar does not answer or refuses for now; try again.
        """
        chains = await self._means.ledger.chains()
        reward = await self._owed(tenant_id, event_id, chains.reward_chain)
        if reward is not None:
            await self._hand_over(tenant_id, reward)

    async def release(self, tenant_id: TenantId, identity_id: UUID) -> None:
        """Hand over what a person's wallet or the new month's budget allows now."""
        chains = await self._means.ledger.chains()
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            tariff, freed = await TariffRows(tx).read(), []
            for one in await RewardRows(tx).held_of(identity_id):
                state, reason = await release(tx, one, tariff, chains.reward_chain, self._means.now())
                if state == "OWED":
                    await RewardRows(tx).hand_over(one.reward_id)
                    freed.append(one.reward_id)
                if one.kind == REWARD_OF_CONSENT:
                    change = {"reward_state": state, "last_reason": reason}
                    await FulfilmentRows(tx).change(one.source_id, **change)
            rewards = await RewardRows(tx).many(freed)
        for reward in rewards:
            await self._hand_over(tenant_id, reward)

    async def poll(self) -> int:
        """Ask for the states of rewards that are due; answers how many changed."""
        async with self._means.db.transaction() as tx:
            found = await due(tx, BATCH, LEASE_S)
        by_tenant: dict[TenantId, list[bytes]] = defaultdict(list)
        for tenant_id, reward_id in found:
            by_tenant[tenant_id].append(reward_id)
        changed = 0
        for tenant_id, reward_ids in by_tenant.items():
            states = await self._means.ledger.states(tenant_id, reward_ids)
            changed += await self._noted(tenant_id, states)
            await self._again(tenant_id, [one.reward_id for one in states if not one.state])
        return changed

    async def _owed(self, tenant_id: TenantId, event_id: UUID, reward_chain: str) -> Reward | None:
        """The reward to hand over; None when there is none, or it was handed over and settled before."""
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            rows = FulfilmentRows(tx)
            of = await rows.find(event_id, lock=True)
            if of is None or of.reward_state not in {"PENDING", "DEAD", "OWED"}:
                return None
            if of.reward_id is None:
                of = await self._decided(tx, of, reward_chain)
            if of.reward_id is None or of.reward_state == "HELD":
                return None
            await RewardRows(tx).hand_over(of.reward_id)
            return await RewardRows(tx).find(of.reward_id)

    async def _decided(self, tx: AsyncConnection, of: Fulfilment, reward_chain: str) -> Fulfilment:
        rows = FulfilmentRows(tx)
        standing = await ConsentReading(tx).standing(of.identity_id, of.purpose_key)
        if of.ended_at is not None or not standing.holds(of.event_id):
            state, reason = "SKIPPED", standing.end_reason
        else:
            state, reason = await owe_for_consent(tx, of, reward_chain, self._means.now())
        is_owed = state in {"OWED", "HELD"}
        reward_id = reward_id_of(of.tenant_id, REWARD_OF_CONSENT, of.event_id) if is_owed else None
        await rows.change(
            of.event_id, reward_state=state, reward_id=reward_id, last_reason=reason, attempts=0
        )
        await AuditTrail(tx).append(
            BY_JOBS,
            "consent.reward.decided",
            resource=f"consentEvents/{of.event_id}",
            details={"state": state, "reason": reason},
        )
        if state in SETTLED and of.ended_at is None:
            await renew_pin(tx, of)
        found = await rows.find(of.event_id)
        if found is None:
            raise RuntimeError("a locked fulfilment is not there")
        return found

    async def _hand_over(self, tenant_id: TenantId, reward: Reward) -> None:
        try:
            order = _order(reward)
            operation = operation_id("reward", reward.source_id)
            states = await self._means.ledger.submit(tenant_id, operation, [order])
        except CohortLensError as error:
            if not is_permanent(error):
                raise
            states = [RewardStatus(reward.reward_id, "FAILED", reason=error.reason)]
        await self._noted(tenant_id, states)
        await self._end_if_over(tenant_id, reward)

    async def _end_if_over(self, tenant_id: TenantId, reward: Reward) -> None:
        """Have a reward cancelled whose consent ended while it was handed over."""
        if reward.kind != REWARD_OF_CONSENT:
            return
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            of = await FulfilmentRows(tx).find(reward.source_id, lock=True)
            if of is not None and of.ended_at is not None:
                await want(tx, END_WANTED, of.event_id)

    async def _noted(self, tenant_id: TenantId, states: Sequence[RewardStatus]) -> int:
        """Store what the sidecar says; answers how many changed."""
        by_id = {one.reward_id: one for one in states if one.state}
        changed = 0
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            for reward in await RewardRows(tx).many(list(by_id)):
                changed += await self._note(tx, reward, by_id[reward.reward_id])
        return changed

    async def _note(self, tx: AsyncConnection, reward: Reward, status: RewardStatus) -> bool:
        changed = await RewardRows(tx).note(reward, status)
        of = None
        if reward.kind == REWARD_OF_CONSENT:
            of = await FulfilmentRows(tx).find(reward.source_id, lock=True)
        if changed and status.state in SETTLED:
            await AuditTrail(tx).append(
                BY_JOBS,
                f"consent.reward.{_VERBS[status.state]}",
                resource=f"rewards/{reward.reward_id.hex()}",
                details={"chain": reward.chain or "", "reason": status.reason},
            )
        if of is None:
            return changed
        if changed:
            change = {"reward_state": status.state, "last_reason": status.reason, "attempts": 0}
            await FulfilmentRows(tx).change(of.event_id, **change)
        late = self._means.now() - reward.created_at > PENDING_IS_TOLD_AFTER
        if (changed and status.state in SETTLED) or (late and status.state in MOVING and not of.pin_wanted):
            await renew_pin(tx, of)
        return changed

    async def _again(self, tenant_id: TenantId, unknown: Sequence[bytes]) -> None:
        """Hand over once more what the sidecar does not know, as after a restore of its journal."""
        if not unknown:
            return
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            rewards = await RewardRows(tx).many(unknown)
        for reward in rewards:
            await self._hand_over(tenant_id, reward)


_VERBS = {
    "FINAL": "paid",
    "CLAIMED": "claimed",
    "CLAIMABLE": "offered",
    "CANCELLED": "cancelled",
    "FAILED": "failed",
}


def _order(reward: Reward) -> RewardOrder:
    if reward.chain is None or reward.recipient is None:
        raise RuntimeError("a reward that is owed has no recipient")
    return RewardOrder(
        reward.reward_id, reward.chain, reward.recipient, reward.amount_micro, Delivery(reward.delivery)
    )
