"""When a month of billing begins and ends."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest


@pytest.mark.parametrize(
    ("anchor", "at", "start", "end"),
    [
        (None, "2026-02-15T12:00", "2026-02-01", "2026-03-01"),
        (None, "2026-12-31T23:59:59.999999", "2026-12-01", "2027-01-01"),
        ("2026-01-31T10:00", "2026-02-15", "2026-01-31T10:00", "2026-02-28T10:00"),
        ("2026-01-31T10:00", "2026-02-28T10:00", "2026-02-28T10:00", "2026-03-31T10:00"),
        ("2026-01-31T10:00", "2026-02-28T09:59:59", "2026-01-31T10:00", "2026-02-28T10:00"),
        ("2024-01-31T10:00", "2024-02-29T10:00", "2024-02-29T10:00", "2024-03-31T10:00"),
        ("2026-01-31T10:00", "2026-03-31T09:00", "2026-02-28T10:00", "2026-03-31T10:00"),
        ("2026-11-15T00:00", "2026-10-20", "2026-10-15", "2026-11-15"),
        ("2025-12-10T08:30", "2026-12-10T08:30", "2026-12-10T08:30", "2027-01-10T08:30"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
async def test_a_period_is_a_month_from_the_anchor_clamped_to_the_ends_of_months(
    superuser, anchor, at, start, end, zone
):
    def utc(value):
        return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)

    await superuser.execute(f"SET timezone = '{zone}'")
    found = await superuser.fetchrow("SELECT * FROM app.billing_period($1, $2)", utc(anchor), utc(at))
    await superuser.execute("RESET timezone")
    assert (found["period_start"], found["period_end"]) == (utc(start), utc(end))
