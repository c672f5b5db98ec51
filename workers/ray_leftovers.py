"""Finds and ends the Ray processes that an earlier life left behind.

When a supervisor is killed with SIGKILL, Ray's agents outlive it. They rename themselves, so they are known
by the files they hold open in the folder of our own Ray sessions. Standard library only.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_GONE_S = 5.0
_PROGRAMS = ("python", "raylet", "gcs_server")


def processes_of(folder: Path) -> list[int]:
    """Ray processes of this user that work in a folder of Ray sessions, the caller's own line excepted.

    Args:
        folder: Folder given to Ray as its temporary folder.
    """
    mine = set(_ancestors(os.getpid()))
    marks = {f"{folder}/session_", f"{folder.resolve()}/session_"}
    return [pid for pid in _own_pids() if pid not in mine and _is_ray(pid) and _works_in(pid, marks)]


def reap(folder: Path) -> list[int]:
    """Kill the processes of a folder and wait until they are gone.

    Returns:
        The processes found.

    Raises:
        TimeoutError: Some are still there after 5 s.
    """
    found: set[int] = set()
    deadline = time.monotonic() + _GONE_S
    while left := processes_of(folder):
        found.update(left)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {left} of {folder} do not end")
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
    return sorted(found)


def _own_pids() -> Iterator[int]:
    uid = os.getuid()
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                if entry.stat().st_uid == uid:
                    yield int(entry.name)
            except OSError:
                continue


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 0:
        yield pid
        try:
            pid = int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return


def _is_ray(pid: int) -> bool:
    try:
        return (_PROC / str(pid) / "exe").readlink().name.startswith(_PROGRAMS)
    except OSError:
        return False


def _works_in(pid: int, marks: set[str]) -> bool:
    folder = _PROC / str(pid)
    try:
        command = folder.joinpath("cmdline").read_bytes().decode(errors="surrogateescape")
        if any(mark in command for mark in marks):
            return True
        links = [str(fd.readlink()) for fd in folder.joinpath("fd").iterdir()]
    except OSError:
        return False
    return any(link.startswith(mark) for link in links for mark in marks)
