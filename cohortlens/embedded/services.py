"""The services of the stack behind one face: launch, ask whether it is ready, stop.

PostgreSQL and Valkey are launched and awaited in one; the others are commands that tell of readiness later.
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis

from cohortlens.core.config import PREFIX
from cohortlens.embedded.faults import Fault, StackFailed
from cohortlens.embedded.postgres import EmbeddedPostgres, PostgresUrls
from cohortlens.embedded.processes import ProcessIdentity
from cohortlens.embedded.redis import EmbeddedRedis
from cohortlens.embedded.server_process import ServerProcess
from cohortlens.embedded.settings import StackConfig
from cohortlens.embedded.state import ServiceRecord
from cohortlens.embedded.web3 import WEB3
from cohortlens.embedded.yielding import yield_to_others

Readiness = Callable[["CommandService"], bool]
_HEARTBEAT_KEY = "cl:jobs:heartbeat"


class Service(ABC):
    """One thing that the supervisor keeps running.

    Args:
        name: As in ``status``.
        bound_s: Seconds its start may take.
        port: Port it listens on; 0 when it has none of its own.
    """

    def __init__(self, name: str, bound_s: float, *, port: int = 0) -> None:
        self.bound_s = bound_s
        self.record = ServiceRecord(name, "embedded", port=port)

    @property
    def name(self) -> str:
        """Name as in ``status``."""
        return self.record.name

    @property
    @abstractmethod
    def server(self) -> ServerProcess:
        """Its process."""

    def start(self) -> None:
        """Start it.

        Raises:
            StackFailed: It cannot be started; the reason of its own, or ``SERVICE_NOT_STARTED``.
        """
        try:
            self.launch()
        except (OSError, subprocess.SubprocessError) as error:
            raise StackFailed(
                Fault(
                    reason="SERVICE_NOT_STARTED",
                    message=f"{self.name} cannot be started",
                    found=str(error),
                    cause="a file or folder is missing, or the disk is full",
                    next="cohortlens doctor",
                )
            ) from error

    @abstractmethod
    def launch(self) -> None:
        """Start it, without care for the system's errors."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it does its work."""

    def stop(self) -> None:
        """Stop it; no process of it remains."""
        self.server.stop((signal.SIGTERM, 2.0))

    def settle(self) -> None:
        """Take its place among the others now that it is ready."""
        return

    @property
    def identity(self) -> ProcessIdentity | None:
        """Its process while it runs."""
        return self.server.identity if self.server.is_alive() else None


class PostgresService(Service):
    """The embedded PostgreSQL.

    Args:
        folder: The data folder.
        port: Its port; 0 for any.
    """

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__("postgres", 60.0, port=port)
        self._postgres = EmbeddedPostgres(folder, port)
        self.urls: PostgresUrls | None = None

    @property
    def server(self) -> ServerProcess:
        """Its process."""
        return self._postgres.server

    def launch(self) -> None:
        """Start it and wait until it answers."""
        self.urls = self._postgres.start(self.bound_s)
        self.record.port = self._postgres.port

    def is_ready(self) -> bool:
        """Whether it runs; ``launch`` returned only when it answered."""
        return self.server.is_alive()

    def stop(self) -> None:
        """Fast shutdown."""
        self._postgres.stop()


class RedisService(Service):
    """The embedded Valkey.

    Args:
        folder: The data folder.
        port: Its port; 0 for any.
        marker: Variables that mark it as one of this stack.
    """

    def __init__(self, folder: Path, port: int, marker: Mapping[str, str]) -> None:
        super().__init__("redis", 10.0, port=port)
        self._redis = EmbeddedRedis(folder, port, environ=marker)
        self.url = ""

    @property
    def server(self) -> ServerProcess:
        """Its process."""
        return self._redis.server

    def launch(self) -> None:
        """Start it and wait until it answers."""
        self.url = self._redis.start(self.bound_s)
        self.record.port = self._redis.port

    def is_ready(self) -> bool:
        """Whether it runs; ``launch`` returned only when it answered."""
        return self.server.is_alive()

    def stop(self) -> None:
        """Stop it; it keeps nothing."""
        self._redis.stop()


