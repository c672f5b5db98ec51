"""The months of the quota follow the begin of a subscription, whatever else moves its bills."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from cohortlens.billing.payments.models import SubscriptionStatus as Status
from cohortlens.billing.usage.leases import LeaseRows
from cohortlens.core.ids import uuid7
from tests.fakes.scripted_provider import START, State, event, subscription

UPDATED = "customer.subscription.updated"


async def left(runtime, tenant_id) -> int:
    """Units of the running month that nobody has taken."""
    async with runtime.tenant_transaction(tenant_id) as tx:
        month = await LeaseRows(tx, "api_calls", "test").current()
    return month.limit - month.reserved


async def test_another_interval_begins_a_new_bill_and_no_new_month_of_quota(
    shop, provider, deliver, work, seen, runtime
):
    """The provider counts bills anew when a plan is paid by the year instead, and pays back what is left.

    A tenant that goes to and fro would have the month's quota each time, and pay for one month.
    """
    monthly = subscription(Status.ACTIVE)
    provider.state = State((monthly,))
    await deliver(event("evt_1", UPDATED, "sub_1"))
    await work()
    assert (await seen())["anchor"] == START
    async with runtime.tenant_transaction(shop.tenant_id) as tx:
        await LeaseRows(tx, "api_calls", "test").grant(uuid7(), 249_000)
    assert await left(runtime, shop.tenant_id) == 1_000
    for number in range(2, 5):
        moved = replace(monthly, anchor=START + timedelta(hours=number))
        provider.state = State((moved,))
        await deliver(event(f"evt_{number}", UPDATED, "sub_1"))
        await work()
        assert await left(runtime, shop.tenant_id) == 1_000
    assert (await seen())["anchor"] == START
