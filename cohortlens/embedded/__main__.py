"""``python -m cohortlens.embedded``: the stack in the background, started by ``stack.detach``.

Standard output is a pipe to the starter: one JSON line per event, then ``{"ready": true}`` or the faults.
After that nothing is written to it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import Any

from cohortlens.embedded import stack
from cohortlens.embedded.faults import StackFailed
from cohortlens.embedded.supervisor import StackEvent


class Reporter:
    """Tells the starter what happens, as long as it listens."""

    def __init__(self) -> None:
        self._is_open = True

    def event(self, event: StackEvent) -> None:
        """Tell of a change; the stack's own readiness is the last word."""
        self._write({"event": dataclasses.asdict(event)})
        if (event.service, event.state) == ("stack", "ready"):
            self._write({"ready": True})
            self._close()

    def faults(self, failure: StackFailed) -> None:
        """Tell why it failed."""
        self._write({"faults": [dataclasses.asdict(fault) for fault in failure.faults]})
        self._close()

    def _write(self, message: dict[str, Any]) -> None:
        if self._is_open:
            try:
                sys.stdout.write(json.dumps(message) + "\n")
                sys.stdout.flush()
            except BrokenPipeError:
                self._close()

    def _close(self) -> None:
        # The starter is gone or knows enough: anything written later goes to the log.
        self._is_open = False
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def main() -> int:
    """Run the stack until a signal.

    Returns:
        Exit code: 0 after a signal, 5 when it could not start.
    """
    reporter = Reporter()
    try:
        stack.up(stack.load_config(), reporter.event)
    except StackFailed as failure:
        sys.stderr.write(f"{failure}\n")
        reporter.faults(failure)
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
