"""Waiting for work that goes on in the background, through restarts of the services behind it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from cohortlens.cli.errors import ApiError
from cohortlens.cli.output import Fault
from cohortlens.v1 import common_pb2

POLL_S = 0.3
OUTAGE_S = 60.0
_UNFINISHED = {common_pb2.WORK_STATE_PENDING, common_pb2.WORK_STATE_RUNNING}
_PASSING = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})


class Work(Protocol):
    """A resource with a state, such as an import or a training run."""

    @property
    def state(self) -> int:
        """A ``WorkState``."""


WorkT = TypeVar("WorkT", bound=Work)


def wait_until_final(
    work: WorkT, poll: Callable[[], WorkT], show: Callable[[WorkT], None], label: str
) -> WorkT:
    """Poll ``work`` until its state is final.

    The work does not depend on who waits for it, so an outage shorter than ``OUTAGE_S`` is waited out.

    Args:
        work: As it was when it started.
        poll: Reads it again.
        show: Called with each reading.
        label: Names the work in a fault, such as ``import 01890a5d-...``.

    Raises:
        Fault: The service stayed away; says that the work itself goes on.
        ApiError: Any other error of ``poll``.
    """
    away_since: float | None = None
    while work.state in _UNFINISHED:
        time.sleep(POLL_S)
        try:
            work = poll()
        except ApiError as error:
            if error.code not in _PASSING:
                raise
            away_since = time.monotonic() if away_since is None else away_since
            if time.monotonic() - away_since > OUTAGE_S:
                raise _given_up(label, error) from None
            continue
        away_since = None
        show(work)
    return work


def _given_up(label: str, error: ApiError) -> Fault:
    return Fault(
        error.reason,
        f"{label} is stored and goes on by itself, but its state could not be read: {error.message}",
        "cohortlens status shows what is down",
        error.code,
        request_id=error.request_id,
        metadata=error.metadata,
    )
