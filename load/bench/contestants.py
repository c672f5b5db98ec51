"""What is measured: the running product, and each reference server with the same model and rows."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil

from cohortlens.embedded.ports import free_port
from cohortlens.v1 import analytics_pb2, analytics_pb2_grpc
from load.bench import goals
from load.bench.h2load import Endpoint, grpc_endpoint
from load.bench.processes import READY_S, running, runs, tree

ROOT = Path(__file__).resolve().parents[2]
SERVERS = Path(__file__).with_name("servers")
OIP_PATH = "/inference.GRPCInferenceService/ModelInfer"
PREDICT = "/cohortlens.v1.AnalyticsService/Predict"
JSON_HEADERS = ("content-type: application/json",)


@dataclass(frozen=True)
class Contestant:
    """One server under load.

    Attributes:
        name: How the table calls it.
        endpoint: Where the rows are posted.
        processes: Every process that serves it.
        answer: Asks once by a real client; values, or None when it echoes.
    """

    name: str
    endpoint: Endpoint
    processes: list[psutil.Process]
    answer: Callable[[], list[float]] | None


@dataclass(frozen=True)
class Workload:
    """What every contestant gets.

    Attributes:
        rows: float32 (n, columns).
        model: ONNX file of the demo tenant's spend model.
    """

    rows: np.ndarray
    model: Path

    @property
    def columns(self) -> int:
        """Columns of a row."""
        return int(self.rows.shape[1])

    @property
    def horizon(self) -> int:
        """Horizon of the rows, days: their last column."""
        return int(self.rows[0, -1])


@dataclass(frozen=True)
class Place:
    """A gateway of ours under load.

    Attributes:
        grpc: ``host:port`` of its gRPC listener.
        http: Address of its HTTP listener.
        token: Access token of the demo tenant.
        processes: Every process that serves there.
        mode: What its names end with.
    """

    grpc: str
    http: str
    token: str
    processes: list[psutil.Process]
    mode: str = ""

    @property
    def grpc_port(self) -> int:
        """Port of the gRPC listener."""
        return int(self.grpc.rsplit(":", 1)[1])

    def ask(self, request: analytics_pb2.PredictRequest) -> list[float]:
        """Values of a Predict by a real client."""
        with grpc.insecure_channel(self.grpc) as channel:
            stub = analytics_pb2_grpc.AnalyticsServiceStub(channel)
            reply = stub.Predict(request, timeout=20, metadata=[("authorization", f"Bearer {self.token}")])
        return [one.value for one in reply.predictions]


def by_grpc(workload: Workload, place: Place) -> Iterator[Contestant]:
    """A gateway of ours by gRPC, in its own protocol and in the published one."""
    vectors = [analytics_pb2.FeatureVector(values=row) for row in workload.rows.tolist()]
    request = analytics_pb2.PredictRequest(
        task=analytics_pb2.PREDICTION_TASK_SPEND, vectors=vectors, horizon_days=workload.horizon
    )
    body = request.SerializeToString()
    yield Contestant(
        goals.PREDICT + place.mode,
        grpc_endpoint(place.grpc_port, PREDICT, body, place.token),
        place.processes,
        lambda: place.ask(request),
    )
    wanted = {"OIP_MODEL": "prediction", "OIP_OUTPUT": "spend", "OIP_TOKEN": place.token}
    yield _oip(goals.INFER + place.mode, workload, place.grpc_port, place.processes, wanted)


def by_json(workload: Workload, place: Place) -> Contestant:
    """A gateway of ours by JSON over HTTP/1.1."""
    values = [["NaN" if math.isnan(v) else v for v in row] for row in workload.rows.tolist()]
    body = {
        "task": "PREDICTION_TASK_SPEND",
        "vectors": [{"values": row} for row in values],
        "horizonDays": workload.horizon,
    }
    headers = (*JSON_HEADERS, f"authorization: Bearer {place.token}")
    endpoint = Endpoint(f"{place.http}/api/v1/predict", json.dumps(body).encode(), headers, http1=True)
    return Contestant(
        "CohortLens Predict, JSON",
        endpoint,
        place.processes,
        lambda: [one["value"] for one in _post(endpoint)["predictions"]],
    )


def by_id(workload: Workload, place: Place, customer: str) -> Contestant:
    """A gateway of ours asked for the customer whose features the first row holds; each answer is stored."""
    request = analytics_pb2.PredictRequest(
        task=analytics_pb2.PREDICTION_TASK_SPEND, customers=[customer], horizon_days=workload.horizon
    )
    endpoint = grpc_endpoint(place.grpc_port, PREDICT, request.SerializeToString(), place.token)
    return Contestant(goals.BY_ID, endpoint, place.processes, lambda: place.ask(request))


@contextlib.contextmanager
def bare_gateway(place: Place) -> Iterator[Place]:
    """The running gateway once more, with authentication only, before the same workers."""
    gateways = [one for one in place.processes if runs(one, "gateway")]
    grpc_port, http_port = free_port(), free_port()
    environ = gateways[0].environ() | {
        "COHORTLENS_GRPC_PORT": str(grpc_port),
        "COHORTLENS_HTTP_PORT": str(http_port),
        "COHORTLENS_OPS_PORT": "0",
    }
    others = [one for one in place.processes if one not in gateways]
    http = f"http://127.0.0.1:{http_port}"
    with running([sys.executable, str(SERVERS / "bare_gateway.py")], grpc_port, environ, SERVERS) as process:
        _wait_ready(f"{http}/readyz")
        yield Place(f"127.0.0.1:{grpc_port}", http, place.token, [*tree(process), *others], goals.BARE)


def _wait_ready(url: str) -> None:
    end = time.monotonic() + READY_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if time.monotonic() > end:
                raise SystemExit(f"error REFERENCE_NOT_READY: {url}") from None
            time.sleep(0.2)


@contextlib.contextmanager
def echo(name: str, script: str) -> Iterator[Contestant]:
    """An echo of the product's own message on a bare transport."""
    port = free_port()
    command = [sys.executable, str(SERVERS / script), str(port)]
    with running(command, port, _environ(None), SERVERS) as process:
        yield Contestant(name, grpc_endpoint(port, "/bench.Echo/Call", bytes(90)), tree(process), None)


