"""Finds the identity of a customer whom a request names, without making one."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.identities import Identities, parse_customer
from cohortlens.consent.models import ConsentRowMissing
from cohortlens.core.ids import plain_uuid
from cohortlens.core.tenant_keys import TenantKeys

_BY_CUSTOMER = text("SELECT id FROM consent_identities WHERE customer_id = :customer")
_BY_INDEX = text("SELECT id FROM consent_identities WHERE ident_bidx = :bidx")


async def identity_of(
    tx: AsyncConnection, tenant_id: UUID, keys: TenantKeys, name: str, field: str = "customer"
) -> UUID:
    """The identity of a customer who has decided about something.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: Its tenant.
        keys: The tenants' keys.
        name: A customer's identifier, or ``external:`` and the tenant's own one.
        field: Path of the name in the request.

    Raises:
        InvalidArgument: FIELD_INVALID: it is neither form.
        NotFound: RESOURCE_NOT_FOUND: nobody of that name has decided about anything.
    """
    external, customer = parse_customer(name, field)
    if customer is not None:
        found = await tx.scalar(_BY_CUSTOMER, {"customer": customer})
    else:
        bidx = await Identities(tx, tenant_id, keys).index(external)
        found = await tx.scalar(_BY_INDEX, {"bidx": bidx})
    if found is None:
        raise ConsentRowMissing(field)
    return plain_uuid(found)
