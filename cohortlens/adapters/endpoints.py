"""One replica as a caller sees it: its lanes, what it has under way, what it holds, whether it answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from cohortlens.adapters.frame_lane import FrameLane
from cohortlens.adapters.lanes import GrpcLane, Lane, LaneFault
from cohortlens.contracts.frames import Method
from cohortlens.contracts.hosts import host_identity
from cohortlens.core.errors import Code
from cohortlens.core.telemetry import get_logger

CONNECT_S = 1.0
"""Seconds that a socket may take to answer the first greeting."""

PATIENCE_S = 0.25
"""Seconds without any answer, with calls under way, after which a replica is asked whether it lives."""

PING_S = 0.75
"""Seconds it may take to say so; its own event loop answers, even while a model is loaded."""

_AGAIN_FIRST_S, _AGAIN_MOST_S = 0.5, 10.0
_LOOPBACK = ("127.", "localhost:", "[::1]:")
SILENT = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED}
"""Codes that a transport gives without the replica's doing."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class Registered:
    """What a replica's record says.

    Attributes:
        deployment: Deployment it serves.
        replica: Its identifier.
        address: ``host:port`` of its gRPC server.
        frame_socket: Path of its frame socket; empty when it has none.
        host: Identity of its host; empty when it did not say.
        loaded: Digests of the models it holds.
    """

    deployment: str
    replica: str
    address: str
    frame_socket: str = ""
    host: str = ""
    loaded: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others; a replica that moved is another one."""
        return self.deployment, self.replica, self.address

    @property
    def is_near(self) -> bool:
        """Whether it runs on this host."""
        return bool(self.host) and self.host == host_identity()

    @property
    def is_reachable(self) -> bool:
        """False for an address of another host's loopback: whoever listens there on this one is not it."""
        return not self.host or self.is_near or not self.address.startswith(_LOOPBACK)


def registered(text: str | bytes | None) -> Registered | None:
    """The record in a key's value; None when there is none or it cannot be read."""
    if text is None:
        return None
    try:
        record: dict[str, Any] = json.loads(text)
        found = Registered(
            deployment=str(record["deployment"]),
            replica=str(record["replica"]),
            address=str(record["address"]),
            frame_socket=str(record.get("frame_socket") or ""),
            host=str(record.get("host") or ""),
            loaded=tuple(map(str, record.get("loaded") or ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        _log.warning("a replica's registration cannot be read")
        return None
    return found if all(found.key) else None


class Endpoint:
    """One replica and the lanes to it.

    Args:
        record: What it registered.
        open_channel: Opens a gRPC channel to an address.

    Attributes:
        deployment: Deployment it serves.
        replica: Its identifier.
        address: ``host:port`` of its gRPC server.
        channel: The gRPC channel.
        loaded: Digests of the models it is known to hold.
        loading: Digests of the models it was asked to load.
        asked: Whether it is being asked if it lives.
        rows_in_flight: Rows that this process has under way there.
        failures: UNAVAILABLE answers in a row.
        answered_at: Monotonic time of its last answer to anything.
        probe: Runs while no calls may go there, ends when they may.
    """

    def __init__(self, record: Registered, open_channel: Callable[[str], grpc.aio.Channel]) -> None:
        self.deployment, self.replica, self.address = record.key
        self._open_channel = open_channel
        self.channel = open_channel(record.address)
        self.loaded = set(record.loaded)
        self.loading: set[str] = set()
        self.asked = False
        self.rows_in_flight = 0
        self.failures = 0
        self.answered_at = 0.0
        self.probe: asyncio.Task[None] | None = None
        self._path = record.frame_socket if record.is_near else ""
        self._grpc = GrpcLane(self.channel)
        self._frames: FrameLane | None = None
        self._calls = 0
        self._busy_since = 0.0
        self._frames_due_at = 0.0
        self._frames_pause = _AGAIN_FIRST_S
        self._connecting = False

    @property
    def usable(self) -> bool:
        """Whether calls may go there."""
        return self.probe is None

    @property
    def has_frame_socket(self) -> bool:
        """Whether it registered a frame socket that this process could use."""
        return bool(self._path)

    @property
    def lane(self) -> Lane:
        """Frames while they work, else gRPC."""
        frames = self._frames
        return frames if frames is not None and frames.open else self._grpc

    @property
    def uses_frames(self) -> bool:
        """Whether calls travel as frames now."""
        return self.lane is not self._grpc

    @property
    def frames_due(self) -> bool:
        """Whether it is time to try the frame socket again."""
        waits = bool(self._path) and not self.uses_frames and not self._connecting
        return waits and time.monotonic() >= self._frames_due_at

    @property
    def is_silent(self) -> bool:
        """Whether calls wait and nothing was heard for longer than usual."""
        waits = self._calls > 0 and not self.asked and self.usable
        return waits and time.monotonic() - max(self._busy_since, self.answered_at) > PATIENCE_S

    def began(self, rows: int) -> None:
        """A call of so many rows goes there."""
        if not self._calls:
            self._busy_since = time.monotonic()
        self._calls += 1
        self.rows_in_flight += rows

    def ended(self, rows: int, *, answered: bool) -> None:
        """A call of so many rows is over."""
        self._calls -= 1
        self.rows_in_flight -= rows
        if answered:
            self.failures = 0
            self.answered_at = time.monotonic()

    async def connect_frames(self) -> None:
        """Connect the frame socket when it is due; without success gRPC serves until the next attempt."""
        if not self.frames_due:
            return
        self._connecting = True
        try:
            self._frames = await FrameLane.connect(self._path, self.replica, CONNECT_S)
        except (OSError, TimeoutError, LaneFault) as error:
            self._frames_due_at = time.monotonic() + self._frames_pause
            self._frames_pause = min(_AGAIN_MOST_S, 2 * self._frames_pause)
            _log.warning(
                "the frame socket cannot be used, calls go over gRPC",
                deployment=self.deployment,
                replica=self.replica,
                error=str(error),
            )
        else:
            self._frames_pause = _AGAIN_FIRST_S
        finally:
            self._connecting = False

    async def answers(self) -> bool:
        """Whether the replica says anything at all within ``PING_S``."""
        try:
            await self.lane.call(Method.GET_STATUS, (), PING_S)
        except LaneFault as fault:
            if fault.code in SILENT:
                return False
        self.answered_at = time.monotonic()
        return True

    async def reopen(self) -> None:
        """Open the gRPC channel anew: an open one goes on showing the certificate it began with."""
        old, self.channel = self.channel, self._open_channel(self.address)
        self._grpc = GrpcLane(self.channel)
        await old.close()

    def abort(self) -> None:
        """End the calls under way as UNAVAILABLE, on both lanes."""
        if self._frames is not None:
            self._frames.abort()
        self._grpc.abort()

    async def retire(self, grace_s: float) -> None:
        """Close the lanes once their calls have ended: a draining replica still answers what it took."""
        if self._frames is not None:
            await self._frames.retire(grace_s)
        await self.channel.close(grace=grace_s)

    async def close(self) -> None:
        """Close the lanes at once."""
        if self._frames is not None:
            self._frames.close()
        await self.channel.close()
