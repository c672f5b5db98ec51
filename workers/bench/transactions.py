"""Reads any file of transactions for the measurements: header by the import's rule, orders to purchase-days.

No stack takes part: the file is read where it lies, rows that cannot be used are counted by reason.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cohortlens.contracts.columns import recognise
from cohortlens.contracts.purchase_days import PurchaseDays, purchase_days
from cohortlens.core.errors import InvalidArgument

EPOCH = date(1970, 1, 1)
_DAY_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")
_DAY_CHARACTERS = 10
_MONEY_MAX = 1e12
_MINOR_DIGITS = 2


class DataUnreadable(InvalidArgument):
    """A file that holds no transactions: ``DATA_UNREADABLE``, or the header's own reason."""

    reason = "DATA_UNREADABLE"


@dataclass(frozen=True)
class Transactions:
    """What a file holds.

    Attributes:
        days: Purchase-days of all customers.
        customers: Number of customer numbers.
        rows: Rows of the file.
        rejected: Rows that were left out, by reason.
        sha256: Digest of the file, hex.
    """

    days: PurchaseDays
    customers: int
    rows: int
    rejected: dict[str, int]
    sha256: str


def read_transactions(path: Path, columns: Mapping[str, str] | None = None) -> Transactions:
    """Read a file.

    Args:
        path: CSV (plain, gz or zst) or Parquet with a header as ``contracts.columns`` recognises it.
        columns: Column name by field where the header's names are foreign.

    Raises:
        DataUnreadable: No such file, not such a file, or no row that can be used.
        HeaderFault: A required column is missing, or stands twice.
    """
    table = _table(path)
    used = recognise(table.column_names, columns or {}).columns_used
    rejected: Counter[str] = Counter()
    keep = np.ones(table.num_rows, np.bool_)

    def reject(bad: NDArray[np.bool_], reason: str) -> None:
        fresh = bad & keep
        if fresh.any():
            rejected[reason] = int(fresh.sum())
            keep[fresh] = False

    customer, unknown = _codes(table.column(used["customer"]))
    reject(unknown, "CUSTOMER_MISSING")
    day = _days(table.column(used["time"]))
    reject(np.isnan(day), "TIME_UNREADABLE")
    amount, items = _amounts(table, used)
    reject(~(np.abs(amount) <= _MONEY_MAX), "AMOUNT_UNREADABLE")
    if not keep.any():
        raise DataUnreadable(f"No row of {path.name} can be used: {_told(rejected)}.")
    order = _codes(table.column(used["order"]))[0][keep] if "order" in used else np.arange(keep.sum())
    known = _days(table.column(used["known_at"]))[keep] if "known_at" in used else None
    if known is not None:
        known = np.where(np.isnan(known), day[keep], known)
    _, who = np.unique(customer[keep], return_inverse=True)
    sku = _codes(table.column(used["sku"]))[0][keep] if "sku" in used else None
    days = _fold(who, day[keep].astype(np.int64), order, amount[keep], items[keep], sku, known)
    return Transactions(days, int(who.max()) + 1, table.num_rows, dict(rejected), _sha256(path))


def day_of(text: str) -> int:
    """Days since 1970-01-01 of YYYY-MM-DD.

    Raises:
        InvalidArgument: Not such a day.
    """
    try:
        return (date.fromisoformat(text) - EPOCH).days
    except ValueError as error:
        raise InvalidArgument(f"CUT is {text!r}; expected a day such as 2026-01-31.") from error


def _table(path: Path) -> pa.Table:
    try:
        with path.open("rb") as reader:
            if reader.read(4) == b"PAR1":
                return pq.ParquetFile(path).read()
        with pa.input_stream(str(path), compression="detect") as stream:
            names = pyarrow.csv.open_csv(stream).schema.names
        # Everything as text: a customer 007 is not the customer 7, and one bad amount spoils no column.
        texts = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        with pa.input_stream(str(path), compression="detect") as stream:
            return pyarrow.csv.read_csv(stream, convert_options=texts)
    except (pa.ArrowException, OSError) as error:
        raise DataUnreadable(
            f"{path} cannot be read as CSV or Parquet; give DATA the path of such a file."
        ) from error


