"""The embedded stack for its callers: ``up``, ``detach``, ``down``, ``status``; used by the command line.

Everything works on the data folder of a ``StackConfig``; one folder holds one stack.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cohortlens.core.private import make_private
from cohortlens.embedded import preflight
from cohortlens.embedded.faults import Fault, StackFailed
from cohortlens.embedded.leftovers import DownReport, end_leftovers
from cohortlens.embedded.processes import children_of, marked, program_of, send, wait_until
from cohortlens.embedded.server_process import tail
from cohortlens.embedded.services import Programs
from cohortlens.embedded.settings import StackConfig, current_environment
from cohortlens.embedded.state import ServiceRecord, folder_lock, read_state
from cohortlens.embedded.supervisor import StackEvent, Supervisor
from cohortlens.embedded.web3 import WEB3

OnEvent = Callable[[StackEvent], None]
_LOCK_WAIT_S = 25.0
_READY_BOUND_S = 300.0
"""Within it a stack in the background is ready, or it is stopped."""


@dataclass(frozen=True)
class ServiceStatus:
    """One service as ``cohortlens status`` shows it.

    Attributes:
        name: Such as ``postgres``.
        state: ``waiting starting ready degraded failed stopped``.
        kind: ``embedded`` or ``external``.
        port: Port it listens on; 0 when it has none of its own.
        pid: Process id; none when it does not run or is external.
        elapsed_s: Seconds its last start took.
        detail: A few words, such as the cause of a restart.
        processes: Process ids of a gateway of several processes, which ``pid`` only watches; else empty.
    """

    name: str
    state: str
    kind: str
    port: int
    pid: int | None
    elapsed_s: float
    detail: str
    processes: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class StackStatus:
    """The stack of a folder.

    Attributes:
        ready: Whether every service is ready.
        phase: ``starting ready stopping failed``, ``stopped`` when nothing runs, ``dead`` when only the
            supervisor is gone.
        mode: ``COHORTLENS_ENV`` of the start; empty when nothing runs.
        since: RFC 3339 time of the start; empty when nothing runs.
        supervisor_pid: The supervising process; none when nothing runs.
        services: In the order of their start.
        ports: Ports by service, ``http`` and ``grpc`` included.
        seconds: Seconds from start to ready.
    """

    ready: bool
    phase: str
    mode: str = ""
    since: str = ""
    supervisor_pid: int | None = None
    services: list[ServiceStatus] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class StackAlreadyRunning(StackFailed):
    """``up`` beside a running stack: no failure, nothing was started.

    Attributes:
        status: The running stack.
    """

    def __init__(self, fault: Fault, status: StackStatus) -> None:
        super().__init__(fault)
        self.status = status


def load_config(environ: Mapping[str, str] | None = None) -> StackConfig:
    """Read the settings.

    Args:
        environ: Variables; those of this process when omitted.

    Raises:
        StackFailed: Every invalid and every unknown setting.
    """
    config, faults = preflight.check_settings(current_environment() if environ is None else environ)
    if faults or config is None:
        raise StackFailed(*faults)
    return config


def up(
    config: StackConfig,
    on_event: OnEvent | None = None,
    on_ready: Callable[[], None] | None = None,
    *,
    programs: Programs | None = None,
) -> None:
    """Start the stack and supervise it in the foreground until a signal; call it in the main thread.

    Args:
        config: Settings.
        on_event: Told of every change, in the main thread.
        on_ready: Called in a thread of its own once all services are ready; for seeding and probing.
        programs: What to run beside the servers; the programs of the release when omitted.

    Raises:
        StackAlreadyRunning: The folder's stack runs; nothing was started.
        StackFailed: Every fault of the preflight, or the service that did not come up; nothing runs.
    """
    tell = on_event or _silent
    _preflight(config, tell)
    folder = config.folder
    make_private(folder)
    # A guardian may still be busy with the end of a killed stack.
    with folder_lock(folder, 0.0 if _is_supervised(folder) else _LOCK_WAIT_S) as is_ours:
        if not is_ours:
            raise _already_running(config)
        end_leftovers(folder)
        Supervisor(config, current_environment(), tell, programs).run(on_ready or _nothing)


def detach(config: StackConfig, on_event: OnEvent | None = None) -> StackStatus:
    """Start the stack in the background and wait until it is ready.

    Args:
        config: Settings; the background process reads them again from the same environment.
        on_event: Told of every change until it is ready.

    Raises:
        StackAlreadyRunning: The folder's stack runs; nothing was started.
        StackFailed: As ``up``; nothing runs.
    """
    tell = on_event or _silent
    _preflight(config, tell)
    logs = config.folder / "logs"
    make_private(config.folder)
    make_private(logs)
    with (logs / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cohortlens.embedded"],
            env={**current_environment(), "COHORTLENS_DATA_DIR": str(config.folder)},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdout is not None
    with process.stdout:
        faults = _follow(process.stdout, tell, time.monotonic() + _READY_BOUND_S)
    if faults is None:
        # It goes on without us; Popen must not complain that nobody waits for it.
        process.returncode = 0
        return status(config)
    _end_background(process)
    raise StackFailed(*(faults or [_unfinished(logs)]))


def down(config: StackConfig, timeout_s: float = 30.0) -> DownReport:
    """Stop the folder's stack, also after its supervisor was killed; nothing running is no fault.

    Args:
        config: Settings.
        timeout_s: Seconds the supervisor may take before everything is killed.
    """
    folder = config.folder
    if not folder.is_dir():
        return DownReport()
    state, stopped = read_state(folder), list[str]()
    killed: list[str] = []
    if state is not None and state.supervisor.is_alive():
        names = [service.name for service in state.services if service.identity is not None]
        send(state.supervisor, signal.SIGTERM)
        if wait_until(lambda: not state.supervisor.is_alive(), timeout_s):
            stopped = names
        else:
            send(state.supervisor, signal.SIGKILL)
            killed.append("supervisor")
    with folder_lock(folder, _LOCK_WAIT_S) as is_ours:
        if not is_ours:
            return DownReport(stopped, killed, ["another process works on the folder"])
        report = end_leftovers(folder)
    report.stopped = stopped + report.stopped
    report.killed = killed + report.killed
    report.left += [f"pid {one.pid} ({program_of(one.pid)})" for one in marked(folder)]
    return report


def status(config: StackConfig) -> StackStatus:
    """What the folder's stack does now."""
    state = read_state(config.folder)
    if state is None:
        return StackStatus(ready=False, phase="stopped")
    is_alive = state.supervisor.is_alive()
    services = [
        ServiceStatus(
            name=record.name,
            state=_state_of(record) if is_alive else "stopped",
            kind=record.kind,
            port=record.port,
            pid=record.pid if record.identity is not None and record.identity.is_alive() else None,
            elapsed_s=record.elapsed_s,
            detail=record.detail,
            processes=children_of(record.pid) if record.name == "gateway" and record.pid else [],
        )
        for record in state.services
    ]
    # Everything but credentials, rewards and pins works without the web3 sidecar.
    all_ready = all(service.state == "ready" for service in services if service.name != WEB3)
    return StackStatus(
        ready=is_alive and state.phase == "ready" and all_ready,
        phase=state.phase if is_alive else "dead",
        mode=state.mode,
        since=state.since,
        supervisor_pid=state.supervisor.pid if is_alive else None,
        services=services,
        ports=state.ports,
        seconds=state.seconds,
    )


