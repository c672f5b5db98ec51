"""Where a gRPC server of the worker side listens and whom it lets in.

Loopback needs nothing more: only processes of this host reach it. Any other address takes TLS of both sides:
the caller shows a certificate of the same authority that holds the callers' name, since a worker's own
certificate must not be enough to call another worker.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from cohortlens.core.tls import MutualTls
from workers.deployments.loopback import LOOPBACK

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listen:
    """Where to listen.

    Attributes:
        host: Address of an interface; the kernel chooses the port.
        tls: TLS of both sides; None on loopback.
    """

    host: str = LOOPBACK
    tls: MutualTls | None = None

    def interceptors(self) -> list[grpc.aio.ServerInterceptor]:
        """What every call passes."""
        return [] if self.tls is None else [CallerCheck(self.tls.caller_name)]

    def add_port(self, server: grpc.aio.Server) -> str:
        """Open the port of a server that has not been started.

        Returns:
            ``host:port``.

        Raises:
            RuntimeError: The address cannot be listened on.
            OSError: A file of TLS cannot be read.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.tls is None:
            port = server.add_insecure_port(f"{host}:0")
        else:
            port = server.add_secure_port(f"{host}:0", _credentials(self.tls))
        return f"{host}:{port}"


class CallerCheck(grpc.aio.ServerInterceptor):
    """Refuses callers over TLS whose certificate does not hold the callers' name.

    Args:
        name: That name.
    """

    def __init__(self, name: str) -> None:
        self._name = name.encode()

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Called by gRPC for each call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        codecs = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._one(handler.unary_unary), *codecs)
        return grpc.unary_stream_rpc_method_handler(self._many(handler.unary_stream), *codecs)

    def _one(self, answer: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
        async def checked(request: Any, context: Any) -> Any:
            await self._check(context)
            return await answer(request, context)

        return checked

    def _many(
        self, answer: Callable[[Any, Any], AsyncIterator[Any]]
    ) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def checked(request: Any, context: Any) -> AsyncIterator[Any]:
            await self._check(context)
            async for message in answer(request, context):
                yield message

        return checked

    async def _check(self, context: Any) -> None:
        shown = context.auth_context()
        # The Unix socket has no TLS; its folder lets nobody else in.
        if shown.get("transport_security_type") != [b"ssl"]:
            return
        names = shown.get("x509_subject_alternative_name", [])
        if self._name not in names:
            logger.error("refused %s: its certificate holds %s", context.peer(), names)
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                f"CALLER_UNKNOWN: the certificate does not hold the name {self._name.decode()}",
            )


def _credentials(tls: MutualTls) -> grpc.ServerCredentials:
    """Credentials that follow the files: a renewed certificate is shown without a restart."""

    def configuration(files: tuple[bytes, bytes, bytes]) -> grpc.ServerCertificateConfiguration:
        authority, certificate, key = files
        return grpc.ssl_server_certificate_configuration([(key, certificate)], authority)

    last = tls.read()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal last
        try:
            now = tls.read()
        except OSError as error:
            logger.warning("the certificate cannot be read again, the last one stays: %s", error)
            return None
        if now == last:
            return None
        last = now
        return configuration(now)

    # The stubs do not know that None says "as before".
    fetch: Any = renewed
    return grpc.dynamic_ssl_server_credentials(configuration(last), fetch, require_client_authentication=True)
