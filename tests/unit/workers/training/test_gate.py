"""Who predicts worse than the active version on the same folds does not take its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.manifest import Blend, ModelManifest
from workers.training.gate import (
    Champion,
    JudgedFold,
    against_champion,
    judge,
    segments_against_champion,
)

DAY = 20_000
ACTUAL = np.array([0.0, 1.0, 2.0, 5.0])
ROWS = np.zeros((4, 37), np.float32)
MANIFEST = ModelManifest(
    model="prediction",
    schema_hash="a" * 64,
    data_sha256="b" * 64,
    as_of="2024-10-04",
    currency="USD",
    seed=0,
    code_version="test",
    targets=("purchases",),
    horizons_days=(90,),
)


def champion(error, *, blends=None, targets=("purchases",)):
    """A version that is off by ``error`` everywhere; its data ends on 2024-10-04, which is day 20,000."""
    manifest = replace(MANIFEST, targets=targets, blends=blends or {})
    return Champion(manifest, lambda target, rows: ACTUAL + error)


def fold(cut, error, *, members=None, scale=2.0):
    """A fold that the new version predicts with an error everywhere."""
    return JudgedFold(
        cut=cut,
        rows=ROWS,
        actual={"purchases": ACTUAL},
        predicted={"purchases": ACTUAL + error},
        members={"purchases": members or {}},
        scale={"purchases": scale},
    )


def named(verdict):
    return {one.name: one for one in verdict.criteria}


def test_the_day_of_the_champion_is_the_end_of_its_data():
    assert champion(0.0).as_of == DAY


@pytest.mark.parametrize(("error", "passed"), [(0.9, True), (1.0, True), (1.001, False), (3.0, False)])
def test_a_fold_that_neither_knew_decides_by_the_loss_of_both(error, passed):
    found = named(judge(champion(1.0), DAY + 90, [fold(DAY, error)], ("purchases",)))
    criterion = found["loss_vs_champion"]
    assert (criterion.value, criterion.threshold) == (pytest.approx(error), 1.0)
    assert criterion.passed is passed


def test_folds_that_the_champion_knew_are_left_out_as_soon_as_one_is_new_to_it():
    folds = [fold(DAY + 30, 0.5), fold(DAY, 0.5), fold(DAY - 1, 9.0)]
    verdict = judge(champion(1.0), DAY + 120, folds, ("purchases",))
    assert named(verdict)["purchases.loss_vs_champion"].value == pytest.approx(0.5)
    assert sorted(verdict.predicted) == [(0, "purchases"), (1, "purchases")]


def test_errors_count_by_the_size_of_their_fold_and_not_by_its_unit():
    # Twice the error where everything is ten times as large, half of it where it is small.
    folds = [fold(DAY, 2.0, scale=10.0), fold(DAY + 30, 0.5, scale=1.0)]
    ratio = named(judge(champion(1.0), DAY + 120, folds, ("purchases",)))["purchases.loss_vs_champion"].value
    assert ratio == pytest.approx((0.2 + 0.5) / (0.1 + 1.0))


def test_where_the_champion_knew_every_fold_its_recipe_is_judged_on_the_members_of_the_fold():
    weights = {"bgnbd": 0.5, "boosting": 0.5}
    members = {"bgnbd": ACTUAL + 1.0, "boosting": ACTUAL + 3.0}
    champion_ = champion(0.0, blends={"purchases": Blend(weights, weights)})
    better = judge(champion_, DAY, [fold(DAY - 90, 1.0, members=members)], ("purchases",))
    # Its own answer would be without an error, for it has seen them; its recipe is off by 2.
    criterion = named(better)["purchases.loss_vs_champion"]
    assert (criterion.value, criterion.passed) == (pytest.approx(0.5), True)
    assert better.predicted == {}
    same = judge(champion_, DAY, [fold(DAY - 90, 2.01, members=members)], ("purchases",))
    assert named(same)["loss_vs_champion"].passed
    worse = judge(champion_, DAY, [fold(DAY - 90, 2.03, members=members)], ("purchases",))
    assert not named(worse)["loss_vs_champion"].passed


def test_a_recipe_with_a_net_is_judged_without_it_when_the_folds_have_none():
    blend = Blend({"bgnbd": 0.4, "gru": 0.6}, {"bgnbd": 1.0})
    found = judge(
        champion(0.0, blends={"purchases": blend}),
        DAY,
        [fold(DAY - 90, 1.0, members={"bgnbd": ACTUAL + 2.0})],
        ("purchases",),
    )
    assert named(found)["purchases.loss_vs_champion"].value == pytest.approx(0.5)


def test_what_cannot_be_compared_is_said_and_decides_nothing():
    found = judge(champion(1.0), DAY, [fold(DAY - 90, 1.0)], ("purchases", "churn"))
    assert list(named(found)) == ["data_days_behind_vs_champion"]
    assert len(found.notes) == 2


@pytest.mark.parametrize(("as_of", "passed"), [(DAY, True), (DAY + 1, True), (DAY - 1, False)])
def test_a_version_of_older_data_than_the_champion_is_refused(as_of, passed):
    found = named(judge(champion(1.0), as_of, [], ("purchases",)))
    assert found["data_days_behind_vs_champion"].passed is passed


def test_a_champion_without_any_error_is_only_matched_by_another_without(tmp_path):
    worse = named(judge(champion(0.0), DAY + 90, [fold(DAY, 0.1)], ("purchases",)))
    equal = named(judge(champion(0.0), DAY + 90, [fold(DAY, 0.0)], ("purchases",)))
    assert not worse["purchases.loss_vs_champion"].passed
    assert np.isfinite(worse["purchases.loss_vs_champion"].value)
    assert equal["purchases.loss_vs_champion"].passed


def test_a_champion_whose_files_are_gone_is_told_and_not_compared(tmp_path):
    store = LocalArtifactStore(tmp_path)
    found = against_champion(store, "c" * 64, DAY, [fold(DAY, 1.0)], ("purchases",))
    assert found.criteria == ()
    assert "ARTIFACT_MISSING" in found.notes[0]
    assert against_champion(store, "", DAY, [], ()).notes == ()


@pytest.mark.parametrize(("eta2", "passed"), [(0.30, True), (0.296, True), (0.294, False)])
def test_segments_must_explain_as_much_of_later_spend_as_the_active_ones(tmp_path, eta2, passed):
    store = LocalArtifactStore(tmp_path)
    digest = store.put_bytes(
        replace(MANIFEST, model="segmentation", metrics={"eta2": 0.3}).to_json().encode()
    )
    (found,) = segments_against_champion(store, digest, eta2)
    assert (found.name, found.passed) == ("eta2_vs_champion", passed)
    assert segments_against_champion(store, "", eta2) == ()
    assert segments_against_champion(store, "d" * 64, eta2) == ()


@pytest.mark.parametrize(
    ("purchases", "churn", "passed"), [(0.6, 1.04, True), (0.6, 1.06, False), (0.99, 1.02, False)]
)
def test_better_on_the_whole_may_be_a_little_worse_at_one_target_and_never_clearly(purchases, churn, passed):
    one = fold(DAY, purchases)
    both = replace(
        one,
        actual={**one.actual, "churn": ACTUAL},
        predicted={**one.predicted, "churn": ACTUAL + churn},
        scale={**one.scale, "churn": 1.0},
    )
    found = judge(champion(1.0, targets=("purchases", "churn")), DAY + 90, [both], ("purchases", "churn"))
    assert all(criterion.passed for criterion in found.criteria) is passed
