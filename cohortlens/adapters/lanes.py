"""How a call gets to one replica: the interface both lanes share, and the lane over gRPC.

A lane carries the protobuf messages of ``internal.v1`` as bytes. ``frame_lane`` is the other one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import grpc

from cohortlens.contracts.frames import MAX_BODY_BYTES, Method, Part
from cohortlens.core import tracing
from cohortlens.core.errors import Code

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_BODY_BYTES),
    ("grpc.max_receive_message_length", MAX_BODY_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
    # Two clients of one process must not share a connection: closing one would cut the other's calls.
    ("grpc.use_local_subchannel_pool", 1),
)
_NEVER_SENT = "failed to connect to all addresses"
"""What gRPC says of a call that found no connection; any other words may be of one that got through."""

_SERVICE = "/cohortlens.internal.v1.InferenceService"
_PATHS = {
    Method.SCORE: f"{_SERVICE}/Score",
    Method.EXPLAIN: f"{_SERVICE}/Explain",
    Method.LOAD_MODEL: f"{_SERVICE}/LoadModel",
    Method.GET_STATUS: f"{_SERVICE}/GetStatus",
}


class LaneFault(Exception):
    """A call ended without an answer.

    Attributes:
        code: Why.
        details: The replica's ``REASON: message``, or what the transport says.
        lost: Whether the replica may have begun the call and was not heard of again: the call itself may
            be what ended it.
    """

    def __init__(self, code: Code, details: str, *, lost: bool = False) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details
        self.lost = lost


class Lane(Protocol):
    """A way to one replica."""

    async def call(self, method: Method, parts: Sequence[Part], timeout: float) -> bytes:
        """Make a call; cancelling it cancels the work at the replica.

        Args:
            method: What to do.
            parts: The request's message; its bytes one part after the other.
            timeout: Seconds until the answer is of no use.

        Returns:
            The answer's message.

        Raises:
            LaneFault: There is none.
        """

    def abort(self) -> None:
        """End every call under way as UNAVAILABLE: the replica hangs."""


class GrpcLane:
    """Calls over a gRPC channel.

    Args:
        channel: The channel; its owner closes it.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._methods: dict[Method, Any] = {
            method: channel.unary_unary(path) for method, path in _PATHS.items()
        }
        self._calls: set[Any] = set()

    async def call(self, method: Method, parts: Sequence[Part], timeout: float) -> bytes:
        """See ``Lane``."""
        call = self._methods[method](b"".join(parts), timeout=timeout, metadata=tracing.metadata())
        self._calls.add(call)
        try:
            reply: bytes = await call
        except grpc.aio.AioRpcError as error:
            raise fault_of(error) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if call in self._calls and (task is None or task.cancelling()):
                call.cancel()
                raise
            # Not the caller's doing: cut off by ``abort``, or with the channel.
            raise LaneFault(Code.UNAVAILABLE, "the call was cut off", lost=True) from None
        finally:
            self._calls.discard(call)
        return reply

    def abort(self) -> None:
        """See ``Lane``."""
        calls, self._calls = self._calls, set()
        for call in calls:
            call.cancel()


def fault_of(error: grpc.aio.AioRpcError) -> LaneFault:
    """A gRPC status as a fault."""
    code, details = Code(error.code().value[0]), error.details() or ""
    is_lost = code is Code.UNAVAILABLE and not details.startswith(_NEVER_SENT) and not split(details)[0]
    return LaneFault(code, details, lost=is_lost)


def split(details: str) -> tuple[str, str]:
    """Reason and message of a replica's ``REASON: message``; the reason is empty when a transport speaks."""
    reason, _, message = details.partition(": ")
    if not message or not reason.replace("_", "").isalnum() or reason != reason.upper():
        return "", details
    return reason, message
