"""The plans on offer at the provider: made once, found again, never edited."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from cohortlens.billing.payments.models import PaymentProviderUnavailable
from cohortlens.billing.subscriptions.catalogue_sync import CatalogueSync
from tests.fakes.payments import FakePayments


@pytest.fixture
async def provider(database):
    """A provider that was told nothing."""
    yield FakePayments()
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE plan_prices SET stripe_price_id = NULL"))


@pytest.fixture
def sync(database, provider):
    return CatalogueSync(database, provider)


async def test_a_product_for_each_plan_and_a_price_for_each_interval_and_currency(sync, provider, superuser):
    done = await sync.run()

    assert {one.done for one in done} == {"made"}
    assert provider.made["create_product"] == 3
    assert provider.made["create_price"] == 3 * 2 * 2
    stored = await superuser.fetch(
        "SELECT plan_id, interval, lower(currency) AS currency, amount_minor, stripe_price_id"
        " FROM plan_prices WHERE NOT livemode"
    )
    for row in stored:
        price = provider.prices_made[row["stripe_price_id"]]
        assert (price.amount_minor, price.currency, price.interval) == (
            row["amount_minor"],
            row["currency"],
            row["interval"],
        )
    live = await superuser.fetchval("SELECT count(stripe_price_id) FROM plan_prices WHERE livemode")
    assert live == 0, "prices of test money are not sold for real money"


async def test_once_more_changes_nothing(sync, provider):
    await sync.run()
    provider.made.clear()
    assert {one.done for one in await sync.run()} == {"kept"}
    assert not provider.made


async def test_what_the_provider_has_under_our_names_is_found(sync, provider, superuser):
    await sync.run()
    await superuser.execute("UPDATE plan_prices SET stripe_price_id = NULL")
    provider.made.clear()
    assert {one.done for one in await sync.run()} == {"found"}
    assert not provider.made


@pytest.mark.parametrize("change", [{"amount_minor": 1}, {"active": False}], ids=str)
async def test_a_price_that_is_another_one_now_is_replaced_and_not_edited(sync, provider, change):
    await sync.run()
    price_id = next(iter(provider.prices_made))
    provider.prices_made[price_id] = edited = replace(provider.prices_made[price_id], **change)

    replaced = [one for one in await sync.run() if one.done == "made"]

    assert len(replaced) == 1
    assert replaced[0].price_id != price_id
    assert replace(provider.prices_made[price_id], lookup_key=edited.lookup_key) == edited
    assert provider.prices_made[replaced[0].price_id].lookup_key == edited.lookup_key


async def test_another_account_gets_prices_of_its_own(sync, provider, database):
    await sync.run()
    other = FakePayments()
    assert {one.done for one in await CatalogueSync(database, other).run()} == {"made"}


async def test_a_run_that_broke_off_is_ended_by_the_next(sync, provider):
    await sync.run()
    provider.prices_made.clear()
    provider.products_made.clear()
    provider._answers.clear()
    provider.made.clear()
    provider.fails_after["create_price"] = 1
    with pytest.raises(PaymentProviderUnavailable):
        await sync.run()
    await sync.run()
    assert (provider.made["create_product"], provider.made["create_price"]) == (3, 12)
