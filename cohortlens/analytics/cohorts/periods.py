"""Local days and the months, weeks and days that cohorts are counted in; whole columns at a time."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cohortlens.core.errors import InvalidArgument, Violation

IntArray = NDArray[np.int64]
DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1)
_LAST_YEAR = 2101
_WEEK_SHIFT = 3
"""1970-01-01 is a Thursday: shifted by three days, weeks begin on Monday."""


class Period(StrEnum):
    """Length of a period, and of the cohorts that begin in one."""

    MONTH = "MONTH"
    WEEK = "WEEK"
    DAY = "DAY"

    @property
    def days(self) -> int:
        """Days of a rolling period: 30, 7 or 1."""
        return {Period.MONTH: 30, Period.WEEK: 7, Period.DAY: 1}[self]


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """A time zone by its IANA name; UTC for an empty one.

    Raises:
        InvalidArgument: FIELD_INVALID: no such zone.
    """
    if name and name not in _zones():
        why = f"{name[:64]!r} is no time zone; give an IANA name such as Europe/Madrid"
        raise InvalidArgument(f"time_zone: {why}", violations=(Violation("time_zone", why),))
    return zoneinfo.ZoneInfo(name or "UTC")


def local_days(at_us: IntArray, zone: zoneinfo.ZoneInfo) -> IntArray:
    """The day of each instant on the calendar of a zone.

    Args:
        at_us: Microseconds since 1970-01-01 UTC, shape (n,).
        zone: The zone.

    Returns:
        Days since 1970-01-01, shape (n,).
    """
    changes, offsets = _offsets(zone.key)
    if len(offsets) == 1:
        return np.asarray((at_us + offsets[0]) // DAY_US, np.int64)
    return np.asarray((at_us + offsets[np.searchsorted(changes, at_us, side="right")]) // DAY_US, np.int64)


def periods_of(days: IntArray, unit: Period) -> IntArray:
    """Number of the month, week or day that each day lies in; periods follow one another by 1, shape (n,)."""
    if unit is Period.DAY or not len(days):
        return days.astype(np.int64)
    if unit is Period.WEEK:
        return (days + _WEEK_SHIFT) // 7
    first, last = int(days.min()), int(days.max())
    # The months of all days between the ends: far fewer than rows.
    table = np.arange(first, last + 1).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return np.asarray(table[days - first], np.int64)


def starts_of(periods: IntArray, unit: Period) -> IntArray:
    """First day of each period, days since 1970-01-01, shape (n,)."""
    if unit is Period.DAY:
        return periods.astype(np.int64)
    if unit is Period.WEEK:
        return periods * 7 - _WEEK_SHIFT
    return periods.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def name_of(period: int, unit: Period) -> str:
    """Name of a period: 2026-01, 2026-W05 (ISO 8601) or 2026-01-31."""
    first = day_text(int(starts_of(np.array([period]), unit)[0]))
    if unit is Period.MONTH:
        return first[:7]
    if unit is Period.WEEK:
        year, week, _ = date.fromisoformat(first).isocalendar()
        return f"{year:04d}-W{week:02d}"
    return first


def day_text(day: int) -> str:
    """A day as YYYY-MM-DD."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_number(text: str, field: str) -> int:
    """Days since 1970-01-01 of YYYY-MM-DD.

    Raises:
        InvalidArgument: FIELD_INVALID: not such a day.
    """
    try:
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        why = "must be a day, YYYY-MM-DD"
        raise InvalidArgument(f"{field}: {why}", violations=(Violation(field, why),)) from None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


@lru_cache(maxsize=64)
def _offsets(key: str) -> tuple[IntArray, IntArray]:
    """Instants at which the offset of a zone changes, shape (m,), and the offsets between, shape (m + 1,)."""
    zone = zoneinfo.ZoneInfo(key)

    def offset(second: int) -> int:
        there = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
        assert there is not None
        return round(there.total_seconds() * 1_000_000)

    changes: list[int] = []
    offsets = [offset(0)]
    for day in range((date(_LAST_YEAR, 1, 1) - _EPOCH).days):
        after = offset((day + 1) * 86_400)
        if after == offsets[-1]:
            continue
        low, high = day * 86_400, (day + 1) * 86_400
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offsets[-1] else (low, middle)
        changes.append(high * 1_000_000)
        offsets.append(after)
    return np.array(changes, np.int64), np.array(offsets, np.int64)
