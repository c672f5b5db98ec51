"""A gRPC server of the worker side, and how faults become statuses.

It listens on a port that the kernel chooses and, when asked, on a Unix socket. A fault travels as
``REASON: message`` in the details of the status, so that the control plane can raise it again as it was.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from cohortlens.core.errors import Code, CohortLensError
from workers.deployments.listening import Listen

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 * 2**20
_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Callers ping through the silence of a long training; by default a server hangs up on the third ping.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_SOCKET_NAME = re.compile(r"[a-z]-(\d+)\.(?:sock|frames)")


def status_of(code: Code) -> grpc.StatusCode:
    """The gRPC status of a canonical code."""
    return _STATUS[int(code)]


@asynccontextmanager
async def faults_as_status(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Ends the call with the status of whatever fault leaves the block."""
    try:
        yield
    except (grpc.aio.AbortError, grpc.RpcError):
        raise
    except Exception as error:
        code, details = told(error)
        await context.abort(status_of(code), details)


def told(error: Exception) -> tuple[Code, str]:
    """What a caller learns of a fault: its code, and ``REASON: message``."""
    if isinstance(error, CohortLensError):
        return error.code, f"{error.reason}: {error.message}"
    # Internals stay in the log of this process; the caller learns where to look.
    logger.error("a call failed", exc_info=error)
    return Code.INTERNAL, f"INTERNAL: process {os.getpid()} of the workers failed; see its log"


class GrpcServer:
    """One server with one service.

    Args:
        register: Adds the service to the server.
        socket: Path of the Unix socket to listen on as well; None for none.
        listen: Where else to listen; loopback when not said.
    """

    def __init__(
        self,
        register: Callable[[grpc.aio.Server], None],
        socket: Path | None = None,
        listen: Listen | None = None,
    ) -> None:
        self._register = register
        self._listen = listen or Listen()
        self._socket = socket
        self._server: grpc.aio.Server | None = None
        self.address = ""

    @property
    def socket(self) -> str:
        """Path of the Unix socket; empty when there is none."""
        return str(self._socket) if self._socket is not None else ""

    async def start(self) -> None:
        """Listen and serve.

        Raises:
            RuntimeError: An address cannot be listened on.
        """
        self._server = grpc.aio.server(options=_OPTIONS, interceptors=self._listen.interceptors())
        self._register(self._server)
        self.address = self._listen.add_port(self._server)
        if self._socket is not None:
            self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._socket.unlink(missing_ok=True)
            self._server.add_insecure_port(f"unix:{self._socket}")
        await self._server.start()
        if self._socket is not None:
            self._socket.chmod(0o600)

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, let those under way end for at most ``grace_s`` seconds, remove the socket."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None
        if self._socket is not None:
            self._socket.unlink(missing_ok=True)


def socket_path(folder: Path, deployment: str, kind: str = "sock") -> Path:
    """Path of a Unix socket of this process; sockets that dead processes left in the folder are removed.

    Args:
        folder: Folder of the sockets.
        deployment: Deployment of the replica.
        kind: Ending of the name: ``sock`` for gRPC, ``frames`` for frames.
    """
    for path in folder.glob("*"):
        match = _SOCKET_NAME.fullmatch(path.name)
        if match is not None and not Path(f"/proc/{match[1]}").exists():
            path.unlink(missing_ok=True)
    return folder / f"{deployment[0]}-{os.getpid()}.{kind}"
