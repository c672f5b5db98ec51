"""A circuit breaker: what fails again and again is not asked for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

FAILURES = 5
OPEN_S = 30.0


class Circuit:
    """Lets calls through until several in a row failed; then only one at a time, after a pause.

    Args:
        failures: Failures in a row that open it.
        open_s: Seconds for which it then lets nothing through.
        clock: Monotonic seconds.
    """

    def __init__(
        self, failures: int = FAILURES, open_s: float = OPEN_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures, self._open_s, self._clock = failures, open_s, clock
        self._failed = 0
        self._closed_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether nothing is let through now."""
        return self.wait_s > 0

    @property
    def wait_s(self) -> float:
        """Seconds until the next call is let through; 0 when it is now."""
        if self._failed < self._failures:
            return 0.0
        return max(0.0, self._closed_at - self._clock())

    def begin(self) -> None:
        """A call goes out; while it is on trial no other does."""
        if self._failed >= self._failures:
            self._closed_at = self._clock() + self._open_s

    def worked(self) -> None:
        """The other side answered."""
        self._failed = 0

    def failed(self) -> None:
        """It did not."""
        self._failed += 1
        if self._failed >= self._failures:
            self._closed_at = self._clock() + self._open_s
