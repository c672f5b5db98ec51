"""A gateway of its own to attack, and a second client that must notice nothing."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
import pytest

from tests.fakes.echo import Echo

ROOT = Path(__file__).resolve().parents[4]
START_S = 20.0
MIB = 2**20


class Victim:
    """A gateway process over the echo service, with timeouts of a second."""

    def __init__(self, log):
        environ = {k: v for k, v in os.environ.items() if not k.startswith("COHORTLENS_")}
        environ |= {"PYTHONPATH": str(ROOT), "COHORTLENS_GRPC_PORT": "0", "COHORTLENS_HTTP_PORT": "0"}
        environ["COHORTLENS_OPS_PORT"] = "0"
        command = [sys.executable, "-m", "tests.fakes.gateway_process", "hasty"]
        with log.open("wb") as output, log.with_suffix(".err").open("wb") as errors:
            self._child = subprocess.Popen(
                command, cwd=ROOT, env=environ, stdout=output, stderr=errors, stdin=subprocess.DEVNULL
            )
        self.process = psutil.Process(self._child.pid)
        self._log = log
        line = self._line("listening")
        self.grpc_port, self.http_port = line["grpc_port"], line["http_port"]
        self._line("ready")

    def _line(self, event):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            for text in self._log.read_text().splitlines():
                if text.startswith("{") and (line := json.loads(text))["event"] == event:
                    return line
            assert self._child.poll() is None, self._log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"the gateway did not say {event}: {self._log.read_text()}")

    def stop(self):
        self._child.kill()
        self._child.wait()

    def rss(self):
        return self.process.memory_info().rss

    def cpu_s(self):
        times = self.process.cpu_times()
        return times.user + times.system


class Bystander:
    """Calls without a pause and notes how each call ended, and the most memory the gateway took meanwhile."""

    def __init__(self, victim):
        self._victim = victim
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.codes = []
        self.most_rss = 0

    def _run(self):
        with grpc.insecure_channel(f"127.0.0.1:{self._victim.grpc_port}") as channel:
            call = channel.unary_unary("/tests.echo.Echo/Unary", Echo.SerializeToString, Echo.FromString)
            while not self._stop.wait(0.01):
                try:
                    call(Echo(text="hello"), timeout=5)
                    self.codes.append("OK")
                except grpc.RpcError as error:
                    self.codes.append(error.code().name)
                self.most_rss = max(self.most_rss, self._victim.rss())

    def __enter__(self):
        self._thread.start()
        while not self.codes:
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(timeout=10)


@pytest.fixture(scope="session")
def victim(tmp_path_factory):
    gateway = Victim(tmp_path_factory.mktemp("victim") / "log")
    yield gateway
    gateway.stop()


@pytest.fixture
def unharmed(victim):
    """Fails the test unless memory stays bounded, other calls succeed, and the process is idle afterwards."""

    @contextmanager
    def watched(grows_mib):
        with Bystander(victim) as bystander:
            before = victim.rss()
            yield bystander
            seen = len(bystander.codes)
            deadline = time.monotonic() + 10
            while len(bystander.codes) < seen + 5 and time.monotonic() < deadline:
                time.sleep(0.02)
        assert set(bystander.codes) == {"OK"}
        assert len(bystander.codes) >= seen + 5
        grown = (bystander.most_rss - before) / MIB
        assert grown < grows_mib, f"{grown:.0f} MiB more"
        time.sleep(0.2)
        spent, seconds = victim.cpu_s(), 0.5
        time.sleep(seconds)
        assert victim.cpu_s() - spent < seconds / 2, "the attack is over and the gateway still works"

    return watched
