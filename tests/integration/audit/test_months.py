"""Chains over the turn of a month and of a year, and after a month was removed."""

from __future__ import annotations

import asyncpg
import pytest

from tests.fixtures import servers

# December 2024, January and February 2025: over the turn of a year, all ended.
MONTHS = ("2024-12-01", "2025-01-01", "2025-02-01")
EACH = 3


@pytest.fixture
async def owner(postgres_urls):
    connection = await asyncpg.connect(postgres_urls.admin)
    yield connection
    await connection.close()


@pytest.fixture
async def old_chain(owner, postgres_urls, tenants):
    """Rows of three ended months, chained by the very function, whose clock is set for it."""
    tenant_id = tenants[0].tenant_id
    await owner.execute("SELECT app.ensure_partitions_from('audit_log', 2, '2024-12-01Z')")
    superuser = await asyncpg.connect(postgres_urls.superuser)
    try:
        source = await superuser.fetchval(
            "SELECT pg_get_functiondef('app.audit_append(bytea)'::regprocedure)"
        )
        await superuser.execute("SELECT set_config('app.tenant_id', $1::text, false)", str(tenant_id))
        for month in MONTHS:
            for minute in range(EACH):
                at = f"(timestamptz '{month} 00:00Z' + interval '{minute} minutes' - interval '1 microsecond' * {int(minute == 0)})"
                if (month, minute) == (MONTHS[0], 0):
                    at = f"timestamptz '{month} 00:00Z'"
                await superuser.execute(source.replace("clock_timestamp()", at))
                await superuser.execute(
                    'SELECT app.audit_append(\'{"action":"a.b.c","actor":"job:x","address":"","details":{},'
                    '"on_behalf_of":"","outcome":"OK","request_id":"","resource":""}\')'
                )
        await superuser.execute(source)
    finally:
        await superuser.close()
    yield tenants[0]
    servers.execute(
        postgres_urls.superuser,
        *(f"DROP TABLE IF EXISTS audit_log_y{month[:4]}m{month[5:7]}" for month in MONTHS),
    )


async def test_a_chain_holds_over_the_turn_of_a_month_and_of_a_year(old_chain, superuser, append, log):
    await append(old_chain.tenant_id, 2)
    places = await superuser.fetch(
        "SELECT tableoid::regclass::text AS part, count(*) AS rows FROM audit_log WHERE tenant_id = $1 GROUP BY 1 "
        "ORDER BY 1 LIMIT 3",
        old_chain.tenant_id,
    )
    # The first row of January came one microsecond before it: it stands in December's part.
    assert [tuple(row) for row in places] == [
        ("audit_log_y2024m12", 4),
        ("audit_log_y2025m01", 3),
        ("audit_log_y2025m02", 2),
    ]
    report = await log.verify(old_chain.context())
    assert (report.fault, report.from_seq, report.rows) == (None, 1, 11)


async def test_a_month_is_removed_only_when_it_has_ended_and_is_sealed_and_the_rest_stays_verifiable(
    old_chain, owner, append, log, checkpoints, superuser
):
    await append(old_chain.tenant_id, 2)
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="not sealed"):
        await owner.fetchval("SELECT app.audit_drop_month('audit_log', '2024-12-15')")
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="older month"):
        await owner.fetchval("SELECT app.audit_drop_month('audit_log', '2025-01-15')")
    assert await checkpoints.seal_months() == 3
    assert await checkpoints.seal_months() == 0

    assert await owner.fetchval("SELECT app.audit_drop_month('audit_log', '2024-12-15')") == 1

    report = await log.verify(old_chain.context())
    assert (report.fault, report.from_seq, report.rows, report.checkpoints) == (None, 5, 7, 3)
    await owner.fetchval("SELECT app.audit_drop_month('audit_log', '2025-01-15')")
    report = await log.verify(old_chain.context())
    assert (report.fault, report.from_seq) == (None, 8)


async def test_a_month_that_was_removed_without_a_seal_is_a_gap(old_chain, owner, append, log):
    await append(old_chain.tenant_id, 1)
    await owner.execute("DROP TABLE audit_log_y2024m12")
    fault = (await log.verify(old_chain.context())).fault
    assert (fault.seq, fault.kind) == (1, "GAP")


async def test_a_removed_month_whose_seal_was_forged_is_found(
    old_chain, owner, append, log, checkpoints, attacker
):
    await append(old_chain.tenant_id, 1)
    await checkpoints.seal_months()
    await owner.fetchval("SELECT app.audit_drop_month('audit_log', '2024-12-15')")
    await attacker.execute("UPDATE audit_checkpoints SET hash = sha256(hash) WHERE seq = 4")
    fault = (await log.verify(old_chain.context())).fault
    assert fault.kind in {"CHECKPOINT", "LINK"}
    assert fault.seq in {4, 5}


async def test_the_current_month_is_never_removed(owner, tenants, append, superuser):
    await append(tenants[0].tenant_id)
    month = await superuser.fetchval("SELECT current_date")
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError):
        await owner.fetchval("SELECT app.audit_drop_month('audit_log', $1)", month)
