"""A training runs as a job: snapshot, train, register, warm, promote; once, whatever is repeated."""

from __future__ import annotations

import io
from uuid import UUID

import pyarrow.parquet as pq
import pytest

from cohortlens.analytics.models import HistoryTooShort, ResourceMissing, TrainingInProgress, WorkState
from cohortlens.analytics.ports import TrainingProgress, TrainingResult
from cohortlens.core.errors import FailedPrecondition, Unavailable
from cohortlens.core.ids import uuid7
from cohortlens.core.outbox import Wanted, claim
from cohortlens.registry.models import NoActiveModel
from tests.fakes.inference import trained, workers_away
from tests.fakes.models import open_shop, prediction_manifest, segmentation_manifest


def result_of(world, manifest):
    """The messages of a training that stored ``manifest`` as the workers do."""
    digest = world.artifacts.put_bytes(manifest.to_json().encode())
    assert digest == manifest.digest
    return trained(digest, manifest.to_json())


async def start(world, model="prediction", seed=7):
    (run,) = await world.training.start(world.north.context(), model, seed)
    return run


async def test_a_training_registers_warms_and_promotes_what_it_made(world):
    ctx, tenant = world.north.context(), world.north.tenant_id
    run = await start(world)
    assert (run.state, run.model, run.version) == (WorkState.PENDING, "prediction", 0)
    better = prediction_manifest(loss=0.5, seed=7)
    world.client.steps = result_of(world, better)
    await world.training.run(tenant, run.run_id)
    ended = await world.training.get(ctx, run.run_id)
    assert (ended.state, ended.version, ended.progress_ratio) == (WorkState.SUCCEEDED, 2, 1.0)
    active = await world.registry.active(tenant, "prediction")
    assert (active.version, active.artifact_digest) == (2, better.digest)
    assert world.client.loaded == [("prediction", better.digest), ("explanation", better.digest)]


async def test_the_workers_train_on_a_snapshot_without_identifiers(world):
    run = await start(world, seed=11)
    world.client.steps = result_of(world, prediction_manifest(loss=0.5))
    await world.training.run(world.north.tenant_id, run.run_id)
    (order,) = world.client.orders
    table = pq.read_table(io.BytesIO(world.artifacts.read_verified(order.snapshot_digest)))
    assert set(table.column_names) >= {"customer", "day", "amount", "orders"}
    assert table.num_rows == sum(index % 5 + 1 for index in range(40))
    assert table["customer"].to_pylist()[-1] == 39
    assert (order.model, order.currency, order.seed, order.as_of.isoformat()) == (
        "prediction",
        "USD",
        11,
        "2024-05-10",
    )


async def test_a_training_cut_off_after_its_result_registers_it_without_training_again(world):
    run = await start(world)
    world.client.steps = result_of(world, prediction_manifest(loss=0.5))
    world.client.replicas["explanation"] = 0
    with pytest.raises(Unavailable):
        await world.training.run(world.north.tenant_id, run.run_id)
    world.client.replicas["explanation"] = 1
    await world.training.run(world.north.tenant_id, run.run_id)
    await world.training.run(world.north.tenant_id, run.run_id)
    assert len(world.client.orders) == 1
    versions = await world.registry.list_versions(world.north.context(), "prediction", below=None, limit=9)
    assert [one.version for one in versions] == [2, 1]


async def test_absent_workers_leave_the_run_running_for_the_next_attempt_on_the_same_snapshot(world):
    run = await start(world)
    world.client.steps = [workers_away("training")]
    with pytest.raises(Unavailable):
        await world.training.run(world.north.tenant_id, run.run_id)
    waiting = await world.training.get(world.north.context(), run.run_id)
    assert waiting.state is WorkState.RUNNING
    world.client.steps = result_of(world, prediction_manifest(loss=0.5))
    await world.training.run(world.north.tenant_id, run.run_id)
    assert world.client.orders[0] == world.client.orders[1]


async def test_a_training_that_cannot_end_well_says_why_and_the_champion_stays(world):
    run = await start(world)
    world.client.steps = [
        TrainingProgress("features", 0.1),
        FailedPrecondition("too little history", reason="HISTORY_TOO_SHORT"),
    ]
    await world.training.run(world.north.tenant_id, run.run_id)
    ended = await world.training.get(world.north.context(), run.run_id)
    assert (ended.state, ended.error_reason, ended.error_message) == (
        WorkState.FAILED,
        "HISTORY_TOO_SHORT",
        "too little history",
    )
    assert ended.ended_at is not None
    assert (await world.registry.active(world.north.tenant_id, "prediction")).version == 1
    # The model can be trained again.
    assert (await start(world)).state is WorkState.PENDING


