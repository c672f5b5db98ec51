"""Finds the identity of a customer whom a request names, without making one."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.identities import Identities, parse_customer
from cohortlens.consent.models import ConsentRowMissing
from cohortlens.core.ids import plain_uuid
from cohortlens.core.tenant_keys import TenantKeys

_BY_CUSTOMER = text(
    "SELECT c.id, i.id AS identity FROM customers c LEFT JOIN consent_identities i"
    " ON i.tenant_id = c.tenant_id AND i.customer_id = c.id"
    " WHERE c.tenant_id = app.tid() AND c.id = :customer"
    " UNION ALL SELECT i.customer_id, i.id FROM consent_identities i"
    " WHERE i.tenant_id = app.tid() AND i.customer_id = :customer"
    " ORDER BY identity LIMIT 1"  # NULL comes last
)
_BY_NAME = text(
    "SELECT customer_id AS id, id AS identity FROM consent_identities"
    " WHERE tenant_id = app.tid() AND ident_bidx = :bidx"
    " UNION ALL SELECT id, NULL FROM customers WHERE tenant_id = app.tid() AND external_id = :external"
    " ORDER BY identity LIMIT 1"
)


async def identity_of(
    tx: AsyncConnection, tenant_id: UUID, keys: TenantKeys, name: str, field: str = "customer"
) -> UUID | None:
    """The identity of a person; None for a customer who has not decided about anything yet.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: Its tenant.
        keys: The tenants' keys.
        name: A customer's identifier, or ``external:`` and the tenant's own one.
        field: Path of the name in the request.

    Raises:
        InvalidArgument: FIELD_INVALID: it is neither form.
        NotFound: RESOURCE_NOT_FOUND: no customer has that name, and nobody of that name has decided.
    """
    external, customer = parse_customer(name, field)
    if customer is not None:
        found = await tx.execute(_BY_CUSTOMER, {"customer": customer})
    else:
        bidx = await Identities(tx, tenant_id, keys).index(external)
        found = await tx.execute(_BY_NAME, {"bidx": bidx, "external": external})
    row = found.one_or_none()
    if row is None:
        raise ConsentRowMissing(field)
    return None if row.identity is None else plain_uuid(row.identity)
