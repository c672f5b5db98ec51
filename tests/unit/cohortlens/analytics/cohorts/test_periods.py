from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortlens.analytics.cohorts.periods import (
    Period,
    day_number,
    local_days,
    name_of,
    periods_of,
    starts_of,
    zone_of,
)
from cohortlens.core.errors import InvalidArgument

EPOCH = date(1970, 1, 1)


@given(
    st.lists(st.integers(0, 4_000_000_000), min_size=1, max_size=30),
    st.sampled_from(
        ["UTC", "Europe/Madrid", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe"]
    ),
)
def test_the_local_day_is_the_one_the_calendar_of_the_zone_shows(seconds, zone):
    found = local_days(np.array(seconds) * 1_000_000, ZoneInfo(zone))

    shown = [datetime.fromtimestamp(one, UTC).astimezone(ZoneInfo(zone)).date() for one in seconds]
    assert found.tolist() == [(day - EPOCH).days for day in shown]


@given(st.lists(st.integers(0, 47_000), min_size=1, max_size=30))
def test_months_and_weeks_are_those_of_the_calendar(days):
    shown = [EPOCH + timedelta(days=day) for day in days]

    months = periods_of(np.array(days), Period.MONTH)
    weeks = periods_of(np.array(days), Period.WEEK)

    assert months.tolist() == [(day.year - 1970) * 12 + day.month - 1 for day in shown]
    assert starts_of(months, Period.MONTH).tolist() == [(day.replace(day=1) - EPOCH).days for day in shown]
    mondays = [day - timedelta(days=day.weekday()) for day in shown]
    assert starts_of(weeks, Period.WEEK).tolist() == [(monday - EPOCH).days for monday in mondays]


def test_periods_are_named_as_iso_8601_names_them():
    day = day_number("2027-01-02", "day")  # a Saturday in the last ISO week of 2026

    names = [name_of(int(periods_of(np.array([day]), unit)[0]), unit) for unit in Period]

    assert names == ["2027-01", "2026-W53", "2027-01-02"]


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe", "../etc/passwd", "utc ", "/etc/localtime"])
def test_a_zone_that_does_not_exist_is_named_as_the_fault(name):
    with pytest.raises(InvalidArgument) as refused:
        zone_of(name)

    assert [one.field for one in refused.value.violations] == ["time_zone"]


@pytest.mark.parametrize("text", ["2026-02-30", "yesterday", "20260101x", "2026"])
def test_a_day_that_does_not_exist_is_named_as_the_fault(text):
    with pytest.raises(InvalidArgument) as refused:
        day_number(text, "filter.first_from")

    assert [one.field for one in refused.value.violations] == ["filter.first_from"]
