"""The month's quota on PostgreSQL: exact limits, what comes back, what a crash costs."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import text

from cohortlens.billing.models import TenantSuspended
from cohortlens.billing.usage import quota as quota_module
from cohortlens.billing.usage.leases import GiveBack, LeaseRows
from cohortlens.billing.usage.models import API_CALLS, QuotaBackendUnavailable, QuotaExceeded
from cohortlens.billing.usage.quota import MonthlyQuota
from cohortlens.core.db import Database
from cohortlens.core.ids import uuid7
from tests.fixtures.usage import Versions, reserved, set_limit
from tests.fixtures.waiting import eventually


@pytest.fixture
async def tenant(tenants):
    return tenants[0].tenant_id


@pytest.fixture
async def opened(runtime):
    """Makes quotas, as so many processes; gives everything back at the end."""
    made = []

    def make(processes: int = 1, **options) -> MonthlyQuota:
        quota = MonthlyQuota(
            runtime,
            options.pop("known", Versions()),
            process_id=f"p{len(made)}",
            processes=processes,
            **options,
        )
        quota.start()
        made.append(quota)
        return quota

    yield make
    for quota in made:
        await quota.close()


async def spend_all(quota: MonthlyQuota, tenant, units: int = 1) -> int:
    spent = 0
    while True:
        if quota.try_spend(tenant, units) is None:
            try:
                await quota.reserve(tenant, units)
            except QuotaExceeded:
                return spent
        spent += units


async def test_two_processes_with_many_workers_spend_exactly_the_limit(superuser, tenant, opened):
    await set_limit(superuser, tenant, 500)
    quotas = [opened(2), opened(2)]
    spent = await asyncio.gather(*(spend_all(quota, tenant) for quota in quotas for _ in range(16)))
    assert sum(spent) == 500
    assert await reserved(superuser, tenant) == 500


async def test_the_refusal_names_what_is_used_when_it_comes_back_and_which_plan_gives_more(
    superuser, tenant, opened
):
    # The operator has set less than the plan gives: the plan that is held is no upgrade.
    await superuser.execute("UPDATE entitlements SET plan_id = 'basic' WHERE tenant_id = $1", tenant)
    await set_limit(superuser, tenant, 3)
    quota = opened()
    await spend_all(quota, tenant)
    with pytest.raises(QuotaExceeded) as refused:
        await quota.reserve(tenant, 1)
    fault = refused.value
    period_end = await superuser.fetchval("SELECT period_end FROM api_usage WHERE tenant_id = $1", tenant)
    assert fault.metadata == {
        "meter": "api_calls",
        "used": "3",
        "limit": "3",
        "resets_at": period_end.strftime("%Y-%m-01T00:00:00Z"),
        "upgrade_to": "professional",
    }
    assert fault.retry_delay_s is None
    assert [(one.metric, one.value) for one in fault.quota] == [("api_calls", 3)]


async def test_a_call_that_needs_more_than_is_left_is_refused_and_smaller_ones_still_pass(
    superuser, tenant, opened
):
    await set_limit(superuser, tenant, 10)
    quota = opened()
    await quota.reserve(tenant, 7)
    with pytest.raises(QuotaExceeded):
        await quota.reserve(tenant, 5)
    assert await spend_all(quota, tenant) == 3


async def test_a_process_that_stops_gives_back_what_it_did_not_spend(superuser, tenant, opened):
    await set_limit(superuser, tenant, 1_000_000)
    quota = opened()
    spent = await _spend_until_a_block_is_held(quota, tenant)
    assert await reserved(superuser, tenant) > spent
    await quota.close()
    assert await reserved(superuser, tenant) == spent
    states = await superuser.fetch("SELECT DISTINCT state FROM quota_leases WHERE tenant_id = $1", tenant)
    assert [row["state"] for row in states] == ["RETURNED"]


async def test_units_of_a_fault_of_ours_can_be_spent_again_at_once(superuser, tenant, opened):
    await set_limit(superuser, tenant, 5)
    quota = opened()
    quota.release(await quota.reserve(tenant, 5), 2)
    assert await spend_all(quota, tenant) == 2
    assert await reserved(superuser, tenant) == 5


async def test_units_that_come_back_when_their_lease_is_over_go_to_the_database(superuser, tenant, opened):
    now = 1000.0
    await set_limit(superuser, tenant, 5)
    quota = opened(clock=lambda: now)
    spent = await quota.reserve(tenant, 5)
    now += 61
    quota.release(spent, 2)
    await eventually(lambda: _is(reserved(superuser, tenant), 3), seconds=5)


async def test_a_downgrade_takes_the_leases_of_the_old_plan_back_within_two_seconds(
    superuser, tenant, opened
):
    known = Versions()
    await set_limit(superuser, tenant, 1_000_000)
    quota = opened(known=known)
    for _ in range(30):
        await quota.reserve(tenant, 1)
    assert await reserved(superuser, tenant) > 30
    known.versions[tenant] = await set_limit(superuser, tenant, 35)
    await eventually(lambda: _is(reserved(superuser, tenant), 30), seconds=2)
    assert await spend_all(quota, tenant) == 5


async def test_an_upgrade_counts_at_once_although_nothing_was_left(superuser, tenant, opened):
    known = Versions()
    await set_limit(superuser, tenant, 2)
    quota = opened(known=known)
    assert await spend_all(quota, tenant) == 2
    known.versions[tenant] = await set_limit(superuser, tenant, 4)
    assert await spend_all(quota, tenant) == 2


async def test_a_limit_below_what_was_handed_out_refuses_and_takes_nothing_away(superuser, tenant, opened):
    known = Versions()
    await set_limit(superuser, tenant, 20)
    quota = opened(known=known)
    assert await spend_all(quota, tenant) == 20
    known.versions[tenant] = await set_limit(superuser, tenant, 5)
    assert await spend_all(opened(known=known), tenant) == 0
    assert await reserved(superuser, tenant) == 20


async def test_a_tenant_without_access_is_refused_whatever_is_left(superuser, tenant, opened):
    await superuser.execute(
        "UPDATE entitlements SET access = 'NONE', version = version + 1 WHERE tenant_id = $1", tenant
    )
    with pytest.raises(TenantSuspended):
        await opened().reserve(tenant, 1)


async def test_a_lease_ends_on_the_monotonic_clock_and_its_rest_goes_back(superuser, tenant, opened):
    now = 1000.0
    await set_limit(superuser, tenant, 1_000_000)
    quota = opened(clock=lambda: now)
    spent = await _spend_until_a_block_is_held(quota, tenant)
    now += 61
    assert quota.try_spend(tenant, 1) is None
    await eventually(lambda: _is(reserved(superuser, tenant), spent), seconds=5)


async def test_the_next_period_begins_with_a_whole_quota(superuser, tenant, opened):
    await set_limit(superuser, tenant, 3)
    quota = opened()
    assert await spend_all(quota, tenant) == 3
    # The same moment, counted from an anchor that makes it the first of another period.
    await superuser.execute(
        "UPDATE entitlements SET anchor = now() - interval '1 hour', version = version + 1 WHERE tenant_id = $1",
        tenant,
    )
    assert await spend_all(opened(), tenant) == 3
    assert await superuser.fetchval("SELECT count(*) FROM api_usage WHERE tenant_id = $1", tenant) == 2


async def test_a_lease_never_lasts_beyond_its_period(superuser, tenant, runtime):
    await superuser.execute(
        "UPDATE entitlements SET version = version + 1, anchor = now() - interval '1 month' + interval '20 seconds'"
        " WHERE tenant_id = $1",
        tenant,
    )
    async with runtime.tenant_transaction(tenant) as tx:
        grant = await LeaseRows(tx, API_CALLS, "p").grant(uuid7(), 5)
    assert 0 < grant.ttl_s <= 20


async def test_what_a_killed_process_held_is_forfeited_later_and_never_handed_out_again(
    superuser, tenant, database, opened
):
    await set_limit(superuser, tenant, 30)
    async with database.tenant_transaction(tenant) as tx:
        await LeaseRows(tx, API_CALLS, "killed").grant(uuid7(), 10)
    await superuser.execute("UPDATE quota_leases SET expires_at = now() - interval '6 minutes'")
    async with database.transaction() as tx:
        assert await tx.scalar(text("SELECT app.quota_forfeit(300)")) == 1
    assert await spend_all(opened(), tenant) == 20
    assert await reserved(superuser, tenant) == 30


async def test_a_return_that_is_sent_twice_counts_once(superuser, tenant, runtime):
    lease_id = uuid7()
    async with runtime.tenant_transaction(tenant) as tx:
        await LeaseRows(tx, API_CALLS, "p").grant(lease_id, 10)
    for _ in range(2):
        async with runtime.tenant_transaction(tenant) as tx:
            known = await LeaseRows(tx, API_CALLS, "p").give_back([GiveBack(lease_id, 4, True)])
            assert known == {lease_id}
    assert await reserved(superuser, tenant) == 6


async def test_leases_are_spent_while_the_database_is_away_and_then_calls_are_refused(
    superuser, tenant, opened, runtime
):
    await set_limit(superuser, tenant, 1_000_000)
    quota = opened()
    await _spend_until_a_block_is_held(quota, tenant)
    held = quota._pools[tenant].left
    quota._db = Database("postgresql://nobody@127.0.0.1:1/none", 1)
    for _ in range(held):
        assert quota.try_spend(tenant, 1) is not None
    with pytest.raises(QuotaBackendUnavailable) as refused:
        await quota.reserve(tenant, 1)
    assert refused.value.retry_delay_s is not None
    quota._db = runtime
    await eventually(lambda: _spends(quota, tenant), seconds=5)


async def test_what_is_admitted_while_the_database_is_away_is_charged_when_it_is_back(
    superuser, tenant, opened, runtime
):
    await set_limit(superuser, tenant, 2)
    quota = opened(fail_open_s=60.0)
    await quota.reserve(tenant, 2)
    quota._db = Database("postgresql://nobody@127.0.0.1:1/none", 1)
    await asyncio.sleep(quota_module.REFUSED_S)
    for _ in range(3):
        await quota.reserve(tenant, 1)
    quota._db = runtime
    await eventually(lambda: _is(reserved(superuser, tenant), 5), seconds=5)
    async with runtime.tenant_transaction(tenant) as tx:
        assert (await LeaseRows(tx, API_CALLS, "p").current()).reserved == 5


async def test_a_grant_whose_answer_was_lost_comes_back(superuser, tenant, opened, monkeypatch):
    await set_limit(superuser, tenant, 1_000_000)
    quota = opened()
    granted = MonthlyQuota._granted

    async def lost(self, pool, lease_id: UUID, units: int):
        await granted(self, pool, lease_id, units)
        raise OSError("the connection was cut behind the commit")

    monkeypatch.setattr(MonthlyQuota, "_granted", lost)
    with pytest.raises(QuotaBackendUnavailable):
        await quota.reserve(tenant, 9)
    await eventually(lambda: _is(reserved(superuser, tenant), 0), seconds=5)


async def test_reserved_is_always_the_sum_of_the_leases(superuser, tenant, database, opened):
    await set_limit(superuser, tenant, 100)
    quotas = [opened(2), opened(2)]

    async def work(quota: MonthlyQuota, at: int) -> None:
        for turn in range(10):
            try:
                spent = quota.try_spend(tenant, 1) or await quota.reserve(tenant, 1)
            except QuotaExceeded:
                return
            if (turn + at) % 3 == 0:
                quota.release(spent, 1)

    await asyncio.gather(*(work(quota, at) for quota in quotas for at in range(8)))
    for quota in quotas:
        await quota.close()
    async with database.transaction() as tx:
        assert (await tx.execute(text("SELECT * FROM app.quota_drift()"))).all() == []
    assert 0 < await reserved(superuser, tenant) <= 100


async def _is(answer, expected) -> bool:
    return await answer == expected


async def _spend_until_a_block_is_held(quota: MonthlyQuota, tenant) -> int:
    for spent in range(1, 50):
        await quota.reserve(tenant, 1)
        await asyncio.sleep(0.02)
        if quota._pools[tenant].left > 25:
            return spent
    raise AssertionError("no block was leased")


async def _spends(quota: MonthlyQuota, tenant) -> bool:
    try:
        await quota.reserve(tenant, 1)
    except QuotaBackendUnavailable:
        return False
    return True
