"""An import and the limit on customers: whole or absent, with the shortfall told before and after."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from cohortlens.core.errors import Aborted
from cohortlens.customers import loading
from cohortlens.customers.models import Import
from tests.fixtures.tenants import allow_customers

ROWS = ("a,2024-01-01,10", "b,2024-01-02,5", "c,2024-01-03,7")
MORE = ("a,2024-02-01,10", "d,2024-02-02,5", "e,2024-02-03,7")


@pytest.fixture
async def full(shop, csv, runtime):
    """A shop with three customers and room for a fourth."""
    await allow_customers(runtime, shop.tenant.tenant_id, 4)
    await shop.load(csv(*ROWS))
    return shop


async def test_a_dry_run_tells_how_many_customers_the_plan_has_no_room_for(full, csv, contents):
    before = await contents()
    dry = await full.load(csv(*MORE), dry_run=True)
    assert (dry.state, dry.new_customers, dry.customers_over) == ("SUCCEEDED", 2, 1)
    assert await contents() == before
    fits = await full.load(csv(*MORE[:2]), dry_run=True)
    assert (fits.new_customers, fits.customers_over) == (1, 0)


async def test_an_import_beyond_the_limit_fails_once_with_the_shortfall_and_writes_nothing(
    full, csv, contents
):
    before = await contents()
    done = await full.load(csv(*MORE))
    assert (done.state, done.error_reason) == ("FAILED", "CUSTOMER_QUOTA_EXCEEDED")
    assert (done.new_customers, done.customers_over, done.rows.accepted) == (0, 1, 0)
    assert "3 are stored and 2 more would come" in done.error_message
    assert "nothing of the file was written" in done.error_message
    assert await contents() == before
    assert list(full.service.spool.files()) == []


async def test_an_import_that_adds_no_customer_works_at_the_limit(full, csv, runtime):
    await allow_customers(runtime, full.tenant.tenant_id, 2)
    done = await full.load(csv("a,2024-03-01,10", "b,2024-03-02,10"))
    assert (done.state, done.rows.accepted, done.new_customers) == ("SUCCEEDED", 2, 0)


async def test_an_import_that_is_overtaken_at_its_commit_fails_and_leaves_nothing(
    full, csv, contents, runtime, monkeypatch
):
    tenant_id, load = full.tenant.tenant_id, loading.load

    async def overtaken(tx, *arguments):
        loaded = await load(tx, *arguments)
        # Another session takes the last place while the import is still at work.
        async with runtime.tenant_transaction(tenant_id) as other:
            await other.execute(
                text(
                    "INSERT INTO customers (tenant_id, id, external_id, created_at)"
                    " VALUES (app.tid(), app.uuid7(), 'quick', now())"
                )
            )
        return loaded

    monkeypatch.setattr(loading, "load", overtaken)
    done = await full.load(csv("d,2024-02-02,5"))
    assert (done.state, done.error_reason, done.customers_over) == ("FAILED", "CUSTOMER_QUOTA_EXCEEDED", 1)
    names = await _names(runtime, tenant_id)
    assert names == {"a", "b", "c", "quick"}


async def _names(db, tenant_id) -> set[str]:
    async with db.tenant_transaction(tenant_id) as tx:
        return set((await tx.scalars(text("SELECT external_id FROM customers"))).all())


async def test_imports_and_deletions_of_one_tenant_at_once_end_with_a_right_count(
    full, csv, runtime, superuser
):
    tenant_id = full.tenant.tenant_id
    await allow_customers(runtime, tenant_id, 60)
    files = [csv(*(f"f{number}-{line},2024-02-01,{line + 1}" for line in range(15))) for number in range(6)]

    async def until_done(work) -> None:
        """As callers do it: what was in conflict begins again."""
        while True:
            try:
                return await work()
            except Aborted as fault:
                assert fault.reason == "SERIALIZATION_RETRY"

    async def load(file) -> Import:
        started = await full.start(file)
        await until_done(lambda: full.service.run_import(tenant_id, started.import_id))
        return await full.service.get_import(full.ctx, started.import_id)

    async def delete() -> int:
        for gone in range(25):
            names = sorted(await _names(runtime, tenant_id))
            if not names:
                return gone
            name = f"external:{names[gone % len(names)]}"
            await until_done(lambda name=name: full.service.delete_customer(full.ctx, name))
            await asyncio.sleep(0.02)
        return 25

    *done, gone = await asyncio.gather(*(load(one) for one in files), delete())
    assert {one.error_reason for one in done} <= {"", "CUSTOMER_QUOTA_EXCEEDED"}
    added = sum(one.new_customers for one in done)
    rows = await superuser.fetchval("SELECT count(*) FROM customers WHERE tenant_id = $1", tenant_id)
    counted = await superuser.fetchval("SELECT customers FROM tenant_usage WHERE tenant_id = $1", tenant_id)
    assert rows == counted == 3 + added - gone
    assert counted <= 60
