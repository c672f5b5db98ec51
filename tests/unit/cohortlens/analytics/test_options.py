from dataclasses import replace

import pytest

from cohortlens.analytics.options import (
    Basis,
    Loss,
    OptionUnsupported,
    PredictionOptions,
    TaskUnsupported,
    ask_for,
    basis_of,
)
from tests.fakes.models import blended_manifest, prediction_manifest

MANIFEST = blended_manifest()


def test_options_become_the_ask_of_a_version():
    ask = ask_for(MANIFEST, "clv", PredictionOptions(0.95, Loss.MAE, 0.05))
    assert ask.text() == "clv;discount=0.05;level=0.95;loss=mae"
    assert ask_for(MANIFEST, "churn").text() == "churn"


def test_a_discount_of_minus_nothing_is_none():
    assert (
        ask_for(MANIFEST, "clv", PredictionOptions(annual_discount_ratio=-0.0)).text() == "clv;discount=0.0"
    )


@pytest.mark.parametrize("target", ["churn", "clv"])
def test_a_version_from_before_blends_says_what_it_predicts_instead(target):
    with pytest.raises(TaskUnsupported, match=f"predicts purchases, spend, not {target}; start a training"):
        ask_for(prediction_manifest(), target)


def test_a_version_from_before_blends_has_the_level_it_was_measured_at():
    assert ask_for(prediction_manifest(), "spend").text() == "spend"
    with pytest.raises(OptionUnsupported, match=r"level_ratio must be one of 0\.8$"):
        ask_for(prediction_manifest(), "spend", PredictionOptions(0.9))
    with pytest.raises(OptionUnsupported, match="loss must be PREDICTION_LOSS_RMSE"):
        ask_for(prediction_manifest(), "spend", PredictionOptions(loss=Loss.MAE))


def test_a_level_without_a_measured_interval_is_refused_with_those_that_have_one():
    with pytest.raises(OptionUnsupported, match=r"level_ratio must be one of 0\.5, 0\.8, 0\.95") as refused:
        ask_for(MANIFEST, "spend", PredictionOptions(0.9))
    assert [one.field for one in refused.value.violations] == ["level_ratio"]


def test_medians_are_refused_where_there_is_no_blend_of_them():
    with pytest.raises(OptionUnsupported, match="for churn with this model version"):
        ask_for(MANIFEST, "churn", PredictionOptions(loss=Loss.MAE))


def test_what_a_value_rests_on_follows_from_version_and_row():
    spend, churn = ask_for(MANIFEST, "spend"), ask_for(MANIFEST, "churn")
    assert basis_of(MANIFEST, spend, with_sequence=True) is Basis.BLEND
    assert basis_of(MANIFEST, spend, with_sequence=False) is Basis.BLEND_NO_SEQUENCE
    # The blend of churn gives the net no weight: nothing is missing from it.
    assert basis_of(MANIFEST, churn, with_sequence=False) is Basis.BLEND
    alone = replace(MANIFEST, basis="BTYD")
    assert basis_of(alone, spend, with_sequence=False) is Basis.BTYD
    assert basis_of(prediction_manifest(), spend, with_sequence=False) is Basis.BOOSTING
