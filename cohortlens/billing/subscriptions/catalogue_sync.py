"""Telling the provider what is on offer: a product per plan, a price per version, interval and currency.

A price is never edited: who bought it keeps it. What is found under our name with other figures, or is gone,
is replaced by a new price, which takes the name over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from cohortlens.billing.payments.models import Price, Product
from cohortlens.billing.payments.ports import PaymentProvider
from cohortlens.billing.subscriptions.provider_keys import provider_key
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.ids import PLATFORM_TENANT_ID

_PLAN = "cohortlens_plan"
_RPC = "SyncCatalogue"
_ON_OFFER = text(
    "SELECT r.plan_id, r.plan_version, p.display_name, r.interval, lower(r.currency) AS currency,"
    " r.amount_minor, coalesce(r.stripe_price_id, '')"
    " FROM plan_prices r JOIN current_plans p ON p.id = r.plan_id AND p.version = r.plan_version"
    " WHERE r.livemode = :livemode ORDER BY p.rank, r.currency, r.interval"
)
_STORE = text(
    "UPDATE plan_prices SET stripe_price_id = :price WHERE plan_id = :plan AND plan_version = :version"
    " AND interval = :interval AND currency = upper(:currency) AND livemode = :livemode"
)


@dataclass(frozen=True)
class CataloguePrice:
    """A price on offer.

    Attributes:
        plan: Name of the plan.
        version: Its version.
        display_name: Its name for people.
        interval: ``month`` or ``year``.
        currency: ISO 4217, lower case.
        amount_minor: What an interval costs.
        price_id: The provider's price; empty when it was not told yet.
    """

    plan: str
    version: int
    display_name: str
    interval: str
    currency: str
    amount_minor: int
    price_id: str

    @property
    def lookup_key(self) -> str:
        """Our name of the price at the provider."""
        return f"cohortlens_{self.plan}_v{self.version}_{self.interval}_{self.currency}"

    def is_sold_as(self, price: Price, *, livemode: bool) -> bool:
        """Whether a price of the provider is this one and can be bought."""
        figures = (price.amount_minor, price.currency, price.interval, price.livemode)
        return price.active and figures == (self.amount_minor, self.currency, self.interval, livemode)


@dataclass(frozen=True)
class SyncedPrice:
    """What was done about a price: ``kept``, ``found`` at the provider, or ``made``."""

    price: CataloguePrice
    price_id: str
    done: str


class CatalogueSync:
    """Makes or finds products and prices at the provider, and stores which they are.

    Args:
        db: Database as the role of jobs.
        provider: Where plans are paid.
        clock: Current time.
    """

    def __init__(self, db: Database, provider: PaymentProvider, clock: Clock = now) -> None:
        self._db = db
        self._provider = provider
        self._clock = clock

    async def prices(self) -> list[CataloguePrice]:
        """The prices on offer, in the provider's mode."""
        async with self._db.transaction() as tx:
            rows = await tx.execute(_ON_OFFER, {"livemode": self._provider.livemode})
            return [CataloguePrice(*row) for row in rows]

    async def run(self) -> list[SyncedPrice]:
        """Bring the provider up to date; once more changes nothing.

        Raises:
            Unavailable: STRIPE_UNAVAILABLE: what was done is stored, a repeat does the rest.
        """
        wanted = await self.prices()
        known = {price.id: price for price in await self._provider.prices()}
        by_name = {price.lookup_key: price for price in known.values() if price.lookup_key}
        products = {one.metadata.get(_PLAN, ""): one for one in await self._provider.products() if one.active}
        return [await self._synced(price, known, by_name, products) for price in wanted]

    async def _synced(
        self,
        price: CataloguePrice,
        known: Mapping[str, Price],
        by_name: Mapping[str, Price],
        products: dict[str, Product],
    ) -> SyncedPrice:
        livemode = self._provider.livemode
        stored = known.get(price.price_id)
        if stored is not None and price.is_sold_as(stored, livemode=livemode):
            return SyncedPrice(price, stored.id, "kept")
        named = by_name.get(price.lookup_key)
        if named is not None and price.is_sold_as(named, livemode=livemode):
            await self._store(price, named.id)
            return SyncedPrice(price, named.id, "found")
        # Two runs at once make one price; a later run must not be given an older one, or a failed answer.
        before = f"{price.price_id}:{named.id if named else ''}:{self._clock():%Y-%m-%dT%H}"
        product = products.get(price.plan)
        if product is None:
            product = await self._provider.create_product(
                f"CohortLens {price.display_name}",
                {_PLAN: price.plan},
                key=provider_key(PLATFORM_TENANT_ID, _RPC, price.plan, f"product:{before}"),
            )
            products[price.plan] = product
        made = await self._provider.create_price(
            product.id,
            price.currency,
            price.amount_minor,
            price.interval,
            lookup_key=price.lookup_key,
            metadata={_PLAN: price.plan, "cohortlens_version": str(price.version)},
            key=provider_key(
                PLATFORM_TENANT_ID,
                _RPC,
                price.lookup_key,
                f"price:{product.id}:{price.amount_minor}:{before}",
            ),
        )
        await self._store(price, made.id)
        return SyncedPrice(price, made.id, "made")

    async def _store(self, price: CataloguePrice, price_id: str) -> None:
        values: dict[str, Any] = {
            "price": price_id,
            "plan": price.plan,
            "version": price.version,
            "interval": price.interval,
            "currency": price.currency,
            "livemode": self._provider.livemode,
        }
        async with self._db.transaction() as tx:
            await tx.execute(_STORE, values)
