"""A batch scores every customer exactly once, whatever is cut off, cancelled or deleted on the way."""

from __future__ import annotations

import asyncio
import io
import os
from datetime import timedelta
from uuid import UUID

import numpy as np
import pyarrow.parquet as pq
import pytest

from cohortlens.analytics.batches.models import (
    BatchFilesRemoved,
    BatchNotSucceeded,
    BatchQueueFull,
    InputFault,
    RequestIdReused,
    SubjectInvalid,
)
from cohortlens.analytics.batches.service import BatchesService
from cohortlens.analytics.batches.work import BatchWork
from cohortlens.analytics.models import HorizonUnsupported, ResourceMissing, Subjects, Task, WorkState
from cohortlens.contracts.batch_files import BatchFolder
from cohortlens.contracts.features import SCHEMA
from cohortlens.core import clock
from cohortlens.core.errors import Internal, Unavailable
from cohortlens.core.ids import uuid7
from cohortlens.core.outbox import claim
from cohortlens.customers.frozen import FeatureFreezer
from cohortlens.registry.models import NoActiveModel
from tests.fakes.batches import FakeBatchScorer
from tests.fakes.inference import workers_away
from tests.fixtures.waiting import eventually

SLICE_ROWS = 16


@pytest.fixture
def batches(world):
    """The world with batches: slices of 16 rows, so 40 customers make three."""
    world.scorer = FakeBatchScorer(world.artifacts.root)
    world.batches = BatchesService(world.db, world.registry, world.artifacts.root, slice_rows=SLICE_ROWS)
    world.work = BatchWork(
        world.db,
        world.registry,
        FeatureFreezer(world.db, world.features),
        world.scorer,
        world.artifacts.root,
        slice_rows=SLICE_ROWS,
        patience_s=0.0,
    )
    return world


async def start(world, task=Task.SPEND, horizon=90, input_id=None, request_id=""):
    return await world.batches.start(
        world.north.context(),
        task,
        horizon,
        all_customers=input_id is None,
        input_id=input_id,
        request_id=request_id,
    )


async def look(world, batch):
    return await world.batches.get(world.north.context(), batch.batch_id)


async def result_of(world, batch):
    _, pieces = await world.batches.result(world.north.context(), batch.batch_id)
    return pq.read_table(io.BytesIO(b"".join([piece async for piece in pieces])))


async def times_scored(superuser):
    rows = await superuser.fetch(
        "SELECT c.external_id, count(p.id) AS times FROM customers c LEFT JOIN predictions p ON p.customer_id = c.id "
        "GROUP BY c.external_id"
    )
    return {row["external_id"]: row["times"] for row in rows}


async def chunks(data):
    for at in range(0, len(data), 1000):
        yield data[at : at + 1000]


def leads_csv(rows, **changes):
    """Rows of the schema's columns in reverse order; ``changes`` give a column's text in the second row."""
    columns = [*reversed(SCHEMA.names), "lead"]
    lines = []
    for row in range(rows):
        values = {column.name: str(row % 7) if column.unit != "ratio" else "0.5" for column in SCHEMA.columns}
        values |= changes if row == 1 else {}
        lines.append(",".join([*(values[name] for name in columns[:-1]), f"lead-{row}"]))
    return "\n".join([",".join(columns), *lines]).encode()


async def test_all_customers_are_scored_once_and_as_predict_does(batches, superuser):
    ctx = batches.north.context()
    batch = await start(batches)
    assert (batch.state, batch.model_version, batch.unit) == (WorkState.PENDING, 1, "USD")
    await batches.work.run(batches.north.tenant_id, batch.batch_id)

    done = await look(batches, batch)
    assert (done.state, done.rows, done.rows_done, done.rows_skipped) == (WorkState.SUCCEEDED, 40, 40, 0)
    assert (done.progress_ratio, done.as_of.isoformat()) == (1.0, "2024-05-10")
    assert set((await times_scored(superuser)).values()) == {1}
    table = await result_of(batches, batch)
    stored = await batches.predictions.page(ctx, customer_id=None, task=Task.SPEND, before=None, limit=100)
    by_name = {one.external_id: one for one in stored}
    alone = await batches.predictions.predict(
        ctx, Task.SPEND, Subjects(tuple(f"external:{name}" for name in table["id"].to_pylist())), 90
    )
    for row, one in zip(table.to_pylist(), alone, strict=True):
        kept = by_name[row["id"]]
        assert row["value"] == kept.value == pytest.approx(one.value, abs=1e-6)
        assert (row["snapshot_id"], row["unit"], row["horizon"], row["model_version"]) == (
            one.snapshot_id, one.unit, 90, 1,
        )  # fmt: skip
        assert (kept.snapshot_id, kept.level_ratio, kept.as_of) == (
            one.snapshot_id,
            one.level_ratio,
            one.as_of,
        )
        assert kept.lower <= kept.value <= kept.upper


