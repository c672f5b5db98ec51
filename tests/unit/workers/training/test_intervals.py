import numpy as np
import pytest

from workers.runtime.intervals import Interval
from workers.training.intervals import LEVEL_RATIO, across, calibrate, coverage


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


def test_a_season_that_differs_widens_the_interval():
    rng = np.random.default_rng(3)
    alike = [draw(rng, 2_000, "money") for _ in range(3)]
    predicted, actual = alike[0]
    apart = [(predicted, actual * 1.5), alike[1], alike[2]]
    steady, wide = across(alike, 0.8), across(apart, 0.8)
    assert coverage(steady, *draw(rng, 4_000, "money")) == pytest.approx(0.8, abs=0.03)
    assert np.mean(wide.upper) > np.mean(steady.upper)
    others = across(apart[1:], 0.8)
    assert coverage(wide, *apart[0]) > coverage(others, *apart[0])


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_other_levels_cover_their_own_share(level):
    rng = np.random.default_rng(4)
    calibration = across([draw(rng, 4_000, "money") for _ in range(2)], level)
    assert calibration.level_ratio == level
    assert coverage(calibration, *draw(rng, 8_000, "money")) == pytest.approx(level, abs=0.03)


def test_one_prediction_for_everybody_keeps_its_interval_when_it_moves():
    """A constant lies on every edge: what is predicted a little lower later still has the residuals of all."""
    actual = np.tile([0.0, 0.0, 1.0, 4.0], 60)
    interval = Interval(calibrate(np.full(240, 0.9), actual))
    lower, upper = interval.bounds(np.array([0.85, 0.9, 0.95]))
    assert (lower < 0.05).all()
    assert (upper > 3).all()
