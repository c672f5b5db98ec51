"""Two gateway processes behind one port, replaced one after another while callers predict."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from cohortlens.cli.client import Client, Credentials
from cohortlens.cli.errors import ApiError
from cohortlens.v1 import analytics_pb2
from tests.fixtures.waiting import eventually_blocking as eventually

BOUND_S = 60.0
RATE = 200
CONNECTIONS = 4


class Gateway:
    """A second gateway of the stack, on ports of its own."""

    def __init__(self, stack):
        running = Path(f"/proc/{stack.services()['gateway']['pid']}/environ").read_bytes()
        environ = dict(one.split("=", 1) for one in running.decode().split("\0") if "=" in one)
        environ |= {
            "COHORTLENS_GATEWAY_PROCESSES": "2",
            "COHORTLENS_GRPC_PORT": "0",
            "COHORTLENS_HTTP_PORT": "0",
            "COHORTLENS_OPS_PORT": "0",
            "COHORTLENS_DRAIN_TIMEOUT": "20s",
        }
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for raw in self.process.stdout:
            if raw.startswith(b"{") and b'"event":"call"' not in raw:
                self.lines.append(json.loads(raw))

    def logged(self, event, number):
        """The events of a name, once there are so many."""
        return eventually(
            lambda: _enough([one for one in self.lines if one["event"] == event], number), BOUND_S
        )

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            self.process.stdout.close()


def _enough(found, number):
    return found if len(found) >= number else None


@pytest.fixture
def gateway(stack):
    made = Gateway(stack)
    try:
        made.logged("process_ready", 2)
        yield made
    finally:
        if made.process.returncode is None:
            made.stop()


@contextmanager
def clients(stack, gateway):
    account = json.loads((stack.data_dir / "credentials.json").read_text())["tenants"][0]
    [sharing] = gateway.logged("sharing", 1)
    made = [
        Client(f"127.0.0.1:{sharing['grpc_port']}", Credentials(account["email"], account["password"]))
        for _ in range(CONNECTIONS)
    ]
    try:
        yield made
    finally:
        for one in made:
            one.close()


class Callers:
    """Each client asks at its share of the rate, from threads of its own, without trying again."""

    def __init__(self, made, request):
        self.answered, self.failed = 0, []
        self._request, self._stop = request, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in made]

    def _run(self, client):
        due = time.monotonic()
        while not self._stop.is_set():
            try:
                client.call(client.analytics.Predict, self._request, timeout_s=20)
                self.answered += 1
            except ApiError as error:
                self.failed.append(str(error))
            due = max(due + len(self._threads) / RATE, time.monotonic() - 1.0)
            time.sleep(max(0.0, due - time.monotonic()))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


def test_both_processes_are_replaced_while_callers_predict_and_no_call_fails(stack, demo, gateway):
    features = demo.call(demo.analytics.GetFeatures, analytics_pb2.GetFeaturesRequest(customer="external:4"))
    request = analytics_pb2.PredictRequest(
        task=analytics_pb2.PREDICTION_TASK_SPEND,
        vectors=[features.features],
        schema_hash=features.schema_hash,
    )
    with clients(stack, gateway) as made:
        for one in made:
            one.call(one.analytics.Predict, request, timeout_s=20)
        with Callers(made, request) as callers:
            time.sleep(1.0)
            gateway.process.send_signal(signal.SIGHUP)
            gateway.logged("process_stopped", 2)
            [victim, _] = _children(gateway.process.pid)
            os.kill(victim, signal.SIGTERM)
            gateway.logged("process_stopped", 3)
            gateway.logged("process_ready", 5)
            time.sleep(0.5)

    assert callers.failed == []
    assert callers.answered > RATE
    assert gateway.stop() == 0


def _children(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
