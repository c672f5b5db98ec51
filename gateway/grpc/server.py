"""The listeners of the gateway: two ports, one ASGI application, and how they stop.

The ports answer before PostgreSQL is reached: ``/livez`` at once, everything else UNAVAILABLE (STARTING)
until ``open_doors``. gRPC is told by its content type, on either port.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import h2corn

from cohortlens.core.errors import CohortLensError, Unavailable
from cohortlens.core.telemetry import get_logger
from gateway.config import GatewayConfig
from gateway.grpc.aio import AioDoor
from gateway.grpc.asgi import GrpcDoor
from gateway.interceptors.chain import CallFailed, Chain
from gateway.interceptors.status import status_headers
from gateway.servicers.health import HealthBoard

Scope = MutableMapping[str, Any]
AsgiApp = Callable[[Scope, Any, Any], Awaitable[None]]

_LOG = get_logger(__name__)
_MAX_HEADER_BYTES = 16 * 1024
_MAX_STREAMS = 1000
_MAX_CONNECTIONS = 2000
# A reader that takes nothing pins the whole reply; what is sent on a connection is bounded by its window.
_WINDOW_BYTES = 2**20
_MAX_REQUESTS = 8192
BACKLOG = 1024
"""Connections that may wait on a listening socket."""


@dataclass(frozen=True)
class Patience:
    """How long the server waits for a client, seconds.

    Attributes:
        handshake_s: From the connection to its first bytes.
        head_s: While the head of a request comes.
        body_s: While nothing of an HTTP body comes; gRPC bodies have the deadline of their call.
        stall_s: While the client takes nothing of a reply.
        idle_s: While a connection has no request.
    """

    handshake_s: float = 5.0
    head_s: float = 10.0
    body_s: float = 15.0
    stall_s: float = 30.0
    idle_s: float = 75.0


PATIENCE = Patience()


class PortInUseError(Exception):
    """A port of the gateway is taken by another process.

    Attributes:
        reason: PORT_IN_USE.
    """

    reason = "PORT_IN_USE"

    def __init__(self, host: str, port: int, setting_name: str) -> None:
        super().__init__(
            f"PORT_IN_USE: {host}:{port} is taken; stop the process that listens there "
            f"or set {setting_name} to another port"
        )


def listen(host: str, port: int, setting_name: str) -> socket.socket:
    """A listening socket.

    Args:
        host: Address of this machine.
        port: Port, 0 for any free one.
        setting_name: The setting to name in the fault.

    Raises:
        PortInUseError: The port is taken.
    """
    try:
        return socket.create_server((host, port), family=family_of(host), backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(host, port, setting_name) from error
        raise


def family_of(host: str) -> socket.AddressFamily:
    """Address family of a host's address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class Router:
    """The one ASGI application: gRPC by content type, everything else to the HTTP door.

    Attributes:
        grpc: The gRPC door; answers STARTING until the services are open.
        http: The HTTP door; answers ``/livez`` until the services are open.
    """

    def __init__(self) -> None:
        self.grpc: AsgiApp = _grpc_starting
        self.http: AsgiApp = _http_starting

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            await (self.grpc if _is_grpc(scope) else self.http)(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})


