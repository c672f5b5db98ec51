"""The internal port: gRPC for programs of ours and of tenants, each with a client certificate (mTLS).

Off unless ``COHORTLENS_INTERNAL_PORT`` is set. The TLS stack proves the certificate against the authority of
the settings; the chain then lets in whoever the certificate names as a service account, and nobody else.
There is no reflection here. New files of certificates are taken up without a restart: the next connections
meet a new server on the same socket, those there are end at their own pace.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h2corn

from cohortlens.core.telemetry import get_logger
from gateway.config import GatewayConfig
from gateway.grpc.asgi import GrpcDoor
from gateway.grpc.server import BACKLOG, AsgiApp, PortInUseError, Scope, asgi_server, family_of
from gateway.interceptors.chain import Chain
from gateway.servicers import reflection

_LOG = get_logger(__name__)
_LOOK_EVERY_S = 2.0


@dataclass(frozen=True)
class TlsFiles:
    """Files of the internal port, PEM.

    Attributes:
        authority: Authority of the callers' certificates.
        certificate: The gateway's certificate.
        key: Its private key.
    """

    authority: Path
    certificate: Path
    key: Path

    def edition(self) -> tuple[tuple[int, int, int], ...] | None:
        """What changes when a file is replaced; None while one cannot be read."""
        try:
            found = [path.stat() for path in (self.authority, self.certificate, self.key)]
        except OSError:
            return None
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)


class _Running(NamedTuple):
    """A server and its work."""

    server: h2corn.Server
    serving: asyncio.Task[None]


class InternalListener:
    """The internal port of one process.

    Args:
        files: Certificates.
        host: Address to listen on.
        port: Port; 0 for any free one.
        drain_timeout_s: Time for calls under way when the port closes.
        is_shared: Whether other processes of the gateway listen on the same port.

    Attributes:
        port: The port, once ``bind`` has returned.
    """

    def __init__(
        self, files: TlsFiles, host: str, port: int, drain_timeout_s: float, *, is_shared: bool = False
    ) -> None:
        self._files = files
        self._host = host
        self._drain_timeout_s = drain_timeout_s
        self._is_shared = is_shared
        self._socket: socket.socket | None = None
        self._running: _Running | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self.port = port

    def bind(self) -> None:
        """Take the port without listening yet.

        Raises:
            PortInUseError: Another process has it.
        """
        one = socket.socket(family_of(self._host), socket.SOCK_STREAM)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._is_shared:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((self._host, self.port))
        except OSError as error:
            one.close()
            raise self._taken(error) from error
        self._socket, self.port = one, one.getsockname()[1]

    async def open(self, chain: Chain) -> None:
        """Let calls in.

        Raises:
            PortInUseError: Another process has begun to listen on the port meanwhile.
        """
        assert self._socket is not None
        try:
            self._socket.listen(BACKLOG)
        except OSError as error:
            raise self._taken(error) from error
        door = GrpcDoor(chain, certificate=client_certificate, hidden=reflection.SERVICES)
        edition = self._files.edition()
        self._running = await self._served(door)
        self._watch = asyncio.create_task(self._follow_files(door, edition))
        _LOG.info("listening_internal", bind=self._host, port=self.port)

    async def stop(self) -> None:
        """Stop accepting, let calls finish, cancel what is left."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        if self._running is not None:
            self._retire(self._running)
        if self._ending:
            await asyncio.wait(self._ending)
        if self._socket is not None:
            self._socket.close()

    async def _served(self, application: AsgiApp) -> _Running:
        assert self._socket is not None
        server = asgi_server(
            application,
            [self._socket],
            self._drain_timeout_s,
            certfile=self._files.certificate,
            keyfile=self._files.key,
            ca_certs=self._files.authority,
            cert_reqs="required",
            http1=False,
        )
        serving = asyncio.create_task(server.serve())
        try:
            await server.wait_started()
        except BaseException:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            raise
        return _Running(server, serving)

    async def _follow_files(self, door: GrpcDoor, edition: object) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            found = self._files.edition()
            if found is None or found == edition:
                continue
            edition = found
            try:
                new = await self._served(door)
            except (ValueError, RuntimeError, OSError) as error:
                # Half-written files; the port goes on with those it has until they change again.
                _LOG.error("internal_certificates_refused", detail=str(error))
                continue
            old, self._running = self._running, new
            if old is not None:
                self._retire(old)
            _LOG.info("internal_certificates_changed")

    def _retire(self, running: _Running) -> None:
        async def end() -> None:
            running.server.shutdown()
            with suppress(RuntimeError):
                await running.serving

        task = asyncio.create_task(end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _taken(self, error: OSError) -> Exception:
        if error.errno != errno.EADDRINUSE:
            return error
        return PortInUseError(self._host, self.port, "COHORTLENS_INTERNAL_PORT")


def internal_listener(config: GatewayConfig, *, is_shared: bool) -> InternalListener | None:
    """The internal port as the settings want it; None when they do not.

    Args:
        config: The gateway's settings, checked.
        is_shared: Whether other processes of the gateway listen on the same port.
    """
    files = config.internal_files()
    if files is None or config.internal_port is None:
        return None
    return InternalListener(
        TlsFiles(*files), config.bind, config.internal_port, config.drain_timeout, is_shared=is_shared
    )


def client_certificate(scope: Scope) -> str:
    """The certificate that the TLS stack proved for a connection, PEM; empty when it has none."""
    extensions: Any = scope.get("extensions") or {}
    chain = (extensions.get("tls") or {}).get("client_cert_chain") or ("",)
    return str(chain[0])
