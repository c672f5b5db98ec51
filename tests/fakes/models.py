"""Model versions and a small shop for tests: manifests, registered versions, an imported CSV."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from cohortlens.analytics.training_runs import Cause, NewRun, TrainingRunsRepository
from cohortlens.contracts.asks import calibration_key
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.manifest import (
    Blend,
    GateCriterion,
    IntervalCalibration,
    ModelManifest,
    SegmentProfile,
)
from cohortlens.core.clock import now
from cohortlens.core.ids import TrainingRunId, uuid7
from cohortlens.core.paging import PageTokens
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.lookup import FeatureLookup
from cohortlens.customers.models import ImportOptions, ImportState
from cohortlens.customers.service import CustomersService
from cohortlens.registry.models import Outcome

HORIZONS = (30, 90)
_CALIBRATION = IntervalCalibration(0.8, (), (1.0,), (1.0,), 1.0)


def prediction_manifest(*, loss=0.8, passed=True, seed=0, schema_hash=SCHEMA.hash) -> ModelManifest:
    """A prediction version; ``loss`` is what promotion compares."""
    return ModelManifest(
        model="prediction",
        schema_hash=schema_hash,
        data_sha256="d" * 64,
        as_of="2024-06-30",
        currency="USD",
        seed=seed,
        code_version="test",
        targets=("purchases", "spend"),
        horizons_days=HORIZONS,
        metrics={"purchases.rmse": 1.25},
        gate=(GateCriterion("purchases.deviance_vs_population_mean", loss, 1.0, passed),),
        calibration={"purchases": _CALIBRATION, "spend": _CALIBRATION},
    )


def blended_manifest(*, wide=True) -> ModelManifest:
    """A version with blends of every target; ``wide`` lets a net take part in purchases and spend."""
    net = Blend({"gru": 0.5, "bgnbd": 0.5}, {"bgnbd": 1.0})
    plain = Blend({"bgnbd": 1.0}, {"bgnbd": 1.0})
    blend = net if wide else plain
    calibration = {
        calibration_key(target, days, level): replace(_CALIBRATION, level_ratio=level)
        for target in ("purchases", "spend")
        for days in HORIZONS
        for level in (0.5, 0.8, 0.95)
    }
    return replace(
        prediction_manifest(),
        targets=("purchases", "spend", "churn"),
        calibration=calibration,
        basis="BLEND",
        blends={"purchases": blend, "spend": blend, "spend:mae": blend, "churn": plain},
        horizon_most_days=540,
    )


def segmentation_manifest(*, eta2=0.5, seed=0) -> ModelManifest:
    """A segmentation version of two segments."""
    return ModelManifest(
        model="segmentation",
        schema_hash=SCHEMA.hash,
        data_sha256="d" * 64,
        as_of="2024-06-30",
        currency="USD",
        seed=seed,
        code_version="test",
        metrics={"eta2": eta2},
        gate=(GateCriterion("parity", 0.0, 1e-5, passed=True),),
        segments=(
            SegmentProfile("s1", "New", "Buys once.", "Compra una vez.", 20, 0.5, {}),
            SegmentProfile("s2", "Loyal", "Buys often.", "Compra a menudo.", 20, 0.5, {}),
        ),
    )


def with_criterion(manifest, name: str, value: float, threshold: float = 1.0) -> ModelManifest:
    """The manifest with one more criterion in its gate."""
    found = GateCriterion(name, value, threshold, passed=value <= threshold)
    return replace(manifest, gate=(*manifest.gate, found))


async def install(registry, db, tenant_id, manifest, champion=None) -> tuple[int, bool]:
    """Register a version as a training would; returns it and whether it was promoted."""
    run_id = uuid7()
    async with db.tenant_transaction(tenant_id) as tx:
        runs = TrainingRunsRepository(tx)
        run = NewRun(TrainingRunId(run_id), manifest.model, Cause.REQUESTED, 0, None, None, now())
        assert await runs.insert(run)
        made = await registry.register(tx, manifest, manifest.digest, run_id, champion)
        await runs.succeed(run_id, made.version, made.outcome, now())
    registry.forget(tenant_id)
    return made.version, made.outcome is Outcome.PROMOTED


def shop_csv(customers: int, prefix: str = "c") -> bytes:
    """Customer i buys on i % 5 + 1 days, for i.25 each."""
    lines = [
        f"{prefix}{index},2024-0{day + 1}-10,{index}.25,USD"
        for index in range(customers)
        for day in range(index % 5 + 1)
    ]
    return "\n".join(["customer_id,date,amount,currency", *lines]).encode()


async def open_shop(db, tenant, folder: Path, customers: int = 40, prefix: str = "c") -> FeatureLookup:
    """Import a small shop for a tenant; returns what analytics reads it through."""
    service = CustomersService(
        db, folder, PageTokens(hashlib.sha256(b"test").digest()), TenantKeys(hashlib.sha256(b"test").digest())
    )

    async def chunks():
        yield shop_csv(customers, prefix)

    stored = await service.start_import(tenant.context(), ImportOptions(), chunks())
    await service.run_import(tenant.tenant_id, stored.import_id)
    ended = await service.get_import(tenant.context(), stored.import_id)
    assert ended.state is ImportState.SUCCEEDED, ended
    return FeatureLookup(db, service)