def _is_grpc(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-type":
            lower = value.lower()
            return lower.startswith(b"application/grpc") and not lower.startswith(b"application/grpc-web")
    return False


def asgi_server(
    application: AsgiApp, sockets: list[socket.socket], drain_timeout_s: float, **tls: Any
) -> h2corn.Server:
    """A server of ``application`` on listening sockets, with the limits of the design.

    Args:
        application: The application.
        sockets: Listening sockets.
        drain_timeout_s: Time for calls under way when the server stops.
        tls: Settings of h2corn that turn on TLS.
    """
    config = h2corn.Config(
        bind=tuple(f"fd://{one.fileno()}" for one in sockets),
        grpc=True,
        lifespan="off",
        access_log=False,
        log_format="json",
        max_concurrent_streams=_MAX_STREAMS,
        limit_connections=_MAX_CONNECTIONS,
        limit_request_head_size=2 * _MAX_HEADER_BYTES,
        limit_request_field_size=_MAX_HEADER_BYTES,
        h2_max_header_list_size=_MAX_HEADER_BYTES,
        h2_max_header_block_size=_MAX_HEADER_BYTES,
        h2_initial_stream_window_size=_WINDOW_BYTES,
        h2_initial_connection_window_size=_WINDOW_BYTES,
        limit_concurrency=_MAX_REQUESTS,
        timeout_handshake=PATIENCE.handshake_s,
        timeout_request_header=PATIENCE.head_s,
        timeout_request_body_idle=PATIENCE.body_s,
        h2_timeout_response_stall=PATIENCE.stall_s,
        h2_timeout_write=PATIENCE.stall_s,
        timeout_keep_alive=PATIENCE.idle_s,
        timeout_graceful_shutdown=float(drain_timeout_s),
        **tls,
    )
    return h2corn.Server(application, config)


class FurtherPort(Protocol):
    """A port beside the two."""

    def bind(self) -> None:
        """Take the port; raises PortInUseError."""

    async def open(self, chain: Chain) -> None:
        """Let calls in."""

    async def stop(self) -> None:
        """Let no more calls in and wait for those there are."""


class Gateway:
    """The listeners of one process and how they stop.

    Args:
        config: The gateway's settings.
        handed: Listening sockets that somebody else opened, HTTP first; opened here when None.
        waits: Whether to accept only when calls can be answered, since others answer meanwhile.
        internal: The internal port; None when it is not served.
    """

    def __init__(
        self,
        config: GatewayConfig,
        handed: list[socket.socket] | None = None,
        *,
        waits: bool = False,
        internal: FurtherPort | None = None,
    ) -> None:
        self._config = config
        self._internal = internal
        self._handed = handed
        self._waits = waits
        self._router = Router()
        self._board: HealthBoard | None = None
        self._aio: AioDoor | None = None
        self._sockets: list[socket.socket] = []
        self._server: h2corn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._accepting = asyncio.Event()
        self.http_port = 0
        self.grpc_port = 0

    async def start(self) -> None:
        """Listen on both ports; with the grpc.aio door, its port opens in ``open_doors``.

        Raises:
            PortInUseError: A port is taken; nothing listens then.
        """
        config = self._config
        if self._internal is not None:
            self._internal.bind()
        if self._handed is not None:
            self._sockets += self._handed
        else:
            self._listen()
        self.http_port, self.grpc_port = (one.getsockname()[1] for one in self._sockets)
        if config.grpc_server == "grpcio":
            self._sockets.pop().close()
        if not self._waits:
            await self._accept()
        _LOG.info("listening", bind=config.bind, http_port=self.http_port, grpc_port=self.grpc_port)

    async def open_doors(self, chain: Chain, http_app: AsgiApp, board: HealthBoard) -> None:
        """Let calls in; readiness follows ``board``."""
        self._board = board
        if self._config.grpc_server == "grpcio":
            self._aio = AioDoor(chain)
            await self._aio.start(self._config.bind, self.grpc_port)
        self._router.grpc = GrpcDoor(chain)
        self._router.http = http_app
        if self._internal is not None:
            await self._internal.open(chain)
        board.unblock("starting")
        if self._server is None:
            await self._accept()
        _LOG.info("ready", services=chain.table.services())

    async def stop(self) -> None:
        """Not ready at once; then stop accepting, let calls finish, cancel what is left."""
        if self._board is not None:
            self._board.block("draining")
        _LOG.info("draining")
        await asyncio.sleep(self._config.drain_delay)
        if self._board is not None:
            # Who would be sent away before would come back to this process.
            self._board.block("stopping")
        waits: list[Awaitable[None]] = []
        if self._aio is not None:
            waits.append(self._aio.stop(self._config.drain_timeout))
        if self._internal is not None:
            waits.append(self._internal.stop())
        if self._server is not None and self._serving is not None:
            self._server.shutdown()
            self._refuse_connections()
            waits.append(self._served(self._serving))
        await asyncio.gather(*waits)
        self._close_sockets()

    async def wait_failed(self) -> None:
        """Return when the server ends by itself, which it never should."""
        await self._accepting.wait()
        if self._serving is not None:
            await asyncio.wait({self._serving})

    def _listen(self) -> None:
        config = self._config
        try:
            self._sockets.append(listen(config.bind, config.http_port, "COHORTLENS_HTTP_PORT"))
            self._sockets.append(listen(config.bind, config.grpc_port, "COHORTLENS_GRPC_PORT"))
        except PortInUseError:
            self._close_sockets()
            raise

    async def _accept(self) -> None:
        self._server = asgi_server(
            self._router, self._sockets, self._config.drain_timeout, **_tls(self._config)
        )
        self._serving = asyncio.create_task(self._server.serve())
        await self._server.wait_started()
        self._accepting.set()

    async def _served(self, serving: asyncio.Task[None]) -> None:
        try:
            await serving
        except RuntimeError as error:
            _LOG.warning("drain_incomplete", exc_info=error)

    def _refuse_connections(self) -> None:
        """Let nobody wait for a process that accepts no more.

        The server keeps its copies of the sockets open until it ends, and the kernel goes on taking
        connections for them, which would be reset then. Sockets of several processes are left alone, since
        the others accept.
        """
        if self._handed is None:
            for one in self._sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _close_sockets(self) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.close()
        self._sockets.clear()


def _tls(config: GatewayConfig) -> dict[str, Any]:
    files = config.tls_files()
    return {} if files is None else {"certfile": files[0], "keyfile": files[1]}


async def _grpc_starting(_scope: Scope, _receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"application/grpc"), *status_headers(CallFailed(_starting(), ""))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _http_starting(scope: Scope, _receive: Any, send: Any) -> None:
    alive = scope["path"] == "/livez"
    fault: CohortLensError = _starting()
    body = b'{"status":"ok"}' if alive else _problem(fault)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if not alive:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": 200 if alive else 503, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _starting() -> Unavailable:
    return Unavailable("the gateway is starting; try again soon", reason="STARTING", retry_delay_s=1)


def _problem(fault: CohortLensError) -> bytes:
    details = (
        '[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"STARTING",'
        '"domain":"cohortlens","metadata":{}}]'
    )
    return f'{{"code":{int(fault.code)},"message":"{fault.message}","details":{details}}}'.encode()
