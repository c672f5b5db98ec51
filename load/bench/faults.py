"""``make bench-faults``: what callers see while parts of the stack die, under a steady open load.

Starts a stack of its own, breaks it in one way after the other and prints one table. Leaves with 1 when a
goal is missed, with 3 when the driver could not keep its schedule (ask for a lower RATE).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys

import uvloop

from cohortlens.cli.output import table
from load.bench import fault_cases, fault_neighbour
from load.bench.fault_cases import Bench, Finding
from load.bench.fault_stack import FaultStack, started
from load.open_loop import EXIT_FAILED, EXIT_INVALID
from load.smoke import local_target

REPLICAS = 2
CASES = {
    "replica": fault_cases.replica_killed,
    "promotion": fault_cases.versions_switched,
    "gateway": fault_cases.gateway_stopped,
    "redis-hangs": fault_cases.redis_hangs,
    "redis-killed": fault_cases.redis_killed,
    "neighbour": fault_neighbour.noisy_neighbour,
    "postgres": fault_cases.postgres_hangs,
}


async def _run(stack: FaultStack, names: list[str], rate: float) -> list[Finding]:
    findings: list[Finding] = []
    for name in names:
        bench = Bench(stack, local_target(), rate)
        finding = await CASES[name](bench)
        sys.stderr.write(f"{name}: {finding.failed} failed of {finding.calls}; {finding.seen}\n")
        findings.append(finding)
        # The next fault must not meet what is left of this one.
        await asyncio.to_thread(fault_cases.settled, stack, REPLICAS)
    return findings


def main(arguments: list[str]) -> int:
    """Run the cases; see the module for the exit codes."""
    parser = argparse.ArgumentParser(prog="load.bench.faults")
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="cases to run; all when none is named")
    parser.add_argument("--rate", type=float, default=500.0, help="calls per second")
    parser.add_argument("--running", action="store_true", help="break the running stack of this environment")
    options = parser.parse_args(arguments)
    with contextlib.nullcontext(FaultStack()) if options.running else started(REPLICAS) as stack:
        findings = uvloop.run(_run(stack, options.cases or list(CASES), options.rate))
    header = ["fault", "calls", "failed", "worst gap", "seen", "goal", "met"]
    sys.stdout.write(table([one.cells() for one in findings], header, frozenset({1, 2, 3})) + "\n")
    if not all(one.is_valid for one in findings):
        sys.stdout.write(f"some calls started late: this machine cannot keep {options.rate:g}/s\n")
        return EXIT_INVALID
    return 0 if all(one.is_met for one in findings) else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
