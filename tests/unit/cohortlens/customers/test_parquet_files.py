from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from cohortlens.core.errors import InvalidArgument


def table(**columns):
    given = {"customer": ["a", "b"], "ts": [date(2024, 1, 2), date(2024, 1, 3)], "amount": [1.5, 2.0]}
    return pa.table({**given, **columns})


@pytest.mark.parametrize(
    "times",
    [
        pa.array([date(2024, 1, 2), date(2024, 1, 3)]),
        pa.array(["2024-01-02", "20240103"]).dictionary_encode(),
        pa.array([20240102, 20240103], pa.int32()),
        pa.array(np.array(["2024-01-02", "2024-01-03"], "datetime64[ns]")),
        pa.array([datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC)]).cast(
            pa.timestamp("ms", "America/Lima")
        ),
    ],
)
def test_times_of_every_sensible_type_are_read(read, times):
    result = read(table(ts=times))
    assert [row["occurred_at"] for row in result.rows] == [
        datetime(2024, 1, 2, tzinfo=UTC),
        datetime(2024, 1, 3, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    "amounts",
    [
        pa.array([1, 2], pa.uint8()),
        pa.array(["1.00", "2"]),
        pa.array([Decimal("1.000"), Decimal("2.000")]),
        pa.array([1.0, 2.0], pa.float32()),
    ],
)
def test_numbers_of_every_sensible_type_are_read(read, amounts):
    assert [row["amount_minor"] for row in read(table(amount=amounts)).rows] == [100, 200]


def test_customers_stored_as_floats_are_whole_numbers_again(read):
    result = read(table(customer=pa.array([17850.0, None])))
    assert [row["external_id"] for row in result.rows] == ["17850"]
    assert result.faults == [(2, 0, "customer", "CUSTOMER_MISSING", "")]
    assert read(table(customer=pa.array([1.5, 2.0]))).reasons == {"ENCODING_INVALID": 1}


def test_a_nan_amount_is_a_row_fault(read):
    result = read(table(amount=[float("nan"), float("inf")]))
    assert result.reasons == {"AMOUNT_INVALID": 2}


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("customer", pa.array([b"a", b"b"])),
        ("customer", pa.array([True, False])),
        ("ts", pa.array([[1], [2]])),
        ("ts", pa.array([1.5, 2.5])),
        ("amount", pa.array([{"x": 1}, {"x": 2}])),
    ],
)
def test_a_column_of_a_type_that_cannot_serve_is_named_with_its_type(read, name, column):
    with pytest.raises(InvalidArgument) as caught:
        read(table(**{name: column}))
    assert caught.value.reason == "PARQUET_UNREADABLE"
    assert caught.value.metadata["column"] == name
    assert f"of type {str(column.type)[:5]}" in caught.value.message


def test_a_file_without_rows_is_empty(read):
    with pytest.raises(InvalidArgument) as caught:
        read(table().slice(0, 0))
    assert caught.value.reason == "FILE_EMPTY"


def test_a_giant_text_repeated_often_is_refused_by_its_expansion(read):
    giant = pa.array(["x" * 80_000_000]).dictionary_encode()
    data = pa.table(
        {
            "customer": pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), giant.dictionary),
            "ts": [date(2024, 1, 2)] * 1000,
            "amount": [1.0] * 1000,
        }
    )
    with pytest.raises(InvalidArgument) as caught:
        read(data)
    assert caught.value.reason == "EXPANSION_TOO_LARGE"
