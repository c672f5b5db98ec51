"""The connection: bytes to a method and back over grpc.aio. The only module that imports grpc."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio

from cohortlens.client.errors import ApiError, api_error
from cohortlens.client.methods import Metadata

_DETAILS = "grpc-status-details-bin"
_MIB = 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", 16 * _MIB),
    ("grpc.max_send_message_length", 4 * _MIB),
    # The server refuses pings more often than each 10 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Repeats are decided in one place: retries.py.
    ("grpc.enable_retries", 0),
)
Seen = Callable[[Mapping[str, str]], None]
"""Takes the metadata that comes before the first message of an answer."""


@dataclass(frozen=True)
class Tls:
    """How the connection is encrypted.

    Attributes:
        authority: File with the certificates (PEM) that may sign the server's; the public ones when None.
        certificate: File with the client's own certificate (PEM), for a server that asks for one.
        key: File with its private key (PEM).
        server_name: Name to expect in the server's certificate when it is not the target's host.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = field(default=None, repr=False)
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key of Tls belong together: give both or neither")


class Wire(Protocol):
    """Carries bytes to a method; what fails is an ApiError."""

    async def unary(
        self, path: str, request: bytes, timeout_s: float, metadata: Metadata, seen: Seen
    ) -> bytes:
        """One request, one reply."""

    def stream(
        self, path: str, request: bytes, timeout_s: float, metadata: Metadata, seen: Seen
    ) -> AsyncIterator[bytes]:
        """One request, replies as they come."""

    async def upload(
        self, path: str, requests: AsyncIterator[bytes], timeout_s: float, metadata: Metadata, seen: Seen
    ) -> bytes:
        """Requests, then one reply."""

    def converse(
        self, path: str, requests: AsyncIterator[bytes], timeout_s: float, metadata: Metadata, seen: Seen
    ) -> AsyncIterator[bytes]:
        """Requests and replies side by side."""

    async def close(self) -> None:
        """Give up what is under way and close the connection."""


def is_loopback(target: str) -> bool:
    """Whether a target is on this machine: ``localhost``, a loopback address, a Unix socket."""
    if target.startswith("unix:"):
        return True
    host = target.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class GrpcWire:
    """A grpc.aio channel, opened at the first call so that it belongs to the loop that calls.

    Args:
        target: ``host:port``.
        tls: Encryption; None for none.
        user_agent: Name and version of the program.
    """

    def __init__(self, target: str, tls: Tls | None, user_agent: str) -> None:
        self._target, self._tls = target, tls
        self._options = [*_OPTIONS, ("grpc.primary_user_agent", user_agent)]
        if tls is not None and tls.server_name is not None:
            self._options.append(("grpc.ssl_target_name_override", tls.server_name))
        self._channel: grpc.aio.Channel | None = None

    def _opened(self) -> Any:
        """The channel; Any, since its stubs cannot say that messages are bytes."""
        if self._channel is None:
            if self._tls is None:
                self._channel = grpc.aio.insecure_channel(self._target, options=self._options)
            else:
                credentials = grpc.ssl_channel_credentials(
                    *(_read(path) for path in (self._tls.authority, self._tls.key, self._tls.certificate))
                )
                self._channel = grpc.aio.secure_channel(self._target, credentials, options=self._options)
        return self._channel

    async def unary(
        self, path: str, request: bytes, timeout_s: float, metadata: Metadata, seen: Seen
    ) -> bytes:
        """One request, one reply."""
        call = self._opened().unary_unary(path)(request, timeout=timeout_s, metadata=_sent(metadata))
        return await _replied(call, seen)

    async def upload(
        self, path: str, requests: AsyncIterator[bytes], timeout_s: float, metadata: Metadata, seen: Seen
    ) -> bytes:
        """Requests, then one reply."""
        call = self._opened().stream_unary(path)(requests, timeout=timeout_s, metadata=_sent(metadata))
        return await _replied(call, seen)

    async def stream(
        self, path: str, request: bytes, timeout_s: float, metadata: Metadata, seen: Seen
    ) -> AsyncIterator[bytes]:
        """One request, replies as they come."""
        call = self._opened().unary_stream(path)(request, timeout=timeout_s, metadata=_sent(metadata))
        async for reply in _replies(call, seen):
            yield reply

    async def converse(
        self, path: str, requests: AsyncIterator[bytes], timeout_s: float, metadata: Metadata, seen: Seen
    ) -> AsyncIterator[bytes]:
        """Requests and replies side by side."""
        call = self._opened().stream_stream(path)(requests, timeout=timeout_s, metadata=_sent(metadata))
        async for reply in _replies(call, seen):
            yield reply

    async def close(self) -> None:
        """Give up what is under way and close the connection."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None


def _sent(metadata: Metadata) -> grpc.aio.Metadata:
    return grpc.aio.Metadata(*metadata)


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


async def _replied(call: Any, seen: Seen) -> bytes:
    try:
        reply: bytes = await call
        seen(_texts(await call.initial_metadata()))
    except grpc.aio.AioRpcError as error:
        raise _failure(error) from None
    return reply


async def _replies(call: Any, seen: Seen) -> AsyncIterator[bytes]:
    try:
        seen(_texts(await call.initial_metadata()))
        async for reply in call:
            yield reply
    except grpc.aio.AioRpcError as error:
        raise _failure(error) from None
    finally:
        # A reader that stops early must not leave the server working for it.
        call.cancel()


def _texts(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def _failure(error: grpc.aio.AioRpcError) -> ApiError:
    status = next((value for key, value in error.trailing_metadata() or () if key == _DETAILS), None)
    details = status if isinstance(status, bytes) else None
    return api_error(error.code().name, error.details() or "", details)
