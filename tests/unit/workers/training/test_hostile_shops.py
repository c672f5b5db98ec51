"""Shops and vectors that no model is made for: a named fault, or an answer that is finite and in order."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.asks import CHURN, CLV, PURCHASES, SPEND
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.purchase_days import purchase_days
from tests.fixtures import hostile_shops
from tests.fixtures.blended_version import blended_version
from tests.fixtures.shops import FIRST_DAY, day_text, shop, write_snapshot
from workers.runtime.bundle import Bundle
from workers.training.datasets import Snapshot
from workers.training.faults import TrainingFault
from workers.training.pipeline import train


def days_of(name):
    lines = hostile_shops.shop(name)
    numbers = {customer: number for number, customer in enumerate(sorted({line.customer for line in lines}))}
    return purchase_days(
        [numbers[line.customer] for line in lines],
        [(line.on - date(1970, 1, 1)).days for line in lines],
        [float(line.amount) for line in lines],
    )


@pytest.mark.parametrize(
    ("name", "prediction", "segmentation"),
    [
        ("one order", "", "TOO_FEW_CUSTOMERS"),
        ("negative only", "TOO_FEW_CUSTOMERS", "TOO_FEW_CUSTOMERS"),
        ("same day each", "", "NOTHING_TO_LEARN"),
        ("once each", "", ""),
        ("decades apart", "", ""),
    ],
)
def test_a_hostile_shop_ends_in_a_named_fault_or_in_finite_answers(tmp_path, name, prediction, segmentation):
    days, store = days_of(name), LocalArtifactStore(tmp_path / "blobs")
    as_of = int(days.day.max())
    for model, reason in (("prediction", prediction), ("segmentation", segmentation)):
        path = write_snapshot(days, tmp_path / "snapshot.parquet")
        if reason:
            with pytest.raises(TrainingFault) as caught:
                train(model, path, day_text(as_of), "EUR", 0, store, lambda *_: None)
            assert caught.value.reason == reason
            continue
        made = train(model, path, day_text(as_of), "EUR", 0, store, lambda *_: None)
        bundle = Bundle.load(store, made.artifact_digest)
        features = featurize(days, as_of, int(days.customer.max()) + 1)
        features = features[~np.isnan(features[:, 0])]
        if model == "segmentation":
            assigned = bundle.score("", features)
            assert np.isfinite(assigned["distance"]).all()
            assert set(assigned["segment"].tolist()) <= set(range(len(made.manifest.segments)))
            continue
        # A first version serves, whatever it has to rest on.
        assert made.manifest.passed, made.manifest.gate
        features[:, SCHEMA.index("horizon")] = made.manifest.horizons_days[0]
        for target in (PURCHASES, SPEND, CHURN, CLV):
            assert_in_order(bundle.score(target, features))
        churn = bundle.score(CHURN, features)["value"]
        assert (churn > 0).all()
        assert (churn < 1).all()


def test_a_shop_of_one_order_is_told_little_and_in_a_wide_interval(tmp_path):
    bundle, features = version_of(days_of("one order"), tmp_path)
    assert (bundle.manifest.basis, bundle.manifest.horizons_days) == ("POPULATION_MEAN", (30,))
    assert bundle.manifest.gate
    bought = bundle.score(PURCHASES, features)
    assert 0 < bought["value"][0] < 1
    assert (bought["lower"][0], bought["upper"][0]) == (0.0, pytest.approx(1.0))
    assert bundle.score(SPEND, features)["upper"][0] == pytest.approx(25.0)


def test_one_mistyped_order_leaves_everybody_else_s_predictions_where_they_were(tmp_path):
    days = shop(120, 300)
    typed = replace(days, amount=days.amount.copy())
    at = len(days) // 2
    typed.amount[at] = 1e10
    honest, features = version_of(days, tmp_path / "honest")
    mistyped, odd = version_of(typed, tmp_path / "mistyped")
    assert (honest.manifest.basis, mistyped.manifest.basis) == ("BTYD", "BTYD")
    assert any("read as at most" in note for note in mistyped.manifest.notes)
    others = np.arange(len(features)) != days.customer[at]
    assert np.array_equal(features[others], odd[others], equal_nan=True)
    before, after = (
        one.score(SPEND, rows)["value"][others] for one, rows in ((honest, features), (mistyped, odd))
    )
    assert after.sum() == pytest.approx(before.sum(), rel=0.5)
    for target in (PURCHASES, CHURN):
        assert (mistyped.score(target, features)["value"] == honest.score(target, features)["value"]).all()


def test_what_fails_its_gate_is_made_again_from_less_and_says_why(tmp_path):
    bundle, features = version_of(days_of("all equal"), tmp_path)
    assert bundle.manifest.basis == "POPULATION_MEAN"
    assert any(
        note.startswith("BTYD failed its gate: purchases.rmse_vs_naive") for note in bundle.manifest.notes
    )
    assert len(np.unique(bundle.score(PURCHASES, features)["value"])) == 1


def version_of(days, folder):
    """A version trained on purchase-days, and the customers of its last day at its first horizon."""
    folder.mkdir(exist_ok=True)
    as_of, store = int(days.day.max()), LocalArtifactStore(folder / "blobs")
    path = write_snapshot(days, folder / "snapshot.parquet")
    made = train("prediction", path, day_text(as_of), "EUR", 0, store, lambda *_: None)
    assert made.manifest.passed
    features = featurize(days, as_of, int(days.customer.max()) + 1)
    features = features[~np.isnan(features[:, 0])]
    features[:, SCHEMA.index("horizon")] = made.manifest.horizons_days[0]
    return Bundle.load(store, made.artifact_digest), features


def test_every_corner_of_the_feature_schema_has_an_answer():
    """Vectors at the ends of each column's range, as a caller may send them, at every kind of horizon."""
    days = shop(100, 200)
    manifest, files, _, _ = blended_version(Snapshot(days, 100, FIRST_DAY, FIRST_DAY + 199))
    bundle, rng = Bundle(manifest, files), np.random.default_rng(0)
    low = np.array([column.minimum for column in SCHEMA.columns])
    high = np.array([column.maximum for column in SCHEMA.columns])
    rows = low + rng.choice([0.0, 1e-9, 1e-3, 0.5, 1.0], size=(1000, len(low))) * (high - low)
    for index, column in enumerate(SCHEMA.columns):
        if column.nullable:
            rows[rng.random(len(rows)) < 0.3, index] = np.nan
    rows[:, SCHEMA.index("horizon")] = rng.choice([1, 7, 30, 91, 365, 730], len(rows))
    features = rows.astype(np.float32)
    SCHEMA.check(features)
    for ask in (PURCHASES, SPEND, CHURN, "clv;discount=1.0", "clv;discount=0.0"):
        many = bundle.score(ask, features)
        assert_in_order(many)
        # One row alone takes another path through the same numbers.
        for row in range(0, 1000, 90):
            alone = bundle.score(ask, features[row : row + 1])
            assert alone["value"][0] == pytest.approx(many["value"][row], rel=1e-9, abs=1e-12)
    churn = bundle.score(CHURN, features)
    assert (churn["upper"] <= 1.0).all()


def assert_in_order(columns):
    for values in columns.values():
        assert np.isfinite(values).all()
    assert (columns["lower"] >= 0.0).all()
    assert (columns["lower"] <= columns["value"]).all()
    assert (columns["value"] <= columns["upper"]).all()
