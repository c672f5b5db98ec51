"""What a batch may be asked for, uploads, tenants beside one another, and how long files are kept."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from cohortlens.analytics.batches.models import (
    BatchFilesRemoved,
    BatchQueueFull,
    InputFault,
    SubjectInvalid,
)
from cohortlens.analytics.models import ResourceMissing, Subjects, Task, WorkState
from cohortlens.analytics.options import HorizonUnsupported
from cohortlens.contracts.batch_files import BatchFolder
from cohortlens.contracts.features import SCHEMA
from cohortlens.core import clock
from cohortlens.core.ids import uuid7
from cohortlens.core.outbox import Wanted, claim
from cohortlens.registry.models import NoActiveModel
from tests.fixtures.batches import chunks, leads_csv, look, result_of, start


async def test_an_uploaded_file_gives_a_result_in_its_own_order_and_stores_no_prediction(batches, superuser):
    ctx = batches.north.context()
    given = await batches.batches.upload(ctx, "leads.csv", "lead", chunks(leads_csv(40)))
    assert (given.rows, given.file_name) == (40, "leads.csv")
    batch = await start(batches, Task.PURCHASES, 30, given.input_id)
    await batches.work.run(batches.north.tenant_id, batch.batch_id)
    table = await result_of(batches, batch)
    assert table["id"].to_pylist() == [f"lead-{row}" for row in range(40)]
    vectors = tuple(
        tuple(float(row % 7) if column.unit != "ratio" else 0.5 for column in SCHEMA.columns)
        for row in range(40)
    )
    alone = await batches.predictions.predict(ctx, Task.PURCHASES, Subjects(vectors=vectors), 30)
    assert table["value"].to_pylist() == pytest.approx([one.value for one in alone], abs=1e-6)
    assert table["snapshot_id"].to_pylist() == [one.snapshot_id for one in alone]
    assert set(table["unit"].to_pylist()) == {"purchase_days"}
    assert await superuser.fetchval("SELECT count(*) FROM predictions") == 0
    # The input serves another batch as well.
    other = await start(batches, Task.SPEND, 0, given.input_id)
    await batches.work.run(batches.north.tenant_id, other.batch_id)
    assert (await look(batches, other)).horizon_days == 90
    assert (await result_of(batches, other)).num_rows == 40


async def test_a_refused_upload_leaves_nothing_behind(batches, superuser):
    with pytest.raises(InputFault, match="row 2, column 'age'"):
        await batches.batches.upload(
            batches.north.context(), "x.csv", "lead", chunks(leads_csv(40, age="-1"))
        )
    assert await superuser.fetchval("SELECT count(*) FROM batch_inputs") == 0
    assert not list((batches.artifacts.root / "batches").glob("*/*"))


async def test_one_batch_of_a_tenant_is_claimed_at_a_time_and_another_tenant_s_beside_it(batches, tmp_path):
    from tests.fakes.models import install, open_shop, prediction_manifest

    await open_shop(batches.db, batches.south, tmp_path / "south", customers=30, prefix="s")
    await install(batches.registry, batches.db, batches.south.tenant_id, prediction_manifest())
    for _ in range(3):
        await start(batches)
    other = await batches.batches.start(
        batches.south.context(), Task.SPEND, 90, all_customers=True, input_id=None
    )
    claimed = await claim(batches.db, "tester", [Wanted("batch.requested", 10)])
    assert {event.tenant_id for event in claimed} == {batches.north.tenant_id, batches.south.tenant_id}
    assert len(claimed) == 2
    await batches.work.run(batches.south.tenant_id, other.batch_id)
    done = await batches.batches.get(batches.south.context(), other.batch_id)
    assert (done.state, done.rows) == (WorkState.SUCCEEDED, 30)


async def test_too_many_waiting_batches_are_refused(batches, monkeypatch):
    monkeypatch.setattr("cohortlens.analytics.batches.service.MAX_WAITING", 2)
    await start(batches)
    second = await start(batches)
    with pytest.raises(BatchQueueFull):
        await start(batches)
    await batches.batches.cancel(batches.north.context(), second.batch_id)
    await start(batches)


async def test_requests_that_cannot_be_met_are_refused_with_their_reason(batches):
    with pytest.raises(SubjectInvalid):
        await batches.batches.start(
            batches.north.context(), Task.SPEND, 0, all_customers=True, input_id=uuid7()
        )
    with pytest.raises(SubjectInvalid):
        await batches.batches.start(
            batches.north.context(), Task.SPEND, 0, all_customers=False, input_id=None
        )
    with pytest.raises(HorizonUnsupported):
        await start(batches, horizon=31)
    with pytest.raises(ResourceMissing):
        await start(batches, input_id=uuid7())
    with pytest.raises(NoActiveModel):
        await batches.batches.start(batches.south.context(), Task.SPEND, 0, all_customers=True, input_id=None)


async def test_another_tenant_s_batch_and_input_answer_like_missing_ones(batches):
    batch = await start(batches)
    given = await batches.batches.upload(batches.north.context(), "", "lead", chunks(leads_csv(3)))
    ctx = batches.south.context()
    for identifier in (batch.batch_id, uuid7()):
        for call in (batches.batches.get, batches.batches.cancel, batches.batches.result):
            with pytest.raises(ResourceMissing):
                await call(ctx, identifier)
    from tests.fakes.models import install, prediction_manifest

    await install(batches.registry, batches.db, batches.south.tenant_id, prediction_manifest())
    with pytest.raises(ResourceMissing):
        await batches.batches.start(ctx, Task.SPEND, 0, all_customers=False, input_id=given.input_id)
    assert await batches.batches.page(ctx, None, 10) == []
    await batches.work.run(batches.south.tenant_id, batch.batch_id)
    assert (await look(batches, batch)).state is WorkState.PENDING


async def test_files_are_removed_a_week_after_the_end_and_not_before(batches):
    tenant, ctx = batches.north.tenant_id, batches.north.context()
    given = await batches.batches.upload(ctx, "", "lead", chunks(leads_csv(3)))
    batch = await start(batches)
    waiting = await start(batches, input_id=given.input_id)
    await batches.work.run(tenant, batch.batch_id)
    root = batches.artifacts.root
    stray = BatchFolder(root, tenant, uuid7())
    stray.make()
    old = clock.now().timestamp() - 8 * 86_400
    for path in (root / "batches").glob("*/*"):
        os.utime(path, (old, old))

    assert await batches.work.sweep() == 1
    assert not stray.path.exists()
    assert (await result_of(batches, batch)).num_rows == 40

    batches.work._clock = lambda: clock.now() + timedelta(days=8)
    assert await batches.work.sweep() == 1
    with pytest.raises(BatchFilesRemoved):
        await batches.batches.result(ctx, batch.batch_id)
    assert (await look(batches, batch)).removed_at is not None
    # The input is still needed by a batch that has not ended.
    assert BatchFolder(root, tenant, given.input_id).input.exists()
    await batches.batches.cancel(ctx, waiting.batch_id)
    batches.work._clock = lambda: clock.now() + timedelta(days=16)
    assert await batches.work.sweep() == 1
    with pytest.raises(BatchFilesRemoved):
        await start(batches, input_id=given.input_id)
