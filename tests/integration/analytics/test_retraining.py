"""Trainings start by themselves when there is a reason, once, and only where the plan allows it."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from cohortlens.analytics.after_erasure import TrainingAfterErasure
from cohortlens.analytics.models import AsOfInFuture, ResourceMissing, WorkState
from cohortlens.analytics.ports import TrainingProgress
from cohortlens.analytics.retraining import Retraining
from cohortlens.analytics.training import TrainingService
from cohortlens.analytics.training_work import TrainingWork
from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.entitlements.catalogue import Catalogue
from cohortlens.billing.models import Override, PlanFeatureRequired
from cohortlens.core.errors import Unavailable
from cohortlens.core.ids import uuid7
from tests.fakes.models import open_shop, prediction_manifest, with_criterion
from tests.fixtures.tenants import grant
from tests.fixtures.waiting import eventually
from tests.integration.analytics.test_training import result_of


@pytest.fixture
async def shop(world):
    """The world with the triggers, and a clock that can be moved."""
    clock = SimpleNamespace(now=datetime.now(UTC))
    entitlements = Entitlements(world.db)
    work = TrainingWork(
        world.db,
        world.features,
        world.registry,
        world.client,
        world.segmentation,
        world.artifacts,
        clock=lambda: clock.now,
        limit_s=1800.0,
    )
    training = TrainingService(world.db, world.features, world.registry, work, clock=lambda: clock.now)
    world.clock, world.training = clock, training
    world.retraining = Retraining(
        world.db,
        world.features,
        world.registry,
        training,
        entitlements,
        Catalogue(world.db),
        every_s=7 * 86_400.0,
        clock=lambda: clock.now,
    )
    yield world
    await entitlements.close()


async def causes(superuser):
    rows = await superuser.fetch(
        "SELECT model, cause FROM training_runs WHERE state = 'PENDING' ORDER BY model"
    )
    return [(row["model"], row["cause"]) for row in rows]


async def trained(shop, model, **differences):
    """Train a model to its end; the world's own versions come from runs without a snapshot."""
    (run,) = await shop.training.start(shop.north.context(), model, 0)
    shop.client.steps = result_of(shop, prediction_manifest(seed=9, **differences))
    await shop.training.run(shop.north.tenant_id, run.run_id)
    return await shop.training.get(shop.north.context(), run.run_id)


async def all_data_is_new(superuser):
    await superuser.execute("UPDATE customer_data SET data_revision = data_revision + 1")


async def test_a_fifth_more_purchase_days_start_a_training_and_less_do_not(shop, superuser):
    tenant = shop.north.tenant_id
    known = (await trained(shop, "prediction")).purchase_days
    assert known == sum(index % 5 + 1 for index in range(40))
    await superuser.execute("UPDATE training_runs SET purchase_days = 101 WHERE model = 'prediction'")
    assert await shop.retraining.after_import(tenant) == []
    await superuser.execute("UPDATE training_runs SET purchase_days = 100 WHERE model = 'prediction'")
    assert len(await shop.retraining.after_import(tenant)) == 1
    assert await causes(superuser) == [("prediction", "GROWTH")]
    # The run that waits is the answer to further imports too.
    assert await shop.retraining.after_import(tenant) == []


async def test_a_run_of_an_earlier_release_is_measured_from_now_on(shop, superuser):
    assert await shop.retraining.after_import(shop.north.tenant_id) == []
    told = await superuser.fetch("SELECT purchase_days FROM training_runs")
    assert {row["purchase_days"] for row in told} == {120}
    await superuser.execute("UPDATE training_runs SET purchase_days = 50")
    assert len(await shop.retraining.after_import(shop.north.tenant_id)) == 2


async def test_a_drift_report_that_asks_to_act_starts_one_training_and_the_run_names_the_report(
    shop, superuser
):
    tenant, report = shop.north.tenant_id, uuid7()
    for verdict in ("STABLE", "CHANGED", "WATCH", "UNKNOWN"):
        assert await shop.retraining.after_drift(tenant, "prediction", verdict, report) == []
    assert len(await shop.retraining.after_drift(tenant, "prediction", "ACT", report)) == 1
    assert await shop.retraining.after_drift(tenant, "prediction", "ACT", report) == []
    (run, *_) = await shop.training.page(shop.north.context(), None, 9)
    assert (run.model, run.cause, run.drift_report) == ("prediction", "DRIFT", report)


async def test_drift_on_data_that_the_last_training_knew_starts_nothing(shop, superuser):
    await trained(shop, "prediction")
    tenant = shop.north.tenant_id
    assert await shop.retraining.after_drift(tenant, "prediction", "ACT", uuid7()) == []
    await all_data_is_new(superuser)
    assert len(await shop.retraining.after_drift(tenant, "prediction", "ACT", uuid7())) == 1


