"""The stack that ``make bench-faults`` breaks: its own folder and ports, two replicas, two tenants."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import psutil

from cohortlens.cli.analytics import wait_for_training
from cohortlens.cli.client import Client
from cohortlens.cli.local import data_dir, endpoints
from cohortlens.cli.output import Output
from cohortlens.cli.seed import seed_demo
from cohortlens.cli.session import Account, CredentialsFile, open_client
from cohortlens.embedded import stack
from cohortlens.embedded.ports import free_port
from cohortlens.v1 import models_pb2
from load.bench.processes import running
from load.bench.raised import RAISED
from load.smoke import local_target

ROOT = Path(__file__).resolve().parents[2]
_UP_S = 420.0
_PORTS = ("HTTP_PORT", "GRPC_PORT", "POSTGRES_PORT", "REDIS_PORT", "SMTP_PORT", "STRIPE_PORT", "WEB3_PORT")
_FAILED = re.compile(r'^grpc_server_handled_total\{[^}]*grpc_code="(\w+)"[^}]*\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass
class FaultStack:
    """A running stack and how to break it."""

    def services(self) -> dict[str, int | None]:
        """Process id of each service by name, as the supervisor last wrote it."""
        return {one.name: one.pid for one in stack.status(stack.load_config()).services}

    def processes(self) -> list[psutil.Process]:
        """Every process that works on the stack's folder."""
        folder, found = str(data_dir().resolve()), []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("COHORTLENS_DATA_DIR") == folder:
                    found.append(process)
        return found

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """Replicas of one deployment."""
        name, found = f"ray::ServeReplica:{deployment}", []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if " ".join(process.cmdline()).startswith(name):
                    found.append(process)
        return found

    def registered(self, deployment: str) -> set[int]:
        """Process ids of the replicas that take calls, as they registered themselves in Redis."""
        import orjson  # noqa: PLC0415 - only while watching
        from redis import Redis  # noqa: PLC0415 - only while watching

        url = self.gateway_environment()["COHORTLENS_REDIS_URL"]
        with Redis.from_url(url) as client:
            names = list(client.scan_iter(f"cl:replica:{deployment}:*"))
            records = [orjson.loads(text) for name in names if (text := client.get(name)) is not None]
        return {int(record["pid"]) for record in records}

    def gateway_environment(self) -> dict[str, str]:
        """The environment of the stack's gateway."""
        pid = self.services()["gateway"]
        assert pid is not None
        return psutil.Process(pid).environ()

    @contextlib.contextmanager
    def second_gateway(
        self, settings: Mapping[str, str] = MappingProxyType({})
    ) -> Iterator[tuple[psutil.Process, str]]:
        """Another gateway of the same stack; its process and ``host:port`` of its gRPC door.

        Args:
            settings: Variables that differ from those of the first.
        """
        http, door = free_port(), free_port()
        environ = self.gateway_environment() | {
            "COHORTLENS_HTTP_PORT": str(http),
            "COHORTLENS_GRPC_PORT": str(door),
            "COHORTLENS_OPS_PORT": "0",
            **settings,
        }
        with running([sys.executable, "-m", "gateway"], door, environ, ROOT) as process:
            until(lambda: _is_ready(f"http://127.0.0.1:{http}"), 60)
            yield process, f"127.0.0.1:{door}"

    def failed_calls(self) -> float:
        """RPCs that failed so far, as the gateway counts them, without those whose caller left."""
        with urllib.request.urlopen(f"{endpoints().ops}/metrics", timeout=10) as reply:
            text = reply.read().decode()
        return sum(float(count) for code, count in _FAILED.findall(text) if code not in {"OK", "CANCELLED"})

    @contextlib.contextmanager
    def stopped(self, service: str) -> Iterator[None]:
        """SIGSTOP for a service and everything below it; nothing answers, nothing refuses."""
        pid = self.services()[service]
        assert pid is not None
        parts = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for part in parts:
            with contextlib.suppress(psutil.Error):
                part.suspend()
        try:
            yield
        finally:
            for part in parts:
                with contextlib.suppress(psutil.Error):
                    part.resume()

    def kill_for(self, service: str, seconds: float) -> None:
        """Kill -9 a service, and every successor, for some seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid = self.services().get(service)
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)


def until(is_so: Callable[[], bool], bound_s: float) -> float:
    """Wait for a condition; returns the seconds it took, or infinity when ``bound_s`` was not enough."""
    started = time.monotonic()
    while time.monotonic() - started < bound_s:
        if is_so():
            return time.monotonic() - started
        time.sleep(0.05)
    return float("inf")


@contextlib.contextmanager
def started(replicas: int) -> Iterator[FaultStack]:
    """A fresh stack in a temporary folder while the block runs; this process's settings point at it.

    Raises:
        SystemExit: It did not start.
    """
    with tempfile.TemporaryDirectory(prefix="cl-faults-") as folder:
        for name in [name for name in os.environ if name.startswith("COHORTLENS_")]:
            del os.environ[name]
        os.environ |= {f"COHORTLENS_{name}": str(free_port()) for name in _PORTS}
        os.environ |= {"COHORTLENS_DATA_DIR": f"{folder}/data", "COHORTLENS_REPLICAS": str(replicas)} | RAISED
        command = str(Path(sys.executable).with_name("cohortlens"))
        try:
            # Also where this is given up: what has started by then must not be left running.
            up = subprocess.run([command, "up", "--detach"], capture_output=True, timeout=_UP_S, check=False)
            if up.returncode:
                raise SystemExit(f"error STACK_NOT_STARTED: {up.stderr.decode()[-2000:]}")
            yield FaultStack()
        finally:
            subprocess.run([command, "down"], capture_output=True, timeout=60, check=False)


def demo_client() -> Client:
    """A client of the demo tenant's owner."""
    return open_client("", "", None, 60.0)


def neighbour_token() -> str:
    """An access token of a second tenant with models of its own; makes the tenant when there is none."""
    folder = data_dir() / "neighbour"
    file = CredentialsFile(folder)
    if not file.load():
        folder.mkdir(exist_ok=True)
        file.save([Account("Neighbour", "owner@neighbour.example", secrets.token_urlsafe(18))])
    with seed_demo(endpoints().grpc, folder, Output("bench-faults"), _quiet) as client:
        return client.access_token()


def two_versions(client: Client) -> list[int]:
    """Two versions of the demo tenant's prediction model, the active one first; trains one if needed."""
    listed = models_pb2.ListModelVersionsRequest(model="prediction")
    if len(client.call(client.models.ListModelVersions, listed).versions) < 2:
        request = models_pb2.StartTrainingRequest(model="prediction", seed=2)
        run = client.call(client.models.StartTraining, request).runs[0]
        wait_for_training(client, Output("bench-faults"), run)
    versions = client.call(client.models.ListModelVersions, listed).versions
    return [v.version for v in sorted(versions, key=lambda v: (not v.active, -v.version))][:2]


def _is_ready(http: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{http}/readyz", timeout=2) as reply:
        return bool(reply.status == 200)
    return False


def _quiet(_line: str) -> None:
    return None


__all__ = ["FaultStack", "demo_client", "local_target", "neighbour_token", "started", "two_versions", "until"]
