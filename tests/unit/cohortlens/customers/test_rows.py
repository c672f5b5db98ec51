from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortlens.core.errors import InvalidArgument
from cohortlens.customers.importer import _repeats
from cohortlens.customers.parsing import instants
from cohortlens.customers.validation import to_minor


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29", utc(2024, 2, 29)),
        ("2024-02-29 8:05", utc(2024, 2, 29, 8, 5)),
        ("2024-02-29T08:05:06.123456789Z", utc(2024, 2, 29, 8, 5, 6, 123456)),
        ("2024-02-29T08:05:06,5", utc(2024, 2, 29, 8, 5, 6, 500000)),
        ("2024-03-01T00:30:00+0100", utc(2024, 2, 29, 23, 30)),
        ("2024-02-29T20:00-05:30", utc(2024, 3, 1, 1, 30)),
        ("20240229", utc(2024, 2, 29)),
        ("2024/2/9", utc(2024, 2, 9)),
        (" 2024-02-29 ", utc(2024, 2, 29)),
    ],
)
def test_dates_of_every_accepted_form_are_read(text, expected):
    # A second row of another form keeps the fast path from taking the column.
    values, bad = instants(pa.array([text, "19700101"]), day_first=None)
    assert not bad.any()
    assert int(values[0]) == round(expected.timestamp() * 1_000_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2023-02-29",
        "2024-13-01",
        "2024-00-10",
        "2024-01-32",
        "2024-01-01T24:00",
        "1e5",
        "99",
    ],
)
def test_a_date_that_does_not_exist_is_never_guessed(text):
    _, bad = instants(pa.array([text, "19700101"]), day_first=None)
    assert bad.tolist() == [True, False]


def test_slashed_dates_follow_the_order_that_the_whole_column_settles(read, csv):
    assert [r["occurred_at"] for r in read(csv("a,03/04/2024,1", "b,13/04/2024 10:30,1")).rows] == [
        utc(2024, 4, 3),
        utc(2024, 4, 13, 10, 30),
    ]
    assert read(csv("a,03/04/2024,1", "b,4/13/2024,1")).rows[0]["occurred_at"] == utc(2024, 3, 4)


def test_the_row_that_settles_the_order_may_stand_last_in_a_large_file(read, csv):
    rows = [f"c{n},03/04/2024,1" for n in range(300_000)] + ["z,25/12/2024,1"]
    result = read(csv(*rows))
    assert result.first_row["occurred_at"] == utc(2024, 4, 3)
    assert result.reasons == {}


@pytest.mark.parametrize("rows", [("a,03/04/2024,1",), ("a,13/04/2024,1", "b,04/13/2024,1")])
def test_slashed_dates_that_nothing_settles_refuse_the_file(read, csv, rows):
    with pytest.raises(InvalidArgument) as caught:
        read(csv(*rows))
    assert caught.value.reason == "DATE_AMBIGUOUS"
    assert caught.value.metadata["column"] == "date"


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (",2024-01-01,1,1,x,USD", "customer", "CUSTOMER_MISSING"),
        ("  ,2024-01-01,1,1,x,USD", "customer", "CUSTOMER_MISSING"),
        ("c" * 201 + ",2024-01-01,1,1,x,USD", "customer", "TEXT_TOO_LONG"),
        ("a,2024-01-01,1,1," + "s" * 201 + ",USD", "sku", "TEXT_TOO_LONG"),
        ("a,,1,1,x,USD", "date", "DATE_INVALID"),
        ("a,2024-02-30,1,1,x,USD", "date", "DATE_INVALID"),
        ("a,1969-12-31,1,1,x,USD", "date", "DATE_TOO_OLD"),
        ("a,2026-11-25,1,1,x,USD", "date", "DATE_FUTURE"),
        ("a,2024-01-01,,1,x,USD", "amount", "AMOUNT_INVALID"),
        ("a,2024-01-01,abc,1,x,USD", "amount", "AMOUNT_INVALID"),
        ("a,2024-01-01,NaN,1,x,USD", "amount", "AMOUNT_INVALID"),
        ("a,2024-01-01,-inf,1,x,USD", "amount", "AMOUNT_INVALID"),
        ("a,2024-01-01,1e999,1,x,USD", "amount", "AMOUNT_INVALID"),
        ('a,2024-01-01,"1,5",1,x,USD', "amount", "AMOUNT_INVALID"),
        ("a,2024-01-01,1e12,1,x,USD", "amount", "AMOUNT_OUT_OF_RANGE"),
        ("a,2024-01-01,1,many,x,USD", "quantity", "QUANTITY_INVALID"),
        ("a,2024-01-01,1,1e14,x,USD", "quantity", "QUANTITY_INVALID"),
        ("a,2024-01-01,1,1,x,EUR", "currency", "CURRENCY_MISMATCH"),
    ],
)
def test_a_bad_row_is_named_with_line_column_reason_and_value(read, csv, row, column, reason):
    header = "customer,date,amount,quantity,sku,currency"
    result = read(csv("ok,2024-01-01,1,1,x,USD", row, header=header), currency="USD")
    ((number, line, name, found, preview),) = result.faults
    assert (number, line, name, found) == (2, 3, column, reason)
    assert len(preview) <= 80
    assert len(result.rows) == 1