@contextlib.contextmanager
def grpc_onnx(workload: Workload) -> Iterator[Contestant]:
    """grpc.aio and onnxruntime in one process."""
    port, body = free_port(), workload.rows.tobytes()
    command = [_python("fastapi"), str(SERVERS / "grpc_onnx.py"), str(port), str(workload.columns)]

    def answer() -> list[float]:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_unary("/bench.Model/Predict")
            reply: bytes = call(body, timeout=20)
        return [float(value) for value in np.frombuffer(reply, dtype="<f4")]

    with running(command, port, _environ(workload), SERVERS) as process:
        yield Contestant(
            "grpc.aio + onnxruntime", grpc_endpoint(port, "/bench.Model/Predict", body), tree(process), answer
        )


@contextlib.contextmanager
def fastapi(workload: Workload, workers: int) -> Iterator[Contestant]:
    """FastAPI, uvicorn and onnxruntime with ``workers`` processes."""
    port = free_port()
    rows = [[None if math.isnan(v) else v for v in row] for row in workload.rows.tolist()]
    endpoint = Endpoint(
        f"http://127.0.0.1:{port}/predict", json.dumps({"rows": rows}).encode(), JSON_HEADERS, http1=True
    )
    command = [_python("fastapi"), str(SERVERS / "fastapi_onnx.py"), str(port), str(workers)]
    with running(command, port, _environ(workload), SERVERS) as process:
        yield Contestant(
            goals.FASTAPI[workers - 1], endpoint, tree(process), lambda: list(_post(endpoint)["values"])
        )


@contextlib.contextmanager
def kserve(workload: Workload) -> Iterator[Contestant]:
    """KServe's model server, gRPC."""
    port = free_port()
    command = [_python("kserve"), str(SERVERS / "kserve_onnx.py"), str(port), str(free_port())]
    with running(command, port, _environ(workload), SERVERS) as process:
        yield _oip(goals.KSERVE, workload, port, tree(process))


@contextlib.contextmanager
def mlserver(workload: Workload) -> Iterator[Contestant]:
    """MLServer, gRPC, in one process (parallel_workers 0 is its quickest setting for a small model)."""
    port = free_port()
    settings = {
        "MLSERVER_GRPC_PORT": str(port),
        "MLSERVER_HTTP_PORT": str(free_port()),
        "MLSERVER_METRICS_PORT": str(free_port()),
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_DEBUG": "false",
    }
    folder = SERVERS / "mlserver_onnx"
    command = [str(Path(_python("mlserver")).with_name("mlserver")), "start", str(folder)]
    with running(command, port, _environ(workload) | settings, folder) as process:
        yield _oip(goals.MLSERVER, workload, port, tree(process))


def _oip(
    name: str,
    workload: Workload,
    port: int,
    processes: list[psutil.Process],
    settings: dict[str, str] | None = None,
) -> Contestant:
    """A server of the Open Inference Protocol; ``settings`` are those of ``oip_client.py``."""
    environ = os.environ | (settings or {})
    token = environ.get("OIP_TOKEN", "")
    client = [_python("kserve"), str(SERVERS / "oip_client.py")]
    columns, rows = str(workload.columns), workload.rows.tobytes()
    body = subprocess.run(
        [*client, "body", columns], input=rows, capture_output=True, check=True, env=environ
    ).stdout

    def answer() -> list[float]:
        asked = subprocess.run(
            [*client, "call", str(port), columns],
            input=rows,
            capture_output=True,
            check=True,
            timeout=60,
            env=environ,
        )
        return list(json.loads(asked.stdout))

    return Contestant(name, grpc_endpoint(port, OIP_PATH, body, token), processes, answer)


def _post(endpoint: Endpoint) -> dict[str, Any]:
    headers = dict(line.split(": ", 1) for line in endpoint.headers)
    request = urllib.request.Request(endpoint.url, data=endpoint.body, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as reply:
        found: dict[str, Any] = json.load(reply)
        return found


def _python(environment: str) -> str:
    return str(ROOT / f".venv-bench-{environment}" / "bin" / "python")


def _environ(workload: Workload | None) -> dict[str, str]:
    quiet = os.environ | {"OMP_NUM_THREADS": "1"}
    return quiet | ({"BENCH_MODEL": str(workload.model)} if workload else {})
