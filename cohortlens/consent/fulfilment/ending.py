"""Step W: what follows the end of a consent: the credential revoked, the reward cancelled, the pin renewed.

It waits for no chain: a reward that is under way completes, since minted tokens are never taken back.
"""

from __future__ import annotations

from uuid import UUID

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.fulfilment.models import (
    BY_JOBS,
    REWARD_OF_CONSENT,
    Fulfilment,
    Reward,
    operation_id,
    reward_id_of,
)
from cohortlens.consent.fulfilment.reward_rows import RewardRows
from cohortlens.consent.fulfilment.rows import FulfilmentRows
from cohortlens.consent.fulfilment.steps import Means, renew_pin
from cohortlens.core.errors import FailedPrecondition, NotFound
from cohortlens.core.failpoints import failpoint
from cohortlens.core.ids import TenantId

_CANCELLABLE = frozenset({"HELD", "OWED", "CLAIMABLE"})


class Ending:
    """Undoes what can be undone when a consent ends.

    Args:
        means: What it works with.
    """

    def __init__(self, means: Means) -> None:
        self._means = means

    async def run(self, tenant_id: TenantId, event_id: UUID) -> None:
        """Revoke, then cancel. Safe to repeat at any point, and beside a step that is under way.

        Raises:
            CohortLensError: The sidecar does not answer or refuses for now; try again.
        """
        of, reward = await self._found(tenant_id, event_id)
        if of is None or of.ended_at is None:
            return
        failpoint("fulfilment.F10")
        if of.credential_state == "ISSUED" and of.credential_id is not None:
            await self._revoke(tenant_id, of, of.credential_id)
        if reward is not None and reward.state in _CANCELLABLE:
            await self._cancel(tenant_id, of, reward)

    async def _found(self, tenant_id: TenantId, event_id: UUID) -> tuple[Fulfilment | None, Reward | None]:
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            of = await FulfilmentRows(tx).find(event_id)
            reward_id = reward_id_of(tenant_id, REWARD_OF_CONSENT, event_id)
            return of, await RewardRows(tx).find(reward_id)

    async def _revoke(self, tenant_id: TenantId, of: Fulfilment, credential_id: UUID) -> None:
        reason = of.end_reason or "CONSENT_WITHDRAWN"
        operation = operation_id("revoke", credential_id)
        await self._means.issuer.revoke(tenant_id, operation, credential_id, reason)
        failpoint("fulfilment.F10.revoked")
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            rows = FulfilmentRows(tx)
            current = await rows.find(of.event_id, lock=True)
            if current is None or not await rows.store_revocation(credential_id, reason):
                return
            await rows.change(of.event_id, credential_state="REVOKED")
            await renew_pin(tx, current)
            await AuditTrail(tx).append(
                BY_JOBS,
                "consent.credential.revoked",
                resource=f"credentials/{credential_id}",
                details={"reason": reason},
            )

    async def _cancel(self, tenant_id: TenantId, of: Fulfilment, reward: Reward) -> None:
        if reward.handed_at is not None and not await self._cancelled_there(tenant_id, reward):
            return
        failpoint("fulfilment.F10.cancelled")
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            current = await FulfilmentRows(tx).find(of.event_id, lock=True)
            stored = await RewardRows(tx).find(reward.reward_id, lock=True)
            if current is None or stored is None or stored.state not in _CANCELLABLE:
                return
            if (stored.handed_at is None) != (reward.handed_at is None):
                # It was handed over meanwhile; whoever did that asks for the end again.
                return
            await RewardRows(tx).cancel(stored)
            change = {"reward_state": "CANCELLED", "last_reason": of.end_reason or ""}
            await FulfilmentRows(tx).change(of.event_id, **change)
            if current.credential_id is not None:
                await renew_pin(tx, current)
            await AuditTrail(tx).append(
                BY_JOBS,
                "consent.reward.cancelled",
                resource=f"rewards/{reward.reward_id.hex()}",
                details={"reason": of.end_reason or ""},
            )

    async def _cancelled_there(self, tenant_id: TenantId, reward: Reward) -> bool:
        """Whether the sidecar lets go of it; not when it is under way, or was not handed over yet."""
        try:
            operation = operation_id("cancel", reward.source_id)
            status = await self._means.ledger.cancel(tenant_id, operation, reward.reward_id)
        except (NotFound, FailedPrecondition) as error:
            if error.reason not in {"RESOURCE_NOT_FOUND", "REWARD_ALREADY_SENT"}:
                raise
            return False
        return status.state == "CANCELLED"
