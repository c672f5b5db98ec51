"""Starts dead services again, later each time, until they stay up; used by the supervisor's loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from cohortlens.embedded.faults import StackFailed
from cohortlens.embedded.services import Service
from cohortlens.embedded.state import ServiceState

_FIRST_S = 0.5
_LONGEST_S = 30.0
_STABLE_S = 60.0


class Note(Protocol):
    """Takes a service's new state."""

    def __call__(self, service: Service, state: ServiceState, detail: str = "") -> None:
        """Note it."""


def delay_s(failures: int) -> float:
    """Seconds to wait before the start that follows ``failures`` failures in a row (at least 1)."""
    return min(_LONGEST_S, _FIRST_S * 2.0 ** min(failures - 1, 10))


@dataclass
class _Course:
    failures: int = 0
    start_at: float | None = None
    launched_at: float = 0.0
    is_starting: bool = False


class Restarts:
    """What each service's past tells about its next start.

    Args:
        note: Told of every change.
        monotonic: Gives the time in seconds.
    """

    def __init__(self, note: Note, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._note = note
        self._now = monotonic
        self._courses: dict[str, _Course] = {}

    def tick(self, services: Iterable[Service]) -> None:
        """Look at each service once and do what is due; call it a few times a second."""
        for service in services:
            course = self._courses.setdefault(service.name, _Course(launched_at=self._now()))
            if course.start_at is not None:
                if self._now() >= course.start_at:
                    self._launch(service, course)
            elif not service.server.is_alive():
                self._failed(service, course, "ended")
            elif course.is_starting:
                self._look(service, course)
            elif course.failures and self._now() - course.launched_at > _STABLE_S:
                course.failures = 0

    def _launch(self, service: Service, course: _Course) -> None:
        course.start_at = None
        course.launched_at = self._now()
        service.record.restarts += 1
        self._note(service, "starting", f"restart {service.record.restarts}")
        try:
            service.start()
        except StackFailed as failure:
            self._failed(service, course, failure.reason)
            return
        course.is_starting = True
        self._look(service, course)

    def _look(self, service: Service, course: _Course) -> None:
        if service.is_ready():
            course.is_starting = False
            service.record.elapsed_s = round(self._now() - course.launched_at, 2)
            self._note(service, "ready")
        elif self._now() - course.launched_at > service.bound_s:
            self._failed(service, course, f"did not answer within {service.bound_s:g} s")

    def _failed(self, service: Service, course: _Course, cause: str) -> None:
        # Reaps it, and ends what is left of it.
        service.stop()
        course.is_starting = False
        course.failures += 1
        wait_s = delay_s(course.failures)
        course.start_at = self._now() + wait_s
        self._note(service, "degraded", f"{cause}; next start in {wait_s:g} s")
