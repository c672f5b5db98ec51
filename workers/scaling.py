"""How many replicas a deployment needs: what a replica measures of itself, and the decision on top.

Serve does not see the calls, so it cannot count them; each replica reports its load, 1 being what it should
carry at most. The sum over the replicas is the number needed. Serve bounds and delays the decision.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LOAD = "load"
"""Name under which a replica reports its load."""

SETTLE_S = 10.0
"""Seconds after its first report in which a replica's CPU time is that of its start, not of calls."""

QUEUE_MOST = 2.0
"""A queue counts at most this: its length says that one more is needed, not how many more."""

LOOK_BACK_S = 3.0
"""Seconds over which Serve averages a replica's load."""


@dataclass(frozen=True)
class Targets:
    """What one replica should carry at most.

    Attributes:
        busy: CPU seconds a second.
        rows: Rows in flight.
        queue_s: Seconds a call waits before it is worked on.
    """

    busy: float
    rows: int
    queue_s: float


@dataclass(frozen=True)
class Work:
    """What a replica does at this moment.

    Attributes:
        rows: Rows in flight.
        queue_s: Seconds that calls wait lately.
    """

    rows: int
    queue_s: float


class LoadGauge:
    """The load of one replica, by whatever it has most of.

    Args:
        targets: What it should carry at most.
        work: Tells what it does now.
        cpu_s: CPU seconds of the process so far.
        now: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        targets: Targets,
        work: Callable[[], Work],
        cpu_s: Callable[[], float] = time.process_time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._targets = targets
        self._work = work
        self._cpu_s = cpu_s
        self._now = now
        self._settled_at = now() + SETTLE_S
        self._seen = (now(), cpu_s())

    def load(self) -> float:
        """Load since the last call; 1 is what the replica should carry at most."""
        targets, work = self._targets, self._work()
        queue = min(work.queue_s / targets.queue_s, QUEUE_MOST)
        return max(self._busy() / targets.busy, work.rows / targets.rows, queue)

    def _busy(self) -> float:
        (then, cpu_then), self._seen = self._seen, (self._now(), self._cpu_s())
        now, cpu = self._seen
        if now < self._settled_at or now <= then:
            return 0.0
        return (cpu - cpu_then) / (now - then)


def replicas_needed(context: Any) -> tuple[int, dict[str, Any]]:
    """The number of replicas that bring every one to its target; called by Serve's controller.

    Args:
        context: ``ray.serve.config.AutoscalingContext``.

    Returns:
        The number, and the state of the policy, which has none.
    """
    loads = context.aggregated_metrics.get("load", {})
    running = [loads[one] for one in context.running_replicas if one in loads]
    if len(running) < len(context.running_replicas) or not running:
        # A replica that has not reported yet is neither idle nor busy: nothing changes meanwhile.
        return context.target_num_replicas, {}
    return max(1, math.ceil(round(sum(running), 6))), {}
