"""What the marketplace holds of a person: shares of incentives. Entries and answers name nobody."""

from __future__ import annotations

from sqlalchemy import text

from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId
from cohortlens.core.personal_data import IDENTITY, PersonalTable, Subject, TableStore


class MarketStore(TableStore):
    """Shares of incentives; an erasure keeps the amount, which the books need, and forgets whose it was.

    Args:
        db: PostgreSQL.
    """

    def __init__(self, db: Database) -> None:
        super().__init__(
            db, "marketplace", (PersonalTable("market_shares", IDENTITY, frozenset({"paid_by"})),)
        )

    async def erase(self, tenant_id: TenantId, subject: Subject) -> None:
        """Forget whose shares they are; what was not yet paid stays unpaid."""
        async with self.db.tenant_transaction(tenant_id) as tx:
            await tx.execute(
                text(
                    "UPDATE market_shares SET identity_id = NULL "
                    "WHERE tenant_id = app.tid() AND identity_id = :id"
                ),
                {"id": subject.identity_id},
            )
