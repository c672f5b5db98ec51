"""Raw columns to typed arrays, whole columns at a time; what cannot be read is marked, never guessed.

Every function takes an Arrow column as a reader gives it (binary text of CSV, or a Parquet type) and returns
arrays of shape (n,).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
_TIME = (
    r"(?:[T ]+(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?"
    r"\s*(?P<z>[Zz]|[+-]\d{2}(?::?\d{2})?)?)?$"
)
_ISO = r"^(?P<y>\d{4})[-/](?P<m>\d{1,2})[-/](?P<d>\d{1,2})" + _TIME
_COMPACT = r"^(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})" + _TIME
_SLASHED = r"^(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<y>\d{4})" + _TIME
_POINT_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_COMMA_NUMBER = r"^[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?$"
_TRUE = ("true", "t", "yes", "y", "1", "cancelled", "canceled")
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class TextColumn:
    """Trimmed texts, null where empty or unreadable; ``unreadable`` marks bytes that are no text."""

    values: pa.Array
    unreadable: BoolArray


def texts(column: pa.Array) -> TextColumn:
    """A column as text: whole numbers in decimal, floats without a fraction as whole numbers."""
    kind = column.type
    unreadable = np.zeros(len(column), np.bool_)
    if pa.types.is_binary(kind):
        column, unreadable = _decoded(column)
    elif pa.types.is_floating(kind):
        column, unreadable = _whole(column)
    column = column.cast(pa.string())
    nul = mask(pc.match_substring(column, "\0"))
    unreadable |= nul
    column = pc.utf8_trim_whitespace(column)
    drop = pc.or_kleene(pc.equal(column, ""), pa.array(unreadable))
    return TextColumn(pc.if_else(drop, pa.scalar(None, pa.string()), column), unreadable)


def numbers(column: pa.Array, *, decimal_comma: bool = False) -> tuple[NDArray[np.float64], BoolArray]:
    """Numbers and where there is none at all; what is text but no finite number is NaN and not missing.

    Args:
        column: Text, integers, floats or decimals.
        decimal_comma: ``,`` is the decimal mark and ``.`` groups thousands, in text.
    """
    kind = column.type
    if not (pa.types.is_binary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        missing = mask(column.is_null())
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.where(np.isfinite(values), values, np.nan), missing
    text = texts(column)
    missing = mask(text.values.is_null()) & ~text.unreadable
    fine = pc.match_substring_regex(text.values, _COMMA_NUMBER if decimal_comma else _POINT_NUMBER)
    digits = pc.if_else(fine, text.values, pa.scalar(None, pa.string()))
    if decimal_comma:
        digits = pc.replace_substring(pc.replace_substring(digits, ".", ""), ",", ".")
    digits = pc.utf8_ltrim(digits, "+")
    values = digits.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan), missing


def flags(column: pa.Array) -> BoolArray:
    """True where the column says so (true, yes, 1, cancelled); anything else is False."""
    if pa.types.is_boolean(column.type):
        return mask(column)
    lower = pc.utf8_lower(texts(column).values)
    return mask(pc.is_in(lower, pa.array(_TRUE)))


def instants(column: pa.Array, *, day_first: bool | None) -> tuple[NDArray[np.int64], BoolArray]:
    """Microseconds since 1970-01-01 UTC, and where the column holds no time that can be read.

    Args:
        column: Text (ISO 8601, ``YYYYMMDD``, day/month/year in either order), timestamps, dates, or
            integers ``YYYYMMDD``.
        day_first: Order of slashed dates; None refuses them. No zone means UTC.
    """
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        times = column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False)
        return _filled(times.cast(pa.int64()))
    words, at = _words(texts(column).values)
    values, bad = _fast_iso(words) or _by_pattern(words, day_first)
    return values[at], bad[at]


def slashed(column: pa.Array) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Which texts are slashed dates, whose first number cannot be a month, whose second cannot."""
    words, at = _words(texts(column).values)
    parts = pc.extract_regex(words, _SLASHED)
    first, second = _number(parts, "a"), _number(parts, "b")
    return mask(parts.is_valid())[at], (first > 12)[at], (second > 12)[at]


def has_decimal_comma(column: pa.Array) -> bool:
    """Whether some text of the column has a comma as its decimal mark."""
    found = pc.match_substring_regex(texts(column).values, _COMMA_NUMBER)
    comma = pc.match_substring(texts(column).values, ",")
    return bool(pc.any(pc.and_kleene(found, comma)).as_py())