def _plain(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return joined.dictionary_decode() if pa.types.is_dictionary(joined.type) else joined


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Numbers of equal texts, and where there is none."""
    text = pc.utf8_trim_whitespace(_plain(column).cast(pa.string()))
    unknown = pc.fill_null(pc.equal(text, ""), True).to_numpy(zero_copy_only=False)
    encoded = pc.dictionary_encode(pc.fill_null(text, ""))
    return encoded.indices.to_numpy().astype(np.int64), unknown


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Numbers; NaN where there is none."""
    plain = _plain(column)
    if not pa.types.is_string(plain.type):
        return np.asarray(plain.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    text = pc.utf8_trim_whitespace(plain)
    sound = pc.fill_null(pc.match_substring_regex(text, r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"), False)
    bare = pc.replace_substring_regex(pc.if_else(sound, text, None), r"^\+", "")
    return np.asarray(bare.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _days(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Days since 1970-01-01; NaN where the text is no time."""
    plain = _plain(column)
    if pa.types.is_temporal(plain.type):
        return _day_numbers(plain.cast(pa.timestamp("us"), safe=False).cast(pa.date32(), safe=False))
    text = pc.utf8_slice_codeunits(
        pc.utf8_trim_whitespace(plain.cast(pa.string())), start=0, stop=_DAY_CHARACTERS
    )
    best = np.full(len(text), np.nan)
    for form in _DAY_FORMATS:
        found = pc.strptime(text, format=form, unit="s", error_is_null=True).cast(pa.date32(), safe=False)
        days = _day_numbers(found)
        if np.isfinite(days).sum() > np.isfinite(best).sum():
            best = days
    return best


def _day_numbers(dates: pa.Array) -> NDArray[np.float64]:
    numbers = dates.cast(pa.int32()).cast(pa.float64())
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)


def _amounts(table: pa.Table, used: Mapping[str, str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    unknown = np.full(table.num_rows, np.nan)
    items = _numbers(table.column(used["quantity"])) if "quantity" in used else unknown
    if "amount" in used:
        return _numbers(table.column(used["amount"])), items
    price = _numbers(table.column(used["unit_price"]))
    lines = price if "quantity" not in used else price * items
    # Each line is whole minor units, rounded half to even, as the import stores it.
    return np.round(lines, _MINOR_DIGITS), items


def _fold(
    who: NDArray[Any],
    day: NDArray[np.int64],
    order: NDArray[Any],
    amount: NDArray[np.float64],
    items: NDArray[np.float64],
    sku: NDArray[np.int64] | None,
    known: NDArray[np.float64] | None,
) -> PurchaseDays:
    """Lines to orders (one per customer and order on its first day), orders to purchase-days."""
    keys = np.stack([who, order], axis=1)
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    group = group.ravel()
    count = len(first)

    def add(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(group, weights=values, minlength=count).astype(np.float64)

    opened = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(opened, group, day)
    since = None
    if known is not None:
        since = np.full(count, np.iinfo(np.int64).min)
        np.maximum.at(since, group, known.astype(np.int64))
    skus = None
    if sku is not None:
        pairs = np.unique(np.stack([group, sku], axis=1), axis=0)
        skus = np.bincount(pairs[:, 0], minlength=count)
    return purchase_days(
        who[first],
        opened,
        add(amount),
        items=add(items) if np.isfinite(items).all() else None,
        skus=skus,
        lines=np.bincount(group, minlength=count) if sku is not None else None,
        known=since,
    )


def _told(rejected: Mapping[str, int]) -> str:
    return ", ".join(f"{count} rows {reason}" for reason, count in rejected.items())


def _sha256(path: Path) -> str:
    with path.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()
