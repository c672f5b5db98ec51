"""The limit on customers: no statement, no role and no number of sessions gets past it."""

from __future__ import annotations

import asyncio
import random
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text

from cohortlens.billing.entitlements.rows import EntitlementRows
from cohortlens.core.db import Database, driver
from cohortlens.core.errors import ResourceExhausted
from cohortlens.core.ids import uuid7
from tests.fixtures.tenants import allow_customers, grant, register

_ADD = """
INSERT INTO customers (tenant_id, id, external_id, created_at)
SELECT app.tid(), app.uuid7(), name, now() FROM unnest(CAST(:names AS text[])) AS name
ON CONFLICT (tenant_id, external_id) DO NOTHING
"""


def names(count: int) -> list[str]:
    return [uuid4().hex for _ in range(count)]


async def add(db: Database, tenant_id, added: list[str]) -> None:
    async with db.tenant_transaction(tenant_id) as tx:
        await tx.execute(text(_ADD), {"names": added})


async def ran(db: Database, tenant_id, *statements: tuple[str, dict]) -> None:
    """Run statements in one transaction."""
    async with db.tenant_transaction(tenant_id) as tx:
        for statement, values in statements:
            await tx.execute(text(statement), values)


async def raw(connection: asyncpg.Connection, tenant_id, statement: str) -> None:
    """Run a statement as somebody else does, without our code."""
    async with connection.transaction():
        await connection.execute("SELECT set_config('app.tenant_id', $1, true)", str(tenant_id))
        await connection.execute(statement)


async def stored(superuser, tenant_id) -> tuple[int, int]:
    """Rows, and what is counted."""
    rows = await superuser.fetchval("SELECT count(*) FROM customers WHERE tenant_id = $1", tenant_id)
    counted = await superuser.fetchval("SELECT customers FROM tenant_usage WHERE tenant_id = $1", tenant_id)
    return rows, counted


@pytest.fixture
async def shop(runtime):
    """A tenant of plan basic that may store 10 customers."""
    tenant = await register(runtime, "shop", "basic")
    await allow_customers(runtime, tenant.tenant_id, 10)
    return tenant


@pytest.mark.parametrize("role", ["runtime", "database"])
async def test_a_statement_that_would_pass_the_limit_adds_nothing_and_says_how_much_is_missing(
    shop, superuser, role, request
):
    db = request.getfixturevalue(role)
    await add(db, shop.tenant_id, names(7))
    with pytest.raises(ResourceExhausted) as refused:
        await add(db, shop.tenant_id, names(5))
    assert refused.value.reason == "CUSTOMER_QUOTA_EXCEEDED"
    assert refused.value.metadata == {"limit": "10", "used": "7", "adding": "5", "upgrade_to": "professional"}
    assert "basic stores 10 customers: 7 are stored and 5 more would come" in refused.value.message
    assert [(one.metric, one.quota_id, one.value) for one in refused.value.quota] == [
        ("customers", "max_customers", 10)
    ]
    assert await stored(superuser, shop.tenant_id) == (7, 7)
    await add(db, shop.tenant_id, names(3))
    assert await stored(superuser, shop.tenant_id) == (10, 10)


async def test_what_is_there_already_is_not_counted_again(shop, runtime, superuser):
    known = names(10)
    await add(runtime, shop.tenant_id, known)
    await add(runtime, shop.tenant_id, known)
    upsert = _ADD.replace("DO NOTHING", "DO UPDATE SET country = 'ES'")
    async with runtime.tenant_transaction(shop.tenant_id) as tx:
        assert (await tx.execute(text(upsert), {"names": known})).rowcount == 10
    assert await stored(superuser, shop.tenant_id) == (10, 10)
    with pytest.raises(ResourceExhausted):
        await ran(runtime, shop.tenant_id, (upsert, {"names": [*known, *names(1)]}))
    assert await stored(superuser, shop.tenant_id) == (10, 10)


async def test_a_transaction_may_make_room_for_itself_and_is_counted_as_a_whole(shop, runtime, superuser):
    known = names(10)
    await add(runtime, shop.tenant_id, known)
    async with runtime.tenant_transaction(shop.tenant_id) as tx:
        await tx.execute(text("DELETE FROM customers WHERE external_id = ANY (:gone)"), {"gone": known[:4]})
        await tx.execute(text(_ADD), {"names": names(4)})
    assert await stored(superuser, shop.tenant_id) == (10, 10)
    one, another = (_ADD, {"names": names(1)}), (_ADD, {"names": names(1)})
    gone = ("DELETE FROM customers WHERE external_id = :gone", {"gone": known[9]})
    with pytest.raises(ResourceExhausted):
        await ran(runtime, shop.tenant_id, gone, one, another)
    assert await stored(superuser, shop.tenant_id) == (10, 10)


