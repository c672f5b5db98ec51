"""Uploaded tables of features, Parquet or CSV, as batches: an identifier and the columns of the schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from cohortlens.analytics.batches.models import MAX_INPUT_ROWS, InputFault
from cohortlens.analytics.ports import Values
from cohortlens.contracts.features import SCHEMA
from cohortlens.customers.dialect import SAMPLE_BYTES, Dialect, find_dialect
from cohortlens.customers.models import FileEmpty, FileFault
from cohortlens.customers.streams import PARQUET_MAGIC, CsvStream

_BATCH_ROWS = 16_384
_BLOCK_BYTES = 4 << 20
_FREE_EXPANSION_BYTES = 256 << 20
_MAX_EXPANSION = 200
_OPTIONAL = "horizon"
_SHOWN = 10


@dataclass(frozen=True)
class TableBatch:
    """Some rows of a file.

    Attributes:
        ids: Identifiers, strings; null where the file holds none.
        values: Shape (n, columns of the schema), float64; NaN where the file holds nothing, 0 for an absent
            horizon.
        id_column: Name of the identifying column.
    """

    ids: pa.StringArray
    values: Values
    id_column: str


def open_table(path: Path, id_column: str) -> Iterator[TableBatch]:
    """The rows of a file.

    Args:
        path: Parquet, or CSV (plain, gzip, zstd; comma, semicolon, tab or bar).
        id_column: Column that identifies a row.

    Raises:
        InputFault: The file, its columns or a value cannot be read.
    """
    with path.open("rb") as file:
        is_parquet = file.read(4) == PARQUET_MAGIC
    try:
        yield from _parquet(path, id_column) if is_parquet else _csv(path, id_column)
    except FileFault as fault:
        reason = "FILE_EMPTY" if isinstance(fault, FileEmpty) else "FILE_INVALID"
        raise InputFault(fault.message, reason) from fault


def check_columns(names: Sequence[str], id_column: str) -> None:
    """Raise InputFault unless the columns are the identifier's and those of the schema, each once."""
    counted = Counter(names)
    wanted = {id_column, *SCHEMA.names}
    faults = [
        f"{what}: {', '.join(found[:_SHOWN])}{', ...' if len(found) > _SHOWN else ''}"
        for what, found in (
            (
                "missing",
                [name for name in (id_column, *SCHEMA.names) if name not in counted and name != _OPTIONAL],
            ),
            ("unknown", [repr(name[:40]) for name in counted if name not in wanted]),
            ("more than once", [repr(name[:40]) for name, times in counted.items() if times > 1]),
        )
        if found
    ]
    if id_column in SCHEMA.names:
        faults.append(f"{id_column} names a feature; the identifier needs a column of its own")
    if faults:
        raise InputFault(
            f"the columns do not fit {SCHEMA.name} v{SCHEMA.version}: {'; '.join(faults)}; "
            "GetFeatureSchema lists the columns",
            "COLUMNS_INVALID",
        )


def _parquet(path: Path, id_column: str) -> Iterator[TableBatch]:
    done = 0
    try:
        with pq.ParquetFile(path) as file:
            _check_parquet(path, file, id_column)
            for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
                ids = batch.column(id_column).cast(pa.string())
                yield TableBatch(ids, _values(batch), id_column)
                done += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        text = f"the Parquet file is damaged after row {done}" if done else "the Parquet file cannot be read"
        raise InputFault(text, "FILE_INVALID") from error


def _check_parquet(path: Path, file: pq.ParquetFile, id_column: str) -> None:
    schema, metadata = file.schema_arrow, file.metadata
    check_columns(schema.names, id_column)
    for name in schema.names:
        kind = schema.field(name).type
        fine = _is_number(kind) if name != id_column else _is_name(kind)
        if not fine:
            expected = "text or whole numbers" if name == id_column else "numbers"
            raise InputFault(
                f"column {name!r} is of type {str(kind)[:80]}; expected {expected}",
                "COLUMNS_INVALID",
                column=name,
            )
    if metadata.num_rows > MAX_INPUT_ROWS:
        raise InputFault(
            f"the file holds {metadata.num_rows} rows; at most {MAX_INPUT_ROWS}, split it", "INPUT_TOO_LARGE"
        )
    size = sum(metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    if size > max(_FREE_EXPANSION_BYTES, _MAX_EXPANSION * path.stat().st_size):
        raise InputFault(
            f"the file unpacks to more than {_MAX_EXPANSION} times its size; write it plainer", "FILE_INVALID"
        )


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind)
    )


