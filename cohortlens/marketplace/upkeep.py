"""What follows a withdrawal without anybody asking: new data revisions, and offers that became too small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.core.db import Database, go_on_for
from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.core.telemetry import get_logger
from cohortlens.marketplace.agreement_rows import AgreementRows
from cohortlens.marketplace.contributors import Contributors
from cohortlens.marketplace.models import BY_JOBS, LEAST_CONTRIBUTORS, Agreement
from cohortlens.marketplace.offer_rows import OfferRows

_MOST = 1_000
_LOG = get_logger(__name__)
_WATCHED = text("SELECT * FROM app.market_watched(:after, :most)")


class MarketUpkeep:
    """Looks at the offers that somebody relies on.

    Args:
        db: PostgreSQL as the role of jobs.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run(self) -> int:
        """Note changes of who contributes; answers how many offers changed. Questions never wait for it."""
        changed, after = 0, None
        while rows := await self._watched(after):
            for row in rows:
                after = plain_uuid(row.offer_id)
                try:
                    changed += await self._look(TenantId(plain_uuid(row.tenant_id)), after)
                except CohortLensError as error:
                    # An offer whose seller is being erased, say, keeps no other from being looked at.
                    _LOG.warning("offer_not_looked_at", offer=str(after), reason=error.reason)
        return changed

    async def _watched(self, after: UUID | None) -> Sequence[Any]:
        async with self._db.transaction() as tx:
            return (await tx.execute(_WATCHED, {"after": after, "most": _MOST})).all()

    async def _look(self, tenant_id: TenantId, offer_id: UUID) -> bool:
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows, standing = OfferRows(tx), await Contributors(tx).standing()
            offer = await rows.own(offer_id)
            too_small = standing.persons < LEAST_CONTRIBUTORS
            if offer is not None and offer.state == "PUBLISHED" and too_small:
                await rows.end(offer_id, "SUSPENDED")
                await AuditTrail(tx).append(
                    BY_JOBS, "marketplace.offer.suspended", resource=f"offers/{offer_id}"
                )
            active = await AgreementRows(tx).active(offer_id)
            changed = False
            for purpose in sorted({one.purpose for one in active}):
                now = await Contributors(tx, purpose).standing()
                revision, is_new = await rows.revision(offer_id, purpose, now)
                changed |= is_new
                if is_new and revision > 1:
                    told = [one for one in active if one.purpose == purpose]
                    await self._tell(tx, tenant_id, told, revision)
            return changed

    async def _tell(
        self, tx: AsyncConnection, tenant_id: TenantId, agreements: Sequence[Agreement], revision: int
    ) -> None:
        for one in sorted(agreements, key=lambda one: one.buyer_id):
            await go_on_for(tx, one.buyer_id)
            await AuditTrail(tx).append(
                BY_JOBS,
                "marketplace.data.revised",
                resource=f"agreements/{one.id}",
                details={"revision": revision},
            )
        await go_on_for(tx, tenant_id)
