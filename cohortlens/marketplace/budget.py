"""Privacy budgets: whole thousandths of epsilon, charged with the question, before anything is computed.

What is spent is the sum of what the questions of the last 365 days were charged, so a budget comes back as it
was spent and never all at once. A new answer draws on the budgets of its tenant and of its offer; whoever is
told an answer for the first time, new or not, draws on a budget of their own with that seller, whatever
agreements they have. So a charge tells a buyer nothing of what others asked. Nothing is ever given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.db import locked_in_tenant
from cohortlens.marketplace.models import PrivacyBudgetExhausted

TOTALS_MILLI: Final = {"TENANT": 4_000, "OFFER": 4_000, "BUYER": 1_000}
"""Thousandths of epsilon by scope."""
PERIOD: Final = timedelta(days=365)
_CHARGES = text(
    "SELECT created_at, pool_milli, CASE WHEN offer_id = :offer THEN pool_milli ELSE 0 END AS offer_milli, "
    "CASE WHEN buyer_id = :buyer THEN charged_milli ELSE 0 END AS buyer_milli FROM market_queries "
    "WHERE tenant_id = app.tid() AND created_at > clock_timestamp() - CAST(:period AS interval) "
    "AND (pool_milli > 0 OR buyer_id = CAST(:buyer AS uuid) AND charged_milli > 0) ORDER BY created_at"
)


@dataclass(frozen=True)
class Budget:
    """What of a budget is spent, and when the first part of it comes back; None when nothing was spent."""

    scope: str
    spent_milli: int
    total_milli: int
    resets_at: datetime | None


class Budgets:
    """Budgets of the transaction's tenant, who is the seller.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        offer_id: The offer.
        buyer_id: Who asks; None for a preview by the seller.
    """

    def __init__(self, tx: AsyncConnection, offer_id: UUID, buyer_id: UUID | None) -> None:
        self._tx, self._offer_id, self._buyer_id = tx, offer_id, buyer_id

    async def check(self, *, pool_milli: int, buyer_milli: int) -> None:
        """Refuse a charge that does not fit; one that does is stored with its question in this transaction.

        Args:
            pool_milli: What a new answer costs tenant and offer; 0 for one that is there.
            buyer_milli: What it costs the buyer; 0 for one who was told it before.

        Raises:
            PrivacyBudgetExhausted: A budget has too little left.
        """
        if not pool_milli and not buyer_milli:
            return
        # Charges of one seller are made one after the other, so that none is overlooked.
        await locked_in_tenant(self._tx, "marketplace/budget")
        costs = {"TENANT": pool_milli, "OFFER": pool_milli, "BUYER": buyer_milli}
        for scope, charges in (await self._charges()).items():
            _check_fits(scope, charges, costs[scope])

    async def read(self) -> list[Budget]:
        """What is spent of each."""
        found = []
        for scope, charges in (await self._charges()).items():
            resets_at = charges[0][0] + PERIOD if charges else None
            found.append(Budget(scope, sum(milli for _at, milli in charges), TOTALS_MILLI[scope], resets_at))
        return found

    async def _charges(self) -> dict[str, list[tuple[datetime, int]]]:
        values = {"offer": self._offer_id, "buyer": self._buyer_id, "period": PERIOD}
        rows = (await self._tx.execute(_CHARGES, values)).all()
        found = {
            "TENANT": [(row.created_at, row.pool_milli) for row in rows],
            "OFFER": [(row.created_at, row.offer_milli) for row in rows],
        }
        if self._buyer_id is not None:
            found["BUYER"] = [(row.created_at, row.buyer_milli) for row in rows]
        return {scope: [one for one in charges if one[1]] for scope, charges in found.items()}


def _check_fits(scope: str, charges: Sequence[tuple[datetime, int]], cost: int) -> None:
    over = sum(milli for _at, milli in charges) + cost - TOTALS_MILLI[scope]
    if over <= 0:
        return
    for at, milli in charges:
        over -= milli
        if over <= 0:
            raise PrivacyBudgetExhausted(scope, at + PERIOD)
