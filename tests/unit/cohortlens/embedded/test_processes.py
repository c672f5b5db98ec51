"""Processes are told apart by pid and start time; only ours are ever signalled."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cohortlens.embedded.processes import (
    ProcessIdentity,
    children_of,
    identity_of,
    marked,
    marker,
    own_identity,
    send,
    stop_all,
    wait_until,
    working_in,
)

SLEEP = [sys.executable, "-S", "-c", "print(1, flush=True); import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)",
]


@pytest.fixture
def spawn():
    started = []

    def start(command, **options):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
        started.append(process)
        process.stdout.read(1)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_process_with_another_start_time_is_never_signalled(spawn):
    process = spawn(SLEEP)
    reused = dataclasses.replace(identity_of(process.pid), start_ticks=1)
    assert not send(reused, signal.SIGKILL)
    assert stop_all([reused], signal.SIGKILL, 0.1) == ([], [])
    assert process.poll() is None


def test_a_process_of_an_earlier_boot_is_not_taken_for_a_living_one(spawn):
    process = spawn(SLEEP)
    assert not dataclasses.replace(identity_of(process.pid), boot_id="another").is_alive()


def test_a_zombie_does_not_count_as_alive(spawn):
    process = spawn(SLEEP)
    identity = identity_of(process.pid)
    process.kill()
    assert wait_until(lambda: not identity.is_alive(), 5.0)
    assert process.returncode is None, "nobody has reaped it yet"


def test_a_process_that_ignores_the_polite_signal_is_killed(spawn):
    polite, stubborn = spawn(SLEEP), spawn(STUBBORN)
    both = [identity_of(polite.pid), identity_of(stubborn.pid)]
    killed, left = stop_all(both, signal.SIGTERM, 0.5)
    assert [identity.pid for identity in killed] == [stubborn.pid]
    assert left == []


def test_a_grandchild_in_its_own_session_is_found_by_its_marker(spawn):
    inner = (
        "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True); sys.stdout.close()"
    )
    mine, other = Path("/data/a"), Path("/data/ab")
    spawn([sys.executable, "-S", "-c", inner, *STUBBORN], env=marker(mine)).wait()
    spawn(SLEEP, env=marker(other))
    spawn(SLEEP, env={"COHORTLENS_DATA_DIR": str(mine)})  # somebody who only talks to the stack
    assert wait_until(lambda: len(marked(mine)) == 1, 5.0)
    assert stop_all(marked(mine), signal.SIGKILL, 0.1)[1] == []
    assert marked(mine) == []
    assert len(marked(other)) == 1


def test_a_process_is_found_by_the_folder_it_works_in(spawn, tmp_path):
    process = spawn(SLEEP, cwd=tmp_path)
    program = identity_of(process.pid)
    assert program in working_in(tmp_path, "python") + working_in(tmp_path, "python3.11")
    assert working_in(tmp_path, "postgres") == []
    assert working_in(tmp_path / "missing", "python") == []


def test_an_identity_survives_json():
    mine = own_identity()
    assert ProcessIdentity.from_json(mine.to_json()) == mine
    assert mine.is_alive()


def test_children_are_those_that_run_and_a_process_that_is_gone_has_none(spawn):
    child = spawn(SLEEP)
    assert child.pid in children_of(own_identity().pid)
    child.kill()
    assert wait_until(lambda: identity_of(child.pid) is None, 5.0)
    assert child.pid not in children_of(own_identity().pid)
    child.wait()
    assert children_of(child.pid) == []
