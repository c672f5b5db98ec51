"""The frame socket of a replica: the calls of ``InferenceService`` for callers on the same host.

Small calls are scored where they are read, on the event loop, without a task or a copy of a message; the rest
run as tasks. The folder is 0700, the socket 0600, and the kernel tells whose process is at the other end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from cohortlens.contracts.frames import FrameProtocol, Head, Method, greeting, waited_s
from cohortlens.core.errors import Code, DeadlineExceeded, InvalidArgument, Unavailable
from cohortlens.internal.v1 import inference_pb2 as pb
from workers.deployments import codec
from workers.deployments.inference import Inference
from workers.deployments.server import told

logger = logging.getLogger(__name__)

BACKLOG = 128
_CREDENTIALS = struct.Struct("3i")
_REQUESTS: dict[int, Any] = {
    Method.SCORE: pb.ScoreRequest,
    Method.EXPLAIN: pb.ExplainRequest,
    Method.LOAD_MODEL: pb.LoadModelRequest,
    Method.GET_STATUS: pb.GetStatusRequest,
}
_SCORE, _CANCEL = int(Method.SCORE), int(Method.CANCEL)


class FrameServer:
    """Listens on one socket.

    Args:
        inference: Answers the calls.
        path: The socket.

    Attributes:
        faults: Connections closed for what they sent.
    """

    def __init__(self, inference: Inference, path: Path) -> None:
        self.inference = inference
        self.path = path
        self.faults = 0
        self.draining = False
        self.connections: set[FrameConnection] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The socket cannot be made.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self.path))
            # Before it listens nobody can connect, so nobody is let in before this.
            self.path.chmod(0o600)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(
                lambda: FrameConnection(self), sock=listener, backlog=BACKLOG
            )
        except BaseException:
            listener.close()
            raise

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, let those under way end for at most ``grace_s`` seconds, remove the socket."""
        self.draining = True
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = {task for connection in self.connections for task in connection.tasks.values()}
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for connection in list(self.connections):
            connection.close()
        self.path.unlink(missing_ok=True)


class FrameConnection(FrameProtocol):
    """One caller.

    Args:
        server: Whose connection it is.
    """

    def __init__(self, server: FrameServer) -> None:
        super().__init__()
        self._server = server
        self._inference = server.inference
        self._greeted = False
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``FrameProtocol``; a process of another user is turned away."""
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        _, uid, _ = _CREDENTIALS.unpack(
            peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        if uid != os.getuid():
            self.refuse(f"a process of user {uid}")
            return
        self._server.connections.add(self)

    def close(self) -> None:
        """Hang up after what was written is sent."""
        if self.transport is not None:
            self.transport.close()

    def pause_writing(self) -> None:
        """See ``FrameProtocol``; who does not read answers may not send more calls."""
        super().pause_writing()
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """See ``FrameProtocol``."""
        super().resume_writing()
        if self.transport is not None:
            self.transport.resume_reading()

    def frame(self, head: Head, body: memoryview) -> None:
        """See ``FrameProtocol``."""
        if head.status:
            self.refuse("an answer instead of a call")
        elif not self._greeted:
            self._greet(head, body)
        elif head.method == _CANCEL:
            if task := self.tasks.get(head.call):
                task.cancel()
        elif head.method in _REQUESTS:
            self._answer(head, body)
        else:
            self.refuse("a second greeting")

    def malformed(self, what: str) -> None:
        """See ``FrameProtocol``."""
        self._server.faults += 1
        logger.error("closed a connection to the frame socket that sent %s", what)

    def ended(self) -> None:
        """See ``FrameProtocol``; nobody waits for what is under way."""
        self._server.connections.discard(self)
        for task in list(self.tasks.values()):
            task.cancel()

    def _greet(self, head: Head, body: memoryview) -> None:
        if head.method != Method.HELLO:
            self.refuse("a call ahead of the greeting")
        elif bytes(body) != greeting(self._inference.replica):
            text = f"REPLICA_MISMATCH: this is replica {self._inference.replica}"
            self.send(Method.HELLO, head.call, (text.encode(),), status=Code.FAILED_PRECONDITION)
            self.close()
        else:
            self._greeted = True
            self.send(Method.HELLO, head.call)

    def _answer(self, head: Head, body: memoryview) -> None:
        waited = waited_s(head.sent_us, head.left_ms / 1000 + 1)
        try:
            if self._server.draining:
                raise Unavailable("the replica stops", reason="DRAINING")
            if waited * 1000 >= head.left_ms:
                raise DeadlineExceeded("the deadline passed before the call was read")
            request = _decoded(head.method, body)
            if head.method == _SCORE:
                found = self._inference.score_now(request, waited)
                if found is not None:
                    self.send(Method.SCORE, head.call, codec.score_response(found))
                    return
        except Exception as error:
            self._fail(head, error)
            return
        if head.call in self.tasks:
            self.refuse(f"call {head.call} twice")
            return
        task = asyncio.create_task(self._work(head, request, waited))
        self.tasks[head.call] = task
        # Not a finally of the task: one that is cancelled before its first step never runs.
        task.add_done_callback(lambda _: self.tasks.pop(head.call, None))

    async def _work(self, head: Head, request: Any, waited: float) -> None:
        try:
            parts = await self._result(head.method, request, waited)
            await self.writable()
        except Exception as error:
            self._fail(head, error)
        else:
            self.send(Method(head.method), head.call, parts)

    async def _result(self, method: int, request: Any, waited: float) -> list[bytes | memoryview]:
        if method == Method.SCORE:
            return codec.score_response(await self._inference.score(request, waited))
        if method == Method.EXPLAIN:
            return [codec.explanation(await self._inference.explain(request, waited)).SerializeToString()]
        if method == Method.LOAD_MODEL:
            load_ms = await self._inference.load(request.artifact_digest)
            return [pb.LoadModelResponse(load_ms=load_ms).SerializeToString()]
        return [(await self._inference.status(request)).SerializeToString()]

    def _fail(self, head: Head, error: Exception) -> None:
        code, details = told(error)
        self.send(Method(head.method), head.call, (details.encode(),), status=code)


def _decoded(method: int, body: memoryview) -> Any:
    kind = _REQUESTS[method]
    try:
        return kind.FromString(body)
    except DecodeError:
        raise InvalidArgument(f"the body is no {kind.__name__}", reason="MESSAGE_INVALID") from None
