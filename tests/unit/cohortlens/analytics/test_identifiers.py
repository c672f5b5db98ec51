"""The time in an identifier, also in those that others made up."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from cohortlens.analytics.models import created_at_of


def test_an_identifier_gives_its_millisecond():
    assert created_at_of(UUID("01a207c6-0fa1-7000-8000-000000000000")) == datetime.fromtimestamp(
        0x01A207C60FA1 / 1000, UTC
    )


@pytest.mark.parametrize(
    "text", ["ffffffff-ffff-4fff-bfff-ffffffffffff", "e6800000-0000-4000-8000-000000000000"]
)
def test_an_identifier_beyond_all_time_gives_the_latest(text):
    assert created_at_of(UUID(text)) == datetime(9999, 12, 31, tzinfo=UTC)
