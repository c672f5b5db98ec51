"""Processes told apart by pid and start time, found by marker or folder, and stopped with bounds.

A pid alone is never trusted: the kernel reuses it. Reads ``/proc``; Linux only, as the servers' wheels here.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

MARKER = "CL_EMBEDDED_STACK"
FOLDER = "COHORTLENS_DATA_DIR"
_PROC = Path("/proc")
_POLL_S = 0.03


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, for ever.

    Attributes:
        pid: Process id.
        start_ticks: Start time in clock ticks since boot.
        boot_id: The kernel's id of this boot.
    """

    pid: int
    start_ticks: int
    boot_id: str

    def is_alive(self) -> bool:
        """Whether exactly this process still runs; a zombie does not."""
        return identity_of(self.pid) == self

    def to_json(self) -> dict[str, Any]:
        """The form that ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ProcessIdentity:
        """Read what ``to_json`` gave."""
        return cls(
            pid=int(value["pid"]), start_ticks=int(value["start_ticks"]), boot_id=str(value["boot_id"])
        )


def identity_of(pid: int) -> ProcessIdentity | None:
    """The identity of a running process; none when there is no such process or it is a zombie."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The program's name stands in brackets and may hold spaces and brackets itself.
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X", b"x"):
        return None
    return ProcessIdentity(pid=pid, start_ticks=int(fields[19]), boot_id=_boot_id())


def own_identity() -> ProcessIdentity:
    """The identity of this process."""
    identity = identity_of(os.getpid())
    assert identity is not None
    return identity


def program_of(pid: int) -> str:
    """Name of the program a process runs, or ``unknown program``."""
    try:
        return (_PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "unknown program"


def send(identity: ProcessIdentity, number: signal.Signals) -> bool:
    """Send a signal to exactly this process.

    Returns:
        Whether the process was there.
    """
    try:
        handle = os.pidfd_open(identity.pid)
    except OSError:
        return False
    try:
        # Checked after opening: from here on the handle cannot come to mean another process.
        if not identity.is_alive():
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for a condition with a bound.

    Returns:
        Whether it came true within ``timeout_s`` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def stop_all(
    identities: Iterable[ProcessIdentity], polite: signal.Signals, timeout_s: float
) -> tuple[list[ProcessIdentity], list[ProcessIdentity]]:
    """Stop processes politely, then by force.

    Args:
        identities: Whom to stop.
        polite: First signal.
        timeout_s: Seconds before SIGKILL; up to two more are spent to see them gone.

    Returns:
        Those killed by force, and those still there.
    """
    living = [identity for identity in identities if send(identity, polite)]
    wait_until(lambda: not any(identity.is_alive() for identity in living), timeout_s)
    killed = [identity for identity in living if send(identity, signal.SIGKILL)]
    wait_until(lambda: not any(identity.is_alive() for identity in killed), 2.0)
    return killed, [identity for identity in killed if identity.is_alive()]


def marker(folder: Path) -> dict[str, str]:
    """Variables that mark a process, and all it starts, as one of the stack in a data folder."""
    return {MARKER: "1", FOLDER: str(folder)}


def marked(folder: Path) -> list[ProcessIdentity]:
    """Processes of the stack in a data folder, whoever their parent is now."""
    wanted = {f"{name}={value}".encode(errors="surrogateescape") for name, value in marker(folder).items()}
    return [found for found in _living() if wanted <= _environment(found.pid)]


def working_in(folder: Path, program: str) -> list[ProcessIdentity]:
    """Processes of a program whose working folder is ``folder``."""
    try:
        target = folder.stat()
    except OSError:
        return []
    return [
        found
        for found in _living()
        if _same_folder(_PROC / str(found.pid) / "cwd", target) and program_of(found.pid) == program
    ]


def children_of(pid: int) -> list[int]:
    """Process ids of what a process started itself and what still runs; empty when it is gone."""
    try:
        text = (_PROC / str(pid) / "task" / str(pid) / "children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(one) for one in text.split() if identity_of(int(one)) is not None]


def _same_folder(link: Path, target: os.stat_result) -> bool:
    try:
        found = link.stat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (target.st_dev, target.st_ino)


def _living() -> Iterator[ProcessIdentity]:
    for name in os.listdir(_PROC):  # noqa: PTH208 - names only; Path objects for all of /proc cost 10x
        if name.isdigit() and int(name) != os.getpid():
            found = identity_of(int(name))
            if found is not None:
                yield found


def _environment(pid: int) -> set[bytes]:
    try:
        return set((_PROC / str(pid) / "environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


@cache
def _boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
