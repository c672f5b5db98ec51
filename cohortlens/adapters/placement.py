"""Which replica takes a call: one of the two a model belongs to, or another when both have too much.

Every process that looks at the same replicas finds the same two, without talking to another: the highest two
of a hash over model and replica. A replica that comes or goes moves only the models that belong to it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

OWNERS = 2
"""Replicas that keep a model warm."""

SPILL_ROWS = 256
"""Rows a replica may have under way before others help: one full batch."""

SPILL_RATIO = 1.25
"""Multiple of the average load above which others help."""


class Candidate(Protocol):
    """A live replica."""

    @property
    def replica(self) -> str:
        """Identifier."""

    @property
    def rows_in_flight(self) -> int:
        """Rows that this process has under way there."""

    @property
    def loaded(self) -> set[str]:
        """Models it is known to hold."""


CandidateT = TypeVar("CandidateT", bound=Candidate)


def owners(candidates: Sequence[CandidateT], model: str) -> list[CandidateT]:
    """The replicas that a model belongs to, at most ``OWNERS``; all when the model is not said."""
    if len(candidates) <= OWNERS or not model:
        return list(candidates)
    return sorted(candidates, key=lambda one: _weight(model, one.replica), reverse=True)[:OWNERS]


def choose(
    candidates: Sequence[CandidateT], owned_by: Sequence[CandidateT], model: str, rows: int
) -> CandidateT:
    """The replica for a call.

    Args:
        candidates: The live replicas, at least one.
        owned_by: Those of them that ``owners`` gave for the model.
        model: Digest of the model version; empty for calls that need none.
        rows: Rows of the call.

    Returns:
        An owner that holds the model before one that does not; the less loaded of equals; the least loaded of
        all replicas when the owners have far more under way than the average.
    """
    if not model:
        pair = random.sample(list(candidates), min(2, len(candidates)))
        return min(pair, key=lambda one: one.rows_in_flight)
    most = SPILL_ROWS
    best = min(owned_by, key=lambda one: (model not in one.loaded, one.rows_in_flight))
    if best.rows_in_flight + rows <= most or len(candidates) == 1:
        return best
    total = sum(one.rows_in_flight for one in candidates) + rows
    most = max(most, int(SPILL_RATIO * total / len(candidates)))
    able = [one for one in candidates if one.rows_in_flight + rows <= most]
    for group in ([one for one in owned_by if one in able], [one for one in able if model in one.loaded]):
        if group:
            return min(group, key=lambda one: one.rows_in_flight)
    return min(able or candidates, key=lambda one: one.rows_in_flight)


def _weight(model: str, replica: str) -> bytes:
    return hashlib.blake2b(f"{model}\n{replica}".encode(), digest_size=8).digest()
