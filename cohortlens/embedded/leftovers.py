"""Ends what a dead supervisor left running and removes its state; used by ``down``, ``up``, the guardian."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.embedded.processes import ProcessIdentity, marked, program_of, send, stop_all
from cohortlens.embedded.redis import EmbeddedRedis
from cohortlens.embedded.state import read_state, remove_state

_POLITE_S = 8.0
_ROUNDS = 5
_SERVERS = ("postgres", "redis")


@dataclass
class DownReport:
    """What ``down`` did.

    Attributes:
        stopped: Services that ended when asked.
        killed: Services and processes that were killed.
        left: Processes that are still there; empty unless the kernel holds one.
    """

    stopped: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def end_leftovers(folder: Path) -> DownReport:
    """End every process of the folder's last stack and forget the stack.

    The caller holds the folder's lock and has seen that the supervisor is dead. Processes are known by the
    recorded pid and start time, by the marker in their environment, and PostgreSQL by its working folder.

    Args:
        folder: The data folder.
    """
    report = DownReport()
    state = read_state(folder)
    names = {one.identity: one.name for one in state.services if one.identity is not None} if state else {}
    guardian = state.guardian if state is not None else None
    if guardian is not None and guardian.pid != os.getpid():
        send(guardian, signal.SIGKILL)
    _end_applications(names, report)
    _end_servers(folder, report)
    _end_marked(folder, report)
    if not report.left:
        remove_state(folder)
    return report


def _end_applications(names: Mapping[ProcessIdentity, str], report: DownReport) -> None:
    asked = [one for one, name in names.items() if name not in _SERVERS and one.is_alive()]
    killed = stop_all(asked, signal.SIGTERM, _POLITE_S)[0]
    report.stopped += [names[identity] for identity in asked if identity not in killed]
    report.killed += [names[identity] for identity in killed]


def _end_marked(folder: Path, report: DownReport) -> None:
    """Kill what the recorded services left, such as agents in sessions of their own."""
    left: list[ProcessIdentity] = []
    # A process's children may start more while we look, hence rounds.
    for _ in range(_ROUNDS):
        # The guardian is marked too, and may be the one that runs this.
        found = [identity for identity in marked(folder) if identity.pid != os.getpid()]
        if not found:
            return
        report.killed += [_label(identity) for identity in found]
        left = stop_all(found, signal.SIGKILL, 2.0)[1]
    report.left += [_label(identity) for identity in left]


def _end_servers(folder: Path, report: DownReport) -> None:
    redis = EmbeddedRedis(folder, 0)
    if redis.end_orphan():
        report.stopped.append("redis")
    if EmbeddedPostgres(folder, 0).end_orphans():
        report.stopped.append("postgres")


def _label(identity: ProcessIdentity) -> str:
    return f"pid {identity.pid} ({program_of(identity.pid)})"
