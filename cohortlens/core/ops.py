"""The ops listener of a process: ``/metrics``, ``/livez`` and ``/readyz``, on a port of its own.

It answers from threads of its own, so that it also answers while the event loop hangs, and then says so.
Standard library only: gateway, jobs and workers use the same one. Loopback unless a setting says otherwise.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cohortlens.core import telemetry
from cohortlens.core.telemetry import get_logger

HUNG_AFTER_S = 5.0
"""Seconds without a turn of the event loop after which a process no longer counts as alive."""

_TICK_S = 0.5
_ANSWER_S = 5.0
_AT_ONCE = 8
_LOG = get_logger(__name__)


class OpsPortInUseError(Exception):
    """The port of the ops listener is taken by another process."""

    reason = "PORT_IN_USE"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"PORT_IN_USE: {host}:{port} is taken; stop the process that listens there or set "
            "COHORTLENS_OPS_PORT to another port (jobs, workers and web3 take the next ones)"
        )


class Pulse:
    """Tells whether an event loop turns."""

    def __init__(self) -> None:
        self._turned_at = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Watch the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._turn()

    def beats(self) -> bool:
        """Whether the loop turned within the last seconds; asked from any thread."""
        return self._loop is None or time.monotonic() - self._turned_at < HUNG_AFTER_S

    def _turn(self) -> None:
        assert self._loop is not None
        self._turned_at = time.monotonic()
        self._loop.call_later(_TICK_S, self._turn)


class OpsListener:
    """Serves the three pages until closed.

    Args:
        host: Address to listen on.
        port: Port, 0 for any free one.
        handed: A listening socket that several processes share, instead of one of its own.

    Attributes:
        port: The port it listens on.
        missing: What keeps the process from being ready, by name; asked in another thread.
        page: Writes the metrics; asked in another thread.
        pulse: Whether the process is alive.

    Raises:
        OpsPortInUseError: The port is taken.
    """

    def __init__(self, host: str, port: int, handed: socket.socket | None = None) -> None:
        self.missing: Callable[[], list[str]] = lambda: ["process"]
        self.page: Callable[[], bytes] = telemetry.metrics_text
        self.pulse = Pulse()
        self._server = _Server(self, host, handed or ops_socket(host, port))
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="ops", daemon=True)
        self._thread.start()
        _LOG.info("ops_listening", bind=host, port=self.port)

    def follow(
        self, missing: Callable[[], Awaitable[list[str]]], page: Callable[[], Awaitable[bytes]] | None = None
    ) -> None:
        """Ask the running loop for readiness and, if given, for the metrics; watch that it turns."""
        loop = asyncio.get_running_loop()
        self.pulse.start()
        self.missing = lambda: _asked(loop, missing)
        if page is not None:
            self.page = lambda: _asked(loop, page)

    def close(self) -> None:
        """Stop to listen; answers under way may be cut."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_ANSWER_S)


def ops_socket(host: str, port: int) -> socket.socket:
    """A listening socket for one or several ops listeners.

    Raises:
        OpsPortInUseError: The port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host, port), family=family, backlog=64)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OpsPortInUseError(host, port) from error
        raise
    return made


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, ops: OpsListener, host: str, listening: socket.socket) -> None:
        super().__init__((host, 0), _Handler, bind_and_activate=False)
        self.socket.close()
        # Several processes accept from it: whoever comes late must not wait for the next connection.
        listening.setblocking(False)
        self.socket = listening
        self.ops = ops
        self.is_local = _is_loopback(host)
        self._free = threading.Semaphore(_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, unless many are at it: threads have a bound."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as in the base class
        """Log it, unless the caller left, which is no fault of ours."""
        if not isinstance(sys.exception(), OSError):
            _LOG.exception("ops_answer_failed")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _ANSWER_S

    def do_GET(self) -> None:
        """Answer one of the three pages."""
        if self.server.is_local and not _is_local_name(self.headers.get("host", "")):
            # A page in a browser of this machine could reach us under a name of its own.
            self._answer(403, _json({"status": "host_not_allowed"}))
            return
        pages = {"/livez": self._livez, "/readyz": self._readyz, "/metrics": self._metrics}
        page = pages.get(self.path.partition("?")[0])
        if page is None:
            self._answer(404, _json({"status": "not_found", "pages": sorted(pages)}))
            return
        page()

    do_HEAD = do_GET  # noqa: N815 - as the base class calls it

    def _livez(self) -> None:
        alive = self.server.ops.pulse.beats()
        self._answer(200 if alive else 503, _json({"status": "ok" if alive else "hung"}))

    def _readyz(self) -> None:
        try:
            missing = self.server.ops.missing()
        except (FutureTimeoutError, CancelledError, RuntimeError):
            missing = ["process"]
        body = {"status": "not_ready", "missing": missing} if missing else {"status": "ready"}
        self._answer(503 if missing else 200, _json(body))

    def _metrics(self) -> None:
        try:
            self._answer(200, self.server.ops.page(), telemetry.METRICS_CONTENT_TYPE)
        except (FutureTimeoutError, CancelledError, RuntimeError):
            self._answer(503, _json({"status": "hung"}))

    def _answer(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response_only(status)
        headers = {
            "content-type": content_type,
            "content-length": str(len(body)),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "connection": "close",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with suppress(OSError):
                self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        """Write nothing: probes come every few seconds."""


def _asked(loop: asyncio.AbstractEventLoop, question: Callable[[], Awaitable[Any]]) -> Any:
    async def ask() -> Any:
        return await question()

    asking = ask()
    try:
        future = asyncio.run_coroutine_threadsafe(asking, loop)
    except RuntimeError:
        asking.close()
        raise
    try:
        return future.result(_ANSWER_S)
    except FutureTimeoutError:
        future.cancel()
        raise


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_local_name(header: str) -> bool:
    host = header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() else header
    return _is_loopback(host.strip("[]"))
