"""What is offered, asked and agreed, and the refusals of the marketplace."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from cohortlens.audit.models import Actor
from cohortlens.core.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Violation,
)
from cohortlens.core.ids import TenantId
from cohortlens.marketplace.states import AgreementState

LEAST_CONTRIBUTORS: Final = 100
"""Contributors under which nothing is offered."""
BY_JOBS: Final = Actor("job", "marketplace")
"""Who acts in the audit log for what follows by itself."""
SETTLEMENT_WANTED: Final = "marketplace.settlement"
"""Topic: an agreement is to be settled, step by step. Key: the settlement."""
ENDING_WANTED: Final = "marketplace.ending"
"""Topic: an agreement ended, and its credential is to be revoked. Key: the settlement, and ``ending``."""


@dataclass(frozen=True)
class Dimension:
    """By what answers can be broken down, with its closed list of values."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Spec:
    """What is offered; see ``OfferSpec`` of the API.

    Attributes:
        title: Name for people.
        description: What the figures are good for.
        dimensions: By what answers can be broken down.
        measures: What can be asked beside the count: ``sum_spend``, ``mean_spend``.
        clip_minor: Most that one customer adds to a sum, minor units; 0 without measures.
        purposes: Purposes for which buyers may use answers; all that are permitted when empty.
        price_minor: Price, minor units.
        currency: Of the price.
        incentive_micro: Micro-tokens that the contributors of one agreement share.
        epsilon_milli: What a question costs, thousandths of epsilon.
        least_persons: Persons under which a cell is never shown.
        ends_at: When offer and agreements end.
    """

    title: str
    description: str
    dimensions: tuple[Dimension, ...]
    measures: tuple[str, ...]
    clip_minor: int
    purposes: tuple[str, ...]
    price_minor: int
    currency: str
    incentive_micro: int
    epsilon_milli: int
    least_persons: int
    ends_at: datetime

    def dimension(self, name: str) -> Dimension | None:
        """A dimension by name."""
        return next((one for one in self.dimensions if one.name == name), None)

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["dimensions"] = [{"name": one.name, "values": list(one.values)} for one in self.dimensions]
        values["measures"], values["purposes"] = list(self.measures), list(self.purposes)
        values["ends_at"] = self.ends_at.isoformat()
        return values

    @classmethod
    def read(cls, values: dict[str, Any]) -> Spec:
        """From the JSON of ``stored``."""
        return cls(
            **{
                **values,
                "dimensions": tuple(
                    Dimension(one["name"], tuple(one["values"])) for one in values["dimensions"]
                ),
                "measures": tuple(values["measures"]),
                "purposes": tuple(values["purposes"]),
                "ends_at": datetime.fromisoformat(values["ends_at"]),
            }
        )


@dataclass(frozen=True)
class Offer:
    """An offer as its seller or a buyer sees it; the state is DRAFT, PUBLISHED, SUSPENDED or WITHDRAWN."""

    tenant_id: TenantId
    seller: str
    id: UUID
    state: str
    version: int
    etag: int
    spec: Spec
    terms: bytes = b""
    dcat: dict[str, Any] = field(default_factory=dict)
    published_at: datetime | None = None


@dataclass(frozen=True)
class Move:
    """A change of an agreement's state; ``actor`` is SELLER, BUYER or PLATFORM."""

    state: AgreementState
    actor: str
    at: datetime


@dataclass(frozen=True)
class Agreement:
    """A request, and the agreement that comes of it; ``tenant_id`` is the seller's."""

    tenant_id: TenantId
    id: UUID
    buyer_id: TenantId
    offer_id: UUID
    offer_version: int
    purpose: str
    state: AgreementState
    reason: str
    price_minor: int
    currency: str
    incentive_micro: int
    expires_at: datetime
    agreed_at: datetime | None
    data_revision: int
    created_at: datetime
    moves: tuple[Move, ...] = ()


class MarketMissing(NotFound):
    """No such offer, request or agreement, or none of the caller's."""

    def __init__(self, what: str) -> None:
        super().__init__(f"there is no such {what}")


class OfferInvalid(InvalidArgument):
    """An offer cannot be as it was asked for; names the field."""

    reason = "OFFER_INVALID"

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{name}: {fault}", violations=(Violation(name, fault),))


class OfferTooSmall(FailedPrecondition):
    """Fewer than 100 customers allow the sharing; how many is not told."""

    reason = "OFFER_TOO_SMALL"

    def __init__(self) -> None:
        super().__init__(
            f"fewer than {LEAST_CONTRIBUTORS} customers allow the sharing of aggregates; "
            "ask for more consents",
            metadata={"least": str(LEAST_CONTRIBUTORS)},
        )


class OfferWithdrawn(FailedPrecondition):
    """The offer is not on offer any more."""

    reason = "OFFER_WITHDRAWN"

    def __init__(self) -> None:
        super().__init__("the offer was withdrawn, suspended or has ended")


class OfferOwnTenant(PermissionDenied):
    """Nobody buys from themselves."""

    reason = "OFFER_OWN_TENANT"

    def __init__(self) -> None:
        super().__init__("the offer is your own; preview it instead")


class PurposeNotPermitted(PermissionDenied):
    """Not every contributor allows the purpose."""

    reason = "PURPOSE_NOT_PERMITTED"

    def __init__(self, purpose: str, permitted: tuple[str, ...]) -> None:
        super().__init__(
            f"the purpose {purpose!r} is not permitted; permitted are: {', '.join(permitted) or 'none'}",
            metadata={"permitted": ",".join(permitted)},
        )


class AgreementNotActive(FailedPrecondition):
    """Questions are answered between agreement and end."""

    reason = "AGREEMENT_NOT_ACTIVE"


class QueryNotAllowed(InvalidArgument):
    """The question is not in the closed list; names the field."""

    reason = "QUERY_NOT_ALLOWED"

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{name}: {fault}", violations=(Violation(name, fault),))


class CohortTooSmall(FailedPrecondition):
    """Every cell of the answer is about too few persons; the charge stands."""

    reason = "COHORT_TOO_SMALL"

    def __init__(self) -> None:
        super().__init__(
            "every cell of the answer is about too few persons to be told; "
            "ask with fewer dimensions or filters"
        )


class PrivacyBudgetExhausted(ResourceExhausted):
    """Nothing may be asked until a budget starts anew."""

    reason = "PRIVACY_BUDGET_EXHAUSTED"

    def __init__(self, scope: str, resets_at: datetime) -> None:
        super().__init__(
            f"the privacy budget of the {scope.lower()} is used up until {resets_at.isoformat()}; "
            "questions that were answered before are answered still",
            metadata={"scope": scope, "resets_at": resets_at.isoformat()},
        )
