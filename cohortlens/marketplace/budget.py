"""Privacy budgets: whole thousandths of epsilon, charged with the question, before anything is computed.

Every question draws on the budget of its tenant, of its offer and of its agreement, in this order, so that
overlapping offers on the same customers draw on one row. Nothing is ever given back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import TenantId
from cohortlens.marketplace.models import PrivacyBudgetExhausted

TOTALS_MILLI: Final = {"TENANT": 4_000, "OFFER": 4_000, "AGREEMENT": 1_000}
"""Thousandths of epsilon by scope, in the order of charging."""
PERIOD: Final = timedelta(days=365)


@dataclass(frozen=True)
class Budget:
    """What of a budget is spent, and when it starts anew; None when nothing was spent."""

    scope: str
    spent_milli: int
    total_milli: int
    resets_at: datetime | None


class Budgets:
    """Budgets of the transaction's tenant, who is the seller.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: The seller.
        offer_id: The offer.
        agreement_id: The agreement; None for a preview by the seller.
    """

    def __init__(
        self, tx: AsyncConnection, tenant_id: TenantId, offer_id: UUID, agreement_id: UUID | None
    ) -> None:
        self._tx = tx
        self._scopes: dict[str, UUID] = {"TENANT": tenant_id, "OFFER": offer_id}
        if agreement_id is not None:
            self._scopes["AGREEMENT"] = agreement_id

    async def charge(self, milli: int, now: datetime) -> None:
        """Take a cost from each; all of it stands or falls with the transaction.

        Args:
            milli: Thousandths of epsilon, > 0.
            now: The time.

        Raises:
            PrivacyBudgetExhausted: One has too little left.
        """
        for scope, scope_id in self._scopes.items():
            since = await self._tx.scalar(
                text(
                    "INSERT INTO market_budgets AS b (scope, scope_id, spent, total, since) "
                    "VALUES (:scope, :id, :milli, :total, :now) ON CONFLICT (tenant_id, scope, scope_id) "
                    "DO UPDATE SET spent = excluded.spent + "
                    "CASE WHEN b.since <= CAST(:ended AS timestamptz) THEN 0 ELSE b.spent END, since = "
                    "CASE WHEN b.since <= CAST(:ended AS timestamptz) THEN excluded.since ELSE b.since END "
                    "WHERE b.since <= CAST(:ended AS timestamptz) OR b.spent + excluded.spent <= b.total "
                    "RETURNING since"
                ),
                {
                    "scope": scope,
                    "id": scope_id,
                    "milli": milli,
                    "total": TOTALS_MILLI[scope],
                    "now": now,
                    "ended": now - PERIOD,
                },
            )
            if since is None:
                raise PrivacyBudgetExhausted(scope, await self._resets_at(scope, scope_id))

    async def read(self) -> list[Budget]:
        """What is spent of each."""
        found = []
        for scope, scope_id in self._scopes.items():
            row = (
                await self._tx.execute(
                    text(
                        "SELECT spent, total, since FROM market_budgets WHERE tenant_id = app.tid() "
                        "AND scope = :scope AND scope_id = :id "
                        "AND since > clock_timestamp() - CAST(:period AS interval)"
                    ),
                    {"scope": scope, "id": scope_id, "period": PERIOD},
                )
            ).one_or_none()
            if row is None:
                found.append(Budget(scope, 0, TOTALS_MILLI[scope], None))
            else:
                found.append(Budget(scope, row.spent, row.total, row.since + PERIOD))
        return found

    async def _resets_at(self, scope: str, scope_id: UUID) -> datetime:
        since: datetime | None = await self._tx.scalar(
            text(
                "SELECT since FROM market_budgets "
                "WHERE tenant_id = app.tid() AND scope = :scope AND scope_id = :id"
            ),
            {"scope": scope, "id": scope_id},
        )
        if since is None:
            raise RuntimeError("a budget that refused is not there")
        return since + PERIOD
