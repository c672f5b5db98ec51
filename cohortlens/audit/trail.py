"""The one way into the audit log: a row in the transaction of the change it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor, AuditEntry, Outcome, truncated_address
from cohortlens.core.context import RequestContext

_APPEND = text("SELECT app.audit_append(:canonical)")


class AuditTrail:
    """Appends to the chain of the transaction's tenant.

    Appending holds the head of the tenant's chain until the commit, so it is the last statement of its
    transaction: whatever follows would make every other writer of the tenant wait.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def append(
        self,
        who: RequestContext | Actor,
        action: str,
        *,
        resource: str = "",
        outcome: Outcome = "OK",
        details: Mapping[str, Any] | None = None,
    ) -> int:
        """Chain a row; it stays if and only if the transaction commits.

        Args:
            who: The request, or whoever acts outside one.
            action: ``<slice>.<object>.<verb>``, such as ``identity.user.invited``.
            resource: Path of what it was done to, such as ``users/0193...``.
            outcome: OK, DENIED (refused) or FAILED (tried, did not work).
            details: JSON values without personal data; a customer appears as ``customer_ref``.

        Returns:
            The row's place in the chain.

        Raises:
            ValueError: The row cannot be written down; a fault of the code that calls.
        """
        entry = entry_of(who, action, resource=resource, outcome=outcome, details=details)
        return int(await self._tx.scalar(_APPEND, {"canonical": entry.canonical()}))


def entry_of(
    who: RequestContext | Actor,
    action: str,
    *,
    resource: str,
    outcome: Outcome,
    details: Mapping[str, Any] | None,
) -> AuditEntry:
    """The meaning of a row, its address truncated. Arguments as ``AuditTrail.append``."""
    if isinstance(who, Actor):
        actor, on_behalf_of = str(who), who.on_behalf_of
    elif who.principal is None:
        actor, on_behalf_of = "anonymous:", ""
    else:
        actor, on_behalf_of = who.principal.actor, who.principal.acting_for
    return AuditEntry(
        actor=actor,
        on_behalf_of=on_behalf_of,
        action=action,
        resource=resource,
        outcome=outcome,
        request_id=who.request_id,
        address=truncated_address(who.address),
        details=details or {},
    )
