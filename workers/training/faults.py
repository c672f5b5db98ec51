"""Why a training cannot end well."""

from __future__ import annotations

from cohortlens.core.errors import FailedPrecondition


class TrainingFault(FailedPrecondition):
    """The data, or the model made from it, does not allow a version that may serve.

    Reasons: ``SNAPSHOT_UNREADABLE``, ``HISTORY_TOO_SHORT``, ``TOO_FEW_CUSTOMERS``, ``NOTHING_TO_LEARN``,
    ``PARITY_FAILED``, ``MODEL_UNKNOWN``.

    Args:
        reason: Reason in upper snake case.
        message: One sentence for a person: what is wrong and what to do.
    """

    reason = "TRAINING_FAILED"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message, reason=reason)
