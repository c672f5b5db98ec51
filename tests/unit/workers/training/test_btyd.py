"""Fits of the purchase models: right gradients, true parameters found again, boundaries named, no NaN."""

import numpy as np
import pytest

from workers.runtime import btyd as runtime
from workers.runtime.btyd_money import expected_value
from workers.training.btyd.fitting import fit
from workers.training.btyd.histories import fold
from workers.training.btyd.likelihoods import LIKELIHOODS, gamma_gamma
from workers.training.btyd.money import fit_gamma_gamma
from workers.training.faults import TrainingFault

TRUE = {"bgnbd": (0.7, 25.0, 0.8, 2.5), "mbgnbd": (0.7, 25.0, 0.8, 2.5), "paretonbd": (0.7, 25.0, 0.8, 90.0)}
FAMILIES = list(TRUE)


def drawn(family, n=6000, seed=1):
    """Customers of the model itself, seen for 100 to 300 days; times are real numbers."""
    rng = np.random.default_rng(seed)
    r, alpha, third, fourth = TRUE[family]
    rate, age = rng.gamma(r, 1 / alpha, n), rng.uniform(100, 300, n)
    coin = np.zeros(n) if family == "paretonbd" else rng.beta(third, fourth, n)
    ends = rng.exponential(1 / rng.gamma(third, 1 / fourth, n)) if family == "paretonbd" else np.full(n, 1e9)
    x, t_x, now = np.zeros(n), np.zeros(n), np.zeros(n)
    alive = np.arange(n)
    if family == "mbgnbd":
        alive = alive[rng.random(n) >= coin]
    while len(alive):
        now[alive] += rng.exponential(1, len(alive)) / np.maximum(rate[alive], 1e-15)
        alive = alive[now[alive] < np.minimum(ends[alive], age[alive])]
        x[alive] += 1
        t_x[alive] = now[alive]
        alive = alive[rng.random(len(alive)) >= coin[alive]]
    return x, t_x, age


@pytest.mark.parametrize("family", FAMILIES)
def test_the_true_parameters_are_found_again_within_three_standard_errors(family):
    found = fit(family, *drawn(family))
    assert found.boundary == ""
    assert found.customers == 6000
    for name, truth in zip(runtime.FAMILIES[family], TRUE[family], strict=True):
        apart = np.log(found.parameters.named[name] / truth)
        error = found.standard_errors[name] / found.parameters.named[name]
        assert abs(apart) <= 3 * error, (name, found)
        assert error < 0.4
        low, high = found.interval(name, 0.997)
        assert low <= truth <= high


@pytest.mark.parametrize("family", FAMILIES)
def test_intervals_hold_the_true_parameter_about_as_often_as_they_say(family):
    """25 samples x 4 parameters at 90 %: 3 standard errors of 50 independent draws allowed."""
    inside = total = 0
    for seed in range(25):
        found = fit(family, *drawn(family, 700, seed + 100))
        for name, truth in zip(runtime.FAMILIES[family], TRUE[family], strict=True):
            interval = found.interval(name, 0.9)
            if interval is not None:
                inside += interval[0] <= truth <= interval[1]
                total += 1
    assert total >= 80
    assert inside / total >= 0.77


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_the_slopes_of_the_likelihood(family):
    x, t_x, age = drawn(family, 300)
    histories = fold(x, t_x / 100, age / 100)
    for values in ([0.7, 0.25, 0.8, 2.5], [0.05, 3.0, 0.1, 0.1], [3.0, 0.1, 5.0, 9.0]):
        at = np.array(values)
        _, gradient = LIKELIHOODS[family](at, histories)
        for axis, slope in zip(np.eye(4), gradient, strict=True):
            step = 1e-5 * at * axis
            ahead, behind = (LIKELIHOODS[family](at + sign * step, histories)[0] for sign in (1, -1))
            assert slope == pytest.approx((ahead - behind) / (2 * step.sum()), rel=2e-5, abs=1e-4)


