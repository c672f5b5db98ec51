"""What is done at Stripe, by the real SDK over HTTP, against the stand-in."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from cohortlens.adapters.stripe_calls import RequestRefused, StripeCalls
from cohortlens.adapters.stripe_provider import StripeProvider
from cohortlens.billing.payments.models import (
    MeterEvent,
    PaymentProviderFailed,
    PaymentProviderUnavailable,
    PaymentRefused,
    Proration,
    SubscriptionStatus,
)
from cohortlens.core.ids import TenantId, uuid7
from tests.fixtures.fake_stripe import DAY, run_stand_in

TENANT = TenantId(uuid7())


@pytest.fixture
def fake_stripe(tmp_path):
    """A stand-in of its own for each test."""
    yield from run_stand_in(tmp_path / "data")


@pytest.fixture
async def provider(fake_stripe):
    made = StripeProvider(StripeCalls(fake_stripe.key, fake_stripe.url))
    yield made
    await made.close()


@pytest.fixture
def subscribed(fake_stripe, provider):
    """A subscription of a new customer, as the port gives it."""

    async def made(**params):
        subscription = fake_stripe.subscription(**params)
        return await provider.subscription(subscription.id)

    return made


async def opened(provider, customer, price, key="k1", **changes):
    options = {
        "success_url": "https://app.test/billing/return",
        "cancel_url": "https://app.test/billing",
        "trial_days": 0,
        "expires_at": datetime.now(UTC).replace(microsecond=0) + timedelta(hours=23),
        **changes,
    }
    return await provider.create_checkout(TENANT, customer, price, "professional", key=key, **options)


async def test_a_checkout_carries_tenant_and_plan_to_the_subscription(fake_stripe, provider):
    customer = await provider.create_customer(TENANT, "Corner Shop", "ada@shop.example", key="c1")
    session = await opened(provider, customer.id, fake_stripe.price().id, trial_days=14)

    assert session.status == "open"
    assert session.client_reference_id == str(TENANT)
    assert session.metadata == {"tenant_id": str(TENANT), "plan": "professional"}
    assert fake_stripe.pay(session.url).is_success or fake_stripe.pay(session.url).is_redirect
    (made,) = await provider.subscriptions_of(customer.id)
    assert made.metadata == {"tenant_id": str(TENANT), "plan": "professional"}
    assert made.status is SubscriptionStatus.TRIALING


async def test_the_same_key_is_the_same_object(fake_stripe, provider):
    price = fake_stripe.price().id
    first, second = [await provider.create_customer(TENANT, "Shop", "a@b.test", key="c1") for _ in "12"]
    assert first == second
    sessions = [await opened(provider, first.id, price) for _ in "12"]
    assert sessions[0].id
    assert sessions[0] == sessions[1]
    with pytest.raises(RequestRefused):
        await provider.create_customer(TENANT, "Another", "a@b.test", key="c1")


async def test_writes_at_once_with_one_key_have_one_effect(fake_stripe, provider):
    made = await asyncio.gather(
        *(provider.create_customer(TENANT, "Shop", "a@b.test", key="c1") for _ in range(5)),
        return_exceptions=True,
    )
    known = {one.id for one in made if not isinstance(one, Exception)}
    assert len(known) == 1
    assert all(isinstance(one, PaymentProviderUnavailable) for one in made if isinstance(one, Exception))
    assert len(fake_stripe.v1.customers.list().data) == 1


async def test_a_page_that_was_closed_or_paid_is_given_as_it_is(fake_stripe, provider):
    price, customer = fake_stripe.price().id, fake_stripe.customer().id
    session = await opened(provider, customer, price)
    assert (await provider.expire_checkout(session.id, key="e1")).status == "expired"
    assert (await provider.expire_checkout(session.id, key="e2")).status == "expired"

    paid = await opened(provider, customer, price, key="k2")
    fake_stripe.pay(paid.url)
    assert (await provider.expire_checkout(paid.id, key="e3")).status == "complete"


async def test_an_upgrade_costs_what_its_preview_said(fake_stripe, provider, subscribed):
    held = await subscribed(price=fake_stripe.price(3000))
    fake_stripe.advance(held.customer_id, 15 * DAY)
    dearer = fake_stripe.price(30_000)

    weighed = await provider.preview(held, dearer.id, proration=Proration.INVOICE_NOW)
    changed = await provider.change_price(
        held, dearer.id, proration=Proration.INVOICE_NOW, prorated_at=weighed.prorated_at, key="u1"
    )

    assert changed.items[0].price_id == dearer.id
    invoice = changed.latest_invoice
    assert (invoice.status, invoice.amount_paid_minor) == ("paid", weighed.amount_due_minor)
    assert 0 < weighed.amount_due_minor < 30_000
    assert {line.is_proration for line in weighed.lines} == {True}


async def test_a_declined_upgrade_changes_nothing(fake_stripe, provider, subscribed):
    cheap = fake_stripe.price(1000)
    held = await subscribed(price=cheap)
    card = fake_stripe.v1.payment_methods.attach(
        "pm_card_chargeCustomerFail", params={"customer": held.customer_id}
    )
    fake_stripe.v1.customers.update(
        held.customer_id, params={"invoice_settings": {"default_payment_method": card.id}}
    )

    with pytest.raises(PaymentRefused):
        await provider.change_price(
            held,
            fake_stripe.price(90_000).id,
            proration=Proration.INVOICE_NOW,
            prorated_at=None,
            key="u1",
        )
    assert (await provider.subscription(held.id)).items[0].price_id == cheap.id


@pytest.mark.parametrize("interval", ["month", "year"])
async def test_a_planned_change_comes_with_the_next_period(fake_stripe, provider, subscribed, interval):
    held = await subscribed(price=fake_stripe.price(3000))
    cheaper = fake_stripe.price(1000, interval)

    planned = await provider.schedule_price(held, cheaper.id, key="s1")
    assert (planned.next_price_id, planned.next_at) == (cheaper.id, held.period_end)
    now = await provider.subscription(held.id)
    assert (now.items[0].price_id, now.schedule_id) == (held.items[0].price_id, planned.id)

    fake_stripe.advance(held.customer_id, 32 * DAY)
    assert (await provider.subscription(held.id)).items[0].price_id == cheaper.id


async def test_a_planned_change_is_replaced_and_dropped(fake_stripe, provider, subscribed):
    held = await subscribed(price=fake_stripe.price(3000))
    first, second = fake_stripe.price(1000), fake_stripe.price(2000)
    await provider.schedule_price(held, first.id, key="s1")
    held = await provider.subscription(held.id)
    replaced = await provider.schedule_price(held, second.id, key="s2")
    assert (replaced.id, replaced.next_price_id) == (held.schedule_id, second.id)

    for key in ("r1", "r2"):
        assert (await provider.release_schedule(replaced.id, key=key)).status == "released"
    fake_stripe.advance(held.customer_id, 32 * DAY)
    after = await provider.subscription(held.id)
    assert (after.items[0].price_id, after.schedule_id) == (held.items[0].price_id, "")


async def test_a_planned_change_leaves_a_trial_alone(fake_stripe, provider, subscribed):
    held = await subscribed(price=fake_stripe.price(3000), trial_period_days=14)
    await provider.schedule_price(held, fake_stripe.price(1000).id, key="s1")
    after = await provider.subscription(held.id)
    assert (after.status, after.trial_end) == (SubscriptionStatus.TRIALING, held.trial_end)


async def test_cancelling_and_resuming(provider, subscribed):
    held = await subscribed()
    assert (await provider.cancel(held.id, at_period_end=True, key="x1")).cancel_at_period_end
    assert not (await provider.resume(held.id, key="y1")).cancel_at_period_end
    for key in ("x2", "x3"):
        ended = await provider.cancel(held.id, at_period_end=False, key=key)
        assert (ended.status, ended.id) == (SubscriptionStatus.CANCELED, held.id)


async def test_a_new_price_takes_the_name_of_the_old_one(fake_stripe, provider):
    product = await provider.create_product("Professional", {"cohortlens_plan": "professional"}, key="p1")
    prices = [
        await provider.create_price(
            product.id, "eur", amount, "month", lookup_key="pro", metadata={}, key=f"k{amount}"
        )
        for amount in (4900, 5900)
    ]
    known = {price.id: price for price in await provider.prices()}
    assert (known[prices[0].id].lookup_key, known[prices[0].id].amount_minor) == ("", 4900)
    assert (known[prices[1].id].lookup_key, known[prices[1].id].interval) == ("pro", "month")


async def test_the_portal_has_an_address(fake_stripe, provider):
    url = await provider.create_portal(fake_stripe.customer().id, "https://app.test/billing", key="p1")
    assert url.startswith(fake_stripe.url)


async def test_usage_is_told_once(fake_stripe, provider):
    meter = fake_stripe.v1.billing.meters.create(
        params={
            "display_name": "API calls",
            "event_name": "cohortlens_api_calls",
            "default_aggregation": {"formula": "sum"},
        }
    )
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    customer = fake_stripe.customer().id
    event = MeterEvent("cohortlens_api_calls", customer, 17, f"{TENANT}:api_calls:1", at)
    await provider.send_meter_event(event, key="m1")
    await provider.send_meter_event(event, key="m2")
    minute = int(at.timestamp()) // 60 * 60
    told = fake_stripe.v1.billing.meters.event_summaries.list(
        meter.id, params={"customer": customer, "start_time": minute, "end_time": minute + 60}
    )
    assert [one.aggregated_value for one in told.data] == [17]


@pytest.mark.parametrize(
    ("requests", "fault"),
    [(1, {"status": 429}), (3, {"cut": True}), (3, {"cut": True, "after": True})],
    ids=["too many requests", "cut before", "cut after"],
)
async def test_a_provider_in_trouble_is_unavailable_and_a_repeat_goes_through(
    fake_stripe, provider, requests, fault
):
    fake_stripe.knob("requests", match="/v1/customers", method="POST", times=requests, **fault)
    with pytest.raises(PaymentProviderUnavailable):
        await provider.create_customer(TENANT, "Shop", "a@b.test", key="c1")
    made = await provider.create_customer(TENANT, "Shop", "a@b.test", key="c1")
    assert [one.id for one in fake_stripe.v1.customers.list().data] == [made.id]


async def test_an_answer_of_5xx_is_told_apart_because_it_is_repeated_to_its_key(fake_stripe, provider):
    fake_stripe.knob("requests", match="/v1/customers", method="POST", times=1, status=500)
    for _ in range(2):
        with pytest.raises(PaymentProviderFailed):
            await provider.create_customer(TENANT, "Shop", "a@b.test", key="c1")
    assert (await provider.create_customer(TENANT, "Shop", "a@b.test", key="c2")).id


async def test_a_provider_that_hangs_is_given_up_within_the_bound(fake_stripe):
    impatient = StripeProvider(StripeCalls(fake_stripe.key, fake_stripe.url, timeout_s=0.5))
    fake_stripe.knob("requests", match="/v1/customers", method="POST", times=1, wait=2.0)
    began = time.monotonic()
    with pytest.raises(PaymentProviderUnavailable):
        await impatient.create_customer(TENANT, "Shop", "a@b.test", key="c1")
    assert time.monotonic() - began < 2.0
    await impatient.close()
