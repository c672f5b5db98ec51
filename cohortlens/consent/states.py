"""What many decisions amount to: which of them counts, and what it means at a time. Pure functions.

Of the decisions about one person and purpose the greatest counts: the later one; of one moment the withdrawal
before the refusal before the consent; then the one recorded later. So the order of arrival plays no part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cohortlens.consent.models import ActType, ConsentState

RANKS: dict[ActType, int] = {
    ActType.GIVEN: 1,
    ActType.REAFFIRMED: 1,
    ActType.REFUSED: 2,
    ActType.WITHDRAWN: 3,
}
"""Of decisions of one moment the higher rank counts; what the product itself records decides nothing."""


@dataclass(frozen=True)
class Decision:
    """A decision of one person about one purpose.

    Attributes:
        event_id: The event.
        act: What was decided.
        collected_at: When it was made.
        place: Order in which it was recorded.
        purpose_version: Version of the purpose.
        expires_at: When the consent ends by itself; None: it does not.
        receipt_id: Receipt of the act; None where there is none.
        notice_version: Version of the notice that was shown; 0 for none.
    """

    event_id: UUID
    act: ActType
    collected_at: datetime
    place: int
    purpose_version: int
    expires_at: datetime | None = None
    receipt_id: UUID | None = None
    notice_version: int = 0

    @property
    def order(self) -> tuple[datetime, int, int]:
        """What it is compared by."""
        return self.collected_at, RANKS[self.act], self.place


def effective(decisions: Iterable[Decision]) -> Decision | None:
    """The decision that counts; None where nothing was decided.

    Args:
        decisions: Of one person and purpose, in any order.
    """
    return max((one for one in decisions if one.act in RANKS), key=lambda one: one.order, default=None)


def state_of(decision: Decision | None, at: datetime, min_version: int) -> ConsentState:
    """What the decision that counts means at a time.

    Args:
        decision: As ``effective`` gave it.
        at: The time.
        min_version: Oldest version of the purpose whose consents count at that time.
    """
    if decision is None:
        return ConsentState.NONE
    if decision.act is ActType.WITHDRAWN:
        return ConsentState.WITHDRAWN
    if decision.act is ActType.REFUSED:
        return ConsentState.REFUSED
    if decision.purpose_version < min_version:
        return ConsentState.INVALIDATED
    if decision.expires_at is not None and decision.expires_at <= at:
        return ConsentState.EXPIRED
    return ConsentState.GIVEN


def expiry(collected_at: datetime, validity_days: int | None) -> datetime | None:
    """When a consent ends by itself: days of 24 hours from the moment it was given; None: it does not."""
    return None if validity_days is None else collected_at + timedelta(days=validity_days)
