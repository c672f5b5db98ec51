"""What the stack in a data folder is doing: ``state.json``, written by the supervisor, read by everybody.

The lock is an advisory lock on the folder itself: the kernel drops it with its holder, so it is never stale.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cohortlens.core.private import write_private
from cohortlens.embedded.processes import ProcessIdentity, wait_until

FILE_NAME = "state.json"
_VERSION = 1
ServiceState = Literal["waiting", "starting", "ready", "degraded", "failed", "stopped"]
Kind = Literal["embedded", "external"]


@dataclass
class ServiceRecord:
    """One service as ``status`` shows it.

    Attributes:
        name: Such as ``postgres``.
        kind: Whether we run it or somebody else does.
        state: What it is doing.
        port: Port it listens on; 0 when it has none of its own.
        identity: Its process; none when it does not run or is external.
        elapsed_s: Seconds its start took.
        detail: A few words for a person, such as the last fault's reason.
        restarts: How often it was started again.
    """

    name: str
    kind: Kind
    state: ServiceState = "waiting"
    port: int = 0
    identity: ProcessIdentity | None = None
    elapsed_s: float = 0.0
    detail: str = ""
    restarts: int = 0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self.identity.pid if self.identity is not None else None


@dataclass
class StackState:
    """Everything needed to show the stack, and to find and end its processes after the supervisor died.

    Attributes:
        supervisor: The supervising process.
        since: RFC 3339 time of the start.
        mode: ``COHORTLENS_ENV``.
        phase: What the stack as a whole is doing.
        services: Services in the order of their start.
        ports: Ports by service, ``http`` and ``grpc`` included.
        guardian: The process that cleans up when the supervisor dies.
        seconds: Seconds from start to ready; 0 before.
    """

    supervisor: ProcessIdentity
    since: str
    mode: str
    phase: Literal["starting", "ready", "stopping", "failed"] = "starting"
    services: list[ServiceRecord] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    guardian: ProcessIdentity | None = None
    seconds: float = 0.0

    def write(self, folder: Path) -> None:
        """Replace the folder's state in one step; mode 0600."""
        write_private(folder / FILE_NAME, json.dumps({"version": _VERSION, **_plain(self)}))


def read_state(folder: Path) -> StackState | None:
    """The folder's state; none when nothing was started there or the file is damaged."""
    try:
        value = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        return _state(value) if value["version"] == _VERSION else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_state(folder: Path) -> None:
    """Forget the folder's stack; call it when none of its processes remains."""
    (folder / FILE_NAME).unlink(missing_ok=True)


@contextmanager
def folder_lock(folder: Path, wait_s: float) -> Iterator[bool]:
    """Hold the folder's lock.

    Args:
        folder: Existing data folder.
        wait_s: Seconds to wait for another holder.

    Yields:
        Whether the lock is ours now.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield wait_until(lambda: _try_lock(handle), wait_s)
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


def _identity(value: dict[str, Any] | None) -> ProcessIdentity | None:
    return None if value is None else ProcessIdentity.from_json(value)


def _state(value: dict[str, Any]) -> StackState:
    services = [
        ServiceRecord(**{**item, "identity": _identity(item["identity"])}) for item in value["services"]
    ]
    known = {name: value[name] for name in StackState.__dataclass_fields__}
    return StackState(
        **{
            **known,
            "services": services,
            "supervisor": ProcessIdentity.from_json(value["supervisor"]),
            "guardian": _identity(value["guardian"]),
        }
    )
