"""What recording a consent takes at a gateway: ``make bench-grants`` (``python -m load.bench.grants``).

Starts one more gateway of the running local stack, with limits out of the way, and calls GrantConsent 100
times a second for 20 s whatever the answers do, each for a new person of the demo tenant, nobody real.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

from cohortlens.cli.seed_consents import PURPOSE, publish_notice
from cohortlens.v1 import consent_acts_pb2, consent_notices_pb2, consent_pb2_grpc
from load.bench.fault_stack import FaultStack, demo_client
from load.bench.raised import RAISED
from load.open_loop import DEADLINE_S, EXIT_FAILED, EXIT_INVALID, Ask, Report, drive

GOAL_MS = 30.0
RATE, SECONDS = 100, 20


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


async def _measured(address: str, token: str, notice: str) -> Report:
    async with _granting(address, token, notice) as ask:
        return await drive(ask, RATE, SECONDS)


def main() -> int:
    """Run the benchmark; 0 when every call succeeded and the 99th percentile reached its goal."""
    with demo_client() as client:
        token, notice = client.access_token(), publish_notice(client)
    with FaultStack().second_gateway(RAISED) as (process, address):
        before = process.cpu_times()
        report = asyncio.run(_measured(address, token, notice))
        after = process.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    p99 = report.service.summary()["p99"]
    sys.stdout.write(
        f"GrantConsent over gRPC\n{report.table()}\n"
        f"CPU of the gateway: {cpu_s / (report.calls * 1.25) * 1e3:.2f} ms a call\n"
        f"p99: {p99:.1f} ms, goal {GOAL_MS:.0f} ms\n"
    )
    if not report.is_valid:
        return EXIT_INVALID
    return EXIT_FAILED if report.failed or p99 > GOAL_MS else 0


if __name__ == "__main__":
    sys.exit(main())
