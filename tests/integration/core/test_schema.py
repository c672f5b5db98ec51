"""Rules that hold for every table of every slice, read from the catalogue; and the migrations themselves."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from cohortlens.migrations import runner
from tests.fixtures import servers

UNPROTECTED = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
"""
# A partition is reached through its parent only, so it needs no policy: it has no grant either.
UNFILTERED = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT EXISTS (
  SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = '{0}' AND p.polpermissive AND p.polcmd = '*'
     AND pg_get_expr(p.polqual, p.polrelid) = '(tenant_id = app.tid())'
     AND pg_get_expr(p.polwithcheck, p.polrelid) = '(tenant_id = app.tid())')
"""
LOOSE_POLICIES = """
SELECT c.relname, p.polname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
WHERE pg_get_expr(p.polqual, p.polrelid) = 'true' AND p.polroles <> ARRAY['cl_definer'::regrole::oid]
"""
OPEN_PARTITIONS = """
SELECT c.relname FROM pg_class c WHERE c.relispartition AND c.relkind = 'r'
AND (has_table_privilege('cl_app', c.oid, 'SELECT') OR has_table_privilege('cl_app', c.oid, 'INSERT'))
"""
KEYS_WITHOUT_TENANT = """
SELECT c.relname, i.relname AS index FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE n.nspname = 'public' AND x.indisunique AND NOT a.attnum = ANY (x.indkey::int2[])
"""
REFERENCES_WITHOUT_TENANT = """
SELECT f.conname FROM pg_constraint f
JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attname = 'tenant_id' AND NOT a.attisdropped
JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attname = 'tenant_id' AND NOT b.attisdropped
WHERE f.contype = 'f' AND NOT EXISTS (
  SELECT 1 FROM unnest(f.conkey, f.confkey) AS pair (own, other) WHERE own = a.attnum AND other = b.attnum)
"""
UNPINNED_FUNCTIONS = """
SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'app' AND p.prosecdef AND NOT EXISTS (
  SELECT 1 FROM unnest(p.proconfig) AS setting WHERE setting LIKE 'search_path=%')
"""
FOREIGN_DEFINERS = """
SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'app' AND p.prosecdef AND p.proowner <> 'cl_definer'::regrole
  AND p.oid NOT IN ('app.ensure_partitions(regclass, integer)'::regprocedure,
                    'app.tenant_erase(integer)'::regprocedure)
"""
PUBLIC_FUNCTIONS = """
SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'app' AND p.prosecdef AND has_function_privilege('public', p.oid, 'EXECUTE')
"""

RULES = {
    "a table with tenant_id forces row-level security": UNPROTECTED,
    "a table with tenant_id has the tenant policy": UNFILTERED,
    "only cl_definer has a policy without a tenant": LOOSE_POLICIES,
    "a partition is reached through its parent only": OPEN_PARTITIONS,
    "a unique key of a tenant table holds tenant_id": KEYS_WITHOUT_TENANT,
    "a reference between tenant tables holds tenant_id": REFERENCES_WITHOUT_TENANT,
    "a SECURITY DEFINER function pins its search_path": UNPINNED_FUNCTIONS,
    "a SECURITY DEFINER function belongs to cl_definer": FOREIGN_DEFINERS,
    "a SECURITY DEFINER function is not open to everyone": PUBLIC_FUNCTIONS,
}

VIOLATION = """
CREATE TABLE bad_parent (id uuid PRIMARY KEY, tenant_id uuid NOT NULL, UNIQUE (tenant_id, id));
CREATE TABLE bad_child (tenant_id uuid, parent uuid REFERENCES bad_parent (id), at timestamptz NOT NULL)
  PARTITION BY RANGE (at);
