"""The goals of serving, held against one run's figures: ratios between servers measured within minutes.

Source of the goals: the design of inference, its table of benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from cohortlens.cli.output import table

PREDICT, INFER = "CohortLens Predict, gRPC", "CohortLens ModelInfer, gRPC"
BY_ID = "CohortLens Predict by id, durable"
BARE = ", bare"
GRPC_ECHO, ASGI_ECHO = "bare grpc.aio echo", "bare ASGI gRPC echo"
KSERVE, MLSERVER = "KServe, gRPC", "MLServer, gRPC"
FASTAPI = ("FastAPI + uvicorn x1", "FastAPI + uvicorn x2")


class Row(NamedTuple):
    """What one server did under one load.

    Attributes:
        name: Server.
        clients: Connections, one request under way on each.
        per_second: Requests per second.
        p50_ms: Median time of a request.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        cpu_ms: CPU time of all its processes per request.
        pss_mib: Memory of all its processes.
    """

    name: str
    clients: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms: float
    pss_mib: float


class _Figures:
    """Rows by server and number of clients."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = {(row.name, row.clients): row for row in rows}

    def at(self, name: str, clients: int = 64) -> Row:
        return self._rows[name, clients]

    def rate(self, *names: str, clients: int = 64) -> float:
        """The best of some servers, requests per second."""
        return max(self.at(name, clients).per_second for name in names)

    def least(self, of: Callable[[Row], float], *names: str) -> float:
        return min(of(self.at(name)) for name in names)


def shown(single: list[Row], many: list[Row], many_clients: int) -> str:
    """One line per goal: what was asked, what this run saw, whether it was met.

    Args:
        single: Rows of the requests of one row.
        many: Rows of the requests of 1,000 rows.
        many_clients: Clients of the latter.
    """
    one, thousand = _Figures(single), _Figures(many)
    peers = one.rate(KSERVE, MLSERVER)
    asked: list[tuple[str, float, float, bool]] = []
    for mode, suffix, over_peers, over_fastapi, cpu_ms in (
        ("bare", BARE, 6.0, 1.6, 0.05),
        ("full", "", 3.5, 1.0, 0.10),
    ):
        names = (PREDICT + suffix, INFER + suffix)
        rate = one.rate(*names)
        asked += [
            (
                f"{mode}: req/s at 64 clients over the better of KServe, MLServer",
                over_peers,
                rate / peers,
                True,
            ),
            (f"{mode}: the same over FastAPI x2", over_fastapi, rate / one.rate(FASTAPI[1]), True),
            (
                f"{mode}: CPU ms per request at 64 clients",
                cpu_ms,
                one.least(lambda r: r.cpu_ms, *names),
                False,
            ),
        ]
    ours = min(one.at(PREDICT, 1).p50_ms, one.at(INFER, 1).p50_ms)
    asked += [
        ("full: p50 at 1 client over the grpc.aio echo", 1.0, ours / one.at(GRPC_ECHO, 1).p50_ms, False),
        (
            "full: p99 at 64 clients over FastAPI's",
            0.5,
            one.least(lambda r: r.p99_ms, PREDICT, INFER) / one.least(lambda r: r.p99_ms, *FASTAPI),
            False,
        ),
        (
            "full: rows/s of 1,000-row requests over MLServer",
            1.8,
            thousand.rate(PREDICT, INFER, clients=many_clients)
            / thousand.rate(MLSERVER, clients=many_clients),
            True,
        ),
        ("full: by customer id, durable, over by vector", 0.5, one.rate(BY_ID) / one.rate(PREDICT), True),
    ]
    cells = [
        [
            goal,
            f"{'>=' if at_least else '<='} {wanted:g}",
            f"{seen:.3g}",
            "met" if (seen >= wanted) == at_least or seen == wanted else "missed",
        ]
        for goal, wanted, seen, at_least in asked
    ]
    return table(cells, ["goal", "asked", "seen", ""], frozenset({1, 2}))