async def test_what_a_savepoint_takes_back_is_not_counted(shop, runtime, superuser):
    async with runtime.tenant_transaction(shop.tenant_id) as tx:
        await tx.execute(text(_ADD), {"names": names(6)})
        await tx.execute(text("SAVEPOINT here"))
        with pytest.raises(Exception, match="stores 10 customers"):
            await tx.execute(text(_ADD), {"names": names(5)})
        await tx.execute(text("ROLLBACK TO SAVEPOINT here"))
        await tx.execute(text(_ADD), {"names": names(4)})
        await tx.execute(text("ROLLBACK TO SAVEPOINT here"))
    assert await stored(superuser, shop.tenant_id) == (6, 6)


@pytest.mark.parametrize("constraints", ["DEFERRED", "IMMEDIATE"])
async def test_copy_merge_and_single_rows_meet_the_limit_too(shop, runtime, superuser, constraints):
    merge = (
        "MERGE INTO customers c USING cl_wanted w ON c.external_id = w.name"
        " WHEN NOT MATCHED THEN INSERT (tenant_id, id, external_id, created_at)"
        " VALUES (app.tid(), app.uuid7(), w.name, now())"
    )
    single = (
        "INSERT INTO customers (tenant_id, id, external_id, created_at) SELECT app.tid(), app.uuid7(), name,"
        " now() FROM cl_wanted OFFSET {} LIMIT 1"
    )

    async def copied(statements: list[str]) -> None:
        async with runtime.tenant_transaction(shop.tenant_id) as tx:
            await tx.execute(text(f"SET CONSTRAINTS ALL {constraints}"))
            await tx.execute(text("CREATE TEMPORARY TABLE cl_wanted (name text) ON COMMIT DROP"))
            await (await driver(tx)).copy_records_to_table("cl_wanted", records=[(one,) for one in names(11)])
            for statement in statements:
                await tx.execute(text(statement))

    for statements in ([merge], [single.format(position) for position in range(11)]):
        with pytest.raises(ResourceExhausted):
            await copied(statements)
        assert await stored(superuser, shop.tenant_id) == (0, 0)


@pytest.mark.parametrize("url", ["runtime", "jobs", "admin"])
async def test_nobody_empties_or_moves_customers_or_writes_counts_and_limits(
    shop, runtime, superuser, postgres_urls, url
):
    await add(runtime, shop.tenant_id, names(10))
    other = await register(runtime, "other", "basic")
    connection = await asyncpg.connect(getattr(postgres_urls, url))
    attempts = [
        "TRUNCATE customers",
        "TRUNCATE customers CASCADE",
        f"UPDATE customers SET tenant_id = '{other.tenant_id}'",
        "SET session_replication_role = replica",
        *(
            ()
            if url == "admin"  # the owner of the tables changes them by migrations
            else (
                "UPDATE tenant_usage SET customers = 0",
                "DELETE FROM tenant_usage",
                "UPDATE entitlements SET max_customers = 1000000",
                "DELETE FROM tenant_usage_open",
                "UPDATE plans SET max_customers = 1000000",
                "ALTER TABLE customers DISABLE TRIGGER ALL",
                "DROP TRIGGER customers_added ON customers",
                "SELECT app.entitlement_begin(app.tid(), 'enterprise')",
                # What is granted is the platform's to say, not the tenant's.
                """SELECT app.entitlement_override(app.tid(), '{"plan": "enterprise"}', NULL)""",
            )
        ),
    ]
    try:
        for attempt in attempts:
            with pytest.raises(asyncpg.PostgresError) as refused:
                await raw(connection, shop.tenant_id, attempt)
            assert refused.value.sqlstate in {"42501", "0A000", "2BP01"}, attempt
    finally:
        await connection.close()
    assert await stored(superuser, shop.tenant_id) == (10, 10)


async def test_a_migration_meets_the_limit(shop, runtime, superuser, postgres_urls):
    await add(runtime, shop.tenant_id, names(9))
    owner = await asyncpg.connect(postgres_urls.admin)
    try:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await raw(
                owner,
                shop.tenant_id,
                "INSERT INTO customers (tenant_id, id, external_id, created_at)"
                " SELECT app.tid(), app.uuid7(), n::text, now() FROM generate_series(1, 2) AS n",
            )
        assert refused.value.sqlstate == "CL001"
    finally:
        await owner.close()
    assert await stored(superuser, shop.tenant_id) == (9, 9)


async def test_two_sessions_that_each_fit_alone_do_not_fit_together(shop, runtime, superuser):
    await add(runtime, shop.tenant_id, names(8))

    async def overtaken() -> None:
        async with runtime.tenant_transaction(shop.tenant_id) as first:
            await first.execute(text(_ADD), {"names": names(2)})
            # The first holds up nobody before it commits, and takes nothing from others by what it may undo.
            await add(runtime, shop.tenant_id, names(1))

    with pytest.raises(ResourceExhausted) as refused:
        await overtaken()
    assert refused.value.reason == "CUSTOMER_QUOTA_EXCEEDED"
    assert refused.value.metadata["used"] == "9"
    assert await stored(superuser, shop.tenant_id) == (9, 9)


