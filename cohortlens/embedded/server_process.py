"""A child process with a log file, a recorded identity and a bounded stop; the base of both servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cohortlens.core.private import make_private
from cohortlens.embedded.faults import Fault, StackFailed
from cohortlens.embedded.processes import ProcessIdentity, identity_of, program_of, send, wait_until
from cohortlens.embedded.unprivileged import RunUser

_TAIL_LINES = 15


class ServerProcess:
    """One server that we started, known to the next start through ``record``.

    Args:
        name: Service name, as in ``status``.
        log: File that the server's output is appended to.
        record: File that keeps pid and start time, so that a later start finds an orphan; none when the
            stack's state does that.
    """

    def __init__(self, name: str, log: Path, record: Path | None = None) -> None:
        self.name = name
        self.log = log
        self.record = record
        self.identity: ProcessIdentity | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        command: Sequence[str | Path],
        *,
        environ: Mapping[str, str],
        user: RunUser | None = None,
        cwd: Path | None = None,
        stdin: bytes | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start the server in a session of its own, so that a terminal's Ctrl-C does not reach it."""
        if self._process is not None:
            self.stop()
        make_private(self.log.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        output = os.open(self.log, flags, 0o600)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                env=dict(environ),
                cwd=cwd,
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=pass_fds,
                **(user.drop() if user is not None else {}),
            )
        finally:
            os.close(output)
        self.identity = identity_of(self._process.pid)
        if self.identity is not None and self.record is not None:
            self.record.write_text(json.dumps(self.identity.to_json()), encoding="utf-8")
        if stdin is not None and self._process.stdin is not None:
            self._feed(stdin)

    def wait_ready(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the server answers.

        Raises:
            StackFailed: ``SERVICE_NOT_READY`` with the last lines of its log.
        """
        if not wait_until(lambda: not self.is_alive() or is_ready(), timeout_s) or not self.is_alive():
            raise StackFailed(not_ready(self.name, self.log, timeout_s, ended=not self.is_alive()))

    def is_alive(self) -> bool:
        """Whether the server runs; reaps it when it ended."""
        return self._process is not None and self._process.poll() is None

    def wait(self, timeout_s: float) -> int | None:
        """Wait for the end of a program that ends by itself.

        Returns:
            Its exit code; none when it still runs after ``timeout_s`` seconds.
        """
        assert self._process is not None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, *signals: tuple[signal.Signals, float]) -> None:
        """Send each signal in turn, waiting its seconds for the end; the last resort is SIGKILL."""
        process = self._process
        if process is not None:
            for number, timeout_s in (*signals, (signal.SIGKILL, 5.0)):
                process.send_signal(number)
                try:
                    process.wait(timeout_s)
                    break
                except subprocess.TimeoutExpired:
                    continue
        self._process = None
        self._forget()

    def ask_to_stop(self) -> None:
        """Send SIGTERM without waiting."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def orphan(self, program: str) -> ProcessIdentity | None:
        """The server that an earlier, killed start left running, if it is one of this program."""
        if self.record is None:
            return None
        try:
            found = ProcessIdentity.from_json(json.loads(self.record.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError):
            return None
        return found if found.is_alive() and program_of(found.pid) == program else None

    def stop_orphan(self, program: str) -> bool:
        """End what an earlier, killed start left running.

        Returns:
            Whether there was such a process.
        """
        found = self.orphan(program)
        if found is not None and send(found, signal.SIGTERM):
            if not wait_until(lambda: not found.is_alive(), 10.0):
                send(found, signal.SIGKILL)
            wait_until(lambda: not found.is_alive(), 5.0)
        self._forget()
        return found is not None

    def _forget(self) -> None:
        if self.record is not None:
            self.record.unlink(missing_ok=True)

    def _feed(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.close()
        except BrokenPipeError:
            # It ended before reading; wait_ready reports that with its log.
            return


def tail(log: Path, lines: int = _TAIL_LINES) -> list[str]:
    """The last lines of a log file; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * 1024))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]


def not_ready(
    name: str,
    log: Path,
    waited_s: float,
    *,
    ended: bool,
) -> Fault:
    """The fault of a service that did not come up, with the last lines of its log."""
    last = "\n  ".join(tail(log)) or "(the log is empty)"
    return Fault(
        reason="SERVICE_NOT_READY",
        message=f"{name} " + ("ended while starting" if ended else f"did not answer within {waited_s:g} s"),
        found=f"last lines of its log:\n  {last}",
        cause="see the log" if ended else "the machine is slow or the service hangs",
        next=f"tail -n 100 {log}",
    )
