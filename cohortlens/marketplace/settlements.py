"""Settlements as both sides read them; a buyer never learns how many people contribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, go_on_for
from cohortlens.marketplace.agreement_rows import AgreementRows
from cohortlens.marketplace.models import MarketMissing
from cohortlens.marketplace.settlement_rows import TOKEN, Account, Settlement, SettlementRows


@dataclass(frozen=True)
class Report:
    """How an agreement was settled; accruals and rewards are the seller's to see."""

    settlement: Settlement
    accounts: Sequence[Account]
    accrued_micro: int = 0
    rewards: Mapping[str, int] = field(default_factory=dict)


class Settlements:
    """The reading of settlements.

    Args:
        db: PostgreSQL.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, ctx: RequestContext, agreement_id: UUID) -> Report:
        """The settlement of an agreement.

        Raises:
            MarketMissing: There is no agreement of the caller's, or both sides have not agreed yet.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            agreement = await AgreementRows(tx).find(agreement_id)
            if agreement is None:
                raise MarketMissing("agreement")
            await go_on_for(tx, agreement.tenant_id)
            rows = SettlementRows(tx)
            settlement = await rows.of_agreement(agreement_id)
            if settlement is None:
                raise MarketMissing("settlement: the request is not approved")
            accounts = await rows.accounts(settlement.id)
            if ctx.tenant_id != agreement.tenant_id:
                return Report(settlement, [one for one in accounts if one.currency != TOKEN])
            accrued = await rows.accrued_micro(settlement.id)
            return Report(settlement, accounts, accrued, await rows.rewards(settlement.id))