async def test_the_schedule_waits_a_week_and_for_new_data(shop, superuser):
    await trained(shop, "prediction")
    await all_data_is_new(superuser)
    await superuser.execute("UPDATE training_runs SET created_at = now() WHERE model = 'segmentation'")
    assert await shop.retraining.run_schedule() == 0
    shop.clock.now += timedelta(days=7, minutes=1)
    assert await shop.retraining.run_schedule() == 2
    assert await causes(superuser) == [("prediction", "SCHEDULE"), ("segmentation", "SCHEDULE")]
    assert await shop.retraining.run_schedule() == 0


async def test_a_plan_without_retraining_trains_what_does_not_serve_and_no_more(shop, superuser):
    tenant = shop.north.tenant_id
    await grant(shop.db, tenant, Override("what a test needs", "professional"))
    with pytest.raises(PlanFeatureRequired) as refused:
        await shop.retraining.check_plan(tenant, "prediction")
    assert refused.value.metadata == {"feature": "retraining", "upgrade_to": "enterprise"}
    assert await shop.retraining.after_drift(tenant, "prediction", "ACT", uuid7()) == []
    shop.clock.now += timedelta(days=30)
    assert await shop.retraining.run_schedule() == 0
    await superuser.execute("UPDATE training_runs SET purchase_days = 50")
    assert len(await shop.retraining.after_import(tenant)) == 2
    await superuser.execute("DELETE FROM model_aliases WHERE model = 'prediction'")
    await shop.retraining.check_plan(tenant, "prediction")
    with pytest.raises(PlanFeatureRequired):
        await shop.retraining.check_plan(tenant, "")


async def test_the_workers_are_told_the_champion_and_the_run_remembers_it(shop):
    champion = await shop.registry.active(shop.north.tenant_id, "prediction")
    run = await trained(shop, "prediction")
    (order,) = shop.client.orders
    assert (order.champion_digest, order.cause, order.run) == (
        champion.artifact_digest,
        "REQUESTED",
        str(run.run_id),
    )
    assert (run.champion_version, run.outcome, run.cpu_s > 0) == (1, "PROMOTED", True)


async def test_a_version_that_loses_to_the_champion_is_refused_and_the_run_says_so(shop):
    (run,) = await shop.training.start(shop.north.context(), "prediction", 0)
    worse = with_criterion(prediction_manifest(seed=3), "purchases.loss_vs_champion", 1.04)
    shop.client.steps = result_of(shop, worse)
    await shop.training.run(shop.north.tenant_id, run.run_id)
    ended = await shop.training.get(shop.north.context(), run.run_id)
    assert (ended.state, ended.outcome, ended.version) == (WorkState.SUCCEEDED, "REJECTED", 2)
    assert (await shop.registry.active(shop.north.tenant_id, "prediction")).version == 1
    assert shop.client.loaded == []


async def test_a_training_knows_nothing_of_the_days_behind_the_one_it_was_asked_for(shop):
    ctx = shop.north.context()
    with pytest.raises(AsOfInFuture) as refused:
        await shop.training.start(ctx, "prediction", 0, date(2024, 5, 11))
    assert refused.value.violations[0].field == "as_of"
    (run,) = await shop.training.start(ctx, "prediction", 0, date(2024, 2, 10))
    shop.client.steps = result_of(shop, prediction_manifest(seed=4))
    await shop.training.run(shop.north.tenant_id, run.run_id)
    ended = await shop.training.get(ctx, run.run_id)
    # Everybody bought in January, who buys twice or more also in February.
    assert (ended.as_of, ended.purchase_days) == (date(2024, 2, 10), 40 + 32)


class Endless:
    """A training that says it began and never ends by itself."""

    def __init__(self):
        self.began, self.ended = asyncio.Event(), asyncio.Event()

    async def train(self, order):
        try:
            yield TrainingProgress("fit", 0.3)
            self.began.set()
            await asyncio.Event().wait()
        finally:
            self.ended.set()


async def test_a_cancelled_run_ends_its_training_within_seconds_and_registers_nothing(shop, monkeypatch):
    endless, ctx = Endless(), shop.north.context()
    monkeypatch.setattr(shop.client, "train", endless.train)
    (run,) = await shop.training.start(ctx, "prediction", 0)
    work = asyncio.create_task(shop.training.run(shop.north.tenant_id, run.run_id))
    await asyncio.wait_for(endless.began.wait(), 10)
    assert (await shop.training.cancel(ctx, run.run_id)).state is WorkState.CANCELLED
    await asyncio.wait_for(work, 5)
    assert endless.ended.is_set()
    ended = await shop.training.get(ctx, run.run_id)
    assert (ended.state, ended.version, ended.error_reason) == (WorkState.CANCELLED, 0, "")
    # Cancelling it again changes nothing, and the model can be trained again.
    assert await shop.training.cancel(ctx, run.run_id) == ended
    assert (await shop.training.start(ctx, "prediction", 0))[0].state is WorkState.PENDING


