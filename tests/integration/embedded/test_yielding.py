"""Programs that answer nobody yield: their threads, what they started, and their session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cohortlens.embedded.yielding import yield_to_others

_PROGRAM = """
import subprocess, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def program():
    """A program with a second thread and a child, in a session of its own."""
    command = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        yield process, int(process.stdout.readline())
        process.stdin.close()


def test_every_thread_the_child_and_the_session_yield(program):
    process, child = program
    yield_to_others(process.pid, 7)
    threads = [int(one.name) for one in Path(f"/proc/{process.pid}/task").iterdir()]
    assert len(threads) == 2
    assert {os.getpriority(os.PRIO_PROCESS, one) for one in (*threads, child)} == {7}
    session = Path(f"/proc/{process.pid}/autogroup")
    if session.exists() and session.read_text():
        assert session.read_text().split()[-1] == "7"
    assert os.getpriority(os.PRIO_PROCESS, 0) == 0


def test_a_process_that_has_ended_is_no_fault(program):
    process, _ = program
    process.kill()
    process.wait()
    yield_to_others(process.pid)
