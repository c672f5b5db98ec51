"""The second mode of ``make profile-serving``: the running stack as it is, by the CPU of its processes."""

from __future__ import annotations

import contextlib
from collections import defaultdict

import psutil

from cohortlens.cli.local import data_dir, endpoints
from cohortlens.cli.output import table
from cohortlens.cli.session import open_client
from load.bench.contestants import PREDICT
from load.bench.h2load import drive, grpc_endpoint
from load.bench.processes import cpu_seconds
from load.bench.profile_gateway import predict_request

_SECONDS = 8
_KINDS = (
    ("gateway", "gateway"),
    ("replica", "ServeReplica"),
    ("postgres", "postgres"),
    ("valkey", "valkey"),
    ("jobs", "jobs"),
)


def measure_running(rows: int, clients: int) -> str:
    """Drive the running stack and tell what a call costs in each kind of process.

    Args:
        rows: Vectors per call.
        clients: Connections.

    Returns:
        A table: kind of process, microseconds of CPU per call.
    """
    where = endpoints()
    with open_client("", "", None, 30.0) as client:
        token = client.access_token()
    request = predict_request(rows)
    port = int(where.grpc.rsplit(":", 1)[1])
    endpoint = grpc_endpoint(port, PREDICT, request.SerializeToString(), token)
    processes = _by_kind()
    before = {kind: cpu_seconds(found) for kind, found in processes.items()}
    figures = drive(endpoint, clients, _SECONDS)
    if figures.failed:
        raise SystemExit(f"error REQUESTS_FAILED: {figures.failed} of {figures.requests}")
    # The processes spend on the second of warm-up too, which h2load does not count.
    calls = figures.per_second * (_SECONDS + 1)
    spent = {kind: (cpu_seconds(found) - before[kind]) * 1e6 / calls for kind, found in processes.items()}
    shown = [[kind, f"{cost:.1f}"] for kind, cost in sorted(spent.items(), key=lambda one: -one[1])]
    shown.append(["together", f"{sum(spent.values()):.1f}"])
    title = f"running stack, gRPC, {rows} row(s), {clients} clients, {figures.per_second:,.0f} calls/s"
    return f"{title}\n{table(shown, ['process', 'us of CPU per call'], frozenset((1,)))}"


def _by_kind() -> dict[str, list[psutil.Process]]:
    folder, found = str(data_dir().resolve()), defaultdict(list)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("COHORTLENS_DATA_DIR") == folder:
                found[_kind(process)].append(process)
    return dict(found)


def _kind(process: psutil.Process) -> str:
    words = " ".join([process.name(), *process.cmdline()])
    return next((kind for kind, mark in _KINDS if mark in words), "other")
