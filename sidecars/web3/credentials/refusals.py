"""Why something signed is not accepted: a value for the answer, and the error that carries it there."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE = -1
"""Index of a refusal that is about the whole credential and no proof of its own."""


@dataclass(frozen=True)
class Refusal:
    """One reason not to accept.

    Attributes:
        reason: In upper snake case, such as ``VC_REVOKED``.
        detail: One sentence for a person.
        proof_index: The proof it is about, from 0; ``WHOLE`` otherwise.
    """

    reason: str
    detail: str
    proof_index: int = WHOLE


class RefusedError(Exception):
    """Stops a step of the verification; the verifier turns it into its answer.

    Attributes:
        refusal: What is answered.
    """

    def __init__(self, reason: str, detail: str, proof_index: int = WHOLE) -> None:
        super().__init__(f"{reason}: {detail}")
        self.refusal = Refusal(reason, detail, proof_index)

    @property
    def reason(self) -> str:
        """The reason in upper snake case."""
        return self.refusal.reason

    def at(self, proof_index: int) -> RefusedError:
        """The same refusal, said about one proof."""
        return RefusedError(self.refusal.reason, self.refusal.detail, proof_index)
