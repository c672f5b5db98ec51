from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortlens.analytics.cohorts.matrix import Align, Members, count, timed_members
from cohortlens.analytics.cohorts.orders import Orders, counted, sorted_orders, within
from cohortlens.analytics.cohorts.periods import Period

EPOCH = date(1970, 1, 1)


def day(text):
    return (date.fromisoformat(text) - EPOCH).days


def orders_of(*rows):
    """Orders from (customer, day, amount in minor units)."""
    rows = sorted(rows, key=lambda row: (row[0], row[1]))
    columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)] or [
        np.zeros(0, np.int64)
    ] * 3
    customers = int(columns[0].max()) + 1 if rows else 0
    return sorted_orders(*columns, customers)


def matrix_of(orders, last, align=Align.CALENDAR, unit=Period.MONTH, periods=0, at_least=1):
    orders = counted(orders, net=False)
    members, _ = timed_members(orders, unit)
    return count(orders, members, unit, align, periods, day(last), at_least)


SHOP = orders_of(
    (0, day("2026-01-05"), 1000),
    (0, day("2026-02-28"), 500),
    (0, day("2026-02-28"), 700),
    (0, day("2026-04-01"), 300),
    (1, day("2026-01-31"), 2000),
    (2, day("2026-02-10"), 900),
    (2, day("2026-03-31"), 100),
    (3, day("2026-03-03"), -400),
)


def test_a_customer_counts_on_a_period_with_an_order_and_on_or_after_one_with_a_later_order():
    matrix = matrix_of(SHOP, "2026-03-31")

    assert matrix.size.tolist() == [2, 1]
    assert matrix.active.tolist() == [[2, 1, 0], [1, 1, 0]]
    # The order of April lies in a period that is not over, and still says who was there until then.
    assert matrix.returning.tolist() == [[2, 1, 1], [1, 1, 0]]
    assert matrix.orders.tolist() == [[2, 2, 0], [1, 1, 0]]
    assert matrix.revenue.tolist() == [[3000, 1200, 0], [900, 100, 0]]


def test_a_calendar_cell_is_observed_from_the_last_day_of_its_period_on():
    before, on = matrix_of(SHOP, "2026-03-30", periods=4), matrix_of(SHOP, "2026-03-31", periods=4)

    assert before.observed.tolist() == [[2, 2, 0, 0], [1, 0, 0, 0]]
    assert on.observed.tolist() == [[2, 2, 2, 0], [1, 1, 0, 0]]


def test_a_rolling_cell_is_observed_when_the_window_of_the_latest_member_is_over():
    # The latest member of January came on the 31st: 30 days are over with the 1st of March.
    day_before = matrix_of(SHOP, "2026-02-28", Align.ROLLING, periods=2)
    over = matrix_of(SHOP, "2026-03-01", Align.ROLLING, periods=2)

    assert day_before.observed[0].tolist() == [0, 0]
    assert over.observed[0].tolist() == [2, 0]


def test_rolling_periods_begin_with_the_customers_own_first_day():
    matrix = matrix_of(SHOP, "2026-06-30", Align.ROLLING)

    # Customer 0: days 0, 54, 54 and 86; customer 2: days 0 and 49.
    assert matrix.active[:, :3].tolist() == [[2, 1, 1], [1, 1, 0]]


def test_at_least_n_counts_orders_not_days():
    matrix = matrix_of(SHOP, "2026-04-30", at_least=2)

    assert matrix.frequent[0].tolist() == [0, 1, 0, 0]


def test_a_cohort_is_there_with_its_size_before_anything_of_it_is_observed():
    matrix = matrix_of(SHOP, "2026-01-31")

    assert matrix.size.tolist() == [2, 1]
    assert matrix.observed.tolist() == [[2], [0]]


def test_members_of_a_group_count_in_the_periods_that_are_over_for_them():
    orders = counted(SHOP, net=False)
    first = np.array([day("2026-01-05"), day("2026-01-31"), day("2026-02-10"), -1])
    members = Members(np.array([0, 0, 0, -1]), first, 1, is_timed=False)

    matrix = count(orders, members, Period.MONTH, Align.CALENDAR, 4, day("2026-03-31"))

    assert matrix.observed.tolist() == [[3, 3, 2, 0]]
    assert matrix.active.tolist() == [[3, 2, 0, 0]]
    assert matrix.returning.tolist() == [[3, 2, 1, 0]]
    assert matrix.revenue.tolist() == [[3900, 1300, 0, 0]]


