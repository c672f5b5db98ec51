"""Wires the analytics slice."""

from __future__ import annotations

from dataclasses import dataclass

from cohortlens.analytics.after_erasure import TrainingAfterErasure
from cohortlens.analytics.backtests import Backtests
from cohortlens.analytics.batches.ports import BatchScorer
from cohortlens.analytics.batches.service import BatchesService
from cohortlens.analytics.batches.work import BatchWork
from cohortlens.analytics.cohorts.service import CohortsService, PopulationReader
from cohortlens.analytics.counterfactuals import CounterfactualsService
from cohortlens.analytics.drift.service import DriftService
from cohortlens.analytics.drift.watch import DriftWatch
from cohortlens.analytics.drift.work import DriftWork
from cohortlens.analytics.explanations import ExplanationsService
from cohortlens.analytics.ports import InferenceClient
from cohortlens.analytics.predictions import PredictionsService
from cohortlens.analytics.reads import AnalyticsReads
from cohortlens.analytics.retraining import Retraining
from cohortlens.analytics.segment_moves import SegmentMoves
from cohortlens.analytics.segmentation import SegmentationService
from cohortlens.analytics.shadow import ShadowTraffic
from cohortlens.analytics.shadow_promotion import ShadowPromotion
from cohortlens.analytics.survival.service import SurvivalService
from cohortlens.analytics.training import TrainingService
from cohortlens.analytics.training_work import TrainingWork
from cohortlens.analytics.version_retention import VersionRetention
from cohortlens.analytics.warmup import ModelWarmup
from cohortlens.billing.usage.service import Usage
from cohortlens.bootstrap.billing import Billing
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.core.db import Database
from cohortlens.core.settings import CoreConfig
from cohortlens.customers.frozen import FeatureFreezer
from cohortlens.customers.lookup import FeatureLookup
from cohortlens.customers.purchase_history import PurchaseHistories
from cohortlens.registry.service import RegistryService


@dataclass(frozen=True)
class Analytics:
    """Use cases of the analytics slice, one attribute per file."""

    predictions: PredictionsService
    explanations: ExplanationsService
    counterfactuals: CounterfactualsService
    segmentation: SegmentationService
    moves: SegmentMoves
    training: TrainingService
    retraining: Retraining
    after_erasure: TrainingAfterErasure
    backtests: Backtests
    reads: AnalyticsReads
    batches: BatchesService
    batch_work: BatchWork
    shadow: ShadowTraffic
    shadow_promotion: ShadowPromotion
    version_retention: VersionRetention
    cohorts: CohortsService
    survival: SurvivalService
    drift: DriftService
    drift_work: DriftWork
    drift_watch: DriftWatch


def open_analytics(
    db: Database,
    features: FeatureLookup,
    registry: RegistryService,
    inference: InferenceClient,
    scorer: BatchScorer,
    config: CoreConfig,
    shadow: ShadowTraffic,
    usage: Usage,
    billing: Billing,
) -> Analytics:
    """Wire the analytics slice; the arguments are what it stands on."""
    segmentation = SegmentationService(db, features, registry, inference)
    artifacts = LocalArtifactStore(config.artifacts)
    work = TrainingWork(
        db, features, registry, inference, segmentation, artifacts, limit_s=float(config.training_limit)
    )
    training = TrainingService(db, features, registry, work)
    predictions = PredictionsService(db, features, registry, inference, shadow)
    drift = DriftService(db, registry)
    populations = PopulationReader(db)
    return Analytics(
        predictions=predictions,
        explanations=ExplanationsService(features, registry, inference, predictions),
        counterfactuals=CounterfactualsService(features, PurchaseHistories(db), registry, inference),
        segmentation=segmentation,
        moves=SegmentMoves(db),
        training=training,
        retraining=Retraining(
            db,
            features,
            registry,
            training,
            billing.entitlements,
            billing.catalogue,
            every_s=float(config.retrain_every),
        ),
        after_erasure=TrainingAfterErasure(db, features, registry, training),
        backtests=Backtests(registry, artifacts),
        reads=AnalyticsReads(db),
        batches=BatchesService(db, registry, artifacts.root),
        batch_work=BatchWork(
            db, registry, FeatureFreezer(db, features), scorer, usage.charges, artifacts.root
        ),
        shadow=shadow,
        shadow_promotion=ShadowPromotion(
            db, registry, ModelWarmup(inference), shadow_s=float(config.shadow_period)
        ),
        version_retention=VersionRetention(db, artifacts),
        cohorts=CohortsService(populations),
        survival=SurvivalService(populations),
        drift=drift,
        drift_work=DriftWork(db, features, registry, inference, artifacts),
        drift_watch=DriftWatch(db, drift, billing.entitlements, every_s=float(config.drift_every)),
    )
