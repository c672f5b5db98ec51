"""The user that PostgreSQL runs as, and a copy of its binaries where this user can reach them.

PostgreSQL refuses to run as root. When we are root it runs as an unprivileged user, which may be unable to
enter the folder of the binaries (a checkout under /root, say): then a private copy elsewhere stands in.
Permissions are changed only on folders that this module made. The data needs no copy: its folder is handed
over as an open directory.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from cohortlens.embedded.faults import Fault, StackFailed

_USERS = ("cohortlens", "nobody")


class Drop(TypedDict, total=False):
    """Arguments of ``subprocess.Popen`` that give up root; empty when there is nothing to give up."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class RunUser:
    """Who runs PostgreSQL.

    Attributes:
        uid: Numeric user id.
        gid: Numeric group id.
        dropped: Whether this differs from the user that runs us (who is then root).
    """

    uid: int
    gid: int
    dropped: bool

    def drop(self) -> Drop:
        """Arguments for ``subprocess`` to run a program as this user."""
        return Drop(user=self.uid, group=self.gid, extra_groups=[]) if self.dropped else Drop()

    def can_run(self, program: Path) -> bool:
        """Whether this user can start the program, tried for real (access lists and mounts count too)."""
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                [program, "--version"], capture_output=True, cwd="/", timeout=10, check=False, **self.drop()
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0


def run_user() -> RunUser:
    """The user that PostgreSQL runs as: ourselves, or an unprivileged one when we are root."""
    if os.geteuid() != 0:
        return RunUser(os.geteuid(), os.getegid(), dropped=False)
    for name in _USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return RunUser(entry.pw_uid, entry.pw_gid, dropped=True)
    # The kernel's own overflow id: exists without an entry in the user table.
    return RunUser(65534, 65534, dropped=True)


def enterable_install(install: Path, program: str, user: RunUser) -> Path:
    """A copy of PostgreSQL's installation that the user can run, or the installation itself if it can.

    Args:
        install: Folder that holds ``bin``, ``lib`` and ``share``.
        program: Path of the server below ``install``.
        user: Who must run it.

    Raises:
        StackFailed: ``POSTGRES_NOT_RUNNABLE``: the user can run neither.
    """
    if user.can_run(install / program):
        return install
    base = owned_folder(_temporary_base())
    target = base / f"postgres-{_digest_of(install)[:16]}"
    copy = target / install.parent.name / install.name
    if not _is_intact(target, install):
        _copy_install(install, target, base)
    if not user.can_run(copy / program):
        raise StackFailed(
            Fault(
                reason="POSTGRES_NOT_RUNNABLE",
                message="the PostgreSQL server cannot be started",
                found=f"{copy / program} does not run as user id {user.uid}",
                cause="the folder may be mounted noexec, or the system's C library is too old",
                next=f"{copy / program} --version",
            )
        )
    return copy


def owned_folder(path: Path) -> Path:
    """Make a folder of ours that everybody may enter and only we may write, with its missing parents.

    Raises:
        StackFailed: ``FOLDER_NOT_OURS``: somebody else made it, or others may write to it.
    """
    if not path.parent.exists():
        owned_folder(path.parent)
    try:
        path.mkdir(mode=0o755)
        path.chmod(0o755)
    except FileExistsError:
        pass
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise StackFailed(
            Fault(
                reason="FOLDER_NOT_OURS",
                message=f"{path} cannot be trusted",
                found=f"owner {found.st_uid}, mode {stat.filemode(found.st_mode)}",
                cause="another user made it or may change it",
                next=f"remove {path}, or run as another user than root",
            )
        )
    return path


def _temporary_base() -> Path:
    return Path(tempfile.gettempdir()) / f"cohortlens-{os.geteuid()}"


def _parts(install: Path) -> list[Path]:
    # The wheel's shared libraries lie beside the package and are found by a relative path.
    libraries = install.parent.parent / f"{install.parent.name}.libs"
    return [install / "bin", install / "lib", install / "share", libraries]


def _digest_of(install: Path) -> str:
    digest = hashlib.sha256()
    root = install.parent.parent
    for part in _parts(install):
        for file in sorted(path for path in part.rglob("*") if path.is_file()):
            digest.update(str(file.relative_to(root)).encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _is_intact(target: Path, install: Path) -> bool:
    if not target.is_dir():
        return False
    copy = target / install.parent.name / install.name
    return _digest_of(copy) == _digest_of(install)


def _copy_install(install: Path, target: Path, base: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix=".copy-", dir=base))
    try:
        for part in _parts(install):
            shutil.copytree(part, draft / part.relative_to(install.parent.parent))
        _open_for_reading(draft)
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _open_for_reading(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        runnable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if runnable else 0o644)
