"""Rows of a file to rows of the table: every fault named, whole batches at a time.

A row gets the first fault that applies, in the order of the checks below.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cohortlens.contracts.columns import ColumnMap
from cohortlens.contracts.currency import CurrencyUnknown, minor_digits
from cohortlens.customers import parsing
from cohortlens.customers.batches import RawBatch
from cohortlens.customers.erased import ErasedPeople
from cohortlens.customers.models import MAX_FAULTS_KEPT, PREVIEW_CHARACTERS, RowFault
from cohortlens.customers.survey import Survey

MAX_AMOUNT_MINOR = 10**13
MAX_QUANTITY = 1e13
CUSTOMER_ERASED = "CUSTOMER_ERASED"
"""Fault of a row of a person who was erased."""
_TEXT_LIMITS = {"customer": 200, "order": 200, "sku": 200, "country": 100, "currency": 3}
_SEPARATOR = "\x1f"

ACCEPTED_SCHEMA = pa.schema(
    [
        ("external_id", pa.string()),
        ("order_ref", pa.string()),
        ("occurred_at", pa.timestamp("us", "UTC")),
        ("known_at", pa.timestamp("us", "UTC")),
        ("sku", pa.string()),
        ("quantity", pa.float64()),
        ("amount_minor", pa.int64()),
        ("country", pa.string()),
        ("source_key", pa.binary(16)),
    ]
)
"""Accepted rows on their way to the database; a null quantity is unknown, the key lacks its ordinal."""


@dataclass
class FaultLog:
    """Row faults of a file: the first 1,000 in full, all of them counted by reason."""

    kept: list[RowFault] = field(default_factory=list)
    by_reason: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Rows refused."""
        return self.by_reason.total()


