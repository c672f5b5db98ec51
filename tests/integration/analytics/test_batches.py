"""A batch scores every customer exactly once, whatever is cut off, cancelled or deleted on the way."""

from __future__ import annotations

import asyncio
from uuid import UUID

import numpy as np
import pytest

from cohortlens.analytics.batches.models import (
    BatchNotSucceeded,
)
from cohortlens.analytics.models import Subjects, Task, WorkState
from cohortlens.contracts.batch_files import BatchFolder
from cohortlens.contracts.features import SCHEMA
from cohortlens.core.errors import Internal, Unavailable
from tests.fakes.inference import workers_away
from tests.fixtures.batches import look, result_of, start, times_scored
from tests.fixtures.waiting import eventually


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


async def test_a_batch_that_cannot_end_well_says_why(batches):
    batch = await start(batches)
    batches.scorer.faults = {1: Internal("a worker failed to answer", reason="BATCH_SCORING_FAILED")}
    await batches.work.run(batches.north.tenant_id, batch.batch_id)
    failed = await look(batches, batch)
    assert (failed.state, failed.error_reason) == (WorkState.FAILED, "BATCH_SCORING_FAILED")
    assert failed.ended_at is not None


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
