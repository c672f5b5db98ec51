import math

import numpy as np
import pytest
from sklearn.metrics import mean_poisson_deviance

from workers.training.metrics import measure, normalised_gini, poisson_deviance, spearman


def test_a_perfect_prediction_measures_as_perfect():
    actual = np.array([3.0, 1.0, 2.0, 5.0])
    found = measure(actual, actual)
    assert (found["rmse"], found["mae"], found["bias"], found["deviance"]) == (0, 0, 0, 0)
    assert found["gini"] == found["spearman"] == pytest.approx(1.0)


def test_a_hand_made_case():
    found = measure(np.array([1.0, 2.0, 3.0, 2.0]), np.array([0.0, 0.0, 4.0, 4.0]))
    assert found["rmse"] == pytest.approx(math.sqrt((1 + 4 + 1 + 4) / 4))
    assert found["mae"] == 1.5
    assert found["bias"] == 0.0
    # shares by descending prediction (stable): .5, .5, 1, 1; perfect: .5, 1, 1, 1
    assert found["gini"] == pytest.approx((3.0 - 2.5) / (3.5 - 2.5))


def test_the_reverse_order_has_the_opposite_gini():
    actual = np.array([4.0, 3.0, 2.0, 1.0])
    assert normalised_gini(-actual, actual) == pytest.approx(-1.0)


def test_ties_take_the_average_rank():
    assert spearman(np.array([1.0, 1.0, 2.0]), np.array([5.0, 7.0, 9.0])) == pytest.approx(math.sqrt(3) / 2)


def test_the_deviance_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    predicted, actual = rng.gamma(1, 1, 500) + 0.01, rng.poisson(1.0, 500).astype(float)
    assert poisson_deviance(predicted, actual) == pytest.approx(mean_poisson_deviance(actual, predicted))


def test_undefined_metrics_are_left_out():
    constant = measure(np.ones(3), np.array([0.0, 1.0, 2.0]))
    assert {"gini", "spearman"}.isdisjoint(constant)
    nothing = measure(np.array([0.1, 0.2, 0.3]), np.zeros(3))
    assert {"gini", "spearman", "bias"}.isdisjoint(nothing)
    assert "deviance" not in measure(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