async def test_a_stored_prediction_of_a_batch_is_read_by_its_identifier(batches):
    ctx = batches.north.context()
    batch = await start(batches)
    await batches.work.run(batches.north.tenant_id, batch.batch_id)
    (newest,) = await batches.predictions.page(ctx, customer_id=None, task=None, before=None, limit=1)
    stored = await batches.predictions.get(ctx, newest.prediction_id)
    assert stored.prediction == newest
    assert stored.request_id == f"batch-{batch.batch_id}"
    vector = np.frombuffer(stored.features, "<f4")
    assert (len(vector), vector[SCHEMA.index("horizon")]) == (len(SCHEMA.columns), 90)


async def test_a_batch_cut_off_goes_on_behind_its_last_slice(batches, superuser):
    batch = await start(batches)
    batches.scorer.faults = {1: workers_away("batch")}
    with pytest.raises(Unavailable):
        await batches.work.run(batches.north.tenant_id, batch.batch_id)
    half = await look(batches, batch)
    assert (half.state, half.rows_done, half.progress_ratio) == (WorkState.RUNNING, 16, 0.4)
    await batches.work.run(batches.north.tenant_id, batch.batch_id)
    await batches.work.run(batches.north.tenant_id, batch.batch_id)
    assert [tuple(order.slices) for order in batches.scorer.orders] == [(0, 1, 2), (1, 2)]
    assert (await look(batches, batch)).state is WorkState.SUCCEEDED
    assert set((await times_scored(superuser)).values()) == {1}
    assert (await result_of(batches, batch)).num_rows == 40


async def test_two_workers_of_the_same_batch_score_nobody_twice(batches, superuser):
    batch = await start(batches)
    tenant = batches.north.tenant_id
    await asyncio.gather(
        *(batches.work.run(tenant, batch.batch_id) for _ in range(2)), return_exceptions=True
    )
    await batches.work.run(tenant, batch.batch_id)
    done = await look(batches, batch)
    assert (done.state, done.rows_done) == (WorkState.SUCCEEDED, 40)
    assert set((await times_scored(superuser)).values()) == {1}


async def test_scores_that_are_not_those_told_are_made_again(batches, superuser):
    batch = await start(batches)
    batches.scorer.spoiled = {1}
    with pytest.raises(Unavailable, match="not the one the worker told of"):
        await batches.work.run(batches.north.tenant_id, batch.batch_id)
    await batches.work.run(batches.north.tenant_id, batch.batch_id)
    assert (await look(batches, batch)).state is WorkState.SUCCEEDED
    assert set((await times_scored(superuser)).values()) == {1}


async def test_a_cancelled_batch_keeps_what_is_committed_and_stops_within_a_second(batches, superuser):
    batch = await start(batches)
    tenant = batches.north.tenant_id
    batches.scorer.faults = {1: workers_away("batch")}
    with pytest.raises(Unavailable):
        await batches.work.run(tenant, batch.batch_id)
    batches.scorer.gate = asyncio.Event()
    work = asyncio.create_task(batches.work.run(tenant, batch.batch_id))
    await eventually(lambda: _is(len(batches.scorer.orders) == 2), 10.0, "the slices are ordered again")
    cancelled = await batches.batches.cancel(batches.north.context(), batch.batch_id)
    assert (cancelled.state, cancelled.rows_done) == (WorkState.CANCELLED, 16)
    await asyncio.wait_for(work, 10)
    assert batches.scorer.closed == 2
    assert sum((await times_scored(superuser)).values()) == 16
    with pytest.raises(BatchNotSucceeded):
        await batches.batches.result(batches.north.context(), batch.batch_id)
    assert not BatchFolder(batches.artifacts.root, tenant, batch.batch_id).path.exists()
    # Cancelling again, or what has ended, changes nothing.
    again = await batches.batches.cancel(batches.north.context(), batch.batch_id)
    assert again.ended_at == cancelled.ended_at


async def _is(fact):
    return fact


