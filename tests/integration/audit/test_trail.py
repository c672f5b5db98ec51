"""The chain as PostgreSQL keeps it: one line per tenant, no way to change it, none around the function."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct

import asyncpg
import pytest

from cohortlens.audit.trail import AuditTrail
from cohortlens.core.db import Database

from .conftest import SOMEONE


async def _rows(superuser, tenant_id):
    return await superuser.fetch(
        "SELECT seq, (extract(epoch FROM created_at) * 1000000)::bigint AS us, previous_hash, hash, canonical "
        "FROM audit_log WHERE tenant_id = $1 ORDER BY seq",
        tenant_id,
    )


def _assert_chained(tenant_id, rows):
    previous, last_us = bytes(32), 0
    for place, row in enumerate(rows, start=1):
        message = (
            b"CLA1" + tenant_id.bytes + previous + struct.pack(">qq", place, row["us"]) + row["canonical"]
        )
        assert (row["seq"], row["previous_hash"]) == (place, previous)
        assert hashlib.sha256(message).digest() == row["hash"], place
        assert row["us"] > last_us
        previous, last_us = row["hash"], row["us"]


async def test_64_writers_at_once_make_one_chain_that_a_second_computation_confirms(
    postgres_urls, database, superuser, tenants
):
    tenant_id = tenants[0].tenant_id
    wide = Database(postgres_urls.runtime, 16)

    async def write(writer):
        for number in range(5):
            async with wide.tenant_transaction(tenant_id) as tx:
                await AuditTrail(tx).append(SOMEONE, "test.row.written", details={"w": writer, "n": number})

    before = len(await _rows(superuser, tenant_id))
    try:
        await asyncio.gather(*(write(writer) for writer in range(64)))
    finally:
        await wide.close()
    rows = await _rows(superuser, tenant_id)
    assert len(rows) == before + 320
    _assert_chained(tenant_id, rows)
    written = [json.loads(row["canonical"])["details"] for row in rows[before:]]
    assert sorted((it["w"], it["n"]) for it in written) == [(w, n) for w in range(64) for n in range(5)]
    for writer in range(64):
        assert [it["n"] for it in written if it["w"] == writer] == list(range(5))


async def test_a_transaction_that_fails_leaves_no_row_and_no_gap(database, superuser, tenants, append):
    tenant_id = tenants[0].tenant_id
    last = await append(tenant_id)

    async def fail():
        async with database.tenant_transaction(tenant_id) as tx:
            assert await AuditTrail(tx).append_now(SOMEONE, "test.row.written") == last + 1
            raise RuntimeError("undone")

    with pytest.raises(RuntimeError, match="undone"):
        await fail()
    assert await append(tenant_id) == last + 1
    _assert_chained(tenant_id, await _rows(superuser, tenant_id))


async def test_a_clock_that_was_set_back_does_not_turn_times_around(database, superuser, tenants, append):
    tenant_id = tenants[0].tenant_id
    await append(tenant_id)
    await superuser.execute(
        "UPDATE audit_heads SET last_at = clock_timestamp() + interval '30 seconds' WHERE tenant_id = $1",
        tenant_id,
    )
    await append(tenant_id, 2)
    ahead = await superuser.fetch(
        "SELECT created_at - lag(created_at) OVER (ORDER BY seq) AS step FROM audit_log WHERE tenant_id = $1 "
        "ORDER BY seq DESC LIMIT 1",
        tenant_id,
    )
    assert ahead[0]["step"].total_seconds() == 1e-6


STATEMENTS = (
    "INSERT INTO audit_log (tenant_id, created_at, seq, previous_hash, hash, canonical, actor, on_behalf_of, action, "
    "resource, outcome, request_id) SELECT tenant_id, created_at, seq + 100, previous_hash, hash, canonical, actor, "
    "on_behalf_of, action, resource, outcome, request_id FROM audit_log",
    "UPDATE audit_log SET canonical = 'x'",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "UPDATE audit_heads SET seq = 0",
    "DELETE FROM audit_heads",
    "INSERT INTO audit_heads VALUES (app.tid(), 0, sha256('x'), now())",
    "UPDATE audit_checkpoints SET seq = 1",
    "DELETE FROM audit_checkpoints",
    "UPDATE access_log SET canonical = 'x'",
    "DELETE FROM access_log",
    "UPDATE access_minutes SET seq = 1",
    "SELECT app.audit_drop_month('audit_log', current_date)",
)


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_the_runtime_role_may_not(postgres_urls, tenants, append, statement):
    await append(tenants[0].tenant_id)
    runtime = await asyncpg.connect(postgres_urls.runtime)
    try:
        await runtime.execute(
            "SELECT set_config('app.tenant_id', $1::text, false)", str(tenants[0].tenant_id)
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await runtime.execute(statement)
    finally:
        await runtime.close()


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET seq = seq", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
async def test_not_even_a_superuser_changes_a_row_without_taking_the_triggers_off(
    superuser, tenants, append, statement
):
    await append(tenants[0].tenant_id)
    part = await superuser.fetchval("SELECT tableoid::regclass::text FROM audit_log LIMIT 1")
    for table in ("audit_log", part):
        with pytest.raises(asyncpg.CheckViolationError, match="never changed or removed"):
            await superuser.execute(statement.replace("audit_log", table))


async def test_each_tenant_sees_its_own_chain_and_no_tenant_sees_none(database, tenants, append):
    north, south = (it.tenant_id for it in tenants)
    await append(north, 3)
    async with database.tenant_transaction(south) as tx:
        seen = (
            await tx.exec_driver_sql(
                "SELECT count(*) FROM audit_log WHERE action = 'customers.customer.updated'"
            )
        ).scalar()
    assert seen == 0
    async with database.transaction() as tx:
        for table in ("audit_log", "audit_heads", "audit_checkpoints", "access_log", "access_minutes"):
            assert (await tx.exec_driver_sql(f"SELECT count(*) FROM {table}")).scalar() == 0


async def test_without_a_tenant_nothing_is_appended(database):
    with pytest.raises(Exception, match="needs a tenant"):
        async with database.transaction() as tx:
            await AuditTrail(tx).append(SOMEONE, "test.row.written")
