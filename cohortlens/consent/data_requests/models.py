"""Requests of persons about their data: types, states, steps, and how a call about them can fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from cohortlens.core.errors import FailedPrecondition, NotFound, Violation

DATA_REQUEST_APPROVED = "consent.data_request.approved"
"""Topic of the outbox: a request is to be worked on. Payload: ``data_request_id``."""

EXPORT_LIFE = timedelta(days=7)
"""How long the file of an export is kept."""
DUE_MONTHS, EXTENDED_MONTHS = 1, 3
"""Calendar months after receipt by which a request is answered (GDPR article 12(3))."""


class DataRequestType(StrEnum):
    """What a person asks for: articles 15, 20, 17, 16, 18 and 21 of the GDPR."""

    ACCESS = "ACCESS"
    PORTABILITY = "PORTABILITY"
    ERASURE = "ERASURE"
    RECTIFICATION = "RECTIFICATION"
    RESTRICTION = "RESTRICTION"
    OBJECTION = "OBJECTION"

    @property
    def is_export(self) -> bool:
        """Whether its answer is a file."""
        return self in {DataRequestType.ACCESS, DataRequestType.PORTABILITY}


class DataRequestState(StrEnum):
    """Where a request stands."""

    RECEIVED = "RECEIVED"
    VERIFIED = "VERIFIED"
    APPROVED = "APPROVED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow; a failed request can be approved again."""
        return self in {
            DataRequestState.COMPLETED,
            DataRequestState.REJECTED,
            DataRequestState.CANCELLED,
        }


OPEN_STATES = (DataRequestState.RECEIVED, DataRequestState.VERIFIED)
"""States in which a request can still be rejected or cancelled."""


@dataclass(frozen=True)
class Step:
    """A step of the work on a request, and what it found.

    Attributes:
        name: The store, or ``suppress``, ``verify``, ``package``, ``apply``.
        state: PENDING, RUNNING or DONE.
        rows_found: Rows, files or keys of the person.
        rows_erased: How many of them are gone now.
        sha256: Digest of what was exported, hex; of an erasure, of what was there before it.
        done_at: When it was done; None before.
    """

    name: str
    state: str
    rows_found: int
    rows_erased: int
    sha256: str
    done_at: datetime | None


@dataclass(frozen=True)
class Notes:
    """What staff wrote about a request; sealed, and gone with an erasure.

    Attributes:
        verification: How the person was verified.
        reason: Why it was rejected or extended.
        corrections: New values by name, for a rectification.
    """

    verification: str = ""
    reason: str = ""
    corrections: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DataRequest:
    """A request.

    Attributes:
        request_id: Identifier.
        identity_id: Whose decisions belong to the person.
        customer_id: The customer; None when there is none, or after an erasure.
        external_id: The tenant's identifier; empty after an erasure.
        type: What is asked for.
        is_lifting: Whether a restriction or an objection is taken back.
        channel: How it came.
        state: Where it stands.
        notes: What staff wrote.
        received_at: When the person asked.
        due_at: When it must be answered.
        extended_at: When that time was extended; None if it was not.
        export_sha256: Digest of the export's file, hex; empty without one.
        export_bytes: Its size.
        export_until: When it is removed; None without one.
        error_reason: Why the work failed; empty if it did not.
        created_by: Who stored it.
        decided_by: Who approved or rejected it.
        created_at: When it was stored.
        ended_at: When it ended; None before.
        steps: The work, in order.
    """

    request_id: UUID
    identity_id: UUID
    customer_id: UUID | None
    external_id: str
    type: DataRequestType
    is_lifting: bool
    channel: str
    state: DataRequestState
    notes: Notes
    received_at: datetime
    due_at: datetime
    extended_at: datetime | None
    export_sha256: str
    export_bytes: int
    export_until: datetime | None
    error_reason: str
    created_by: str
    decided_by: str
    created_at: datetime
    ended_at: datetime | None
    steps: tuple[Step, ...] = ()


class DataRequestMissing(NotFound):
    """No such request or file, or another tenant's; names the field."""

    def __init__(self, field_name: str) -> None:
        violations = (Violation(field_name, "not found"),)
        super().__init__(f"{field_name}: not found", violations=violations, metadata={"field": field_name})


class CustomerNotVerified(FailedPrecondition):
    """Nobody said how it was found out that the person is who they say they are."""

    reason = "CUSTOMER_NOT_VERIFIED"


class LegalHold(FailedPrecondition):
    """The law forbids to erase the person's data now."""

    reason = "LEGAL_HOLD"


class DataRequestStateInvalid(FailedPrecondition):
    """The request is in a state in which the call means nothing."""

    reason = "DATA_REQUEST_STATE_INVALID"

    def __init__(self, state: DataRequestState, wanted: str) -> None:
        super().__init__(
            f"the data request is {state.lower()}; this needs one that is {wanted}",
            metadata={"state": state},
        )


class ExportNotReady(FailedPrecondition):
    """There is no file to fetch: not yet, no more, or never."""

    reason = "EXPORT_NOT_SUCCEEDED"
