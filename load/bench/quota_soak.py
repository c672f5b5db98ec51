"""The month's quota under kill -9: ``make soak-quota``.

64 workers in four processes race for 1,000 units while one of the processes is killed at a random moment, as
often as asked; then a few rounds without a kill, across an upgrade, a downgrade, the end of a period and a
restart of PostgreSQL. Starts PostgreSQL of its own; ends with 1 when a round broke what is promised.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from cohortlens.cli.output import table
from cohortlens.embedded.ports import free_port
from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.migrations import runner
from load.bench.quota_rounds import LIMIT, PROCESSES, WORKERS, Arena, Round

ROUNDS, OTHERS = 100, 3
_KINDS = ("plain", "upgrade", "downgrade", "period", "restart")


async def _run(rounds: int) -> int:
    with tempfile.TemporaryDirectory(prefix="cl-quota-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres", free_port())
        try:
            urls = await asyncio.to_thread(postgres.start)
            await asyncio.to_thread(runner.upgrade, urls.admin)

            def restart() -> None:
                postgres.stop()
                postgres.start()

            arena = Arena(urls.superuser, urls.runtime, restart)
            played = []
            for number in range(rounds):
                played.append(await arena.play("kill"))
                if (number + 1) % 10 == 0:
                    sys.stdout.write(f"{number + 1} rounds with a kill\n")
                    sys.stdout.flush()
            for kind in _KINDS:
                played += [await arena.play(kind) for _ in range(min(OTHERS, rounds))]
        finally:
            postgres.stop()
    _print(played)
    return 0 if all(one.holds for one in played) else 1


def _print(played: list[Round]) -> None:
    rows = [_row(kind, [one for one in played if one.kind == kind]) for kind in ("kill", *_KINDS)]
    head = ["rounds", "of", "killed", "limit", "admitted, least", "most", "lost, most", "bound", "hold"]
    sys.stdout.write(table(rows, head, right=frozenset(range(1, 9))) + "\n")
    for one in played:
        if not one.holds:
            sys.stdout.write(f"BROKEN: {one}\n")
    sys.stdout.write(f"{WORKERS * PROCESSES} workers in {PROCESSES} processes, limit {LIMIT:,}\n")


def _row(kind: str, rounds: list[Round]) -> list[str]:
    if not rounds:
        return [kind, *(["-"] * 8)]
    admitted = [figure for one in rounds for figure in one.admitted[: 2 if kind == "period" else 1]]
    return [
        kind,
        str(len(rounds)),
        str(sum(one.killed for one in rounds)),
        str(max(one.limit for one in rounds)),
        str(min(admitted)),
        str(max(admitted)),
        str(max(one.lost for one in rounds)),
        str(max(one.bound for one in rounds)),
        f"{sum(one.holds for one in rounds)} of {len(rounds)}",
    ]


if __name__ == "__main__":
    rounds_asked = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    sys.exit(asyncio.run(_run(rounds_asked)))