async def test_a_run_that_is_cancelled_before_a_job_takes_it_is_never_trained(shop):
    ctx = shop.north.context()
    (run,) = await shop.training.start(ctx, "prediction", 0)
    await shop.training.cancel(ctx, run.run_id)
    await shop.training.run(shop.north.tenant_id, run.run_id)
    assert shop.client.orders == []
    with pytest.raises(ResourceMissing):
        await shop.training.cancel(shop.south.context(), run.run_id)


async def test_a_result_that_comes_after_the_cancelling_is_not_registered(shop, superuser):
    ctx = shop.north.context()
    (run,) = await shop.training.start(ctx, "prediction", 0)
    shop.client.steps = result_of(shop, prediction_manifest(seed=5))
    shop.client.gate = asyncio.Event()
    work = asyncio.create_task(shop.training.run(shop.north.tenant_id, run.run_id))
    stored = "SELECT count(*) FROM training_runs WHERE artifact_digest IS NOT NULL"
    await eventually(lambda: superuser.fetchval(stored))
    await shop.training.cancel(ctx, run.run_id)
    shop.client.gate.set()
    await work
    assert await superuser.fetchval("SELECT count(*) FROM model_versions WHERE model = 'prediction'") == 1


async def test_the_time_limit_runs_over_all_attempts_and_leaves_the_champion(shop, monkeypatch):
    ctx, tenant = shop.north.context(), shop.north.tenant_id
    (run,) = await shop.training.start(ctx, "prediction", 0)
    shop.client.steps = [Unavailable("the workers are away", reason="WORKERS_UNAVAILABLE")]
    with pytest.raises(Unavailable):
        await shop.training.run(tenant, run.run_id)
    monkeypatch.setattr(shop.client, "train", Endless().train)
    shop.clock.now += timedelta(seconds=1799.9)
    await asyncio.wait_for(shop.training.run(tenant, run.run_id), 5)
    ended = await shop.training.get(ctx, run.run_id)
    assert (ended.state, ended.error_reason) == (WorkState.FAILED, "TRAINING_TIMEOUT")
    assert (await shop.registry.active(tenant, "prediction")).version == 1


async def test_nothing_is_started_for_a_tenant_with_too_few_customers(shop, tmp_path, superuser):
    await open_shop(shop.db, shop.south, tmp_path / "small", customers=29, prefix="s")
    assert await shop.retraining.after_import(shop.south.tenant_id) == []
    assert await superuser.fetchval("SELECT count(*) FROM training_runs WHERE state = 'PENDING'") == 0


async def test_erasures_start_one_training_of_each_model_that_may_have_known_the_persons(shop, superuser):
    tenant = shop.north.tenant_id
    after = TrainingAfterErasure(
        shop.db, shop.features, shop.registry, shop.training, clock=lambda: shop.clock.now
    )
    await superuser.execute("UPDATE training_runs SET ended_at = now() WHERE state = 'SUCCEEDED'")
    customers = await superuser.fetch(
        "SELECT id, tenant_id FROM customers WHERE tenant_id = $1 LIMIT 3", tenant
    )

    async def erase(*rows):
        for row in rows:
            async with shop.db.tenant_transaction(tenant) as tx:
                await tx.execute(text("SELECT app.train_without(:id)"), {"id": row["id"]})

    await superuser.execute(
        "UPDATE customers SET created_at = now() + interval '1 hour' WHERE id = $1", customers[0]["id"]
    )
    await erase(customers[0])
    assert await after.run() == 0, "no model can have known somebody who came later"

    await erase(*customers[1:])
    assert await after.run() == 0, "the last training is not a day old"
    shop.clock.now += timedelta(days=1, minutes=1)
    assert await after.run() == 2
    assert await causes(superuser) == [("prediction", "ERASURE"), ("segmentation", "ERASURE")]
    assert await after.run() == 0, "they are under way"
    await superuser.execute(
        "UPDATE training_runs SET state = 'SUCCEEDED', stage = 'register', started_at = now(), ended_at = now(),"
        " version = 1, outcome = 'KEPT' WHERE state = 'PENDING'"
    )
    assert await after.run() == 0
    assert await superuser.fetchval("SELECT count(*) FROM trainings_after_erasure") == 0
