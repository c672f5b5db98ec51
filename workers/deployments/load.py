"""What a replica carries: rows in flight and how long calls wait, averaged over the last second.

Rows scored on the event loop are never seen in flight by anybody else on that loop, so the average counts the
time each row spent here (Little's law): rows times seconds, by the seconds of the window.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 0.9
"""Seconds of a window; a little less than the beat that reads it."""


@dataclass(frozen=True)
class Load:
    """Averages of one window.

    Attributes:
        rows_in_flight: Rows here at the same time.
        queue_ms: Milliseconds from the caller's sending to the start of the work.
    """

    rows_in_flight: float = 0.0
    queue_ms: float = 0.0


class LoadMeter:
    """Counts calls; for use from one event loop.

    Args:
        now: Seconds of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.rows_in_flight = 0
        self._since = now()
        self._row_s = self._wait_s = 0.0
        self._calls = 0
        self._last = Load()

    def began(self, rows: int) -> float:
        """A call of so many rows is being worked on from now; returns the time for ``ended``."""
        self.rows_in_flight += rows
        return self._now()

    def ended(self, rows: int, began: float, waited_s: float) -> None:
        """It is over.

        Args:
            rows: As told to ``began``.
            began: What ``began`` gave.
            waited_s: Seconds from its sending until then.
        """
        self.rows_in_flight -= rows
        self._row_s += rows * (self._now() - began + waited_s)
        self._wait_s += waited_s
        self._calls += 1

    def load(self) -> Load:
        """Averages of the last whole window, with the rows in flight now when those are more."""
        now = self._now()
        seconds = now - self._since
        if seconds >= WINDOW_S:
            waits = 1000 * self._wait_s / self._calls if self._calls else 0.0
            self._last = Load(self._row_s / seconds, waits)
            self._since, self._row_s, self._wait_s, self._calls = now, 0.0, 0.0, 0
        return Load(max(self._last.rows_in_flight, float(self.rows_in_flight)), self._last.queue_ms)