async def test_a_lowered_limit_deletes_nothing_and_lets_customers_go(shop, runtime, superuser):
    known = names(10)
    await add(runtime, shop.tenant_id, known)
    await allow_customers(runtime, shop.tenant_id, 4)
    assert await stored(superuser, shop.tenant_id) == (10, 10)
    with pytest.raises(ResourceExhausted):
        await add(runtime, shop.tenant_id, names(1))
    async with runtime.tenant_transaction(shop.tenant_id) as tx:
        await tx.execute(text("DELETE FROM customers WHERE external_id = ANY (:gone)"), {"gone": known[:3]})
    assert await stored(superuser, shop.tenant_id) == (7, 7)


async def test_a_grant_that_has_lapsed_holds_no_longer_even_if_nobody_has_settled_it(
    shop, runtime, superuser
):
    await grant(runtime, shop.tenant_id, None)
    await superuser.execute(
        'UPDATE entitlements SET max_customers = 5000, override = \'{"limits": {"max_customers": 5000}}\','
        " override_expires_at = clock_timestamp() - interval '1 second' WHERE tenant_id = $1",
        shop.tenant_id,
    )
    with pytest.raises(ResourceExhausted) as refused:
        await add(runtime, shop.tenant_id, names(1001))
    assert refused.value.metadata["limit"] == "1000"


async def test_32_connections_that_add_and_delete_at_the_limit_never_pass_it(
    runtime, superuser, postgres_urls
):
    limit, rounds = 100, 20
    tenant = await register(runtime, "busy", "basic")
    await allow_customers(runtime, tenant.tenant_id, limit)
    db = Database(postgres_urls.runtime, 32)
    most, refusals = 0, 0

    async def watch() -> None:
        nonlocal most
        while True:
            rows, counted = await stored(superuser, tenant.tenant_id)
            most = max(most, rows, counted)
            await asyncio.sleep(0.005)

    async def work(seed: int) -> None:
        nonlocal refusals
        chance, mine = random.Random(seed), []
        for _ in range(rounds):
            try:
                if mine and chance.random() < 0.3:
                    gone = mine.pop()
                    async with db.tenant_transaction(tenant.tenant_id) as tx:
                        await tx.execute(
                            text("DELETE FROM customers WHERE external_id = ANY (:gone)"), {"gone": gone}
                        )
                else:
                    batch = names(chance.randint(1, 9))
                    await add(db, tenant.tenant_id, batch)
                    mine.append(batch)
            except ResourceExhausted:
                refusals += 1

    watching = asyncio.create_task(watch())
    try:
        # A deadlock or a lock that is not granted would end it: Aborted is not among what may happen.
        await asyncio.gather(*(work(seed) for seed in range(32)))
    finally:
        watching.cancel()
        await db.close()
    rows, counted = await stored(superuser, tenant.tenant_id)
    assert rows == counted <= limit
    assert most <= limit
    assert refusals > 0
    assert await superuser.fetchval("SELECT count(*) FROM tenant_usage_open") == 0


async def test_a_long_import_holds_up_no_deletion_and_none_of_them_deadlocks(runtime, database, superuser):
    tenant = await register(runtime, "long", "enterprise")
    known = names(50)
    await add(runtime, tenant.tenant_id, known)
    async with database.tenant_transaction(tenant.tenant_id) as importing:
        await importing.execute(text(_ADD), {"names": [*known, *names(500)]})
        for name in known[:10]:
            async with asyncio.timeout(2.0), runtime.tenant_transaction(tenant.tenant_id) as tx:
                await tx.execute(text("DELETE FROM customers WHERE external_id = :name"), {"name": name})
        # The import goes on with customers of which some are gone meanwhile, as its foreign keys do.
        await importing.execute(
            text("SELECT 1 FROM customers WHERE external_id = ANY (:known) FOR KEY SHARE"), {"known": known}
        )
    assert await stored(superuser, tenant.tenant_id) == (540, 540)


async def test_the_nightly_count_finds_what_was_changed_behind_the_triggers(
    shop, runtime, database, superuser
):
    await add(runtime, shop.tenant_id, names(3))
    async with database.transaction() as tx:
        assert await EntitlementRows(tx).differences() == []
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute(
        "INSERT INTO customers (tenant_id, id, external_id, created_at) VALUES ($1, $2, 'hidden', now())",
        shop.tenant_id,
        uuid7(),
    )
    await superuser.execute("SET session_replication_role = origin")
    async with database.transaction() as tx:
        assert await EntitlementRows(tx).differences() == [(shop.tenant_id, 3, 4)]
