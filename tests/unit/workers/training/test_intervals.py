import numpy as np
import pytest

from workers.runtime.intervals import Interval
from workers.training.intervals import LEVEL_RATIO, calibrate, coverage


def draw(rng, n, kind):
    predicted = rng.gamma(0.7, 1.0, n) + 0.01
    if kind == "counts":
        return predicted, rng.poisson(predicted).astype(float)
    return predicted * 50, rng.gamma(2.0, predicted * 25)


@pytest.mark.parametrize("kind", ["counts", "money"])
def test_customers_not_calibrated_on_are_covered(kind):
    rng = np.random.default_rng(1)
    calibration = calibrate(*draw(rng, 20_000, kind))
    predicted, actual = draw(rng, 20_000, kind)
    # exchangeable rows: .80 within the noise of two samples of 20,000; counts are lumpy and may be covered more
    assert (
        LEVEL_RATIO - 0.01 <= coverage(calibration, predicted, actual) <= (0.88 if kind == "counts" else 0.81)
    )
    deciles = np.array_split(np.argsort(predicted), 10)
    assert min(coverage(calibration, predicted[rows], actual[rows]) for rows in deciles) >= 0.65


@pytest.mark.parametrize("n", [1, 3, 49, 51, 700])
def test_bounds_enclose_the_prediction_and_stay_positive(n):
    rng = np.random.default_rng(n)
    calibration = calibrate(*draw(rng, n, "counts"))
    anywhere = np.concatenate([[0.0, 1e-12, 1e9], rng.gamma(0.5, 5.0, 500)])
    lower, upper = Interval(calibration).bounds(anywhere)
    assert (lower >= 0).all()
    assert (lower <= anywhere).all()
    assert (anywhere <= upper).all()
    assert np.isfinite(upper).all()


def test_where_nobody_buys_the_interval_starts_at_zero():
    predicted = np.linspace(0.01, 0.02, 200)
    lower, upper = Interval(calibrate(predicted, np.zeros(200))).bounds(predicted)
    assert (lower == 0).all()
    assert (upper < 0.03).all()


def test_where_everybody_buys_the_interval_leaves_zero():
    rng = np.random.default_rng(0)
    predicted = rng.uniform(50, 60, 1000)
    lower, _ = Interval(calibrate(predicted, rng.poisson(predicted).astype(float))).bounds(predicted)
    assert (lower > 30).all()


def test_scaling_money_scales_the_bounds():
    predicted, actual = draw(np.random.default_rng(2), 800, "money")
    plain = Interval(calibrate(predicted, actual)).bounds(predicted)
    dear = Interval(calibrate(predicted * 64, actual * 64)).bounds(predicted * 64)
    np.testing.assert_allclose(dear, np.array(plain) * 64, rtol=1e-9)


def test_equal_predictions_are_no_obstacle():
    actual = np.arange(100.0)
    calibration = calibrate(np.full(100, 50.0), actual)
    assert coverage(calibration, np.full(100, 50.0), actual) >= LEVEL_RATIO
