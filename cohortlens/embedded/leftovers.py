"""Ends what a dead supervisor left running and removes its state; used by ``down``, ``up``, the guardian."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.embedded.processes import ProcessIdentity, marked, program_of, send, stop_all
from cohortlens.embedded.redis import EmbeddedRedis
from cohortlens.embedded.state import StackState, read_state, remove_state

_POLITE_S = 8.0
_ROUNDS = 5


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
    if state is not None:
        _end_applications(state, report)
    _end_servers(folder, report)
    if not report.left:
        remove_state(folder)
    return report


def _end_applications(state: StackState, report: DownReport) -> None:
    names = {service.identity: service.name for service in state.services if service.identity is not None}
    servers = {identity for identity, name in names.items() if name in ("postgres", "redis")}
    # The guardian carries the marker too and may be the one that runs this.
    spared = servers | {state.guardian} | {found for found in marked(state.stack_id) if _is_self(found)}
    asked = [identity for identity in names if identity not in spared and identity.is_alive()]
    killed, left = stop_all(asked, signal.SIGTERM, _POLITE_S)
    report.stopped += [names[identity] for identity in asked if identity not in killed]
    report.killed += [names[identity] for identity in killed]
    # A killed process's children may start more while we look, hence rounds.
    for _ in range(_ROUNDS):
        found = [identity for identity in marked(state.stack_id) if identity not in spared]
        if not found:
            break
        report.killed += [f"pid {identity.pid} ({program_of(identity.pid)})" for identity in found]
        left = stop_all(found, signal.SIGKILL, 2.0)[1]
    report.left += [f"pid {identity.pid} ({program_of(identity.pid)})" for identity in left]
    if state.guardian is not None and not _is_self(state.guardian):
        send(state.guardian, signal.SIGKILL)


def _end_servers(folder: Path, report: DownReport) -> None:
    redis = EmbeddedRedis(folder, 0)
    if redis.end_orphan():
        report.stopped.append("redis")
    if EmbeddedPostgres(folder, 0).end_orphans():
        report.stopped.append("postgres")


def _is_self(identity: ProcessIdentity) -> bool:
    return identity.pid == os.getpid()
