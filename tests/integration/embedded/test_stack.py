"""A whole stack with stand-ins for gateway, jobs and workers: it recovers, and it leaves nothing behind."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cohortlens.embedded import stack
from cohortlens.embedded.faults import StackFailed
from cohortlens.embedded.processes import marked, wait_until, working_in
from cohortlens.embedded.state import folder_lock, read_state

DRIVER = Path(__file__).with_name("driver.py")
SERVICES = ["postgres", "redis", "gateway", "jobs", "workers"]


class Running:
    """A driver process, its folder, and what it said."""

    def __init__(self, folder, environ):
        self.folder, self.environ = folder, environ
        self.config = stack.load_config(environ)
        self.processes = []

    def up(self, *arguments):
        """Start the driver; give the last message it said before it was ready or failed."""
        process = subprocess.Popen(
            [sys.executable, DRIVER, *arguments], env=self.environ, stdout=subprocess.PIPE
        )
        self.processes.append(process)
        for line in process.stdout:
            message = json.loads(line)
            if "faults" in message or (message["service"], message["state"]) == ("stack", "ready"):
                break
        return message

    def remaining(self):
        return marked(self.folder) + working_in(self.folder / "postgres-18", "postgres")

    def kill_supervisor(self, *, and_guardian):
        state = read_state(self.folder)
        if and_guardian:
            os.kill(state.guardian.pid, signal.SIGKILL)
        os.kill(state.supervisor.pid, signal.SIGKILL)
        self.processes[-1].wait(10)

    def service(self, name):
        return next(one for one in stack.status(self.config).services if one.name == name)

    def end(self):
        stack.down(self.config, 15.0)
        for process in self.processes:
            process.kill()
            process.communicate()


def _prepared(made, folder):
    subprocess.run(["cp", "-a", str(made), str(folder)], check=True)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("COHORTLENS_")}
    environ |= {f"COHORTLENS_{name}_PORT": "0" for name in ("HTTP", "GRPC", "POSTGRES", "REDIS", "SMTP")}
    return Running(folder, {**environ, "COHORTLENS_DATA_DIR": str(folder), "COHORTLENS_ENV": "test"})


@pytest.fixture
def running(made, tmp_path):
    running = _prepared(made, tmp_path / "data")
    yield running
    running.end()
    assert running.remaining() == []


@pytest.fixture(scope="module")
def shared(made, tmp_path_factory):
    """A stack that tests share which leave it running."""
    shared = _prepared(made, tmp_path_factory.mktemp("shared") / "data")
    try:
        shared.up()
        yield shared
    finally:
        shared.end()
    assert shared.remaining() == []


def test_it_starts_in_order_and_stops_on_one_interrupt(running):
    assert running.up()["state"] == "ready"
    found = stack.status(running.config)
    assert found.ready
    assert [service.name for service in found.services] == SERVICES
    assert all(service.pid for service in found.services)
    assert found.ports["http"] != found.ports["grpc"]
    assert len(running.remaining()) > len(SERVICES)
    running.processes[-1].send_signal(signal.SIGINT)
    assert running.processes[-1].wait(20) == 0
    assert running.remaining() == []
    assert stack.status(running.config).phase == "stopped"
    assert read_state(running.folder) is None
    with folder_lock(running.folder, 0.0) as is_ours:
        assert is_ours


def test_up_twice_reports_the_running_stack_and_starts_nothing(shared):
    before = stack.status(shared.config)
    (fault,) = shared.up()["faults"]
    assert fault["reason"] == "STACK_ALREADY_RUNNING"
    assert str(before.supervisor_pid) in fault["found"]
    assert stack.status(shared.config) == before


def test_a_killed_supervisor_leaves_no_process_even_if_nobody_calls_down(running):
    running.up()
    running.kill_supervisor(and_guardian=False)
    assert wait_until(lambda: not running.remaining() and read_state(running.folder) is None, 25.0)
    assert stack.down(running.config) == stack.DownReport()


def test_down_after_a_killed_supervisor_and_guardian_leaves_no_process(running):
    running.up()
    running.kill_supervisor(and_guardian=True)
    assert stack.status(running.config).phase == "dead"
    assert len(running.remaining()) > len(SERVICES), "they all outlived it"
    report = stack.down(running.config)
    assert sorted(report.stopped) == sorted(SERVICES)
    assert len(report.killed) == 1, "the agent that ignores SIGTERM and left its parent's group"
    assert report.left == []
    assert running.remaining() == []
    assert read_state(running.folder) is None


def test_up_after_kill_9_of_everything_comes_back(running):
    running.up()
    first = stack.status(running.config)
    running.kill_supervisor(and_guardian=True)
    for process in running.remaining():
        os.kill(process.pid, signal.SIGKILL)
    assert running.up()["state"] == "ready"
    assert stack.status(running.config).ready
    assert stack.status(running.config).supervisor_pid != first.supervisor_pid


@pytest.mark.parametrize("name", ["postgres", "redis", "gateway"])
def test_a_killed_service_comes_back_on_its_port(shared, name):
    before = shared.service(name)
    os.kill(before.pid, signal.SIGKILL)
    assert wait_until(lambda: shared.service(name).state != "ready", 5.0)
    assert wait_until(lambda: shared.service(name).state == "ready", 30.0)
    after = shared.service(name)
    assert after.pid != before.pid
    assert after.port == before.port
    assert stack.status(shared.config).ready


def test_a_service_that_cannot_start_is_shown_with_its_last_lines_and_all_is_stopped(running):
    (fault,) = running.up("broken-jobs")["faults"]
    assert fault["reason"] == "SERVICE_NOT_READY"
    assert "jobs ended while starting" in fault["message"]
    assert "no such model" in fault["found"]
    assert running.processes[-1].wait(20) == 5
    assert running.remaining() == []
    assert read_state(running.folder) is None


def test_an_interrupt_while_it_starts_leaves_no_process(running):
    process = subprocess.Popen([sys.executable, DRIVER], env=running.environ, stdout=subprocess.PIPE)
    running.processes.append(process)
    for line in process.stdout:
        if json.loads(line)["service"] == "migrate":
            break
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert running.remaining() == []


def test_a_background_start_that_fails_says_why_and_leaves_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "new" / "data"
    settings = {"DATA_DIR": folder, "WORKERS_PYTHON": "/bin/false", "LOG_LEVEL": "warning"}
    settings |= dict.fromkeys(
        (
            *("HTTP_PORT", "GRPC_PORT", "POSTGRES_PORT", "REDIS_PORT"),
            *("SMTP_PORT", "STRIPE_PORT", "WEB3_PORT", "OPS_PORT"),
        ),
        0,
    )
    for name, value in settings.items():
        monkeypatch.setenv(f"COHORTLENS_{name}", str(value))
    config, seen = stack.load_config(), []
    with pytest.raises(StackFailed) as caught:
        stack.detach(config, seen.append)
    assert caught.value.reason == "SERVICE_NOT_READY"
    assert "workers ended while starting" in caught.value.message
    ready = [event.service for event in seen if event.state == "ready"]
    assert ready[:4] == ["postgres", "redis", "migrate", "gateway"]
    assert marked(folder) + working_in(folder / "postgres-18", "postgres") == []
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE((folder / "logs").stat().st_mode) == 0o700
    assert read_state(folder) is None


def test_down_where_nothing_runs_is_no_fault(tmp_path):
    config = stack.load_config({"COHORTLENS_DATA_DIR": str(tmp_path / "data")})
    assert stack.down(config) == stack.DownReport()
    config.folder.mkdir()
    assert stack.down(config) == stack.DownReport()


def test_a_damaged_state_does_not_hinder_the_next_start(running):
    running.up()
    running.kill_supervisor(and_guardian=True)
    (running.folder / "state.json").write_text('{"version": 1, "supervi')
    assert running.up()["state"] == "ready"
    assert len(running.remaining()) < 2 * len(SERVICES) + 8, "the first stack's processes are gone"
