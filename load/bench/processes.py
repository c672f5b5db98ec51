"""Starts reference servers and counts what a tree of processes costs: CPU seconds and memory."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import psutil

from cohortlens.embedded.ports import accepts

READY_S = 90.0


@contextlib.contextmanager
def running(command: list[str], port: int, environ: dict[str, str], cwd: Path) -> Iterator[psutil.Process]:
    """A server that listens on ``port`` while the block runs; everything it started is stopped afterwards.

    Raises:
        SystemExit: It ended or did not listen in time; the end of what it printed is in the message.
    """
    # A file, not a pipe: a server that logs each call would wait for a reader of the pipe.
    with (
        TemporaryFile() as output,
        subprocess.Popen(
            command, env=environ, cwd=cwd, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as child,
    ):
        process = psutil.Process(child.pid)
        try:
            _wait(child, port, output)
            yield process
        finally:
            for part in tree(process):
                with contextlib.suppress(psutil.Error):
                    part.kill()


def tree(process: psutil.Process) -> list[psutil.Process]:
    """The process and everything below it."""
    with contextlib.suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return []


def runs(process: psutil.Process, module: str) -> bool:
    """Whether ``module`` is an argument of the process; not when it has ended."""
    with contextlib.suppress(psutil.Error):
        return module in process.cmdline()
    return False


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """User and system seconds spent so far by ``processes``."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def pss_mib(processes: list[psutil.Process]) -> float:
    """Proportional set size of ``processes`` in MiB: shared pages are divided among their users."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / 2**20


def _wait(child: subprocess.Popen[bytes], port: int, output: IO[bytes]) -> None:
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        if child.poll() is not None:
            break
        if accepts(port):
            return
        time.sleep(0.1)
    child.kill()
    output.seek(0)
    told = output.read().decode(errors="replace")[-2000:]
    raise SystemExit(f"error REFERENCE_NOT_READY: {child.args!r}\n{told}")
