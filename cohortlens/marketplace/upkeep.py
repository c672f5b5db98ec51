"""What follows a withdrawal without anybody asking: new data revisions, and offers that became too small."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.core.db import Database, go_on_for
from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.marketplace.agreement_rows import AgreementRows
from cohortlens.marketplace.contributors import Contributors
from cohortlens.marketplace.models import BY_JOBS, LEAST_CONTRIBUTORS
from cohortlens.marketplace.offer_rows import OfferRows
from cohortlens.marketplace.states import ACTIVE

_MOST = 1_000


class MarketUpkeep:
    """Looks at the offers that somebody relies on.

    Args:
        db: PostgreSQL as the role of jobs.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run(self) -> int:
        """Note changes of who contributes; answers how many offers changed. Questions never wait for it."""
        async with self._db.transaction() as tx:
            rows = (await tx.execute(text("SELECT * FROM app.market_watched(:most)"), {"most": _MOST})).all()
        changed = 0
        for row in rows:
            changed += await self._look(TenantId(plain_uuid(row.tenant_id)), plain_uuid(row.offer_id))
        return changed

    async def _look(self, tenant_id: TenantId, offer_id: UUID) -> bool:
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows, standing = OfferRows(tx), await Contributors(tx).standing()
            revision, is_new = await rows.revision(offer_id, standing)
            offer = await rows.own(offer_id)
            too_small = standing.persons < LEAST_CONTRIBUTORS
            if offer is not None and offer.state == "PUBLISHED" and too_small:
                await rows.end(offer_id, "SUSPENDED")
                await AuditTrail(tx).append(
                    BY_JOBS, "marketplace.offer.suspended", resource=f"offers/{offer_id}"
                )
            if is_new and revision > 1:
                await self._tell(tx, tenant_id, offer_id, revision)
            return is_new

    async def _tell(self, tx: AsyncConnection, tenant_id: TenantId, offer_id: UUID, revision: int) -> None:
        agreements = [
            one for one in await AgreementRows(tx).page(offer_id, None, _MOST) if one.state in ACTIVE
        ]
        for one in sorted(agreements, key=lambda one: one.buyer_id):
            await go_on_for(tx, one.buyer_id)
            await AuditTrail(tx).append(
                BY_JOBS,
                "marketplace.data.revised",
                resource=f"agreements/{one.id}",
                details={"revision": revision},
            )
        await go_on_for(tx, tenant_id)
