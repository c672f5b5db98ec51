"""A challenger sees calls, never answers them, and its report says how it compares; tenant by tenant."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from sqlalchemy import text

from cohortlens.analytics.models import Subjects, Task
from cohortlens.analytics.shadow_repository import ShadowRepository
from cohortlens.analytics.shadow_totals import ShadowKey, ShadowTotals
from cohortlens.core.clock import now
from cohortlens.core.errors import FailedPrecondition, NotFound, Unavailable
from cohortlens.registry.models import (
    ChallengerIsActive,
    NoActiveModel,
    NoChallenger,
    VersionNotFound,
    VersionNotLoadable,
    VersionNotReady,
)
from tests.fakes.inference import scores_of
from tests.fakes.models import install, prediction_manifest
from tests.fixtures.consents import decide
from tests.fixtures.waiting import eventually

SECOND = prediction_manifest(loss=0.9, seed=1)
THIRD = prediction_manifest(loss=0.9, seed=2)


@pytest.fixture
async def shop(world):
    """The world with versions 2 and 3 of the prediction, which do not serve; 2 answers a tenth more."""
    for manifest in (SECOND, THIRD):
        await install(world.registry, world.db, world.north.tenant_id, manifest)
    score = world.shadow_client.score

    async def tenth_more(deployment, artifact_digest, *arguments, **named):
        scores = await score(deployment, artifact_digest, *arguments, **named)
        more = 1.1 if artifact_digest == SECOND.digest else 1.0
        return {name: values * more for name, values in scores.items()}

    world.shadow_client.score = tenth_more
    world.ctx = world.north.context()
    return world


async def features_of(shop, *customers):
    found = await shop.features.features_by_name(shop.ctx, list(customers))
    return tuple(tuple(map(float, row)) for row in found.matrix)


async def compared(shop, rows):
    async def report():
        challenger = await shop.challengers.get(shop.ctx, "prediction")
        lines = await shop.shadow.report(shop.ctx, challenger)
        return lines if sum(line.totals.rows for line in lines) >= rows else None

    return await eventually(report)


async def test_customers_are_stored_apart_and_vectors_are_only_summed(shop, superuser):
    await shop.challengers.set(shop.ctx, "prediction", 2, 1.0, "newer data")
    by_name = Subjects(customers=("external:c6", "external:c7"))
    told = await shop.predictions.predict(shop.ctx, Task.SPEND, by_name, 30)
    vectors = Subjects(vectors=await features_of(shop, "external:c8"))
    await shop.predictions.predict(shop.ctx, Task.SPEND, vectors, 30)
    (line,) = await compared(shop, 3)
    assert line.key == ShadowKey(1, 2, Task.SPEND, 30)
    assert (line.totals.rows, line.totals.outside) == (3, 0)
    assert line.totals.challenger_mean == pytest.approx(1.1 * line.totals.champion_mean)
    assert line.totals.correlation == pytest.approx(1.0)
    assert line.totals.timed_calls >= 1

    values = sorted(one.value for one in told)
    rows = await superuser.fetch("SELECT * FROM shadow_predictions ORDER BY champion_value")
    assert [row["champion_value"] for row in rows] == values
    assert [row["challenger_value"] for row in rows] == pytest.approx([1.1 * value for value in values])
    assert {row["customer_id"] for row in rows} == {one.customer_id for one in told}
    stored = await superuser.fetch("SELECT DISTINCT model_version FROM predictions")
    assert [row["model_version"] for row in stored] == [1]


async def test_who_withdraws_before_the_challenger_answers_is_summed_but_not_stored(shop, superuser):
    await shop.challengers.set(shop.ctx, "prediction", 2, 1.0, "")
    shop.shadow_client.gate = asyncio.Event()
    by_name = Subjects(customers=("external:c6", "external:c7"))
    await shop.predictions.predict(shop.ctx, Task.SPEND, by_name, 30)
    await decide(shop.db, shop.north.tenant_id, ["c6"], "WITHDRAWN")
    shop.shadow_client.gate.set()
    await compared(shop, 1)
    rows = await superuser.fetch(
        "SELECT c.external_id FROM shadow_predictions s JOIN customers c ON c.id = s.customer_id"
    )
    assert [row["external_id"] for row in rows] == ["c7"]


async def test_the_caller_is_answered_by_the_active_version_while_the_challenger_hangs_or_fails(shop):
    await shop.challengers.set(shop.ctx, "prediction", 2, 1.0, "")
    shop.shadow_client.gate = asyncio.Event()
    subjects = Subjects(customers=("external:c6",))
    for _ in range(5):
        (told,) = await shop.predictions.predict(shop.ctx, Task.SPEND, subjects, 30)
        assert told.model_version == 1
    shop.shadow_client.faults = [FailedPrecondition("no")] * 5
    shop.shadow_client.gate.set()
    (told,) = await shop.predictions.predict(shop.ctx, Task.SPEND, subjects, 30)
    assert told.model_version == 1


async def test_tasks_and_horizons_are_told_apart_and_sums_grow(shop):
    await shop.challengers.set(shop.ctx, "prediction", 2, 1.0, "")
    subjects = Subjects(vectors=await features_of(shop, "external:c6", "external:c8"))
    for task, horizon in ((Task.SPEND, 30), (Task.PURCHASES, 30), (Task.SPEND, 90), (Task.SPEND, 30)):
        await shop.predictions.predict(shop.ctx, task, subjects, horizon)
        await asyncio.sleep(0.05)
    lines = await compared(shop, 8)
    assert {(line.key.task, line.key.horizon_days): line.totals.rows for line in lines} == {
        (Task.SPEND, 30): 4,
        (Task.PURCHASES, 30): 2,
        (Task.SPEND, 90): 2,
    }


async def test_processes_that_add_at_the_same_time_lose_nothing(shop):
    key = ShadowKey(1, 2, Task.SPEND, 30)
    vectors = await features_of(shop, "external:c6", "external:c8", "external:c9")
    matrix = np.array(vectors, np.float32)
    piece = ShadowTotals.of(scores_of("spend", matrix), scores_of("purchases", matrix), (1.0, 3.0))

    async def add():
        async with shop.db.tenant_transaction(shop.north.tenant_id) as tx:
            await ShadowRepository(tx).add({key: piece}, now())

    await asyncio.gather(*(add() for _ in range(8)))
    async with shop.db.tenant_transaction(shop.north.tenant_id) as tx:
        (line,) = await ShadowRepository(tx).comparisons(2)
    assert (line.totals.rows, line.totals.timed_calls, line.totals.champion_ms) == (24, 8, 8.0)
    assert line.totals.champion_mean == pytest.approx(piece.champion_mean, rel=1e-12)
    assert line.totals.champion_squares == pytest.approx(8 * piece.champion_squares, rel=1e-9)
    assert line.totals.correlation == pytest.approx(piece.correlation, rel=1e-9)


async def test_a_challenger_that_is_promoted_is_cleared_and_any_other_stays(shop):
    await shop.challengers.set(shop.ctx, "prediction", 2, 0.5, "")
    await shop.promotions.promote(shop.ctx, "prediction", 3, "")
    assert (await shop.challengers.get(shop.ctx, "prediction")).version == 2
    await shop.promotions.promote(shop.ctx, "prediction", 2, "it won")
    with pytest.raises(NoChallenger):
        await shop.challengers.get(shop.ctx, "prediction")
    await shop.challengers.set(shop.ctx, "prediction", 3, 0.5, "")
    await shop.promotions.roll_back(shop.ctx, "prediction", "back to 3")
    with pytest.raises(NoChallenger):
        await shop.challengers.get(shop.ctx, "prediction")


async def test_the_history_says_when_a_version_was_the_challenger(shop, superuser):
    await shop.challengers.set(shop.ctx, "prediction", 2, 0.5, "first")
    await shop.challengers.set(shop.ctx, "prediction", 3, 0.25, "second")
    await shop.challengers.clear(shop.ctx, "prediction")
    rows = await superuser.fetch(
        "SELECT version, action, reason, share_ratio, upper(live) IS NULL AS open FROM model_alias_history "
        "WHERE alias = 'CHALLENGER' ORDER BY lower(live)"
    )
    assert [tuple(row) for row in rows] == [
        (2, "CHALLENGED", "first", 0.5, False),
        (3, "CHALLENGED", "second", 0.25, False),
    ]


async def test_a_version_listed_beside_a_challenger_is_listed_once(shop):
    await shop.challengers.set(shop.ctx, "prediction", 2, 0.5, "")
    listed = await shop.registry.list_versions(shop.ctx, "prediction", below=None, limit=10)
    assert [(one.version, one.active) for one in listed] == [(3, False), (2, False), (1, True)]


async def test_what_cannot_be_a_challenger_is_refused_and_nothing_changes(shop):
    await install(shop.registry, shop.db, shop.north.tenant_id, prediction_manifest(passed=False, seed=9))
    for version, refusal in ((1, ChallengerIsActive), (4, VersionNotReady), (77, VersionNotFound)):
        with pytest.raises(refusal):
            await shop.challengers.set(shop.ctx, "prediction", version, 0.5, "")
    shop.client.faults = [FailedPrecondition("no", reason="FEATURE_SCHEMA_MISMATCH")]
    with pytest.raises(VersionNotLoadable):
        await shop.challengers.set(shop.ctx, "prediction", 2, 0.5, "")
    shop.client.replicas["prediction"] = 0
    with pytest.raises(Unavailable):
        await shop.challengers.set(shop.ctx, "prediction", 2, 0.5, "")
    for use in (shop.challengers.get, shop.challengers.clear):
        with pytest.raises(NoChallenger):
            await use(shop.ctx, "prediction")


async def test_a_cleared_challenger_sees_no_more_calls(shop):
    await shop.challengers.set(shop.ctx, "prediction", 2, 1.0, "")
    await shop.challengers.clear(shop.ctx, "prediction")
    await shop.predictions.predict(shop.ctx, Task.SPEND, Subjects(customers=("external:c6",)), 30)
    await asyncio.sleep(0.05)
    assert shop.shadow_client.sent == []


async def test_a_deleted_customer_takes_its_shadow_along(shop, superuser):
    await shop.challengers.set(shop.ctx, "prediction", 2, 1.0, "")
    (told,) = await shop.predictions.predict(shop.ctx, Task.SPEND, Subjects(customers=("external:c6",)), 30)
    await compared(shop, 1)
    await superuser.execute("DELETE FROM customers WHERE id = $1", told.customer_id)
    assert await superuser.fetchval("SELECT count(*) FROM shadow_predictions") == 0


async def test_another_tenant_s_challenger_neither_shows_nor_sees_calls(shop):
    await shop.challengers.set(shop.ctx, "prediction", 2, 1.0, "")
    south = shop.south.context()
    with pytest.raises(NoChallenger):
        await shop.challengers.get(south, "prediction")
    with pytest.raises(NoChallenger):
        await shop.challengers.clear(south, "prediction")
    with pytest.raises(NotFound):
        await shop.challengers.set(south, "prediction", 2, 1.0, "")
    own = prediction_manifest(seed=50)
    await install(shop.registry, shop.db, shop.south.tenant_id, own)
    vectors = Subjects(vectors=await features_of(shop, "external:c6"))
    await shop.predictions.predict(south, Task.SPEND, vectors, 30)
    await asyncio.sleep(0.05)
    assert shop.shadow_client.sent == []
    # The same numbers of versions in another tenant lead to nothing.
    await shop.predictions.predict(shop.ctx, Task.SPEND, vectors, 30)
    await compared(shop, 1)
    assert await shop.shadow.report(south, await shop.challengers.get(shop.ctx, "prediction")) == []


async def test_a_challenger_needs_an_active_version(world):
    south = world.south.context()
    await install(world.registry, world.db, world.south.tenant_id, prediction_manifest(seed=7))
    async with world.db.tenant_transaction(world.south.tenant_id) as tx:
        await tx.execute(text("DELETE FROM model_aliases WHERE tenant_id = app.tid()"))
    world.registry.forget(world.south.tenant_id)
    with pytest.raises(NoActiveModel):
        await world.challengers.set(south, "prediction", 1, 0.5, "")
