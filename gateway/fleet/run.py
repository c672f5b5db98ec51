"""Runs several gateway processes behind one address: sockets, signals, time for the parent's decisions."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from cohortlens.core.ops import OpsPortInUseError
from cohortlens.core.telemetry import get_logger
from gateway.config import GatewayConfig
from gateway.fleet import exchange
from gateway.fleet.child import Child, ProcessChild
from gateway.fleet.listeners import Ports
from gateway.fleet.parent import Parent
from gateway.grpc.server import PortInUseError

EXIT_PORT_IN_USE, EXIT_TWICE = 3, 143
_LOG = get_logger(__name__)
_TICK_S = 0.25
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def run_fleet(
    config: GatewayConfig, command: Sequence[str], environ: Mapping[str, str], ops: tuple[str, int]
) -> int:
    """Serve with as many processes as the settings say, until SIGTERM or SIGINT; SIGHUP replaces all.

    Args:
        config: The gateway's settings.
        command: Starts one process; it reads its ``Link`` from the environment.
        environ: Environment of the processes.
        ops: Address and port of the ops pages.

    Returns:
        Exit code: 0 when stopped as asked, 3 when a port is taken, that of a process when none could start.
    """
    try:
        ports = Ports(config.bind, config.http_port, config.grpc_port, config.process_count(), ops)
    except (PortInUseError, OpsPortInUseError) as fault:
        _LOG.error("port_in_use", reason=fault.reason, detail=str(fault))
        sys.stderr.write(f"{fault}\n")
        return EXIT_PORT_IN_USE
    _LOG.info(
        "sharing",
        bind=config.bind,
        http_port=ports.http.number,
        grpc_port=ports.grpc.number,
        ops_port=ports.ops.getsockname()[1],
        processes=config.process_count(),
    )
    # Short, so that the sockets in it fit the kernel; private by its mode.
    folder = Path(tempfile.mkdtemp(prefix="cl-gateway-"))
    try:
        return _Loop(config, ports, folder, command, environ).run()
    finally:
        ports.close()
        shutil.rmtree(folder, ignore_errors=True)


class _Loop:
    def __init__(
        self,
        config: GatewayConfig,
        ports: Ports,
        folder: Path,
        command: Sequence[str],
        environ: Mapping[str, str],
    ) -> None:
        self._ports = ports
        self._folder = folder
        self._command = command
        self._environ = environ
        self._asked: list[int] = []
        self._to_fold: set[int] = set()
        self._parent = Parent(
            config.process_count(),
            self._spawn,
            ports.steer,
            config.drain_delay + config.drain_timeout,
            self._to_fold.add,
        )
        # Written by the signals' handler, so that a signal ends the wait.
        self._wake, self._woken = socket.socketpair()

    def run(self) -> int:
        """Feed the parent until all is over."""
        for end in (self._wake, self._woken):
            end.setblocking(False)
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        try:
            return self._run()
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._wake.close()
            self._woken.close()

    def _run(self) -> int:
        parent = self._parent
        while True:
            parent.tick(time.monotonic())
            self._fold()
            if parent.exit_code is not None and not parent.members:
                _LOG.info("stopped", code=parent.exit_code)
                return parent.exit_code
            self._wait()
            while self._asked:
                self._obey(self._asked.pop(0))

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._parent.replace_all()
        elif self._parent.stopping:
            # Somebody has asked twice: nothing may keep the processes alive.
            self._parent.kill()
            shutil.rmtree(self._folder, ignore_errors=True)
            os._exit(EXIT_TWICE)
        else:
            _LOG.info("draining")
            self._parent.stop(time.monotonic())
            # Held open here they would take connections that nobody answers.
            self._ports.close()

    def _wait(self) -> None:
        sources: list[int] = [self._woken.fileno()]
        sources += [one.child.fileno() for one in self._parent.members if isinstance(one.child, ProcessChild)]
        ready = select.select(sources, [], [], _TICK_S)[0]
        if self._woken.fileno() in ready:
            with suppress(BlockingIOError):
                self._woken.recv(4096)

    def _fold(self) -> None:
        for pid in list(self._to_fold):
            if exchange.fold(self._folder, str(pid)):
                self._to_fold.discard(pid)

    def _spawn(self, slot: int, *, waits: bool) -> Child:
        http, grpc = self._ports.handles(slot)
        link = {
            "slot": slot,
            "http": http,
            "grpc": grpc,
            "ops": self._ports.ops.fileno(),
            "folder": str(self._folder),
            "waits": waits,
        }
        return ProcessChild(self._command, self._environ, link)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._asked.append(number)
