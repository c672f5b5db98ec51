"""A tenant with a shop, models and a fake of the workers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.fakes.inference import FakeInferenceClient


@pytest.fixture
def client():
    return FakeInferenceClient()


@pytest.fixture
async def world(database, tenants, client, tmp_path):
    """Two tenants, the first with 40 customers and active versions of both models."""
    from cohortlens.analytics.batches.service import BatchesService
    from cohortlens.analytics.counterfactuals import CounterfactualsService
    from cohortlens.analytics.explanations import ExplanationsService
    from cohortlens.analytics.predictions import PredictionsService
    from cohortlens.analytics.reads import AnalyticsReads
    from cohortlens.analytics.segmentation import SegmentationService
    from cohortlens.analytics.shadow import ShadowLimits, ShadowTraffic
    from cohortlens.analytics.training import TrainingService
    from cohortlens.analytics.training_work import TrainingWork
    from cohortlens.analytics.warmup import ModelWarmup
    from cohortlens.contracts.artifacts import LocalArtifactStore
    from cohortlens.customers.purchase_history import PurchaseHistories
    from cohortlens.registry.challengers import ChallengersService
    from cohortlens.registry.promotions import PromotionsService
    from cohortlens.registry.service import RegistryService
    from tests.fakes.models import install, open_shop, prediction_manifest, segmentation_manifest

    north, south = tenants
    features = await open_shop(database, north, tmp_path / "spool")
    registry = RegistryService(database)
    for manifest in (prediction_manifest(), segmentation_manifest()):
        await install(registry, database, north.tenant_id, manifest)
    segmentation = SegmentationService(database, features, registry, client, chunk_rows=16)
    artifacts = LocalArtifactStore(tmp_path / "artifacts")
    # The shadow's own client, and no pauses: tests count what it does and do not wait for it.
    shadow_client = FakeInferenceClient()
    shadow = ShadowTraffic(
        database, shadow_client, ShadowLimits(duty_ratio=1.0, store_every_s=0.01, pause_after_fault_s=0.01)
    )
    yield SimpleNamespace(
        db=database,
        north=north,
        south=south,
        client=client,
        shadow_client=shadow_client,
        features=features,
        registry=registry,
        promotions=PromotionsService(database, registry, ModelWarmup(client)),
        challengers=ChallengersService(database, registry, ModelWarmup(client)),
        shadow=shadow,
        batches=BatchesService(database, registry, artifacts.root),
        segmentation=segmentation,
        artifacts=artifacts,
        predictions=PredictionsService(database, features, registry, client, shadow),
        explanations=ExplanationsService(
            features, registry, client, PredictionsService(database, features, registry, client)
        ),
        counterfactuals=CounterfactualsService(features, PurchaseHistories(database), registry, client),
        reads=AnalyticsReads(database),
        training=TrainingService(
            database,
            features,
            registry,
            TrainingWork(database, features, registry, client, segmentation, artifacts),
        ),
    )
    await shadow.close()


@pytest.fixture
def batches(world):
    """The world with batches: slices of 16 rows, so 40 customers make three."""
    from cohortlens.analytics.batches.service import BatchesService
    from cohortlens.analytics.batches.work import BatchWork
    from cohortlens.billing.usage.charges import WorkCharges
    from cohortlens.customers.frozen import FeatureFreezer
    from tests.fakes.batches import FakeBatchScorer

    world.scorer = FakeBatchScorer(world.artifacts.root)
    world.batches = BatchesService(world.db, world.registry, world.artifacts.root, slice_rows=16)
    world.work = BatchWork(
        world.db,
        world.registry,
        FeatureFreezer(world.db, world.features),
        world.scorer,
        WorkCharges(world.db, "jobs"),
        world.artifacts.root,
        slice_rows=16,
        patience_s=0.0,
    )
    return world