CREATE TABLE bad_part PARTITION OF bad_child DEFAULT;
GRANT SELECT ON bad_part TO cl_app;
CREATE POLICY open ON bad_parent USING (true);
CREATE FUNCTION app.bad() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
GRANT EXECUTE ON FUNCTION app.bad() TO PUBLIC;
"""


@pytest.fixture(scope="module")
def scratch_urls(postgres_server):
    return servers.fresh_database(postgres_server.urls)


@pytest.fixture
async def owner(scratch_urls):
    connection = await asyncpg.connect(scratch_urls.admin)
    yield connection
    await connection.close()


@pytest.mark.parametrize("rule", RULES)
async def test_every_table_and_function_obeys(superuser, rule):
    assert [tuple(row) for row in await superuser.fetch(RULES[rule])] == []


@pytest.mark.parametrize("rule", RULES)
async def test_each_rule_finds_a_planted_violation(owner, rule):
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute(VIOLATION)
    assert await owner.fetch(RULES[rule]) != []
    await transaction.rollback()


async def test_the_database_is_at_the_head_and_migrating_again_changes_nothing(scratch_urls):
    assert runner.current(scratch_urls.runtime) == runner.head()
    runner.upgrade(scratch_urls.admin)
    assert runner.current(scratch_urls.admin) == runner.head()


async def test_two_migrations_of_an_empty_database_at_once_both_end_well(postgres_server, scratch_urls):
    name = "cl_migrated_twice"
    servers.execute(scratch_urls.superuser, f"CREATE DATABASE {name} OWNER cl_owner")
    admin = scratch_urls.admin.rpartition("/")[0] + "/" + name
    assert runner.current(admin) is None
    await asyncio.gather(*(asyncio.to_thread(runner.upgrade, admin) for _ in range(2)))
    assert runner.current(admin) == runner.head()


PARTED = """
CREATE TABLE parted (tenant_id uuid NOT NULL, created_at timestamptz NOT NULL, n int,
                     PRIMARY KEY (tenant_id, created_at)) PARTITION BY RANGE (created_at);
SELECT app.protect('parted');
"""


async def _bounds(owner):
    rows = await owner.fetch(
        "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_inherits i "
        "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'parted'::regclass ORDER BY c.relname"
    )
    return {row["relname"]: row["bound"] for row in rows}


async def test_partitions_follow_the_months_of_utc_over_the_turn_of_a_year(owner):
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute("SET LOCAL TimeZone = 'Pacific/Auckland'")
    await owner.execute(PARTED)
    last = datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert await owner.fetchval("SELECT app.ensure_partitions_from('parted', 2, $1)", last) == 3
    await owner.execute("SET LOCAL TimeZone = 'UTC'")
    assert await _bounds(owner) == {
        "parted_y2026m12": "FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00')",
        "parted_y2027m01": "FOR VALUES FROM ('2027-01-01 00:00:00+00') TO ('2027-02-01 00:00:00+00')",
        "parted_y2027m02": "FOR VALUES FROM ('2027-02-01 00:00:00+00') TO ('2027-03-01 00:00:00+00')",
    }
    following = datetime(2027, 1, 1, tzinfo=UTC)
    assert await owner.fetchval("SELECT app.ensure_partitions_from('parted', 2, $1)", following) == 1
    await transaction.rollback()


async def test_the_role_of_jobs_makes_partitions_that_the_owner_owns_and_row_security_guards(
    owner, scratch_urls
):
    await owner.execute(PARTED)
    jobs = [await asyncpg.connect(scratch_urls.jobs) for _ in range(3)]
    try:
        made = await asyncio.gather(
            *(it.fetchval("SELECT app.ensure_partitions('parted', 3)") for it in jobs)
        )
        assert sorted(made) == [0, 0, 4]
        owners = await owner.fetch(
            "SELECT DISTINCT c.relowner::regrole::text AS owner, c.relforcerowsecurity AS forced FROM pg_inherits i "
            "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'parted'::regclass"
        )
        assert [tuple(row) for row in owners] == [("cl_owner", True)]
        for rule in RULES.values():
            assert await owner.fetch(rule) == []
        for target, months in (("tenants", 1), ("pg_catalog.pg_class", 1), ("parted", 25), ("parted", -1)):
            with pytest.raises(asyncpg.PostgresError):
                await jobs[0].fetchval(f"SELECT app.ensure_partitions('{target}', {months})")
    finally:
        for connection in jobs:
            await connection.close()
        await owner.execute("DROP TABLE parted")
