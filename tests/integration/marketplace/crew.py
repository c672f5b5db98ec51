"""Both sides of a market on a real database, beside a sidecar in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from cohortlens.bootstrap.marketplace import Marketplace
from cohortlens.consent.fulfilment.rewarding import Rewarding
from cohortlens.core import outbox
from cohortlens.core.clock import now
from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import uuid7
from cohortlens.core.outbox import Wanted
from cohortlens.marketplace.models import Agreement, Dimension, Offer, Spec
from tests.fakes.web3 import FakeWeb3

COUNTRIES = ("FR", "IE")
CUSTOMERS = """
INSERT INTO customers (tenant_id, id, external_id, country, created_at)
SELECT app.tid(), app.uuid7(), 'c' || n, CASE WHEN n % 13 = 0 THEN 'FR' ELSE 'IE' END, clock_timestamp()
  FROM generate_series(1, :count) AS n
"""
DAYS = """
INSERT INTO purchase_days (tenant_id, customer_id, day, orders, lines, skus, amount_minor, returns_minor, known_on)
SELECT app.tid(), id, DATE '2026-03-05', 1, 1, 1, 1000, 0, DATE '2026-03-05' FROM customers
 WHERE tenant_id = app.tid()
"""


def spec(**values: Any) -> Spec:
    """An offer of counts and means by country."""
    plain: dict[str, Any] = {
        "title": "How our customers buy",
        "description": "",
        "dimensions": (Dimension("country", COUNTRIES), Dimension("cohort", ("2026-02", "2026-03"))),
        "measures": ("mean_spend", "sum_spend"),
        "clip_minor": 5_000,
        "purposes": (),
        "price_minor": 0,
        "currency": "EUR",
        "incentive_micro": 0,
        "epsilon_milli": 500,
        "least_persons": 10,
        "ends_at": now() + timedelta(days=90),
    }
    return Spec(**{**plain, **values})


@dataclass
class Market:
    """Both sides, and the sidecar between them."""

    db: Any
    seller: Any
    buyer: Any
    web3: FakeWeb3
    use: Marketplace
    rewarding: Rewarding

    async def offered(self, **values: Any) -> Offer:
        """An offer, published."""
        draft = await self.use.offers.create(self.seller.context(), spec(**values))
        return await self.use.offers.publish(self.seller.context(), draft.id)

    async def requested(self, offer: Offer, buyer: Any = None, purpose: str = "data_sharing") -> Agreement:
        """A request for it."""
        ctx = (buyer or self.buyer).context()
        return await self.use.access.request(ctx, offer.id, offer.version, purpose)

    async def agreed(self, offer: Offer, buyer: Any = None, purpose: str = "data_sharing") -> Agreement:
        """An agreement, not yet settled."""
        asked = await self.requested(offer, buyer, purpose)
        return await self.use.access.approve(self.seller.context(), asked.id)

    async def work(self, *, twice: bool = False) -> list[str]:
        """Work on the outbox until nothing is due; answers the reasons of what failed."""
        runs = {
            "marketplace.settlement": self.use.settling.run,
            "marketplace.ending": self.use.settling.end,
            "fulfilment.release": self._release,
        }
        failed = []
        while events := await outbox.claim(self.db, "test", [Wanted(topic, 50) for topic in runs]):
            for event in events:
                try:
                    await runs[event.topic](event)
                    if twice:
                        await runs[event.topic](event)
                except CohortLensError as error:
                    failed.append(error.reason)
                    await self._again(event)
                    continue
                await outbox.settle(self.db, event)
        return failed

    async def all(self, query: str, tenant: Any = None, **values: Any) -> list[Any]:
        """Rows as a tenant sees them; the seller when none is named."""
        async with self.db.tenant_transaction((tenant or self.seller).tenant_id) as tx:
            return list((await tx.execute(text(query), values)).all())

    async def wallet(self, name: str, number: int) -> UUID:
        """Bind a wallet to a customer."""
        [row] = await self.all(
            "SELECT i.id FROM consent_identities i JOIN customers c ON c.id = i.customer_id "
            "WHERE c.external_id = :name",
            name=name,
        )
        await self.all(
            "INSERT INTO wallets (id, identity_id, chain, address) VALUES (:id, :i, 'evm', :a) RETURNING 1",
            id=uuid7(),
            i=row.id,
            a=f"0x{number:040x}",
        )
        return UUID(int=row.id.int)

    async def _release(self, event: Any) -> None:
        await self.rewarding.release(event.tenant_id, UUID(event.payload["identity_id"]))

    async def _again(self, event: Any) -> None:
        await outbox.fail(self.db, event, "a fault of the test", retry_in_s=0.0)
