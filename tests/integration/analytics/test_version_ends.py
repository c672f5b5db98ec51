"""How a comparison ends by itself, what follows a move of the active version, and which files go in the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from cohortlens.analytics.alias_moves import follow_alias
from cohortlens.analytics.models import Subjects, Task
from cohortlens.analytics.shadow_promotion import ShadowPromotion
from cohortlens.analytics.shadow_repository import ShadowRepository
from cohortlens.analytics.shadow_totals import ShadowKey, ShadowTotals
from cohortlens.analytics.version_retention import VersionRetention
from cohortlens.analytics.warmup import ModelWarmup
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.outbox import Wanted, claim
from cohortlens.registry.challengers import ChallengersService
from cohortlens.registry.models import ALIAS_MOVED, NoChallenger, VersionNotReady
from cohortlens.registry.promotions import PromotionsService
from cohortlens.registry.service import RegistryService
from tests.fakes.inference import FakeInferenceClient, workers_away
from tests.fakes.models import install, prediction_manifest, segmentation_manifest

DAY_S = 86_400.0


@pytest.fixture
async def shop(database, tenants):
    """A tenant whose version 1 serves and whose version 2 is compared by the service itself, for a day."""
    client, clock = FakeInferenceClient(), SimpleNamespace(now=datetime.now(UTC))
    registry, tenant = RegistryService(database, DAY_S), tenants[0]
    for seed in range(2):
        await install(registry, database, tenant.tenant_id, prediction_manifest(seed=seed))
    loader = ModelWarmup(client)
    return SimpleNamespace(
        db=database,
        client=client,
        clock=clock,
        registry=registry,
        tenant_id=tenant.tenant_id,
        ctx=tenant.context(),
        promotions=PromotionsService(database, registry, loader),
        challengers=ChallengersService(database, registry, loader),
        job=ShadowPromotion(database, registry, loader, shadow_s=DAY_S, clock=lambda: clock.now),
    )


async def active(shop):
    return (await RegistryService(shop.db).active(shop.tenant_id, "prediction")).version


async def measured(shop, *, rows=200, calls=40, champion_ms=1.0, challenger_ms=1.0):
    totals = ShadowTotals(
        rows, 1.0, 1.1, 1.0, 1.0, 1.0, 5.0, 0, calls, champion_ms * calls, challenger_ms * calls
    )
    async with shop.db.tenant_transaction(shop.tenant_id) as tx:
        key = ShadowKey(1, 2, Task.SPEND, 90)
        await ShadowRepository(tx).add({key: totals}, datetime.now(UTC))


async def test_a_challenger_takes_over_after_its_day_and_the_history_says_on_how_many_rows(shop):
    await measured(shop)
    shop.clock.now += timedelta(hours=23)
    assert await shop.job.run() == 0
    assert await active(shop) == 1
    shop.clock.now += timedelta(hours=1, minutes=1)
    assert await shop.job.run() == 1
    assert await active(shop) == 2
    (latest, _) = await shop.registry.history(shop.ctx, "prediction", "CHAMPION", None, 9)
    assert (latest.actor, latest.reason) == (None, "compared with version 1 on 200 rows")
    with pytest.raises(NoChallenger):
        await shop.challengers.get(shop.ctx, "prediction")
    assert await shop.job.run() == 0


async def test_workers_that_are_away_delay_the_change_and_do_not_end_the_comparison(shop):
    shop.clock.now += timedelta(days=2)
    shop.client.faults = [workers_away("prediction")]
    assert await shop.job.run() == 0
    assert await active(shop) == 1
    assert await shop.job.run() == 1


async def test_a_challenger_that_the_workers_refuse_stops_being_compared(shop):
    shop.clock.now += timedelta(days=2)
    shop.client.faults = [FailedPrecondition("x", reason="MODEL_TOO_LARGE")]
    assert await shop.job.run() == 0
    assert await active(shop) == 1
    with pytest.raises(NoChallenger):
        await shop.challengers.get(shop.ctx, "prediction")


@pytest.mark.parametrize(("challenger_ms", "promoted"), [(2.9, 1), (3.1, 0)])
async def test_a_challenger_three_times_as_slow_is_left_to_a_person(shop, challenger_ms, promoted):
    await measured(shop, challenger_ms=challenger_ms)
    shop.clock.now += timedelta(days=2)
    assert await shop.job.run() == promoted
    assert await active(shop) == 1 + promoted


async def test_a_challenger_that_a_person_set_is_never_promoted_by_itself(shop):
    await shop.challengers.set(shop.ctx, "prediction", 2, 0.5, "I want to see")
    shop.clock.now += timedelta(days=9)
    assert await shop.job.run() == 0
    assert (await shop.challengers.get(shop.ctx, "prediction")).version == 2


async def test_whoever_moved_the_active_version_since_is_not_overruled(shop):
    # The third version passes its gate and is kept; a person promotes it while the second is compared.
    await install(shop.registry, shop.db, shop.tenant_id, prediction_manifest(loss=0.99, seed=7))
    await shop.promotions.promote(shop.ctx, "prediction", 3, "mine")
    shop.clock.now += timedelta(days=9)
    assert await shop.job.run() == 0
    assert await active(shop) == 3


async def test_customers_follow_the_segments_of_the_version_that_serves(world, superuser):
    await install(world.registry, world.db, world.north.tenant_id, segmentation_manifest(seed=2))
    events = await claim(world.db, "tester", [Wanted(ALIAS_MOVED, 10)])
    assert {event.payload["model"] for event in events} == {"prediction", "segmentation"}

    async def follow(model):
        return await follow_alias(world.db, world.segmentation, world.north.tenant_id, model)

    runs = "SELECT array_agg(model_version ORDER BY id) FROM segmentation_runs"
    assert (await follow("prediction"), await follow("segmentation")) == (False, True)
    assert await follow("segmentation") is False
    await world.promotions.roll_back(world.north.context(), "segmentation", "better names")
    assert await follow("segmentation") is True
    assert await superuser.fetchval(runs) == [2, 1]


@pytest.fixture
def kept(tmp_path):
    return LocalArtifactStore(tmp_path / "artifacts")


async def stored(store, registry, database, tenant_id, seed):
    """A version whose blobs lie in the store; each shares one with all others."""
    files = {"own": store.put_bytes(b"%d" % seed), "shared": store.put_bytes(b"shared")}
    manifest = prediction_manifest(loss=0.9, seed=seed)
    object.__setattr__(manifest, "files", files)
    digest = store.put_bytes(manifest.to_json().encode())
    await install(registry, database, tenant_id, manifest)
    return SimpleNamespace(digest=digest, own=files["own"], shared=files["shared"])


async def states(registry, ctx):
    found = await registry.list_versions(ctx, "prediction", below=None, limit=99)
    return {one.version: one.state for one in found}


async def test_files_of_old_versions_go_and_what_is_shared_or_serves_stays(database, tenants, kept):
    registry, ctx, tenant = RegistryService(database), tenants[0].context(), tenants[0].tenant_id
    promotions = PromotionsService(database, registry, ModelWarmup(FakeInferenceClient()))
    versions = [await stored(kept, registry, database, tenant, seed) for seed in range(9)]
    await promotions.promote(ctx, "prediction", 2, "old but good")
    await promotions.promote(ctx, "prediction", 1, "older and better")
    retention = VersionRetention(database, kept)
    assert await retention.run() == 2
    # The last five, the active one, the one to roll back to.
    gone = {version for version, state in (await states(registry, ctx)).items() if state == "RETIRED"}
    assert gone == {3, 4}
    for number, one in enumerate(versions, start=1):
        assert kept.exists(one.digest) is (number not in gone)
        assert kept.exists(one.own) is (number not in gone)
        assert kept.exists(one.shared)
    assert await retention.run() == 0
    assert len(await registry.history(ctx, "prediction", "CHAMPION", None, 99)) == 11
    with pytest.raises(VersionNotReady, match="retired"):
        await promotions.promote(ctx, "prediction", 3, "")


async def test_a_version_that_a_recent_prediction_names_keeps_its_files(world, kept):
    ctx, tenant = world.north.context(), world.north.tenant_id
    await world.predictions.predict(ctx, Task.SPEND, Subjects(customers=("external:c1",)), 90)
    for seed in range(1, 8):
        await stored(kept, world.registry, world.db, tenant, seed)
    for version in (7, 8):
        await world.promotions.promote(ctx, "prediction", version, "")
    await VersionRetention(world.db, kept).run()
    assert (await states(world.registry, ctx))[1] == "READY"
    late = VersionRetention(world.db, kept, clock=lambda: datetime.now(UTC) + timedelta(days=400))
    await late.run()
    assert (await states(world.registry, ctx))[1] == "RETIRED"


async def test_files_that_a_crash_left_behind_go_with_the_next_run(database, tenants, kept):
    registry, tenant = RegistryService(database), tenants[0].tenant_id
    versions = [await stored(kept, registry, database, tenant, seed) for seed in range(8)]
    async with database.tenant_transaction(tenant) as tx:
        await tx.execute(text("UPDATE model_versions SET state = 'RETIRED' WHERE version = 1"))
    await VersionRetention(database, kept).run()
    assert not kept.exists(versions[0].digest)
    assert kept.exists(versions[-1].digest)