async def test_a_customer_deleted_on_the_way_is_skipped(batches, superuser):
    batch = await start(batches)
    tenant = batches.north.tenant_id
    batches.scorer.faults = {0: workers_away("batch")}
    with pytest.raises(Unavailable):
        await batches.work.run(tenant, batch.batch_id)
    await superuser.execute("DELETE FROM customers WHERE external_id = 'c4'")
    await batches.work.run(tenant, batch.batch_id)
    done = await look(batches, batch)
    assert (done.state, done.rows, done.rows_done, done.rows_skipped) == (WorkState.SUCCEEDED, 40, 40, 1)
    times = await times_scored(superuser)
    assert (len(times), set(times.values())) == (39, {1})
    table = await result_of(batches, batch)
    assert table.num_rows == 39
    assert "c4" not in table["id"].to_pylist()


async def test_the_input_is_the_data_at_the_beginning(batches, superuser, tmp_path):
    batch = await start(batches)
    batches.scorer.faults = {0: workers_away("batch")}
    with pytest.raises(Unavailable):
        await batches.work.run(batches.north.tenant_id, batch.batch_id)
    await superuser.execute("UPDATE customer_features SET vector = decode(repeat('00000041', 36), 'hex')")
    await batches.work.run(batches.north.tenant_id, batch.batch_id)
    stored = await batches.predictions.page(
        batches.north.context(), customer_id=None, task=None, before=None, limit=100
    )
    assert len({one.snapshot_id for one in stored}) > 1


async def test_a_batch_keeps_the_version_that_was_active_when_it_was_requested(batches):
    from tests.fakes.models import install, prediction_manifest

    batch = await start(batches)
    await install(
        batches.registry, batches.db, batches.north.tenant_id, prediction_manifest(loss=0.1, seed=5)
    )
    assert (await batches.registry.active(batches.north.tenant_id, "prediction")).version == 2
    await batches.work.run(batches.north.tenant_id, batch.batch_id)
    assert set((await result_of(batches, batch))["model_version"].to_pylist()) == {1}


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


async def test_a_repeated_request_answers_the_same_batch(batches, superuser):
    first = await start(batches, request_id="nightly")
    assert (await start(batches, request_id="nightly")).batch_id == first.batch_id
    both = await asyncio.gather(*(start(batches, request_id="twice") for _ in range(2)))
    assert both[0].batch_id == both[1].batch_id
    with pytest.raises(RequestIdReused) as refused:
        await start(batches, Task.PURCHASES, request_id="nightly")
    assert refused.value.metadata == {"batch": str(first.batch_id)}
    assert (await start(batches)).batch_id != (await start(batches)).batch_id
    assert await superuser.fetchval("SELECT count(*) FROM batch_predictions") == 4
    assert await superuser.fetchval("SELECT count(*) FROM outbox WHERE topic = 'batch.requested'") == 4


async def test_one_batch_of_a_tenant_is_claimed_at_a_time_and_another_tenant_s_beside_it(batches, tmp_path):
    from tests.fakes.models import install, open_shop, prediction_manifest

    await open_shop(batches.db, batches.south, tmp_path / "south", customers=30, prefix="s")
    await install(batches.registry, batches.db, batches.south.tenant_id, prediction_manifest())
    for _ in range(3):
        await start(batches)
    other = await batches.batches.start(
        batches.south.context(), Task.SPEND, 90, all_customers=True, input_id=None
    )
    claimed = await claim(batches.db, "tester", ["batch.requested"], 10)
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


async def test_a_batch_that_cannot_end_well_says_why(batches):
    batch = await start(batches)
    batches.scorer.faults = {1: Internal("a worker failed to answer", reason="BATCH_SCORING_FAILED")}
    await batches.work.run(batches.north.tenant_id, batch.batch_id)
    failed = await look(batches, batch)
    assert (failed.state, failed.error_reason) == (WorkState.FAILED, "BATCH_SCORING_FAILED")
    assert failed.ended_at is not None


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


async def test_identifiers_of_predictions_ascend_with_the_rows_and_hold_the_time_of_the_batch(batches):
    batch = await start(batches)
    await batches.work.run(batches.north.tenant_id, batch.batch_id)
    stored = await batches.predictions.page(
        batches.north.context(), customer_id=None, task=None, before=None, limit=100
    )
    table = await result_of(batches, batch)
    assert [one.external_id for one in reversed(stored)] == table["id"].to_pylist()
    assert {one.prediction_id.version for one in stored} == {7}
    assert {one.created_at for one in stored} == {batch.created_at}
    assert {UUID(int=one.prediction_id.int).variant for one in stored} == {"specified in RFC 4122"}
