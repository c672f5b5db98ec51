"""The rate limits under a flood: ``python -m load.bench.limiter SECONDS``; prints what was admitted.

Four processes with 64 tasks each flood a Valkey of their own as one tenant, then as four, while another
tenant calls slowly from a process of its own. Beside what was admitted stands the envelope: in any window of
W seconds a burst and what the rate gives in W + 0.2 s.
"""

from __future__ import annotations

import asyncio
import bisect
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from cohortlens.embedded.redis import EmbeddedRedis
from gateway.limits.pace import BLOCK_LIFE_S

PROCESSES, TASKS = 4, 64
WINDOWS_S = (0.1, 0.5, 1.0, 2.0)
LIMITS = ((20, 80), (200, 400), (2_000, 4_000))
_ROOT = Path(__file__).resolve().parents[2]


def most_within(times: Sequence[float], window_s: float) -> int:
    """Most admissions in any window of a length; ``times`` ascend."""
    return max(bisect.bisect_left(times, begin + window_s) - at for at, begin in enumerate(times))


async def rounds(url: str, rate: int, burst: int, seconds: float, tenants: Sequence[str]) -> list[Any]:
    """What each process reports of a flood."""
    arguments = [url, str(rate), str(burst), str(TASKS), str(seconds)]
    flooding = [tenants] * PROCESSES if tenants else []
    started = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "load.bench.limiter_process", *arguments, *flooded),
            cwd=_ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 27,
        )
        for flooded in (*flooding, ())
    ]
    for one in started:
        assert one.stdout is not None
        await one.stdout.readline()
    outputs = await asyncio.gather(*(one.communicate(b"\n") for one in started))
    return [orjson.loads(out.splitlines()[-1]) for out, _ in outputs]


def p99_ms(reports: Sequence[Any]) -> float:
    """The wait of the slow tenant that 99 of 100 calls stay under, milliseconds."""
    waits = sorted(wait for one in reports for wait in one["waits"])
    return 1000 * float(waits[int(len(waits) * 0.99)]) if waits else 0.0


async def main(seconds: float) -> int:
    """Print the table; returns 1 when a window held more than its envelope."""
    is_over = False
    with tempfile.TemporaryDirectory(prefix="cl-limiter-") as folder, EmbeddedRedis(Path(folder), 0) as url:
        quiet = p99_ms(await rounds(url, 200, 400, seconds, []))
        sys.stdout.write(
            f"{PROCESSES} processes, {TASKS} tasks each, {seconds:g} s; another tenant's p99 alone"
        )
        sys.stdout.write(f" {quiet:.2f} ms\n")
        sys.stdout.write(
            "rate/s burst tenants  admitted     used  fullest window / envelope  other's p99 ms\n"
        )
        for rate, burst in LIMITS:
            for tenants in (["a"], ["a", "b", "c", "d"]):
                names = [f"{one}-{rate}-{len(tenants)}" for one in tenants]
                reports = await rounds(url, rate, burst, seconds, names)
                is_over |= _print_row(rate, burst, names, reports)
    return int(is_over)


def _print_row(rate: int, burst: int, names: Sequence[str], reports: Sequence[Any]) -> bool:
    used, fullest, admitted = 1.0, 0.0, 0
    for name in names:
        times = sorted(at for one in reports for at in one["admitted"].get(name, ()))
        admitted += len(times)
        used = min(used, len(times) / (burst + rate * (times[-1] - times[0])))
        for window_s in WINDOWS_S:
            envelope = burst + rate * (window_s + BLOCK_LIFE_S)
            fullest = max(fullest, most_within(times, window_s) / envelope)
    sys.stdout.write(
        f"{rate:>6} {burst:>5} {len(names):>7} {admitted:>9} {used:>8.1%} {fullest:>25.1%}"
        f" {p99_ms(reports):>15.2f}\n"
    )
    return fullest > 1.0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)))
