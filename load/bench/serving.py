"""``make bench-serving``: the tables. Needs a running stack with the demo tenant."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from cohortlens.cli.local import data_dir, endpoints
from cohortlens.cli.output import table
from cohortlens.cli.session import open_client
from cohortlens.client.client import Client
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.manifest import ModelManifest
from cohortlens.v1 import analytics_pb2, customers_pb2, models_pb2
from load.bench import contestants
from load.bench.contestants import Contestant, Workload
from load.bench.h2load import drive, require_h2load
from load.bench.processes import cpu_seconds, pss_mib

CLIENTS = (1, 16, 64)
SECONDS = 5
BATCH_ROWS = 1000
TOLERANCE = 1e-4  # float32 values printed by other software


def main() -> None:
    """Measure every contestant and print two tables: single rows, and requests of 1,000 rows."""
    require_h2load()
    where = endpoints()
    with open_client("", "", None, 30.0) as client:
        token = client.access_token()
        rows = _rows(client)
        model = _model_file(client)
    for count, clients in ((1, CLIENTS), (BATCH_ROWS, (4,))):
        workload = Workload(np.resize(rows, (count, rows.shape[1])), model)
        ours = _our_processes()
        golden: list[float] = []
        printed = []
        for entry in _entries(workload, where.grpc, where.http, token, ours, single=count == 1):
            with entry() as contestant:
                _check(contestant, golden)
                printed += [_measure(contestant, n) for n in clients]
                _check(contestant, golden)
        sys.stdout.write(
            f"\nrequests of {count:,} row{'s' if count > 1 else ''}, {SECONDS} s each\n{_shown(printed)}\n"
        )


Row = tuple[str, int, float, float, float, float, float, float]


def _entries(
    workload: Workload, target: str, http: str, token: str, ours: list[psutil.Process], *, single: bool
) -> Iterator[Callable[[], AbstractContextManager[Contestant]]]:
    for contestant in contestants.product(workload, target, http, token, ours):
        yield partial(_as_it_is, contestant)
    if single:
        yield partial(contestants.echo, "bare grpc.aio echo", "grpc_echo.py")
        yield partial(contestants.echo, "bare ASGI gRPC echo", "asgi_echo.py")
    yield partial(contestants.grpc_onnx, workload)
    yield partial(contestants.fastapi, workload, 1)
    yield partial(contestants.fastapi, workload, 2)
    yield partial(contestants.kserve, workload)
    yield partial(contestants.mlserver, workload)


@contextlib.contextmanager
def _as_it_is(contestant: Contestant) -> Iterator[Contestant]:
    yield contestant


def _measure(contestant: Contestant, clients: int) -> Row:
    started, before = time.monotonic(), cpu_seconds(contestant.processes)
    figures = drive(contestant.endpoint, clients, SECONDS)
    spent, elapsed = cpu_seconds(contestant.processes) - before, time.monotonic() - started
    if figures.failed:
        raise SystemExit(f"error REQUESTS_FAILED: {contestant.name}: {figures.failed} of {figures.requests}")
    # CPU time holds the warm-up too, so it is held against the time, at the rate of the counted part.
    cpu_ms = spent * 1000 / (figures.per_second * elapsed)
    return (
        contestant.name, clients, figures.per_second, figures.p50_ms, figures.p95_ms, figures.p99_ms, cpu_ms,
        pss_mib(contestant.processes),
    )  # fmt: skip


def _check(contestant: Contestant, golden: list[float]) -> None:
    """Every contestant that scores must give the values that the first one gave."""
    if contestant.answer is None:
        return
    found = contestant.answer()
    golden.extend(found if not golden else [])
    if not np.allclose(found, golden, rtol=TOLERANCE):
        raise SystemExit(f"error WRONG_ANSWER: {contestant.name} gave {found[:3]}, expected {golden[:3]}")


def _shown(rows: list[Row]) -> str:
    echo = {clients: rate for name, clients, rate, *_ in rows if name == "bare grpc.aio echo"}
    header = ["server", "clients", "req/s", "x echo", "p50 ms", "p95 ms", "p99 ms", "CPU ms/req", "PSS MiB"]
    cells = [
        [
            name, str(clients), f"{rate:,.0f}", f"{rate / echo[clients]:.2f}" if clients in echo else "",
            f"{p50:.2f}", f"{p95:.2f}", f"{p99:.2f}", f"{cpu:.3f}", f"{pss:,.0f}",
        ]
        for name, clients, rate, p50, p95, p99, cpu, pss in rows
    ]  # fmt: skip
    return table(cells, header, frozenset(range(1, 9)))


def _rows(client: Client) -> np.ndarray:
    """Feature vectors of 50 demo customers at the longest horizon, float32."""
    page = client.call(client.customers.ListCustomers, customers_pb2.ListCustomersRequest(page_size=50))
    found = []
    for customer in page.customers:
        request = analytics_pb2.GetFeaturesRequest(customer=customer.customer)
        found.append(list(client.call(client.analytics.GetFeatures, request).features.values))
    rows = np.array(found, dtype=np.float32)
    rows[:, -1] = max(_active(client).horizons_days)
    return rows


def _model_file(client: Client) -> Path:
    version = _active(client)
    store = LocalArtifactStore(data_dir() / "artifacts")
    manifest = ModelManifest.from_json(store.read_verified(version.artifact_digest))
    return store.path(manifest.files["spend.onnx"])


def _active(client: Client) -> models_pb2.ModelVersion:
    request = models_pb2.GetModelVersionRequest(model="prediction")
    version: models_pb2.ModelVersion = client.call(client.models.GetModelVersion, request).version
    return version


def _our_processes() -> list[psutil.Process]:
    folder = str(data_dir().resolve())
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("COHORTLENS_DATA_DIR") == folder:
                found.append(process)
    return found


if __name__ == "__main__":
    main()
