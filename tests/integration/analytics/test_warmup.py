"""Fresh replicas learn of every tenant's active versions, behind those that were really used."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text

from cohortlens.analytics.warmup import remember_active
from cohortlens.contracts.recent_models import key_of
from cohortlens.core.errors import Unavailable
from cohortlens.core.redis import redis_client as connect
from cohortlens.registry.service import RegistryService
from tests.fakes.models import install, prediction_manifest, segmentation_manifest


@pytest.fixture
async def shops(database, tenants):
    """Versions of two tenants; the second of the northern prediction is active."""
    registry, (north, south) = RegistryService(database), tenants
    manifests = {
        "old": prediction_manifest(loss=0.9),
        "north": prediction_manifest(loss=0.8, seed=1),
        "south": prediction_manifest(seed=2),
        "segments": segmentation_manifest(),
    }
    for name, tenant in (("old", north), ("north", north), ("south", south), ("segments", south)):
        await install(registry, database, tenant.tenant_id, manifests[name])
    return {name: manifest.digest for name, manifest in manifests.items()}


async def told(redis, deployment):
    return [digest.decode() for digest in await redis.zrange(key_of(deployment), 0, -1, desc=True)]


async def test_the_active_versions_of_all_tenants_are_told_latest_promotion_first(
    shops, database, redis_client
):
    assert await remember_active(database, redis_client) == 3
    assert await told(redis_client, "prediction") == [shops["south"], shops["north"]]
    assert await told(redis_client, "explanation") == [shops["south"], shops["north"]]
    assert await told(redis_client, "segmentation") == [shops["segments"]]


async def test_what_was_used_comes_before_what_is_only_active(shops, database, redis_client):
    used_at = time.time() - 60
    await redis_client.zadd(key_of("prediction"), {shops["old"]: used_at, shops["north"]: used_at + 1})
    await remember_active(database, redis_client)
    assert await told(redis_client, "prediction") == [shops["north"], shops["old"], shops["south"]]
    assert await redis_client.zscore(key_of("prediction"), shops["north"]) == pytest.approx(used_at + 1)


async def test_redis_away_is_told_as_such(shops, database):
    away = connect("redis://127.0.0.1:1/0", timeout_s=0.2)
    with pytest.raises(Unavailable):
        await remember_active(database, away)
    await away.aclose()


async def test_the_function_tells_no_tenant(shops, database):
    async with database.transaction() as tx:
        rows = (await tx.execute(text("SELECT * FROM app.active_models(10)"))).all()
    assert {tuple(row._mapping) for row in rows} == {("model", "artifact_digest")}
