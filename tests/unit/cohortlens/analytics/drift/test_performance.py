"""Predictions held against what came: which horizons have passed, totals, intervals, coverage, calibration."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from cohortlens.analytics.drift.performance import actuals, calibration_error, judge, passed_horizons
from cohortlens.analytics.drift.populations import Population
from cohortlens.contracts.purchase_days import purchase_days

DAY = date(2026, 3, 1)


def test_a_horizon_has_passed_when_it_fits_between_the_training_and_the_last_day():
    passed = passed_horizons(date(2026, 1, 1), date(2026, 3, 2), (30, 60, 90))
    assert passed == {30: date(2026, 1, 31), 60: date(2026, 1, 1)}


def test_purchases_from_the_day_after_to_the_end_of_the_horizon_count():
    days = purchase_days([0, 0, 0, 1, 2, 2], [1, 10, 40, 5, 11, 41], [5.0, 7.0, 9.0, 3.0, 2.0, 100.0])
    features = np.zeros((3, 1), np.float32)
    found = actuals(days, Population(features, features, np.arange(3)), 10, 30)
    assert found["purchases"].tolist() == [1.0, 0.0, 1.0]
    assert found["spend"].tolist() == [9.0, 0.0, 2.0]
    assert found["churn"].tolist() == [0.0, 1.0, 0.0]


def scores(value, lower=0.0, upper=10.0):
    value = np.asarray(value, np.float64)
    return {"value": value, "lower": np.full_like(value, lower), "upper": np.full_like(value, upper)}


def test_totals_coverage_and_the_interval_of_the_total_are_as_defined():
    actual = np.array([1.0, 2.0, 12.0, 5.0])
    found = judge("spend", 30, DAY, scores([2.0, 2.0, 8.0, 4.0]), actual)
    half = 1.959963984540054 * np.std([-1.0, 0.0, 4.0, 1.0]) * 2
    assert (found.predicted_total, found.actual_total, found.customers) == (16.0, 20.0, 4)
    assert found.error_ratio == pytest.approx(-0.2)
    assert (found.lower_total, found.upper_total) == (pytest.approx(16 - half), pytest.approx(16 + half))
    assert (found.coverage_ratio, found.calibration_error, found.is_within) == (0.75, None, True)


def test_where_nothing_came_the_ratio_is_absent_and_not_infinite():
    found = judge("purchases", 30, DAY, scores([0.1, 0.2]), np.zeros(2))
    assert found.error_ratio is None
    assert found.lower_total >= 0.0


def test_unbiased_predictions_hold_the_total_in_nineteen_of_twenty_samples():
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        rate = rng.gamma(1.0, 2.0, 300)
        held += judge("purchases", 30, DAY, scores(rate), rng.poisson(rate).astype(float)).is_within
    assert 0.92 <= held / 400 <= 0.98


def test_a_probability_that_is_true_is_calibrated_and_one_that_is_off_by_a_fifth_is_not():
    rng = np.random.default_rng(5)
    probability = rng.uniform(0.2, 0.8, 20_000)
    happened = (rng.random(20_000) < probability) * 1.0
    assert calibration_error(probability, happened) < 0.02
    assert calibration_error(probability + 0.2, happened) == pytest.approx(0.2, abs=0.02)
    churn = judge("churn", 30, DAY, scores(probability), happened)
    assert (churn.coverage_ratio, churn.calibration_error < 0.02) == (None, True)