def _state_of(record: ServiceRecord) -> str:
    # The supervisor looks a few times a second; whoever asks in between shall not be told of a dead service.
    is_dead = record.identity is not None and not record.identity.is_alive()
    return "degraded" if is_dead and record.state == "ready" else record.state


def _preflight(config: StackConfig, tell: OnEvent) -> None:
    faults = preflight.check_machine(config)
    if any(fault.reason == "STACK_ALREADY_RUNNING" for fault in faults):
        raise _already_running(config)
    stopping = [fault for fault in faults if fault.severity == "stop"]
    if stopping:
        raise StackFailed(*stopping)
    for fault in faults:
        tell(StackEvent("preflight", "degraded", 0.0, f"{fault.reason}: {fault.found}"))


def _already_running(config: StackConfig) -> StackAlreadyRunning:
    return StackAlreadyRunning(preflight.already_running(config), status(config))


def _is_supervised(folder: Path) -> bool:
    state = read_state(folder)
    return state is not None and state.supervisor.is_alive()


def _follow(output: IO[bytes], tell: OnEvent, deadline: float) -> list[Fault] | None:
    """Pass events on until the background process is ready or failed.

    Returns:
        None when it is ready; its faults when it failed, empty when it ended or hung without a word.
    """
    for line in _lines(output, deadline):
        message: dict[str, Any] = json.loads(line)
        if "event" in message:
            tell(StackEvent(**message["event"]))
        elif "faults" in message:
            return [Fault(**fault) for fault in message["faults"]]
        elif message.get("ready"):
            return None
    return []


def _lines(output: IO[bytes], deadline: float) -> Iterator[bytes]:
    """Whole lines of a pipe until its end or the deadline."""
    rest = b""
    while (left := deadline - time.monotonic()) > 0 and select.select([output], [], [], left)[0]:
        part = os.read(output.fileno(), 65536)
        if not part:
            return
        *whole, rest = (rest + part).split(b"\n")
        yield from whole


def _end_background(process: subprocess.Popen[bytes]) -> None:
    """End a background process that failed or hung; it stops its services itself if it can."""
    process.terminate()
    try:
        process.wait(20.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _unfinished(logs: Path) -> Fault:
    last = "\n  ".join(tail(logs / "supervisor.log")) or "(the log is empty)"
    return Fault(
        reason="SERVICE_NOT_READY",
        message=f"the stack did not get ready within {_READY_BOUND_S:g} s",
        found=f"last lines of the supervisor's log:\n  {last}",
        cause="the machine is slow, or the supervisor ended",
        next=f"tail -n 100 {logs}/*.log",
    )


def _silent(_event: StackEvent) -> None:
    return


def _nothing() -> None:
    return