def _is_name(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind))


def _values(batch: pa.RecordBatch) -> Values:
    values = np.zeros((batch.num_rows, len(SCHEMA.columns)), np.float64)
    names = set(batch.schema.names)
    for at, name in enumerate(SCHEMA.names):
        if name in names:
            # Nothing is unknown: NaN, which the schema allows in some columns.
            column = batch.column(name).cast(pa.float64())
            values[:, at] = pc.fill_null(column, np.nan).to_numpy(zero_copy_only=False)
    return values


def _csv(path: Path, id_column: str) -> Iterator[TableBatch]:
    dialect = _dialect(path)
    check_columns(dialect.header, id_column)
    try:
        yield from _csv_batches(path, dialect, id_column, pa.float64())
    except pa.ArrowInvalid:
        # The reader tells the column but not the row: the file is read again as text to name both.
        _explain(path, dialect, id_column)
        raise InputFault("the CSV file cannot be read", "FILE_INVALID") from None


def _dialect(path: Path) -> Dialect:
    with CsvStream(path, "utf-8") as stream:
        sample = b""
        while len(sample) < SAMPLE_BYTES and (part := stream.read(SAMPLE_BYTES - len(sample))):
            sample += part
        return find_dialect(sample, whole=len(sample) < SAMPLE_BYTES)


def _csv_batches(path: Path, dialect: Dialect, id_column: str, kind: pa.DataType) -> Iterator[TableBatch]:
    for batch in _read_csv(path, dialect, id_column, kind):
        yield TableBatch(batch.column(id_column), _values(batch), id_column)


def _read_csv(path: Path, dialect: Dialect, id_column: str, kind: pa.DataType) -> Iterator[pa.RecordBatch]:
    ragged: list[Any] = []

    def refuse(row: Any) -> str:
        ragged.append(row)
        return "skip"

    done = 0
    with CsvStream(path, "utf-8") as stream:
        try:
            reader = pacsv.open_csv(
                stream,
                read_options=pacsv.ReadOptions(
                    use_threads=False,
                    block_size=_BLOCK_BYTES,
                    skip_rows=dialect.skip_lines,
                    column_names=list(dialect.header),
                ),
                parse_options=pacsv.ParseOptions(delimiter=dialect.delimiter, invalid_row_handler=refuse),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(dialect.header, kind) | {id_column: pa.string()},
                    null_values=[""],
                ),
            )
            for batch in reader:
                _refuse_ragged(ragged, dialect, done)
                yield batch
                done += batch.num_rows
        except pa.ArrowInvalid:
            if stream.fault is not None:
                raise stream.fault from None
            raise
        _refuse_ragged(ragged, dialect, done)


def _refuse_ragged(ragged: list[Any], dialect: Dialect, done: int) -> None:
    if ragged:
        first = ragged[0]
        row = first.number - dialect.skip_lines if first.number is not None else done + 1
        raise InputFault(
            f"row {row} has {first.actual_columns} values, the first line names {first.expected_columns}",
            "FILE_INVALID",
            row=row,
        )


def _explain(path: Path, dialect: Dialect, id_column: str) -> None:
    """Raise InputFault for the first value that is no number."""
    done = 0
    for batch in _read_csv(path, dialect, id_column, pa.string()):
        for name in SCHEMA.names:
            if name not in batch.schema.names:
                continue
            for at, given in enumerate(batch.column(name).to_pylist()):
                if given is not None and not _reads_as_number(given):
                    raise InputFault(
                        f"row {done + at + 1}, column {name!r}: {given[:40]!r} is not a number",
                        "VALUE_INVALID",
                        column=name,
                        row=done + at + 1,
                    )
        done += batch.num_rows


def _reads_as_number(text: str) -> bool:
    try:
        pa.array([text]).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True
