"""The life of the worker side: started twice, stopped, killed, deprived of Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.waiting import eventually_blocking as eventually
from tests.integration.workers.conftest import ROOT, Workers


@pytest.fixture
def side(valkey, short_tmp):
    """A worker side of the test's own, in a database of its own."""
    made = Workers(short_tmp / "own", valkey.url.removesuffix("/0") + "/1")
    yield made
    made.clear()


def test_a_second_worker_side_of_the_same_folder_is_refused_with_the_holder_s_pid(workers):
    second = Workers(workers.data_dir, workers.redis_url)
    process = second.start()

    assert process.wait(60) == 2
    process.stdout.close()
    assert f"error WORKERS_RUNNING: process {workers.process.pid} " in second.log.read_text()
    assert workers.process.poll() is None


def test_settings_that_cannot_work_are_all_named_and_nothing_starts(tmp_path):
    environ = os.environ | {"COHORTLENS_DATA_DIR": str(tmp_path / "data"), "COHORTLENS_REPLICAS": "none"}
    environ.pop("COHORTLENS_REDIS_URL", None)

    done = subprocess.run(
        [sys.executable, "-m", "workers"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 2
    assert "error SETTINGS_INVALID: COHORTLENS_REPLICAS='none'" in done.stderr
    assert not (tmp_path / "data").exists()


def test_killed_with_9_it_leaves_nothing_that_the_next_start_does_not_clear_and_sigterm_ends_all(side):
    side.start()
    side.await_ready()
    os.kill(side.process.pid, signal.SIGKILL)
    side.process.wait(10)
    side.process.stdout.close()
    eventually(lambda: not [pid for pid in side.processes() if "Serve" in title(pid)])
    left = side.processes()

    side.start()
    side.await_ready()
    assert set(left).isdisjoint(side.processes())
    assert side.ready["deployments"] == {"segmentation": 1, "prediction": 1, "explanation": 1}
    replicas = [side.replica(name) for name in side.ready["deployments"]]
    sockets = {one[lane] for one in replicas for lane in ("socket", "frame_socket")}
    assert {str(path) for path in (side.data_dir / "replicas").iterdir()} == sockets

    assert side.stop() == 0
    assert side.processes() == []
    assert list((side.data_dir / "replicas").iterdir()) == []
    assert side.records("*") == []


def test_when_ray_dies_it_ends_with_an_error_and_leaves_nothing(side):
    side.start()
    side.await_ready()
    [raylet] = [pid for pid in side.processes() if Path(f"/proc/{pid}/exe").readlink().name == "raylet"]

    os.kill(raylet, signal.SIGKILL)

    assert side.process.wait(30) == 1
    assert side.processes() == []


def test_a_signal_during_the_start_ends_all(side):
    side.start()
    eventually(side.processes, seconds=60)

    assert side.stop() == 0
    assert side.processes() == []


def title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
