"""What consent is about: purposes, acts and states of customers, and how a call about them can fail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from cohortlens.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Violation

ACTIVITIES = frozenset(
    {
        "analytics.segmentation",
        "analytics.prediction",
        "analytics.explanation",
        "training.model",
        "marketing.recommendation",
        "sharing.marketplace",
        "storage.ipfs",
        "rewards.onchain",
    }
)
"""What the product does with the data of customers; a purpose covers some of them."""


class Mechanism(StrEnum):
    """What it takes for a customer's data to be used for a purpose."""

    OPT_IN = "OPT_IN"
    OPT_OUT = "OPT_OUT"
    NOTICE = "NOTICE"


class LawfulBasis(StrEnum):
    """Ground of GDPR article 6(1)."""

    CONSENT = "CONSENT"
    CONTRACT = "CONTRACT"
    LEGAL_OBLIGATION = "LEGAL_OBLIGATION"
    VITAL_INTEREST = "VITAL_INTEREST"
    PUBLIC_TASK = "PUBLIC_TASK"
    LEGITIMATE_INTEREST = "LEGITIMATE_INTEREST"


BASES: dict[Mechanism, tuple[LawfulBasis, ...]] = {
    Mechanism.OPT_IN: (LawfulBasis.CONSENT,),
    Mechanism.OPT_OUT: (LawfulBasis.LEGITIMATE_INTEREST, LawfulBasis.PUBLIC_TASK),
    Mechanism.NOTICE: (
        LawfulBasis.CONTRACT,
        LawfulBasis.LEGAL_OBLIGATION,
        LawfulBasis.VITAL_INTEREST,
        LawfulBasis.PUBLIC_TASK,
    ),
}
"""The grounds on which each mechanism can stand; the first one where nothing is said."""


class ActType(StrEnum):
    """What an event says; the last two are recorded by the jobs process alone."""

    GIVEN = "GIVEN"
    REAFFIRMED = "REAFFIRMED"
    REFUSED = "REFUSED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"
    INVALIDATED = "INVALIDATED"


class ConsentState(StrEnum):
    """Where a customer stands with a purpose; NONE: nothing was ever decided."""

    NONE = "NONE"
    GIVEN = "GIVEN"
    REFUSED = "REFUSED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"
    INVALIDATED = "INVALIDATED"


class CollectionMethod(StrEnum):
    """How a decision was collected."""

    FORM = "FORM"
    BANNER = "BANNER"
    API = "API"
    IMPORT = "IMPORT"
    LINK = "LINK"
    SIGNAL = "SIGNAL"
    SYSTEM = "SYSTEM"


@dataclass(frozen=True)
class Purpose:
    """A version of a purpose.

    Attributes:
        key: Name, such as ``profiling``.
        version: From 1.
        title: Name for people.
        description: What is done, in words for customers.
        dpv_purpose: IRI in the Data Privacy Vocabulary.
        lawful_basis: Ground of GDPR article 6.
        mechanism: What it takes.
        data_categories: IRIs of the categories of data.
        recipients: Who else receives the data.
        retention_days: Days for which the data are kept for it.
        validity_days: Days after which a consent ends by itself; None: it does not.
        requires_reconsent: Whether consents to the versions before ended with this one.
        min_version: Oldest version whose consents still count.
        activities: What of the product it covers.
        created_at: When this version was made.
    """

    key: str
    version: int
    title: str
    description: str
    dpv_purpose: str
    lawful_basis: LawfulBasis
    mechanism: Mechanism
    data_categories: tuple[str, ...]
    recipients: tuple[str, ...]
    retention_days: int
    validity_days: int | None
    requires_reconsent: bool
    min_version: int
    activities: tuple[str, ...]
    created_at: datetime

    @property
    def etag(self) -> str:
        """Tag of the version."""
        return str(self.version)


@dataclass(frozen=True)
class Notice:
    """A notice in one version and language.

    Attributes:
        id: Identifier.
        key: Name.
        version: From 1.
        locale: Language, BCP 47.
        content: The text.
        sha256: Of the text in UTF-8.
        controller: Who answers for the processing.
        purposes: Version of each purpose it tells of, by name.
        created_at: When it was published.
    """

    id: UUID
    key: str
    version: int
    locale: str
    content: str
    sha256: bytes
    controller: dict[str, Any]
    purposes: dict[str, int]
    created_at: datetime


@dataclass(frozen=True)
class StoredReceipt:
    """A receipt as stored.

    Attributes:
        id: Its identifier.
        identity_id: The person.
        record: RFC 8785 bytes.
        signature: Detached JWS over them.
        kid: The key that signed.
    """

    id: UUID
    identity_id: UUID
    record: bytes
    signature: str
    kid: str


@dataclass(frozen=True)
class CustomerName:
    """A customer as a request names it: by one of the two.

    Attributes:
        customer_id: Identifier of the product.
        external_id: The tenant's own identifier; also of a customer who is not imported yet.
    """

    customer_id: UUID | None = None
    external_id: str = ""


class ConsentRowMissing(NotFound):
    """No such purpose, notice, customer, event or receipt, or another tenant's; names the field."""

    def __init__(self, field: str) -> None:
        violations = (Violation(field, "not found"),)
        super().__init__(f"{field}: not found", violations=violations, metadata={"field": field})


class ConsentRowExists(AlreadyExists):
    """A purpose, a notice or an activity of a purpose is there already."""

    reason = "RESOURCE_EXISTS"

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field}: {fault}", violations=(Violation(field, fault),))


class NoticeOutdated(FailedPrecondition):
    """What the customer was shown was not what held when the decision was made."""

    reason = "NOTICE_OUTDATED"


class ConsentRequired(FailedPrecondition):
    """There is no consent that the call could build upon."""

    reason = "CONSENT_REQUIRED"


class CustomerErased(FailedPrecondition):
    """The customer was erased: nothing but a withdrawal is recorded any more."""

    reason = "CUSTOMER_ERASED"


def field_fault(field: str, fault: str) -> InvalidArgument:
    """The fault of one field of a request."""
    return InvalidArgument(f"{field}: {fault}", violations=(Violation(field, fault),))
