"""``make bench-serving``: the tables. Needs a running stack with the demo tenant."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from cohortlens.cli.client import Client
from cohortlens.cli.local import data_dir, endpoints
from cohortlens.cli.output import table
from cohortlens.cli.session import open_client
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.manifest import ModelManifest
from cohortlens.v1 import analytics_pb2, auth_tenants_pb2, models_pb2
from load.bench import contestants, goals
from load.bench.contestants import Contestant, Place, Workload
from load.bench.goals import Row
from load.bench.h2load import drive, require_h2load
from load.bench.processes import cpu_seconds, pss_mib
from load.smoke import predictable

CLIENTS = (1, 16, 64, 256)
MANY_CLIENTS = 4
SECONDS = 5
MANY_ROWS = 1000
TOLERANCE = 1e-4  # float32 values printed by other software


def main() -> None:
    """Measure every contestant and print three tables: single rows, requests of 1,000 rows, the goals."""
    parser = argparse.ArgumentParser(prog="bench-serving")
    parser.add_argument(
        "--clients", type=int, nargs="+", default=CLIENTS, help="connections; the goals need 1 and 64"
    )
    asked = tuple(parser.parse_args().clients)
    require_h2load()
    where = endpoints()
    with open_client("", "", None, 30.0) as client:
        token = client.access_token()
        _lift_limits(client)
        customer, rows = _rows(client)
        model = _model_file(client)
    place = Place(where.grpc, where.http, token, _our_processes())
    found: list[list[Row]] = []
    for count, clients in ((1, asked), (MANY_ROWS, (MANY_CLIENTS,))):
        workload = Workload(np.resize(rows, (count, rows.shape[1])), model)
        found.append(_measured(_entries(workload, place, customer if count == 1 else ""), clients))
        title = f"requests of {count:,} row{'s' if count > 1 else ''}, {SECONDS} s each"
        sys.stdout.write(f"\n{title}\n{_shown(found[-1])}\n")
        sys.stdout.flush()
    if {1, 64} <= set(asked):
        sys.stdout.write(f"\ngoals\n{goals.shown(found[0], found[1], MANY_CLIENTS)}\n")


def _lift_limits(client: Client) -> None:
    """Let the operator give the tenant rates and a quota beyond what is measured; they are still checked."""
    tenant = client.call(client.auth.GetTenant, auth_tenants_pb2.GetTenantRequest()).tenant.tenant
    limits = ("--read-rate", "100000", "--inference-rate", "100000", "--max-api-calls", "1000000000")
    command = (sys.executable, "-m", "cohortlens", "plan", "override", tenant, *limits)
    subprocess.run((*command, "--reason", "measuring how fast it is"), check=True, stdout=subprocess.DEVNULL)
    time.sleep(2.5)  # every process knows within two seconds


Entry = Callable[[], AbstractContextManager[Contestant]]


def _entries(workload: Workload, place: Place, customer: str) -> Iterator[Entry]:
    """Every contestant; the echoes and the stored prediction of ``customer`` only when it is given."""
    yield from map(_as_entry, contestants.by_grpc(workload, place))
    yield _as_entry(contestants.by_json(workload, place))
    if customer:
        yield _as_entry(contestants.by_id(workload, place, customer))
    with contestants.bare_gateway(place) as bare:
        yield from map(_as_entry, contestants.by_grpc(workload, bare))
    if customer:
        yield partial(contestants.echo, goals.GRPC_ECHO, "grpc_echo.py")
        yield partial(contestants.echo, goals.ASGI_ECHO, "asgi_echo.py")
    yield partial(contestants.grpc_onnx, workload)
    yield partial(contestants.fastapi, workload, 1)
    yield partial(contestants.fastapi, workload, 2)
    yield partial(contestants.kserve, workload)
    yield partial(contestants.mlserver, workload)


def _as_entry(contestant: Contestant) -> Entry:
    return lambda: contextlib.nullcontext(contestant)


def _measured(entries: Iterator[Entry], clients: tuple[int, ...]) -> list[Row]:
    golden: list[float] = []
    found = []
    for entry in entries:
        with entry() as contestant:
            _check(contestant, golden)
            found += [_measure(contestant, count) for count in clients]
            _check(contestant, golden)
    return found


def _measure(contestant: Contestant, clients: int) -> Row:
    started, before = time.monotonic(), cpu_seconds(contestant.processes)
    figures = drive(contestant.endpoint, clients, SECONDS)
    spent, elapsed = cpu_seconds(contestant.processes) - before, time.monotonic() - started
    if figures.failed:
        raise SystemExit(f"error REQUESTS_FAILED: {contestant.name}: {figures.failed} of {figures.requests}")
    # CPU time holds the warm-up too, so it is held against the time, at the rate of the counted part.
    cpu_ms = spent * 1000 / (figures.per_second * elapsed)
    times = (figures.p50_ms, figures.p95_ms, figures.p99_ms)
    return Row(contestant.name, clients, figures.per_second, *times, cpu_ms, pss_mib(contestant.processes))


def _check(contestant: Contestant, golden: list[float]) -> None:
    """Every contestant that scores must give the values that the first one gave."""
    if contestant.answer is None:
        return
    found = contestant.answer()
    golden.extend(found if not golden else [])
    if not np.allclose(found, golden, rtol=TOLERANCE):
        raise SystemExit(f"error WRONG_ANSWER: {contestant.name} gave {found[:3]}, expected {golden[:3]}")


def _shown(rows: list[Row]) -> str:
    echo = {clients: rate for name, clients, rate, *_ in rows if name == goals.GRPC_ECHO}
    header = ["server", "clients", "req/s", "x echo", "p50 ms", "p95 ms", "p99 ms", "CPU ms/req", "PSS MiB"]
    cells = [
        [
            name, str(clients), f"{rate:,.0f}", f"{rate / echo[clients]:.2f}" if clients in echo else "",
            f"{p50:.2f}", f"{p95:.2f}", f"{p99:.2f}", f"{cpu:.3f}", f"{pss:,.0f}",
        ]
        for name, clients, rate, p50, p95, p99, cpu, pss in rows
    ]  # fmt: skip
    return table(cells, header, frozenset(range(1, 9)))


def _rows(client: Client) -> tuple[str, np.ndarray]:
    """The first of 50 demo customers, and the feature vectors of all at the longest horizon, float32."""
    names, found = predictable(client, 53)[:50], []
    for name in names:
        request = analytics_pb2.GetFeaturesRequest(customer=name)
        found.append(list(client.call(client.analytics.GetFeatures, request).features.values))
    rows = np.array(found, dtype=np.float32)
    rows[:, -1] = max(_active(client).horizons_days)
    return names[0], rows


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
