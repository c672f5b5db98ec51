"""The dialect of a CSV file from its first 64 KiB: delimiter, header, where the rows begin."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.customers.models import FileEmpty, FileFault

SAMPLE_BYTES = 64 << 10
_DELIMITERS = ",;\t|"
_ROWS_LOOKED_AT = 200


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        delimiter: One character.
        header: Column names.
        skip_lines: Lines before the first row: the header and blank lines above it.
    """

    delimiter: str
    header: tuple[str, ...]
    skip_lines: int


def check_delimiter(delimiter: str) -> None:
    """Raise InvalidArgument unless the text is empty or can delimit columns."""
    if delimiter and (len(delimiter) != 1 or ord(delimiter) > 127 or delimiter in '"\r\n\0'):
        raise InvalidArgument(
            "options.delimiter: expected one ASCII character other than a quote or a line end",
            violations=(Violation("options.delimiter", "cannot delimit columns"),),
        )


def find_dialect(sample: bytes, *, whole: bool, delimiter: str = "") -> Dialect:
    """The dialect of a file.

    Args:
        sample: First bytes, UTF-8 if the file is well formed.
        whole: Whether the sample is the whole file.
        delimiter: The delimiter if the caller stated it.

    Raises:
        FileFault: FILE_EMPTY, ENCODING_INVALID in the header, HEADER_MISSING when it does not end in
            the sample.
        InvalidArgument: ``delimiter`` cannot delimit.
    """
    check_delimiter(delimiter)
    if not sample.strip():
        raise FileEmpty("the file holds no rows")
    if not whole:
        end = max(sample.rfind(b"\n"), sample.rfind(b"\r"))
        if end < 0:
            raise FileFault(
                f"the first line does not end within {SAMPLE_BYTES} bytes; it must name the columns",
                reason="HEADER_MISSING",
            )
        sample = sample[: end + 1]
    text = sample.decode("utf-8", "replace")
    best = delimiter or max(_DELIMITERS, key=lambda mark: _agreement(text, mark))
    header, lines = _header(text, best)
    if any("�" in name or "\0" in name for name in header):
        raise FileFault(
            "the first line is not UTF-8 text; state the encoding of the file with the option encoding",
            reason="ENCODING_INVALID",
        )
    return Dialect(best, tuple(name.strip() for name in header), lines)


def _rows(text: str, delimiter: str) -> list[tuple[list[str], int]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[tuple[list[str], int]] = []
    try:
        for row in reader:
            if row:
                rows.append((row, reader.line_num))
            if len(rows) >= _ROWS_LOOKED_AT:
                break
    except csv.Error:
        pass
    return rows


def _agreement(text: str, delimiter: str) -> tuple[float, int]:
    widths = [len(row) for row, _ in _rows(text, delimiter)]
    if not widths or widths[0] < 2:
        return (0.0, 0)
    return (sum(width == widths[0] for width in widths) / len(widths), widths[0])


def _header(text: str, delimiter: str) -> tuple[list[str], int]:
    rows = _rows(text, delimiter)
    if not rows:
        raise FileFault("the first line must name the columns", reason="HEADER_MISSING")
    return rows[0]
