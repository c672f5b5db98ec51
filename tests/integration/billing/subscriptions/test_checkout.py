"""The checkout over PostgreSQL: one page, however often and from wherever it is asked for."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from cohortlens.adapters.no_payments import NoPayments
from cohortlens.billing.models import Interval
from cohortlens.billing.payments.models import Customer, PaymentProviderUnavailable, SubscriptionStatus
from cohortlens.billing.subscriptions.checkout import OPEN_HOURS, PAGE_LIFE
from cohortlens.billing.subscriptions.models import AlreadySubscribed
from cohortlens.billing.subscriptions.offers import Terms
from cohortlens.billing.subscriptions.return_urls import ReturnUrls
from cohortlens.billing.subscriptions.service import Subscriptions
from cohortlens.core.errors import Aborted, InvalidArgument
from tests.fixtures.crew import actions
from tests.integration.billing.subscriptions.conftest import PUBLIC_URL


@pytest.fixture
def checkout(subscriptions):
    return subscriptions.checkout


@pytest.fixture
def opened(checkout, owner):
    async def of(plan="professional", interval=Interval.MONTH, **urls):
        return await checkout.create(owner(), plan=plan, interval=interval, **urls)

    return of


@pytest.fixture
def states(superuser, tenants):
    async def now():
        rows = await superuser.fetch("SELECT plan, state FROM checkout_intents ORDER BY created_at")
        return [(row["plan"], row["state"]) for row in rows]

    return now


async def test_a_checkout_is_a_page_for_the_tenant_and_the_plan(opened, provider, price, tenants, superuser):
    intent = await opened()

    session = provider.sessions[intent.session_id]
    tenant = str(tenants[0].tenant_id)
    assert (intent.url, intent.session_id) == (session.url, "cs_1")
    assert session.client_reference_id == tenant
    assert session.metadata == {"tenant_id": tenant, "plan": "professional"}
    assert provider.told["cs_1"]["price"] == await price("professional")
    assert provider.told["cs_1"]["success_url"] == f"{PUBLIC_URL}/billing/return"
    customer = provider.customers[session.customer_id]
    assert customer.email == tenants[0].email
    stored = await superuser.fetchrow("SELECT tenant_id, stripe_customer_id, livemode FROM billing_profiles")
    assert tuple(stored) == (tenants[0].tenant_id, customer.id, False)
    assert [one[0] for one in await actions(superuser, tenants[0].tenant_id)][-2:] == [
        "billing.customer.created",
        "billing.checkout.opened",
    ]


async def test_the_same_plan_again_is_the_same_page(opened, provider):
    first = await opened()
    again = await opened()

    assert again.url == first.url
    assert provider.made["create_checkout"] == 1


async def test_twenty_clicks_at_once_open_one_page_for_one_customer(opened, provider, states):
    pages = await asyncio.gather(*(opened() for _ in range(20)))

    assert {page.url for page in pages} == {"https://pay.test/cs_1"}
    assert provider.made["create_customer"] == provider.made["create_checkout"] == 1
    assert len(provider.keys["create_checkout"]) == 1
    assert await states() == [("professional", "OPEN")]


async def test_another_plan_ends_the_page_before(opened, provider, states):
    first = await opened()
    second = await opened("enterprise")

    assert second.url != first.url
    assert provider.sessions[first.session_id].status == "expired"
    assert provider.made["create_customer"] == 1
    assert await states() == [("professional", "EXPIRED"), ("enterprise", "OPEN")]


async def test_another_interval_is_another_page(opened, provider, price):
    await opened()
    yearly = await opened(interval=Interval.YEAR)

    assert provider.told[yearly.session_id]["price"] == await price("professional", "year")
    assert provider.sessions["cs_1"].status == "expired"


async def test_clicks_on_two_plans_at_once_leave_one_page_open(opened, provider, states):
    await asyncio.gather(*(opened(plan) for plan in ("professional", "enterprise") * 5))

    assert [one.status for one in provider.sessions.values()].count("open") == 1
    assert [state for _, state in await states()].count("OPEN") == 1


async def test_a_page_that_is_paid_or_over_is_not_handed_out_again(opened, provider, states, superuser):
    first = await opened()
    provider.sessions[first.session_id] = replace(provider.sessions[first.session_id], status="expired")
    second = await opened()
    assert second.session_id != first.session_id

    provider.sessions[second.session_id] = replace(provider.sessions[second.session_id], status="complete")
    with pytest.raises(AlreadySubscribed, match="being confirmed"):
        await opened()
    assert await states() == [("professional", "EXPIRED"), ("professional", "COMPLETED")]
    assert await superuser.fetchval("SELECT count(*) FROM stripe_events") == 1


@pytest.mark.parametrize("step", ["create_customer", "create_checkout"])
@pytest.mark.parametrize("moment", ["fails_before", "fails_after"])
async def test_a_call_that_broke_off_is_ended_by_the_next_one(opened, provider, states, step, moment):
    getattr(provider, moment)[step] = 1
    with pytest.raises(PaymentProviderUnavailable):
        await opened()

    began = time.monotonic()
    assert (await opened()).session_id == "cs_1"
    assert time.monotonic() - began < 5, "the turn of the call that broke off was not given back"
    assert provider.made["create_customer"] == provider.made["create_checkout"] == 1
    assert len(set(provider.keys[step])) == 1
    assert await states() == [("professional", "OPEN")]


@pytest.mark.parametrize("step", ["create_customer", "create_checkout"])
async def test_an_answer_of_5xx_that_the_provider_repeats_to_its_key_does_not_last(
    opened, provider, states, step
):
    provider.fails_for_key[step] = 1
    with pytest.raises(PaymentProviderUnavailable):
        await opened()

    assert (await opened()).session_id == "cs_1"
    assert len(set(provider.keys[step])) == 2
    assert await states() == [("professional", "EXPIRED"), ("professional", "OPEN")]


async def test_a_page_whose_making_nobody_saw_is_closed_before_another_plan(opened, provider, states):
    provider.fails_after["create_checkout"] = 1
    with pytest.raises(PaymentProviderUnavailable):
        await opened()

    await opened("enterprise")

    assert [one.status for one in provider.sessions.values()] == ["expired", "open"]
    assert await states() == [("professional", "EXPIRED"), ("enterprise", "OPEN")]


async def test_a_page_that_cannot_be_closed_keeps_the_other_plan_away(opened, provider, states):
    await opened()
    provider.fails_before["expire_checkout"] = 1
    with pytest.raises(PaymentProviderUnavailable):
        await opened("enterprise")
    assert await states() == [("professional", "OPEN")]

    await opened("enterprise")
    assert [one.status for one in provider.sessions.values()] == ["expired", "open"]


async def test_a_process_that_died_in_its_turn_is_waited_for_and_replaced(opened, provider, superuser):
    provider.fails_before["create_customer"] = 1
    with pytest.raises(PaymentProviderUnavailable):
        await opened()
    await superuser.execute(
        "UPDATE checkout_intents SET worker = gen_random_uuid(),"
        " working_until = clock_timestamp() + interval '1 second'"
    )

    began = time.monotonic()
    assert (await opened()).session_id == "cs_1"
    assert time.monotonic() - began > 0.5


async def test_a_call_without_time_to_wait_says_so(checkout, tenants, superuser, opened, provider):
    provider.fails_before["create_customer"] = 1
    with pytest.raises(PaymentProviderUnavailable):
        await opened()
    await superuser.execute(
        "UPDATE checkout_intents SET worker = gen_random_uuid(),"
        " working_until = clock_timestamp() + interval '1 minute'"
    )

    with pytest.raises(Aborted, match="another request"):
        await checkout.create(tenants[0].context(timeout_s=0.5), plan="professional", interval=Interval.MONTH)


async def test_a_subscribed_tenant_is_sent_to_change_plan(opened, database, tenants, provider, states):
    await _store_subscription(database, tenants[0].tenant_id)

    with pytest.raises(AlreadySubscribed, match="ChangePlan"):
        await opened()
    assert provider.sessions == {}
    assert await states() == []


async def test_a_subscription_that_only_the_provider_knows_counts_too(
    opened, provider, pays, price, superuser, states
):
    provider.subscribe(await pays(), await price("professional"))

    with pytest.raises(AlreadySubscribed):
        await opened()
    assert provider.sessions == {}
    assert await states() == [("professional", "EXPIRED")]
    asked = await superuser.fetchrow("SELECT type, customer_id, state FROM stripe_events")
    assert tuple(asked) == ("cohortlens.reconcile", "cus_paying", "PENDING")


async def test_a_page_that_was_just_paid_leads_to_no_second_one(opened, provider, states, superuser):
    intent = await opened()
    provider.sessions[intent.session_id] = replace(provider.sessions[intent.session_id], status="complete")

    with pytest.raises(AlreadySubscribed, match="being confirmed"):
        await opened("enterprise")
    assert await states() == [("professional", "COMPLETED")]
    assert await superuser.fetchval("SELECT count(*) FROM stripe_events") == 1
    assert len(provider.sessions) == 1


async def test_a_trial_is_given_once_in_the_life_of_a_tenant(opened, provider, database, tenants, superuser):
    first = await opened()
    assert provider.told[first.session_id]["trial_days"] == 14

    await _store_subscription(database, tenants[0].tenant_id, status="CANCELED")
    await superuser.execute("UPDATE checkout_intents SET state = 'COMPLETED', closed_at = now()")
    second = await opened()
    assert provider.told[second.session_id]["trial_days"] == 0


async def test_a_customer_that_was_deleted_at_the_provider_is_made_again(opened, provider, pays, superuser):
    provider.customers["cus_paying"] = Customer("cus_paying", deleted=True)
    await pays()

    intent = await opened()
    made = provider.sessions[intent.session_id].customer_id
    assert made != "cus_paying"
    assert await superuser.fetchval("SELECT stripe_customer_id FROM billing_profiles") == made


async def test_a_page_that_is_nearly_over_is_replaced(opened, provider, superuser, states):
    await opened()
    await superuser.execute("UPDATE checkout_intents SET expires_at = now() + interval '10 minutes'")

    again = await opened()
    assert again.session_id == "cs_2"
    assert await states() == [("professional", "EXPIRED"), ("professional", "OPEN")]


async def test_a_plan_that_is_not_sold_leaves_the_open_page_alone(opened, provider, states):
    await opened()
    with pytest.raises(InvalidArgument, match="no plan is called"):
        await opened("platinum")
    assert provider.sessions["cs_1"].status == "open"
    assert await states() == [("professional", "OPEN")]


async def test_an_address_that_is_not_ours_is_refused_before_anything_is_made(opened, provider, states):
    with pytest.raises(InvalidArgument) as refused:
        await opened(success_url="https://app.shop.example.evil.test/")
    assert refused.value.reason == "URL_NOT_ALLOWED"
    assert [one.field for one in refused.value.violations] == ["success_url"]
    assert await states() == []


async def test_without_a_provider_the_operator_is_told_what_to_set(runtime, tenants, superuser):
    use_cases = Subscriptions.over(runtime, NoPayments(), Terms(), ReturnUrls(PUBLIC_URL))
    ctx = tenants[0].context()

    for call in (
        use_cases.checkout.create(ctx, plan="professional", interval=Interval.MONTH),
        use_cases.changes.change_plan(ctx, plan="professional"),
        use_cases.changes.cancel(ctx),
        use_cases.changes.resume(ctx),
        use_cases.changes.open_portal(ctx),
    ):
        with pytest.raises(PaymentProviderUnavailable, match="COHORTLENS_STRIPE_API_KEY"):
            await call
    assert await superuser.fetchval("SELECT count(*) FROM checkout_intents") == 0


async def test_without_prices_at_the_provider_the_operator_is_told_what_to_run(opened, superuser, provider):
    await superuser.execute("UPDATE plan_prices SET stripe_price_id = NULL")
    with pytest.raises(PaymentProviderUnavailable, match="cohortlens billing sync-catalogue"):
        await opened()


async def test_the_end_of_a_page_frees_the_tenant_for_the_next(checkout, opened, provider, database, tenants):
    for status, state in (("expired", "EXPIRED"), ("complete", "COMPLETED")):
        intent = await opened()
        ended = replace(provider.sessions[intent.session_id], status=status)
        provider.sessions[intent.session_id] = ended
        for _ in range(2):
            async with database.tenant_transaction(tenants[0].tenant_id) as tx:
                await checkout.settled(tx, tenants[0].tenant_id, ended)
        assert (await opened()).session_id != intent.session_id, state


async def test_left_open_checkouts_expire_after_a_day_and_go_after_ninety(
    subscriptions, opened, superuser, states, database, runtime
):
    await opened()
    jobs = Subscriptions.over(database, subscriptions.checkout._provider, Terms(), ReturnUrls(PUBLIC_URL))
    assert await jobs.checkout.tidy() == 0
    await superuser.execute(
        "UPDATE checkout_intents SET created_at = now() - interval '25 hours',"
        " expires_at = now() - interval '2 hours'"
    )
    assert await jobs.checkout.tidy() == 1
    assert await states() == [("professional", "EXPIRED")]
    await superuser.execute("UPDATE checkout_intents SET closed_at = now() - interval '91 days'")
    assert await jobs.checkout.tidy() == 1
    assert await states() == []


async def test_tenants_do_not_see_each_others_checkouts(checkout, tenants, runtime, provider):
    north, south = (one.context() for one in tenants)
    first = await checkout.create(north, plan="professional", interval=Interval.MONTH)
    second = await checkout.create(south, plan="professional", interval=Interval.MONTH)

    assert first.url != second.url
    assert len(provider.customers) == 2
    async with runtime.tenant_transaction(tenants[1].tenant_id) as tx:
        seen = list(await tx.scalars(text("SELECT stripe_session_id FROM checkout_intents")))
    assert seen == [second.session_id]


async def _store_subscription(database, tenant_id, status=SubscriptionStatus.ACTIVE.value):
    async with database.tenant_transaction(tenant_id) as tx:
        await tx.execute(
            text(
                "INSERT INTO subscriptions (tenant_id, stripe_subscription_id, stripe_customer_id, livemode,"
                " status, plan_id) VALUES (:tenant, 'sub_1', 'cus_1', false, :status, 'professional')"
            ),
            {"tenant": tenant_id, "status": status},
        )


def test_a_page_lives_shorter_than_the_keys_of_the_provider():
    assert timedelta(minutes=30) < PAGE_LIFE < timedelta(hours=24) <= timedelta(hours=OPEN_HOURS)
