"""Changing, ending and resuming a subscription: what reaches the provider, and what is answered and noted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cohortlens.billing.models import Interval, PlanUnknown, SubscriptionInactive
from cohortlens.billing.payments.models import PaymentProviderUnavailable, Proration, SubscriptionStatus
from cohortlens.billing.subscriptions.living import ASKED
from cohortlens.billing.subscriptions.models import Effective
from cohortlens.core.errors import InvalidArgument
from cohortlens.core.idempotency import Claim, KeyScope, effects_of
from cohortlens.core.idempotency_keys import IdempotencyKeys
from cohortlens.core.tenant_keys import TenantKeys
from tests.fakes.payments import END, NOW
from tests.fixtures.crew import actions


@pytest.fixture
def changes(subscriptions):
    return subscriptions.changes


@pytest.fixture
def subscribed(provider, price, pays):
    async def to(plan="professional", interval="month", currency="EUR", **state):
        return provider.subscribe(await pays(), await price(plan, interval, currency), **state)

    return to


@pytest.fixture
def noted(superuser, tenants):
    async def last() -> str:
        return (await actions(superuser, tenants[0].tenant_id))[-1][0]

    return last


@pytest.fixture
def attempt(runtime, tenants, owner, superuser):
    """Takes the key of one request for its next attempt."""
    keys = IdempotencyKeys(runtime, TenantKeys(bytes(range(32))))
    scope = KeyScope(tenants[0].tenant_id, owner().caller.actor, "m", "k")

    async def following() -> Claim:
        await superuser.execute("UPDATE idempotency_keys SET locked_until = now()")
        return (await keys.take(scope, b"", 30)).claim

    return following


async def test_a_preview_says_what_it_costs_and_breaks_and_changes_nothing(
    changes, subscribed, provider, owner, superuser
):
    await subscribed("enterprise")
    await superuser.execute("UPDATE tenant_usage SET customers = 26_000, users = 12")

    weighed = await changes.change_plan(owner(), plan="professional", validate_only=True)

    assert weighed.subscription.plan == "enterprise"
    assert (weighed.preview.amount_due_minor, weighed.preview.currency) == (0, "eur")
    by_reason = {one.reason: one for one in weighed.warnings}
    assert (by_reason["customers_over"].used, by_reason["customers_over"].limit) == (26_000, 25_000)
    assert (by_reason["users_over"].used, by_reason["users_over"].limit) == (12, 10)
    assert "marketplace" in by_reason["features_lost"].features
    assert not provider.made


async def test_the_preview_of_a_greater_plan_is_the_rest_of_the_period(changes, subscribed, owner):
    await subscribed("professional")
    weighed = await changes.change_plan(owner(), plan="enterprise", validate_only=True)
    assert (weighed.preview.amount_due_minor, weighed.preview.currency) == (24950, "eur")
    assert weighed.preview.prorated_at == weighed.preview.effective_at == NOW


@pytest.mark.parametrize(
    ("before", "plan", "interval", "proration"),
    [
        (("professional", "month"), "enterprise", None, Proration.INVOICE_NOW),
        (("professional", "month"), "professional", Interval.YEAR, Proration.INVOICE_NOW),
        (("professional", "year"), "enterprise", Interval.MONTH, Proration.INVOICE_NOW),
        (("enterprise", "month"), "professional", None, Proration.NONE),
        (("enterprise", "month"), "professional", Interval.YEAR, Proration.NONE),
        (("professional", "month"), "basic", None, Proration.NONE),
    ],
)
async def test_a_smaller_plan_at_once_gives_nothing_back(
    changes, subscribed, provider, owner, before, plan, interval, proration
):
    await subscribed(*before)
    await changes.change_plan(owner(), plan=plan, interval=interval)
    assert provider.told["proration"] is proration


async def test_the_plan_that_runs_costs_nothing_also_when_it_is_cancelled(changes, subscribed, owner):
    await subscribed("enterprise", cancel_at_period_end=True)
    weighed = await changes.change_plan(owner(), plan="enterprise", validate_only=True)
    assert (weighed.preview.amount_due_minor, weighed.preview.lines, weighed.warnings) == (0, (), ())
    assert weighed.preview.prorated_at is None


async def test_who_has_not_paid_is_told_until_when_that_changes_nothing(
    changes, subscriptions, subscribed, owner, superuser, tenants
):
    bought = await subscribed("enterprise", status=SubscriptionStatus.PAST_DUE)
    await superuser.execute(
        "INSERT INTO subscriptions (tenant_id, stripe_customer_id, livemode, stripe_subscription_id, status,"
        " plan_id, past_due_since) VALUES ($1, 'cus_paying', false, $2, 'PAST_DUE', 'enterprise', $3)",
        tenants[0].tenant_id,
        bought.id,
        NOW,
    )
    stored = await subscriptions.reads.subscription(owner())
    weighed = await changes.change_plan(owner(), plan="professional", validate_only=True)
    assert stored.grace_end == weighed.subscription.grace_end == NOW + timedelta(days=7)


async def test_an_upgrade_takes_effect_at_once_and_warns_of_nothing(
    changes, subscribed, provider, price, owner, noted, superuser
):
    held = await subscribed()

    changed = await changes.change_plan(owner(), plan="enterprise")

    assert changed.subscription.plan == "enterprise"
    assert (changed.preview, changed.warnings) == (None, ())
    assert provider.subscriptions[held.id].items[0].price_id == await price("enterprise")
    assert await noted() == "billing.subscription.plan_changed"
    asked = await superuser.fetchrow("SELECT type, customer_id FROM stripe_events")
    assert tuple(asked) == ("cohortlens.reconcile", "cus_paying")


async def test_a_change_at_the_end_of_the_period_is_planned_and_can_be_taken_back(
    changes, subscribed, provider, price, owner, noted
):
    held = await subscribed("enterprise")

    planned = (await changes.change_plan(owner(), plan="basic", effective=Effective.PERIOD_END)).subscription
    assert (planned.plan, planned.planned_plan, planned.planned_at) == ("enterprise", "basic", END)
    assert provider.subscriptions[held.id].items[0].price_id == await price("enterprise")
    assert await noted() == "billing.subscription.plan_change_planned"

    back = (await changes.change_plan(owner(), plan="enterprise")).subscription
    assert (back.plan, back.planned_plan) == ("enterprise", "")
    assert provider.subscriptions[held.id].schedule_id == ""
    assert await noted() == "billing.subscription.plan_change_withdrawn"


async def test_the_preview_of_a_planned_change_is_the_next_period(changes, subscribed, owner):
    await subscribed("enterprise")
    weighed = await changes.change_plan(
        owner(), plan="professional", effective=Effective.PERIOD_END, validate_only=True
    )
    assert (weighed.preview.amount_due_minor, weighed.preview.effective_at) == (4900, END)
    assert weighed.preview.prorated_at is None


async def test_a_change_at_once_drops_a_planned_one(changes, subscribed, provider, owner):
    held = await subscribed("professional")
    await changes.change_plan(owner(), plan="basic", effective=Effective.PERIOD_END)
    await changes.change_plan(owner(), plan="enterprise")
    assert provider.made["release_schedule"] == 1
    assert provider.subscriptions[held.id].schedule_id == ""


async def test_interval_and_currency_stay_as_they_are_unless_said_otherwise(
    changes, subscribed, provider, price, owner
):
    held = await subscribed("professional", "year", "USD")
    await changes.change_plan(owner(), plan="enterprise")
    assert provider.subscriptions[held.id].items[0].price_id == await price("enterprise", "year", "USD")

    monthly = await changes.change_plan(owner(), plan="enterprise", interval=Interval.MONTH)
    assert provider.subscriptions[held.id].items[0].price_id == await price("enterprise", "month", "USD")
    assert monthly.subscription.interval is Interval.MONTH


async def test_the_plan_that_runs_is_no_change(changes, subscribed, provider, owner):
    await subscribed()
    assert (await changes.change_plan(owner(), plan="professional")).subscription.plan == "professional"
    assert not provider.made


async def test_the_moment_of_a_preview_holds_for_an_hour_and_is_not_the_tenants_choice(
    changes, subscribed, provider, owner
):
    await subscribed()
    for chosen in (NOW - timedelta(hours=2), NOW + timedelta(days=10)):
        with pytest.raises(InvalidArgument, match="at most an hour old"):
            await changes.change_plan(owner(), plan="enterprise", prorated_at=chosen)
    assert not provider.made

    await changes.change_plan(owner(), plan="enterprise", prorated_at=NOW - timedelta(minutes=20))
    assert provider.told["prorated_at"] == NOW - timedelta(minutes=20)


async def test_cancelling_ends_with_the_period_unless_said_otherwise(
    changes, subscribed, provider, owner, noted
):
    held = await subscribed()

    view = await changes.cancel(owner())
    assert (view.status, view.plan, view.cancel_at_period_end) == ("ACTIVE", "professional", True)
    assert await noted() == "billing.subscription.cancel_planned"
    assert (await changes.cancel(owner())).cancel_at_period_end
    assert provider.made["cancel"] == 1

    ended = await changes.cancel(owner(), at_period_end=False)
    assert (ended.status, ended.plan) == ("CANCELED", "basic")
    assert provider.subscriptions[held.id].status is SubscriptionStatus.CANCELED
    assert await noted() == "billing.subscription.canceled"
    assert (await changes.cancel(owner(), at_period_end=False)).status == "CANCELED"
    assert provider.made["cancel"] == 2


async def test_cancelling_drops_a_planned_change(changes, subscribed, provider, owner):
    await subscribed("enterprise")
    await changes.change_plan(owner(), plan="basic", effective=Effective.PERIOD_END)
    await changes.cancel(owner())
    assert provider.made["release_schedule"] == 1


async def test_what_ends_with_its_period_takes_no_planned_change(changes, subscribed, owner):
    await subscribed(cancel_at_period_end=True)
    with pytest.raises(SubscriptionInactive, match="ResumeSubscription"):
        await changes.change_plan(owner(), plan="basic", effective=Effective.PERIOD_END)


@pytest.mark.parametrize(
    "state", [{"cancel_at_period_end": True}, {"status": SubscriptionStatus.PAUSED}], ids=str
)
async def test_resuming_lets_it_go_on(changes, subscribed, provider, owner, noted, state):
    await subscribed(**state)
    view = await changes.resume(owner())
    assert (view.status, view.cancel_at_period_end) == ("ACTIVE", False)
    assert await noted() == "billing.subscription.resumed"
    assert not (await changes.resume(owner())).cancel_at_period_end
    assert provider.made["resume"] == 1


async def test_without_a_subscription_there_is_nothing_to_change(changes, owner, pays, provider):
    calls = (
        lambda: changes.change_plan(owner(), plan="enterprise"),
        lambda: changes.cancel(owner()),
        lambda: changes.cancel(owner(), at_period_end=False),
        lambda: changes.resume(owner()),
    )
    for call in (*calls, lambda: changes.open_portal(owner())):
        with pytest.raises(SubscriptionInactive, match="CreateCheckoutSession"):
            await call()
    await pays()
    for call in calls:
        with pytest.raises(SubscriptionInactive, match="CreateCheckoutSession"):
            await call()
    assert not provider.made


@pytest.mark.parametrize("status", ["UNPAID", "PAUSED", "INCOMPLETE"])
async def test_an_unpaid_subscription_is_paid_before_it_is_changed(changes, subscribed, owner, status):
    await subscribed(status=SubscriptionStatus(status))
    with pytest.raises(SubscriptionInactive, match="CreatePortalSession"):
        await changes.change_plan(owner(), plan="enterprise")


async def test_one_that_ended_long_ago_is_not_ended_again(changes, subscribed, owner):
    ended = datetime.now(UTC) - timedelta(days=3)
    await subscribed(status=SubscriptionStatus.CANCELED, ended_at=ended)
    with pytest.raises(SubscriptionInactive):
        await changes.cancel(owner(), at_period_end=False)


async def test_a_plan_that_does_not_exist_is_named(changes, subscribed, owner):
    await subscribed()
    with pytest.raises(PlanUnknown, match="basic, professional, enterprise"):
        await changes.change_plan(owner(), plan="platinum")


async def test_the_portal_comes_back_to_pages_of_ours(changes, pays, owner, noted):
    await pays()
    assert (await changes.open_portal(owner())).startswith("https://portal.test/cus_paying/")
    assert await noted() == "billing.portal.opened"
    with pytest.raises(InvalidArgument) as refused:
        await changes.open_portal(owner(), return_url="https://evil.test/")
    assert refused.value.reason == "URL_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("write", "state", "call"),
    [
        ("change_price", {}, lambda c, ctx: c.change_plan(ctx, plan="enterprise")),
        (
            "schedule_price",
            {},
            lambda c, ctx: c.change_plan(ctx, plan="basic", effective=Effective.PERIOD_END),
        ),
        ("cancel", {}, lambda c, ctx: c.cancel(ctx, at_period_end=False)),
        ("resume", {"cancel_at_period_end": True}, lambda c, ctx: c.resume(ctx)),
        ("create_portal", {}, lambda c, ctx: c.open_portal(ctx)),
    ],
)
async def test_a_repeat_after_a_lost_answer_has_one_effect_and_the_same_answer(
    changes, subscribed, provider, owner, tenants, superuser, attempt, write, state, call
):
    await subscribed(**state)
    provider.fails_after[write] = 1

    with effects_of(await attempt()), pytest.raises(PaymentProviderUnavailable):
        await call(changes, owner())
    with effects_of(await attempt()):
        again = await call(changes, owner())
    with effects_of(await attempt()):
        # The second one's answer was lost behind what it noted.
        assert await call(changes, owner()) == again

    assert again
    assert provider.made[write] == 1
    told = [action for action, _ in await actions(superuser, tenants[0].tenant_id)]
    assert len([one for one in told if one.startswith("billing.") and one != ASKED]) == 1
    # Who asked stood there before anything was done, also in the attempt that broke off.
    assert (told[0] == ASKED) == (write != "create_portal")
    assert len(set(provider.keys[write])) == 1


async def test_a_repeat_of_a_5xx_is_written_once_more_under_another_key(
    changes, subscribed, provider, owner, attempt
):
    held = await subscribed()
    provider.fails_for_key["change_price"] = 1

    with effects_of(await attempt()), pytest.raises(PaymentProviderUnavailable):
        await changes.change_plan(owner(), plan="enterprise")
    assert provider.subscriptions[held.id].items == held.items
    with effects_of(await attempt()):
        changed = await changes.change_plan(owner(), plan="enterprise")

    assert changed.subscription.plan == "enterprise"
    first, again, other = provider.keys["change_price"]
    assert first == again != other


async def test_two_requests_have_two_keys(changes, subscribed, provider, owner):
    await subscribed()
    await changes.change_plan(owner(), plan="enterprise")
    await changes.change_plan(owner(), plan="professional")
    await changes.change_plan(owner(), plan="enterprise")
    assert len(set(provider.keys["change_price"])) == 3


async def test_the_newest_subscription_counts_when_there_are_two(changes, subscribed, provider, price, owner):
    await subscribed("professional")
    newer = provider.subscribe("cus_paying", await price("enterprise"))
    view = await changes.cancel(owner())
    assert view.plan == "enterprise"
    assert provider.subscriptions[newer.id].cancel_at_period_end
    provider.put(replace(newer, status=SubscriptionStatus.CANCELED, ended_at=END))
    assert (await changes.cancel(owner())).plan == "professional"
