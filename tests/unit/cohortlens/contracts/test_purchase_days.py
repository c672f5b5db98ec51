import numpy as np
import pytest

from cohortlens.contracts.purchase_days import PurchaseDays, PurchaseDaysInvalid, purchase_days
from tests.fixtures.shops import orders_of


def rows_of(days: PurchaseDays) -> list[tuple]:
    columns = (days.customer, days.day, days.amount, days.orders, days.returns)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_orders_of_one_day_become_one_purchase_day():
    days = purchase_days(
        [1, 0, 1], [5, 5, 5], [10.0, 3.0, 2.5], items=[4, 1, 2], skus=[2, 1, 1], lines=[3, 1, 1]
    )
    assert rows_of(days) == [(0, 5, 3.0, 1, 0.0), (1, 5, 12.5, 2, 0.0)]
    assert days.items.tolist() == [1, 6]
    assert days.skus.tolist() == [1, 3]
    assert days.lines.tolist() == [1, 4]


def test_a_sale_reversed_on_its_day_vanishes_with_its_reversal():
    days = purchase_days([0, 0, 0], [5, 5, 5], [77_183.60, -77_183.60, 20.0])
    assert rows_of(days) == [(0, 5, 20.0, 1, 0.0)]


def test_a_fully_reversed_day_is_no_purchase_day():
    assert len(purchase_days([0, 0], [5, 5], [168_469.60, -168_469.60])) == 0


def test_amounts_that_differ_by_less_than_a_cent_reverse_each_other():
    assert len(purchase_days([0, 0], [5, 5], [10.0, -10.0004])) == 0
    assert rows_of(purchase_days([0, 0], [5, 5], [10.0, -10.02])) == [(0, 5, 10.0, 1, 10.02)]


def test_one_negative_order_drops_every_sale_of_its_amount():
    assert len(purchase_days([0, 0, 0], [5, 5, 5], [10.0, 10.0, -10.0])) == 0


def test_a_reversal_on_another_day_or_of_another_customer_is_a_return():
    days = purchase_days([0, 0, 1], [5, 6, 5], [10.0, -10.0, -10.0])
    assert rows_of(days) == [(0, 5, 10.0, 1, 0.0), (0, 6, 0.0, 0, 10.0), (1, 5, 0.0, 0, 10.0)]


def test_a_free_order_is_a_purchase_day():
    assert rows_of(purchase_days([0], [5], [0.0])) == [(0, 5, 0.0, 1, 0.0)]


def test_unknown_baskets_stay_unknown():
    days = purchase_days([0, 0], [5, 6], [10.0, -4.0])
    assert np.isnan(days.items[0])
    assert days.items[1] == 0  # nothing was sold on a day of returns
    assert days.skus.tolist() == days.lines.tolist() == [0, 0]


def test_the_order_of_the_rows_changes_no_bit():
    orders = orders_of(60, 200)
    orders["amount"][::7] *= -1
    given = purchase_days(orders["customer"], orders["day"] // 9, orders["amount"], items=orders["items"] / 7)
    shuffled = np.random.default_rng(3).permutation(len(orders["day"]))
    again = purchase_days(
        orders["customer"][shuffled],
        orders["day"][shuffled] // 9,
        orders["amount"][shuffled],
        items=orders["items"][shuffled] / 7,
    )
    assert given.returns.any()
    for name, column in given.columns().items():
        assert column.tobytes() == again.columns()[name].tobytes(), name


def test_a_day_is_known_when_its_last_order_is():
    days = purchase_days([0, 0], [5, 5], [1.0, 2.0], known=[5, 40])
    assert days.known.tolist() == [40]
    assert len(days.until(39)) == 0
    assert len(days.until(40)) == 1


def test_no_orders_make_no_purchase_days():
    assert len(purchase_days([], [], [])) == 0


@pytest.mark.parametrize("amount", [np.nan, np.inf, -np.inf])
def test_an_amount_that_is_not_finite_is_refused(amount):
    with pytest.raises(PurchaseDaysInvalid, match="finite"):
        purchase_days([0, 0], [1, 2], [1.0, amount])


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(PurchaseDaysInvalid, match="length"):
        purchase_days([0, 1], [1, 2], [1.0])
    with pytest.raises(PurchaseDaysInvalid, match="length"):
        purchase_days([0, 1], [1, 2], [1.0, 2.0], items=[1])


def test_stored_columns_come_back_sorted():
    columns = purchase_days([2, 0, 1], [7, 5, 6], [1.0, 2.0, 3.0]).columns()
    backwards = {name: column[::-1] for name, column in columns.items()}
    assert rows_of(PurchaseDays.from_columns(backwards)) == [
        (0, 5, 2.0, 1, 0.0),
        (1, 6, 3.0, 1, 0.0),
        (2, 7, 1.0, 1, 0.0),
    ]


def test_stored_rows_without_known_count_from_their_day():
    columns = purchase_days([0], [5], [1.0], known=[9]).columns()
    del columns["known"]
    assert PurchaseDays.from_columns(columns).known.tolist() == [5]


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("amount", [np.nan, 1.0], "amounts"),
        ("amount", [-1.0, 1.0], "amounts"),
        ("amount", [2e15, 1.0], "amounts"),
        ("returns", [np.inf, 1.0], "returns"),
        ("customer", [-1, 1], "Customer"),
        ("orders", [-1, 1], "orders"),
        ("day", [5, 5, 5], "length"),
    ],
)
def test_stored_columns_that_no_shop_can_have_are_refused(name, values, text):
    columns = dict(purchase_days([0, 1], [5, 5], [1.0, 2.0]).columns())
    columns[name] = np.array(values)
    with pytest.raises(PurchaseDaysInvalid, match=text):
        PurchaseDays.from_columns(columns)


def test_two_rows_of_one_customer_and_day_are_refused():
    columns = dict(purchase_days([0, 1], [5, 5], [1.0, 2.0]).columns())
    columns["customer"] = np.array([0, 0])
    with pytest.raises(PurchaseDaysInvalid, match="two rows of one day"):
        PurchaseDays.from_columns(columns)


def test_a_missing_column_is_named():
    columns = dict(purchase_days([0], [5], [1.0]).columns())
    del columns["returns"]
    with pytest.raises(PurchaseDaysInvalid, match="returns"):
        PurchaseDays.from_columns(columns)
