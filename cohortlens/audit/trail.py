"""The one way into the audit log: a row in the transaction of the change it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor, AuditEntry, Outcome, truncated_address
from cohortlens.core.context import RequestContext
from cohortlens.core.db import send_deferred
from cohortlens.core.deferred import call_at_commit
from cohortlens.core.idempotency import no_effect

_FUNCTION = "app.audit_append"
_APPEND = text(f"SELECT {_FUNCTION}(:canonical)")


class AuditTrail:
    """Appends to the chain of the transaction's tenant.

    The head of a tenant's chain is locked from the append to the commit. So a row is sent together with the
    COMMIT, in one message: other writers of the tenant wait for PostgreSQL alone, never for this process.

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
    ) -> None:
        """Chain a row at the commit; it stands in the log if and only if the transaction commits.

        Rows of one transaction keep their order. If PostgreSQL refuses one, the transaction raises at its end
        and nothing of it is stored.
        A transaction that says what was refused is no effect of the request (``core.idempotency``).

        Args:
            who: The request, or whoever acts outside one.
            action: ``<slice>.<object>.<verb>``, such as ``identity.user.invited``.
            resource: Path of what it was done to, such as ``users/0193...``.
            outcome: OK, DENIED (refused) or FAILED (tried, did not work).
            details: JSON values without personal data; a customer appears as ``customer_ref``.

        Raises:
            ValueError: The row cannot be written down; a fault of the code that calls.
            RuntimeError: The transaction has ended, has no tenant, or is inside a savepoint.
        """
        entry = entry_of(who, action, resource=resource, outcome=outcome, details=details)
        if outcome != "OK":
            no_effect(self._tx)
        call_at_commit(self._tx, _FUNCTION, entry.canonical())

    async def append_now(
        self,
        who: RequestContext | Actor,
        action: str,
        *,
        resource: str = "",
        outcome: Outcome = "OK",
        details: Mapping[str, Any] | None = None,
    ) -> int:
        """Chain a row at once, for whoever must store its place; arguments as ``append``.

        Every other writer of the tenant waits from here to the commit, so little may follow.

        Returns:
            The row's place in the chain.

        Raises:
            ValueError: The row cannot be written down; a fault of the code that calls.
            RuntimeError: The transaction has ended, or is inside a savepoint.
        """
        entry = entry_of(who, action, resource=resource, outcome=outcome, details=details)
        canonical = entry.canonical()
        await send_deferred(self._tx)
        return int(await self._tx.scalar(_APPEND, {"canonical": canonical}))


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
