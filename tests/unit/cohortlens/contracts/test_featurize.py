import itertools
import math
import statistics

import numpy as np
import pytest

from cohortlens.contracts.features import SCHEMA, WINDOWS_DAYS
from cohortlens.contracts.featurize import featurize, population_trend
from cohortlens.contracts.purchase_days import PurchaseDays, purchase_days
from tests.fixtures.shops import FIRST_DAY, orders_of, shop

CUT = FIRST_DAY + 300


def by_name(row: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(SCHEMA.names, row, strict=True)}


def expected_row(bought: list[tuple[int, float, float]], cut: int) -> dict[str, float]:
    """The definitions of the schema, customer by customer, with the standard library."""
    nan = math.nan
    days, money = [day for day, _, _ in bought], [amount for _, amount, _ in bought]
    gaps = [later - earlier for earlier, later in itertools.pairwise(days)]
    x, age, since = len(days) - 1, cut - days[0], cut - days[-1]
    paid = [amount for amount in money[1:] if amount > 0]
    row = {
        "x": x,
        "t_x": days[-1] - days[0],
        "age": age,
        "since": since,
        "rate_30": 30 * x / max(age, 7),
        "gap_mean": statistics.fmean(gaps) if gaps else nan,
        "gap_sd": statistics.stdev(gaps) if len(gaps) > 1 else nan,
        "overdue_ratio": since / statistics.fmean(gaps) if gaps else nan,
        "sum": math.fsum(money),
        "mean": statistics.fmean(money),
        "sd": statistics.stdev(money) if len(money) > 1 else nan,
        "max": max(money),
        "first": money[0],
        "last": money[-1],
        "zbar": statistics.fmean(paid) if paid else 0.0,
        "items_mean": statistics.fmean(items for _, _, items in bought),
        "skus_distinct": nan,
        "lines_mean": nan,
        "horizon": 0.0,
    }
    for window in WINDOWS_DAYS:
        inside = [amount for day, amount, _ in bought if cut - window < day <= cut]
        row[f"n_{window}"], row[f"s_{window}"] = len(inside), math.fsum(inside)
        row[f"exposure_{window}"] = min(1.0, (age + 1) / window)
    return row


def test_features_follow_their_definitions():
    days = shop(80, 420)
    matrix = featurize(days, CUT, 80)
    compared = 0
    for customer in range(80):
        mine = (days.customer == customer) & (days.day <= CUT)
        bought = list(zip(days.day[mine].tolist(), days.amount[mine], days.items[mine], strict=True))
        if not bought:
            assert np.isnan(matrix[customer]).all()
            continue
        found = by_name(matrix[customer])
        for name, value in expected_row(bought, CUT).items():
            # float32 keeps seven digits
            assert found[name] == pytest.approx(value, rel=2e-7, abs=1e-5, nan_ok=True), (customer, name)
        compared += 1
    assert compared > 60


def test_rows_after_the_cut_change_no_bit():
    days = shop(120, 420)
    for cut in (FIRST_DAY + 90, FIRST_DAY + 211, CUT):
        whole = featurize(days, cut, 120)
        truncated = featurize(days.select(days.day <= cut), cut, 120)
        assert whole.tobytes() == truncated.tobytes()
        assert len(days.select(days.day <= cut)) < len(days)


def test_rows_not_yet_known_at_the_cut_change_no_bit():
    orders = orders_of(50, 300)
    late = np.where(np.arange(len(orders["day"])) % 5 == 0, CUT + 1, orders["day"])
    days = purchase_days(orders["customer"], orders["day"], orders["amount"], known=late)
    told = days.select(days.known <= CUT)
    assert len(told) < len(days)
    assert featurize(days, CUT, 50).tobytes() == featurize(told, CUT, 50).tobytes()


def test_another_customer_moves_no_feature_but_the_population_trend():
    days = shop(60, 420)
    fewer = days.select(days.customer != 17)
    other = [index for index, name in enumerate(SCHEMA.names) if name != "trend_30"]
    rows = [row for row in range(60) if row != 17]
    with_all, without = featurize(days, CUT, 60), featurize(fewer, CUT, 60)
    assert with_all[np.ix_(rows, other)].tobytes() == without[np.ix_(rows, other)].tobytes()
    assert np.isnan(without[17]).all()


