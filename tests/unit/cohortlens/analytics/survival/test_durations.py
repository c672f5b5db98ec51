import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortlens.analytics.cohorts.orders import sorted_orders
from cohortlens.analytics.survival.durations import until_order, until_silence, usual_gap


def orders_of(*customers):
    """Orders of customers from their days."""
    who = np.array([row for row, days in enumerate(customers) for _ in days], np.int64)
    day = np.array([one for days in customers for one in sorted(days)], np.int64)
    return sorted_orders(who, day, np.full(len(who), 100), len(customers))


def firsts(*customers):
    return np.array([min(days, default=-1) for days in customers], np.int64)


def test_a_silence_counts_once_as_many_days_have_passed_without_an_order():
    customers = [[0, 5], [0, 6], [0], [0, 10]]

    lives = until_silence(orders_of(*customers), firsts(*customers), 15, 10)

    # Days 6 to 15 are ten without an order; days 7 to 15 are nine. The third is silent from day 0 on.
    assert lives.ended.tolist() == [True, False, True, False]
    assert lives.days.tolist() == [5, 5, 0, 5]


def test_who_comes_back_after_a_silence_was_lost_before():
    customers = [[0, 3, 20]]

    lives = until_silence(orders_of(*customers), firsts(*customers), 40, 10)

    assert (lives.ended.tolist(), lives.days.tolist()) == ([True], [3])


def test_who_came_too_late_to_be_silent_is_not_looked_at():
    customers = [[0], [6], []]

    lives = until_silence(orders_of(*customers), firsts(*customers), 15, 10)

    assert lives.customer.tolist() == [0]


def test_the_day_a_cohort_begins_with_is_an_order_also_where_the_filter_leaves_it_out():
    lives = until_silence(orders_of([40], []), np.array([10, 12]), 60, 20)

    assert (lives.ended.tolist(), lives.days.tolist()) == ([True, True], [0, 0])


histories = st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=8), min_size=1, max_size=6)


@given(histories, st.integers(1, 20), st.integers(0, 40))
def test_what_is_known_of_a_life_does_not_change_when_more_data_comes(customers, gap, more):
    last = max(max(days) for days in customers)
    early = until_silence(orders_of(*customers), firsts(*customers), last, gap)
    later = [[*days, *([last + more] if more and row % 2 else [])] for row, days in enumerate(customers)]
    late = until_silence(orders_of(*later), firsts(*later), last + more, gap)

    after = dict(
        zip(late.customer.tolist(), zip(late.ended.tolist(), late.days.tolist(), strict=True), strict=True)
    )
    for who, ended, days in zip(
        early.customer.tolist(), early.ended.tolist(), early.days.tolist(), strict=True
    ):
        still_ended, longer = after[who]
        assert longer == days if ended else longer >= days
        assert still_ended or not ended


def test_the_day_of_an_order_is_counted_from_the_first_one():
    customers = [[0, 4, 4, 9], [2], [5, 5]]

    second = until_order(orders_of(*customers), firsts(*customers), 20, 2)
    third = until_order(orders_of(*customers), firsts(*customers), 20, 3)

    assert (second.ended.tolist(), second.days.tolist()) == ([True, False, True], [4, 18, 0])
    assert (third.ended.tolist(), third.days.tolist()) == ([True, False, False], [4, 18, 15])


@pytest.mark.parametrize(
    ("customers", "gap"),
    [
        ([[0], [5]], 90),
        ([[0, 0]], 90),
        ([[0, 7]], 7),
        ([[*range(0, 110, 10), 190]], 10),
        ([[0, 9000]], 3650),
    ],
)
def test_the_usual_gap_is_the_time_within_which_nine_of_ten_returns_came(customers, gap):
    assert usual_gap(orders_of(*customers)) == gap
