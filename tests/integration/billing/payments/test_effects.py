"""What each kind of event leads to: access, notices once, marks, suspension, alarms, and the dead."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from cohortlens.billing.payments import inbox_rows
from cohortlens.billing.payments.alarms import ALARMS
from cohortlens.billing.payments.following import Following, Rules
from cohortlens.billing.payments.models import Charge, Customer, Dispute
from cohortlens.billing.payments.models import SubscriptionStatus as Status
from cohortlens.billing.payments.reconciling import Grace, purge_events, watch_inbox
from cohortlens.core.clock import now
from tests.fakes.scripted_provider import (
    ENT,
    STRANGE,
    State,
    event,
    invoice,
    session,
    subscription,
    unpaid_since,
)

UPDATED = "customer.subscription.updated"


def alarms(kind: str) -> float:
    return ALARMS.labels(kind).value


def unpaid(days: float):
    return unpaid_since(timedelta(days=days))


@pytest.mark.parametrize(
    ("status", "plan", "access"),
    [
        (Status.TRIALING, "professional", "FULL"),
        (Status.ACTIVE, "professional", "FULL"),
        (Status.UNPAID, "professional", "READ_ONLY"),
        (Status.PAUSED, "professional", "READ_ONLY"),
        (Status.INCOMPLETE, "basic", "FULL"),
        (Status.INCOMPLETE_EXPIRED, "basic", "FULL"),
        (Status.CANCELED, "basic", "FULL"),
    ],
)
async def test_each_status_leads_to_its_access(provider, deliver, work, seen, status, plan, access):
    provider.state = State((subscription(status),))
    await deliver(event("evt_1", UPDATED, "sub_1"))
    await work()
    found = await seen()
    assert (found["subscription"]["status"], found["plan"], found["access"]) == (status.value, plan, access)


async def test_no_subscription_at_all_is_the_plan_basic(provider, deliver, work, seen):
    await deliver(event("evt_1", "customer.updated", "cus_1"))
    await work()
    found = await seen()
    assert (found["subscription"]["status"], found["plan"], found["access"]) == ("NONE", "basic", "FULL")


async def test_an_incomplete_checkout_beside_a_paid_subscription_changes_nothing(
    provider, deliver, work, seen
):
    late = subscription(Status.INCOMPLETE, ENT, "sub_2", created_at=now())
    provider.state = State((subscription(Status.ACTIVE), late))
    await deliver(event("evt_1", "customer.subscription.created", "sub_2"))
    await work()
    found = await seen()
    assert (found["subscription"]["stripe_subscription_id"], found["plan"]) == ("sub_1", "professional")


async def test_a_bill_may_stay_unpaid_for_seven_days_and_then_data_can_only_be_read(
    database, provider, sealer, deliver, work, seen, mails
):
    grace = Grace(database, sealer, timedelta(days=7))
    provider.state = State((unpaid(6.9),))
    await deliver(event("evt_1", UPDATED, "sub_1"))
    await work()
    assert (await seen())["access"] == "FULL"
    assert await grace.end_due() == 0
    provider.state = State((unpaid(7.1),))
    await deliver(event("evt_2", UPDATED, "sub_1"))
    await work()
    assert (await seen())["access"] == "READ_ONLY"
    assert await mails() == ["billing_read_only"]
    provider.state = State((subscription(Status.ACTIVE),))
    await deliver(event("evt_3", "invoice.paid", "in_9"))
    await work()
    found = await seen()
    assert (found["access"], found["subscription"]["past_due_since"]) == ("FULL", None)


async def test_the_end_of_the_grace_needs_no_event(
    database, superuser, provider, sealer, deliver, work, seen, mails
):
    provider.state = State((unpaid(1),))
    await deliver(event("evt_1", UPDATED, "sub_1"))
    await work()
    await superuser.execute("UPDATE subscriptions SET past_due_since = past_due_since - interval '7 days'")
    grace = Grace(database, sealer, timedelta(days=7))
    assert [await grace.end_due(), await grace.end_due()] == [1, 0]
    found = await seen()
    assert (found["access"], found["plan"], found["subscription"]["access"]) == (
        "READ_ONLY",
        "professional",
        "READ_ONLY",
    )
    assert await mails() == ["billing_read_only"]


async def test_the_next_unpaid_bill_does_not_begin_the_grace_anew(provider, deliver, work, seen):
    provider.state = State((unpaid(5),))
    await deliver(event("evt_1", UPDATED, "sub_1"))
    await work()
    before = (await seen())["subscription"]["past_due_since"]
    provider.state = State((unpaid(0.1),))
    await deliver(event("evt_2", UPDATED, "sub_1"))
    await work()
    assert (await seen())["subscription"]["past_due_since"] == before


@pytest.mark.parametrize(
    ("kind", "subject", "state", "mail"),
    [
        (
            "customer.subscription.trial_will_end",
            "sub_1",
            State((subscription(Status.TRIALING, trial_end=now() + timedelta(days=3)),)),
            "billing_trial_ends",
        ),
        ("invoice.payment_failed", "in_9", State((unpaid(0.1),)), "billing_payment_failed"),
        ("invoice.payment_action_required", "in_9", State((unpaid(0.1),)), "billing_payment_needs_action"),
    ],
)
async def test_owners_are_told_once_for_each_event_however_often_it_comes(
    superuser, provider, deliver, work, mails, kind, subject, state, mail
):
    provider.state = state
    for _ in range(2):
        await deliver(event("evt_1", kind, subject))
        await work()
    await superuser.execute("SELECT app.billing_event_replay('evt_1')")
    assert await work() == 1
    assert await mails() == [mail]
    await deliver(event("evt_2", kind, subject))
    await work()
    assert await mails() == [mail, mail]


async def test_a_failed_payment_that_was_made_good_meanwhile_is_not_told(provider, deliver, work, mails):
    provider.state = State((subscription(Status.ACTIVE),), (invoice("in_9"),))
    await deliver(event("evt_1", "invoice.payment_failed", "in_9"))
    await work()
    assert await mails() == []


async def test_a_lost_dispute_suspends_the_tenant_once_and_tells_the_staff(
    database, superuser, shop, provider, sealer, deliver, work, events
):
    told = []

    async def suspended():
        told.append(True)

    worker = Following(database, provider, sealer, "worker-1", suspended=suspended)
    provider.charges["ch_1"] = Charge("ch_1", "cus_1", 4900, 0, "eur", True)
    provider.disputes["dp_1"] = Dispute("dp_1", "ch_1", "needs_response", "fraudulent", 4900, "eur")
    # A dispute names no customer: whom it is about is found by its charge.
    await deliver(event("evt_1", "charge.dispute.created", "dp_1", customer="", charge="ch_1"))
    await work(worker)
    status = "SELECT status FROM tenants WHERE id = $1"
    assert await superuser.fetchval(status, shop.tenant_id) == "ACTIVE"
    provider.disputes["dp_1"] = replace(provider.disputes["dp_1"], status="lost")
    await deliver(event("evt_2", "charge.dispute.closed", "dp_1", customer="", charge="ch_1"))
    await work(worker)
    assert await superuser.fetchval(status, shop.tenant_id) == "SUSPENDED"
    assert told == [True]
    assert {one["customer_id"] for one in (await events()).values()} == {"cus_1"}
    await superuser.execute("UPDATE tenants SET status = 'ACTIVE' WHERE id = $1", shop.tenant_id)
    await superuser.execute("SELECT app.billing_event_replay('evt_2')")
    await work(worker)
    assert await superuser.fetchval(status, shop.tenant_id) == "ACTIVE", "staff let it call again"
    actions = [
        row["action"]
        for row in await superuser.fetch(
            "SELECT action FROM audit_log WHERE tenant_id = $1 ORDER BY seq", shop.tenant_id
        )
    ]
    assert actions.count("billing.dispute.lost") == 1
    assert actions.count("platform.tenant.suspended") == 1


@pytest.mark.parametrize(
    ("kind", "object_id", "refs", "mark"),
    [
        ("charge.refunded", "ch_1", {}, "REFUND"),
        ("radar.early_fraud_warning.created", "issfr_1", {"charge": "ch_1"}, "FRAUD_WARNING"),
    ],
)
async def test_refunds_and_warnings_are_noted_once(
    superuser, shop, provider, deliver, work, kind, object_id, refs, mark
):
    provider.charges["ch_1"] = Charge("ch_1", "cus_1", 4900, 4900, "eur", False)
    before = alarms("money_back")
    for _ in range(2):
        await deliver(event("evt_1", kind, object_id, customer="", **refs))
        await work()
        await superuser.execute("SELECT app.billing_event_replay('evt_1')")
    await work()
    rows = await superuser.fetch("SELECT kind FROM billing_marks WHERE tenant_id = $1", shop.tenant_id)
    assert [row["kind"] for row in rows] == [mark]
    assert alarms("money_back") == before + 1


async def test_an_unknown_price_leaves_what_the_tenant_may_do_and_raises_an_alarm(
    provider, deliver, work, seen
):
    provider.state = State((subscription(Status.ACTIVE, ENT),))
    await deliver(event("evt_1", UPDATED, "sub_1"))
    await work()
    before = alarms("unknown_price")
    provider.state = State((subscription(Status.ACTIVE, STRANGE),))
    await deliver(event("evt_2", UPDATED, "sub_1"))
    await work()
    found = await seen()
    assert (found["plan"], found["access"], found["subscription"]["plan_id"]) == ("enterprise", "FULL", "")
    assert alarms("unknown_price") == before + 1


async def test_of_two_live_subscriptions_the_newest_active_one_counts_and_an_alarm_is_raised(
    provider, deliver, work, seen
):
    before = alarms("two_subscriptions")
    newest = subscription(Status.UNPAID, ENT, "sub_3", created_at=now())
    newer = subscription(Status.ACTIVE, ENT, "sub_2", created_at=now() - timedelta(days=1))
    provider.state = State((newest, newer, subscription(Status.ACTIVE)))
    await deliver(event("evt_1", UPDATED, "sub_2"))
    await work()
    found = await seen()
    assert (found["subscription"]["stripe_subscription_id"], found["plan"]) == ("sub_2", "enterprise")
    assert alarms("two_subscriptions") == before + 1


async def test_a_deleted_customer_ends_the_subscription(superuser, provider, deliver, work, seen):
    provider.state = State((subscription(Status.ACTIVE),))
    await deliver(event("evt_1", UPDATED, "sub_1"))
    await work()
    provider.state = State((), (), Customer("cus_1", deleted=True))
    await deliver(event("evt_2", "customer.deleted", "cus_1"))
    await work()
    found = await seen()
    assert (found["subscription"]["status"], found["plan"]) == ("CANCELED", "basic")
    profile = await superuser.fetchrow("SELECT email, customer_deleted_at FROM billing_profiles")
    assert profile["email"] == ""
    assert profile["customer_deleted_at"] is not None


async def test_an_event_whose_metadata_names_another_tenant_is_dead_and_the_rest_goes_on(
    provider, deliver, work, seen, events, shop
):
    before = alarms("metadata_mismatch")
    provider.state = State((subscription(Status.ACTIVE),))
    provider.sessions["cs_1"] = session("cs_1", "0193b0a0-0000-7000-8000-000000000001")
    await deliver(
        event("evt_1", UPDATED, "sub_1", tenant="0193b0a0-0000-7000-8000-000000000001"),
        event("evt_2", "checkout.session.completed", "cs_1"),
        event("evt_3", UPDATED, "sub_1", tenant=str(shop.tenant_id)),
    )
    await work()
    told = await events()
    assert {name: row["state"] for name, row in told.items()} == {
        "evt_1": "DEAD",
        "evt_2": "DEAD",
        "evt_3": "DONE",
    }
    assert (await seen())["plan"] == "professional"
    assert alarms("metadata_mismatch") == before + 2


async def test_an_unknown_customer_is_tried_twelve_times_and_is_dead_then(deliver, work, events, monkeypatch):
    monkeypatch.setattr(inbox_rows, "back_off_s", lambda _: 0.0)
    before = alarms("event_dead")
    await deliver(event("evt_1", UPDATED, "sub_1", customer="cus_of_nobody"))
    assert await work() == 12
    row = (await events())["evt_1"]
    assert (row["state"], row["attempts"]) == ("DEAD", 12)
    assert "no tenant pays as this customer" in row["last_error"]
    assert alarms("event_dead") == before + 1


async def test_the_customer_of_another_account_is_never_taken_for_a_cancelled_one(
    provider, deliver, work, seen, events
):
    provider.state = State((subscription(Status.ACTIVE),))
    await deliver(event("evt_1", UPDATED, "sub_1"))
    await work()
    provider.state = State(customer=None)  # as with a key of another account
    await deliver(event("evt_2", UPDATED, "sub_1"))
    await work()
    assert (await seen())["plan"] == "professional"
    assert (await events())["evt_2"]["state"] == "PENDING"


async def test_an_outage_of_the_provider_kills_no_event_however_long_it_lasts(
    provider, deliver, work, seen, events, monkeypatch, following
):
    monkeypatch.setattr(inbox_rows, "back_off_s", lambda _: 0.0)
    provider.down = True
    await deliver(event("evt_1", UPDATED, "sub_1"))

    async def claims(count: int, worker: Following) -> None:
        for _ in range(count):
            claim = await worker.claim()
            assert claim is not None
            await worker.work(claim)

    await claims(30, following)
    assert (await events())["evt_1"]["state"] == "PENDING"
    provider.down = False
    provider.state = State((subscription(Status.ACTIVE),))
    await work()
    assert (await seen())["plan"] == "professional"


async def test_a_worker_that_lost_its_customer_to_another_writes_nothing(
    database, provider, sealer, deliver, work, seen, events
):
    slow = Following(database, provider, sealer, "slow", rules=Rules(lease_s=0.0))
    quick = Following(database, provider, sealer, "quick")
    provider.state = State((subscription(Status.ACTIVE),))
    await deliver(event("evt_1", UPDATED, "sub_1"))
    late = await slow.claim()
    assert late is not None
    provider.state = State((subscription(Status.CANCELED),))
    await work(quick)
    provider.state = State((subscription(Status.ACTIVE),))
    await slow.work(late)
    assert (await seen())["subscription"]["status"] == "CANCELED"
    assert (await events())["evt_1"]["state"] == "DONE"


async def test_a_change_is_in_the_audit_log_once(superuser, shop, provider, deliver, work):
    provider.state = State((subscription(Status.ACTIVE),))
    for name in ("evt_1", "evt_2"):
        await deliver(event(name, UPDATED, "sub_1"))
        await work()
    rows = await superuser.fetch(
        "SELECT actor FROM audit_log WHERE tenant_id = $1 AND action = 'billing.subscription.changed'",
        shop.tenant_id,
    )
    assert [row["actor"] for row in rows] == ["job:billing_inbox"]


async def test_ended_events_are_dropped_after_their_time_and_dead_ones_stay(
    superuser, shop, database, deliver, work, events
):
    await deliver(event("evt_1", "customer.updated", "cus_1"), event("evt_2", "customer.updated", "cus_1"))
    await work()
    await superuser.execute("UPDATE stripe_events SET state = 'DEAD' WHERE event_id = 'evt_2'")
    await superuser.execute("UPDATE stripe_events SET ended_at = ended_at - interval '31 days'")
    assert await purge_events(database) == 1
    assert set(await events()) == {"evt_2"}
    assert await watch_inbox(database) == 0


async def test_the_gateway_role_can_store_events_and_neither_read_nor_claim_them(runtime, deliver):
    await deliver(event("evt_1", UPDATED, "sub_1"))
    for statement in (
        "SELECT payload FROM stripe_events",
        "UPDATE stripe_events SET state = 'DONE'",
        "SELECT * FROM stripe_syncs",
        "SELECT app.billing_tenant_of('cus_1', false)",
        "SELECT app.billing_ask_all(false, 'x', 1)",
        "INSERT INTO subscriptions (tenant_id, stripe_customer_id, livemode, status)"
        " VALUES (app.tid(), 'x', false, 'ACTIVE')",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with runtime.transaction() as tx:
                await tx.execute(text(statement))
