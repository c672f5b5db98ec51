"""What a version with blends can be asked for, and that what is stored tells how it was asked."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy.exc import IntegrityError

from cohortlens.analytics.models import Subjects, Task
from cohortlens.analytics.options import (
    Basis,
    HorizonUnsupported,
    Loss,
    OptionUnsupported,
    PredictionOptions,
    TaskUnsupported,
)
from cohortlens.contracts.features import SCHEMA, snapshot_id
from cohortlens.contracts.sequences import FEATURE_COLUMNS, WIDE_COLUMNS
from tests.fakes.inference import scores_of
from tests.fakes.models import blended_manifest, install

HORIZON = SCHEMA.index("horizon")
CUSTOMERS = Subjects(customers=("external:c7", "external:c3", "external:c39"))


@pytest.fixture
async def blended(world, database):
    """The version with blends answers."""
    version, promoted = await install(
        world.registry, database, world.north.tenant_id, blended_manifest(), champion=None
    )
    if not promoted:
        await world.promotions.promote(world.north.context(), "prediction", version)
    assert (await world.registry.active(world.north.tenant_id, "prediction")).version == version
    return world


async def test_lifetime_value_is_stored_with_its_discount_level_and_loss(blended, superuser):
    options = PredictionOptions(0.95, Loss.MAE, 0.25)
    made = await blended.predictions.predict(blended.north.context(), Task.CLV, CUSTOMERS, 365, options)
    assert blended.client.sent[-1].target == "clv;discount=0.25;level=0.95;loss=mae"
    rows = await superuser.fetch(
        "SELECT * FROM predictions ORDER BY array_position($1, id)", [one.prediction_id for one in made]
    )
    for row, told in zip(rows, made, strict=True):
        assert (row["task"], row["loss"], row["basis"]) == ("CLV", "MAE", "BLEND")
        assert (row["level_ratio"], row["annual_discount_ratio"]) == (0.95, 0.25)
        assert (row["unit"], row["horizon_days"]) == ("USD", 365)
        assert (told.loss, told.basis, told.annual_discount_ratio) == (Loss.MAE, Basis.BLEND, 0.25)
    again = await blended.predictions.get(blended.north.context(), made.prediction_ids[0])
    assert again.prediction == made[0]


async def test_churn_is_a_probability_without_a_discount(blended, superuser):
    made = await blended.predictions.predict(blended.north.context(), Task.CHURN, CUSTOMERS, 90)
    assert (made.unit, made.annual_discount_ratio) == ("probability", None)
    assert ((made.value > 0) & (made.value < 1)).all()
    stored = await superuser.fetch("SELECT task, annual_discount_ratio FROM predictions")
    assert {tuple(row) for row in stored} == {("CHURN", None)}


async def test_customers_are_scored_with_their_sequence_and_it_is_stored_behind_the_features(
    blended, superuser
):
    made = await blended.predictions.predict(blended.north.context(), Task.SPEND, CUSTOMERS, 47)
    assert blended.client.sent[-1].features.shape == (3, WIDE_COLUMNS)
    assert made.basis is Basis.BLEND
    rows = await superuser.fetch(
        "SELECT * FROM predictions ORDER BY array_position($1, id)", [one.prediction_id for one in made]
    )
    for row, told in zip(rows, made, strict=True):
        vector = np.frombuffer(row["features_snapshot"], "<f4")
        assert vector[HORIZON] == 47
        # The last week of a customer who was there is observed.
        assert vector[FEATURE_COLUMNS:].reshape(-1, 4)[-1, 2] == 1
        assert row["snapshot_id"] == snapshot_id(row["schema_hash"], vector) == told.snapshot_id
        assert scores_of("spend", vector[None, :])["value"][0] == pytest.approx(row["value"], rel=1e-12)


async def test_a_vector_has_no_sequence_and_says_so(blended):
    ctx = blended.north.context()
    vector = np.zeros((1, FEATURE_COLUMNS))
    made = await blended.predictions.predict(ctx, Task.SPEND, Subjects(vectors=vector), 30)
    assert made.basis is Basis.BLEND_NO_SEQUENCE
    assert blended.client.sent[-1].features.shape == (1, FEATURE_COLUMNS)
    churn = await blended.predictions.predict(ctx, Task.CHURN, Subjects(vectors=vector), 30)
    assert churn.basis is Basis.BLEND


@pytest.mark.parametrize("horizon", [541, 730, 3650])
async def test_a_horizon_beyond_the_bound_is_refused_with_it(blended, horizon):
    with pytest.raises(HorizonUnsupported, match="predicts 1 to 540 days") as refused:
        await blended.predictions.predict(blended.north.context(), Task.SPEND, CUSTOMERS, horizon)
    assert refused.value.metadata["longest"] == "540"


async def test_what_the_version_cannot_be_asked_is_refused_before_a_worker_is(blended, world):
    ctx, sent = blended.north.context(), len(blended.client.sent)
    with pytest.raises(OptionUnsupported, match="level_ratio"):
        await blended.predictions.predict(ctx, Task.SPEND, CUSTOMERS, 90, PredictionOptions(0.9))
    with pytest.raises(OptionUnsupported, match="loss"):
        await blended.predictions.predict(ctx, Task.CHURN, CUSTOMERS, 90, PredictionOptions(loss=Loss.MAE))
    assert len(blended.client.sent) == sent


async def test_a_version_from_before_blends_serves_on_and_says_what_it_lacks(world, superuser):
    ctx = world.north.context()
    made = await world.predictions.predict(ctx, Task.SPEND, CUSTOMERS, 90)
    assert made.basis is Basis.BOOSTING
    assert world.client.sent[-1].features.shape == (3, FEATURE_COLUMNS)
    assert await superuser.fetchval("SELECT DISTINCT basis FROM predictions") == "BOOSTING"
    with pytest.raises(TaskUnsupported, match="start a training"):
        await world.predictions.predict(ctx, Task.CHURN, CUSTOMERS, 90)
    with pytest.raises(HorizonUnsupported, match="predicts 30, 90"):
        await world.predictions.predict(ctx, Task.SPEND, CUSTOMERS, 47)


async def test_a_batch_keeps_how_it_was_asked(blended):
    ctx = blended.north.context()
    options = PredictionOptions(0.5, Loss.MAE, 0.02)
    made = await blended.batches.start(ctx, Task.CLV, 400, all_customers=True, input_id=None, options=options)
    stored = await blended.batches.get(ctx, made.batch_id)
    assert stored.options == options
    assert (stored.task, stored.horizon_days, stored.unit) == (Task.CLV, 400, "USD")
    with pytest.raises(OptionUnsupported):
        await blended.batches.start(
            ctx, Task.SPEND, 90, all_customers=True, input_id=None, options=PredictionOptions(0.9)
        )


@pytest.mark.parametrize(("task", "discount"), [("CLV", None), ("SPEND", 0.1), ("CLV", 1.5)])
async def test_the_table_takes_a_discount_with_lifetime_values_alone(blended, database, task, discount):
    from sqlalchemy import text

    ctx = blended.north.context()
    await blended.predictions.predict(ctx, Task.PURCHASES, CUSTOMERS, 90)
    with pytest.raises(IntegrityError):
        async with database.tenant_transaction(ctx.tenant_id) as tx:
            await tx.execute(
                text("UPDATE predictions SET task = :task, annual_discount_ratio = :discount"),
                {"task": task, "discount": discount},
            )
