"""What fulfilment reads of consents: an event with its receipt, and whether it is the one that counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import plain_uuid

GIVING: Final = frozenset({"GIVEN", "REAFFIRMED"})
"""Types of events that give a consent."""
IMPORTED: Final = "IMPORT"
"""Method of events that came with a file: the person did nothing here, so nothing is owed or proven."""
ON_CHAIN: Final = "rewards.onchain"
"""Activity that a reward needs."""

_EVENT = text(
    "SELECT e.id, e.identity_id, e.purpose_key, e.purpose_version, e.type, e.method, e.collected_at, "
    "e.expires_at, e.notice_sha256, p.activities, r.record FROM consent_events e "
    "JOIN purposes p ON p.tenant_id = e.tenant_id AND p.key = e.purpose_key "
    "AND p.version = e.purpose_version "
    "LEFT JOIN consent_receipts r ON r.tenant_id = e.tenant_id AND r.id = e.receipt_id WHERE e.id = :event"
)
_STANDING = text(
    "SELECT u.state, u.event_id, i.erased_at, u.expires_at, e.type, e.method FROM user_consents u "
    "JOIN consent_identities i ON i.tenant_id = u.tenant_id AND i.id = u.identity_id "
    "JOIN consent_events e ON e.tenant_id = u.tenant_id AND e.id = u.event_id "
    "WHERE u.identity_id = :identity AND u.purpose_key = :purpose"
)
_MAY_REWARD = text(
    "SELECT i.erased_at IS NULL AND app.is_usable(h.mechanism, h.min_version, u.state, u.purpose_version, "
    "u.expires_at, i.restricted_at, i.objected_at) FROM consent_identities i "
    "JOIN purpose_activities a ON a.tenant_id = i.tenant_id AND a.activity = :activity "
    "JOIN purpose_heads h ON h.tenant_id = a.tenant_id AND h.key = a.purpose_key "
    "LEFT JOIN user_consents u ON u.tenant_id = i.tenant_id AND u.identity_id = i.id "
    "AND u.purpose_key = h.key WHERE i.id = :identity"
)


@dataclass(frozen=True)
class GivenConsent:
    """A consent event as fulfilment needs it.

    Attributes:
        event_id: The event.
        identity_id: Who.
        purpose_key: For what.
        purpose_version: In which version.
        type: Type of the event, such as ``GIVEN``.
        method: How it was collected.
        collected_at: When it was done.
        expires_at: When it ends by itself; None: it does not.
        notice_sha256: Of the notice that was shown; None where there was none.
        activities: What the purpose's version covers.
        record: The receipt's bytes; None where none was made.
    """

    event_id: UUID
    identity_id: UUID
    purpose_key: str
    purpose_version: int
    type: str
    method: str
    collected_at: datetime
    expires_at: datetime | None
    notice_sha256: bytes | None
    activities: tuple[str, ...]
    record: bytes | None


@dataclass(frozen=True)
class Standing:
    """The state of a person and purpose.

    Attributes:
        state: GIVEN, REFUSED, WITHDRAWN, EXPIRED or INVALIDATED; empty where nothing was ever decided.
        event_id: The event that decides.
        is_erased: Whether the person was erased.
        is_of_file: Whether the event came with an import.
    """

    state: str
    event_id: UUID | None
    is_erased: bool
    is_of_file: bool

    def holds(self, event_id: UUID) -> bool:
        """Whether the consent that ``event_id`` gave is the one that counts, and counts still."""
        return self.state == "GIVEN" and self.event_id == event_id and not self.is_erased

    @property
    def end_reason(self) -> str:
        """Why a consent that counted before does not any more."""
        if self.is_erased:
            return "CUSTOMER_ERASED"
        return "CONSENT_RENEWED" if self.state == "GIVEN" else f"CONSENT_{self.state or 'WITHDRAWN'}"


class ConsentReading:
    """Consents of the transaction's tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def event(self, event_id: UUID) -> GivenConsent | None:
        """An event with its receipt; None when there is none of this identifier."""
        row = (await self._tx.execute(_EVENT, {"event": event_id})).one_or_none()
        if row is None:
            return None
        return GivenConsent(
            event_id=plain_uuid(row.id),
            identity_id=plain_uuid(row.identity_id),
            purpose_key=row.purpose_key,
            purpose_version=row.purpose_version,
            type=row.type,
            method=row.method,
            collected_at=row.collected_at,
            expires_at=row.expires_at,
            notice_sha256=None if row.notice_sha256 is None else bytes(row.notice_sha256),
            activities=tuple(row.activities),
            record=None if row.record is None else bytes(row.record),
        )

    async def standing(self, identity_id: UUID, purpose_key: str) -> Standing:
        """What counts for a person and purpose now."""
        values = {"identity": identity_id, "purpose": purpose_key}
        row = (await self._tx.execute(_STANDING, values)).one_or_none()
        if row is None:
            return Standing("", None, is_erased=False, is_of_file=False)
        return Standing(
            row.state,
            plain_uuid(row.event_id),
            is_erased=row.erased_at is not None,
            is_of_file=row.method == IMPORTED,
        )

    async def followed(self, event_id: UUID) -> GivenConsent | None:
        """An event that something follows: it gives the consent that counts, and came with no file."""
        event = await self.event(event_id)
        if event is None:
            return None
        standing = await self.standing(event.identity_id, event.purpose_key)
        return event if standing.holds(event_id) and not standing.is_of_file else None

    async def may_reward(self, identity_id: UUID) -> bool:
        """Whether the person allows rewards on a public chain."""
        values = {"identity": identity_id, "activity": ON_CHAIN}
        return bool(await self._tx.scalar(_MAY_REWARD, values))