def mask(column: pa.Array) -> BoolArray:
    """A column of truth values as an array; null is False."""
    return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), np.bool_)


def _decoded(column: pa.Array) -> tuple[pa.Array, BoolArray]:
    try:
        return column.cast(pa.string()), np.zeros(len(column), np.bool_)
    except pa.ArrowInvalid:
        values = [_text_or_none(value) for value in column.to_pylist()]
        bad = np.fromiter((value is None for value in values), np.bool_, len(values))
        return pa.array(values, pa.string()), bad


def _text_or_none(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _whole(column: pa.Array) -> tuple[pa.Array, BoolArray]:
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    fine = missing | ((np.abs(values) < 2**53) & (np.trunc(values) == values))
    whole = pa.array(np.where(fine & ~missing, values, 0).astype(np.int64), mask=~fine | missing)
    return whole, ~fine


def _filled(column: pa.Array) -> tuple[NDArray[np.int64], BoolArray]:
    bad = mask(column.is_null())
    return pc.fill_null(column, 0).to_numpy(zero_copy_only=False), bad


def _words(text: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """The distinct texts, null among them, and which each row has: dates repeat, patterns are slow."""
    encoded = text.dictionary_encode(null_encoding="encode")
    return encoded.dictionary, np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)


def _fast_iso(text: pa.Array) -> tuple[NDArray[np.int64], BoolArray] | None:
    # Arrow's own cast is ten times faster than patterns, and all or nothing.
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return _filled(text.cast(kind).cast(pa.int64()))
        except pa.ArrowInvalid:
            continue
    return None


def _by_pattern(text: pa.Array, day_first: bool | None) -> tuple[NDArray[np.int64], BoolArray]:
    result = np.zeros(len(text), np.int64)
    bad = np.ones(len(text), np.bool_)
    for pattern in (_ISO, _COMPACT, _SLASHED):
        parts = pc.extract_regex(text, pattern)
        hit = mask(parts.is_valid())
        if not hit.any() or (pattern is _SLASHED and day_first is None):
            continue
        if pattern is _SLASHED:
            day, month = ("a", "b") if day_first else ("b", "a")
        else:
            day, month = "d", "m"
        values, fine = _instant(parts, month, day)
        result = np.where(hit & fine, values, result)
        bad &= ~(hit & fine)
    return result, bad


def _instant(parts: pa.StructArray, month: str, day: str) -> tuple[NDArray[np.int64], BoolArray]:
    year, in_year, in_month = _number(parts, "y"), _number(parts, month), _number(parts, day)
    hour, minute, second = _number(parts, "H"), _number(parts, "M"), _number(parts, "S")
    fine = (year >= 1) & (in_year >= 1) & (in_year <= 12) & (in_month >= 1)
    months = (np.where(fine, year, 1970) - 1970) * 12 + np.where(fine, in_year, 1) - 1
    starts = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    ends = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    fine &= (in_month <= ends - starts) & (hour <= 23) & (minute <= 59) & (second <= 59)
    seconds = hour * 3600 + minute * 60 + second - _offset_s(parts)
    return (starts + in_month - 1) * _DAY_US + seconds * 1_000_000 + _fraction_us(parts), fine


def _number(parts: pa.StructArray, name: str) -> NDArray[np.int64]:
    text = pc.struct_field(parts, name)
    text = pc.if_else(pc.equal(text, ""), pa.scalar("0"), text)
    values = pc.fill_null(text, "0").cast(pa.int64())
    return np.asarray(values.to_numpy(zero_copy_only=False), np.int64)


def _fraction_us(parts: pa.StructArray) -> NDArray[np.int64]:
    text = pc.fill_null(pc.struct_field(parts, "f"), "")
    padded = pc.utf8_slice_codeunits(pc.utf8_rpad(text, 6, "0"), 0, 6)
    return np.asarray(padded.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)


def _offset_s(parts: pa.StructArray) -> NDArray[np.int64]:
    text = pc.fill_null(pc.struct_field(parts, "z"), "")
    zone = pc.extract_regex(text, r"^(?P<s>[+-])(?P<h>\d{2}):?(?P<m>\d{2})?$")
    sign = np.where(mask(pc.equal(pc.struct_field(zone, "s"), "-")), -1, 1)
    return np.asarray(sign * (_number(zone, "h") * 3600 + _number(zone, "m") * 60), np.int64)
