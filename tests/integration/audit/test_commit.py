"""A row of the chain goes with the COMMIT: both are stored, or neither, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest
from sqlalchemy import text

from cohortlens.audit.chain_reading import ChainReading
from cohortlens.audit.trail import AuditTrail
from cohortlens.core.db import Database, go_on_for, retried
from cohortlens.core.deferred import call_at_commit
from cohortlens.core.errors import Aborted, Internal
from tests.fixtures.pooler import pooler

from .conftest import SOMEONE

ACTION = "test.row.written"
RENAME = text("UPDATE tenants SET display_name = :name")


async def _write(db, tenant_id, name, count=1):
    async with db.tenant_transaction(tenant_id) as tx:
        for number in range(count):
            await AuditTrail(tx).append(SOMEONE, ACTION, details={"name": name, "number": number})
        await tx.execute(RENAME, {"name": name})


async def _stored(superuser, tenant_id):
    """The tenant's name and what the chain tells, oldest first."""
    rows = await superuser.fetch(
        "SELECT canonical FROM audit_log WHERE tenant_id = $1 AND action = $2 ORDER BY seq", tenant_id, ACTION
    )
    name = await superuser.fetchval("SELECT display_name FROM tenants WHERE id = $1", tenant_id)
    return name, [json.loads(row["canonical"])["details"] for row in rows]


@pytest.fixture
async def holder(postgres_urls):
    """Somebody else, who can hold the head of a chain."""
    connection = await asyncpg.connect(postgres_urls.superuser)
    yield connection
    await connection.close()


async def _hold(holder, tenant_id):
    held = holder.transaction()
    await held.start()
    await holder.execute("SELECT 1 FROM audit_heads WHERE tenant_id = $1 FOR UPDATE", tenant_id)
    return held


