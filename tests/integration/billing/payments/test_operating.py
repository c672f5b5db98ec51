"""What the staff do with events: list, replay, have a subscription compared."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from cohortlens.billing.payments.models import SubscriptionStatus as Status
from cohortlens.billing.payments.operating import BillingOperations
from cohortlens.core.context import Principal, RequestContext
from cohortlens.core.errors import FailedPrecondition, NotFound
from cohortlens.core.ids import PLATFORM_TENANT_ID, SessionId, UserId, uuid7
from cohortlens.identity.models import ROLE_SCOPES
from tests.fakes.scripted_provider import State, event, subscription
from tests.fixtures.tenants import register

WHY = "the owner paid and sees the old plan"


@pytest.fixture
def staff() -> RequestContext:
    principal = Principal(
        PLATFORM_TENANT_ID, UserId(uuid7()), SessionId(uuid7()), "platform", ROLE_SCOPES["platform"]
    )
    return RequestContext(str(uuid4()), principal, time.monotonic() + 30.0)


@pytest.fixture
def operations(runtime):
    return BillingOperations(runtime)


async def test_events_are_listed_newest_first_page_by_page(operations, staff, deliver, shop):
    for number in range(5):
        await deliver(event(f"evt_{number}", "invoice.paid", "in_1"))
    found, before = [], None
    while page := await operations.page(staff, before=before, limit=2):
        found += page
        before = (page[-1].received_at, page[-1].event_id)
    assert [one.event_id for one in found] == [f"evt_{number}" for number in (4, 3, 2, 1, 0)]
    assert {one.tenant_id for one in found} == {shop.tenant_id}
    assert await operations.page(staff, state="DEAD") == []
    assert await operations.page(staff, event_type="invoice.voided") == []


async def test_a_dead_event_that_is_replayed_is_followed_from_its_first_attempt(
    operations, staff, superuser, provider, deliver, work, events, seen
):
    await deliver(event("evt_1", "customer.subscription.updated", "sub_1"))
    await superuser.execute(
        "UPDATE stripe_events SET state = 'DEAD', attempts = 12, ended_at = now(), last_error = 'x'"
    )
    provider.state = State((subscription(Status.ACTIVE),))
    assert await work() == 0
    replayed = await operations.replay(staff, "evt_1", WHY)
    assert (replayed.state, replayed.attempts) == ("PENDING", 0)
    assert await work() == 1
    assert (await events())["evt_1"]["state"] == "DONE"
    assert (await seen())["plan"] == "professional"
    row = await superuser.fetchrow(
        "SELECT resource FROM audit_log WHERE action = 'platform.billing.replayed'"
    )
    assert row["resource"] == "billing/events/evt_1"


async def test_an_event_that_nobody_has_is_not_found(operations, staff):
    with pytest.raises(NotFound):
        await operations.replay(staff, "evt_of_nobody", WHY)


async def test_a_comparison_finds_a_change_that_no_event_told(
    operations, staff, superuser, shop, provider, work, seen
):
    provider.state = State((subscription(Status.ACTIVE),))
    asked = await operations.reconcile(staff, shop.tenant_id, WHY)
    assert (asked.state, asked.type, asked.tenant_id) == ("PENDING", "cohortlens.reconcile", shop.tenant_id)
    await work()
    assert (await seen())["plan"] == "professional"
    tenants = await superuser.fetch(
        "SELECT tenant_id FROM audit_log WHERE action = 'platform.billing.reconciled'"
    )
    assert {row["tenant_id"] for row in tenants} == {shop.tenant_id, PLATFORM_TENANT_ID}


async def test_a_tenant_that_never_paid_cannot_be_compared_and_an_unknown_one_is_not_found(
    operations, staff, database
):
    other = await register(database, "other", "basic")
    with pytest.raises(FailedPrecondition) as refused:
        await operations.reconcile(staff, other.tenant_id, WHY)
    assert refused.value.reason == "SUBSCRIPTION_INACTIVE"
    with pytest.raises(NotFound):
        await operations.reconcile(staff, uuid7(), WHY)
