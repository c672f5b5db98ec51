"""Who can run any SQL as the application role tries to get past the limits by what the role may call."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cohortlens.core.errors import ResourceExhausted
from tests.fixtures.tenants import allow_customers, register

_ADD = """
INSERT INTO customers (tenant_id, id, external_id, created_at)
SELECT app.tid(), app.uuid7(), n::text, now() FROM generate_series(1, :rows) AS n
"""
_INVITE = """
INSERT INTO invitations (tenant_id, id, email_enc, email_bidx, role, expires_at)
SELECT app.tid(), app.uuid7(), $$x$$, sha256(n::text::bytea), $$viewer$$,
       now() + interval '1 day' FROM generate_series(1, :rows) AS n
"""


@pytest.fixture
async def shop(runtime):
    """A tenant of plan basic that may store 10 customers and have 2 users."""
    tenant = await register(runtime, "shop", "basic")
    await allow_customers(runtime, tenant.tenant_id, 10)
    return tenant


async def test_no_function_of_a_trigger_can_be_hung_on_a_table_of_ones_own(superuser):
    """A temporary table whose rows "go" would lower the counts, and one whose rows "come" would make tenants."""
    open_to_all = await superuser.fetch(
        "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'app' AND p.prosecdef AND p.prorettype = 'trigger'::regtype"
        "   AND (has_function_privilege('cl_app', p.oid, 'EXECUTE')"
        "        OR has_function_privilege('cl_jobs', p.oid, 'EXECUTE'))"
    )
    assert [row["proname"] for row in open_to_all] == []


async def test_a_table_of_ones_own_does_not_lower_the_count(shop, runtime, superuser):
    async def lowered():
        async with runtime.tenant_transaction(shop.tenant_id) as tx:
            for statement in (
                "CREATE TEMPORARY TABLE decoy (tenant_id uuid) ON COMMIT DROP",
                "CREATE TRIGGER away AFTER DELETE ON decoy REFERENCING OLD TABLE AS removed"
                " FOR EACH STATEMENT EXECUTE FUNCTION app.note_customers()",
                "INSERT INTO decoy SELECT app.tid() FROM generate_series(1, 10)",
                "DELETE FROM decoy",
            ):
                await tx.execute(text(statement))

    async with runtime.tenant_transaction(shop.tenant_id) as tx:
        await tx.execute(text(_ADD), {"rows": 10})
    with pytest.raises(DBAPIError, match="permission denied for function"):
        await lowered()
    counted = "SELECT customers FROM tenant_usage WHERE tenant_id = $1"
    assert await superuser.fetchval(counted, shop.tenant_id) == 10


@pytest.mark.parametrize(("statement", "rows"), [(_ADD, 11), (_INVITE, 2)], ids=["customers", "users"])
@pytest.mark.parametrize("other", ["", "00000000-0000-7000-8000-000000000000"])
async def test_naming_another_tenant_before_the_commit_does_not_hide_what_was_added(
    shop, runtime, superuser, statement, rows, other
):
    async def added():
        async with runtime.tenant_transaction(shop.tenant_id) as tx:
            await tx.execute(text(statement), {"rows": 1})
            await tx.execute(text(statement.replace("(1, :rows)", "(2, :rows)")), {"rows": rows})
            await tx.execute(text("SELECT set_config('app.tenant_id', :other, true)"), {"other": other})

    with pytest.raises(ResourceExhausted):
        await added()
    for table in ("customers", "invitations"):
        found = f"SELECT count(*) FROM {table} WHERE tenant_id = $1"
        assert await superuser.fetchval(found, shop.tenant_id) == 0
