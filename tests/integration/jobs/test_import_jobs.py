import asyncio
import os
import signal
import sys
from datetime import timedelta

import asyncpg
import pytest

from cohortlens.core import clock
from cohortlens.core.ids import EventId, uuid7
from cohortlens.core.outbox import Event
from cohortlens.customers.models import ImportOptions
from cohortlens.jobs.handlers import HANDLERS, import_died
from cohortlens.jobs.partitions import ensure_partitions
from tests.integration.jobs import worker_process

HEADER = b"customer,date,amount\n"
IMPORT = {"import.requested": HANDLERS["import.requested"]}


async def pieces(data):
    yield data


@pytest.fixture
def upload(services, tenants):
    async def send(data):
        started = await services.customers.start_import(tenants[0].context(), ImportOptions(), pieces(data))
        return started.import_id

    return send


def ended(services, tenant, import_id):
    async def condition():
        found = await services.customers.get_import(tenant.context(), import_id)
        return found.state in ("SUCCEEDED", "FAILED")

    return condition


async def test_an_uploaded_file_is_imported_by_jobs(services, tenants, running, upload, eventually):
    import_id = await upload(HEADER + b"a,2024-01-01,1\nb,2024-01-02,2\n")
    async with running(IMPORT):
        await eventually(ended(services, tenants[0], import_id), "the import ends")
    done = await services.customers.get_import(tenants[0].context(), import_id)
    assert (done.state, done.rows.accepted) == ("SUCCEEDED", 2)


async def test_an_import_that_keeps_failing_tells_its_tenant(services, tenants, upload):
    import_id = await upload(HEADER + b"a,2024-01-01,1\n")

    payload = {"import_id": str(import_id)}
    event = Event(
        tenants[0].tenant_id, EventId(uuid7()), "import.requested", "imports", payload, 5, "runner", 1
    )
    await import_died(services, event)
    done = await services.customers.get_import(tenants[0].context(), import_id)
    assert (done.state, done.error_reason) == ("FAILED", "INTERNAL")
    assert list(services.customers.spool.files()) == []


async def test_a_jobs_process_killed_in_phase_two_leaves_nothing_half_written_and_another_finishes(
    services, tenants, upload, postgres_urls, redis_url, spool, superuser, running, eventually
):
    import_id = await upload(HEADER + b"".join(b"c%d,2024-01-01,1\n" % n for n in range(2000)))
    blocker = await asyncpg.connect(postgres_urls.superuser)
    transaction = blocker.transaction()
    await transaction.start()
    # The last table of phase two: whoever waits for it has written everything else and not committed.
    await blocker.execute("LOCK TABLE customer_features IN ACCESS EXCLUSIVE MODE")
    process = await asyncio.create_subprocess_exec(
        sys.executable, worker_process.__file__, postgres_urls.jobs, redis_url, str(spool), "2"
    )
    try:

        async def waiting():
            return bool(
                await superuser.fetchval(
                    "SELECT count(*) FROM pg_locks WHERE relation = 'customer_features'::regclass AND NOT granted"
                )
            )

        await eventually(waiting, "phase two reaches its last table")
        os.kill(process.pid, signal.SIGKILL)
        assert await asyncio.wait_for(process.wait(), 10) == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
        await transaction.rollback()
        await blocker.close()

    async def alone():
        return not await superuser.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cohortlens' AND xact_start IS NOT NULL"
        )

    await eventually(alone, "the server drops the dead process's transaction")
    for table in ("customers", "transactions", "purchase_days", "customer_features", "customer_data"):
        assert await superuser.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert await superuser.fetchval("SELECT state FROM imports") == "RUNNING"

    async with running(IMPORT):
        await eventually(ended(services, tenants[0], import_id), "the import ends after the lease")
    done = await services.customers.get_import(tenants[0].context(), import_id)
    assert (done.state, done.rows.accepted, done.new_customers) == ("SUCCEEDED", 2000, 2000)
    assert await superuser.fetchval("SELECT count(*) FROM transactions") == 2000
    assert await superuser.fetchval("SELECT count(*) FROM outbox WHERE topic = 'transactions.imported'") == 1


async def test_partitions_are_made_ahead_once(database, superuser):
    await ensure_partitions(database)
    assert await ensure_partitions(database) == 0
    last = (clock.now().replace(day=1) + timedelta(days=95)).strftime("_y%Ym%m")
    for table in ("predictions", "segments"):
        assert await superuser.fetchval("SELECT to_regclass($1)", table + last) is not None
