"""CSV files of transactions as batches of raw columns, in bounded memory; used by the reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from cohortlens.contracts.columns import recognise
from cohortlens.customers.batches import RawBatch
from cohortlens.customers.dialect import SAMPLE_BYTES, Dialect, find_dialect
from cohortlens.customers.models import FileEmpty, FileFault, ImportOptions
from cohortlens.customers.streams import CsvStream, check_encoding

_BLOCK_BYTES = 4 << 20


class CsvSource:
    """A CSV file: plain, gzip or zstd; any encoding Python knows.

    Args:
        path: The file.
        options: How to read it.
    """

    def __init__(self, path: Path, options: ImportOptions) -> None:
        self._path = path
        self._encoding = check_encoding(options.encoding)
        with CsvStream(path, self._encoding) as stream:
            sample, whole = _sample(stream)
        self._dialect: Dialect = find_dialect(sample, whole=whole, delimiter=options.delimiter)
        self.column_map = recognise(self._dialect.header, options.columns)

    @property
    def delimiter(self) -> str:
        """The delimiter in use."""
        return self._dialect.delimiter

    def batches(self, progress: Callable[[float], None] | None = None) -> Iterator[RawBatch]:
        """The rows from the start; see ``Source``."""
        ragged: list[tuple[int, str]] = []
        names = [str(position) for position in range(len(self._dialect.header))]

        def refuse(row: Any) -> str:
            ragged.append((row.number - self._dialect.skip_lines, _row_text(row)))
            return "skip"

        with CsvStream(self._path, self._encoding) as stream:
            numbering = _Numbering(ragged, self._dialect.skip_lines)
            try:
                for batch in self._open(stream, names, refuse):
                    yield self._batch(batch, numbering)
                    if progress is not None:
                        progress(stream.consumed_ratio)
            except pa.ArrowInvalid as error:
                raise stream.fault or _csv_fault(error, numbering.next_line) from error
            if numbering.pending():
                yield RawBatch(
                    {f: pa.array([], pa.binary()) for f in self.column_map.used}, *numbering.rest()
                )

    def _open(
        self, stream: CsvStream, names: list[str], refuse: Callable[[Any], str]
    ) -> pacsv.CSVStreamingReader:
        return pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(
                use_threads=False,
                block_size=_BLOCK_BYTES,
                skip_rows=self._dialect.skip_lines,
                column_names=names,
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=self._dialect.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=refuse,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.binary()),
                strings_can_be_null=False,
                null_values=[],
            ),
        )

    def _batch(self, batch: pa.RecordBatch, numbering: _Numbering) -> RawBatch:
        rows, lines, ragged = numbering.take(batch)
        filled = np.zeros(batch.num_rows, np.bool_)
        for column in batch.columns:
            filled |= pc.binary_length(column).to_numpy(zero_copy_only=False) > 0
        kept = pa.array(filled)
        columns = {f: batch.column(at) for f, at in self.column_map.used.items()}
        if not filled.all():
            columns = {f: column.filter(kept) for f, column in columns.items()}
            rows, lines = rows[filled], lines[filled]
        return RawBatch(columns, rows, lines, ragged)


class _Numbering:
    """Row and line numbers across batches, around rows that the reader skipped and quoted line ends."""

    def __init__(self, ragged: list[tuple[int, str]], skip_lines: int) -> None:
        self._ragged = ragged
        self._skip_lines = skip_lines
        self._next_row = 1
        self._extra_lines = 0
        self._told = 0

    @property
    def next_line(self) -> int:
        return self._next_row + self._skip_lines + self._extra_lines

    def pending(self) -> bool:
        return self._told < len(self._ragged)

    def rest(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[tuple[int, int, str]]]:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, self._tell(len(self._ragged) - self._told)

    def take(
        self, batch: pa.RecordBatch
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], list[tuple[int, int, str]]]:
        skipped = np.array([row for row, _ in self._ragged[self._told :]], np.int64) - self._next_row
        # The reader parses ahead: only rows skipped before the last row of this batch belong here.
        before = skipped - np.arange(len(skipped))
        position = np.arange(batch.num_rows, dtype=np.int64)
        rows = position + np.searchsorted(before, position, side="right") + self._next_row
        breaks = _line_breaks(batch)
        lines = rows + self._skip_lines + self._extra_lines + np.cumsum(breaks) - breaks
        taken = int(np.searchsorted(before, batch.num_rows - 1, side="right")) if batch.num_rows else 0
        ragged = self._tell(taken, rows, lines)
        if batch.num_rows:
            self._next_row = int(rows[-1]) + 1
            self._extra_lines += int(breaks.sum())
        return rows, lines, ragged

    def _tell(
        self, count: int, rows: NDArray[np.int64] | None = None, lines: NDArray[np.int64] | None = None
    ) -> list[tuple[int, int, str]]:
        told = self._ragged[self._told : self._told + count]
        self._told += count
        result = []
        for row, text in told:
            extra = self._extra_lines
            if rows is not None and lines is not None and len(rows):
                at = int(np.searchsorted(rows, row))
                extra = int(lines[at] - rows[at] - self._skip_lines) if at < len(rows) else extra
            result.append((row, row + self._skip_lines + extra, text))
        return result


def _line_breaks(batch: pa.RecordBatch) -> NDArray[np.int64]:
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        data = column.buffers()[2]
        if data is not None and (np.frombuffer(data, np.uint8) == ord("\n")).any():
            total += pc.count_substring(column, b"\n").to_numpy(zero_copy_only=False)
    return total


def _sample(stream: CsvStream) -> tuple[bytes, bool]:
    parts: list[bytes] = []
    size = 0
    while size < SAMPLE_BYTES:
        part = stream.read(SAMPLE_BYTES - size)
        if not part:
            return b"".join(parts), True
        parts.append(part)
        size += len(part)
    return b"".join(parts), False


def _row_text(row: Any) -> str:
    try:
        return str(row.text)
    except UnicodeDecodeError:
        return ""


def _csv_fault(error: Exception, line: int) -> FileFault:
    text = str(error)
    if "straddling" in text:
        return FileFault(
            f"line {line} or one soon after it is longer than {_BLOCK_BYTES >> 20} MiB, "
            "or a quote is never closed",
            reason="LINE_TOO_LONG",
            metadata={"line": str(line)},
        )
    if "Empty CSV" in text:
        return FileEmpty("the file holds no rows after its header")
    return FileFault(
        f"the file cannot be read as CSV near line {line}; check quotes and line ends",
        metadata={"line": str(line)},
    )
