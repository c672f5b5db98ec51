"""The lane to a replica of this host: frames on its Unix socket, many calls on one connection."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import Counter

from cohortlens.adapters.lanes import LaneFault
from cohortlens.contracts.frames import MAX_TIME_MS, FrameProtocol, Head, Method, Part, greeting
from cohortlens.core.errors import Code
from cohortlens.core.telemetry import REGISTRY, get_logger

FRAME_FAULTS = Counter(
    "inference_frame_faults_total", "Connections closed for bytes that are no frames", registry=REGISTRY
)
_CREDENTIALS = struct.Struct("3i")
_CALLS = 2**32
_log = get_logger(__name__)


class FrameLane(FrameProtocol):
    """Implements ``cohortlens.adapters.lanes.Lane``; made by ``connect``.

    Args:
        replica: Identifier of the replica at the other end.
    """

    def __init__(self, replica: str) -> None:
        super().__init__()
        self._replica = replica
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._last = 0
        self.closed = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether calls can be made."""
        return not self.closed.is_set()

    @staticmethod
    async def connect(path: str, replica: str, timeout: float) -> FrameLane:
        """Connect to a replica's socket and greet it.

        Args:
            path: The socket.
            replica: Identifier of the replica expected there.
            timeout: Seconds.

        Raises:
            OSError: The socket is not there, not ours, or nobody answers in time.
            LaneFault: Another replica answers, or one of another version.
        """
        own_socket(path)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout):
            _, lane = await loop.create_unix_connection(lambda: FrameLane(replica), path)
        try:
            lane.check_peer()
            await lane.call(Method.HELLO, (greeting(replica),), timeout)
        except BaseException:
            lane.close()
            raise
        return lane

    def check_peer(self) -> None:
        """Refuse a peer of another user.

        Raises:
            OSError: The process at the other end is not ours.
        """
        assert self.transport is not None
        peer = self.transport.get_extra_info("socket")
        _, uid, _ = _CREDENTIALS.unpack(
            peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        if uid != os.getuid():
            raise PermissionError(f"the process behind the socket is of user {uid}")

    async def call(self, method: Method, parts: Sequence[Part], timeout: float) -> bytes:
        """See ``Lane``."""
        if self.closed.is_set():
            raise LaneFault(Code.UNAVAILABLE, "the connection is closed")
        self._last = number = (self._last + 1) % _CALLS
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[number] = answer
        # A timer instead of asyncio.timeout: a call must cost microseconds here.
        timer = self._loop.call_later(timeout, self._expire, method, number)
        try:
            if not self._writable.is_set():
                await self.writable()
            self.send(method, number, parts, left_ms=max(1, min(MAX_TIME_MS, int(timeout * 1000))))
            return await answer
        except asyncio.CancelledError:
            if self._waiting.pop(number, None) is not None:
                self.send(Method.CANCEL, number)
            raise
        finally:
            timer.cancel()

    def abort(self) -> None:
        """See ``Lane``; the connection ends too, what it still held is of no use."""
        if self.transport is not None:
            self.transport.abort()
        self._fail("the replica hangs")

    def close(self) -> None:
        """Hang up; calls under way end as UNAVAILABLE."""
        if self.transport is not None:
            self.transport.close()
        self._fail("the connection is closed")

    async def retire(self, grace_s: float) -> None:
        """Hang up once the calls under way have ended, or after ``grace_s`` seconds."""
        if self._waiting:
            await asyncio.wait(list(self._waiting.values()), timeout=grace_s)
        self.close()

    def frame(self, head: Head, body: memoryview) -> None:
        """See ``FrameProtocol``; an answer that nobody waits for any more is dropped."""
        answer = self._waiting.pop(head.call, None)
        if answer is None or answer.done():
            return
        if head.status:
            answer.set_exception(LaneFault(Code(head.status), str(body, "utf-8", "replace")))
        else:
            answer.set_result(bytes(body))

    def malformed(self, what: str) -> None:
        """See ``FrameProtocol``."""
        FRAME_FAULTS.inc()
        _log.error("a replica sent what is no frame", replica=self._replica, found=what)

    def ended(self) -> None:
        """See ``FrameProtocol``."""
        self._fail("the replica hung up")

    def _fail(self, why: str) -> None:
        self.closed.set()
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(LaneFault(Code.UNAVAILABLE, why, lost=True))

    def _expire(self, method: Method, number: int) -> None:
        answer = self._waiting.pop(number, None)
        if answer is not None and not answer.done():
            self.send(Method.CANCEL, number)
            answer.set_exception(LaneFault(Code.DEADLINE_EXCEEDED, f"no answer to {method.name} in time"))


def own_socket(path: str) -> None:
    """Check that a path is a socket of this user.

    Raises:
        OSError: It is not; the message says why.
    """
    found = Path(path).lstat()
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(f"{path} is no socket")
    if found.st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to user {found.st_uid}")
