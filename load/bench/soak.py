"""Does a replica's memory stay flat? Many requests and model switches under a small budget for models.

``python -m load.bench.soak`` drives one real replica over its frame socket and prints its memory at 10, 50
and 100 % of the requests. Exit code 1 when the last is more than 5 % above or below the first.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cohortlens.adapters import messages
from cohortlens.adapters.frame_lane import FrameLane
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.frames import Method
from cohortlens.embedded.redis import EmbeddedRedis
from load.bench.bare_replica import TARGET, BareReplica, bare_replica, feature_rows

MODELS = 8
HELD = 3
"""Models that fit into the budget, so that most switches load one and drop one."""

CALLERS = 4
ROWS = (1, 7, 64, 200)
"""Rows of the requests in turn: alone, few, a batch on the event loop, one in a thread."""

MARKS = (0.1, 0.5, 1.0)
TOLERANCE_RATIO = 0.05
BUDGET = 2 << 20


@dataclass(frozen=True)
class Mark:
    """Memory at one moment.

    Attributes:
        share: Share of the requests done.
        rss_bytes: Resident memory.
        pss_bytes: The same with shared pages divided among their users.
    """

    share: float
    rss_bytes: int
    pss_bytes: int


async def soak(replica: BareReplica, requests: int, switches: int) -> list[Mark]:
    """Drive a replica.

    Args:
        replica: The replica.
        requests: Calls in all.
        switches: How often the model changes.

    Returns:
        Its memory at each of ``MARKS``.
    """
    lane = await FrameLane.connect(replica.frame_socket, replica.replica, 5.0)
    rows = [feature_rows(count) for count in ROWS]
    marks: list[Mark] = []
    done = 0

    async def calls(digest: str, count: int) -> None:
        for number in range(count):
            features = rows[number % len(rows)]
            parts = messages.score_request(digest, SCHEMA.hash, TARGET, features)
            messages.scores_of(await lane.call(Method.SCORE, parts, 60.0), len(features))

    for switch in range(switches):
        digest = replica.digests[switch % len(replica.digests)]
        here = requests * (switch + 1) // switches - done
        shares = [here // CALLERS + (caller < here % CALLERS) for caller in range(CALLERS)]
        await asyncio.gather(*(calls(digest, share) for share in shares))
        done += here
        while len(marks) < len(MARKS) and done >= MARKS[len(marks)] * requests:
            marks.append(_mark(replica, MARKS[len(marks)]))
    lane.close()
    return marks


def _mark(replica: BareReplica, share: float) -> Mark:
    used = replica.usage.memory_full_info()
    return Mark(share, used.rss, used.pss)


def growth_ratio(marks: list[Mark]) -> float:
    """Resident memory at the last mark, in multiples of that at the first."""
    return marks[-1].rss_bytes / marks[0].rss_bytes


def main(arguments: list[str]) -> int:
    """Run the soak; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--switches", type=int, default=200)
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cls-") as folder:
        redis = EmbeddedRedis(Path(folder) / "r", 0)
        url = str(redis.start())
        try:
            with bare_replica(Path(folder) / "d", url, models=1) as probe:
                budget = HELD * probe.model_bytes + BUDGET
            settings = {"WORKER_MODEL_MEMORY": str(budget)}
            with bare_replica(Path(folder) / "d", url, models=MODELS, **settings) as replica:
                marks = asyncio.run(soak(replica, wanted.requests, wanted.switches))
        finally:
            redis.stop()
    lines = [f"{wanted.requests} requests, {wanted.switches} switches among {MODELS} models, {HELD} fit"]
    for mark in marks:
        rss, pss = mark.rss_bytes / 2**20, mark.pss_bytes / 2**20
        lines.append(f"{mark.share:>5.0%}  RSS {rss:7.1f} MiB  PSS {pss:7.1f} MiB")
    ratio = growth_ratio(marks)
    lines.append(f"ratio {ratio:.3f}, expected {1 - TOLERANCE_RATIO:.2f} to {1 + TOLERANCE_RATIO:.2f}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if abs(ratio - 1) <= TOLERANCE_RATIO else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