def test_orders_before_the_day_a_cohort_begins_with_are_left_out():
    orders = counted(SHOP, net=False)
    members = Members(np.array([0, -1, -1, -1]), np.full(4, day("2026-02-28")), 1, is_timed=True)

    matrix = count(orders, members, Period.MONTH, Align.CALENDAR, 2, day("2026-04-30"))

    assert matrix.revenue.tolist() == [[1200, 0]]


def test_without_orders_there_is_no_cohort():
    matrix = matrix_of(orders_of(), "2026-01-31")

    assert matrix.size.tolist() == []
    assert matrix.active.shape[0] == 0


def test_customers_who_only_gave_back_make_no_cohort():
    matrix = matrix_of(orders_of((0, 10, -500), (1, 11, 0)), "2026-01-31", periods=3)

    assert (matrix.size.tolist(), matrix.active.shape) == ([], (0, 3))


def test_a_million_orders_of_one_customer_are_one_customer():
    day_of = np.arange(1_000_000) // 2_000
    orders = sorted_orders(np.zeros(1_000_000, np.int64), day_of, np.full(1_000_000, 10**13), 1)

    matrix = matrix_of(orders, "1971-06-30")

    assert matrix.active.tolist() == [[1] * 17 + [0]]
    assert matrix.orders.sum() == 1_000_000
    assert matrix.revenue.sum() == pytest.approx(1e19)


def test_a_sale_given_back_on_the_same_day_counts_unless_reversals_are_taken_out():
    orders = orders_of((0, 10, 500), (0, 10, -500), (0, 12, 300), (0, 12, 200))

    plain, net = counted(orders, net=False), counted(orders, net=True)

    assert (plain.day.tolist(), plain.amount.tolist()) == ([10, 12, 12], [500, 300, 200])
    assert (net.day.tolist(), net.amount.tolist(), net.count.tolist()) == ([12], [500], [2])


def test_bounds_of_an_amount_hold_for_what_is_given_back_too():
    orders = orders_of((0, 10, 500), (0, 10, -500), (0, 11, 50), (0, 12, 5000))

    assert within(orders, 100, 1000).amount.tolist() == [500, -500]


def test_amounts_beyond_what_integers_add_up_to_stay_finite():
    orders = orders_of(*((0, 10, 10**13) for _ in range(1000)), (0, 11, 9 * 10**18), (0, 12, 9 * 10**18))

    matrix = matrix_of(orders, "2026-01-31")

    assert matrix.revenue[0, 0] == pytest.approx(1.801e19)


purchases = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 400), st.integers(-300, 900)), min_size=1, max_size=60
)


@given(purchases, st.integers(0, 430), st.sampled_from(Align), st.sampled_from(Period))
def test_the_counts_are_those_of_a_count_one_by_one(rows, last, align, unit):
    orders = orders_of(*rows)
    matrix = matrix_of(orders, (EPOCH.fromordinal(EPOCH.toordinal() + last)).isoformat(), align, unit)
    sold = [row for row in rows if row[2] > 0]
    by_customer = {who: sorted(row[1] for row in sold if row[0] == who) for who in {row[0] for row in sold}}

    def number(at):
        there = date.fromordinal(EPOCH.toordinal() + at)
        return {
            Period.MONTH: (there.year - 1970) * 12 + there.month,
            Period.WEEK: (at + 3) // 7,
            Period.DAY: at,
        }[unit]

    def period(at, first):
        return (at - first) // unit.days if align is Align.ROLLING else number(at) - number(first)

    cohorts = sorted({number(days[0]) for days in by_customer.values()})
    for row, cohort in enumerate(cohorts):
        members = [days for days in by_customer.values() if number(days[0]) == cohort]
        assert matrix.size[row] == len(members)
        for k in range(matrix.active.shape[1]):
            over = all(period(last + 1, days[0]) > k for days in members)
            assert matrix.observed[row, k] == (len(members) if over else 0)
            if over:
                assert matrix.active[row, k] == sum(any(period(d, m[0]) == k for d in m) for m in members)
                assert matrix.returning[row, k] == sum(any(period(d, m[0]) >= k for d in m) for m in members)
                assert matrix.orders[row, k] == sum(period(d, m[0]) == k for m in members for d in m)


def test_orders_out_of_sequence_are_sorted_by_day():
    found = sorted_orders(np.array([0, 0, 1]), np.array([5, 4, 1]), np.array([7, 8, 9]), 2)

    assert isinstance(found, Orders)
    assert (found.day.tolist(), found.amount.tolist()) == ([4, 5, 1], [8, 7, 9])
