"""The only place that reads the wall clock; everything else takes a ``Clock`` or calls ``now``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the current time, always aware and in UTC; tests pass their own."""


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)
