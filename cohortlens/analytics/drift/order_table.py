"""Reads any file of transactions into columns per order, for the benchmark; no setting names a column."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cohortlens.contracts.columns import recognise
from cohortlens.core.errors import InvalidArgument

CATEGORIES_MAX = 50
"""Distinct values up to which a column that nobody has named is one of categories."""

COMMONEST = 4
"""Categories that keep their name; the rest is ``other``."""

_HEADER_FIELDS = (
    "customer",
    "order",
    "time",
    "amount",
    "unit_price",
    "quantity",
    "sku",
    "known_at",
    "currency",
)
_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d", "%Y%m%d")
_MONEY_MAX = 1e12


class DataUnreadable(InvalidArgument):
    """A file that holds no transactions, or not such a file."""

    reason = "DATA_UNREADABLE"


@dataclass(frozen=True)
class OrderTable:
    """Orders as columns.

    Attributes:
        columns: Numbers (float64) or categories (text) by name, shape (n,); but for the amount, none is the
            same everywhere.
        times: Seconds since 1970-01-01, shape (n,).
        customers: Distinct customers.
        rows: Rows of the file.
        rejected: Rows that were left out, by reason.
        sha256: Digest of the file, hex.
    """

    columns: Mapping[str, NDArray[Any]]
    times: NDArray[np.int64]
    customers: int
    rows: int
    rejected: Mapping[str, int]
    sha256: str

    def first_half(self) -> Mapping[str, NDArray[Any]]:
        """The columns of the orders in the first half of the span of time."""
        middle = (int(self.times.min()) + int(self.times.max())) / 2
        early = self.times <= middle
        return {name: values[early] for name, values in self.columns.items()}


def read_orders(path: Path, named: Mapping[str, str] | None = None) -> OrderTable:
    """Read a file of transactions and fold its lines to orders.

    Columns are amount, items, lines, skus, hour and weekday as far as the file tells them, and each other
    column: of numbers, or of up to 50 values as categories, of which the four commonest keep their name.

    Args:
        path: CSV (plain, gz or zst) or Parquet with a header as ``contracts.columns`` recognises it.
        named: Column by field where the header's names are foreign.

    Raises:
        DataUnreadable: No such file, or no row that can be used.
        HeaderFault: A required column is missing.
    """
    table = _table(path)
    used = recognise(table.column_names, named or {}).columns_used
    times = _times(_plain(table.column(used["time"])))
    amount, items = _amounts(table, used)
    timeless, worthless = np.isnan(times), ~(np.abs(amount) <= _MONEY_MAX)
    keep = ~timeless & ~worthless
    if not keep.any():
        raise DataUnreadable(f"No row of {path.name} has a time and an amount; give DATA another file.")
    kept = pa.array(keep)
    table = table.filter(kept)
    order = _orders(table, used)
    first, group = np.unique(order, return_index=True, return_inverse=True)[1:]
    count = len(first)
    columns: dict[str, NDArray[Any]] = {
        "amount": np.bincount(group, weights=amount[keep], minlength=count),
        **_sums(table, used, items[keep], group, count),
    }
    when = times[keep][first].astype(np.int64)
    columns["hour"] = (when // 3_600 % 24).astype(np.float64)
    columns["weekday"] = ((when // 86_400 + 3) % 7).astype(np.str_)
    taken = {column for field, column in used.items() if field in _HEADER_FIELDS}
    for name in table.column_names:
        if name not in taken:
            found = _other(_plain(table.column(name)).take(pa.array(first)))
            if found is not None:
                columns[name] = found
    rejected = {
        "TIME_UNREADABLE": int(timeless.sum()),
        "AMOUNT_UNREADABLE": int((worthless & ~timeless).sum()),
    }
    return OrderTable(
        {name: values for name, values in columns.items() if name == "amount" or len(np.unique(values)) > 1},
        when,
        int(pc.count_distinct(_plain(table.column(used["customer"]))).as_py()),
        len(keep),
        {reason: rows for reason, rows in rejected.items() if rows},
        _sha256(path),
    )


def _table(path: Path) -> pa.Table:
    try:
        with path.open("rb") as reader:
            is_parquet = reader.read(4) == b"PAR1"
        if is_parquet:
            return pq.ParquetFile(path).read()
        with pa.input_stream(str(path), compression="detect") as stream:
            return pyarrow.csv.read_csv(stream)
    except (pa.ArrowException, OSError) as error:
        raise DataUnreadable(
            f"{path} cannot be read as CSV or Parquet; give DATA the path of such a file."
        ) from error


def _plain(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return joined.dictionary_decode() if pa.types.is_dictionary(joined.type) else joined


def _times(column: pa.Array) -> NDArray[np.float64]:
    """Seconds since 1970-01-01; NaN where there is no time."""
    if pa.types.is_temporal(column.type):
        return _seconds(column.cast(pa.timestamp("s"), safe=False))
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    best = np.full(len(text), np.nan)
    for form in _FORMATS:
        found = _seconds(pc.strptime(text, format=form, unit="s", error_is_null=True))
        if np.isfinite(found).sum() > np.isfinite(best).sum():
            best = found
    return best


def _seconds(stamps: pa.Array) -> NDArray[np.float64]:
    numbers = stamps.cast(pa.int64()).cast(pa.float64())
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)


def _numbers(column: pa.Array) -> NDArray[np.float64]:
    """Numbers; NaN where there is none."""
    if pa.types.is_string(column.type):
        sound = pc.match_substring_regex(column, r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$")
        column = pc.utf8_trim_whitespace(pc.if_else(pc.fill_null(sound, False), column, None))
    found = column.cast(pa.float64(), safe=False)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.float64)


def _amounts(table: pa.Table, used: Mapping[str, str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    unknown = np.full(table.num_rows, np.nan)
    items = _numbers(_plain(table.column(used["quantity"]))) if "quantity" in used else unknown
    if "amount" in used:
        return _numbers(_plain(table.column(used["amount"]))), items
    price = _numbers(_plain(table.column(used["unit_price"])))
    return (price * items if "quantity" in used else price), items


def _orders(table: pa.Table, used: Mapping[str, str]) -> NDArray[np.int64]:
    if "order" not in used:
        return np.arange(table.num_rows)
    text = pc.fill_null(_plain(table.column(used["order"])).cast(pa.string()), "")
    return np.asarray(pc.dictionary_encode(text).indices.to_numpy(), np.int64)


def _sums(
    table: pa.Table, used: Mapping[str, str], items: NDArray[np.float64], group: NDArray[np.intp], count: int
) -> dict[str, NDArray[np.float64]]:
    found = {"lines": np.bincount(group, minlength=count).astype(np.float64)}
    if np.isfinite(items).all():
        found["items"] = np.bincount(group, weights=items, minlength=count).astype(np.float64)
    if "sku" in used:
        text = pc.fill_null(_plain(table.column(used["sku"])).cast(pa.string()), "")
        sku = pc.dictionary_encode(text).indices.to_numpy().astype(np.int64)
        pairs = np.unique(np.stack([group, sku], axis=1), axis=0)
        found["skus"] = np.bincount(pairs[:, 0], minlength=count).astype(np.float64)
    return found


def _other(column: pa.Array) -> NDArray[Any] | None:
    """A column nobody has named: categories, numbers, or None for texts that are no categories."""
    if pc.count_distinct(column).as_py() <= CATEGORIES_MAX:
        text = pc.fill_null(column.cast(pa.string()), "").to_numpy(zero_copy_only=False).astype(np.str_)
        names, counts = np.unique(text, return_counts=True)
        common = names[np.argsort(-counts, kind="stable")[:COMMONEST]]
        return np.where(np.isin(text, common), text, "other")
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return _numbers(column)
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()
