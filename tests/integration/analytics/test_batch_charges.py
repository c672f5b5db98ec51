"""What a batch costs of the month: each slice once, before it is scored, and nothing for what is never done."""

from __future__ import annotations

import pytest

from cohortlens.analytics.models import WorkState
from cohortlens.core.errors import Unavailable
from tests.fakes.inference import workers_away
from tests.fixtures.batches import look, start
from tests.fixtures.usage import reserved, set_limit


async def test_a_batch_that_was_cut_off_and_resumed_pays_each_slice_once(batches, superuser):
    tenant = batches.north.tenant_id
    batch = await start(batches)
    batches.scorer.faults = {1: workers_away("batch")}
    with pytest.raises(Unavailable):
        await batches.work.run(tenant, batch.batch_id)
    await batches.work.run(tenant, batch.batch_id)
    assert (await look(batches, batch)).state is WorkState.SUCCEEDED
    assert await reserved(superuser, tenant) == 3
    assert await superuser.fetchval("SELECT sum(units) FROM usage_events WHERE tenant_id = $1", tenant) == 3


async def test_a_batch_ends_where_the_quota_ends_and_says_how_far_it_got(batches, superuser):
    tenant = batches.north.tenant_id
    await set_limit(superuser, tenant, 2)
    batch = await start(batches)
    await batches.work.run(tenant, batch.batch_id)
    ended = await look(batches, batch)
    assert (ended.state, ended.error_reason) == (WorkState.FAILED, "QUOTA_EXCEEDED")
    assert ended.error_message.endswith("; 32 of 40 rows of the batch were done")
    assert ended.rows_done == 32
    assert await reserved(superuser, tenant) == 2


async def test_slices_of_a_cancelled_batch_that_were_not_scored_cost_nothing(batches, superuser):
    tenant = batches.north.tenant_id
    batch = await start(batches)
    batches.scorer.faults = {1: workers_away("batch")}
    with pytest.raises(Unavailable):
        await batches.work.run(tenant, batch.batch_id)
    done = (await look(batches, batch)).rows_done // 16
    await batches.batches.cancel(batches.north.context(), batch.batch_id)
    await batches.work.run(tenant, batch.batch_id)
    assert await reserved(superuser, tenant) == done < 3
