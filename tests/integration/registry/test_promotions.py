"""The active version changes only when the workers hold the next one, and otherwise nothing changes."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from cohortlens.analytics.warmup import ModelWarmup
from cohortlens.core.errors import DeadlineExceeded, FailedPrecondition, Internal, Unavailable
from cohortlens.registry.models import VersionNotLoadable
from cohortlens.registry.promotions import PromotionsService
from cohortlens.registry.service import RegistryService
from tests.fakes.inference import FakeInferenceClient, workers_away
from tests.fakes.models import install, prediction_manifest, segmentation_manifest

FIRST, SECOND = prediction_manifest(), prediction_manifest(loss=0.9, seed=1)


@pytest.fixture
async def shop(database, tenants):
    """A tenant whose version 1 serves and whose version 2 waits."""
    client, registry = FakeInferenceClient(), RegistryService(database)
    tenant = tenants[0]
    for manifest in (FIRST, SECOND):
        await install(registry, database, tenant.tenant_id, manifest)
    promotions = PromotionsService(database, registry, ModelWarmup(client))

    async def active():
        return (await RegistryService(database).active(tenant.tenant_id, "prediction")).version

    return SimpleNamespace(
        client=client,
        registry=registry,
        promotions=promotions,
        ctx=tenant.context(),
        active=active,
        tenant=tenant,
    )


async def test_a_promoted_prediction_is_loaded_where_it_scores_and_where_it_explains(shop):
    await shop.promotions.promote(shop.ctx, "prediction", 2, "")
    assert set(shop.client.loaded) == {("prediction", SECOND.digest), ("explanation", SECOND.digest)}
    assert await shop.active() == 2


async def test_a_promoted_segmentation_is_loaded_where_segments_are_assigned(shop, database):
    manifests = [segmentation_manifest(eta2=0.5), segmentation_manifest(eta2=0.3, seed=1)]
    for manifest in manifests:
        await install(shop.registry, database, shop.tenant.tenant_id, manifest)
    await shop.promotions.promote(shop.ctx, "segmentation", 2, "")
    assert shop.client.loaded == [("segmentation", manifests[1].digest)]


async def test_the_version_before_serves_until_the_next_one_is_loaded(shop):
    shop.client.gate = asyncio.Event()
    promotion = asyncio.create_task(shop.promotions.promote(shop.ctx, "prediction", 2, ""))
    await asyncio.sleep(0.1)
    assert await shop.active() == 1
    shop.client.gate.set()
    assert (await promotion).version == 2
    assert await shop.active() == 2


@pytest.mark.parametrize(
    ("fault", "cause", "told"),
    [
        (Internal("a worker failed to answer", reason="ARTIFACT_CORRUPT"), "ARTIFACT_CORRUPT", "damaged"),
        (Internal("a worker failed to answer", reason="ARTIFACT_MISSING"), "ARTIFACT_MISSING", "not in the"),
        (FailedPrecondition("x", reason="FEATURE_SCHEMA_MISMATCH"), "FEATURE_SCHEMA_MISMATCH", "schema"),
        (FailedPrecondition("x", reason="MODEL_TOO_LARGE"), "MODEL_TOO_LARGE", "memory"),
        (Internal("a worker failed to answer"), "INTERNAL", "a worker failed"),
    ],
)
async def test_a_version_that_a_replica_refuses_is_not_promoted(shop, superuser, fault, cause, told):
    shop.client.faults = [fault]
    with pytest.raises(VersionNotLoadable, match=told) as refused:
        await shop.promotions.promote(shop.ctx, "prediction", 2, "")
    assert refused.value.metadata == {"model": "prediction", "version": "2", "cause": cause}
    assert await shop.active() == 1
    assert await superuser.fetchval("SELECT count(*) FROM model_alias_history") == 1


async def test_a_refusal_is_told_even_when_other_workers_are_away(shop):
    shop.client.faults = [workers_away("prediction"), FailedPrecondition("x", reason="MODEL_TOO_LARGE")]
    with pytest.raises(VersionNotLoadable):
        await shop.promotions.promote(shop.ctx, "prediction", 2, "")


@pytest.mark.parametrize("away", ["prediction", "explanation"])
async def test_nothing_is_promoted_while_no_worker_can_load_it(shop, away):
    shop.client.replicas[away] = 0
    with pytest.raises(Unavailable) as refused:
        await shop.promotions.promote(shop.ctx, "prediction", 2, "")
    assert (refused.value.reason, refused.value.metadata) == ("WORKERS_UNAVAILABLE", {"deployment": away})
    assert await shop.active() == 1


async def test_loading_is_given_up_at_the_deadline_of_the_call(shop):
    shop.client.gate = asyncio.Event()
    ctx = shop.tenant.context(timeout_s=0.8)
    with pytest.raises(DeadlineExceeded):
        await shop.promotions.promote(ctx, "prediction", 2, "")
    assert time.monotonic() < ctx.deadline
    assert await shop.active() == 1


async def test_a_roll_back_loads_the_version_before_and_does_not_wait_for_explaining_replicas(shop):
    await shop.promotions.promote(shop.ctx, "prediction", 2, "")
    shop.client.loaded.clear()
    shop.client.replicas["explanation"] = 0
    assert (await shop.promotions.roll_back(shop.ctx, "prediction", "worse")).version == 1
    assert shop.client.loaded == [("prediction", FIRST.digest)]


async def test_a_roll_back_needs_workers_that_score(shop):
    await shop.promotions.promote(shop.ctx, "prediction", 2, "")
    shop.client.replicas["prediction"] = 0
    with pytest.raises(Unavailable):
        await shop.promotions.roll_back(shop.ctx, "prediction", "worse")
    assert await shop.active() == 2


async def test_a_roll_back_restores_what_was_before_the_version_that_is_active_by_then(shop, database):
    """Somebody promotes version 3 while version 1 is being loaded: the roll-back then leads to version 2."""
    await install(shop.registry, database, shop.tenant.tenant_id, prediction_manifest(loss=2.0, seed=2))
    await shop.promotions.promote(shop.ctx, "prediction", 2, "")
    shop.client.gate = asyncio.Event()
    back = asyncio.create_task(shop.promotions.roll_back(shop.ctx, "prediction", ""))
    await asyncio.sleep(0.1)
    other = PromotionsService(database, shop.registry, ModelWarmup(FakeInferenceClient()))
    await other.promote(shop.ctx, "prediction", 3, "")
    shop.client.gate.set()
    assert (await back).version == 2
    assert (
        shop.client.loaded[-1] == ("prediction", SECOND.digest)
        or SECOND.digest in dict(shop.client.loaded).values()
    )
    assert await shop.active() == 2
