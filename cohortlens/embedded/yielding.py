"""Lets a process that answers nobody yield the processor to those that do, on a machine that they share.

Two mechanisms, since it depends on where the stack runs which one counts. A nice value weighs threads against
each other within a control group. Where the kernel groups processes by session (``sched_autogroup_enabled``
and the root group: the usual case outside a container), each session weighs the same whatever its threads'
values are, and the session's own value counts. Source: sched(7), "The autogroup feature".
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from cohortlens.embedded.processes import children_of

NICENESS: Final = 5
"""A third of the weight of a process at 0: it works on with what others leave, and is never quite without."""
_PROC = Path("/proc")


def yield_to_others(pid: int, niceness: int = NICENESS) -> None:
    """Lower a process that leads a session, its threads and what it started; no fault when one has ended.

    Args:
        pid: Process id.
        niceness: 0 to 19; more yields more.
    """
    with contextlib.suppress(OSError):
        (_PROC / str(pid) / "autogroup").write_text(str(niceness), encoding="ascii")
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        waiting += children_of(one)
        for thread in _threads_of(one):
            # A value for each: PRIO_PROCESS means one thread on Linux, unlike what POSIX says.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, thread, niceness)


def _threads_of(pid: int) -> list[int]:
    try:
        return [int(one.name) for one in (_PROC / str(pid) / "task").iterdir()]
    except OSError:
        return []
