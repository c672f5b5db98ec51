"""The channel to the web3 sidecar: bearer token, deadline, and its refusals as errors of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from cohortlens.core import tracing
from cohortlens.core.errors import (
    Aborted,
    AlreadyExists,
    CohortLensError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from cohortlens.core.telemetry import get_logger
from cohortlens.core.tracing import Kind

Reply = TypeVar("Reply")
Metadata = tuple[tuple[str, str], ...]

_log = get_logger(__name__)
_RETRY_S = 2.0
_STATUS_KEY = "grpc-status-details-bin"
_MICROSECONDS = 1_000_000
_ERRORS: dict[grpc.StatusCode, type[CohortLensError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
}
_NOT_NOW = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class Web3Channel:
    """One channel for the three services of the sidecar.

    Args:
        target: ``host:port`` of the sidecar; empty when there is none, and every call is refused.
        token: The bearer token that both sides know.
        timeout_s: Deadline of a call, in seconds; the default is well above one batch of 500 signatures.
    """

    def __init__(self, target: str, token: str, *, timeout_s: float = 10.0) -> None:
        self._target = target
        self._metadata: Metadata = (("authorization", f"Bearer {token}"),)
        self._timeout_s = timeout_s
        self._channel: grpc.aio.Channel | None = None

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel, opened by the first use: it belongs to the event loop that runs then.

        Raises:
            Unavailable: WEB3_UNAVAILABLE: no sidecar is configured.
        """
        if not self._target:
            raise Unavailable(
                "This installation runs no web3 sidecar; set COHORTLENS_WEB3_ADDRESS.",
                reason="WEB3_UNAVAILABLE",
            )
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(
                self._target, options=(("grpc.max_receive_message_length", 16 * 1024 * 1024),)
            )
        return self._channel

    @property
    def metadata(self) -> Metadata:
        """Metadata of every call."""
        return self._metadata

    @property
    def timeout_s(self) -> float:
        """Deadline of a call, in seconds."""
        return self._timeout_s

    async def ask(self, method: Callable[..., Awaitable[Reply]], request: object) -> Reply:
        """Call a unary method.

        Args:
            method: A method of a stub on ``channel``.
            request: Its message.

        Raises:
            CohortLensError: What the sidecar refused, with its reason.
            Unavailable: WEB3_UNAVAILABLE: it does not answer in time.
        """
        if tracing.CURRENT.get():
            path = _path_of(method)
            with tracing.span(path[1:], Kind.CLIENT, tracing.rpc(path)):
                return await self._answer(method, request, (*self._metadata, *tracing.metadata()))
        return await self._answer(method, request, self._metadata)

    async def _answer(
        self, method: Callable[..., Awaitable[Reply]], request: object, metadata: Metadata
    ) -> Reply:
        try:
            return await method(request, timeout=self._timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from None

    async def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None


def _path_of(method: object) -> str:
    # A stub's method knows its path, but shows it nowhere.
    path = getattr(method, "_method", b"")
    return path.decode() if isinstance(path, bytes) else str(path)


def translate(error: grpc.aio.AioRpcError) -> CohortLensError:
    """A refusal of the sidecar as an error of ours: same code, same reason, its sentence for a person."""
    reason, metadata = _error_info(error)
    code, message = error.code(), error.details() or ""
    kind = _ERRORS.get(code)
    if kind is not None and reason:
        return kind(message, reason=reason, metadata=metadata)
    # RESOURCE_EXHAUSTED without a reason is said by gRPC: the sidecar works on as many calls as it takes.
    if code in _NOT_NOW:
        if reason:
            return Unavailable(message, reason=reason, metadata=metadata, retry_delay_s=_RETRY_S)
        return Unavailable(
            "The web3 sidecar does not answer; try again in a moment.",
            reason="WEB3_UNAVAILABLE",
            retry_delay_s=_RETRY_S,
        )
    _log.error("the web3 sidecar failed", code=code.name, reason=reason)
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return Internal(
            "the web3 sidecar refuses this process: COHORTLENS_WEB3_TOKEN must be the same for both",
            reason=reason or None,
        )
    return Internal("the web3 sidecar failed to answer", reason=reason or None)


def _error_info(error: grpc.aio.AioRpcError) -> tuple[str, dict[str, str]]:
    packed = dict(error.trailing_metadata()).get(_STATUS_KEY, b"")
    try:
        status = status_pb2.Status.FromString(packed if isinstance(packed, bytes) else packed.encode())
    except DecodeError:
        # Not the sidecar's own: something between us spoke.
        return "", {}
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason, dict(info.metadata)
    return "", {}


def at_second(seconds: int) -> datetime | None:
    """A time in seconds since 1970; None for 0, which says that there is none."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def at_microsecond(microseconds: int) -> datetime | None:
    """A time in microseconds since 1970; None for 0, which says that there is none."""
    if not microseconds:
        return None
    whole, rest = divmod(microseconds, _MICROSECONDS)
    return datetime.fromtimestamp(whole, UTC).replace(microsecond=rest)


def identifier(value: bytes) -> UUID:
    """A UUID of 16 bytes."""
    return UUID(bytes=value)
