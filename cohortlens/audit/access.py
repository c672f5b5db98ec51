"""One call as the access log notes it; the gateway makes them, ``access_log.py`` stores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cohortlens.core.ids import TenantId


@dataclass(frozen=True, slots=True)
class Access:
    """One call as the access log notes it.

    Attributes:
        tenant_id: Whose log.
        actor: Who called, such as ``user:0193...``; ``anonymous:`` if unproven.
        on_behalf_of: For whom a program called; empty for nobody.
        action: Name of the call.
        method: The RPC, such as ``/cohortlens.v1.CustomersService/GetCustomer``.
        resource: Identifiers the request names, such as ``batch/0193...``; none of a customer.
        customers: Identifiers of customers the request names; stored as keyed hashes.
        outcome: OK, DENIED or FAILED.
        reason: Why it was refused or failed; empty else.
        request_id: The request.
        address: Network address of the caller; stored truncated.
        at_us: When it ended, microseconds since 1970.
    """

    tenant_id: TenantId
    actor: str
    on_behalf_of: str
    action: str
    method: str
    resource: str
    customers: Sequence[str]
    outcome: str
    reason: str
    request_id: str
    address: str
    at_us: int


class AccessNotes(Protocol):
    """Takes entries without waiting; ``access_log.AccessLog``."""

    @property
    def is_full(self) -> bool:
        """Whether no further access may be granted that must be noted."""

    def note(self, access: Access) -> None:
        """Queue an entry."""
