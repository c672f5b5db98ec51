"""What recording a consent takes on a whole stack: ``make bench-grants`` (``python -m load.bench.grants``).

Starts a stack of its own and calls GrantConsent at a fixed rate, each call for a new person of the demo
tenant, nobody real. What follows a consent (credential, pinned receipt) is worked on by the same machine
meanwhile; the table says what each process took and what was left to do. ``--running`` takes a running stack.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import grpc
import psutil
import uvloop

from cohortlens.cli.local import endpoints, jobs_url
from cohortlens.cli.output import table
from cohortlens.cli.seed_consents import PURPOSE, publish_notice
from cohortlens.embedded import stack
from cohortlens.embedded.yielding import NICENESS, yield_to_others
from cohortlens.v1 import consent_acts_pb2, consent_notices_pb2, consent_pb2_grpc
from load.bench.fault_stack import FaultStack, demo_client, started
from load.bench.processes import cpu_seconds, tree
from load.open_loop import DEADLINE_S, EXIT_FAILED, EXIT_INVALID, Ask, Report, drive

GOAL_MS = 30.0
WARM_UP_S = 5.0
DRAIN_S = 120.0
_SHOWN = ("gateway", "postgres", "redis", "jobs", "web3", "workers")
_OPEN = "SELECT coalesce(sum(open), 0) FROM app.outbox_figures()"
_PRIORITY = 1
YIELDING = frozenset({"jobs", "web3"})


@dataclass
class Spent:
    """What a run cost.

    Attributes:
        report: What the callers saw.
        wall_s: Seconds of the measured part and its warm-up.
        cpu_s: Seconds of processor by service, the driver among them.
        left: Events that waited or ran when the last call was answered.
        drained_s: Seconds until none did; infinity when that was not seen.
    """

    report: Report
    wall_s: float
    cpu_s: dict[str, float]
    left: int
    drained_s: float


@contextlib.asynccontextmanager
async def _granting(address: str, token: str, notice: str) -> AsyncIterator[Ask]:
    """GrantConsent over gRPC, each call for a person who decided nothing before."""
    metadata = (("authorization", f"Bearer {token}"),)
    run, numbers = secrets.token_hex(4), itertools.count()
    purposes = [consent_notices_pb2.PurposeVersion(purpose=PURPOSE)]
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_retries", 0)]) as channel:
        stub: Any = consent_pb2_grpc.ConsentServiceStub(channel)

        async def ask() -> str:
            request = consent_acts_pb2.GrantConsentRequest(
                customer=f"external:bench-{run}-{next(numbers)}", purposes=purposes, notice=notice
            )
            try:
                reply = await stub.GrantConsent(request, timeout=DEADLINE_S, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                return str(error.code().name)
            return "OK" if reply.consents[0].state == consent_acts_pb2.CONSENT_STATE_GIVEN else "DATA_LOSS"

        yield ask


async def _measured(one: FaultStack, rate: float, seconds: float) -> Spent:
    with demo_client() as client:
        token, notice = client.access_token(), publish_notice(client)
    async with _granting(endpoints().grpc, token, notice) as ask:
        before, began = _cpu(one), time.monotonic()
        report = await drive(ask, rate, seconds, warm_up_s=WARM_UP_S)
        wall_s, after = time.monotonic() - began, _cpu(one)
    database = await asyncpg.connect(jobs_url(stack.load_config()))
    try:
        ended, left = time.monotonic(), int(await database.fetchval(_OPEN))
        drained_s = float("inf")
        while time.monotonic() - ended < DRAIN_S:
            if not await database.fetchval(_OPEN):
                drained_s = time.monotonic() - ended
                break
            await asyncio.sleep(0.5)
    finally:
        await database.close()
    return Spent(report, wall_s, {name: after[name] - before[name] for name in after}, left, drained_s)


def _cpu(one: FaultStack) -> dict[str, float]:
    """Seconds of processor by service so far; PostgreSQL's backends count, ended ones by their parent."""
    services, found = one.services(), {}
    for name in _SHOWN:
        pid = services.get(name)
        if pid is not None:
            ended = psutil.Process(pid).cpu_times()
            found[name] = cpu_seconds(tree(psutil.Process(pid))) + ended.children_user + ended.children_system
    own = os.times()
    return {**found, "driver": own.user + own.system}


def _come_first() -> str:
    """Let this driver start in time whatever the stack does: its callers would have machines of their own."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except PermissionError:
        return "shares the processors as an equal (root could put it first)"
    return "goes before the stack, as a caller on another machine would"


def _go_before(one: FaultStack) -> None:
    """Weigh the stack ten times heavier than whatever else runs here, its parts among themselves as ever.

    Raises:
        SystemExit: Not run by root.
    """
    if os.geteuid() != 0:
        raise SystemExit("error NOT_PERMITTED: --first needs root")
    for name, pid in one.services().items():
        if pid is not None:
            yield_to_others(pid, 0 if name in YIELDING else -NICENESS)


def _shown(spent: Spent, place: str) -> str:
    calls = spent.report.rate * spent.wall_s
    rows = [
        [name, f"{cpu_s:.1f}", f"{cpu_s / spent.wall_s:.0%}", f"{cpu_s / calls * 1e3:.2f}"]
        for name, cpu_s in spent.cpu_s.items()
    ]
    used = table(rows, ["process", "CPU s", "of one core", "ms a grant"], right=frozenset({1, 2, 3}))
    p99 = spent.report.intended.summary()["p99"]
    return (
        f"GrantConsent over gRPC; the driver {place}\n{spent.report.table()}\n\n{used}\n\n"
        f"events left at the end: {spent.left}, done {spent.drained_s:.1f} s later\n"
        f"p99 from the intended start: {p99:.1f} ms, goal {GOAL_MS:.0f} ms\n"
    )


def main(arguments: list[str]) -> int:
    """Run the benchmark; 0 when every call succeeded and the 99th percentile reached its goal."""
    parser = argparse.ArgumentParser(prog="load.bench.grants")
    parser.add_argument("--rate", type=float, default=100.0, help="grants per second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--running", action="store_true", help="drive the running stack of this environment")
    parser.add_argument(
        "--first", action="store_true", help="go before other work of this machine; root only"
    )
    options = parser.parse_args(arguments)
    with contextlib.nullcontext(FaultStack()) if options.running else started(1) as one:
        if options.first:
            _go_before(one)
        place = _come_first()
        spent = uvloop.run(_measured(one, options.rate, options.seconds))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    sys.stdout.write(_shown(spent, place))
    if not spent.report.is_valid:
        return EXIT_INVALID
    p99 = spent.report.intended.summary()["p99"]
    return EXIT_FAILED if spent.report.failed or p99 > GOAL_MS else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
