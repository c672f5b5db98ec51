"""Who is compared with whom: customers of equal age, so that a shop in which nothing changes stays calm."""

from __future__ import annotations

import numpy as np
import pytest

from cohortlens.analytics.drift.comparing import compare
from cohortlens.analytics.drift.models import DriftVerdict
from cohortlens.analytics.drift.populations import (
    Side,
    ages,
    customers_at,
    pairs_of,
    same_ages,
)
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.purchase_days import purchase_days


def steady_shop(days=480, newcomers=8, seed=5, changed_on=None):
    """Each day brings as many newcomers of one kind; from ``changed_on`` on all spend three times as much."""
    rng = np.random.default_rng(seed)
    who, when, amount = [], [], []
    for customer in range(days * newcomers):
        day, pace, level = customer // newcomers, rng.gamma(0.8, 1 / 25), np.exp(rng.normal(3, 0.7))
        leaves = rng.beta(0.8, 2.5)
        while day < days:
            factor = 3.0 if changed_on is not None and day > changed_on else 1.0
            who.append(customer)
            when.append(int(day))
            amount.append(round(float(level * np.exp(rng.normal(0, 0.4)) * factor), 2))
            if rng.random() < leaves:
                break
            day = day + 1 + rng.exponential(1 / pace)
    return purchase_days(np.array(who), np.array(when), np.array(amount))


def report(days, trained_on, as_of, *, matched=True):
    """Verdict of the inputs alone."""
    reference, current = (
        customers_at(days, day, wants_sequence=False).drawn().features for day in (trained_on, as_of)
    )
    before, after = np.arange(len(reference)), np.arange(len(current))
    if matched:
        before, after, _ = same_ages(ages(reference), ages(current))
    sides = Side(reference, {}).take(before), Side(current, {}).take(after)
    return compare(pairs_of("prediction", *sides))


@pytest.fixture(scope="module")
def steady():
    return steady_shop()


@pytest.mark.parametrize("later", [7, 30, 90, 180])
def test_in_a_shop_where_nothing_changes_the_passing_of_time_is_no_drift(steady, later):
    assert report(steady, 300, 300 + later)[0] in {DriftVerdict.STABLE, DriftVerdict.CHANGED}


def test_without_equal_ages_the_same_shop_would_alarm(steady):
    verdict, columns = report(steady, 300, 480, matched=False)
    assert verdict is DriftVerdict.ACT, "else drawing by age would be for nothing"
    assert columns[0].name == "since"


def test_a_change_of_spending_is_found_within_a_month():
    verdict, columns = report(steady_shop(changed_on=300), 300, 330)
    assert verdict in {DriftVerdict.WATCH, DriftVerdict.ACT}
    assert columns[0].name in {"last", "mean", "s_30", "max"}


def test_as_many_of_each_age_are_drawn_from_both_sides_always_the_same():
    rng = np.random.default_rng(0)
    young, old = rng.integers(0, 100, 900).astype(float), rng.integers(50, 150, 700).astype(float)
    before, after, overlap = same_ages(young, old)
    again = same_ages(young, old)
    assert len(before) == len(after) == len(set(before)) == len(set(after))
    assert np.array_equal(before, again[0])
    assert np.array_equal(after, again[1])
    assert young[before].mean() == pytest.approx(old[after].mean(), abs=2.0)
    assert overlap == pytest.approx(0.5, abs=0.06)


def test_ages_that_never_meet_leave_nobody_to_compare():
    before, after, overlap = same_ages(np.arange(300.0), np.arange(1000.0, 1300.0))
    assert (len(before), len(after), overlap) == (0, 0, 0.0)


def test_nothing_after_the_day_is_looked_at(steady):
    cut = customers_at(steady.until(300), 300, wants_sequence=False)
    whole = customers_at(steady, 300, wants_sequence=False)
    assert np.array_equal(cut.features, whole.features, equal_nan=True)


def test_a_version_that_takes_sequences_is_asked_with_them(steady):
    population = customers_at(steady, 300, wants_sequence=True)
    assert population.rows.shape == (len(population), len(SCHEMA.columns) + 160)
    assert np.array_equal(population.rows[:, : len(SCHEMA.columns)], population.features, equal_nan=True)


def test_what_only_tells_the_age_or_is_one_number_for_all_is_not_compared(steady):
    side = Side(customers_at(steady, 300, wants_sequence=False).features, {})
    names = {one.name for one in pairs_of("prediction", side, side)}
    left_out = set(SCHEMA.names) - names
    assert left_out == {
        "age",
        "trend_30",
        "horizon",
        *(name for name in SCHEMA.names if name.startswith("exposure_")),
    }
    assert {one.name for one in pairs_of("segmentation", side, side)} == {"since", "x", "mean"}
