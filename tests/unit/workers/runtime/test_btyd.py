"""Predictions of the purchase models against mpmath at 50 digits, and what must hold for any history."""

import mpmath as mp
import numpy as np
import pytest

from cohortlens.contracts.artifacts import ArtifactCorrupt
from workers.runtime import btyd
from workers.runtime.btyd import BtydParameters
from workers.runtime.btyd_money import GammaGamma, expected_value

TOLERANCE = 1e-12
"""Relative; forty times what was measured over 3,000 cases."""

HISTORIES = (0, 0, 1, 2, 7, 40, 300, 10_000)


@pytest.fixture(autouse=True)
def _fifty_digits():
    with mp.workdps(50):
        yield


def cases(seed, count):
    """Parameters log-uniform on e^-3..e^4, histories up to x = 10,000, times up to 300."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        values = tuple(float(value) for value in np.exp(rng.uniform(-3, 4, 4)))
        x = float(HISTORIES[number % len(HISTORIES)])
        age = float(np.exp(rng.uniform(-5, np.log(300))) if number % 3 else rng.uniform(0, 300))
        t_x = age * float(rng.random()) if x else 0.0
        yield values, x, t_x, age, float(np.exp(rng.uniform(-5, np.log(300))))


def beta_truth(family, values, x, t_x, age, horizon):
    """P(alive), expected purchases and P(none) in the published form, with enough digits for it."""
    r, alpha, a, b, x, t_x, age, t = map(mp.mpf, (*values, x, t_x, age, horizon))
    first = 1 if family == "mbgnbd" else 0
    after = b + x + first
    odds = mp.mpf(0) if after == b else a / (after - 1) * ((alpha + age) / (alpha + t_x)) ** (r + x)
    c, z = a + after - 1, t / (alpha + age + t)
    shrunk = ((alpha + age) / (alpha + age + t)) ** (r + x)
    if x <= 40:
        series = shrunk * mp.hyp2f1(r + x, after, c, z)
    else:
        # Beyond that the published series needs millions of terms; Euler's identity is exact at any digits.
        series = (1 - z) ** (a - 1) * mp.hyp2f1(c - r - x, a - 1, c, z)
    if_alive = c / (a - 1) * (1 - series)
    return 1 / (1 + odds), if_alive / (1 + odds), (odds + shrunk) / (1 + odds)


def pareto_truth(values, x, t_x, age, horizon):
    r, alpha, s, beta, x, t_x, age, t = map(mp.mpf, (*values, x, t_x, age, horizon))
    m = r + x

    def tail(y):
        """The integral of (alpha + u)^-m (beta + u)^-(s + 1) from y on."""
        if alpha >= beta:
            series = mp.hyp2f1(m + s, s + 1, m + s + 1, (alpha - beta) / (alpha + y), maxterms=10**6)
            return (alpha + y) ** -(m + s) / (m + s) * series
        z = (beta - alpha) / (beta + y)
        series = (1 - z) ** (1 - m) * mp.hyp2f1(1, s + 1, m + s + 1, z, maxterms=10**6)
        return (beta + y) ** -(m + s) / (m + s) * series

    def likelihood(end):
        return (alpha + end) ** -m * (beta + end) ** -s + s * (tail(t_x) - tail(end))

    alive = (alpha + age) ** -m * (beta + age) ** -s / likelihood(age)
    lived = (1 - ((beta + age) / (beta + age + t)) ** (s - 1)) / (s - 1)
    expected = alive * m * (beta + age) / (alpha + age) * lived
    return alive, expected, likelihood(age + t) / likelihood(age)


def assert_exact(parameters, truth, x, t_x, age, horizon):
    alive, expected, none = truth
    for ours, exact in (
        (btyd.probability_alive(parameters, x, t_x, age)[0], alive),
        (btyd.expected_purchases(parameters, x, t_x, age, horizon)[0], expected),
        (btyd.probability_of_none(parameters, x, t_x, age, horizon)[0], none),
    ):
        # Below 1e-290 a float64 has no digits left to compare.
        assert abs(mp.mpf(float(ours)) - exact) <= TOLERANCE * exact + mp.mpf(10) ** -300, (
            parameters,
            x,
            t_x,
            age,
            horizon,
        )


@pytest.mark.parametrize("family", ["bgnbd", "mbgnbd"])
def test_the_beta_families_agree_with_the_published_formulas_at_fifty_digits(family):
    for values, x, t_x, age, horizon in cases(7, 240):
        truth = beta_truth(family, values, x, t_x, age, horizon)
        assert_exact(BtydParameters(family, values), truth, x, t_x, age, horizon)


def test_the_pareto_family_agrees_with_its_likelihood_at_fifty_digits():
    for values, x, t_x, age, horizon in cases(11, 48):
        truth = pareto_truth(values, x, t_x, age, horizon)
        assert_exact(BtydParameters("paretonbd", values), truth, x, t_x, age, horizon)


@pytest.mark.parametrize("distance", [0.0, 1e-15, 1e-12, -1e-9, 1e-6, -3e-4, 2e-3, -3.9e-3, 4.1e-3])
def test_nothing_is_lost_where_the_published_formula_divides_by_zero(distance):
    near = mp.mpf(distance) if distance else mp.mpf(10) ** -25
    for x, age, horizon in ((0.0, 50.0, 200.0), (3.0, 20.0, 300.0), (0.0, 0.0, 90.0)):
        for a, b in ((1.0 + distance, 2.3), (0.4, 0.6 + distance)):
            exact = (1 + near, 2.3) if a > 0.9 else (0.4, mp.mpf(1) - mp.mpf(a) + near)
            truth = beta_truth("bgnbd", (1.3, 11.0, *exact), x, age / 2 if x else 0, age, horizon)
            ours = BtydParameters("bgnbd", (1.3, 11.0, a, b))
            found = btyd.expected_purchases(ours, x, age / 2 if x else 0, age, horizon)[0]
            assert found == pytest.approx(float(truth[1]), rel=1e-10)


def test_a_pareto_lifetime_of_shape_one_has_its_logarithm():
    parameters = BtydParameters("paretonbd", (0.5, 70.0, 1.0, 80.0))
    near = BtydParameters("paretonbd", (0.5, 70.0, 1.0 + 1e-9, 80.0))
    assert btyd.timing(parameters, 2.0, 100.0, [30.0, 365.0]) == pytest.approx(
        btyd.timing(near, 2.0, 100.0, [30.0, 365.0]), rel=1e-8
    )


@pytest.mark.parametrize(
    "values",
    [
        (1.6e5, 5e6, 7.8e4, 1.6e5),
        (1.6e5, 1.6e5, 1.6e5, 1.6e5),
        (6e-6, 6e-6, 6e-6, 6e-6),
        (2.7e-3, 0.14, 16.8, 1.6e5),
        (6e-6, 1.6e5, 1.6e5, 6e-6),
        (1.6e5, 6e-6, 6e-6, 1.6e5),
    ],
)
@pytest.mark.parametrize("family", list(btyd.FAMILIES))
def test_at_the_edges_of_the_search_every_answer_is_finite_and_in_bounds(family, values):
    parameters = BtydParameters(family, values, btyd.AT_BOUND)
    x = np.array([0.0, 0.0, 0.0, 1.0, 5.0, 400.0, 10_000.0, 10_000.0])
    t_x = np.array([0.0, 0.0, 0.0, 1.0, 20.0, 399.0, 1.0, 10_950.0])
    age = np.array([0.0, 300.0, 1e4, 1.0, 200.0, 400.0, 10_950.0, 10_950.0])
    for horizon in (1.0, 30.0, 730.0, 10_000.0):
        expected = btyd.expected_purchases(parameters, x, t_x, age, horizon)
        none = btyd.probability_of_none(parameters, x, t_x, age, horizon)
        assert np.isfinite(expected).all()
        assert (expected >= (1.0 - none) * (1.0 - 1e-9) - 1e-12).all()
        assert ((none >= 0.0) & (none <= 1.0)).all()
        ratio = btyd.lifetime_ratio(parameters, x, age, horizon, 0.1)
        assert ((ratio > 0.0) & (ratio <= 1.0)).all()
        assert (np.isfinite(btyd.horizon_ratio(parameters, x, age, horizon, 30.0))).all()


def test_a_history_that_cannot_be_still_has_an_answer():
    x, t_x, age = [0.0, 0.5, 3.0, -1.0], [10.0, 5.0, 500.0, -3.0], [5.0, 20.0, 400.0, -8.0]
    for family in btyd.FAMILIES:
        parameters = BtydParameters(family, (0.24, 31.0, 0.8, 2.4))
        assert np.isfinite(btyd.expected_purchases(parameters, x, t_x, age, 90)).all()
        assert np.isfinite(btyd.probability_of_none(parameters, x, t_x, age, 90)).all()


@pytest.mark.parametrize("family", list(btyd.FAMILIES))
def test_churn_is_what_happens_to_simulated_customers(family):
    """100,000 customers from the model itself; the share without a purchase lies within 3 standard errors."""
    n, age, horizon = 100_000, 180.0, 60.0
    values = (0.6, 20.0, 0.8, 2.5) if family != "paretonbd" else (0.6, 20.0, 0.7, 60.0)
    x, t_x, again = simulated(family, values, n, age, horizon)
    parameters = BtydParameters(family, values)
    none = btyd.probability_of_none(parameters, x, t_x, age, horizon)
    expected = btyd.expected_purchases(parameters, x, t_x, age, horizon)
    for group in (x == 0, (x > 0) & (x < 4), x >= 4):
        p = none[group]
        spread = np.sqrt((p * (1 - p)).sum()) / group.sum()
        assert (again[group] == 0).mean() == pytest.approx(p.mean(), abs=3 * spread)
        noise = again[group].std() / np.sqrt(group.sum())
        assert again[group].mean() == pytest.approx(expected[group].mean(), abs=3 * noise)


def simulated(family, values, n, age, horizon):
    """Repeat purchases until ``age``, time of the last, and purchases within the horizon after it."""
    rng = np.random.default_rng(5)
    r, alpha, third, fourth = values
    rate = rng.gamma(r, 1 / alpha, n)
    coin = rng.beta(third, fourth, n) if family != "paretonbd" else np.zeros(n)
    ends = (
        rng.exponential(1 / rng.gamma(third, 1 / fourth, n)) if family == "paretonbd" else np.full(n, np.inf)
    )
    x, t_x, again, now = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    alive = np.arange(n)
    if family == "mbgnbd":
        alive = alive[rng.random(n) >= coin]
    while len(alive):
        now[alive] += rng.exponential(1, len(alive)) / np.maximum(rate[alive], 1e-15)
        alive = alive[now[alive] < np.minimum(ends[alive], age + horizon)]
        before = alive[now[alive] <= age]
        x[before] += 1
        t_x[before] = now[before]
        again[alive[now[alive] > age]] += 1
        alive = alive[rng.random(len(alive)) >= coin[alive]]
    return x, t_x, again


@pytest.mark.parametrize("family", list(btyd.FAMILIES))
def test_lifetime_value_without_discount_is_the_expected_spend(family):
    parameters = BtydParameters(family, (0.4, 30.0, 0.8, 2.4))
    x, age = np.array([0.0, 3.0, 50.0]), np.array([300.0, 200.0, 400.0])
    assert btyd.lifetime_ratio(parameters, x, age, 365, 0.0) == pytest.approx(1.0, abs=1e-14)


def test_lifetime_value_of_one_period_is_discounted_at_its_end():
    parameters = BtydParameters("bgnbd", (0.4, 30.0, 0.8, 2.4))
    assert btyd.steps_days(30).tolist() == [30.0]
    found = btyd.lifetime_ratio(parameters, 2.0, 100.0, 30, 0.1)
    assert found == pytest.approx(1.1 ** (-30 / 365), rel=1e-14)


def test_lifetime_value_adds_up_each_period_and_not_the_cumulative_curve():
    """By hand: steps of 30 days and the rest, each discounted at its end."""
    parameters = BtydParameters("paretonbd", (0.6, 70.0, 0.7, 60.0))
    x, t_x, age = np.array([0.0, 4.0]), np.array([0.0, 90.0]), np.array([120.0, 150.0])
    ends = [30.0, 60.0, 90.0, 100.0]
    curve = np.stack([btyd.expected_purchases(parameters, x, t_x, age, end) for end in ends])
    gains = np.diff(curve, axis=0, prepend=0.0)
    by_hand = sum(gain / 1.2 ** (end / 365) for gain, end in zip(gains, ends, strict=True))
    assert btyd.lifetime_ratio(parameters, x, age, 100, 0.2) * curve[-1] == pytest.approx(by_hand, rel=1e-12)


def test_the_curve_of_many_customers_is_each_ones_own():
    """Equal histories are computed once; who has which must not be mixed up."""
    rng = np.random.default_rng(3)
    x, age = rng.integers(0, 4, 500).astype(float), rng.integers(10, 20, 500).astype(float)
    t_x = np.where(x > 0, age / 2, 0)
    parameters = BtydParameters("bgnbd", (0.24, 31.0, 0.8, 2.4))
    table = btyd.cumulative(parameters, x, t_x, age, [10, 400])
    for row in (0, 17, 499):
        alone = btyd.expected_purchases(parameters, x[row], t_x[row], age[row], [10.0, 400.0])
        assert table[row] == pytest.approx(alone, rel=1e-14)


def test_who_never_leaves_buys_at_a_steady_rate():
    parameters = BtydParameters("mbgnbd", (2.0, 50.0), btyd.NO_DROPOUT)
    assert btyd.probability_alive(parameters, 3, 10, 400) == pytest.approx([1.0])
    assert btyd.expected_purchases(parameters, 3, 10, 50, 20) == pytest.approx([1.0])
    assert btyd.probability_of_none(parameters, 3, 10, 50, 20) == pytest.approx([(100 / 120) ** 5])


def test_money_lies_between_the_customer_and_all_customers():
    model = GammaGamma(6.25, 3.744, 15.444)
    found = expected_value(model, [0, 1, 10_000, 4, 0], [0, 50, 50, 0, 99])
    assert found[0] == found[3] == found[4] == pytest.approx(6.25 * 15.444 / 2.744)
    # (p (gamma + x zbar)) / (p x + q - 1), as published
    assert found[1] == pytest.approx(6.25 * (15.444 + 50) / (6.25 + 2.744))
    assert found[2] == pytest.approx(50.0, rel=1e-3)


@pytest.mark.parametrize("boundary", ["", btyd.NO_DROPOUT, btyd.AT_BOUND])
def test_parameters_survive_the_manifest(boundary):
    values = (0.2, 31.0) if boundary == btyd.NO_DROPOUT else (0.2, 31.0, 0.8, 2.4)
    parameters = BtydParameters("paretonbd", values, boundary)
    assert BtydParameters.from_dict("paretonbd", parameters.to_dict()) == parameters
    money = GammaGamma(6.0, 3.0, 15.0)
    assert GammaGamma.from_dict(money.to_dict()) == money


@pytest.mark.parametrize(
    ("family", "entry"),
    [
        ("bgnbd", {"r": 1.0, "alpha": 2.0}),
        ("bgnbd", {"r": 1.0, "alpha": 2.0, "a": -1.0, "b": 1.0}),
        ("bgnbd", {"r": float("nan"), "alpha": 2.0, "a": 1.0, "b": 1.0}),
        ("bgnbd", {"r": 1.0, "alpha": 2.0, "a": 1.0, "b": 1.0, "boundary": 9.0}),
        ("coin", {"r": 1.0}),
    ],
)
def test_parameters_that_cannot_predict_are_refused(family, entry):
    with pytest.raises(ArtifactCorrupt):
        BtydParameters.from_dict(family, entry)


@pytest.mark.parametrize(
    "entry", [{}, {"p": 1.0, "q": 1.0, "gamma": 1.0}, {"p": 0.0, "q": 2.0, "gamma": 1.0}]
)
def test_a_money_model_without_a_mean_is_refused(entry):
    with pytest.raises(ArtifactCorrupt):
        GammaGamma.from_dict(entry)
