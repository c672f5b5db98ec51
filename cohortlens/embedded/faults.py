"""Faults of the embedded stack, each in four parts: reason, what was found, its cause, the next command.

Used by the preflight, the servers and the supervisor; the command line prints them as text or JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cohortlens.core.errors import FailedPrecondition

Severity = Literal["stop", "warn", "note"]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong on this machine.

    Attributes:
        reason: Upper snake case, such as ``PORT_IN_USE``.
        message: One sentence: what cannot be done.
        found: What was seen.
        cause: Why it matters.
        next: One command or act that helps.
        severity: ``stop`` prevents the start, ``warn`` degrades it, ``note`` is dealt with by itself.
    """

    reason: str
    message: str
    found: str
    cause: str
    next: str
    severity: Severity = "stop"

    def text(self) -> str:
        """The four lines for a person."""
        label = "error" if self.severity == "stop" else self.severity
        return (
            f"{label} {self.reason}: {self.message}\n"
            f"found: {self.found}\ncause: {self.cause}\nnext: {self.next}"
        )


class StackFailed(FailedPrecondition):
    """The embedded stack, or a part of it, cannot start or go on.

    Args:
        faults: What is wrong, the deciding one first; never empty.
    """

    def __init__(self, *faults: Fault) -> None:
        first = faults[0]
        super().__init__(
            first.message,
            reason=first.reason,
            metadata={"found": first.found, "cause": first.cause, "next": first.next},
        )
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(fault.text() for fault in self.faults)
