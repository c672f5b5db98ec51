"""Who stays: the fit against the paper and a generated truth, boundaries by name, intervals that cover."""

import numpy as np
import pytest

from cohortlens.contracts import sbg

HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491]


def drawn(alpha, beta, customers, periods, seed):
    """Lost and kept by period of customers of the model itself."""
    rng = np.random.default_rng(seed)
    chance = np.maximum(rng.beta(alpha, beta, customers), 1e-12)
    ended = rng.geometric(chance)
    lost = np.array([(ended == period).sum() for period in range(1, periods + 1)], float)
    kept = np.zeros(periods)
    kept[-1] = customers - lost.sum()
    return lost, kept


def test_the_curve_is_the_published_recursion():
    alpha, beta = 0.668, 3.806
    curve = sbg.survival(alpha, beta, 12)
    lost = alpha / (alpha + beta)
    left, chance = 1.0 - lost, lost
    assert curve[:2].tolist() == [1.0, pytest.approx(left)]
    for period in range(2, 13):
        chance *= (beta + period - 2) / (alpha + beta + period - 1)
        left -= chance
        assert curve[period] == pytest.approx(left, rel=1e-12)


def test_the_likelihood_is_that_of_each_customer():
    alpha, beta = 0.9, 2.1
    curve = sbg.survival(alpha, beta, 3)
    by_hand = 5 * np.log(curve[0] - curve[1]) + 3 * np.log(curve[1] - curve[2]) + 2 * np.log(curve[3])
    by_hand += 4 * np.log(curve[2])
    assert sbg.log_likelihood(alpha, beta, [5, 3, 0], [0, 4, 2]) == pytest.approx(by_hand, rel=1e-12)


def test_the_fit_is_the_top_of_the_likelihood():
    lost, kept = sbg.counts_of(HIGH_END)
    found = sbg.fit(lost, kept)
    for factor in (0.99, 1.01):
        assert sbg.log_likelihood(factor * found.alpha, found.beta, lost, kept) < found.log_likelihood
        assert sbg.log_likelihood(found.alpha, factor * found.beta, lost, kept) < found.log_likelihood


def test_true_parameters_lie_in_their_intervals():
    inside = []
    for seed in range(120):
        found = sbg.fit(*drawn(0.8, 3.0, 3000, 10, seed))
        for name, truth in (("alpha", 0.8), ("beta", 3.0)):
            low, high = found.interval(name, 0.9)
            inside.append(low <= truth <= high)
    # 240 dependent draws at 90 %: four standard errors of 120 independent ones.
    assert np.mean(inside) == pytest.approx(0.9, abs=0.11)


def test_a_projection_covers_the_true_curve_as_often_as_it_says():
    truth = sbg.survival(0.8, 3.0, 24)
    hits = []
    for seed in range(80):
        ahead = sbg.project(*drawn(0.8, 3.0, 2000, 8, seed), 24, level_ratio=0.8, draws=100, seed=seed)
        assert (ahead.lower <= ahead.survival).all()
        assert (ahead.survival <= ahead.upper).all()
        hits.append((ahead.lower[24] <= truth[24]) and (truth[24] <= ahead.upper[24]))
    assert np.mean(hits) == pytest.approx(0.8, abs=0.16)


def test_the_same_seed_gives_the_same_interval_to_the_bit():
    lost, kept = sbg.counts_of(HIGH_END)
    one, two = (sbg.project(lost, kept, 20, seed=7) for _ in range(2))
    assert one.lower.tobytes() == two.lower.tobytes()
    assert one.upper.tobytes() == two.upper.tobytes()
    assert sbg.project(lost, kept, 20, seed=8).lower.tobytes() != one.lower.tobytes()


@pytest.mark.parametrize(
    ("survivors", "boundary"),
    [
        ([10, 10, 10], sbg.NO_LOSS),
        ([10, 0, 0], sbg.ALL_LOST),
        ([1_000_000, 500_000, 250_000, 125_000], sbg.EQUAL_CHANCES),
        ([100, 99, 50, 1], sbg.EQUAL_CHANCES),
        ([100, 50, 50, 50, 50], sbg.TWO_KINDS),
        ([1, 1, 0], sbg.EQUAL_CHANCES),
    ],
)
def test_counts_without_an_inner_optimum_name_their_boundary_and_stay_finite(survivors, boundary):
    ahead = sbg.project(*sbg.counts_of(survivors), 36)
    assert ahead.fit.boundary == boundary
    assert ahead.fit.standard_errors == {}
    assert ahead.fit.interval("alpha") is None
    assert np.isfinite([ahead.lower, ahead.survival, ahead.upper]).all()
    assert (ahead.lower >= 0).all()
    assert (ahead.upper <= 1).all()
    assert (np.diff(ahead.survival) <= 1e-15).all()


def test_ten_customers_who_stayed_prove_little():
    few = sbg.project(*sbg.counts_of([10, 10, 10]), 12)
    many = sbg.project(*sbg.counts_of([10_000, 10_000, 10_000]), 12)
    assert few.lower[12] < 0.5 < 0.99 < many.lower[12]
    gone = sbg.project(*sbg.counts_of([10, 0, 0]), 3)
    assert gone.survival[1] < 1e-6
    assert gone.upper[1] > 0.1


def test_groups_seen_for_different_times_add_up():
    """A cohort cut off after two periods says nothing about later ones, and does not count as lost."""
    long, short = drawn(0.8, 3.0, 50_000, 10, 1), drawn(0.8, 3.0, 50_000, 2, 2)
    lost, kept = long[0].copy(), long[1].copy()
    lost[:2] += short[0]
    kept[:2] += short[1]
    found = sbg.fit(lost, kept)
    assert (found.alpha, found.beta) == pytest.approx((0.8, 3.0), rel=0.06)


@pytest.mark.parametrize(
    ("lost", "kept"),
    [
        ([], []),
        ([3], [7]),
        ([3, 1], [7]),
        ([-1, 2], [0, 5]),
        ([np.nan, 2], [0, 5]),
        ([0, 0], [0, 0]),
        ([[1]], [[2]]),
    ],
)
def test_counts_that_cannot_be_are_refused(lost, kept):
    with pytest.raises(sbg.SurvivalInvalid, match="lost and kept"):
        sbg.fit(lost, kept)


@pytest.mark.parametrize("survivors", [[5], [], [5, 6], [5, -1], [5, np.inf]])
def test_sizes_that_cannot_be_are_refused(survivors):
    with pytest.raises(sbg.SurvivalInvalid, match="survivors"):
        sbg.counts_of(survivors)


@pytest.mark.parametrize("asked", [{"periods": 0}, {"periods": 1201}, {"level_ratio": 1.0}, {"draws": 3}])
def test_a_projection_out_of_range_is_refused(asked):
    with pytest.raises(sbg.SurvivalInvalid):
        sbg.project([3, 1], [0, 7], **{"periods": 12, **asked})