class RowValidator:
    """Validates the batches of one file, in order.

    Args:
        column_map: What each column is used for.
        survey: What the whole file says about its dates and numbers.
        currency: ISO 4217 code of the amounts; empty adopts the first one the file states, else ``fallback``.
        fallback: Currency when neither caller nor file says one.
        now: Time of the import; later days than the next are faults.
        erased: Whose rows are refused, whatever stands in them.
    """

    def __init__(
        self,
        column_map: ColumnMap,
        survey: Survey,
        currency: str,
        fallback: str,
        now: datetime,
        erased: ErasedPeople | None = None,
    ) -> None:
        self._erased = erased or ErasedPeople()
        self._map = column_map
        self._survey = survey
        self._stated = bool(currency)
        self.currency = currency or fallback
        self._latest_us = int((now + timedelta(days=1)).timestamp() * 1_000_000)
        self.faults = FaultLog()
        if not currency and "currency" not in column_map.used:
            self._stated = True
        minor_digits(self.currency)

    def validate(self, raw: RawBatch) -> pa.RecordBatch:
        """The acceptable rows of a batch, in the order of the file; faults go to ``faults``.

        Raises:
            FileFault: DATE_AMBIGUOUS when slashed dates cannot be settled.
        """
        checks = _Checks(len(raw.rows))
        texts = self._texts(raw, checks)
        times = self._times(raw, checks)
        known = self._known(raw, checks)
        self._currency(texts, checks)
        quantity, amount = self._money(raw, checks)
        self._report(raw, checks)
        keep = checks.codes == 0
        return self._accepted(texts, times, known, quantity, amount, keep)

    def _texts(self, raw: RawBatch, checks: _Checks) -> dict[str, pa.Array]:
        values: dict[str, pa.Array] = {}
        for name, limit in _TEXT_LIMITS.items():
            if name not in raw.columns:
                values[name] = pa.nulls(checks.count, pa.string())
                continue
            text = parsing.texts(raw.columns[name])
            checks.mark(text.unreadable, "ENCODING_INVALID", name)
            if name == "customer":
                # Before every other fault: no preview may show what stands in the row of such a person.
                checks.mark(self._erased.mask(text.values), CUSTOMER_ERASED, name)
                checks.mark(parsing.mask(text.values.is_null()), "CUSTOMER_MISSING", name)
            if name != "currency":
                checks.mark(
                    parsing.mask(pc.greater(pc.utf8_length(text.values), limit)), "TEXT_TOO_LONG", name
                )
            values[name] = text.values
        return values

    def _times(self, raw: RawBatch, checks: _Checks) -> NDArray[np.int64]:
        column = raw.columns["time"]
        times, bad = parsing.instants(column, day_first=self._survey.day_first_for(column))
        checks.mark(bad, "DATE_INVALID", "time")
        checks.mark(times < 0, "DATE_TOO_OLD", "time")
        checks.mark(times > self._latest_us, "DATE_FUTURE", "time")
        return times

    def _known(self, raw: RawBatch, checks: _Checks) -> pa.Array:
        if "known_at" not in raw.columns:
            return pa.nulls(checks.count, pa.int64())
        column = raw.columns["known_at"]
        times, bad = parsing.instants(column, day_first=self._survey.day_first_for(column))
        absent = parsing.mask(parsing.texts(column).values.is_null()) if _is_textual(column) else bad
        checks.mark(bad & ~absent, "DATE_INVALID", "known_at")
        checks.mark(~absent & (times < 0), "DATE_TOO_OLD", "known_at")
        checks.mark(~absent & (times > self._latest_us), "DATE_FUTURE", "known_at")
        return pa.array(times, mask=absent | bad)

    def _currency(self, texts: dict[str, pa.Array], checks: _Checks) -> None:
        codes = pc.utf8_upper(texts["currency"])
        if not self._stated:
            first = next((code for code in codes.drop_null().to_pylist()), None)
            if first is not None:
                self._stated = True
                self.currency = first if _is_currency(first) else self.currency
        checks.mark(parsing.mask(pc.not_equal(codes, self.currency)), "CURRENCY_MISMATCH", "currency")

    def _money(self, raw: RawBatch, checks: _Checks) -> tuple[pa.Array, NDArray[np.int64]]:
        comma = self._survey.decimal_comma
        quantity = np.full(checks.count, np.nan)
        unknown = np.ones(checks.count, np.bool_)
        if "quantity" in raw.columns:
            quantity, unknown = parsing.numbers(raw.columns["quantity"], decimal_comma=comma)
            invalid = (np.isnan(quantity) & ~unknown) | (np.abs(quantity) > MAX_QUANTITY)
            checks.mark(invalid, "QUANTITY_INVALID", "quantity")
        if "amount" in raw.columns:
            name, factor = "amount", np.ones(checks.count)
        else:
            name, factor = "unit_price", np.where(unknown, 1.0, quantity)
        price, absent = parsing.numbers(raw.columns[name], decimal_comma=comma)
        checks.mark(absent | np.isnan(price), "AMOUNT_INVALID", name)
        digits = minor_digits(self.currency)
        with np.errstate(over="ignore", invalid="ignore"):
            large = np.abs(price * factor) * 10.0**digits > MAX_AMOUNT_MINOR
        checks.mark(large, "AMOUNT_OUT_OF_RANGE", name)
        usable = checks.codes == 0
        minor = to_minor(np.where(usable, price, 0.0), np.where(usable, factor, 0.0), digits)
        if "cancelled" in raw.columns:
            minor = np.where(parsing.flags(raw.columns["cancelled"]), -np.abs(minor), minor)
        return pa.array(quantity, mask=unknown | np.isnan(quantity)), minor

    def _report(self, raw: RawBatch, checks: _Checks) -> None:
        found = [
            (int(raw.rows[at]), int(raw.lines[at]), *checks.named(int(checks.codes[at])), int(at))
            for at in np.flatnonzero(checks.codes)[: MAX_FAULTS_KEPT - len(self.faults.kept)]
        ]
        counted = Counter(checks.reasons(checks.codes))
        header = self._map.columns_used
        shown = [
            RowFault(
                row,
                line,
                header[name],
                reason,
                "" if reason == CUSTOMER_ERASED else _preview(raw.columns[name][at].as_py()),
            )
            for row, line, reason, name, at in found
        ]
        shown += [RowFault(row, line, "", "COLUMN_COUNT", _preview(text)) for row, line, text in raw.ragged]
        for fault in sorted(shown, key=lambda fault: fault.row):
            if len(self.faults.kept) < MAX_FAULTS_KEPT:
                self.faults.kept.append(fault)
        counted["COLUMN_COUNT"] += len(raw.ragged)
        self.faults.by_reason.update(+counted)

    def _accepted(
        self,
        texts: dict[str, pa.Array],
        times: NDArray[np.int64],
        known: pa.Array,
        quantity: pa.Array,
        amount: NDArray[np.int64],
        keep: NDArray[np.bool_],
    ) -> pa.RecordBatch:
        kept = pa.array(keep)
        stamp = pa.timestamp("us", "UTC")
        rows = {
            "external_id": texts["customer"].filter(kept),
            "order_ref": texts["order"].filter(kept),
            "occurred_at": pa.array(times[keep]).cast(stamp),
            "known_at": known.filter(kept).cast(stamp),
            "sku": texts["sku"].filter(kept),
            "quantity": quantity.filter(kept),
            "amount_minor": pa.array(amount[keep]),
            "country": texts["country"].filter(kept),
        }
        rows["source_key"] = _keys(rows, self.currency)
        return pa.RecordBatch.from_pydict(rows, schema=ACCEPTED_SCHEMA)


