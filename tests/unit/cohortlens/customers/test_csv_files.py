import gzip
import resource
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from cohortlens.core.errors import InvalidArgument
from cohortlens.customers.importer import Reading, read_file
from cohortlens.customers.models import FileFault, FileFormat, ImportOptions

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def refused(read, data, **options):
    with pytest.raises(InvalidArgument) as caught:
        read(data, **options)
    return caught.value


def test_a_plain_file_becomes_typed_rows(read, csv):
    result = read(csv("a,2024-01-02T03:04:05+02:00,3.5", "b,2024-01-03,-1"))
    assert result.reading.rows_read == 2
    assert [(r["external_id"], r["occurred_at"], r["amount_minor"]) for r in result.rows] == [
        ("a", datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC), 350),
        ("b", datetime(2024, 1, 3, tzinfo=UTC), -100),
    ]
    assert result.reading.columns_used == {"customer": "customer", "time": "date", "amount": "amount"}


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_delimiter_is_recognised(read, mark):
    rows = ["customer", "date", "amount", "note"], ["a", "2024-01-02", "3.50", '"x, y; z | w"']
    result = read("\n".join(mark.join(row) for row in rows).encode())
    assert [row["amount_minor"] for row in result.rows] == [350]


def test_a_stated_delimiter_is_used(read):
    result = read(b"customer:date:amount\na:2024-01-02:1\n", delimiter=":")
    assert len(result.rows) == 1


def test_decimal_commas_are_read_in_a_file_with_semicolons(read, csv):
    rows = ("a;2024-01-02;1.234,50", "b;2024-01-02;7", "c;2024-01-02;1.5")
    result = read(csv(*rows, header="customer;date;amount"))
    assert [row["amount_minor"] for row in result.rows] == [123450, 700]
    assert result.faults == [(3, 4, "amount", "AMOUNT_INVALID", "1.5")]


def test_a_semicolon_file_with_decimal_points_keeps_them(read, csv):
    result = read(csv("a;2024-01-02;1.5", header="customer;date;amount"))
    assert result.rows[0]["amount_minor"] == 150


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data(read):
    result = read(b"\xef\xbb\xbfcustomer,date,amount\r\na,2024-01-02,1\r\n")
    assert result.reading.columns_used["customer"] == "customer"
    assert result.rows[0]["amount_minor"] == 100


def test_ragged_rows_and_quoted_line_ends_keep_row_and_line_numbers_right(read, csv):
    data = csv(
        "a,2024-01-01,1,ok",
        'b,2024-01-01,1,"two\nlines"',
        "c,2024-01-01",
        "",
        "d,2024-01-01,x,",
        "e,2024-01-01,1,ok,more",
        header="customer,date,amount,note",
    )
    result = read(data)
    assert result.faults == [
        (3, 5, "", "COLUMN_COUNT", "c,2024-01-01"),
        (5, 7, "amount", "AMOUNT_INVALID", "x"),
        (6, 8, "", "COLUMN_COUNT", "e,2024-01-01,1,ok,more"),
    ]
    assert result.reading.rows_read == 5
    assert [row["external_id"] for row in result.rows] == ["a", "b"]


def test_row_numbers_hold_across_blocks_of_a_large_file(read, csv):
    filler = "x" * 1000
    rows = [f"c{n},2024-01-01,1,{filler}" for n in range(12_000)]
    rows[11] = "short,row"
    rows[9_000] = f"c9000,2024-01-01,bad,{filler}"
    rows[9_500] = f'c9500,2024-01-01,1,"{filler}\n"'
    rows[11_999] = "last,row"
    result = read(csv(*rows, header="customer,date,amount,note"))
    assert [(fault[0], fault[1], fault[3]) for fault in result.faults] == [
        (12, 13, "COLUMN_COUNT"),
        (9_001, 9_002, "AMOUNT_INVALID"),
        (12_000, 12_002, "COLUMN_COUNT"),
    ]
    assert len(result.rows) == 11_997


def test_the_last_row_needs_no_line_end(read):
    assert len(read(b"customer,date,amount\na,2024-01-02,1").rows) == 1


def test_bytes_that_are_no_utf8_refuse_their_row_only(read):
    result = read(b"customer,date,amount\nJos\xe9,2024-01-02,1\nbob,2024-01-02,1\n")
    assert result.faults == [(1, 2, "customer", "ENCODING_INVALID", "Jos�")]
    assert [row["external_id"] for row in result.rows] == ["bob"]


def test_a_declared_encoding_is_used(read):
    result = read("customer,date,amount\nJosé,2024-01-02,1\n".encode("cp1252"), encoding="cp1252")
    assert result.rows[0]["external_id"] == "José"
    text = "customer,date,amount\nJosé,2024-01-02,1\n"
    assert read(text.encode("utf-16"), encoding="utf-16").rows[0]["external_id"] == "José"


