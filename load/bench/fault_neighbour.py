"""A tenant floods the gateway with ten times its share of connections: what another tenant notices."""

from __future__ import annotations

import asyncio
import math
import statistics
from concurrent.futures import ThreadPoolExecutor

from cohortlens.v1 import analytics_pb2
from load.bench.contestants import PREDICT
from load.bench.fault_cases import Bench, Finding
from load.bench.fault_stack import neighbour_token
from load.bench.h2load import Endpoint, Figures, drive, grpc_endpoint, require_h2load

SHARE, FLOOD = 32, 10
ROUNDS, SECONDS = 3, 6
MOVED_MOST = 1.20


async def noisy_neighbour(bench: Bench) -> Finding:
    """Both tenants have 32 connections that never pause; then one of them opens 320."""
    require_h2load()
    return await asyncio.to_thread(_measure, bench)


def _measure(bench: Bench) -> Finding:
    port = int(bench.target.grpc.rsplit(":", 1)[1])
    request = analytics_pb2.PredictRequest(
        task=analytics_pb2.PREDICTION_TASK_SPEND,
        vectors=[analytics_pb2.FeatureVector(values=bench.target.vector)],
    ).SerializeToString()
    loud = grpc_endpoint(port, PREDICT, request, bench.target.token)
    quiet = grpc_endpoint(port, PREDICT, request, neighbour_token())
    failed_before = bench.stack.failed_calls()
    shares, floods = [], []
    # In turn, so that what else this machine does falls on both alike.
    for _ in range(ROUNDS):
        shares.append(_together(loud, SHARE, quiet))
        floods.append(_together(loud, SHARE * FLOOD, quiet))
    failed = int(bench.stack.failed_calls() - failed_before)
    before = statistics.median(figures.p99_ms for _, figures in shares)
    after = statistics.median(figures.p99_ms for _, figures in floods)
    calls = sum(one.requests for pair in (*shares, *floods) for one in pair)
    rates = [statistics.median(figures.per_second for _, figures in runs) for runs in (shares, floods)]
    return Finding(
        f"a tenant floods at {FLOOD} x its share",
        calls,
        failed,
        math.nan,
        f"other's p99 {before:.1f} -> {after:.1f} ms, its calls {rates[0]:,.0f} -> {rates[1]:,.0f}/s",
        f"p99 <= +{MOVED_MOST - 1:.0%}, 0 failed",
        is_met=after <= MOVED_MOST * before and not failed,
    )


def _together(loud: Endpoint, connections: int, quiet: Endpoint) -> tuple[Figures, Figures]:
    with ThreadPoolExecutor(2) as pool:
        # The loud one runs longer on both sides, so that the other is never alone.
        flood = pool.submit(drive, loud, connections, SECONDS + 2)
        other = pool.submit(drive, quiet, SHARE, SECONDS)
        return flood.result(), other.result()
