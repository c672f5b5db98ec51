"""Points at which a fault test lets the process die, as if by ``kill -9``; without effect anywhere else."""

from __future__ import annotations

import os
import signal

_armed: set[str] = set()


def arm(name: str, environment: str) -> None:
    """Let the process die when it comes to ``failpoint(name)``; an empty name arms nothing.

    Args:
        name: The point.
        environment: Kind of installation; only ``test`` may have failpoints.

    Raises:
        ValueError: This is no installation for tests.
    """
    if name and environment != "test":
        raise ValueError("COHORTLENS_FAILPOINT is for fault tests: it needs COHORTLENS_ENV=test")
    _armed.clear()
    if name:
        _armed.add(name)


def failpoint(name: str) -> None:
    """Die here if this point is armed: nothing of Python is run any more, no buffer is written."""
    if _armed and name in _armed:
        os.kill(os.getpid(), signal.SIGKILL)
