"""Transactions, operations and rights of the sidecar's journal on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import pytest

from cohortlens.core.errors import FailedPrecondition
from sidecars.web3.journal.operations import OperationReused, forget_operations, request_digest, run_once
from sidecars.web3.journal.pool import Journal

NORTH = UUID("01890000-0000-7000-8000-00000000000a")
SOUTH = UUID("01890000-0000-7000-8000-00000000000b")
OPERATION = UUID("01890000-0000-7000-8000-0000000000ff")


async def _once(journal, tenant, request, made):
    async def make():
        made.append(request)
        await asyncio.sleep(0)
        return b"answer to " + request

    async with journal.transaction(tenant) as tx:
        return await run_once(tx, tenant, OPERATION, request_digest("M", request), make)


async def test_an_operation_has_its_effect_once_even_when_eight_ask_at_once(journal):
    made = []
    answers = await asyncio.gather(*(_once(journal, NORTH, b"one", made) for _ in range(8)))
    assert set(answers) == {b"answer to one"}
    assert made == [b"one"]


async def test_an_operation_with_another_request_is_refused_and_another_tenants_is_its_own(journal):
    made = []
    await _once(journal, NORTH, b"one", made)
    with pytest.raises(OperationReused):
        await _once(journal, NORTH, b"two", made)
    assert await _once(journal, SOUTH, b"two", made) == b"answer to two"


async def test_an_effect_that_fails_leaves_no_answer(journal):
    async def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        async with journal.transaction(NORTH) as tx:
            await run_once(tx, NORTH, OPERATION, request_digest("M", b"one"), fail)
    assert await _once(journal, NORTH, b"two", []) == b"answer to two"


async def test_a_tenant_sees_its_own_rows_and_background_work_all(journal):
    for tenant in (NORTH, SOUTH):
        await _once(journal, tenant, b"one", [])
    async with journal.transaction(NORTH) as tx:
        assert await tx.fetchval("SELECT array_agg(tenant_id) FROM operation") == [NORTH]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await tx.execute(
                "INSERT INTO operation (tenant_id, operation_id, request_sha256, response) VALUES ($1, $2, $3, '')",
                SOUTH,
                NORTH,
                bytes(32),
            )
    async with journal.transaction(None) as tx:
        assert await tx.fetchval("SELECT count(*) FROM operation") == 2


async def test_operations_are_forgotten_after_ninety_days(journal, superuser):
    for tenant in (NORTH, SOUTH):
        await _once(journal, tenant, b"one", [])
    await superuser.execute(
        "UPDATE web3.operation SET created_at = now() - interval '91 days' WHERE tenant_id = $1", NORTH
    )
    async with journal.transaction(None) as tx:
        assert await forget_operations(tx) == 1
        assert await tx.fetchval("SELECT tenant_id FROM operation") == SOUTH


async def test_the_role_of_the_sidecar_reads_nothing_else_and_nobody_else_reads_its_tables(
    journal, runtime, postgres_urls
):
    async with journal.transaction(None) as tx:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await tx.fetch("SELECT * FROM public.customers")
    for url in (postgres_urls.runtime, postgres_urls.jobs):
        other = await asyncpg.connect(url)
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await other.fetch("SELECT * FROM web3.issuer_key")
        finally:
            await other.close()


async def test_a_role_that_row_level_security_does_not_bind_is_refused(database, postgres_urls):
    journal = Journal(postgres_urls.superuser)
    with pytest.raises(FailedPrecondition) as refusal:
        await journal.open()
    await journal.close()
    assert refusal.value.reason == "DATABASE_ROLE_UNSAFE"


async def test_a_caller_that_gives_up_leaves_a_connection_that_others_can_use(postgres_urls, database):
    journal = Journal(postgres_urls.web3, size=1)
    await journal.open()
    try:

        async def hold():
            async with journal.transaction(NORTH) as tx:
                await tx.fetchval("SELECT pg_sleep(5)")

        task = asyncio.create_task(hold())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await journal.ping()
    finally:
        await journal.close()


async def test_connections_that_postgres_cut_are_replaced(journal, superuser):
    await journal.ping()
    await superuser.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cohortlens-web3'"
    )
    await journal.ping()
