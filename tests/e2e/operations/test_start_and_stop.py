"""Starting and stopping as a user does, also after the supervisor was killed: nothing of ours remains."""

import contextlib
import os
import signal
import time

import psutil
import pytest

from tests.e2e.conftest import Stack, stack_environment


@pytest.fixture
def other(tmp_path):
    """A second stack without the demo tenant, so that it starts quickly."""
    stack = Stack(tmp_path / "data", stack_environment(tmp_path / "data"))
    yield stack
    stack.run("down", timeout=60)


def _remaining(stack):
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("COHORTLENS_DATA_DIR") == str(stack.data_dir):
                found.append(process)
    return [p for p in found if p.status() != psutil.STATUS_ZOMBIE]


def _eventually_gone(stack, bound_s=15.0):
    end = time.monotonic() + bound_s
    while (left := _remaining(stack)) and time.monotonic() < end:
        time.sleep(0.2)
    return left


def test_down_after_up_and_after_a_killed_supervisor_leaves_no_process(other):
    assert other.run("up", "--detach", "--no-seed", timeout=240).returncode == 0
    assert other.json("status")["data"]["ready"]
    done = other.json("down")
    assert done["ok"]
    assert done["data"]["left"] == []
    assert _eventually_gone(other) == []

    assert other.run("up", "--detach", "--no-seed", timeout=240).returncode == 0
    supervisor = other.json("status")["data"]["supervisor_pid"]
    os.kill(supervisor, signal.SIGKILL)
    assert other.json("down")["data"]["left"] == []
    assert _eventually_gone(other) == []
    assert other.run("down").returncode == 0, "nothing to stop is no fault"


def test_up_after_kill_9_of_everything_recovers(other):
    assert other.run("up", "--detach", "--no-seed", timeout=240).returncode == 0
    for process in _remaining(other):
        with contextlib.suppress(psutil.Error):
            process.kill()
    assert other.run("up", "--detach", "--no-seed", timeout=240).returncode == 0
    assert other.json("status")["data"]["ready"]


def test_a_taken_port_is_named_with_its_holder_before_anything_starts(other):
    import socket

    with socket.create_server(("127.0.0.1", int(other.environ["COHORTLENS_POSTGRES_PORT"]))):
        refused = other.run("up", "--detach", "--no-seed", "--json")
    assert refused.returncode == 5
    assert b"PORT_IN_USE" in refused.stdout
    assert str(os.getpid()).encode() in refused.stdout
    assert _eventually_gone(other) == []


def test_a_bad_setting_is_named_before_anything_starts(other):
    other.environ["COHORTLENS_GRPC_PORT"] = "many"
    other.environ["COHORTLENS_HTTP_PROT"] = "1"
    refused = other.run("up", "--detach")
    assert refused.returncode == 5
    text = refused.stderr.decode()
    assert "SETTING_INVALID" in text
    assert "COHORTLENS_GRPC_PORT" in text
    assert "COHORTLENS_HTTP_PROT" in text
    assert "COHORTLENS_HTTP_PORT" in text, "the nearest known name"
    del other.environ["COHORTLENS_HTTP_PROT"]
    other.environ["COHORTLENS_GRPC_PORT"] = "0"
