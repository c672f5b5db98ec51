"""Frames between the control plane and a replica on the same host: a fixed header, then a body.

The body of a call is the protobuf message that ``internal.v1`` names, so that gRPC and frames are two ways to
say the same. Both sides build on ``FrameProtocol``; calls of one connection are told apart by their number.
Layout and rules: ``docs/adr/0017-frames-between-gateway-and-replica.md``.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias, cast

HEADER = struct.Struct("<IIIIBBH")
"""The fields of ``Head``, little-endian."""

VERSION = 1
"""Version of the layout; the first byte of a greeting."""

MAX_BODY_BYTES = 64 * 2**20
"""Most bytes of one body; the same as gRPC may carry."""

MAX_TIME_MS = 2**32 - 1
_CLOCK = 2**32
_BUFFER_BYTES = 256 * 1024
_MAX_STATUS = 16

Part: TypeAlias = "bytes | bytearray | memoryview"


class Method(IntEnum):
    """What a frame is about; an answer repeats the method of its call."""

    HELLO = 1
    SCORE = 2
    EXPLAIN = 3
    LOAD_MODEL = 4
    GET_STATUS = 5
    CANCEL = 6


class Head(NamedTuple):
    """What stands ahead of a body.

    Attributes:
        length: Bytes of the body.
        call: Number that the caller gave; an answer repeats it.
        left_ms: Milliseconds until the caller's deadline; 0 in an answer.
        sent_us: ``clock_us`` at the sender.
        method: What it is about, a ``Method``.
        status: Canonical code of an answer; 0 in a call.
        zero: 0.
    """

    length: int
    call: int
    left_ms: int
    sent_us: int
    method: int
    status: int
    zero: int

    @property
    def is_sound(self) -> bool:
        """Whether a frame can begin so."""
        return (
            self.length <= MAX_BODY_BYTES
            and self.method in _METHODS
            and self.status <= _MAX_STATUS
            and self.zero == 0
        )


_METHODS = frozenset(map(int, Method))


def clock_us() -> int:
    """Microseconds of the host's monotonic clock, cut to 32 bits: all processes of a host read the same."""
    return time.monotonic_ns() // 1000 % _CLOCK


def waited_s(sent_us: int, most_s: float) -> float:
    """Seconds since ``sent_us``; 0 when they exceed ``most_s``, since then the clocks disagree."""
    seconds = (clock_us() - sent_us) % _CLOCK / 1e6
    return seconds if seconds <= most_s else 0.0


def greeting(replica: str) -> bytes:
    """Body of the first frame of a connection: version, then whom the caller wants."""
    return bytes((VERSION,)) + replica.encode()


class FrameProtocol(asyncio.BufferedProtocol):
    """Cuts what arrives into frames and sends frames; subclasses answer ``frame`` and ``ended``.

    The kernel writes into one buffer that is reused; it grows for a frame that does not fit, and shrinks.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._writable = asyncio.Event()
        self._writable.set()

    def frame(self, head: Head, body: memoryview) -> None:
        """Take a frame.

        Args:
            head: What it is.
            body: Message, or ``REASON: text`` when the status is not 0; good until this returns.
        """
        raise NotImplementedError

    def malformed(self, what: str) -> None:
        """Bytes that are no frame came; the connection is being closed."""
        raise NotImplementedError

    def ended(self) -> None:
        """The connection is gone."""
        raise NotImplementedError

    def send(
        self, method: Method, call: int, parts: Sequence[Part] = (), *, status: int = 0, left_ms: int = 0
    ) -> None:
        """Send a frame whose body is the parts one after the other; nothing happens once the peer is gone."""
        if self.transport is None or self.transport.is_closing():
            return
        length = sum(map(len, parts))
        header = HEADER.pack(length, call, left_ms, clock_us(), method, status, 0)
        self.transport.write(b"".join((header, *parts)))

    async def writable(self) -> None:
        """Return once the peer keeps up with what is sent."""
        await self._writable.wait()

    def refuse(self, what: str) -> None:
        """Close the connection because of what the peer sent."""
        if self.transport is not None and not self.transport.is_closing():
            self.malformed(what)
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        # Not an isinstance: the transports of uvloop derive from none of asyncio's classes.
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Called by the event loop."""
        self._writable.set()
        self.ended()

    def pause_writing(self) -> None:
        """Called by the event loop."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self._writable.set()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Called by the event loop."""
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """Called by the event loop."""
        self._end += nbytes
        while self._end - self._start >= HEADER.size:
            head = Head._make(HEADER.unpack_from(self._buffer, self._start))
            if not head.is_sound:
                self.refuse(f"{head}")
                return
            first = self._start + HEADER.size
            if first + head.length > self._end:
                break
            self._start = first + head.length
            self.frame(head, self._view[first : self._start])
            if self.transport is None or self.transport.is_closing():
                return
        self._make_room()

    def _make_room(self) -> None:
        kept = self._end - self._start
        needed = HEADER.size
        if kept >= HEADER.size:
            needed += HEADER.unpack_from(self._buffer, self._start)[0]
        size = max(_BUFFER_BYTES, needed)
        if kept and size == len(self._buffer) and self._start + needed <= size and self._end < size:
            return
        if size != len(self._buffer):
            buffer = bytearray(size)
            buffer[:kept] = self._view[self._start : self._end]
            self._buffer, self._view = buffer, memoryview(buffer)
        elif kept and self._start:
            self._view[:kept] = bytes(self._view[self._start : self._end])
        self._start, self._end = 0, kept
