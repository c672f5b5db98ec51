"""An uploaded input is checked row by row before anything is kept; a fault names row and column."""

from __future__ import annotations

import gzip
import io
import threading
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cohortlens.analytics.batches import files, uploads
from cohortlens.analytics.batches.models import InputFault
from cohortlens.contracts.batch_files import BatchFolder
from cohortlens.contracts.features import SCHEMA

NULLABLE = "gap_mean"


@pytest.fixture
def folder(tmp_path):
    made = BatchFolder(tmp_path, uuid4(), uuid4())
    made.make()
    return made


def columns(rows=5):
    """Values in bounds by column; row r of column c holds something that names both."""
    made = {"id": [f"row-{row}" for row in range(rows)]}
    for at, column in enumerate(SCHEMA.columns):
        made[column.name] = [min(column.maximum, (at + 1) * (row + 1) / 1000) for row in range(rows)]
    return made


def csv_of(given, delimiter=","):
    lines = [delimiter.join(given)]
    lines += [
        delimiter.join("" if value is None else str(value) for value in row)
        for row in zip(*given.values(), strict=True)
    ]
    return "\n".join(lines).encode()


def parquet_of(given):
    sink = io.BytesIO()
    pq.write_table(pa.table(given), sink)
    return sink.getvalue()


def stored(folder, data, slice_rows=2, id_column="id"):
    """What was kept of a file: identifiers and float32 rows, with the slices' sizes."""
    path = folder.path / "upload"
    path.write_bytes(data)
    rows = uploads.convert(path, folder.input, id_column, slice_rows, threading.Event())
    sizes = files.slice_sizes(folder.input)
    assert sum(sizes) == rows
    read = [files.read_slice(folder.input, at, 0) for at in range(len(sizes))]
    return (
        [name for one in read for name in one.ids.to_pylist()],
        np.concatenate([one.matrix for one in read]),
        sizes,
    )


def refused(folder, data):
    with pytest.raises(InputFault) as caught:
        stored(folder, data)
    assert not folder.input.exists()
    return caught.value


@pytest.mark.parametrize("form", ["csv", "semicolons", "gzip", "parquet", "parquet with whole numbers"])
def test_a_file_in_any_form_and_order_of_columns_is_kept_in_schema_order(folder, form):
    given = dict(reversed(columns().items()))
    if form == "parquet with whole numbers":
        given["age"], given["id"] = [3, 4, 5, 6, 7], [11, 12, 13, 14, 15]
    data = {
        "csv": lambda: csv_of(given),
        "semicolons": lambda: csv_of(given, ";"),
        "gzip": lambda: gzip.compress(csv_of(given)),
    }.get(form, lambda: parquet_of(given))()
    ids, matrix, sizes = stored(folder, data)
    assert ids == [str(name) for name in given["id"]]
    assert sizes == [2, 2, 1]
    expected = np.array([given[name] for name in SCHEMA.names], np.float64).T.astype(np.float32)
    expected[:, SCHEMA.index("horizon")] = 0
    assert matrix.tobytes() == expected.tobytes()


def test_the_horizon_may_be_left_out_and_an_unknown_value_where_the_schema_allows_it(folder):
    given = columns()
    del given["horizon"]
    given[NULLABLE][3] = None
    for data in (csv_of(given), parquet_of(given)):
        _, matrix, _ = stored(folder, data)
        assert np.isnan(matrix[3, SCHEMA.index(NULLABLE)])
        assert np.isnan(matrix).sum() == 1


def test_missing_unknown_and_doubled_columns_are_all_named_at_once(folder):
    given = columns()
    del given["age"], given["since"]
    header = [*given, "shoe_size", "x"]
    fault = refused(folder, ",".join(header).encode() + b"\n" + b"1," * len(given) + b"2,3\n")
    assert fault.reason == "COLUMNS_INVALID"
    assert "missing: age, since" in fault.message
    assert "unknown: 'shoe_size'" in fault.message
    assert "more than once: 'x'" in fault.message


