from dataclasses import replace

import numpy as np
import pytest

from cohortlens.contracts.features import SCHEMA
from tests.fixtures.shops import FIRST_DAY, shop
from workers.runtime.sessions import Session
from workers.runtime.shap_explainer import ShapExplainer
from workers.training import boosting, export
from workers.training.datasets import Rows, Snapshot, training_rows
from workers.training.faults import TrainingFault
from workers.training.lineup import MemberDropped

AS_OF = FIRST_DAY + 419
X, HORIZON = SCHEMA.index("x"), SCHEMA.index("horizon")


@pytest.fixture(scope="module")
def rows() -> Rows:
    days = shop(120)
    snapshot = Snapshot(days, 120, int(days.day.min()), AS_OF)
    return training_rows(snapshot, (30, 90), AS_OF, np.random.default_rng(0))


@pytest.fixture(scope="module")
def fitted(rows):
    return boosting.fit_count(rows.features, rows.targets["spend"], 0)


@pytest.fixture(scope="module")
def trees(fitted):
    return boosting.tree_arrays(fitted)


@pytest.fixture(scope="module")
def probes(trees, rows):
    return export.parity_rows(trees, rows.features, np.random.default_rng(0))


def test_the_graph_equals_the_estimator_on_every_probe(trees, fitted, probes):
    worst = export.check_parity(export.trees_graph(trees), fitted.predict, probes)
    assert 0 < worst <= 2e-6


def test_probes_stand_on_thresholds_and_hold_missing_values(trees, rows, probes):
    on_threshold = 0
    for feature, threshold in zip(trees.feature, trees.threshold.astype(np.float32), strict=True):
        if feature >= 0 and np.isfinite(threshold):
            on_threshold += (probes[len(rows) :, feature] == threshold).any()
    assert on_threshold > 500
    assert np.isnan(probes[len(rows) :]).any(axis=0).all()


def test_a_graph_without_the_link_is_rejected(trees, fitted, probes):
    with pytest.raises(TrainingFault) as caught:
        export.check_parity(export.trees_graph(trees, link="none"), fitted.predict, probes)
    assert caught.value.reason == "PARITY_FAILED"


def test_one_changed_leaf_is_rejected(trees, fitted, probes):
    leaf = np.flatnonzero(trees.left < 0)[np.argmax(trees.weight[trees.left < 0])]
    value = trees.value.copy()
    value[leaf] += 1e-4
    with pytest.raises(TrainingFault):
        export.check_parity(export.trees_graph(replace(trees, value=value)), fitted.predict, probes)


def test_one_threshold_rounded_up_is_rejected(trees, fitted, probes):
    inner = np.flatnonzero((trees.left >= 0) & np.isfinite(trees.threshold) & (trees.threshold > 0))
    threshold = trees.threshold.copy()
    threshold[inner] = np.nextafter(threshold[inner].astype(np.float32), np.float32(np.inf))
    with pytest.raises(TrainingFault):
        export.check_parity(export.trees_graph(replace(trees, threshold=threshold)), fitted.predict, probes)


def test_missing_values_sent_to_the_other_side_are_rejected(trees, fitted, probes):
    other = np.where(trees.default == trees.left, trees.right, trees.left)
    with pytest.raises(TrainingFault):
        export.check_parity(export.trees_graph(replace(trees, default=other)), fitted.predict, probes)


def test_contributions_add_up_to_the_log_of_the_value(trees, probes):
    some = probes[np.random.default_rng(1).integers(len(probes), size=300)]
    explainer = ShapExplainer(trees)
    total = explainer.base_value + explainer.contributions(some).sum(axis=1)
    logs = np.log(Session(export.trees_graph(trees)).run(some)["value"])
    np.testing.assert_allclose(total, logs, rtol=0, atol=1e-6)


def test_contributions_equal_those_of_the_estimator_itself(trees, fitted, rows):
    import shap

    some = rows.features[:50].astype(np.float64)
    expected = shap.TreeExplainer(fitted.estimator).shap_values(some, check_additivity=False)
    found = ShapExplainer(trees).contributions(rows.features[:50])
    # leaves are float32 here and float64 there
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_feature_that_no_tree_uses_contributes_nothing(trees, rows):
    unused = set(range(len(SCHEMA.columns))) - set(trees.feature.tolist())
    assert SCHEMA.index("skus_distinct") in unused
    assert not ShapExplainer(trees).contributions(rows.features[:20])[:, sorted(unused)].any()


def test_a_longer_horizon_never_predicts_less(fitted, rows):
    short, long = rows.features[:200].copy(), rows.features[:200].copy()
    short[:, HORIZON], long[:, HORIZON] = 30, 90
    assert (fitted.predict(long) >= fitted.predict(short)).all()
    assert fitted.predict(long).sum() > 1.5 * fitted.predict(short).sum()


def test_scaling_money_scales_spend(rows, fitted):
    money = np.array([column.unit == "money" for column in SCHEMA.columns])
    features = rows.features.copy()
    features[:, money] *= 64
    dear = boosting.fit_count(features, rows.targets["spend"] * 64, 0)
    np.testing.assert_allclose(dear.predict(features), 64 * fitted.predict(rows.features), rtol=1e-9)


def test_nothing_bought_is_nothing_to_learn(rows):
    with pytest.raises(MemberDropped) as caught:
        boosting.fit_count(rows.features, np.zeros(len(rows)), 0)
    assert caught.value.reason == "NOTHING_TO_LEARN"


def test_a_segmentation_graph_assigns_as_numpy_does():
    rng = np.random.default_rng(0)
    features = rng.gamma(1, 50, (500, len(SCHEMA.columns))).astype(np.float32)
    columns, mean, sd = [3, 0, 9], np.array([3.0, 2.0, 4.0]), np.array([1.0, 0.5, 2.0])
    centroids = rng.normal(size=(5, 3))
    found = Session(export.segmentation_graph(columns, mean, sd, centroids)).run(features)
    z = (np.log1p(features[:, columns].astype(np.float64)) - mean) / sd
    distances = np.linalg.norm(z[:, None] - centroids, axis=2)
    assert found["segment"].tolist() == distances.argmin(axis=1).tolist()
    np.testing.assert_allclose(found["distance"], distances.min(axis=1), rtol=1e-12)
