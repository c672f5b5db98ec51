"""The adapter over the real SDK against the stand-in: a life of a subscription, notifications included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from cohortlens.adapters.stripe_calls import StripeCalls
from cohortlens.adapters.stripe_provider import StripeProvider
from cohortlens.adapters.stripe_webhooks import StripeWebhooks
from cohortlens.billing.payments.following import Following
from cohortlens.billing.payments.models import PaymentProviderUnavailable, SubscriptionStatus
from cohortlens.billing.payments.notifications import WebhookSignatureInvalid
from cohortlens.billing.payments.receiving import Receiving
from cohortlens.billing.payments.reconciling import Reconciling
from tests.fixtures.fake_stripe import DAY, endpoint, fake_stripe  # noqa: F401 - fixtures
from tests.fixtures.tenants import register
from tests.fixtures.waiting import eventually


@pytest.fixture
async def stripe_provider(fake_stripe):  # noqa: F811
    provider = StripeProvider(StripeCalls(fake_stripe.key, fake_stripe.url))
    yield provider
    await provider.close()


@pytest.fixture
async def catalogue(database, fake_stripe):  # noqa: F811
    """Two plans that can be bought at the stand-in."""
    made = {"professional": fake_stripe.price(4900), "enterprise": fake_stripe.price(29900)}
    async with database.transaction() as tx:
        for plan, price in made.items():
            await tx.execute(
                text(
                    "UPDATE plan_prices SET stripe_price_id = :price WHERE plan_id = :plan"
                    " AND interval = 'month' AND currency = 'EUR' AND NOT livemode"
                ),
                {"plan": plan, "price": price.id},
            )
    yield made
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE plan_prices SET stripe_price_id = NULL"))


@pytest.fixture
async def payer(database, superuser, fake_stripe, catalogue):  # noqa: F811
    """A tenant with a customer at the stand-in that subscribed to professional."""
    tenant = await register(database, "payer", "basic")
    bought = fake_stripe.subscription(price=catalogue["professional"])
    await superuser.execute(
        "INSERT INTO billing_profiles (tenant_id, stripe_customer_id, livemode) VALUES ($1, $2, false)",
        tenant.tenant_id,
        bought.customer,
    )
    return tenant, bought


@pytest.fixture
def hooked(fake_stripe, endpoint):  # noqa: F811
    """The secret of an endpoint at the stand-in that takes every event."""
    made = fake_stripe.v1.webhook_endpoints.create(params={"url": endpoint.url, "enabled_events": ["*"]})
    return made.secret


async def standing(superuser, tenant):
    return tuple(
        await superuser.fetchrow(
            "SELECT s.status, e.base_plan, e.base_access FROM subscriptions s"
            " JOIN entitlements e USING (tenant_id) WHERE tenant_id = $1",
            tenant.tenant_id,
        )
    )


async def test_a_life_told_by_signed_notifications_leads_to_the_stated_access(
    database,
    runtime,
    superuser,
    sealer,
    stripe_provider,
    fake_stripe,  # noqa: F811
    endpoint,  # noqa: F811
    hooked,
    payer,
    catalogue,
    work,
):
    tenant, bought = payer
    receiving = Receiving(runtime, StripeWebhooks([hooked], livemode=False))
    worker = Following(database, stripe_provider, sealer, "worker-1")
    taken = 0

    async def follow(kind: str) -> None:
        nonlocal taken
        await eventually(lambda: kind in endpoint.types()[taken:], 15.0, kind)
        for one in endpoint.received[taken:]:
            assert await receiving.receive(one.body, one.signature) in {True, False}
        taken = len(endpoint.received)
        await work(worker)

    fake_stripe.v1.subscriptions.update(
        bought.id,
        params={"items": [{"id": bought["items"].data[0].id, "price": catalogue["enterprise"].id}]},
    )
    await follow("customer.subscription.updated")
    assert await standing(superuser, tenant) == ("ACTIVE", "enterprise", "FULL")

    fake_stripe.v1.subscriptions.update(bought.id, params={"cancel_at_period_end": True})
    await follow("customer.subscription.updated")
    assert await superuser.fetchval("SELECT cancel_at_period_end FROM subscriptions")
    fake_stripe.v1.subscriptions.update(bought.id, params={"cancel_at_period_end": False})
    await follow("customer.subscription.updated")

    fake_stripe.advance(bought.customer, 32 * DAY)
    await follow("invoice.paid")
    assert await standing(superuser, tenant) == ("ACTIVE", "enterprise", "FULL")
    assert await superuser.fetchval("SELECT count(*) FROM invoices WHERE status = 'PAID'") >= 1

    fake_stripe.v1.subscriptions.cancel(bought.id)
    await follow("customer.subscription.deleted")
    assert await standing(superuser, tenant) == ("CANCELED", "basic", "FULL")
    states = await superuser.fetch("SELECT DISTINCT state FROM stripe_events")
    assert {row["state"] for row in states} <= {"DONE", "IGNORED"}


async def test_lost_notifications_are_healed_by_the_listing(
    database, superuser, sealer, stripe_provider, payer, work
):
    tenant, _ = payer
    reconciling = Reconciling(database, stripe_provider, sealer, timedelta(days=7))
    assert await reconciling.list_missed() > 0
    await work(Following(database, stripe_provider, sealer, "worker-1"))
    assert await standing(superuser, tenant) == ("ACTIVE", "professional", "FULL")
    assert await reconciling.list_missed() == 0


async def test_what_the_sdk_gives_becomes_our_words(stripe_provider, fake_stripe, payer):  # noqa: F811
    _, bought = payer
    [found] = await stripe_provider.subscriptions_of(bought.customer)
    item = bought["items"].data[0]
    assert found.status is SubscriptionStatus.ACTIVE
    assert found.period_end == datetime.fromtimestamp(item.current_period_end, UTC)
    assert found.latest_invoice is not None
    assert found.latest_invoice.subscription_id == bought.id
    assert (found.latest_invoice.status, found.latest_invoice.currency) == ("paid", "eur")
    customer = await stripe_provider.customer(bought.customer)
    assert (customer.has_payment_method, customer.deleted) == (True, False)
    assert await stripe_provider.invoice("in_of_nobody") is None
    assert await stripe_provider.customer("cus_of_nobody") is None
    fake_stripe.v1.customers.delete(bought.customer)
    assert (await stripe_provider.customer(bought.customer)).deleted


async def test_an_altered_notification_of_the_provider_is_refused(
    runtime,
    endpoint,  # noqa: F811
    hooked,
    fake_stripe,  # noqa: F811
):
    fake_stripe.customer()
    await eventually(lambda: endpoint.received, 10.0)
    one = endpoint.received[0]
    receiving = Receiving(runtime, StripeWebhooks([hooked], livemode=False))
    with pytest.raises(WebhookSignatureInvalid):
        await receiving.receive(one.body.replace(b"ada@", b"eve@"), one.signature)
    assert await receiving.receive(one.body, one.signature) is True
    assert await receiving.receive(one.body, one.signature) is False


async def test_a_provider_that_fails_opens_the_circuit_and_says_so(fake_stripe):  # noqa: F811
    provider = StripeProvider(StripeCalls("sk_test_wrong_key_0000", fake_stripe.url))
    with pytest.raises(PaymentProviderUnavailable, match="refuses this installation's key"):
        await provider.customer("cus_1")
    await provider.close()
    away = StripeProvider(StripeCalls(fake_stripe.key, "http://127.0.0.1:1", timeout_s=2.0))
    for _ in range(5):
        with pytest.raises(PaymentProviderUnavailable, match="cannot be reached"):
            await away.customer("cus_1")
    assert away._calls._circuit.is_open
    with pytest.raises(PaymentProviderUnavailable):
        await away.customer("cus_1")
    await away.close()
