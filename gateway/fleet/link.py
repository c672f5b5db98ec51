"""What a process of several knows of its parent: its slot, its sockets, and the line on which it reports.

The parent hands it over in one environment variable; without it the process is the only one.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "CL_GATEWAY_LINK"
BEAT_S = 1.0
"""Seconds between two beats; also when nothing changed, so that a silent process is a hung one."""

LOOK_S = 0.2
"""Seconds between two looks at the number of connections."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Link:
    """A process's place among the others.

    Attributes:
        slot: Its number, from 0.
        parent: Process id of the parent.
        http: File descriptor of its listening socket for HTTP.
        grpc: The same for gRPC.
        ops: The same for the ops pages, shared by all processes.
        report: File descriptor to report on.
        folder: Folder that all processes of this gateway share, private to the user.
        waits: Whether it accepts only when it can answer: others serve meanwhile.
    """

    slot: int
    parent: int
    http: int
    grpc: int
    ops: int
    report: int
    folder: str
    waits: bool

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Link | None:
        """The link that the parent handed over; None for the only process."""
        text = environ.get(VARIABLE)
        return cls(**json.loads(text)) if text else None

    def to_environment(self) -> dict[str, str]:
        """The variable that hands the link over."""
        return {VARIABLE: json.dumps(asdict(self))}

    @property
    def shared(self) -> Path:
        """Folder that all processes of this gateway share."""
        return Path(self.folder)

    def sockets(self) -> list[socket.socket]:
        """The listening sockets, HTTP first."""
        return [socket.socket(fileno=self.http), socket.socket(fileno=self.grpc)]

    def ops_socket(self) -> socket.socket:
        """The listening socket of the ops pages."""
        return socket.socket(fileno=self.ops)

    def follow_parent(self) -> None:
        """Drain when the parent dies, however it dies; call it once, early."""
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != self.parent:
            # It died before the kernel was asked to tell.
            os.kill(os.getpid(), signal.SIGTERM)


class Reporter:
    """Tells the parent what this process does.

    Args:
        link: The process's place.
    """

    def __init__(self, link: Link) -> None:
        self._handle = link.report
        os.set_blocking(self._handle, False)
        self._idle_handles = 0

    def say(self, event: str, **fields: float) -> None:
        """Report one event; a parent that does not listen is no fault of ours."""
        line = json.dumps({"event": event, **fields}) + "\n"
        with suppress(OSError):
            os.write(self._handle, line.encode())

    async def beat(self) -> None:
        """Report connections and CPU time until cancelled."""
        told_at, told = 0.0, -1
        self._idle_handles = open_handles()
        while True:
            connections = max(0, open_handles() - self._idle_handles)
            if connections != told or time.monotonic() - told_at >= BEAT_S:
                told_at, told = time.monotonic(), connections
                self.say("beat", connections=connections, cpu_s=time.process_time())
            await asyncio.sleep(LOOK_S)


def open_handles() -> int:
    """Number of open file descriptors; its growth is that of the connections, nearly."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted only, five times a second