def test_gradients_of_money_are_the_slopes_of_the_likelihood():
    rng = np.random.default_rng(0)
    x, zbar, weight = rng.integers(1, 9, 50).astype(float), rng.gamma(2, 9, 50), rng.uniform(1, 3, 50)
    at = np.array([6.0, 3.5, 15.0])
    _, gradient = gamma_gamma(at, x, zbar, weight)
    for axis, slope in zip(np.eye(3), gradient, strict=True):
        step = 1e-5 * at * axis
        ahead, behind = (gamma_gamma(at + sign * step, x, zbar, weight)[0] for sign in (1, -1))
        assert slope == pytest.approx((ahead - behind) / (2 * step.sum()), rel=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_unit_of_time_and_the_order_of_customers_change_nothing(family):
    x, t_x, age = (np.floor(column) for column in drawn(family, 800))
    found = fit(family, x, t_x, age)
    mixed = np.random.default_rng(0).permutation(len(x))
    assert fit(family, x[mixed], t_x[mixed], age[mixed]).parameters == found.parameters
    hours = fit(family, x, 24 * t_x, 24 * age).parameters
    scale = np.array([24 if name in {"alpha", "beta"} else 1 for name in runtime.FAMILIES[family]])
    assert np.array(hours.values) == pytest.approx(scale * found.parameters.values, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_a_weight_stands_for_as_many_equal_customers(family, fraction):
    x, t_x, age = (np.floor(column) for column in drawn(family, 400))
    age = age + fraction
    weights = np.arange(400) % 3 + 1.0
    many = fit(family, *(np.repeat(column, weights.astype(int)) for column in (x, t_x, age)))
    few = fit(family, x, t_x, age, weights)
    assert few.parameters.values == pytest.approx(many.parameters.values, rel=1e-7)
    assert few.log_likelihood == pytest.approx(many.log_likelihood, rel=1e-12)
    assert few.customers == many.customers == weights.sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_shop_that_nobody_leaves_is_fitted_without_leaving(family):
    rng = np.random.default_rng(4)
    age = np.full(900, 300.0)
    rate = rng.gamma(2.0, 1 / 40, 900)
    x = rng.poisson(rate * age).astype(float)
    # The last of twice as many uniform times: everybody was seen more lately than chance has it.
    t_x = np.where(x > 0, age * rng.random(900) ** (0.5 / np.maximum(x, 1)), 0)
    found = fit(family, x, t_x, age)
    assert found.boundary == found.parameters.boundary == runtime.NO_DROPOUT
    assert found.parameters.values == pytest.approx((2.0, 40.0), rel=0.15)
    assert found.interval("r") is None
    assert runtime.probability_alive(found.parameters, x, t_x, age).min() == 1.0


HOSTILE = {
    "one customer": ([3], [40], [100]),
    "one customer of 10,000 days": ([10_000], [9_999], [10_000]),
    "everyone daily": ([364, 100, 3], [364, 100, 3], [364, 100, 3]),
    "all equal": ([2] * 50, [50] * 50, [100] * 50),
    "one buys again": ([0] * 99 + [1], [0] * 99 + [5], [200] * 100),
    "one giant": ([0] * 50 + [10_000], [0] * 50 + [10_000], [200] * 50 + [10_950]),
    "once more, then gone": ([1] * 100, [1] * 100, [300] * 100),
    "two kinds": ([0] * 100 + [300] * 100, [0] * 100 + [300] * 100, [300] * 200),
    "thirty years of silence": ([1] * 20 + [0] * 20, [10_950] * 20 + [0] * 20, [10_951] * 40),
    "no time at all": ([1, 1, 1], [0, 0, 1e-9], [0, 0, 1e-9]),
}


@pytest.mark.parametrize("name", list(HOSTILE))
@pytest.mark.parametrize("family", FAMILIES)
def test_any_history_is_fitted_or_refused_by_name_and_never_gives_nan(family, name):
    columns = [np.array(column, float) for column in HOSTILE[name]]
    found = fit(family, *columns)
    assert np.isfinite(found.log_likelihood)
    assert all(np.isfinite(error) and error > 0 for error in found.standard_errors.values())
    for horizon in (1.0, 90.0, 730.0):
        expected = runtime.expected_purchases(found.parameters, *columns, horizon)
        none = runtime.probability_of_none(found.parameters, *columns, horizon)
        assert np.isfinite(expected).all()
        assert (expected >= 0).all()
        assert ((none >= 0) & (none <= 1)).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_repeat_purchase_there_is_a_reason_instead_of_a_model(family):
    with pytest.raises(TrainingFault, match="second day") as caught:
        fit(family, np.zeros(9), np.zeros(9), np.arange(9))
    assert caught.value.reason == "NO_REPEAT_PURCHASES"


@pytest.mark.parametrize(
    "columns",
    [
        ([], [], []),
        ([1, 2], [3], [4]),
        ([1], [5], [4]),
        ([0], [2], [4]),
        ([-1], [0], [4]),
        ([1], [np.nan], [4]),
        ([1], [2], [np.inf]),
        ([1], [2], [4], [0]),
        ([1], [2], [4], [np.nan]),
    ],
)
def test_a_history_that_cannot_be_is_refused(columns):
    with pytest.raises(TrainingFault) as caught:
        fit("bgnbd", *columns)
    assert caught.value.reason == "HISTORY_INVALID"


def test_money_parameters_are_found_again_within_three_standard_errors():
    rng = np.random.default_rng(2)
    p, q, gamma = 6.0, 3.5, 16.0
    x = rng.integers(0, 9, 6000).astype(float)
    scale = rng.gamma(q, 1 / gamma, 6000)
    zbar = np.where(x > 0, rng.gamma(np.maximum(p * x, p), 1 / (scale * np.maximum(x, 1))), 0)
    found = fit_gamma_gamma(x, zbar)
    assert found.boundary == ""
    assert found.customers == np.count_nonzero(x)
    assert abs(found.correlation) < 0.05
    for name, truth in (("p", p), ("q", q), ("gamma", gamma)):
        assert abs(getattr(found.parameters, name) - truth) <= 3 * found.standard_errors[name]
    # Money in another unit is the same model with another scale.
    cents = fit_gamma_gamma(x, 100 * zbar).parameters
    assert (cents.p, cents.q, cents.gamma) == pytest.approx(
        (found.parameters.p, found.parameters.q, 100 * found.parameters.gamma), rel=1e-6
    )


@pytest.mark.parametrize(
    ("x", "zbar", "boundary"),
    [
        ([1, 2, 3], [10, 10, 10], "AT_BOUND"),
        ([5], [3], "AT_BOUND"),
        ([1] * 500, list(np.random.default_rng(0).pareto(0.5, 500) + 1), "MEAN_FIXED"),
        ([1, 2, 4], [1e15, 1, 5], "MEAN_FIXED"),
        ([10_000, 3], [1e-9, 6], "MEAN_FIXED"),
    ],
)
def test_money_without_an_inner_optimum_names_its_boundary_and_stays_finite(x, zbar, boundary):
    found = fit_gamma_gamma(x, zbar)
    assert found.boundary == found.parameters.boundary == boundary
    values = expected_value(found.parameters, [0, 1, 10_000, *x], [0, 1e12, 3, *zbar])
    assert np.isfinite(values).all()
    assert (values > 0).all()


def test_money_that_nobody_paid_twice_is_refused():
    with pytest.raises(TrainingFault) as caught:
        fit_gamma_gamma([0, 4], [5, 0])
    assert caught.value.reason == "NO_REPEAT_PURCHASES"
    with pytest.raises(TrainingFault):
        fit_gamma_gamma([1], [np.nan])
    with pytest.raises(TrainingFault):
        fit_gamma_gamma([1, 2], [3])
