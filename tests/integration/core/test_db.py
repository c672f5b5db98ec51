"""Transactions, tenants and bad days against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from cohortlens.core.db import Database, assert_runtime_role, retried
from cohortlens.core.errors import Aborted, DeadlineExceeded, FailedPrecondition, Internal, Unavailable
from cohortlens.core.outbox import Outbox

INSERT = text(
    "INSERT INTO outbox (tenant_id, id, topic, key, payload) VALUES (:tenant, gen_random_uuid(), 't', 'k', '{}')"
)


async def test_a_tenant_transaction_carries_its_tenant_and_the_connection_forgets_it(postgres_urls, tenants):
    db = Database(postgres_urls.runtime, 1)  # one connection, so the next transaction reuses it
    async with db.tenant_transaction(tenants[0].tenant_id) as tx:
        assert (await tx.execute(text("SELECT id FROM tenants"))).scalars().all() == [tenants[0].tenant_id]
    async with db.transaction() as tx:
        assert (await tx.execute(text("SELECT id FROM tenants"))).all() == []
        assert await tx.scalar(text("SELECT app.tid()")) is None
    await db.close()


@pytest.mark.parametrize("table", ["tenants", "tenant_users", "sessions", "outbox"])
async def test_without_a_tenant_the_runtime_role_reads_nothing(database, tenants, table):
    for tenant in tenants:
        async with database.tenant_transaction(tenant.tenant_id) as tx:
            await Outbox(tx).record("t", "k", {})
    async with database.transaction() as tx:
        assert await tx.scalar(text(f"SELECT count(*) FROM {table}")) == 0


async def test_a_tenant_can_neither_read_write_nor_move_rows_of_another(database, tenants, superuser):
    own, other = (tenant.tenant_id for tenant in tenants)
    async with database.tenant_transaction(other) as tx:
        await Outbox(tx).record("t", "k", {})
    async with database.tenant_transaction(own) as tx:
        assert await tx.scalar(text("SELECT count(*) FROM outbox")) == 0
    with pytest.raises(DBAPIError, match="row-level security"):
        async with database.tenant_transaction(own) as tx:
            await tx.execute(INSERT, {"tenant": other})
    with pytest.raises(DBAPIError, match="row-level security"):
        async with database.transaction() as tx:
            await tx.execute(INSERT, {"tenant": own})
    assert await superuser.fetchval("SELECT count(*) FROM outbox") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "ALTER TABLE sessions DISABLE ROW LEVEL SECURITY",
        "SELECT password_hash FROM users",
        "UPDATE tenant_users SET role = 'owner'",
        "DELETE FROM tenant_users",
        "INSERT INTO tenant_users (tenant_id, user_id, role) VALUES (app.tid(), gen_random_uuid(), 'owner')",
        "INSERT INTO tenants (id, display_name, terms_version) VALUES (gen_random_uuid(), 'x', '1')",
        "SET ROLE cl_definer",
        "SET ROLE cl_owner",
        "SELECT app.define('app.tid()')",
        "SELECT app.protect('users')",
    ],
)
async def test_the_runtime_role_may_not_change_the_schema_its_rights_or_read_hashes(database, statement):
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        async with database.transaction() as tx:
            await tx.execute(text(statement))


async def test_a_fault_in_the_body_rolls_back_and_frees_the_connection(
    postgres_urls, database, tenants, superuser
):
    db = Database(postgres_urls.runtime, 1)

    async def fail():
        async with db.tenant_transaction(tenants[0].tenant_id) as tx:
            await Outbox(tx).record("t", "k", {})
            raise ValueError("halt")

    for _ in range(3):
        with pytest.raises(ValueError, match="halt"):
            await fail()
    await db.ping()
    assert await superuser.fetchval("SELECT count(*) FROM outbox") == 0
    await db.close()


async def test_a_swallowed_failure_cannot_be_committed_by_mistake(database, tenants):
    async def swallow():
        async with database.tenant_transaction(tenants[0].tenant_id) as tx:
            with contextlib.suppress(DBAPIError):
                await tx.execute(text("SELECT 1/0"))

    with pytest.raises(Internal):
        await swallow()


async def test_a_savepoint_lets_a_refused_row_pass(database, tenants, superuser):
    tenant = tenants[0].tenant_id
    async with database.tenant_transaction(tenant) as tx:
        event_id = await Outbox(tx).record("t", "k", {})
        with pytest.raises(IntegrityError):
            async with tx.begin_nested():
                await tx.execute(
                    text("INSERT INTO outbox (id, topic, key, payload) VALUES (:id, 't', 'k', '{}')"),
                    {"id": event_id},
                )
        await Outbox(tx).record("t", "k", {})
    assert await superuser.fetchval("SELECT count(*) FROM outbox") == 2


async def test_rows_can_be_streamed_inside_a_transaction(database):
    async with database.transaction() as tx:
        result = await tx.stream(text("SELECT generate_series(1, 1000) AS n"))
        assert [row.n async for row in result] == list(range(1, 1001))


async def test_a_cancelled_request_leaves_no_open_transaction_and_no_lost_connection(
    postgres_urls, superuser
):
    db = Database(postgres_urls.runtime, 1)

    async def slow():
        async with db.transaction() as tx:
            await tx.execute(text("SELECT pg_sleep(9)"))

    for _ in range(3):
        task = asyncio.create_task(slow())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.wait_for(db.ping(), 5)
    idle = (
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'cl_app' AND state LIKE 'idle in transaction%'"
    )
    assert await superuser.fetchval(idle) == 0
    await db.close()


async def test_a_statement_that_takes_too_long_is_ended(database):
    async def linger():
        async with database.transaction() as tx:
            await tx.execute(text("SET LOCAL statement_timeout = 50"))
            await tx.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(DeadlineExceeded):
        await linger()


async def test_limits_of_time_are_set_on_every_connection(database):
    async with database.transaction() as tx:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "TimeZone")
        values = [await tx.scalar(text(f"SHOW {name}")) for name in names]
    assert values == ["10s", "3s", "15s", "UTC"]


async def test_a_pooled_database_sets_its_limits_in_the_transaction(postgres_urls, tenants):
    db = Database(postgres_urls.runtime, 1, pooled=True)
    async with db.tenant_transaction(tenants[0].tenant_id) as tx:
        assert await tx.scalar(text("SHOW statement_timeout")) == "10s"
        assert await tx.scalar(text("SELECT app.tid()")) == tenants[0].tenant_id
    await db.close()


async def test_a_deadlock_is_retried_and_both_changes_land(database, tenants, superuser):
    await superuser.execute("CREATE TABLE IF NOT EXISTS counters (id int PRIMARY KEY, n int NOT NULL)")
    await superuser.execute("GRANT ALL ON counters TO cl_app")
    await superuser.execute("INSERT INTO counters VALUES (1, 0), (2, 0)")
    both_hold_one = asyncio.Barrier(2)
    met = 0

    async def work(first, second):
        async def change():
            nonlocal met
            async with database.transaction() as tx:
                await tx.execute(text("UPDATE counters SET n = n + 1 WHERE id = :id"), {"id": first})
                if met < 2:
                    met += 1
                    await both_hold_one.wait()
                await tx.execute(text("UPDATE counters SET n = n + 1 WHERE id = :id"), {"id": second})

        await retried(change)

    try:
        await asyncio.gather(work(1, 2), work(2, 1))
        assert [row["n"] for row in await superuser.fetch("SELECT n FROM counters")] == [2, 2]
    finally:
        await superuser.execute("DROP TABLE counters")


async def test_a_conflict_that_stays_is_answered_as_aborted():
    tries = 0

    async def conflict():
        nonlocal tries
        tries += 1
        raise Aborted("x", reason="SERIALIZATION_RETRY")

    with pytest.raises(Aborted):
        await retried(conflict)
    assert tries == 3


async def test_owner_and_superuser_are_refused_at_start_and_the_runtime_role_is_not(database, postgres_urls):
    await assert_runtime_role(database)
    for url in (postgres_urls.admin, postgres_urls.superuser):
        db = Database(url, 1)
        with pytest.raises(FailedPrecondition) as caught:
            await assert_runtime_role(db)
        assert caught.value.reason == "DATABASE_ROLE_UNSAFE"
        await db.close()


async def test_a_role_that_bypasses_row_level_security_is_refused(database, superuser, postgres_urls):
    await superuser.execute("ALTER ROLE cl_jobs BYPASSRLS")
    try:
        with pytest.raises(FailedPrecondition, match="BYPASSRLS"):
            await assert_runtime_role(database)
    finally:
        await superuser.execute("ALTER ROLE cl_jobs NOBYPASSRLS")


async def test_nothing_listening_is_unavailable_with_a_time_to_retry():
    db = Database("postgresql://cl_app:x@127.0.0.1:1/none", 1)
    with pytest.raises(Unavailable) as caught:
        await db.ping()
    assert (caught.value.reason, caught.value.retry_delay_s) == ("DATABASE_UNAVAILABLE", 1.0)
    await db.close()


async def test_a_pool_without_a_free_connection_is_overloaded_not_stuck(postgres_urls):
    db = Database(postgres_urls.runtime, 1)
    async with db.transaction():
        with pytest.raises(Unavailable) as caught:
            await db.ping()
    assert caught.value.reason == "OVERLOADED"
    await db.close()


async def test_ended_connections_are_replaced_without_the_caller_noticing(postgres_urls, superuser):
    db = Database(postgres_urls.runtime, 4)
    await asyncio.gather(*(db.ping() for _ in range(4)))
    await superuser.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cl_app'")
    await asyncio.gather(*(db.ping() for _ in range(8)))
    await db.close()


async def test_a_connection_ended_inside_a_transaction_is_unavailable_and_nothing_is_stored(
    database, tenants, superuser
):
    async def lose():
        async with database.tenant_transaction(tenants[0].tenant_id) as tx:
            await _record_and_end(tx, superuser)
            await tx.execute(text("SELECT 1"))

    with pytest.raises(Unavailable) as caught:
        await lose()
    assert caught.value.reason == "DATABASE_UNAVAILABLE"
    assert await superuser.fetchval("SELECT count(*) FROM outbox") == 0
    await database.ping()


async def test_a_commit_that_finds_the_connection_dead_is_not_reported_as_done(database, tenants, superuser):
    async def lose():
        async with database.tenant_transaction(tenants[0].tenant_id) as tx:
            await _record_and_end(tx, superuser)

    with pytest.raises(Unavailable):
        await lose()
    assert await superuser.fetchval("SELECT count(*) FROM outbox") == 0


async def test_postgres_killed_with_9_and_started_again_needs_no_restart_of_ours(
    postgres_server, postgres_urls, tenants
):
    db = Database(postgres_urls.runtime, 2)
    await db.ping()
    async with db.tenant_transaction(tenants[0].tenant_id) as tx:
        event_id = await Outbox(tx).record("t", "k", {})
    os.kill(_postmaster(postgres_server), signal.SIGKILL)
    await asyncio.to_thread(postgres_server.server.wait, 10)
    try:
        with pytest.raises(Unavailable) as caught:
            await db.ping()
        assert caught.value.reason == "DATABASE_UNAVAILABLE"
    finally:
        await asyncio.to_thread(postgres_server.start)
    async with db.tenant_transaction(tenants[0].tenant_id) as tx:
        assert await tx.scalar(text("SELECT id FROM outbox")) == event_id
    await db.close()


async def _record_and_end(tx, superuser):
    await Outbox(tx).record("t", "k", {})
    pid = await tx.scalar(text("SELECT pg_backend_pid()"))
    await superuser.execute("SELECT pg_terminate_backend($1, 5000)", pid)


def _postmaster(server):
    return int((server.cluster / "postmaster.pid").read_text().split("\n", 1)[0])


@pytest.mark.parametrize(
    "call",
    [
        "app.outbox_claim('me', '{}', '{}', '{}', 1)",
        "app.tenant_erase(1)",
        "app.sealed_columns()",
        "app.tenant_create('00000000-0000-7000-8000-000000000001', 'Mine')",
    ],
)
async def test_what_serves_requests_may_not_do_the_work_of_jobs(postgres_urls, call):
    db = Database(postgres_urls.runtime, 1)
    with pytest.raises(DBAPIError, match="permission denied for function"):
        async with db.transaction() as tx:
            await tx.execute(text(f"SELECT {call}"))
    await db.close()


@pytest.mark.parametrize("call", ["member_set_role(:user, 'viewer')", "member_remove(:user)"])
async def test_no_statement_leaves_a_tenant_without_an_owner_or_reaches_another(
    postgres_urls, tenants, superuser, call
):
    own, other = tenants
    db = Database(postgres_urls.runtime, 1)
    with pytest.raises(IntegrityError, match="a tenant keeps an owner"):
        async with db.tenant_transaction(own.tenant_id) as tx:
            await tx.execute(text(f"SELECT app.{call}"), {"user": own.user_id})
    async with db.tenant_transaction(own.tenant_id) as tx:
        await tx.execute(text(f"SELECT app.{call}"), {"user": other.user_id})
    await db.close()
    owners = await superuser.fetch("SELECT user_id FROM tenant_users WHERE role = 'owner'")
    assert {row["user_id"] for row in owners} == {own.user_id, other.user_id}


async def test_who_may_only_look_sees_one_tenant_and_no_secret(postgres_urls, tenants, superuser):
    async with superuser.transaction():
        await superuser.execute("SET LOCAL ROLE cl_ro")
        assert await superuser.fetch("SELECT id FROM tenants") == []
        await superuser.execute(f"SET LOCAL app.tenant_id = '{tenants[0].tenant_id}'")
        assert [row["id"] for row in await superuser.fetch("SELECT id FROM tenants")] == [
            tenants[0].tenant_id
        ]
    for statement in ("SELECT key_wrapped FROM tenants", "SELECT id FROM users", "DELETE FROM customers"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await _looking(superuser, statement)


async def _looking(superuser, statement):
    async with superuser.transaction():
        await superuser.execute("SET LOCAL ROLE cl_ro")
        await superuser.execute(statement)
