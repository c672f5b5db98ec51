"""One process of the gateway as its parent sees it: started, heard, signalled, reaped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from gateway.fleet.link import Link

_READ_BYTES = 65536


class Child(Protocol):
    """What the parent needs of a process."""

    @property
    def pid(self) -> int:
        """Process id."""

    def events(self) -> list[dict[str, Any]]:
        """What it reported since the last call: ``event`` is ready, draining or beat."""

    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal; no fault when it is gone."""

    def close(self) -> None:
        """Forget it, once it has ended."""


class Spawn(Protocol):
    """Starts a process."""

    def __call__(self, slot: int, *, waits: bool) -> Child:
        """Start the process of a slot.

        Args:
            slot: Its number, from 0.
            waits: Whether it accepts only when it can answer.
        """


class ProcessChild:
    """A real process.

    Args:
        command: Program and arguments.
        environ: Its environment, without the link.
        link: Its place; ``report`` is filled in here.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], link: Mapping[str, Any]) -> None:
        self._read_end, write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        made = Link(parent=os.getpid(), report=write_end, **link)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                env={**environ, **made.to_environment()},
                pass_fds=(made.http, made.grpc, made.ops, write_end),
                # A terminal's Ctrl-C is for the parent, which passes it on in order.
                process_group=0,
            )
        except BaseException:
            os.close(self._read_end)
            raise
        finally:
            os.close(write_end)
        self._rest = b""

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def fileno(self) -> int:
        """Readable when it reported something or ended."""
        return self._read_end

    def events(self) -> list[dict[str, Any]]:
        """What it reported since the last call."""
        try:
            while part := os.read(self._read_end, _READ_BYTES):
                self._rest += part
        except BlockingIOError:
            pass
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines]

    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; no fault when it is gone."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def close(self) -> None:
        """Forget it, once it has ended."""
        os.close(self._read_end)
