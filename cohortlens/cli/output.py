"""What a command prints: text for people, one JSON document for programs, faults with the next step.

Standard output carries the result and nothing else; progress and warnings go to standard error, and progress
only to a terminal. Exit codes: 0 done, 1 unexpected, 2 invalid argument, 3 not found, 4 not allowed,
5 precondition, 6 limit, 7 unavailable, 8 done with findings, 9 conflict, 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import click

from cohortlens.cli.errors import ApiError
from cohortlens.core.errors import CohortLensError

EXIT_UNEXPECTED, EXIT_PRECONDITION, EXIT_UNAVAILABLE, EXIT_FINDINGS, EXIT_INTERRUPTED = 1, 5, 7, 8, 130

EXIT_BY_CODE = {
    "INVALID_ARGUMENT": 2,
    "OUT_OF_RANGE": 2,
    "NOT_FOUND": 3,
    "UNAUTHENTICATED": 4,
    "PERMISSION_DENIED": 4,
    "FAILED_PRECONDITION": EXIT_PRECONDITION,
    "RESOURCE_EXHAUSTED": 6,
    "UNAVAILABLE": EXIT_UNAVAILABLE,
    "DEADLINE_EXCEEDED": EXIT_UNAVAILABLE,
    "ALREADY_EXISTS": 9,
    "ABORTED": 9,
}

NEXT_BY_REASON = {
    "SERVICE_UNREACHABLE": "cohortlens status, then cohortlens up --detach",
    "WORKERS_UNAVAILABLE": "wait a few seconds; cohortlens status shows whether the workers are ready",
    "NO_ACTIVE_MODEL": "cohortlens train",
    "RUN_NOT_PUBLISHED": "cohortlens segment",
    "BASELINE_MISSING": "cohortlens train, or cohortlens drift --reference-as-of YYYY-MM-DD",
    "HISTORY_TOO_SHORT": "import more history, then cohortlens train",
    "CREDENTIALS_MISSING": "cohortlens up, or pass --email and --password-file",
    "INVALID_CREDENTIALS": "cohortlens credentials shows the ones of the demo tenant",
    "MFA_REQUIRED": "add --totp CODE, or pass a recovery code there",
    "HEADER_MISSING": "name the column: cohortlens import FILE --map customer=YOUR_COLUMN",
    "HEADER_AMBIGUOUS": "name the column: cohortlens import FILE --map FIELD=COLUMN",
    "ENCODING_INVALID": "state the encoding: cohortlens import FILE --encoding cp1252 (or utf-16, latin-1)",
    "COMPRESSION_UNSUPPORTED": "unpack it, or save it as CSV, and import that file; nothing was written",
    "DEADLINE_EXCEEDED": "allow more time with --timeout SECONDS; cohortlens status shows what is slow",
    "DATABASE_UNAVAILABLE": "try again in a few seconds; cohortlens status shows whether it is back",
    "DISK_FULL": "free space in the data folder (cohortlens doctor shows how much is left), then try again",
    "FILE_EMPTY": "give a file with a header and at least one row",
    "RESOURCE_NOT_FOUND": "check the identifier; external ids are written external:ID",
    "TRAINING_IN_PROGRESS": "wait for the run that is under way",
}


@dataclass(eq=False)
class Fault(Exception):
    """A command that cannot do what it was asked.

    Attributes:
        reason: Reason in upper snake case.
        message: What is wrong, in one sentence.
        next: One command or act that helps; may be empty.
        code: Canonical code by name; sets the exit code.
        found: What was found instead; may be empty.
        cause: Why; may be empty.
        request_id: Identifier in the service's log; may be empty.
        metadata: Facts for programs.
        others: Further faults of the same attempt.
    """

    reason: str
    message: str
    next: str = ""
    code: str = "FAILED_PRECONDITION"
    found: str = ""
    cause: str = ""
    request_id: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    others: list[Fault] = field(default_factory=list)

    @classmethod
    def from_api(cls, error: ApiError) -> Fault:
        """The same error as the service told it, with the next step we know."""
        fields = "".join(
            f"; {n}: {what}" for n, what in error.violations if not _told(n, what, error.message)
        )
        return cls(
            reason=error.reason,
            message=error.message + fields,
            next=NEXT_BY_REASON.get(error.reason, ""),
            code=error.code,
            request_id=error.request_id,
            metadata=error.metadata,
        )

    @classmethod
    def from_domain(cls, error: CohortLensError) -> Fault:
        """An error of the library itself, such as the faults of the embedded stack."""
        known, others = error.metadata, getattr(error, "faults", ())[1:]
        return cls(
            reason=error.reason,
            message=error.message,
            next=known.get("next", ""),
            code=error.code.name,
            found=known.get("found", ""),
            cause=known.get("cause", ""),
            others=[Fault(f.reason, f.message, f.next, found=f.found, cause=f.cause) for f in others],
        )

    @property
    def exit_code(self) -> int:
        """Exit code of the command."""
        return EXIT_BY_CODE.get(self.code, EXIT_UNEXPECTED)

    def as_json(self) -> dict[str, Any]:
        """The error object of the JSON envelope; its keys are always the same."""
        return {
            "code": self.code, "reason": self.reason, "message": self.message, "found": self.found,
            "cause": self.cause, "next": self.next, "request_id": self.request_id, "metadata": self.metadata,
            "others": [other.as_json() for other in self.others],
        }  # fmt: skip

    def as_text(self) -> str:
        """Up to five lines: what, found, cause, next, request."""
        lines = [f"error {self.reason}: {self.message}"]
        parts = {"found": self.found, "cause": self.cause, "next": self.next, "request": self.request_id}
        lines += [f"{name}: {part}" for name, part in parts.items() if part]
        return "\n".join(lines + [other.as_text() for other in self.others])


def _told(name: str, what: str, message: str) -> bool:
    """Whether the message names the field and what is wrong with it already."""
    return name in message and what in message


@dataclass
class Output:
    """Where one command prints.

    Attributes:
        command: Name of the command, for the envelope.
        as_json: Whether programs read it.
        warnings: Warnings gathered on the way.
        documented: Whether the one JSON document was printed.
    """

    command: str
    as_json: bool = False
    warnings: list[dict[str, str]] = field(default_factory=list)
    documented: bool = False

    def result(self, data: dict[str, Any], text: str) -> None:
        """Print the result: the envelope around ``data``, or ``text``."""
        if self.as_json:
            self._document({"ok": True, "command": self.command, "data": data, "warnings": self.warnings})
        else:
            click.echo(text)

    def note(self, line: str) -> None:
        """Tell of a step that was done, on standard error."""
        click.echo(line, err=True)

    def warn(self, reason: str, message: str, next_step: str = "") -> None:
        """Tell of something that did not stop the command."""
        self.warnings.append({"reason": reason, "message": message, "next": next_step})
        click.echo(f"warning {reason}: {message}" + (f"\nnext: {next_step}" if next_step else ""), err=True)

    def fail(self, fault: Fault) -> NoReturn:
        """Print the fault and leave with its exit code."""
        if self.as_json and not self.documented:
            self._document({"ok": False, "command": self.command, "error": fault.as_json()})
        else:
            click.echo(fault.as_text(), err=True)
        sys.exit(fault.exit_code)

    def interrupted(self) -> NoReturn:
        """Leave after Ctrl-C; what runs in the background goes on."""
        if self.as_json and not self.documented:
            fault = Fault("INTERRUPTED", "the command was interrupted", code="CANCELLED")
            self._document({"ok": False, "command": self.command, "error": fault.as_json()})
        sys.exit(EXIT_INTERRUPTED)

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[str, float], None]]:
        """Live progress on a terminal, nothing when piped.

        Yields:
            A function of the stage and the share done, 0 to 1.
        """
        if not sys.stderr.isatty() or self.as_json:
            yield lambda _stage, _ratio: None
            return
        from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn  # noqa: PLC0415

        columns = (TextColumn("{task.description:<32}"), BarColumn(), TaskProgressColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=1.0)

            def show(stage: str, ratio: float) -> None:
                bar.update(task, completed=ratio, description=f"{label}: {stage}" if stage else label)

            yield show

    def _document(self, document: dict[str, Any]) -> None:
        self.documented = True
        click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))


def table(rows: list[list[str]], header: list[str], right: frozenset[int] = frozenset()) -> str:
    """A plain table: columns two blanks apart, those in ``right`` aligned to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        fitted = [
            c.rjust(w) if i in right else c.ljust(w)
            for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(fitted).rstrip()

    return "\n".join([line(header), *map(line, rows)])
