"""Every order of arrival, with duplicates and with losses, ends in the same state."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from cohortlens.billing.payments.models import SubscriptionStatus as Status
from cohortlens.billing.payments.reconciling import Reconciling
from cohortlens.core.clock import now
from tests.fakes.scripted_provider import ENT, PRO, State, event, invoice, schedule, subscription

ACTIVE = subscription(Status.ACTIVE)
# A life at the provider: each state with the event that tells of it.
LIFE = [
    (
        "customer.subscription.created",
        "sub_1",
        State((subscription(Status.INCOMPLETE),), (invoice("in_1", "open"),)),
    ),
    ("invoice.paid", "in_1", State((ACTIVE,), (invoice("in_1"),))),
    (
        "customer.subscription.updated",
        "sub_1",
        State((replace(ACTIVE, schedule=schedule(ENT), schedule_id="sched_1"),), (invoice("in_1"),)),
    ),
    (
        "invoice.payment_failed",
        "in_2",
        State(
            (subscription(Status.PAST_DUE, ENT, latest_invoice=invoice("in_2", "open")),),
            (invoice("in_1"), invoice("in_2", "open")),
        ),
    ),
    (
        "customer.subscription.deleted",
        "sub_1",
        State(
            (subscription(Status.CANCELED, ENT, latest_invoice=invoice("in_2", "void")),),
            (invoice("in_1"), invoice("in_2", "void")),
        ),
    ),
]
STATES = [state for _, _, state in LIFE]
EVENTS = [event(f"evt_{place}", kind, subject) for place, (kind, subject, _) in enumerate(LIFE)]
ORDERS = list(itertools.permutations(range(5)))


@pytest.fixture
async def fresh(superuser, shop):
    """Forgets what came before, all but the tenant."""

    async def clear():
        await superuser.execute(
            "DELETE FROM subscriptions; DELETE FROM invoices; DELETE FROM stripe_events;"
            " DELETE FROM stripe_syncs; DELETE FROM billing_marks"
        )

    return clear


async def lived(order, provider, deliver, work, lost=None):
    """The provider moves on, at least by one state per delivery and never behind what it told; each event comes
    three times: twice at once, and once more when it was followed."""
    at = 0
    for place, which in enumerate(order):
        at = max(at, place, which)
        provider.state = STATES[at]
        if which != lost:
            await deliver(EVENTS[which], EVENTS[which])
            await work()
    await deliver(*(EVENTS[which] for which in order if which != lost))
    await work()


@pytest.fixture
async def truth(provider, deliver, work, seen, fresh):
    """The state after events in their right order."""
    await lived(range(5), provider, deliver, work)
    found = await seen()
    assert found["subscription"]["status"] == "CANCELED"
    assert found["plan"] == "basic"
    assert [one["status"] for one in found["invoices"]] == ["PAID", "VOID"]
    return found


async def test_all_orders_of_five_events_each_sent_twice_end_in_one_state(
    provider, deliver, work, seen, fresh, truth, events
):
    for order in ORDERS:
        await fresh()
        await lived(order, provider, deliver, work)
        found, told = await seen(), await events()
        assert found == truth, order
        assert {one["state"] for one in told.values()} == {"DONE"}, order
        assert len(told) == 5


async def test_all_orders_with_one_event_lost_end_in_the_same_state_once_reconciled(
    database, provider, sealer, deliver, work, seen, fresh, truth
):
    reconciling = Reconciling(database, provider, sealer, timedelta(days=7))
    # Every event is the lost one at every place.
    losses = [(order, order[(number + order[0]) % 5]) for number, order in enumerate(ORDERS)]
    assert len({(lost, order.index(lost)) for order, lost in losses}) == 25
    stale = 0
    for order, lost in losses:
        await fresh()
        await lived(order, provider, deliver, work, lost)
        stale += await seen() != truth
        assert await reconciling.ask_all() == 1
        await due_now(database)
        await work()
        assert await seen() == truth, (order, lost)
    assert stale > 0, "a loss must have been visible before"


async def test_the_listing_brings_an_event_that_was_never_received(
    database, provider, sealer, deliver, work, seen, fresh, truth
):
    reconciling = Reconciling(database, provider, sealer, timedelta(days=7))
    for lost in range(5):
        await fresh()
        await lived(range(5), provider, deliver, work, lost)
        provider.listed = [replace(one, created_at=now()) for one in EVENTS]
        assert await reconciling.list_missed() == 1
        assert await reconciling.list_missed() == 0
        await work()
        assert await seen() == truth, lost


async def due_now(database):
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE stripe_events SET next_try_at = now() WHERE state = 'PENDING'"))


async def test_a_plan_that_waits_for_the_end_of_the_period_is_shown_and_changes_nothing_yet(
    provider, deliver, work, seen
):
    provider.state = STATES[2]
    await deliver(EVENTS[2])
    await work()
    found = await seen()
    assert (found["plan"], found["subscription"]["planned_plan_id"]) == ("professional", "enterprise")
    assert found["subscription"]["price_id"] == PRO
