"""Predictions of customers are stored before they are told, and can be made again from what is stored."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from cohortlens.analytics.explanations import How
from cohortlens.analytics.models import ResourceMissing, Subjects, SubjectsInvalid, Task
from cohortlens.analytics.options import HorizonUnsupported
from cohortlens.contracts.features import SCHEMA, snapshot_id
from cohortlens.core.errors import InvalidArgument, NotFound, Unavailable
from cohortlens.core.idempotency import KeyScope, KeyTakenOver, effects_of
from cohortlens.core.idempotency_keys import IdempotencyKeys
from cohortlens.core.ids import uuid7
from cohortlens.core.tenant_keys import TenantKeys
from tests.fakes.inference import scores_of, workers_away
from tests.fakes.models import install, open_shop, prediction_manifest
from tests.fixtures.waiting import eventually

HORIZON = SCHEMA.index("horizon")


def named(*names):
    return Subjects(customers=names)


async def test_stored_rows_carry_version_and_snapshot_and_score_to_the_same_value_again(world, superuser):
    ctx = world.north.context()
    names = [f"external:c{index}" for index in (7, 3, 39)]
    made = await world.predictions.predict(ctx, Task.SPEND, named(*names), 90)
    assert [one.external_id for one in made] == ["c7", "c3", "c39"]
    rows = await superuser.fetch(
        "SELECT * FROM predictions ORDER BY array_position($1, id)", [one.prediction_id for one in made]
    )
    assert len(rows) == 3
    for row, told in zip(rows, made, strict=True):
        vector = np.frombuffer(row["features_snapshot"], "<f4")
        assert vector[HORIZON] == 90
        assert row["snapshot_id"] == snapshot_id(row["schema_hash"], vector) == told.snapshot_id
        assert scores_of("spend", vector[None, :])["value"][0] == pytest.approx(row["value"], rel=1e-12)
        assert (row["model_version"], row["unit"], row["horizon_days"]) == (1, "USD", 90)
        assert (row["value"], row["lower"], row["upper"]) == (told.value, told.lower, told.upper)
        assert row["tenant_id"] == world.north.tenant_id
        assert row["request_id"] == ctx.request_id


async def test_the_same_customer_may_be_asked_for_twice_by_either_name(world):
    ctx = world.north.context()
    ((first,),) = [await world.predictions.predict(ctx, Task.PURCHASES, named("external:c5"))]
    made = await world.predictions.predict(
        ctx, Task.PURCHASES, named("external:c5", str(first.customer_id), "external:c5")
    )
    assert {one.value for one in made} == {first.value}
    assert len({one.prediction_id for one in made}) == 3
    assert {(one.unit, one.horizon_days) for one in made} == {("purchase_days", 90)}


async def test_vectors_are_predicted_like_the_customer_they_came_from_and_are_not_stored(world, superuser):
    ctx = world.north.context()
    rows = await world.features.features_by_name(ctx, ["external:c9"])
    ((by_id,), (by_vector,)) = (
        await world.predictions.predict(ctx, Task.SPEND, named("external:c9"), 30),
        await world.predictions.predict(
            ctx, Task.SPEND, Subjects(vectors=(tuple(rows.matrix[0].tolist()),), schema_hash=SCHEMA.hash), 30
        ),
    )
    assert by_vector.value == by_id.value
    assert by_vector.snapshot_id == by_id.snapshot_id
    assert (by_vector.prediction_id, by_vector.customer_id, by_vector.as_of) == (None, None, None)
    assert await superuser.fetchval("SELECT count(*) FROM predictions") == 1


@pytest.mark.parametrize(
    "subjects", [Subjects(), Subjects(customers=("external:c1",), vectors=((1.0,),))], ids=["none", "both"]
)
async def test_a_request_names_customers_or_vectors_and_not_both(world, subjects):
    with pytest.raises(SubjectsInvalid) as refused:
        await world.predictions.predict(world.north.context(), Task.SPEND, subjects)
    assert refused.value.reason == "FIELD_INVALID"


async def test_an_unsupported_horizon_is_refused_with_those_that_are(world):
    with pytest.raises(HorizonUnsupported) as refused:
        await world.predictions.predict(world.north.context(), Task.SPEND, named("external:c1"), 31)
    assert refused.value.metadata == {"supported": "30, 90"}


def vector(**values):
    row = [0.0] * len(SCHEMA.columns)
    for name, value in values.items():
        row[SCHEMA.index(name)] = value
    return tuple(row)


@pytest.mark.parametrize(
    ("bad", "reason", "column"),
    [
        ({"since": -1.0}, "FEATURE_OUT_OF_RANGE", "since"),
        ({"sum": 1e300}, "FEATURE_OUT_OF_RANGE", "sum"),
        ({"age": float("inf")}, "VALUE_NOT_FINITE", "age"),
        ({"x": float("nan")}, "VALUE_NOT_FINITE", "x"),
    ],
)
async def test_a_bad_value_in_a_vector_is_named_by_position_and_column(world, bad, reason, column):
    subjects = Subjects(vectors=(vector(), vector(**bad)))
    with pytest.raises(InvalidArgument) as refused:
        await world.predictions.predict(world.north.context(), Task.SPEND, subjects)
    assert refused.value.reason == reason
    assert refused.value.violations[0].field == f"vectors[1].values[{SCHEMA.index(column)}]"
    assert column in refused.value.violations[0].description
    assert world.client.sent == []


async def test_a_vector_of_another_length_or_schema_is_refused(world):
    ctx = world.north.context()
    with pytest.raises(InvalidArgument) as short:
        await world.predictions.predict(ctx, Task.SPEND, Subjects(vectors=((1.0, 2.0),)))
    assert (short.value.reason, short.value.violations[0].field) == ("FEATURE_SCHEMA_MISMATCH", "vectors[0]")
    with pytest.raises(InvalidArgument) as foreign:
        await world.predictions.predict(ctx, Task.SPEND, Subjects(vectors=(vector(),), schema_hash="0" * 64))
    assert foreign.value.violations[0].field == "schema_hash"


async def test_nothing_is_stored_when_no_worker_answers(world, superuser):
    world.client.faults = [workers_away("prediction")]
    with pytest.raises(Unavailable, match="no worker"):
        await world.predictions.predict(world.north.context(), Task.SPEND, named("external:c1"))
    assert await superuser.fetchval("SELECT count(*) FROM predictions") == 0


async def test_another_tenant_s_customers_and_predictions_answer_like_missing_ones(world, tmp_path):
    north, south = world.north.context(), world.south.context()
    await open_shop(world.db, world.south, tmp_path / "south", prefix="s")
    await install(world.registry, world.db, world.south.tenant_id, prediction_manifest())
    (made,) = await world.predictions.predict(north, Task.SPEND, named("external:c1"))
    for foreign, missing in (
        ("external:c1", "external:nobody"),
        (str(made.customer_id), str(uuid7())),
    ):
        answers = []
        for name in (foreign, missing):
            with pytest.raises(NotFound) as refused:
                await world.predictions.predict(south, Task.SPEND, named("external:s1", name))
            answers.append((refused.value.reason, refused.value.message, refused.value.violations))
        assert answers[0] == answers[1]
    answers = []
    for identifier in (made.prediction_id, uuid7()):
        with pytest.raises(ResourceMissing) as refused:
            await world.predictions.get(south, identifier)
        answers.append((refused.value.message, refused.value.metadata))
    assert answers[0] == answers[1]
    page = await world.predictions.page(south, customer_id=None, task=None, before=None, limit=10)
    assert page == []


async def test_stored_predictions_are_listed_newest_first_and_page_without_gaps(world):
    ctx = world.north.context()
    asked = []
    for name in ("external:c1", "external:c2", "external:c1"):
        asked += await world.predictions.predict(ctx, Task.SPEND, named(name))
    await world.predictions.predict(ctx, Task.PURCHASES, named("external:c1"))

    async def page(before, limit, **filters):
        return await world.predictions.page(
            ctx, **({"customer_id": None, "task": Task.SPEND} | filters), before=before, limit=limit
        )

    first = await page(None, 2)
    rest = await page(first[-1].prediction_id, 2)
    listed = [one.prediction_id for one in first + rest]
    assert sorted(listed) == sorted(one.prediction_id for one in asked)
    assert [one.created_at for one in first + rest] == sorted((one.created_at for one in asked), reverse=True)
    own = await page(None, 10, customer_id=asked[0].customer_id)
    assert {one.external_id for one in own} == {"c1"}
    assert len(own) == 2


async def test_get_returns_the_prediction_as_it_was_told(world):
    ctx = world.north.context()
    (made,) = await world.predictions.predict(ctx, Task.SPEND, named("external:c4"))
    stored = await world.predictions.get(ctx, made.prediction_id)
    assert stored.prediction == made


async def test_concurrent_predictions_of_a_tenant_share_transactions_and_all_are_stored(world, superuser):
    ctx = world.north.context()
    opened = 0
    inner = world.db.tenant_transaction

    def counting(tenant_id, **options):
        nonlocal opened
        opened += 1
        return inner(tenant_id, **options)

    world.predictions._writer._db = SimpleNamespace(tenant_transaction=counting)
    made = await asyncio.gather(
        *(world.predictions.predict(ctx, Task.SPEND, named(f"external:c{index}")) for index in range(30))
    )
    assert await superuser.fetchval("SELECT count(*) FROM predictions") == 30
    assert len({one.prediction_id for (one,) in made}) == 30
    assert opened < 30


async def test_a_customer_deleted_meanwhile_fails_only_the_call_that_named_it(world, superuser):
    ctx = world.north.context()
    (gone,) = await world.predictions.predict(ctx, Task.SPEND, named("external:c1"))
    world.client.gate = asyncio.Event()
    doomed, fine = (
        asyncio.create_task(world.predictions.predict(ctx, Task.SPEND, named(f"external:{name}")))
        for name in ("c1", "c2")
    )
    await eventually(lambda: len(world.client.sent) >= 3)
    await superuser.execute("DELETE FROM customers WHERE id = $1", gone.customer_id)
    world.client.gate.set()
    with pytest.raises(NotFound):
        await doomed
    assert (await fine)[0].external_id == "c2"


async def test_explanations_add_up_and_the_rest_is_summed(world):
    ctx = world.north.context()
    (predicted,) = await world.predictions.predict(ctx, Task.SPEND, named("external:c8"), 90)
    (whole,) = await world.explanations.explain(ctx, Task.SPEND, named("external:c8"), 90)
    (cut,) = await world.explanations.explain(ctx, Task.SPEND, named("external:c8"), 90, How(top=3))
    assert whole.value == pytest.approx(predicted.value, rel=1e-9)
    assert whole.snapshot_id == predicted.snapshot_id
    assert abs(whole.additivity_residual) < 1e-9
    assert len(whole.attributions) == len(SCHEMA.columns)
    assert cut.attributions == whole.attributions[:3]
    assert cut.other_contribution == pytest.approx(sum(one.contribution for one in whole.attributions[3:]))
    strengths = [abs(one.contribution) for one in whole.attributions]
    assert strengths == sorted(strengths, reverse=True)
    units = {one.feature: one.unit for one in whole.attributions}
    assert (units["sum"], units["since"]) == ("USD", "d")


async def test_features_read_together_go_to_whoever_asked_and_a_bad_name_spoils_only_its_own_call(world):
    ctx = world.north.context()
    asked = [f"external:c{index}" for index in range(20)]
    wrong = ["external:nobody", "neither form", "external:nul\0"]
    answers = await asyncio.gather(
        *(world.features.features_by_name(ctx, [name, "external:c39"]) for name in asked + wrong),
        return_exceptions=True,
    )
    assert [rows.external_ids for rows in answers[:20]] == [(name[9:], "c39") for name in asked]
    for index, rows in enumerate(answers[:20]):
        assert rows.matrix[0, SCHEMA.index("last")] == index + 0.25
        assert rows.matrix[1, SCHEMA.index("last")] == 39.25
    assert [type(fault).__name__ for fault in answers[20:]] == [
        "CustomerNotFound",
        "InvalidArgument",
        "CustomerNotFound",
    ]
    assert {fault.violations[0].field for fault in answers[20:]} == {"customers[0]"}


async def test_keyed_predictions_share_a_transaction_that_marks_each_key_and_an_overtaken_one_fails_alone(
    world, superuser
):
    keys = IdempotencyKeys(world.db, TenantKeys(bytes(range(32))))
    ctx = world.north.context()
    claims = [
        (await keys.take(KeyScope(ctx.tenant_id, "user:1", "/Predict", key), b"", 30)).claim
        for key in ("first", "second", "overtaken")
    ]
    await superuser.execute("UPDATE idempotency_keys SET attempt = 2 WHERE key = 'overtaken'")

    async def predict(number, claim):
        with effects_of(claim):
            return await world.predictions.predict(ctx, Task.SPEND, named(f"external:c{number}"))

    made = await asyncio.gather(*map(predict, range(3), claims), return_exceptions=True)
    assert isinstance(made[2], KeyTakenOver)
    rows = await superuser.fetch("SELECT key, state, made ->> 'predictions' AS made FROM idempotency_keys")
    states = {row["key"]: (row["state"], row["made"]) for row in rows}
    for key, (one,) in zip(("first", "second"), made[:2], strict=True):
        assert states[key] == ("COMMITTED", f'["{one.prediction_id}"]')
    assert states["overtaken"] == ("IN_PROGRESS", None)
    assert await superuser.fetchval("SELECT count(*) FROM predictions") == 2
