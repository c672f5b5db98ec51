import numpy as np
import pytest

from cohortlens.analytics.survival.durations import Durations
from cohortlens.analytics.survival.retention import TOO_SHORT, counts, projected


def lives(*rows):
    """Durations from (days, whether it ended, days seen)."""
    days, ended, seen = (np.array(column) for column in zip(*rows, strict=True))
    return Durations(np.arange(len(rows)), days, ended.astype(np.bool_), seen)


def test_only_whole_periods_count():
    lost, kept = counts(
        lives(
            (0, True, 29),  # seen through one period, lost in it
            (0, True, 28),  # the period was not seen to its end
            (35, True, 59),  # lost in the second of two
            (35, True, 58),  # the second is not over: still there after the first
            (59, False, 59),  # still there after two
            (10, False, 10),  # nothing is known yet
        ),
        30,
    )

    assert (lost.tolist(), kept.tolist()) == ([1, 1], [1, 1])


def test_the_observed_share_is_that_of_those_who_were_seen_so_long():
    lost, kept = np.array([20.0, 10.0]), np.array([30.0, 40.0])

    made = projected("2026-01", "2026-01", 110, lost, kept, 4, level_ratio=0.8, seed=1)

    assert made.at_risk.tolist() == [110, 100, 50, 0, 0]
    assert made.observed[:3].tolist() == pytest.approx([1, 0.8, 0.64])
    assert np.isnan(made.observed[3:]).all()
    assert len(made.projected) == 5


def test_the_published_customers_of_seven_years_are_projected():
    # Fader and Hardie 2007, High End: parameters .668 and 3.806, years 8 to 12 in percent.
    sizes = np.array([1000, 869, 743, 653, 593, 551, 517, 491], np.float64)
    lost, kept = -np.diff(sizes), np.zeros(7)
    kept[-1] = sizes[-1]

    made = projected("", "", 1000, lost, kept, 12, level_ratio=0.8, seed=0)

    assert (made.alpha, made.beta) == pytest.approx((0.668, 3.806), abs=5e-4)
    assert (100 * made.projected[8:]).round(1).tolist() == [46.0, 43.6, 41.4, 39.5, 37.8]
    assert (made.lower <= made.projected).all()
    assert (made.projected <= made.upper).all()


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held, repeats = 0, 40
    random = np.random.default_rng(3)
    truth = np.cumprod([1.0, *(1 - 0.7 / (0.7 + 2.0 + step) for step in range(12))])
    for seed in range(repeats):
        chance = random.beta(0.7, 2.0, 600)
        period = random.geometric(chance)
        lost = np.bincount(period[period <= 6] - 1, minlength=6).astype(np.float64)
        kept = np.zeros(6)
        kept[5] = (period > 6).sum()
        made = projected("", "", 600, lost, kept, 12, level_ratio=0.8, seed=seed, cohorts=80)
        held += bool(made.lower[12] <= truth[12] <= made.upper[12])

    # 80 % of 40, with three standard errors below.
    assert 24 <= held <= 39


def test_a_cohort_seen_for_one_period_says_why_it_is_not_projected():
    made = projected("2026-03", "2026-03", 5, np.array([1.0]), np.array([4.0]), 12, level_ratio=0.8, seed=0)

    assert (made.reason, len(made.projected)) == (TOO_SHORT, 0)


def test_nobody_lost_is_a_boundary_with_an_open_lower_end():
    made = projected("", "", 10, np.zeros(3), np.array([0.0, 0.0, 10.0]), 5, level_ratio=0.8, seed=0)

    assert made.boundary == "NO_LOSS"
    assert made.lower[5] < 1
    assert np.isfinite(made.projected).all()
