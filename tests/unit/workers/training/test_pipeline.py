import errno
import os

import numpy as np
import pytest

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.manifest import ModelManifest
from cohortlens.contracts.purchase_days import PurchaseDays, purchase_days
from cohortlens.core.disk import DiskFull
from tests.fixtures.shops import FIRST_DAY, day_text, shop, write_snapshot
from workers.runtime.bundle import Bundle
from workers.training.faults import TrainingFault
from workers.training.pipeline import train

AS_OF = FIRST_DAY + 299


def quiet(*_):
    """Takes progress and says nothing."""


@pytest.fixture
def store(tmp_path):
    return LocalArtifactStore(tmp_path / "blobs")


def run(model, days: PurchaseDays, store, *, as_of=AS_OF, seed=0, progress=quiet):
    path = write_snapshot(days, store.root.parent / "snapshot.parquet")
    return train(model, path, day_text(as_of), "EUR", seed, store, progress)


def repeat(customers, days):
    """Every customer buys on each of the days for 10."""
    who = np.repeat(np.arange(customers), len(days))
    return purchase_days(who, np.tile(days, customers), np.full(len(who), 10.0))


def test_the_manifest_tells_what_was_trained(store):
    told = []
    outcome = run("prediction", shop(150, 300), store, seed=5, progress=lambda *event: told.append(event))
    manifest = outcome.manifest
    assert ModelManifest.from_json(store.read_verified(outcome.artifact_digest)) == manifest
    assert outcome.artifact_digest == manifest.digest
    assert (manifest.as_of, manifest.currency, manifest.seed) == (day_text(AS_OF), "EUR", 5)
    assert manifest.horizons_days == (30, 60, 90)
    assert manifest.schema_hash == SCHEMA.hash
    for target in ("purchases", "spend"):
        assert manifest.calibration[target] == manifest.calibration[f"{target}:90"]
        assert manifest.calibration[f"{target}:30"].level_ratio == 0.8
    assert store.put_bytes((store.root.parent / "snapshot.parquet").read_bytes()) == manifest.data_sha256
    assert {"purchases.rmse", "spend.mae", "spend.coverage80", "purchases.rmse.own_rate"} <= set(
        manifest.metrics
    )
    assert manifest.metrics["parity"] <= 1e-5
    assert manifest.passed
    assert [ratio for _, ratio in told] == sorted(ratio for _, ratio in told)
    assert told[-1] == ("store", 1.0)


@pytest.mark.parametrize("model", ["prediction", "segmentation"])
def test_days_after_as_of_change_no_file(store, model):
    days = shop(150, 360)
    assert len(days.until(AS_OF)) < len(days)
    whole = run(model, days, store).manifest
    truncated = run(model, days.until(AS_OF), store).manifest
    assert whole.files == truncated.files
    assert whole.metrics == truncated.metrics
    assert whole.segments == truncated.segments


def test_the_same_seed_gives_the_same_version(store):
    days = shop(150, 300)
    assert (
        run("segmentation", days, store).artifact_digest == run("segmentation", days, store).artifact_digest
    )


def test_an_unknown_model_is_refused(store):
    with pytest.raises(TrainingFault) as caught:
        run("churn", shop(40, 100), store)
    assert caught.value.reason == "MODEL_UNKNOWN"


def test_a_full_disk_is_named(store, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull):
        run("segmentation", shop(150, 300), store)


one_customer = repeat(1, FIRST_DAY + np.arange(0, 300, 7))
nobody_returns = repeat(60, [FIRST_DAY])
nobody_returns_apart = purchase_days(range(60), FIRST_DAY + np.arange(60), np.arange(60) + 1.0)
all_free = PurchaseDays.from_columns(shop(60, 300).columns() | {"amount": np.zeros(len(shop(60, 300)))})
all_equal = repeat(60, FIRST_DAY + np.arange(0, 300, 10))
daily = repeat(40, FIRST_DAY + np.arange(300))
short_history = repeat(60, AS_OF - np.arange(0, 100, 9))


@pytest.mark.parametrize(
    ("days", "prediction", "segmentation"),
    [
        pytest.param(one_customer, "", "TOO_FEW_CUSTOMERS", id="one customer"),
        pytest.param(nobody_returns, "", "NOTHING_TO_LEARN", id="everybody buys once on one day"),
        pytest.param(nobody_returns_apart, "", "", id="everybody buys once"),
        pytest.param(all_free, "", "", id="all free"),
        pytest.param(all_equal, "", "NOTHING_TO_LEARN", id="all equal"),
        pytest.param(daily, "", "NOTHING_TO_LEARN", id="everybody buys daily"),
        pytest.param(short_history, "", "NOTHING_TO_LEARN", id="short history"),
    ],
)
def test_hostile_data_ends_in_a_named_fault_or_a_finite_model(store, days, prediction, segmentation):
    for model, reason in (("prediction", prediction), ("segmentation", segmentation)):
        if reason:
            with pytest.raises(TrainingFault) as caught:
                run(model, days, store)
            assert caught.value.reason == reason
        else:
            check_finite(run(model, days, store), days, store)


def test_one_giant_order_leaves_a_finite_model(store):
    days = shop(80, 300)
    days.amount[len(days) // 2] = 1e13
    for model in ("prediction", "segmentation"):
        check_finite(run(model, days, store), days, store)


def test_a_gap_of_thirty_years_leaves_a_finite_model(store):
    recent, old = shop(80, 300), repeat(40, [FIRST_DAY - 10_950])
    columns = {
        name: np.concatenate([old.columns()[name] + (80 if name == "customer" else 0), column])
        for name, column in recent.columns().items()
    }
    days = PurchaseDays.from_columns(columns)
    for model in ("prediction", "segmentation"):
        check_finite(run(model, days, store), days, store)


def check_finite(outcome, days, store):
    bundle = Bundle.load(store, outcome.artifact_digest)
    features = featurize(days, AS_OF, int(days.customer.max()) + 1)
    features = features[~np.isnan(features[:, 0])]
    if bundle.manifest.horizons_days:
        features[:, SCHEMA.index("horizon")] = bundle.manifest.horizons_days[0]
    for target in bundle.manifest.targets or ("",):
        for name, values in bundle.score(target, features).items():
            assert np.isfinite(values).all(), (target, name)
            assert (values >= 0).all(), (target, name)