def test_money_scales_and_time_does_not():
    days = shop(60, 420)
    scaled = PurchaseDays.from_columns(
        days.columns() | {"amount": days.amount * 4, "returns": days.returns * 4}
    )
    plain, dear = featurize(days, CUT, 60), featurize(scaled, CUT, 60)
    money = np.array([column.unit == "money" for column in SCHEMA.columns])
    np.testing.assert_array_equal(dear[:, money], 4 * plain[:, money])
    np.testing.assert_array_equal(dear[:, ~money], plain[:, ~money])


def test_orders_of_the_day_of_the_cut_count():
    days = purchase_days([0, 0], [CUT - 10, CUT], [5.0, 7.0])
    row = by_name(featurize(days, CUT, 1)[0])
    assert (row["x"], row["since"], row["age"], row["last"]) == (1, 0, 10, 7)
    assert (row["n_14"], row["exposure_14"]) == (2, pytest.approx(11 / 14))


def test_a_window_reaches_back_its_length_and_no_further():
    days = purchase_days([0, 0, 0], [CUT - 30, CUT - 29, CUT - 13], [1.0, 2.0, 4.0])
    row = by_name(featurize(days, CUT, 1)[0])
    assert (row["n_30"], row["s_30"]) == (2, 6)
    assert (row["n_14"], row["s_14"]) == (1, 4)


def test_returns_count_from_their_own_day():
    days = purchase_days([0, 0], [CUT - 40, CUT - 2], [30.0, -10.0])
    before, after = by_name(featurize(days, CUT - 3, 1)[0]), by_name(featurize(days, CUT, 1)[0])
    assert before["return_ratio"] == 0
    assert after["return_ratio"] == 0.25
    assert after["since"] == 40  # a return is no purchase
    assert after["x"] == 0


def test_a_customer_of_returns_only_has_no_features():
    matrix = featurize(purchase_days([0, 1], [CUT, CUT], [-5.0, 5.0]), CUT, 2)
    assert np.isnan(matrix[0]).all()
    SCHEMA.check(matrix[1:])


def test_unknown_baskets_are_not_a_number():
    row = by_name(featurize(purchase_days([0], [CUT], [5.0]), CUT, 1)[0])
    assert math.isnan(row["items_mean"])
    assert math.isnan(row["skus_distinct"])


def test_every_row_of_a_shop_keeps_to_the_schema():
    days = shop(200, 420)
    seen = np.unique(days.customer[days.day <= CUT])
    SCHEMA.check(featurize(days, CUT, 200)[seen])


def test_extreme_histories_keep_to_the_schema():
    daily = np.arange(CUT - 10_000, CUT + 1)
    who = np.concatenate([np.zeros(len(daily), int), [1, 2, 2]])
    when = np.concatenate([daily, [CUT, CUT - 10_957, CUT]])  # thirty years between two purchases
    amount = np.concatenate([np.full(len(daily), 1e11), [1e13, 0.0, 0.0]])
    matrix = featurize(purchase_days(who, when, amount), CUT, 3)
    SCHEMA.check(matrix)
    assert by_name(matrix[0])["x"] == 10_000
    assert by_name(matrix[2])["overdue_ratio"] == 0


def test_nobody_at_all_is_an_empty_matrix():
    assert featurize(purchase_days([], [], []), CUT, 0).shape == (0, len(SCHEMA.columns))


def test_the_population_trend_compares_rates_of_customer_days():
    # One old customer: 3 purchases in 30 days, 3 in the 90 before; so three times the rate.
    days = purchase_days(
        [0] * 7, [CUT - 200, CUT - 100, CUT - 60, CUT - 35, CUT - 20, CUT - 9, CUT], [1.0] * 7
    )
    assert population_trend(days, CUT) == pytest.approx(3.0)


def test_the_population_trend_is_one_without_a_past():
    assert population_trend(purchase_days([0], [CUT], [1.0]), CUT) == 1.0
    assert population_trend(purchase_days([], [], []), CUT) == 1.0
