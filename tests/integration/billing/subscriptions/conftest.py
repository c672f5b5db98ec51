"""A tenant, a payment provider in memory that knows the plans, and the use cases between them."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from cohortlens.billing.subscriptions.catalogue_sync import CatalogueSync
from cohortlens.billing.subscriptions.offers import Terms
from cohortlens.billing.subscriptions.return_urls import ReturnUrls
from cohortlens.billing.subscriptions.service import Subscriptions
from tests.fakes.payments import FakePayments

PUBLIC_URL = "https://app.shop.example"


@pytest.fixture
async def provider(database):
    """A provider that was told the catalogue; the catalogue forgets it afterwards."""
    fake = FakePayments()
    await CatalogueSync(database, fake).run()
    fake.made.clear()
    fake.keys.clear()
    yield fake
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE plan_prices SET stripe_price_id = NULL"))


@pytest.fixture
def subscriptions(runtime, provider) -> Subscriptions:
    terms = Terms("eur", {"professional": 14})
    return Subscriptions.over(runtime, provider, terms, ReturnUrls(PUBLIC_URL))


@pytest.fixture
def owner(tenants):
    """A request by the owner of the first tenant."""
    return tenants[0].context


@pytest.fixture
def price(superuser):
    """Reads the provider's price of a plan."""

    async def of(plan: str, interval: str = "month", currency: str = "EUR") -> str:
        return await superuser.fetchval(
            "SELECT stripe_price_id FROM plan_prices JOIN current_plans p ON p.id = plan_id AND"
            " p.version = plan_version WHERE plan_id = $1 AND interval = $2 AND currency = $3 AND NOT livemode",
            plan,
            interval,
            currency,
        )

    return of


@pytest.fixture
def pays(superuser, tenants):
    """Makes the first tenant a customer of the provider."""

    async def as_customer(customer_id: str = "cus_paying") -> str:
        await superuser.execute(
            "INSERT INTO billing_profiles (tenant_id, stripe_customer_id, livemode) VALUES ($1, $2, false)",
            tenants[0].tenant_id,
            customer_id,
        )
        return customer_id

    return as_customer
