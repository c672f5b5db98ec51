"""The faults of ``make bench-faults``: each breaks one part under load and says what callers saw."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cohortlens.v1 import analytics_pb2, models_pb2
from load.bench.fault_stack import FaultStack, demo_client, two_versions, until
from load.open_loop import Ask, Report, drive, grpc_predict, grpc_vector
from load.settings import LoadTarget

WARM_UP_S = 3.0
QUIET_S = 3.0
REPLACED_S, SWITCH_RATIO = 15.0, 3.0
BY_ID_RATE = 20.0
_STATED = {"OK", "UNAVAILABLE", "DEADLINE_EXCEEDED"}


@dataclass(frozen=True)
class Bench:
    """What a case works with.

    Attributes:
        stack: The stack to break.
        target: Its doors and the demo tenant's token.
        rate: Calls per second.
    """

    stack: FaultStack
    target: LoadTarget
    rate: float


@dataclass(frozen=True)
class Finding:
    """One row of the table.

    Attributes:
        fault: What was broken.
        calls: Calls made.
        failed: Calls that failed.
        gap_s: Longest time without a good answer.
        seen: What else was measured.
        goal: What it should be.
        is_met: Whether it was.
        is_valid: Whether the driver kept its schedule.
    """

    fault: str
    calls: int
    failed: int
    gap_s: float
    seen: str
    goal: str
    is_met: bool
    is_valid: bool = True

    def cells(self) -> list[str]:
        """The row as text."""
        gap = "" if math.isnan(self.gap_s) else f"{self.gap_s * 1000:,.0f} ms"
        met = "yes" if self.is_met else "NO"
        return [self.fault, f"{self.calls:,}", str(self.failed), gap, self.seen, self.goal, met]


async def replica_killed(bench: Bench) -> Finding:
    """Kill -9 one of two prediction replicas."""
    stack = bench.stack
    replaced = math.inf

    async def act() -> None:
        nonlocal replaced
        await asyncio.sleep(QUIET_S)
        before = await asyncio.to_thread(stack.registered, "prediction")
        victim = (await asyncio.to_thread(stack.replicas, "prediction"))[0]
        victim.kill()
        replaced = await asyncio.to_thread(
            until, lambda: len(stack.registered("prediction") - {victim.pid}) >= len(before), 60.0
        )

    report = await under_load(bench, act, 30.0)
    return _finding(
        "kill -9 of a prediction replica",
        report,
        f"replaced after {replaced:.1f} s",
        f"0 failed, replaced <= {REPLACED_S:g} s",
        is_met=not report.failed and replaced <= REPLACED_S,
    )


async def versions_switched(bench: Bench) -> Finding:
    """Promote another version and roll back, three times."""
    with demo_client() as client:
        active, other = await asyncio.to_thread(two_versions, client)
        async with grpc_vector(bench.target) as ask:
            before = await drive(ask, bench.rate, 12.0, warm_up_s=WARM_UP_S)
        promote = models_pb2.PromoteModelRequest(model="prediction", version=other, reason="bench")
        roll_back = models_pb2.RollbackModelRequest(model="prediction", reason="bench")

        async def act() -> None:
            for _ in range(3):
                await asyncio.sleep(1.0)
                await asyncio.to_thread(client.call, client.models.PromoteModel, promote)
                await asyncio.sleep(1.0)
                await asyncio.to_thread(client.call, client.models.RollbackModel, roll_back)

        report = await under_load(bench, act, 12.0)
        now = await asyncio.to_thread(two_versions, client)
    p99, baseline = report.intended.quantile_ms(0.99), before.intended.quantile_ms(0.99)
    ratio = p99 / baseline
    return _finding(
        "promotion and rollback, three times",
        report,
        f"p99 {p99:.1f} ms, before {baseline:.1f} ms ({ratio:.2f} x)",
        f"0 failed, p99 <= {SWITCH_RATIO:g} x",
        is_met=not report.failed and ratio <= SWITCH_RATIO and now[0] == active,
    )


async def gateway_stopped(bench: Bench) -> Finding:
    """SIGTERM one of two gateways that clients know both of."""
    with bench.stack.second_gateway() as (process, address):
        both = dataclasses.replace(bench.target, grpc=f"ipv4:{bench.target.grpc},{address}")

        async def act() -> None:
            await asyncio.sleep(QUIET_S)
            process.send_signal(signal.SIGTERM)

        report = await under_load(dataclasses.replace(bench, target=both), act, 12.0)
        ended = await asyncio.to_thread(until, lambda: not process.is_running() or _is_zombie(process), 30.0)
    return _finding(
        "SIGTERM of one of two gateways",
        report,
        f"ended {ended:.1f} s after the load",
        "0 failed",
        is_met=not report.failed and math.isfinite(ended),
    )


async def redis_hangs(bench: Bench, seconds: float = 20.0) -> Finding:
    """SIGSTOP for Redis."""

    async def act() -> None:
        await asyncio.sleep(QUIET_S)
        with bench.stack.stopped("redis"):
            await asyncio.sleep(seconds)

    report = await under_load(bench, act, seconds + 2 * QUIET_S)
    p99 = report.intended.quantile_ms(0.99)
    return _finding(
        f"Redis hangs for {seconds:g} s", report, f"p99 {p99:.1f} ms", "0 failed", is_met=not report.failed
    )


async def redis_killed(bench: Bench, seconds: float = 20.0) -> Finding:
    """Kill -9 Redis and each successor."""

    async def act() -> None:
        await asyncio.sleep(QUIET_S)
        await asyncio.to_thread(bench.stack.kill_for, "redis", seconds)

    report = await under_load(bench, act, seconds + 2 * QUIET_S)
    p99 = report.intended.quantile_ms(0.99)
    return _finding(
        f"Redis killed for {seconds:g} s", report, f"p99 {p99:.1f} ms", "0 failed", is_met=not report.failed
    )


async def postgres_hangs(bench: Bench, seconds: float = 10.0) -> Finding:
    """SIGSTOP for PostgreSQL: vectors go on, customers by id are refused cleanly and come back."""
    by_id = analytics_pb2.PredictRequest(
        task=analytics_pb2.PREDICTION_TASK_SPEND, customers=bench.target.customers[:1]
    )

    async def act() -> None:
        await asyncio.sleep(QUIET_S)
        with bench.stack.stopped("postgres"):
            await asyncio.sleep(seconds)

    length = seconds + 4 * QUIET_S
    async with grpc_predict(bench.target, by_id) as ask:
        vectors, customers = await asyncio.gather(
            under_load(bench, act, length), drive(ask, BY_ID_RATE, length, warm_up_s=WARM_UP_S)
        )
    after_s = QUIET_S + seconds + 3.0
    codes = {one.code for one in customers.outcomes}
    recovered = all(one.code == "OK" for one in customers.outcomes if one.at_s >= after_s)
    told = ", ".join(f"{code} {count}" for code, count in sorted(customers.codes.items()))
    return _finding(
        f"PostgreSQL hangs for {seconds:g} s",
        vectors,
        f"by id: {told}; {'recovered' if recovered else 'NOT recovered'} 3 s after",
        "vectors 0 failed; by id stated errors only",
        is_met=not vectors.failed and recovered and codes <= _STATED,
        is_valid=customers.is_valid,
    )


def settled(stack: FaultStack, replicas: int) -> None:
    """Wait until every service and replica is there again and calls are answered."""

    def is_so() -> bool:
        if None in stack.services().values():
            return False
        return len(stack.registered("prediction")) >= replicas

    until(is_so, 60.0)


async def under_load(bench: Bench, act: Callable[[], Awaitable[None]], seconds: float) -> Report:
    """Predict vectors at the bench's rate for some seconds while ``act`` breaks something."""
    ask: Ask
    async with grpc_vector(bench.target) as ask, asyncio.TaskGroup() as tasks:
        load = tasks.create_task(drive(ask, bench.rate, seconds, warm_up_s=WARM_UP_S))
        await asyncio.sleep(WARM_UP_S)
        await act()
    return load.result()


def _finding(
    fault: str, report: Report, seen: str, goal: str, *, is_met: bool, is_valid: bool = True
) -> Finding:
    codes = ", ".join(f"{code} {n}" for code, n in sorted(report.codes.items()) if code != "OK")
    return Finding(
        fault,
        report.calls,
        report.failed,
        report.gap_s(),
        f"{seen}; {codes}" if codes else seen,
        goal,
        is_met,
        report.is_valid and is_valid,
    )


def _is_zombie(process: object) -> bool:
    return getattr(process, "status", str)() == "zombie"