async def _until_waiting(superuser):
    """Return once a transaction of ours waits for a lock."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%audit_append%'"
    )
    async with asyncio.timeout(5):
        while await superuser.fetchval(query) == 0:  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.01)


async def test_rows_of_one_transaction_keep_their_order_and_any_text_comes_through_whole(
    database, superuser, tenants
):
    tenant_id = tenants[0].tenant_id
    hostile = "'; COMMIT; DROP TABLE audit_log; -- \\x00 \\' $$ \u2028 ü \U0001f600 %s :x"
    await _write(database, tenant_id, hostile, count=3)
    name, rows = await _stored(superuser, tenant_id)
    assert name == hostile
    assert rows == [{"name": hostile, "number": number} for number in range(3)]
    assert (await ChainReading(database).verify(tenant_id, {})).fault is None


async def test_the_head_of_a_chain_is_free_while_the_transaction_is_still_at_work(
    database, tenants, append, holder
):
    tenant_id = tenants[0].tenant_id
    await append(tenant_id)
    async with database.tenant_transaction(tenant_id) as tx:
        await AuditTrail(tx).append(SOMEONE, ACTION)
        query = "SELECT seq FROM audit_heads WHERE tenant_id = $1 FOR UPDATE NOWAIT"
        assert await holder.fetchval(query, tenant_id) is not None


async def test_a_row_that_is_refused_at_the_commit_rolls_the_whole_transaction_back(
    postgres_urls, database, superuser, tenants, append
):
    tenant_id = tenants[0].tenant_id
    await append(tenant_id)
    before = await _stored(superuser, tenant_id)
    db = Database(postgres_urls.runtime, 1)
    await superuser.execute("ALTER TABLE audit_heads ADD CONSTRAINT full_up CHECK (seq < 2) NOT VALID")
    try:
        with pytest.raises(Internal, match="nothing of it is stored"):
            await _write(db, tenant_id, "never", count=2)
        pid = await _pid(db)
    finally:
        await superuser.execute("ALTER TABLE audit_heads DROP CONSTRAINT full_up")
    assert await _stored(superuser, tenant_id) == before
    await _write(db, tenant_id, "now")
    assert await _stored(superuser, tenant_id) == ("now", [{"name": "now", "number": 0}])
    assert await _pid(db) == pid, "a refused row costs no connection"
    await db.close()


async def _pid(db):
    async with db.transaction() as tx:
        return await tx.scalar(text("SELECT pg_backend_pid()"))


async def test_a_head_that_stays_locked_ends_in_aborted_which_a_retry_overcomes(
    postgres_urls, superuser, tenants, append, holder
):
    tenant_id = tenants[0].tenant_id
    await append(tenant_id)
    db = Database(postgres_urls.runtime, 2)
    held = await _hold(holder, tenant_id)
    tries = 0

    async def work():
        nonlocal tries
        tries += 1
        if tries == 3:
            await held.rollback()
        async with db.tenant_transaction(tenant_id) as tx:
            await tx.execute(text("SET LOCAL lock_timeout = '100ms'"))
            await tx.execute(RENAME, {"name": "late"})
            await AuditTrail(tx).append(SOMEONE, ACTION, details={"try": tries})
        return tries

    with pytest.raises(Aborted) as caught:
        await work()
    assert caught.value.reason == "SERIALIZATION_RETRY"
    await retried(work)
    assert await _stored(superuser, tenant_id) == ("late", [{"try": 3}])
    await db.close()


async def test_a_request_cancelled_at_its_commit_stores_the_change_and_its_row_or_neither(
    postgres_urls, superuser, tenants, append, holder
):
    tenant_id = tenants[0].tenant_id
    await append(tenant_id)
    db = Database(postgres_urls.runtime, 1)
    held = await _hold(holder, tenant_id)
    request = asyncio.create_task(_write(db, tenant_id, "cancelled"))
    await _until_waiting(superuser)
    request.cancel()
    await asyncio.sleep(0.05)
    await held.rollback()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await _stored(superuser, tenant_id) == ("cancelled", [{"name": "cancelled", "number": 0}])
    await db.ping()
    await db.close()


async def test_a_request_cancelled_before_its_commit_stores_nothing(database, superuser, tenants, append):
    tenant_id = tenants[0].tenant_id
    await append(tenant_id)
    before = await _stored(superuser, tenant_id)

    async def linger():
        async with database.tenant_transaction(tenant_id) as tx:
            await tx.execute(RENAME, {"name": "never"})
            await AuditTrail(tx).append(SOMEONE, ACTION)
            await asyncio.Event().wait()

    request = asyncio.create_task(linger())
    await asyncio.sleep(0.1)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await _stored(superuser, tenant_id) == before


async def test_a_server_process_killed_while_it_commits_leaves_neither_change_nor_row(
    database, superuser, tenants, append, holder
):
    tenant_id = tenants[0].tenant_id
    await append(tenant_id)
    before = await _stored(superuser, tenant_id)
    held = await _hold(holder, tenant_id)
    request = asyncio.create_task(_write(database, tenant_id, "never"))
    await _until_waiting(superuser)
    await superuser.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND query LIKE '%audit_append%'"
    )
    with pytest.raises(Exception, match="cannot be reached"):
        await request
    await held.rollback()
    assert await _stored(superuser, tenant_id) == before


async def test_a_transaction_that_failed_unseen_is_not_committed_and_leaves_no_row(
    database, superuser, tenants
):
    tenant_id = tenants[0].tenant_id
    before = await _stored(superuser, tenant_id)

    async def swallow():
        async with database.tenant_transaction(tenant_id) as tx:
            await AuditTrail(tx).append(SOMEONE, ACTION)
            with pytest.raises(Exception, match="division by zero"):
                await tx.execute(text("SELECT 1/0"))

    with pytest.raises(Internal, match="had failed"):
        await swallow()
    assert await _stored(superuser, tenant_id) == before


async def test_rows_go_to_the_chains_of_the_tenants_they_were_appended_for(database, superuser, tenants):
    first, second = (tenant.tenant_id for tenant in tenants)
    async with database.tenant_transaction(first) as tx:
        await AuditTrail(tx).append(SOMEONE, ACTION, details={"n": 1})
        await go_on_for(tx, second)
        await AuditTrail(tx).append(SOMEONE, ACTION, details={"n": 2})
        await go_on_for(tx, first)
        await AuditTrail(tx).append(SOMEONE, ACTION, details={"n": 3})
        await go_on_for(tx, second)
        assert await tx.scalar(text("SELECT id FROM tenants")) == second
    assert (await _stored(superuser, first))[1] == [{"n": 1}, {"n": 3}]
    assert (await _stored(superuser, second))[1] == [{"n": 2}]


async def test_a_row_that_is_needed_at_once_comes_after_those_put_off_before(database, superuser, tenants):
    first, second = (tenant.tenant_id for tenant in tenants)
    async with database.tenant_transaction(first) as tx:
        trail = AuditTrail(tx)
        await trail.append(SOMEONE, ACTION, details={"n": 1})
        await go_on_for(tx, second)
        seq = await trail.append_now(SOMEONE, ACTION, details={"n": 2})
        assert await tx.scalar(text("SELECT seq FROM audit_heads")) == seq
        await trail.append(SOMEONE, ACTION, details={"n": 3})
    assert (await _stored(superuser, first))[1] == [{"n": 1}]
    assert (await _stored(superuser, second))[1] == [{"n": 2}, {"n": 3}]


async def test_what_could_lose_a_row_is_refused_where_it_is_written(
    database, superuser, postgres_urls, tenants
):
    tenant_id = tenants[0].tenant_id
    async with database.tenant_transaction(tenant_id) as tx:
        async with tx.begin_nested():
            with pytest.raises(RuntimeError, match="inside a savepoint"):
                await AuditTrail(tx).append(SOMEONE, ACTION)
            with pytest.raises(RuntimeError, match="inside a savepoint"):
                await AuditTrail(tx).append_now(SOMEONE, ACTION)
        with pytest.raises(ValueError, match="function of the schema app"):
            call_at_commit(tx, "app.audit_append('x'); DROP TABLE audit_log; --", b"{}")
    with pytest.raises(RuntimeError, match="has ended"):
        await AuditTrail(tx).append(SOMEONE, ACTION)
    async with database._engine.connect() as stranger:
        with pytest.raises(RuntimeError, match="no transaction of Database"):
            await AuditTrail(stranger).append(SOMEONE, ACTION)
    assert (await _stored(superuser, tenant_id))[1] == []


async def test_behind_a_pooler_64_writers_make_one_chain_that_holds(
    postgres_urls, superuser, tenants, tmp_path
):
    tenant_id = tenants[0].tenant_id
    with pooler(postgres_urls.runtime, tmp_path) as url:
        db = Database(url, 8, pooled=True)
        await asyncio.gather(*(_write(db, tenant_id, f"w{writer}", count=2) for writer in range(64)))
        report = await ChainReading(db).verify(tenant_id, {})
        await db.close()
    assert report.fault is None
    name, rows = await _stored(superuser, tenant_id)
    assert name == rows[-1]["name"]
    assert [row["number"] for row in rows] == [0, 1] * 64
    assert sorted(row["name"] for row in rows[::2]) == sorted(row["name"] for row in rows[1::2])
