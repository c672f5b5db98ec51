"""Drives one endpoint with h2load and reads what each request took.

h2load counts a gRPC error as a success, so callers check answers by a real client before and after.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np


@dataclass(frozen=True)
class Endpoint:
    """Where a body is posted.

    Attributes:
        url: Address.
        body: What each request carries.
        headers: ``name: value`` lines.
        http1: Whether it speaks HTTP/1.1 only.
    """

    url: str
    body: bytes
    headers: tuple[str, ...]
    http1: bool = False


@dataclass(frozen=True)
class Figures:
    """What one run saw.

    Attributes:
        requests: Requests finished.
        per_second: Requests finished per second.
        p50_ms: Median time of a request.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        failed: Requests that failed on the transport or with a status of 4xx or 5xx.
    """

    requests: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failed: int


def grpc_endpoint(port: int, path: str, message: bytes, token: str = "") -> Endpoint:
    """A unary gRPC call as h2load posts it: one length-prefixed message."""
    headers: tuple[str, ...] = ("content-type: application/grpc", "te: trailers")
    if token:
        headers += (f"authorization: Bearer {token}",)
    return Endpoint(
        f"http://127.0.0.1:{port}{path}", b"\0" + len(message).to_bytes(4, "big") + message, headers
    )


def require_h2load() -> None:
    """Raise SystemExit with the command that installs h2load, unless it is there."""
    if shutil.which("h2load") is None:
        raise SystemExit(
            "error TOOL_MISSING: h2load is not installed\nnext: apt-get install -y nghttp2-client"
        )


def drive(endpoint: Endpoint, clients: int, seconds: int) -> Figures:
    """Post the body from ``clients`` connections for about ``seconds``, after an uncounted warm-up."""
    if not endpoint.http1:
        return _run(endpoint, clients, ["--duration", str(seconds), "--warm-up-time", "1"])
    # h2load sends nothing over HTTP/1.1 when it is given a time, so the time becomes a number of requests.
    warm_up = _run(endpoint, clients, ["--requests", str(max(200, 10 * clients))])
    return _run(endpoint, clients, ["--requests", str(int(max(warm_up.per_second * seconds, 10 * clients)))])


def _run(endpoint: Endpoint, clients: int, bounds: list[str]) -> Figures:
    with TemporaryDirectory() as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(endpoint.body)
        command = [
            "h2load", "--clients", str(clients), "--threads", "1", "--max-concurrent-streams", "1",
            "--data", str(body), "--log-file", str(log), *bounds,
        ]  # fmt: skip
        command += ["--h1"] if endpoint.http1 else []
        command += [part for header in endpoint.headers for part in ("--header", header)]
        done = subprocess.run([*command, endpoint.url], capture_output=True, text=True, check=True)
        started_us, times_us = np.loadtxt(log, usecols=(0, 2), ndmin=2, unpack=True)
    return _figures(done.stdout, started_us / 1e6, times_us / 1000.0)


def _figures(text: str, started_s: np.ndarray, times_ms: np.ndarray) -> Figures:
    failed = int(re.search(r"(\d+) failed", text)[1])  # type: ignore[index]
    statuses = re.search(r"status codes: \d+ 2xx, \d+ 3xx, (\d+) 4xx, (\d+) 5xx", text)
    failed += int(statuses[1]) + int(statuses[2]) if statuses else 0
    seconds = float(np.max(started_s + times_ms / 1000.0) - np.min(started_s))
    p50, p95, p99 = np.percentile(times_ms, [50, 95, 99])
    return Figures(times_ms.size, times_ms.size / seconds, p50, p95, p99, failed)
