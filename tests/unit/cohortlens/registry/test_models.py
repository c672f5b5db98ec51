"""Which version replaces which, and which one a roll-back goes to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortlens.contracts.manifest import GateCriterion
from cohortlens.registry.models import is_better, previous_version
from tests.fakes.models import prediction_manifest, segmentation_manifest


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(0, 12))
def test_rolling_back_undoes_promotions_in_reverse_order(versions, times):
    history = [("PROMOTED", version) for version in versions]
    expected = versions[:-1]
    for _ in range(min(times, len(versions) - 1)):
        found = previous_version(history)
        assert found == expected.pop()
        history.append(("ROLLED_BACK", found))
    assert previous_version(history) == (expected[-1] if expected else None)


def test_a_tenant_without_promotions_has_nothing_to_go_back_to():
    assert previous_version([]) is None


@pytest.mark.parametrize(("new", "old", "better"), [(0.7, 0.8, True), (0.8, 0.8, True), (0.81, 0.8, False)])
def test_a_prediction_must_not_lose_to_the_champion(new, old, better):
    assert is_better(prediction_manifest(loss=new), prediction_manifest(loss=old)) is better


def test_one_lost_target_is_not_made_up_for_by_the_other():
    champion = prediction_manifest(loss=0.8)
    spend = GateCriterion("spend.deviance_vs_population_mean", 0.9, 1.0, passed=True)
    champion = replace(champion, gate=(*champion.gate, spend))
    candidate = replace(champion, gate=(replace(champion.gate[0], value=0.5), replace(spend, value=0.95)))
    assert not is_better(candidate, champion)


def test_a_candidate_that_lacks_what_the_champion_was_judged_by_does_not_replace_it():
    assert not is_better(replace(prediction_manifest(), gate=()), prediction_manifest())


@pytest.mark.parametrize(("eta2", "better"), [(0.6, True), (0.4951, True), (0.4949, False)])
def test_a_segmentation_may_explain_a_little_less(eta2, better):
    assert is_better(segmentation_manifest(eta2=eta2), segmentation_manifest(eta2=0.5)) is better


def test_the_mean_of_all_replaces_no_version_that_says_more():
    mean_of_all = replace(prediction_manifest(), basis="POPULATION_MEAN")
    assert not is_better(mean_of_all, replace(mean_of_all, basis="BTYD"))
    assert is_better(mean_of_all, mean_of_all)
    assert is_better(replace(mean_of_all, basis="BTYD"), mean_of_all)