def test_a_byte_outside_the_declared_encoding_refuses_its_row_only(read):
    result = read(b"customer,date,amount\na\x81b,2024-01-02,1\nc,2024-01-02,1\n", encoding="cp1252")
    assert result.reasons == {"ENCODING_INVALID": 1}
    assert len(result.rows) == 1


def test_utf16_that_was_not_declared_is_refused_with_the_way_out(read):
    fault = refused(read, "customer,date,amount\n".encode("utf-16"))
    assert fault.reason == "ENCODING_INVALID"
    assert "encoding" in fault.message


def test_an_unknown_encoding_names_the_option(read, csv):
    fault = refused(read, csv("a,2024-01-02,1"), encoding="klingon")
    assert fault.violations[0].field == "options.encoding"


def test_a_nul_byte_refuses_its_row(read):
    result = read(b"customer,date,amount\na\0b,2024-01-02,1\nc,2024-01-02,1\n")
    assert result.faults == [(1, 2, "customer", "ENCODING_INVALID", "a�b")]


def test_a_quote_that_is_never_closed_is_reported_where_it_opens(read, csv):
    result = read(csv("a,2024-01-01,1", '"b,2024-01-01,1', "c,2024-01-01,1"))
    assert [(fault[0], fault[1], fault[3]) for fault in result.faults] == [(2, 3, "COLUMN_COUNT")]
    assert result.faults[0][4].startswith('"b,2024-01-01,1')
    assert [row["external_id"] for row in result.rows] == ["a"]


def test_a_line_without_end_is_refused_and_named(read, csv):
    fault = refused(read, csv("a,2024-01-02,1", "b,2024-01-02," + "9" * (9 << 20)))
    assert fault.reason == "LINE_TOO_LONG"


def test_a_line_of_one_gigabyte_behind_good_rows_is_refused_in_bounded_memory(tmp_path, csv):
    upload, reading = tmp_path / "file", Reading()
    with upload.open("wb") as file:
        file.write(csv(*["a,2024-01-02,1"] * 200_000))
        file.truncate(1 << 30)  # a hole: a line without end that takes no space on the disk
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileFault) as caught:
        read_file(upload, tmp_path / "accepted", ImportOptions(), "", NOW, reading)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert caught.value.reason == "LINE_TOO_LONG"
    assert int(caught.value.metadata["line"]) <= 200_002
    assert grown_kib < 384 * 1024


def test_a_first_line_without_end_is_refused(read):
    assert refused(read, b"x" * (1 << 20)).reason == "HEADER_MISSING"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "FILE_EMPTY"),
        (b"\n \n", "FILE_EMPTY"),
        (b"customer,date,amount\n", "FILE_EMPTY"),
        (b"customer,date,amount\n\n,,\n", "FILE_EMPTY"),
        (b"a,b,c\n1,2,3\n", "HEADER_MISSING"),
        (b"Customer,customer,date,amount\n1,2,3,4\n", "HEADER_AMBIGUOUS"),
        (b"PK\x03\x04zip", "COMPRESSION_UNSUPPORTED"),
        (b"BZh91AY", "COMPRESSION_UNSUPPORTED"),
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "FORMAT_UNSUPPORTED"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "FORMAT_UNSUPPORTED"),
        (b"\x1f\x8bnonsense", "COMPRESSION_UNSUPPORTED"),
        (b"PAR1 and nothing more", "PARQUET_UNREADABLE"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(read, data, reason):
    assert refused(read, data).reason == reason


def test_gzip_and_zstd_files_are_unpacked(read, csv):
    data = csv("a,2024-01-02,1", "b,2024-01-02,2")
    plain = read(data).rows
    assert read(gzip.compress(data)).rows == plain
    assert read(pa.compress(data, "zstd", asbytes=True)).rows == plain
    assert read(gzip.compress(data[:20]) + gzip.compress(data[20:])).rows == plain


def test_a_gzip_file_that_was_cut_short_is_refused(read, csv):
    data = gzip.compress(csv(*(f"c{n},2024-01-02,{n}" for n in range(5000))))
    assert refused(read, data[:-40]).reason == "COMPRESSION_UNSUPPORTED"


def test_a_gzip_bomb_is_refused_before_it_unfolds(read, csv):
    bomb = gzip.compress(csv(*["a,2024-01-02,1"] * 3_000_000))
    fault = refused(read, bomb)
    assert fault.reason == "EXPANSION_TOO_LARGE"
    assert isinstance(fault, FileFault)


def test_a_file_said_to_be_parquet_is_read_as_such(read, csv):
    assert refused(read, csv("a,2024-01-02,1"), format=FileFormat.PARQUET).reason == "PARQUET_UNREADABLE"
