"""Cleans up when the supervisor dies without a chance to: ``python -m cohortlens.embedded.guardian FOLDER``.

The supervisor holds the other end of this process's standard input and nobody else does. Its end means that
the supervisor is gone; if it left processes, they are ended here.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cohortlens.embedded.leftovers import end_leftovers
from cohortlens.embedded.state import folder_lock, read_state

_LOCK_WAIT_S = 20.0


class Guardian:
    """The supervisor's handle on its guardian.

    Args:
        folder: The data folder.
        environ: Environment of the guardian.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        # In a session of its own: the signal that kills the supervisor's group must not reach it.
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "cohortlens.embedded.guardian", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            cwd="/",
            start_new_session=True,
        )
        self.pid = self._process.pid

    def dismiss(self) -> None:
        """End the guardian; everything was stopped in order."""
        self._process.kill()
        self._process.communicate()


def watch(folder: Path) -> None:
    """Wait for the supervisor's end, then end what it left, unless somebody else has begun to."""
    mine = read_state(folder)
    sys.stdin.buffer.read()
    with folder_lock(folder, _LOCK_WAIT_S) as is_ours:
        state = read_state(folder)
        if is_ours and state is not None and mine is not None and state.supervisor == mine.supervisor:
            end_leftovers(folder)


if __name__ == "__main__":
    # A terminal's Ctrl-C is the supervisor's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch(Path(sys.argv[1]))
