"""The seven states of an agreement, and which may follow which.

Source:
    Names of the Dataspace Protocol 2025-1 (Eclipse), contract negotiation: REQUESTED, OFFERED, ACCEPTED,
    AGREED, VERIFIED, FINALIZED, TERMINATED.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from cohortlens.core.errors import FailedPrecondition


class AgreementState(StrEnum):
    """How far an agreement is."""

    REQUESTED = "REQUESTED"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    AGREED = "AGREED"
    VERIFIED = "VERIFIED"
    FINALIZED = "FINALIZED"
    TERMINATED = "TERMINATED"


_S = AgreementState
NEXT: Final[Mapping[AgreementState, frozenset[AgreementState]]] = {
    _S.REQUESTED: frozenset({_S.OFFERED, _S.TERMINATED}),
    _S.OFFERED: frozenset({_S.ACCEPTED, _S.TERMINATED}),
    _S.ACCEPTED: frozenset({_S.AGREED, _S.TERMINATED}),
    _S.AGREED: frozenset({_S.VERIFIED, _S.TERMINATED}),
    _S.VERIFIED: frozenset({_S.FINALIZED, _S.TERMINATED}),
    _S.FINALIZED: frozenset({_S.TERMINATED}),
    _S.TERMINATED: frozenset(),
}
"""State -> the states that may follow."""
ACTIVE: Final = frozenset({_S.AGREED, _S.VERIFIED, _S.FINALIZED})
"""States in which questions are answered: nobody who agreed waits for the sidecar."""


class StateTransitionInvalid(FailedPrecondition):
    """The thing is in a state from which what was asked does not lead on."""

    reason = "STATE_TRANSITION_INVALID"


def check_move(before: AgreementState, after: AgreementState) -> None:
    """Let a move pass, or not.

    Raises:
        StateTransitionInvalid: ``after`` does not follow ``before``.
    """
    if after not in NEXT[before]:
        raise StateTransitionInvalid(
            f"the agreement is {before} and cannot become {after}; read it again",
            metadata={"state": before.value},
        )
