"""What a tenant may do: projected, granted beside it, lapsed; known to every process within 2 s."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.entitlements.catalogue import Catalogue
from cohortlens.billing.entitlements.overrides import OPERATOR, Overrides
from cohortlens.billing.entitlements.rows import EntitlementRows
from cohortlens.billing.entitlements.upkeep import EntitlementUpkeep
from cohortlens.billing.models import Access, Limits, Override
from cohortlens.core.errors import InvalidArgument, NotFound, Unavailable
from cohortlens.core.ids import PLATFORM_TENANT_ID, TenantId, uuid7
from cohortlens.core.mail import MAIL_PURPOSE
from cohortlens.core.sealing import Keyring, Sealer
from tests.fixtures.crew import actions
from tests.fixtures.tenants import allow_customers, grant, register
from tests.fixtures.waiting import eventually

REASON = "a pilot, ticket 4711"
ANCHOR = datetime(2026, 1, 31, 10, tzinfo=UTC)


@pytest.fixture
def sealer():
    return Sealer(Keyring(b"k" * 32), MAIL_PURPOSE)


@pytest.fixture
def overrides(runtime, sealer):
    return Overrides(runtime, None, sealer)


@pytest.fixture
async def tenant(runtime):
    return (await register(runtime, "shop", "basic")).tenant_id


@pytest.fixture
async def processes(runtime, database):
    """Two processes, each with its own view."""
    both = Entitlements(runtime), Entitlements(database)
    for one in both:
        one.start()
    yield both
    for one in both:
        await one.close()


async def project(database, tenant_id, plan, access=Access.FULL, anchor=None):
    async with database.tenant_transaction(tenant_id) as tx:
        return await EntitlementRows(tx).project(tenant_id, plan, access, anchor)


async def of(db, tenant_id):
    async with db.transaction() as tx:
        found = await EntitlementRows(tx).get(tenant_id)
    return found[0]


async def has_plan(known, tenant_id, plan) -> bool:
    return (await known.of(tenant_id)).plan == plan


async def mails(superuser, tenant_id) -> list[str]:
    rows = await superuser.fetch(
        "SELECT template FROM mails WHERE tenant_id = $1 ORDER BY created_at", tenant_id
    )
    return [row["template"] for row in rows]


async def test_the_catalogue_has_three_plans_each_with_more_than_the_one_below(runtime):
    plans = await Catalogue(runtime).plans()
    assert [plan.plan_id for plan in plans] == ["basic", "professional", "enterprise"]
    assert [plan.max_customers for plan in plans] == [1_000, 25_000, 1_000_000]
    assert [plan.max_api_calls_per_month for plan in plans] == [10_000, 250_000, 10_000_000]
    assert [plan.max_users for plan in plans] == [2, 10, None]
    assert [plan.rates.inference for plan in plans] == [5, 30, 150]
    assert [plan.rates.bulk_in_flight for plan in plans] == [1, 2, 4]
    for smaller, larger in itertools.pairwise(plans):
        assert smaller.features < larger.features
    assert {(one.interval.value, one.currency) for one in plans[1].prices} == {
        ("month", "EUR"),
        ("year", "EUR"),
        ("month", "USD"),
        ("year", "USD"),
    }


async def test_a_new_tenant_has_basic_and_the_platform_has_no_limit_on_its_staff(runtime, tenant):
    assert (await of(runtime, tenant)).plan == "basic"
    platform = await of(runtime, PLATFORM_TENANT_ID)
    assert (platform.plan, platform.max_users) == ("enterprise", None)


async def test_a_projection_raises_the_version_only_when_it_changes_something(database, tenant, superuser):
    first = await project(database, tenant, "professional", anchor=ANCHOR)
    assert await project(database, tenant, "professional", anchor=ANCHOR) == first
    now = await of(database, tenant)
    assert (now.plan, now.rank, now.anchor, now.version) == ("professional", 20, ANCHOR, first)
    assert await project(database, tenant, "professional", Access.READ_ONLY, ANCHOR) == first + 1
    assert (await of(database, tenant)).access is Access.READ_ONLY
    assert await project(database, tenant, "professional", Access.READ_ONLY, None) == first + 2
    events = await superuser.fetch(
        "SELECT payload FROM outbox WHERE tenant_id = $1 AND topic = 'entitlement.changed'", tenant
    )
    assert len(events) == 3
    assert await project(database, TenantId(uuid7()), "basic") is None


async def test_a_granted_plan_counts_while_it_ranks_above_the_subscription(database, runtime, tenant):
    await grant(
        runtime,
        tenant,
        Override(
            REASON,
            "professional",
            Limits(max_customers=77, read=3.5),
            frozenset({"web3"}),
        ),
    )
    now = await of(database, tenant)
    assert (now.plan, now.max_customers, now.max_users, now.rates.read) == ("professional", 77, 10, 3.5)
    assert "web3" in now.features
    await project(database, tenant, "enterprise")
    now = await of(database, tenant)
    assert (now.plan, now.max_customers, now.max_users) == ("enterprise", 77, None)
    await grant(runtime, tenant, None)
    assert (await of(database, tenant)).max_customers == 1_000_000
    await project(database, tenant, "basic")
    now = await of(database, tenant)
    assert (now.plan, now.max_customers, "web3" in now.features) == ("basic", 1_000, False)


async def test_a_change_is_known_to_every_process_within_two_seconds(database, tenant, processes):
    for one in processes:
        assert (await one.of(tenant)).plan == "basic"
        assert one.known(tenant).plan == "basic"
    for plan in ("professional", "enterprise", "basic"):
        await project(database, tenant, plan)
        committed = time.monotonic()
        for one in processes:
            await eventually(lambda one=one, plan=plan: one.known(tenant).plan == plan, 2.0)
        assert time.monotonic() - committed < 2.0


async def test_a_change_that_commits_late_or_while_a_tenant_is_loaded_is_not_missed(
    database, tenant, runtime
):
    known = Entitlements(runtime)
    known.start()
    try:
        async with database.tenant_transaction(tenant) as tx:
            await EntitlementRows(tx).project(tenant, "professional", Access.FULL, None)
            # Others change and are read while this one is open.
            other = await register(runtime, "other")
            assert (await known.of(other.tenant_id)).plan == "enterprise"
            assert (await known.of(tenant)).plan == "basic"
            await asyncio.sleep(1.2)
            assert known.known(tenant).plan == "basic"
        await eventually(lambda: known.known(tenant).plan == "professional", 2.0)
    finally:
        await known.close()


async def test_many_callers_of_an_unknown_tenant_share_one_load(tenant, runtime, monkeypatch):
    loads = []
    original = EntitlementRows.get

    async def counted(self, tenant_id):
        loads.append(tenant_id)
        return await original(self, tenant_id)

    monkeypatch.setattr(EntitlementRows, "get", counted)
    known = Entitlements(runtime)
    try:
        found = await asyncio.gather(*(known.of(tenant) for _ in range(50)))
    finally:
        await known.close()
    assert {one.plan for one in found} == {"basic"}
    assert loads == [tenant]


async def test_what_is_known_is_used_for_a_minute_while_postgres_does_not_answer(
    tenant, runtime, monkeypatch
):
    known = Entitlements(runtime)

    async def lost(*_):
        raise Unavailable("gone", reason="DATABASE_UNAVAILABLE")

    try:
        assert (await known.of(tenant)).plan == "basic"
        monkeypatch.setattr(EntitlementRows, "_read", lost)
        known._fresh_until = 0.0
        assert known.known(tenant) is None
        assert (await known.of(tenant)).plan == "basic"
        known._read_at -= 61.0
        with pytest.raises(Unavailable):
            await known.of(tenant)
        with pytest.raises(Unavailable):
            await known.of(uuid7())
    finally:
        await known.close()


async def test_a_grant_lapses_at_reading_and_by_a_job(database, runtime, tenant, sealer):
    known = Entitlements(runtime)
    try:
        ends = datetime.now(UTC) + timedelta(seconds=0.6)
        await grant(runtime, tenant, Override(REASON, "enterprise", expires_at=ends))
        assert (await known.of(tenant)).plan == "enterprise"
        await eventually(lambda: has_plan(known, tenant, "basic"), 5)
        other = (await register(runtime, "other", "basic")).tenant_id
        ends = datetime.now(UTC) + timedelta(seconds=0.3)
        await grant(runtime, other, Override(REASON, "enterprise", expires_at=ends))
        upkeep = EntitlementUpkeep(database, known, sealer)
        assert await eventually(upkeep.settle_due, 5) == 1
        assert await upkeep.settle_due() == 0
        assert (await of(database, other)).plan == "basic"
    finally:
        await known.close()


async def test_the_operator_grants_with_a_line_in_both_audit_logs_and_a_mail_to_the_owner(
    overrides, tenant, superuser
):
    done = await overrides.grant(OPERATOR, tenant, Override(REASON, "professional"), REASON)
    assert (done.entitlement.plan, done.subscribed_plan, done.upgrade_to) == (
        "professional",
        "basic",
        "enterprise",
    )
    assert ("billing.entitlement.overridden", "OK") in await actions(superuser, tenant)
    assert ("platform.entitlement.overridden", "OK") in await actions(superuser, PLATFORM_TENANT_ID)
    assert await mails(superuser, tenant) == ["plan_granted"]
    cleared = await overrides.change(OPERATOR, tenant, lambda _: None, "the pilot has ended")
    assert (cleared.entitlement.plan, cleared.override) == ("basic", None)
    assert ("billing.entitlement.cleared", "OK") in await actions(superuser, tenant)


@pytest.mark.parametrize(
    ("override", "reason", "field"),
    [
        (Override(REASON, "gold"), REASON, "granted.plan"),
        (Override(REASON, features=frozenset({"teleport"})), REASON, "granted.features[0]"),
        (Override(REASON, "professional", expires_at=ANCHOR), REASON, "granted.expire_time"),
        (Override("short", "professional"), "short", "reason"),
    ],
)
async def test_a_grant_that_cannot_be_names_field_and_reason_and_changes_nothing(
    overrides, tenant, runtime, superuser, override, reason, field
):
    with pytest.raises(InvalidArgument) as refused:
        await overrides.grant(OPERATOR, tenant, override, reason)
    assert refused.value.violations[0].field == field
    assert (await of(runtime, tenant)).version == 1
    assert await mails(superuser, tenant) == []


async def test_a_grant_to_nobody_is_not_found(overrides):
    with pytest.raises(NotFound):
        await overrides.grant(OPERATOR, uuid7(), Override(REASON, "professional"), REASON)


async def fill(db, tenant_id, count) -> None:
    async with db.tenant_transaction(tenant_id) as tx:
        await tx.execute(
            text(
                "INSERT INTO customers (tenant_id, id, external_id, created_at)"
                " SELECT app.tid(), app.uuid7(), 'c' || n, now() FROM generate_series(1, :count) AS n"
            ),
            {"count": count},
        )


async def drop(db, tenant_id, count) -> None:
    async with db.tenant_transaction(tenant_id) as tx:
        await tx.execute(
            text("DELETE FROM customers WHERE id IN (SELECT id FROM customers LIMIT :count)"),
            {"count": count},
        )


async def follow(superuser, upkeep, tenant_id) -> None:
    """What jobs do with the events of a tenant, each twice."""
    rows = await superuser.fetch(
        "UPDATE outbox SET done_at = now() WHERE tenant_id = $1 AND topic LIKE 'entitlement.%'"
        " AND done_at IS NULL RETURNING topic, payload::text, place",
        tenant_id,
    )
    for row in sorted(rows, key=lambda row: row["place"]) * 2:
        if row["topic"] == "entitlement.changed":
            await upkeep.changed(tenant_id, json.loads(row["payload"]))
        else:
            await upkeep.used(tenant_id)


async def test_owners_are_told_once_when_a_limit_is_near(database, runtime, tenant, superuser, sealer):
    upkeep = EntitlementUpkeep(database, Entitlements(runtime), sealer)
    await allow_customers(runtime, tenant, 10)
    await fill(runtime, tenant, 7)
    await follow(superuser, upkeep, tenant)
    assert await mails(superuser, tenant) == []
    async with runtime.tenant_transaction(tenant) as tx:
        await tx.execute(
            text(
                "INSERT INTO customers (tenant_id, id, external_id, created_at)"
                " VALUES (app.tid(), app.uuid7(), 'eighth', now())"
            )
        )
    await follow(superuser, upkeep, tenant)
    assert await mails(superuser, tenant) == ["plan_limit_near"]
    await drop(runtime, tenant, 4)
    await fill_again(runtime, tenant)
    await follow(superuser, upkeep, tenant)
    assert await mails(superuser, tenant) == ["plan_limit_near"]


async def fill_again(db, tenant_id) -> None:
    async with db.tenant_transaction(tenant_id) as tx:
        await tx.execute(
            text(
                "INSERT INTO customers (tenant_id, id, external_id, created_at)"
                " SELECT app.tid(), app.uuid7(), 'again' || n, now() FROM generate_series(1, 5) AS n"
            )
        )


async def test_a_downgrade_below_what_is_stored_warns_then_reads_only_and_heals_when_less_is_stored(
    database, runtime, tenant, superuser, sealer, overrides
):
    upkeep = EntitlementUpkeep(database, Entitlements(runtime), sealer)
    await allow_customers(runtime, tenant, 20)
    await fill(runtime, tenant, 12)
    await superuser.execute("UPDATE outbox SET done_at = now() WHERE tenant_id = $1", tenant)
    await allow_customers(runtime, tenant, 10)
    await follow(superuser, upkeep, tenant)
    assert await mails(superuser, tenant) == ["plan_limit_passed"]
    standing = await overrides.of_tenant(tenant)
    assert standing.entitlement.access is Access.FULL
    assert standing.read_only_at - standing.over_limit_since == timedelta(days=30)
    assert await upkeep.settle_due() == 0
    await superuser.execute(
        "UPDATE entitlements SET over_limit_since = over_limit_since - interval '30 days' WHERE tenant_id = $1",
        tenant,
    )
    assert await upkeep.settle_due() == 1
    assert (await of(runtime, tenant)).access is Access.READ_ONLY
    await follow(superuser, upkeep, tenant)
    assert await mails(superuser, tenant) == ["plan_limit_passed", "plan_limit_read_only"]
    await drop(runtime, tenant, 2)
    await follow(superuser, upkeep, tenant)
    now = await overrides.of_tenant(tenant)
    assert (now.entitlement.access, now.over_limit_since, now.customers) == (Access.FULL, None, 10)


async def test_only_jobs_project_and_only_the_platform_grants(runtime, tenant):
    for statement in (
        "SELECT app.entitlement_project(app.tid(), 'enterprise', NULL, 'FULL', NULL)",
        "SELECT app.entitlement_override(app.tid(), '{}', NULL)",
        "SELECT app.entitlements_settle_due()",
    ):
        with pytest.raises(Exception, match=r"permission denied|only a transaction of the platform"):
            await _run(runtime, tenant, statement)


async def _run(db, tenant_id, statement) -> None:
    async with db.tenant_transaction(tenant_id) as tx:
        await tx.execute(text(statement))