class _Checks:
    """The first fault of each row, as small numbers."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.codes = np.zeros(count, np.int16)
        self._names: list[tuple[str, str]] = []

    def mark(self, where: NDArray[np.bool_], reason: str, field_name: str) -> None:
        self._names.append((reason, field_name))
        self.codes[where & (self.codes == 0)] = len(self._names)

    def named(self, code: int) -> tuple[str, str]:
        return self._names[code - 1]

    def reasons(self, codes: NDArray[np.int16]) -> dict[str, int]:
        counts = np.bincount(codes, minlength=len(self._names) + 1)[1:]
        total: Counter[str] = Counter()
        for (reason, _), count in zip(self._names, counts, strict=True):
            total[reason] += int(count)
        return +total


def to_minor(price: NDArray[np.float64], factor: NDArray[np.float64], digits: int) -> NDArray[np.int64]:
    """Products of two columns in minor units, rounded half to even as decimals.

    Args:
        price: Finite numbers, shape (n,).
        factor: Finite numbers, shape (n,).
        digits: Decimal digits of the minor unit.

    Returns:
        Whole minor units, shape (n,), int64.
    """
    scaled = price * factor * 10.0**digits
    minor = np.rint(scaled)
    # Binary fractions cannot tell 1.005 from a tie: the few near one are settled with decimals.
    near = np.abs(np.abs(scaled - np.trunc(scaled)) - 0.5) < 1e-6 + np.abs(scaled) * 1e-15
    unit = Decimal(1).scaleb(-digits)
    for at in np.flatnonzero(near):
        exact = Decimal(repr(float(price[at]))) * Decimal(repr(float(factor[at])))
        minor[at] = float((exact.quantize(unit, ROUND_HALF_EVEN) / unit).to_integral_value())
    return np.asarray(minor, np.int64)


def _keys(rows: dict[str, pa.Array], currency: str) -> pa.Array:
    """First 16 bytes of SHA-256 over each normalised row."""
    quantity = rows["quantity"].to_numpy(zero_copy_only=False)
    rounded = pa.array(np.rint(np.nan_to_num(quantity) * 10_000).astype(np.int64), mask=np.isnan(quantity))
    parts = [
        rows["external_id"],
        rows["order_ref"],
        rows["occurred_at"].cast(pa.int64()).cast(pa.string()),
        rows["sku"],
        rounded.cast(pa.string()),
        rows["amount_minor"].cast(pa.string()),
        pa.array([currency] * len(quantity), pa.string()),
    ]
    joined = pc.binary_join_element_wise(*parts, _SEPARATOR, null_handling="replace", null_replacement="\0")
    digests = b"".join(sha256(row).digest()[:16] for row in joined.cast(pa.binary()).to_pylist())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(quantity), [None, pa.py_buffer(digests)])


def _is_textual(column: pa.Array) -> bool:
    return bool(pa.types.is_binary(column.type) or pa.types.is_string(column.type))


def _is_currency(code: str) -> bool:
    try:
        minor_digits(code)
    except CurrencyUnknown:
        return False
    return True


def _preview(value: Any) -> str:
    if value is None:
        return ""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.replace("\0", "�")[:PREVIEW_CHARACTERS]
