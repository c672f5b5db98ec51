"""Becomes another program that dies with its parent: ``tether.py PARENT PROGRAM [ARGUMENT]...``.

The wish is made here, after the start, and outlives the exec. Made by ``preexec_fn`` it would run Python
between fork and exec in a process with threads, which can hang on a lock that another thread held then. It is
run as a file, without site packages. Source: prctl(2), PR_SET_PDEATHSIG.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Tie this process to its parent and become the program.

    Args:
        parent: Process id of the parent.
        command: The program by its path, and its arguments.

    Raises:
        OSError: The program cannot be run.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It died before the kernel was asked to tell.
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the caller names the program


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
