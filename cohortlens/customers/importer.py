"""Phase one of an import: validate the whole file into accepted rows on disk; touches no tenant table.

Runs in a thread, in bounded memory: one batch of rows and a few bytes for each accepted row.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cohortlens.core.errors import Cancelled
from cohortlens.customers.batches import Source
from cohortlens.customers.erased import ErasedPeople
from cohortlens.customers.models import (
    MAX_ROWS,
    FileEmpty,
    FileFault,
    ImportAborted,
    ImportOptions,
    ImportTooLarge,
)
from cohortlens.customers.reader import open_source
from cohortlens.customers.survey import Survey
from cohortlens.customers.validation import ACCEPTED_SCHEMA, FaultLog, RowValidator

DEFAULT_CURRENCY = "USD"
_BATCH_ROWS = 65_536
_KEY_BYTES = 16


@dataclass
class Reading:
    """What phase one knows so far; also read by others while it runs, and after it failed.

    Attributes:
        ratio: Share of the file read, 0 to 1.
        rows_read: Rows seen.
        accepted: Rows that can be written.
        faults: Rows that cannot.
        currency: Currency of the amounts.
        columns_used: Column by field.
        columns_unused: Columns that no field uses.
        repeats: Positions (ascending) and ordinals of accepted rows equal to an earlier row of the file.
        stop: Set to end the work early.
    """

    ratio: float = 0.0
    rows_read: int = 0
    accepted: int = 0
    faults: FaultLog = field(default_factory=FaultLog)
    currency: str = ""
    columns_used: dict[str, str] = field(default_factory=dict)
    columns_unused: list[str] = field(default_factory=list)
    repeats: tuple[NDArray[np.int64], NDArray[np.int64]] = field(
        default_factory=lambda: (np.zeros(0, np.int64), np.zeros(0, np.int64))
    )
    stop: threading.Event = field(default_factory=threading.Event)


def read_file(
    path: Path,
    accepted_path: Path,
    options: ImportOptions,
    known_currency: str,
    now: datetime,
    reading: Reading,
    erased: ErasedPeople | None = None,
) -> None:
    """Validate a file; accepted rows go to a Parquet file of ``ACCEPTED_SCHEMA``, the rest into ``reading``.

    Args:
        path: The upload.
        accepted_path: Written anew.
        options: How to read it.
        known_currency: Currency of the tenant's earlier data, empty when there is none.
        now: Time of the import, aware.
        reading: Filled while the work goes on.
        erased: Whose rows are refused.

    Raises:
        FileFault: The file as a whole is refused.
        InvalidArgument: So is an option.
        Cancelled: ``reading.stop`` was set.
    """
    if not path.exists():
        raise FileFault("the uploaded file is gone; send it again", reason="FILE_LOST")
    if options.currency and known_currency and options.currency != known_currency:
        raise FileFault(
            f"options.currency is {options.currency}, but the data imported before is in {known_currency}",
            reason="CURRENCY_MISMATCH",
            metadata={"currency": known_currency},
        )
    source = open_source(path, options)
    reading.columns_used = source.column_map.columns_used
    reading.columns_unused = source.column_map.columns_unused
    validator = RowValidator(
        source.column_map, Survey(source), options.currency or known_currency, DEFAULT_CURRENCY, now, erased
    )
    reading.faults = validator.faults
    keys: list[NDArray[np.uint64]] = []
    with pq.ParquetWriter(accepted_path, ACCEPTED_SCHEMA, compression="lz4", use_dictionary=False) as writer:
        for batch in _validated(source, validator, options, reading):
            writer.write_batch(batch)
            keys.append(_as_numbers(batch.column("source_key")))
    reading.currency = validator.currency
    if not reading.rows_read:
        raise FileEmpty("the file holds no rows after its header")
    joined = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
    keys.clear()  # 40 MB at 5,000,000 rows
    reading.repeats = _repeats(joined)


def accepted_batches(accepted_path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """The accepted rows with their final source keys, as text in hex, in the order of the file."""
    rows, ordinals = reading.repeats
    start = 0
    with pq.ParquetFile(accepted_path) as file:
        for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
            keys = bytearray(_key_bytes(batch.column("source_key")))
            first, last = np.searchsorted(rows, [start, start + batch.num_rows])
            for row, ordinal in zip(rows[first:last] - start, ordinals[first:last], strict=True):
                at = int(row) * _KEY_BYTES
                keys[at : at + _KEY_BYTES] = _with_ordinal(bytes(keys[at : at + _KEY_BYTES]), int(ordinal))
            start += batch.num_rows
            text = pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(2 * _KEY_BYTES), batch.num_rows, [None, pa.py_buffer(keys.hex().encode())]
            )
            at = batch.schema.get_field_index("source_key")
            yield batch.set_column(at, "source_key", text.cast(pa.binary()).cast(pa.string()))


def _validated(
    source: Source, validator: RowValidator, options: ImportOptions, reading: Reading
) -> Iterator[pa.RecordBatch]:
    for raw in source.batches(_ratio_setter(reading)):
        if reading.stop.is_set():
            raise Cancelled("the import was stopped; it begins again")
        reading.rows_read += len(raw.rows) + len(raw.ragged)
        if reading.rows_read > MAX_ROWS:
            raise ImportTooLarge(f"the file holds more than {MAX_ROWS} rows; split it")
        batch = validator.validate(raw)
        if options.abort_on_fault and validator.faults.total:
            first = validator.faults.kept[0]
            raise ImportAborted(
                f"row {first.row} (line {first.line}), column {first.column or '-'}: {first.reason}; "
                "correct it, or import with on_error SKIP",
                metadata={"row": str(first.row), "column": first.column, "row_reason": first.reason},
            )
        reading.accepted += batch.num_rows
        yield batch


def _ratio_setter(reading: Reading) -> Callable[[float], None]:
    def set_ratio(ratio: float) -> None:
        reading.ratio = ratio

    return set_ratio


def _repeats(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions (ascending) and ordinals (from 1) of rows whose key stands earlier; shape (n,)."""
    order = np.argsort(keys, kind="stable")  # so equal keys keep the order of the file
    ascending = keys[order]
    repeated = np.flatnonzero(ascending[1:] == ascending[:-1]) + 1
    ordinals = repeated - np.searchsorted(ascending, ascending[repeated], side="left")
    rows = order[repeated]
    by_row = np.argsort(rows)
    return rows[by_row].astype(np.int64), ordinals[by_row].astype(np.int64)


def _with_ordinal(key: bytes, ordinal: int) -> bytes:
    return sha256(key + ordinal.to_bytes(8, "big")).digest()[:_KEY_BYTES]


def _key_bytes(column: pa.FixedSizeBinaryArray) -> bytes:
    data = memoryview(column.buffers()[1])
    return bytes(data[column.offset * _KEY_BYTES : (column.offset + len(column)) * _KEY_BYTES])


def _as_numbers(column: pa.FixedSizeBinaryArray) -> NDArray[np.uint64]:
    # Half of a key finds repeats as well: two of 5,000,000 rows share one by chance once in a million files.
    return np.frombuffer(_key_bytes(column), np.uint64)[::2].copy()
