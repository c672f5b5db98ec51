"""Epochs: one root on the chain for the claimable rewards of a tenant, which holders claim with proofs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.fulfilment.models import BY_JOBS
from cohortlens.consent.fulfilment.steps import Means
from cohortlens.core.db import locked_in_tenant
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.failpoints import failpoint
from cohortlens.core.ids import TenantId, plain_uuid, uuid7

MOST_REWARDS: Final = 10_000
"""Rewards in one epoch; the contract takes any number, a holder's proof grows with its logarithm."""
_MOST_SETS = 100

_OPEN = text(
    "SELECT epoch_set FROM rewards WHERE chain = :chain AND epoch_set IS NOT NULL AND epoch IS NULL LIMIT 1"
)
_GATHER = text(
    "UPDATE rewards SET epoch_set = :set WHERE reward_id IN (SELECT reward_id FROM rewards "
    "WHERE chain = :chain AND state = 'CLAIMABLE' AND delivery = 'EPOCH' AND epoch_set IS NULL "
    "ORDER BY created_at, reward_id LIMIT :most)"
)
_MEMBERS = text("SELECT reward_id FROM rewards WHERE epoch_set = :set ORDER BY reward_id")
_PUBLISHED = text("UPDATE rewards SET epoch = :epoch WHERE epoch_set = :set AND reward_id = ANY (:ids)")
_DISSOLVE = text("UPDATE rewards SET epoch_set = NULL WHERE epoch_set = :set AND epoch IS NULL")


class Epochs:
    """Publishes the epochs of tenants whose tariff delivers by them.

    Args:
        means: What it works with.
    """

    def __init__(self, means: Means) -> None:
        self._means = means

    async def publish(self) -> int:
        """Publish what is claimable by an epoch and stands in none; answers how many rewards that were.

        Raises:
            CohortLensError: The sidecar or a chain does not answer; try again.
        """
        async with self._means.db.transaction() as tx:
            found = (
                await tx.execute(text("SELECT * FROM app.epochs_due(:most)"), {"most": _MOST_SETS})
            ).all()
        published = 0
        for row in found:
            published += await self._publish(TenantId(plain_uuid(row.tenant_id)), row.chain)
        return published

    async def _publish(self, tenant_id: TenantId, chain: str) -> int:
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            # The set is stored before it is published: the same set again is the same epoch, another is not.
            epoch_set, reward_ids = await _gathered(tx, chain)
        if not reward_ids:
            return 0
        try:
            made = await self._means.ledger.publish_epoch(tenant_id, epoch_set, reward_ids)
        except FailedPrecondition as error:
            if error.reason != "REWARD_NOT_CLAIMABLE":
                raise
            return await self._mended(tenant_id, epoch_set, reward_ids)
        failpoint("fulfilment.epoch")
        await self._store(tenant_id, epoch_set, {made.epoch: reward_ids})
        return len(reward_ids)

    async def _mended(self, tenant_id: TenantId, epoch_set: UUID, reward_ids: Sequence[bytes]) -> int:
        """A reward of the set was cancelled: keep what was published all the same, gather the others anew."""
        found: dict[int, list[bytes]] = {}
        for reward_id in reward_ids:
            try:
                proof = await self._means.ledger.epoch_proof(tenant_id, reward_id)
            except FailedPrecondition:
                continue
            found.setdefault(proof.epoch, []).append(reward_id)
        await self._store(tenant_id, epoch_set, found)
        return sum(map(len, found.values()))

    async def _store(
        self, tenant_id: TenantId, epoch_set: UUID, published: Mapping[int, Sequence[bytes]]
    ) -> None:
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            for epoch, reward_ids in published.items():
                await tx.execute(_PUBLISHED, {"epoch": epoch, "set": epoch_set, "ids": list(reward_ids)})
                await AuditTrail(tx).append(
                    BY_JOBS,
                    "consent.rewards.epoch_published",
                    resource=f"epochs/{epoch}",
                    details={"rewards": str(len(reward_ids))},
                )
            await tx.execute(_DISSOLVE, {"set": epoch_set})


async def _gathered(tx: AsyncConnection, chain: str) -> tuple[UUID, list[bytes]]:
    """The set that is to be published on a chain: the one that was begun, else a new one."""
    await locked_in_tenant(tx, f"epochs/{chain}")
    begun = await tx.scalar(_OPEN, {"chain": chain})
    epoch_set = uuid7() if begun is None else plain_uuid(begun)
    if begun is None:
        await tx.execute(_GATHER, {"set": epoch_set, "chain": chain, "most": MOST_REWARDS})
    rows = await tx.execute(_MEMBERS, {"set": epoch_set})
    return epoch_set, [bytes(row.reward_id) for row in rows]
