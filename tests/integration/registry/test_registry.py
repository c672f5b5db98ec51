"""Versions are registered once, promoted, rolled back, and never seen by another tenant."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import asyncpg
import pytest

from cohortlens.analytics.warmup import ModelWarmup
from cohortlens.core.ids import uuid7
from cohortlens.registry.models import GateNotPassed, NoActiveModel, NoPreviousVersion, VersionNotFound
from cohortlens.registry.promotions import PromotionsService
from cohortlens.registry.service import RegistryService
from tests.fakes.inference import FakeInferenceClient
from tests.fakes.models import install, prediction_manifest, segmentation_manifest


@pytest.fixture
def registry(database):
    return RegistryService(database)


@pytest.fixture
def promotions(database, registry):
    return PromotionsService(database, registry, ModelWarmup(FakeInferenceClient()))


async def test_the_first_version_is_promoted_and_serves(registry, database, tenants):
    assert await install(registry, database, tenants[0].tenant_id, prediction_manifest()) == (1, True)
    active = await registry.active(tenants[0].tenant_id, "prediction")
    assert (active.version, active.state, active.manifest) == (1, "READY", prediction_manifest())


async def test_a_version_that_loses_to_the_champion_is_kept_but_does_not_serve(registry, database, tenants):
    tenant = tenants[0].tenant_id
    await install(registry, database, tenant, prediction_manifest(loss=0.8))
    assert await install(registry, database, tenant, prediction_manifest(loss=0.9, seed=1)) == (2, False)
    assert await install(registry, database, tenant, prediction_manifest(loss=0.7, seed=2)) == (3, True)
    assert (await registry.active(tenant, "prediction")).version == 3


async def test_a_segmentation_may_explain_a_little_less_but_not_much_less(registry, database, tenants):
    tenant = tenants[0].tenant_id
    await install(registry, database, tenant, segmentation_manifest(eta2=0.5))
    assert await install(registry, database, tenant, segmentation_manifest(eta2=0.497, seed=1)) == (2, True)
    assert await install(registry, database, tenant, segmentation_manifest(eta2=0.4, seed=2)) == (3, False)


async def test_a_rejected_version_cannot_be_promoted(registry, promotions, database, tenants):
    tenant = tenants[0]
    await install(registry, database, tenant.tenant_id, prediction_manifest(passed=False))
    with pytest.raises(GateNotPassed, match="purchases"):
        await promotions.promote(tenant.context(), "prediction", 1, "")
    with pytest.raises(NoActiveModel):
        await registry.active(tenant.tenant_id, "prediction")


async def test_rolling_back_walks_down_the_promotions_and_stops_at_the_first(
    registry, promotions, database, tenants
):
    tenant = tenants[0]
    for seed in range(3):
        await install(
            registry, database, tenant.tenant_id, prediction_manifest(loss=0.8 - seed / 10, seed=seed)
        )
    ctx = tenant.context()
    assert (await promotions.roll_back(ctx, "prediction", "worse")).version == 2
    assert (await registry.active(tenant.tenant_id, "prediction")).version == 2
    assert (await promotions.roll_back(ctx, "prediction", "worse still")).version == 1
    with pytest.raises(NoPreviousVersion):
        await promotions.roll_back(ctx, "prediction", "")
    assert (await promotions.promote(ctx, "prediction", 3, "again")).version == 3


async def test_the_history_says_which_version_was_live_and_by_whom(
    registry, promotions, database, tenants, superuser
):
    tenant = tenants[0]
    await install(registry, database, tenant.tenant_id, prediction_manifest())
    await install(registry, database, tenant.tenant_id, prediction_manifest(loss=0.9, seed=1))
    await promotions.promote(tenant.context(), "prediction", 2, "trust me")
    rows = await superuser.fetch(
        "SELECT version, action, actor, reason, upper(live) IS NULL AS open FROM model_alias_history "
        "ORDER BY lower(live)"
    )
    assert [(row["version"], row["action"], row["open"]) for row in rows] == [
        (1, "PROMOTED", False),
        (2, "PROMOTED", True),
    ]
    assert (rows[1]["actor"], rows[1]["reason"]) == (tenant.user_id, "trust me")


async def test_promoting_what_serves_already_changes_nothing(
    registry, promotions, database, tenants, superuser
):
    tenant = tenants[0]
    await install(registry, database, tenant.tenant_id, prediction_manifest())
    before = (await promotions.promote(tenant.context(), "prediction", 1, "")).active_since
    assert (await promotions.promote(tenant.context(), "prediction", 1, "")).active_since == before
    assert await superuser.fetchval("SELECT count(*) FROM model_alias_history") == 1


async def test_concurrent_promotions_leave_one_live_version_and_a_gapless_history(
    registry, promotions, database, tenants, superuser
):
    tenant = tenants[0]
    for seed in range(3):
        await install(registry, database, tenant.tenant_id, prediction_manifest(loss=0.8 + seed, seed=seed))
    await asyncio.gather(
        *(promotions.promote(tenant.context(), "prediction", version, "") for version in (2, 3, 1, 3, 2))
    )
    live = await superuser.fetch("SELECT version FROM model_alias_history WHERE upper_inf(live)")
    alias = await superuser.fetchval("SELECT version FROM model_aliases")
    assert [row["version"] for row in live] == [alias]
    assert not await superuser.fetchval(
        "SELECT EXISTS (SELECT 1 FROM (SELECT upper(live) AS ended, lead(lower(live)) OVER (ORDER BY lower(live)) "
        "AS next FROM model_alias_history) h WHERE ended <> next)"
    )


async def test_a_training_run_registers_once_however_often_it_is_repeated(
    registry, database, tenants, superuser
):
    tenant, manifest = tenants[0].tenant_id, prediction_manifest()
    await install(registry, database, tenant, manifest)
    run_id = await superuser.fetchval("SELECT id FROM training_runs")
    async with database.tenant_transaction(tenant) as tx:
        made = await registry.register(tx, manifest, manifest.digest, run_id)
    assert (made.version, made.is_new) == (1, False)
    assert await superuser.fetchval("SELECT count(*) FROM model_versions") == 1


async def test_a_version_never_changes(registry, database, tenants, superuser):
    await install(registry, database, tenants[0].tenant_id, prediction_manifest())
    with pytest.raises(asyncpg.CheckViolationError):
        await superuser.execute("UPDATE model_versions SET artifact_digest = $1", "f" * 64)


async def test_another_tenant_s_versions_answer_like_missing_ones(registry, promotions, database, tenants):
    north, south = tenants
    await install(registry, database, north.tenant_id, prediction_manifest())
    outcomes = []
    for version in (1, 77):
        with pytest.raises(VersionNotFound) as missing:
            await registry.get_version(south.context(), "prediction", version)
        outcomes.append(missing.value.message.replace(str(version), "N"))
        with pytest.raises(VersionNotFound):
            await promotions.promote(south.context(), "prediction", version, "")
    assert outcomes[0] == outcomes[1]
    assert await registry.list_versions(south.context(), "prediction", below=None, limit=10) == []
    with pytest.raises(NoActiveModel):
        await registry.active(south.tenant_id, "prediction")


async def test_versions_are_listed_newest_first_in_pages(registry, database, tenants):
    tenant = tenants[0]
    for seed in range(3):
        await install(registry, database, tenant.tenant_id, prediction_manifest(seed=seed))
    first = await registry.list_versions(tenant.context(), "prediction", below=None, limit=2)
    rest = await registry.list_versions(tenant.context(), "prediction", below=first[-1].version, limit=2)
    assert [one.version for one in first + rest] == [3, 2, 1]


async def test_the_cached_active_version_is_renewed_at_once_after_a_promotion(
    registry, promotions, database, tenants
):
    tenant = tenants[0]
    await install(registry, database, tenant.tenant_id, prediction_manifest())
    await install(registry, database, tenant.tenant_id, prediction_manifest(loss=0.9, seed=1))
    assert (await registry.active(tenant.tenant_id, "prediction")).version == 1
    await promotions.promote(tenant.context(), "prediction", 2, "")
    assert (await registry.active(tenant.tenant_id, "prediction")).version == 2


async def test_a_run_that_does_not_exist_cannot_register(registry, database, tenants):
    manifest = prediction_manifest()
    with pytest.raises(Exception, match="foreign key"):
        async with database.tenant_transaction(tenants[0].tenant_id) as tx:
            await registry.register(tx, manifest, manifest.digest, uuid7())


async def test_many_callers_at_once_ask_the_database_once(database, tenants):
    tenant, asked = tenants[0].tenant_id, 0

    def counting(tenant_id):
        nonlocal asked
        asked += 1
        return database.tenant_transaction(tenant_id)

    await install(RegistryService(database), database, tenant, prediction_manifest())
    registry = RegistryService(SimpleNamespace(tenant_transaction=counting))
    found = await asyncio.gather(*(registry.active(tenant, "prediction") for _ in range(50)))
    assert {one.version for one in found} == {1}
    assert asked == 1


async def test_a_caller_that_leaves_does_not_take_the_others_answer_along(registry, database, tenants):
    tenant = tenants[0].tenant_id
    await install(registry, database, tenant, prediction_manifest())
    gone, stays = (asyncio.create_task(registry.active(tenant, "prediction")) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await stays).version == 1
