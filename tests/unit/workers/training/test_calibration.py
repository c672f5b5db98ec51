import numpy as np
import pytest

from cohortlens.contracts.manifest import Blend
from workers.runtime.blending import levelled
from workers.training.calibration import (
    MULTIPLIER_BOUNDS,
    Judged,
    median_knots,
    multiplier,
    probability_knots,
)
from workers.training.metrics import area_under_curve


def judged(ratios, horizon=30, rows=100):
    return [Judged(at, horizon, np.ones(rows), np.full(rows, ratio)) for at, ratio in enumerate(ratios)]


def test_folds_that_agree_move_the_level_and_folds_that_differ_do_not():
    assert multiplier(judged([1.3, 1.3, 1.3]), 30) == pytest.approx(1.3, abs=0.03)
    assert multiplier(judged([1.3, 0.77, 1.0]), 30) == pytest.approx(1.0, abs=0.02)


def test_folds_that_overlap_count_for_less():
    assert multiplier(judged([1.2, 1.2, 1.2], horizon=180), 30) < multiplier(judged([1.2, 1.2, 1.2]), 30)


@pytest.mark.parametrize("ratio", [1e-6, 1e6])
def test_the_level_stays_within_its_bounds(ratio):
    assert multiplier(judged([ratio] * 3), 30) in MULTIPLIER_BOUNDS


def test_without_purchases_the_level_stays_as_it_is():
    assert multiplier(judged([0.0, 0.0]), 30) == 1.0
    assert multiplier([], 30) == 1.0


def test_bent_probabilities_mean_what_they_say_and_keep_their_order():
    rng = np.random.default_rng(0)
    true = rng.beta(2, 2, 20_000)
    said = true**2
    came = (rng.random(20_000) < true).astype(float)
    blend = Blend({"one": 1.0}, {"one": 1.0}, knots=probability_knots([Judged(0, 30, said, came)]))
    bent = levelled(blend, said, probability=True)
    for tenth in np.array_split(np.argsort(said), 10):
        assert bent[tenth].mean() == pytest.approx(came[tenth].mean(), abs=0.05)
    assert area_under_curve(bent, came > 0) == pytest.approx(area_under_curve(said, came > 0), abs=1e-4)


def test_one_outcome_or_few_rows_bend_nothing():
    assert probability_knots([Judged(0, 30, np.full(500, 0.4), np.ones(500))]) == ()
    assert probability_knots([Judged(0, 30, np.full(50, 0.4), np.arange(50) % 2.0)]) == ()


def test_medians_have_the_smaller_absolute_error():
    rng = np.random.default_rng(0)
    mean = rng.gamma(1.0, 1.0, 4_000)
    came = rng.poisson(mean).astype(float)
    blend = Blend({"one": 1.0}, {"one": 1.0}, knots=median_knots([Judged(0, 30, mean, came)]))
    fresh = rng.gamma(1.0, 1.0, 4_000)
    later = rng.poisson(fresh).astype(float)
    assert np.abs(levelled(blend, fresh) - later).mean() < np.abs(fresh - later).mean()
    assert (levelled(blend, fresh) >= 0).all()
