"""The use cases over PostgreSQL and the real SDK, on the stand-in for Stripe: one life of a subscription."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from cohortlens.adapters.stripe_calls import StripeCalls
from cohortlens.adapters.stripe_provider import StripeProvider
from cohortlens.billing.models import Interval
from cohortlens.billing.payments.models import PaymentProviderUnavailable
from cohortlens.billing.subscriptions.catalogue_sync import CatalogueSync
from cohortlens.billing.subscriptions.ending import SubscriptionEnding
from cohortlens.billing.subscriptions.models import AlreadySubscribed, Effective
from cohortlens.billing.subscriptions.offers import Terms
from cohortlens.billing.subscriptions.return_urls import ReturnUrls
from cohortlens.billing.subscriptions.service import Subscriptions
from tests.fixtures.fake_stripe import DAY, run_stand_in


@pytest.fixture
def stripe(tmp_path):
    """A stand-in of its own for each test."""
    yield from run_stand_in(tmp_path / "data")


@pytest.fixture
async def subscriptions(stripe, database, runtime):
    provider = StripeProvider(StripeCalls(stripe.key, stripe.url))
    await CatalogueSync(database, provider).run()
    yield Subscriptions.over(runtime, provider, Terms("eur"), ReturnUrls("https://app.shop.example"))
    await provider.close()
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE plan_prices SET stripe_price_id = NULL"))


async def test_a_subscription_from_the_first_click_to_its_end(subscriptions, stripe, owner):
    checkout, changes = subscriptions.checkout, subscriptions.changes

    def click(plan="professional"):
        return checkout.create(owner(), plan=plan, interval=Interval.MONTH)

    pages = await asyncio.gather(*(click() for _ in range(6)))
    assert len({page.url for page in pages}) == 1
    assert len(stripe.v1.checkout.sessions.list().data) == len(stripe.v1.customers.list().data) == 1

    other = await click("enterprise")
    assert {one.status for one in stripe.v1.checkout.sessions.list().data} == {"expired", "open"}
    stripe.pay(other.url)
    with pytest.raises(AlreadySubscribed):
        await click("professional")
    assert len(stripe.v1.checkout.sessions.list().data) == 2

    planned = await changes.change_plan(owner(), plan="professional", effective=Effective.PERIOD_END)
    assert (planned.subscription.plan, planned.subscription.planned_plan) == ("enterprise", "professional")
    assert (await changes.change_plan(owner(), plan="enterprise")).subscription.planned_plan == ""

    before = len(stripe.v1.invoices.list().data)
    smaller = await changes.change_plan(owner(), plan="professional")
    assert smaller.subscription.plan == "professional"
    assert len(stripe.v1.invoices.list().data) == before
    assert stripe.v1.customers.list().data[0].balance == 0

    weighed = await changes.change_plan(owner(), plan="enterprise", validate_only=True)
    assert weighed.preview.amount_due_minor == 49900 - 4900
    changed = await changes.change_plan(owner(), plan="enterprise", prorated_at=weighed.preview.prorated_at)
    assert changed.subscription.plan == "enterprise"
    assert stripe.v1.invoices.list().data[0].total == 49900 - 4900

    assert (await changes.cancel(owner())).cancel_at_period_end
    assert not (await changes.resume(owner())).cancel_at_period_end
    assert (await changes.open_portal(owner())).startswith(stripe.url)
    assert (await changes.cancel(owner(), at_period_end=False)).status == "CANCELED"
    assert (await click("professional")).url != other.url


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ("/v1/customers", {"status": 500}),
        ("/v1/customers", {"cut": True, "after": True, "times": 3}),
        ("/v1/checkout/sessions", {"status": 500}),
        ("/v1/checkout/sessions", {"cut": True, "after": True, "times": 3}),
    ],
    ids=str,
)
async def test_whatever_happens_on_the_way_a_repeat_ends_in_one_open_page(
    subscriptions, stripe, owner, route, fault
):
    stripe.knob("requests", **({"match": route, "method": "POST", "times": 1} | fault))
    with pytest.raises(PaymentProviderUnavailable):
        await subscriptions.checkout.create(owner(), plan="professional", interval=Interval.MONTH)
    page = await subscriptions.checkout.create(owner(), plan="professional", interval=Interval.MONTH)

    sessions = stripe.v1.checkout.sessions.list().data
    assert [one.url for one in sessions if one.status == "open"] == [page.url]


@pytest.mark.parametrize("is_late", [False, True], ids=["paid", "late"])
async def test_a_deleted_tenant_is_never_charged_again(
    subscriptions, stripe, owner, database, superuser, tenants, is_late
):
    page = await subscriptions.checkout.create(owner(), plan="professional", interval=Interval.MONTH)
    stripe.pay(page.url)
    [customer] = stripe.v1.customers.list().data
    if is_late:
        refusing = stripe.v1.payment_methods.attach(
            "pm_card_chargeCustomerFail", params={"customer": customer.id}
        )
        settings = {"default_payment_method": refusing.id}
        [bought] = stripe.v1.subscriptions.list().data
        stripe.v1.customers.update(customer.id, params={"invoice_settings": settings})
        stripe.v1.subscriptions.update(bought.id, params=settings)
        stripe.advance(customer.id, 32 * DAY)
        assert stripe.v1.subscriptions.retrieve(bought.id).status == "past_due"
        card = stripe.v1.payment_methods.attach("pm_card_visa", params={"customer": customer.id})
        settings = {"default_payment_method": card.id}
        stripe.v1.customers.update(customer.id, params={"invoice_settings": settings})
    paid = [one.id for one in stripe.v1.charges.list().data if one.paid]
    await superuser.execute(
        "UPDATE tenants SET status = 'DELETING', erase_at = clock_timestamp() WHERE id = $1",
        tenants[0].tenant_id,
    )

    ending = SubscriptionEnding(database, subscriptions.ending._provider)
    await ending.end(tenants[0].tenant_id)
    stripe.advance(customer.id, 70 * DAY)
    assert [one.id for one in stripe.v1.charges.list().data if one.paid] == paid
    await ending.erase(tenants[0].tenant_id)
    await ending.erase(tenants[0].tenant_id)
    assert stripe.v1.customers.retrieve(customer.id).deleted