async def test_a_manifest_that_does_not_match_its_digest_is_not_registered(world):
    run = await start(world)
    text = prediction_manifest().to_json()
    world.client.steps = [TrainingProgress("done", 1.0, TrainingResult("e" * 64, text, 1.0))]
    await world.training.run(world.north.tenant_id, run.run_id)
    ended = await world.training.get(world.north.context(), run.run_id)
    assert (ended.state, ended.error_reason) == (WorkState.FAILED, "ARTIFACT_CORRUPT")


async def test_a_version_that_fails_its_gate_is_kept_rejected_and_never_loaded(world):
    run = await start(world)
    world.client.steps = result_of(world, prediction_manifest(loss=1.2, passed=False))
    await world.training.run(world.north.tenant_id, run.run_id)
    version = await world.registry.get_version(world.north.context(), "prediction", 2)
    assert (version.state, version.active) == ("REJECTED", False)
    assert world.client.loaded == []


async def test_only_one_training_of_a_model_runs_and_a_refused_start_stores_nothing(world, superuser):
    await start(world, "segmentation")
    with pytest.raises(TrainingInProgress) as refused:
        await world.training.start(world.north.context(), "", 0)
    assert refused.value.metadata == {"model": "segmentation"}
    assert await superuser.fetchval("SELECT count(*) FROM training_runs WHERE state = 'PENDING'") == 1


async def test_a_promoted_segmentation_starts_a_run_in_the_same_step(world, superuser):
    run = await start(world, "segmentation")
    world.client.steps = result_of(world, segmentation_manifest(eta2=0.6, seed=1))
    await world.training.run(world.north.tenant_id, run.run_id)
    (event,) = await claim(world.db, "tester", [Wanted("segmentation.requested", 10)])
    assert await superuser.fetchval("SELECT model_version FROM segmentation_runs") == 2
    await world.segmentation.run(world.north.tenant_id, UUID(event.payload["run_id"]))
    published, _ = await world.reads.segments(world.north.context(), None)
    assert published.model_version == 2


async def test_the_first_import_of_thirty_customers_starts_both_trainings_once(world, tmp_path):
    south = world.south.tenant_id
    assert await world.training.start_first(south) == []
    await open_shop(world.db, world.south, tmp_path / "south", customers=29, prefix="s")
    assert await world.training.start_first(south) == []
    await open_shop(world.db, world.south, tmp_path / "south", customers=30, prefix="s")
    assert len(await world.training.start_first(south)) == 2
    assert await world.training.start_first(south) == []
    runs = await world.training.page(world.south.context(), None, 10)
    assert {run.model for run in runs} == {"segmentation", "prediction"}
    # A tenant whose models serve already is left alone.
    assert await world.training.start_first(world.north.tenant_id) == []


async def test_one_customer_is_enough_for_a_prediction_that_is_asked_for_and_none_is_not(world, tmp_path):
    ctx = world.south.context()
    with pytest.raises(HistoryTooShort, match="needs 1 customer with") as refused:
        await world.training.start(ctx, "", 0)
    assert refused.value.metadata == {"customers": "0", "needed": "1"}
    await open_shop(world.db, world.south, tmp_path / "south", customers=1, prefix="s")
    with pytest.raises(HistoryTooShort, match="there is 1;") as refused:
        await world.training.start(ctx, "segmentation", 0)
    assert refused.value.metadata == {"customers": "1", "needed": "30"}
    assert [run.model for run in await world.training.start(ctx, "", 0)] == ["prediction"]


async def test_a_rejected_first_version_is_told_with_its_run_and_its_reasons(world, tmp_path):
    await open_shop(world.db, world.south, tmp_path / "south", customers=30, prefix="s")
    ctx, tenant = world.south.context(), world.south.tenant_id
    (run,) = await world.training.start(ctx, "prediction", 0)
    world.client.steps = result_of(world, prediction_manifest(passed=False))
    await world.training.run(tenant, run.run_id)
    with pytest.raises(NoActiveModel, match=r"purchases\.deviance_vs_population_mean is 0\.8") as refused:
        await world.registry.active(tenant, "prediction")
    assert f"trainingRuns/{run.run_id}" in refused.value.message
    assert refused.value.metadata == {
        "model": "prediction",
        "version": "1",
        "training_run": str(run.run_id),
    }
    # Of a model that was never trained there is no run to point to.
    with pytest.raises(NoActiveModel, match="at least 30 customers"):
        await world.registry.active(tenant, "segmentation")


async def test_another_tenant_s_training_run_answers_like_a_missing_one(world):
    run = await start(world)
    answers = []
    for identifier in (run.run_id, uuid7()):
        with pytest.raises(ResourceMissing) as refused:
            await world.training.get(world.south.context(), identifier)
        answers.append(refused.value.message)
    assert answers[0] == answers[1]
    assert await world.training.page(world.south.context(), None, 10) == []
