"""Processes of an earlier life are found by what they hold open, and nothing else is touched."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from workers.ray_leftovers import processes_of, reap

HOLD = "import sys, time; held = open(sys.argv[1], 'w'); print('ready', flush=True); time.sleep(60)"


@pytest.fixture
def started():
    running: list[subprocess.Popen] = []

    def start(*command: str) -> subprocess.Popen:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def holder(started, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    process = started(sys.executable, "-c", HOLD, str(path))
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_process_with_a_file_of_a_session_open_is_ended(started, tmp_path):
    guilty = holder(started, tmp_path / "ray" / "session_2026" / "logs" / "agent.log")

    assert reap(tmp_path / "ray") == [guilty.pid]
    assert guilty.wait(5) == -9
    assert processes_of(tmp_path / "ray") == []


def test_a_neighbour_s_process_survives_though_its_folder_has_the_same_beginning(started, tmp_path):
    neighbour = holder(started, tmp_path / "ray-of-another" / "session_2026" / "agent.log")
    beside = holder(started, tmp_path / "ray" / "notes.txt")

    assert reap(tmp_path / "ray") == []
    assert neighbour.poll() is None
    assert beside.poll() is None


def test_a_person_reading_a_log_is_not_ended(started, tmp_path):
    log = tmp_path / "ray" / "session_2026" / "raylet.out"
    log.parent.mkdir(parents=True)
    log.write_text("started\n")
    reader = started("tail", "-f", str(log))
    assert reader.stdout.readline() == "started\n"

    assert reap(tmp_path / "ray") == []
    assert reader.poll() is None


def test_the_caller_itself_is_never_a_candidate(tmp_path):
    path = tmp_path / "ray" / "session_2026" / "own.log"
    path.parent.mkdir(parents=True)
    with path.open("w"):
        assert os.getpid() not in processes_of(tmp_path / "ray")


def test_a_folder_that_is_not_there_has_no_processes(tmp_path):
    assert reap(tmp_path / "never") == []
