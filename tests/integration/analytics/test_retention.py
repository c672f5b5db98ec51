"""Predictions past the retention of their tenant go; those of tenants that keep all stay."""

from __future__ import annotations

import pytest

from cohortlens.analytics import retention
from cohortlens.analytics.retention import drop_old_predictions

INSERT = """
INSERT INTO shadow_predictions (tenant_id, created_at, id, customer_id, task, horizon_days, champion_version,
  champion_value, champion_lower, champion_upper, challenger_version, challenger_value)
SELECT $1, clock_timestamp() - age, gen_random_uuid(), gen_random_uuid(), 'SPEND', 30, 1, 1, 1, 1, 2, 1
  FROM unnest(ARRAY['1 hour', '2 hours', '30 hours', '40 hours', '50 hours']::interval[]) AS age
"""


async def _count(superuser, tenant):
    return await superuser.fetchval(
        "SELECT count(*) FROM shadow_predictions WHERE tenant_id = $1", tenant.tenant_id
    )


@pytest.mark.parametrize("batch", [1, 20_000])
async def test_only_predictions_past_the_retention_of_their_own_tenant_go(
    database, superuser, tenants, monkeypatch, batch
):
    monkeypatch.setattr(retention, "BATCH_ROWS", batch)
    # Ages of days reach into the month before on its first days.
    await superuser.execute(
        "SELECT app.ensure_partitions_from('shadow_predictions', 1, clock_timestamp() - interval '1 month')"
    )
    await superuser.execute("SET session_replication_role = replica")
    for tenant in tenants:
        await superuser.execute(INSERT, tenant.tenant_id)
    await superuser.execute("SET session_replication_role = DEFAULT")
    assert await drop_old_predictions(database) == 0
    await superuser.execute("UPDATE tenants SET retention_days = 1 WHERE id = $1", tenants[0].tenant_id)
    assert await drop_old_predictions(database) == 3
    assert [await _count(superuser, tenant) for tenant in tenants] == [2, 5]
    assert await drop_old_predictions(database) == 0
