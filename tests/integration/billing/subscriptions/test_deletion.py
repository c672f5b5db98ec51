"""A tenant that is deleted is charged no more, whatever fails on the way; its rows go only after that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cohortlens.adapters.no_payments import NoPayments
from cohortlens.billing.models import Interval
from cohortlens.billing.payments.following import Following
from cohortlens.billing.payments.inbox_rows import InboxRows
from cohortlens.billing.payments.models import PaymentProviderUnavailable, SubscriptionStatus
from cohortlens.billing.subscriptions.ending import SubscriptionEnding
from cohortlens.billing.subscriptions.living import ASKED
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.mail import MAIL_PURPOSE
from cohortlens.core.outbox import Wanted, claim
from cohortlens.core.sealing import Keyring, Sealer
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.identity.models import TENANT_DELETION
from cohortlens.identity.tenancy.erasure import TenantErasure
from cohortlens.jobs.handlers import HANDLERS
from tests.fakes.scripted_provider import event
from tests.fixtures.crew import actions

KEK = Keyring.parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "")
CANCELED, ACTIVE = SubscriptionStatus.CANCELED, SubscriptionStatus.ACTIVE


@pytest.fixture
def ending(database, provider):
    return SubscriptionEnding(database, provider)


@pytest.fixture
def deleted(superuser, tenants):
    """Deletes the first tenant, or brings it back, or lets its time be over."""

    async def to(status: str = "DELETING", erase_in: str = "interval '30 days'") -> None:
        # Only fixed texts come here.
        at = f"clock_timestamp() + {erase_in}" if status == "DELETING" else "NULL"
        await superuser.execute(
            f"UPDATE tenants SET status = $2, erase_at = {at} WHERE id = $1", tenants[0].tenant_id, status
        )

    return to


@pytest.fixture
def erasure(database, ending, tmp_path):
    return TenantErasure(database, TenantKeys(KEK), tmp_path, [ending.erase])


@pytest.fixture
async def paying(provider, price, pays):
    return provider.subscribe(await pays(), await price("professional"))


async def test_a_deletion_ends_the_subscription_at_once_and_says_so_in_the_audit_log(
    ending, deleted, paying, provider, superuser, tenants
):
    await deleted()
    await ending.end(tenants[0].tenant_id)

    ended = provider.subscriptions[paying.id]
    assert (ended.status, ended.cancel_at_period_end) == (CANCELED, False)
    told = [one for one in await actions(superuser, tenants[0].tenant_id) if "subscription" in one[0]]
    assert told == [(ASKED, "OK"), ("billing.subscription.canceled", "OK")]
    assert await superuser.fetchval("SELECT count(*) FROM stripe_events WHERE type LIKE '%reconcile'") == 1

    await ending.end(tenants[0].tenant_id)
    assert provider.made["cancel"] == 1


async def test_a_tenant_that_came_back_before_its_subscription_was_ended_keeps_it(
    ending, deleted, paying, provider, tenants
):
    await deleted()
    await deleted("ACTIVE")
    await ending.end(tenants[0].tenant_id)

    assert provider.subscriptions[paying.id].status is ACTIVE


@pytest.mark.parametrize("step", ["fails_before", "fails_after", "fails_for_key"])
async def test_an_end_that_failed_is_tried_again_and_happens_once(
    ending, deleted, paying, provider, tenants, superuser, step
):
    await deleted()
    getattr(provider, step)["cancel"] = 1
    with pytest.raises(PaymentProviderUnavailable):
        await ending.end(tenants[0].tenant_id)
    await ending.end(tenants[0].tenant_id)

    assert provider.subscriptions[paying.id].status is CANCELED
    assert provider.made["cancel"] == 1
    # Even when the answer was lost, the audit log says what was asked for.
    assert (ASKED, "OK") in await actions(superuser, tenants[0].tenant_id)


async def test_planned_changes_and_first_payments_under_way_end_too(
    ending, deleted, paying, provider, price, tenants
):
    await provider.schedule_price(paying, await price("enterprise"), key="planned")
    waiting = provider.subscribe("cus_paying", await price("professional"))
    provider.put(replace(waiting, status=SubscriptionStatus.INCOMPLETE))
    await deleted()
    await ending.end(tenants[0].tenant_id)

    assert {one.status for one in provider.subscriptions.values()} == {CANCELED}
    assert provider.made["release_schedule"] == 1


async def test_a_page_that_is_open_cannot_be_paid_any_more(
    ending, deleted, subscriptions, provider, owner, tenants, superuser
):
    page = await subscriptions.checkout.create(owner(), plan="professional", interval=Interval.MONTH)
    await deleted()
    await ending.end(tenants[0].tenant_id)

    assert provider.sessions[page.session_id].status == "expired"
    assert await superuser.fetchval("SELECT state FROM checkout_intents") == "EXPIRED"


async def test_what_was_paid_in_the_moment_of_the_deletion_is_ended_when_it_is_heard_of(
    database, ending, deleted, provider, price, pays, tenants, superuser
):
    customer = await pays()
    await deleted()
    await ending.end(tenants[0].tenant_id)
    late = provider.subscribe(customer, await price("professional"))
    async with database.transaction() as tx:
        await InboxRows(tx).store(event("evt_1", "customer.subscription.created", late.id, customer))
    worker = Following(database, provider, Sealer(KEK, MAIL_PURPOSE), "worker")
    await worker.work(await worker.claim())

    [told] = await claim(database, "jobs", [Wanted(TENANT_DELETION, 5)])
    assert TENANT_DELETION in HANDLERS
    await ending.end(told.tenant_id)
    assert provider.subscriptions[late.id].status is CANCELED


async def test_nothing_is_erased_before_the_provider_has_ended_what_is_paid(
    erasure, deleted, paying, provider, superuser, tenants
):
    tenant_id = tenants[0].tenant_id
    await deleted(erase_in="interval '0 days'")
    for fault in ("cancel", "delete_customer"):
        provider.fails_before[fault] = 1
        with pytest.raises(PaymentProviderUnavailable):
            await erasure.run()
        assert await superuser.fetchval("SELECT status FROM tenants WHERE id = $1", tenant_id) == "DELETING"
        assert await superuser.fetchval("SELECT count(*) FROM billing_profiles") == 1

    assert await erasure.run() == 1
    assert provider.subscriptions[paying.id].status is CANCELED
    assert provider.customers["cus_paying"].deleted
    assert await superuser.fetchval("SELECT count(*) FROM billing_profiles") == 0
    names = [one[0] for one in await actions(superuser, tenant_id)]
    assert names[-2:] == ["billing.customer.deleted", "identity.tenant.erased"]


async def test_one_tenant_whose_subscription_cannot_be_ended_holds_up_no_other(
    erasure, deleted, paying, provider, superuser, tenants
):
    await deleted(erase_in="interval '0 days'")
    await superuser.execute(
        "UPDATE tenants SET status = 'DELETING', erase_at = clock_timestamp() WHERE id = $1",
        tenants[1].tenant_id,
    )
    provider.fails_before["cancel"] = 9
    with pytest.raises(PaymentProviderUnavailable):
        await erasure.run()

    states = dict(await superuser.fetch("SELECT id, status FROM tenants WHERE kind = 'CUSTOMER'"))
    assert states == {tenants[0].tenant_id: "DELETING", tenants[1].tenant_id: "ERASED"}


async def test_real_money_without_its_key_keeps_the_rows_and_test_money_does_not(
    database, deleted, pays, superuser, tenants, tmp_path
):
    await pays()
    await superuser.execute("UPDATE billing_profiles SET livemode = true")
    await deleted(erase_in="interval '0 days'")
    unset = TenantErasure(
        database, TenantKeys(KEK), tmp_path, [SubscriptionEnding(database, NoPayments()).erase]
    )
    with pytest.raises(PaymentProviderUnavailable, match="COHORTLENS_STRIPE_API_KEY"):
        await unset.run()
    assert await superuser.fetchval("SELECT count(*) FROM billing_profiles") == 1

    await superuser.execute("UPDATE billing_profiles SET livemode = false")
    assert await unset.run() == 1


async def test_a_key_of_another_kind_of_money_or_account_keeps_the_rows_of_who_pays_real_money(
    erasure, deleted, pays, provider, superuser
):
    await pays("cus_of_another_account")
    await superuser.execute("UPDATE billing_profiles SET livemode = true")
    await deleted(erase_in="interval '0 days'")
    with pytest.raises(PaymentProviderUnavailable, match="test mode"):
        await erasure.run()
    provider.livemode = True
    with pytest.raises(FailedPrecondition, match="does not know the customer"):
        await erasure.run()
    assert await superuser.fetchval("SELECT count(*) FROM billing_profiles") == 1


async def test_events_of_an_erased_tenant_end_quietly_and_bring_nothing_back(
    database, erasure, deleted, paying, provider, superuser
):
    worker = Following(database, provider, Sealer(KEK, MAIL_PURPOSE), "worker")
    async with database.transaction() as tx:
        await InboxRows(tx).store(event("evt_before", "customer.updated", "cus_paying", "cus_paying"))
    claimed = await worker.claim()
    await deleted(erase_in="interval '0 days'")
    assert await erasure.run() == 1
    await worker.work(claimed)
    async with database.transaction() as tx:
        await InboxRows(tx).store(event("evt_after", "customer.deleted", "cus_paying", "cus_paying"))
    await worker.work(await worker.claim())

    while (left := await worker.claim()) is not None:
        await worker.work(left)
    assert await superuser.fetchval("SELECT count(*) FROM stripe_events WHERE event_id LIKE 'evt%'") == 2
    assert await superuser.fetchval("SELECT count(*) FROM stripe_events WHERE state <> 'DONE'") == 0
    for table in ("subscriptions", "invoices", "billing_profiles"):
        assert await superuser.fetchval(f"SELECT count(*) FROM {table}") == 0