def test_tomorrow_in_another_zone_is_no_fault(read, csv):
    assert len(read(csv("a,2026-11-24T11:00:00Z,1")).rows) == 1


def test_only_the_first_thousand_faults_are_kept_and_all_are_counted(read, csv):
    result = read(csv(*[",2024-01-01,1"] * 1500, "a,2024-01-01,x"))
    assert len(result.faults) == 1000
    assert result.faults[-1][0] == 1000
    assert result.reasons == {"CUSTOMER_MISSING": 1500, "AMOUNT_INVALID": 1}


def test_abort_refuses_the_file_at_the_first_bad_row(read, csv):
    with pytest.raises(InvalidArgument, match=r"row 2 \(line 3\), column amount: AMOUNT_INVALID") as caught:
        read(csv("a,2024-01-01,1", "b,2024-01-01,x", "c,2024-01-01,y"), abort_on_fault=True)
    assert caught.value.reason == "ROW_INVALID"


def test_the_amount_is_unit_price_times_quantity_when_there_is_no_amount(read, csv):
    header = "customer,date,price,qty"
    result = read(csv("a,2024-01-01,2.55,6", "a,2024-01-01,0.005,1", "a,2024-01-01,1,-2", header=header))
    assert [(r["amount_minor"], r["quantity"]) for r in result.rows] == [(1530, 6), (0, 1), (-200, -2)]


def test_a_cancelled_row_takes_money_back(read, csv):
    header = "customer,date,amount,cancelled"
    result = read(csv("a,2024-01-01,5,true", "a,2024-01-01,-5,True", "a,2024-01-01,5,false", header=header))
    assert [row["amount_minor"] for row in result.rows] == [-500, -500, 500]


def test_money_follows_the_minor_unit_of_the_currency(read, csv):
    rows = csv("a,2024-01-01,1234.5")
    assert read(rows, currency="JPY").rows[0]["amount_minor"] == 1234
    assert read(rows, currency="KWD").rows[0]["amount_minor"] == 1234500


def test_the_currency_of_the_file_is_adopted_when_nobody_states_another(read, csv):
    data = csv("a,2024-01-01,1,eur", "b,2024-01-01,1,USD", header="customer,date,amount,currency")
    result = read(data)
    assert result.reading.currency == "EUR"
    assert result.faults == [(2, 3, "currency", "CURRENCY_MISMATCH", "USD")]
    assert read(data, known_currency="USD").reasons == {"CURRENCY_MISMATCH": 1}


def test_a_currency_other_than_that_of_earlier_data_refuses_the_file(read, csv):
    with pytest.raises(InvalidArgument) as caught:
        read(csv("a,2024-01-01,1"), known_currency="EUR", currency="USD")
    assert caught.value.reason == "CURRENCY_MISMATCH"


def test_equal_rows_get_different_keys_and_the_same_file_the_same_ones(read, csv):
    data = csv("a,2024-01-01,1", "a,2024-01-01,1", "b,2024-01-01,1", "a,2024-01-01,1.00")
    keys = [row["source_key"] for row in read(data).rows]
    assert len(set(keys)) == 4
    assert keys == [row["source_key"] for row in read(data).rows]
    assert read(csv("a,2024-01-01,1")).rows[0]["source_key"] == keys[0]


@given(st.lists(st.integers(0, 3), max_size=30))
def test_repeats_number_equal_rows_in_the_order_of_the_file(values):
    keys = np.array(values, np.uint64)
    expected = [(at, values[:at].count(value)) for at, value in enumerate(values) if value in values[:at]]
    rows, ordinals = _repeats(keys)
    assert list(zip(rows.tolist(), ordinals.tolist(), strict=True)) == expected


@given(
    st.decimals(-(10**9), 10**9, places=4),
    st.integers(-1000, 1000),
    st.sampled_from([0, 2, 3]),
)
def test_money_is_rounded_half_to_even_as_decimals(price, factor, digits):
    exact = (Decimal(repr(float(price))) * factor).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    found = to_minor(np.array([float(price)]), np.array([float(factor)]), digits)
    assert int(found[0]) == int(exact.scaleb(digits))
