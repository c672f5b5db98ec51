"""Behind a pooler in transaction mode connections change hands with every transaction: no tenant may go with them."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from cohortlens.core import outbox
from cohortlens.core.db import Database
from cohortlens.core.paging import PageTokens
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.models import ImportOptions
from cohortlens.customers.service import CustomersService
from tests.fixtures.pooler import SERVER_CONNECTIONS, pooler

CSV = b"customer,date,amount\nann,2026-01-03,10.00\nbob,2026-02-03,20.00\nann,2026-03-03,5.00\n"


@pytest.fixture(scope="module")
def pooled_url(postgres_urls, tmp_path_factory):
    with pooler(postgres_urls.jobs, tmp_path_factory.mktemp("pooler")) as url:
        yield url


@pytest.fixture
async def pooled(pooled_url, database):
    db = Database(pooled_url, 8, pooled=True)
    yield db
    await db.close()


async def pieces(data):
    yield data


async def test_a_connection_that_changes_hands_brings_no_tenant_along(pooled, tenants):
    backends, wrong = set(), []

    async def visit(number):
        if number % 3 == 2:
            async with pooled.transaction() as tx:
                if await tx.scalar(text("SELECT app.tid()")) is not None:
                    wrong.append(number)
            return
        tenant = tenants[number % 3]
        async with pooled.tenant_transaction(tenant.tenant_id) as tx:
            row = (await tx.execute(text("SELECT id, pg_backend_pid() AS backend FROM tenants"))).all()
            backends.add(row[0].backend)
            if [one.id for one in row] != [tenant.tenant_id]:
                wrong.append(number)

    for start in range(0, 300, 50):
        await asyncio.gather(*(visit(number) for number in range(start, start + 50)))
    assert not wrong
    assert len(backends) <= SERVER_CONNECTIONS


async def test_limits_and_time_zone_hold_in_every_transaction(pooled):
    async with pooled.transaction() as tx:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "TimeZone")
        assert [await tx.scalar(text(f"SHOW {name}")) for name in names] == ["10s", "3s", "15s", "UTC"]


async def test_an_import_and_its_event_go_through_the_pooler(pooled, tenants, tmp_path):
    tenant, other = tenants
    service = CustomersService(pooled, tmp_path / "spool", PageTokens(b"k" * 32), TenantKeys(b"k" * 32))
    started = await service.start_import(tenant.context(), ImportOptions(), pieces(CSV))
    (event,) = await outbox.claim(pooled, "pooler", [outbox.Wanted("import.requested", 10)])
    assert event.payload["import_id"] == str(started.import_id)
    await service.run_import(tenant.tenant_id, started.import_id)
    assert await outbox.settle(pooled, event)
    done = await service.get_import(tenant.context(), started.import_id)
    assert (done.rows.accepted, done.new_customers) == (3, 2)
    async with pooled.tenant_transaction(other.tenant_id) as tx:
        assert await tx.scalar(text("SELECT count(*) FROM customers")) == 0