@dataclass(frozen=True)
class Program:
    """A program of ours that the stack runs.

    Attributes:
        name: As in ``status``.
        command: Program and arguments.
        readiness: Asked about the running service until it says yes.
        bound_s: Seconds its start may take.
        yields: Whether it answers nobody who waits, so that others go before it once it is ready.
    """

    name: str
    command: Sequence[str]
    readiness: Readiness
    bound_s: float
    yields: bool = False


class CommandService(Service):
    """A program of ours with a log file.

    Args:
        program: What to run.
        environ: Its whole environment.
        logs: Folder of the log file.
        port: Port it listens on; 0 when it has none of its own.
    """

    def __init__(self, program: Program, environ: Mapping[str, str], logs: Path, port: int = 0) -> None:
        super().__init__(program.name, program.bound_s, port=port)
        self.environ = dict(environ)
        self._program = program
        self._server = ServerProcess(program.name, logs / f"{program.name}.log")
        self.log_start = 0

    @property
    def server(self) -> ServerProcess:
        """Its process."""
        return self._server

    def launch(self) -> None:
        """Start it without waiting."""
        log = self._server.log
        self.log_start = log.stat().st_size if log.exists() else 0
        self._server.start(self._program.command, environ=self.environ)

    def is_ready(self) -> bool:
        """Whether it said or showed that it does its work."""
        return self._program.readiness(self)

    def settle(self) -> None:
        """Yield to those that answer, if it is such a program; not before, since its start has a bound."""
        if self._program.yields and self.identity is not None:
            yield_to_others(self.identity.pid)


def is_live(service: CommandService) -> bool:
    """Ready when ``/livez`` on the service's port gives 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{service.record.port}/livez", timeout=2.0) as reply:
            return int(reply.status) == 200
    except (OSError, http.client.HTTPException):
        return False


def beats(service: CommandService) -> bool:
    """Ready when the jobs process's heartbeat in Redis names this process."""
    url = service.environ[f"{PREFIX}REDIS_URL"]
    try:
        with redis.Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0) as client:
            beat = json.loads(cast("bytes | None", client.get(_HEARTBEAT_KEY)) or b"{}")
    except (redis.RedisError, OSError, ValueError):
        return False
    return service.identity is not None and beat.get("pid") == service.identity.pid


def says_ready(service: CommandService) -> bool:
    """Ready when the log of this start has a JSON line whose ``event`` is ``ready``."""
    try:
        with service.server.log.open("rb") as file:
            # A log that was cut meanwhile is read from its start.
            size = file.seek(0, 2)
            file.seek(service.log_start if size >= service.log_start else 0)
            lines = file.read().splitlines()
    except OSError:
        return False
    return any(b'"ready"' in line and _event_of(line) == "ready" for line in lines)


@dataclass(frozen=True)
class Programs:
    """What the stack runs beside its servers.

    Attributes:
        migration: Brings the database to the newest revision and ends.
        applications: Gateway, jobs and workers, in the order of their start.
        mail: Stands in for a mail server when none is given.
        stripe: Stands in for Stripe in development when no key is given.
        web3: The web3 sidecar; the stack is ready without it.
    """

    migration: Program
    applications: Sequence[Program]
    mail: Program | None = None
    stripe: Program | None = None
    web3: Program | None = None


def standard_programs(config: StackConfig) -> Programs:
    """The programs of the release."""
    python = sys.executable
    return Programs(
        Program("migrate", [python, "-m", "cohortlens.embedded.migration"], says_ready, bound_s=60.0),
        [
            Program("gateway", [python, "-m", "gateway"], is_live, bound_s=30.0),
            Program("jobs", [python, "-m", "cohortlens.jobs"], beats, bound_s=30.0, yields=True),
            Program("workers", [str(config.workers_python), "-m", "workers"], says_ready, bound_s=90.0),
        ],
        Program("mail", [python, "-m", "cohortlens.embedded.mail"], says_ready, bound_s=30.0)
        if config.embeds_mail
        else None,
        Program("stripe", [python, "-m", "cohortlens.embedded.stripe"], is_live, bound_s=30.0)
        if config.embeds_stripe
        else None,
        Program(WEB3, [python, "-m", "sidecars.web3"], says_ready, bound_s=30.0, yields=True)
        if config.embeds_web3
        else None,
    )


def _event_of(line: bytes) -> object:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value.get("event") if isinstance(value, dict) else None