@pytest.mark.parametrize("form", [csv_of, parquet_of])
@pytest.mark.parametrize(
    ("column", "value", "reason", "text"),
    [
        ("age", -1.0, "FEATURE_OUT_OF_RANGE", "-1 lies outside 0 to 40000 (d)"),
        ("sum", 1e300, "FEATURE_OUT_OF_RANGE", "lies outside"),
        ("sum", float("inf"), "VALUE_NOT_FINITE", "inf is not finite"),
        ("age", float("nan"), "VALUE_NOT_FINITE", "missing"),
        ("age", None, "VALUE_NOT_FINITE", "missing"),
        (NULLABLE, float("inf"), "VALUE_NOT_FINITE", "inf is not finite"),
    ],
)
def test_a_bad_value_is_named_with_its_row_and_column(folder, form, column, value, reason, text):
    given = columns()
    given[column][3] = value
    fault = refused(folder, form(given))
    assert (fault.reason, fault.metadata) == (reason, {"column": column, "row": "4"})
    assert fault.message.startswith(f"row 4, column {column!r}: ")
    assert text in fault.message


def test_text_in_place_of_a_number_is_named_with_its_row_and_column(folder):
    given = columns()
    given["lines_mean"][4] = "many"
    fault = refused(folder, csv_of(given))
    assert (fault.reason, fault.metadata) == ("VALUE_INVALID", {"column": "lines_mean", "row": "5"})
    assert "'many' is not a number" in fault.message


@pytest.mark.parametrize(("name", "why"), [("", "is empty"), ("n" * 201, "has over 200 characters")])
def test_an_identifier_that_cannot_be_one_is_refused(folder, name, why):
    given = columns()
    given["id"][1] = name
    fault = refused(folder, csv_of(given))
    assert (fault.reason, fault.metadata["row"]) == ("ID_INVALID", "2")
    assert why in fault.message


def test_a_row_of_another_length_is_named(folder):
    lines = csv_of(columns()).split(b"\n")
    lines[3] += b",7"
    fault = refused(folder, b"\n".join(lines))
    assert (fault.reason, fault.metadata["row"]) == ("FILE_INVALID", "3")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PAR1 this is no Parquet PAR1", "FILE_INVALID"),
        (b"PK\x03\x04" + bytes(100), "FILE_INVALID"),
        (csv_of(columns(0)) + b"\n", "FILE_EMPTY"),
        (b"\n\n", "FILE_EMPTY"),
    ],
)
def test_what_is_no_table_of_rows_is_refused(folder, data, reason):
    assert refused(folder, data).reason == reason


def test_a_column_of_the_wrong_type_is_named(folder):
    given = columns()
    given["age"] = [str(value) for value in given["age"]]
    fault = refused(folder, parquet_of(given))
    assert (fault.reason, fault.metadata) == ("COLUMNS_INVALID", {"column": "age"})


def test_more_rows_than_allowed_are_refused(folder, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_INPUT_ROWS", 4)
    assert refused(folder, csv_of(columns(5))).reason == "INPUT_TOO_LARGE"


async def test_a_file_larger_than_allowed_is_refused_while_it_comes(folder, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_INPUT_BYTES", 1000)
    sent = []

    async def chunks():
        for _ in range(100):
            sent.append(300)
            yield b"x" * 300

    with pytest.raises(InputFault) as caught:
        await uploads.receive(folder, chunks(), "id", 10)
    assert caught.value.reason == "INPUT_TOO_LARGE"
    assert len(sent) == 4
    assert list(folder.path.iterdir()) == []


async def test_the_facts_of_an_accepted_file_are_told(folder):
    data = csv_of(columns(7))

    async def chunks():
        yield data[:100]
        yield data[100:]

    facts = await uploads.receive(folder, chunks(), "id", 3)
    assert (facts.rows, facts.file_bytes) == (7, len(data))
    assert [path.name for path in folder.path.iterdir()] == ["input.parquet"]
