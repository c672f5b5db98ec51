"""Parts of the stack are killed while it serves: callers see stated errors only, and it recovers."""

import contextlib
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import psutil
import pytest

from cohortlens.cli.errors import ApiError
from cohortlens.v1 import analytics_pb2, customers_pb2

SPEND = analytics_pb2.PREDICTION_TASK_SPEND
RECOVERY_S = 60.0
EXPECTED_WHILE_DOWN = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


def _predict(client, customer="external:4"):
    request = analytics_pb2.PredictRequest(task=SPEND, customers=[customer])
    return client.call(client.analytics.Predict, request, timeout_s=10).predictions[0].value


def _until(act, bound_s=RECOVERY_S):
    """What ``act`` gives once it no longer fails for an expected reason."""
    end = time.monotonic() + bound_s
    while True:
        try:
            return act()
        except ApiError as error:
            assert error.code in EXPECTED_WHILE_DOWN, error
            assert time.monotonic() < end, f"not recovered after {bound_s:.0f} s: {error}"
            time.sleep(0.2)


class Callers:
    """Threads that predict without a pause and keep what they saw."""

    def __init__(self, client, count=4, predict=_predict):
        self.codes: list[str] = []
        self._predict = predict
        self._stop = threading.Event()
        # One client, one session: logging in is limited and is not what is tested here.
        self._threads = [threading.Thread(target=self._run, args=(client,)) for _ in range(count)]

    def _run(self, client):
        while not self._stop.is_set():
            try:
                self._predict(client)
                self.codes.append("OK")
            except ApiError as error:
                self.codes.append(error.code)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)


@pytest.mark.parametrize("service", ["postgres", "redis", "gateway", "jobs"])
def test_a_killed_service_comes_back_and_callers_see_only_stated_errors(stack, demo, service):
    before = _predict(demo)
    pid = stack.services()[service]["pid"]
    with Callers(demo) as callers:
        os.kill(pid, signal.SIGKILL)
        _wait_for_new_pid(stack, service, pid)
        assert _until(lambda: _predict(demo)) == pytest.approx(before, rel=1e-6)
    assert set(callers.codes) <= EXPECTED_WHILE_DOWN | {"OK"}
    assert "OK" in callers.codes


def test_a_killed_replica_is_replaced_and_callers_see_only_stated_errors(stack, demo):
    before = _predict(demo)
    replica = next(
        p
        for p in psutil.process_iter(["cmdline"])
        if _is_ours(stack, p) and "prediction" in " ".join(p.cmdline())
    )
    with Callers(demo) as callers:
        replica.kill()
        _wait_until(lambda: not replica.is_running() or replica.status() == psutil.STATUS_ZOMBIE)
        assert _until(lambda: _predict(demo)) == pytest.approx(before, rel=1e-6)
    assert set(callers.codes) <= EXPECTED_WHILE_DOWN | {"OK"}


def test_a_gateway_killed_during_an_upload_leaves_no_import(stack, demo):
    _until(lambda: _predict(demo))
    listed = len(demo.call(demo.customers.ListImports, customers_pb2.ListImportsRequest()).imports)
    pid = stack.services()["gateway"]["pid"]
    halfway = threading.Event()

    def read(size):
        if halfway.is_set():
            return b""
        os.kill(pid, signal.SIGKILL)
        halfway.set()
        return b"customer_id,date,amount\n" + b"1,1998-07-01,1.00\n" * 1000

    with pytest.raises(ApiError) as caught:
        demo.import_transactions(customers_pb2.ImportOptions(file_name="cut.csv"), read)
    assert caught.value.code in EXPECTED_WHILE_DOWN
    _wait_for_new_pid(stack, "gateway", pid)
    imports = _until(
        lambda: demo.call(demo.customers.ListImports, customers_pb2.ListImportsRequest())
    ).imports
    assert len(imports) == listed


def test_health_answers_while_redis_is_gone(stack):
    pid = stack.services()["redis"]["pid"]
    os.kill(pid, signal.SIGKILL)
    with urllib.request.urlopen(f"{stack.http}/livez", timeout=5) as reply:
        assert reply.status == 200
    _wait_for_new_pid(stack, "redis", pid)


def test_predictions_by_vector_go_on_while_redis_hangs(stack, demo):
    request = analytics_pb2.GetFeaturesRequest(customer="external:4")
    values = demo.call(demo.analytics.GetFeatures, request).features.values
    vectors = [analytics_pb2.FeatureVector(values=values)]

    def predict(client):
        asked = analytics_pb2.PredictRequest(task=SPEND, vectors=vectors)
        return client.call(client.analytics.Predict, asked, timeout_s=10).predictions[0].value

    _until(lambda: predict(demo))
    redis = psutil.Process(stack.services()["redis"]["pid"])
    redis.suspend()
    try:
        # Longer than replicas live without a beat, and than a session is remembered.
        with Callers(demo, predict=predict) as callers:
            time.sleep(6)
    finally:
        with contextlib.suppress(psutil.Error):
            redis.resume()
    assert set(callers.codes) == {"OK"}
    assert _until(lambda: _predict(demo)) > 0


def test_every_listener_of_the_stack_is_on_loopback(stack):
    ours = [p for p in psutil.process_iter() if _is_ours(stack, p)]
    assert len(ours) > 8
    listeners = [(p.pid, c.laddr.ip) for p in ours for c in _connections(p) if c.status == psutil.CONN_LISTEN]
    assert listeners
    assert {ip for _, ip in listeners} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_a_garbage_request_on_either_port_harms_nobody(stack, demo):
    for port in (stack.environ["COHORTLENS_HTTP_PORT"], stack.environ["COHORTLENS_GRPC_PORT"]):
        with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as raw:
            raw.sendall(os.urandom(4096))
            with contextlib.suppress(OSError):
                raw.recv(1024)
    assert _until(lambda: _predict(demo)) > 0


def test_an_unknown_path_is_a_named_error(stack):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{stack.http}/api/v1/nothing", timeout=5)
    assert caught.value.code == 404
    assert b"ROUTE_NOT_FOUND" in caught.value.read()


def _is_ours(stack, process):
    with contextlib.suppress(psutil.Error):
        return process.environ().get("COHORTLENS_DATA_DIR") == str(stack.data_dir)
    return False


def _connections(process):
    with contextlib.suppress(psutil.Error):
        return process.net_connections(kind="inet")
    return []


def _wait_for_new_pid(stack, service, old):
    _wait_until(lambda: stack.services()[service]["pid"] not in {old, None, 0})


def _wait_until(condition, bound_s=RECOVERY_S):
    end = time.monotonic() + bound_s
    while not condition():
        assert time.monotonic() < end, f"not so after {bound_s:.0f} s"
        time.sleep(0.2)
