"""What is measured: the running product, and each reference server with the same model and rows."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
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
from load.bench.h2load import Endpoint, grpc_endpoint
from load.bench.processes import running, tree

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


def product(
    workload: Workload, target: str, http: str, token: str, ours: list[psutil.Process]
) -> Iterator[Contestant]:
    """The running stack, by gRPC in its own and in the published protocol, and by JSON."""
    vectors = [analytics_pb2.FeatureVector(values=row) for row in workload.rows.tolist()]
    horizon = int(workload.rows[0, -1])
    request = analytics_pb2.PredictRequest(
        task=analytics_pb2.PREDICTION_TASK_SPEND, vectors=vectors, horizon_days=horizon
    )
    port = int(target.rsplit(":", 1)[1])

    def by_grpc() -> list[float]:
        with grpc.insecure_channel(target) as channel:
            stub = analytics_pb2_grpc.AnalyticsServiceStub(channel)
            reply = stub.Predict(request, timeout=20, metadata=[("authorization", f"Bearer {token}")])
        return [p.value for p in reply.predictions]

    yield Contestant(
        "CohortLens Predict, gRPC",
        grpc_endpoint(port, PREDICT, request.SerializeToString(), token),
        ours,
        by_grpc,
    )
    wanted = {"OIP_MODEL": "prediction", "OIP_OUTPUT": "spend", "OIP_TOKEN": token}
    yield _oip("CohortLens ModelInfer, gRPC", workload, port, ours, wanted)
    values = [["NaN" if math.isnan(v) else v for v in row] for row in workload.rows.tolist()]
    body = json.dumps(
        {"task": "PREDICTION_TASK_SPEND", "vectors": [{"values": v} for v in values], "horizonDays": horizon}
    ).encode()
    headers = (*JSON_HEADERS, f"authorization: Bearer {token}")
    endpoint = Endpoint(f"{http}/api/v1/predict", body, headers, http1=True)
    yield Contestant(
        "CohortLens Predict, JSON",
        endpoint,
        ours,
        lambda: [p["value"] for p in _post(endpoint)["predictions"]],
    )


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
            f"FastAPI + uvicorn x{workers}", endpoint, tree(process), lambda: list(_post(endpoint)["values"])
        )


@contextlib.contextmanager
def kserve(workload: Workload) -> Iterator[Contestant]:
    """KServe's model server, gRPC."""
    port = free_port()
    command = [_python("kserve"), str(SERVERS / "kserve_onnx.py"), str(port), str(free_port())]
    with running(command, port, _environ(workload), SERVERS) as process:
        yield _oip("KServe, gRPC", workload, port, tree(process))


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
        yield _oip("MLServer, gRPC", workload, port, tree(process))


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
