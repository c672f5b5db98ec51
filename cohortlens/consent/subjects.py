"""Who a data request or a link is about, found by the name that a request gives or by the identity."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.identities import IDENT_COLUMN, Identities, parse_customer
from cohortlens.consent.models import ConsentRowMissing, CustomerErased
from cohortlens.core.ids import plain_uuid
from cohortlens.core.personal_data import Subject
from cohortlens.core.tenant_keys import TenantKeys

_IDENTITY = """
SELECT id, customer_id, ident_enc, erased_at FROM consent_identities WHERE tenant_id = app.tid() AND id = :id
"""
_BY_CUSTOMER = "SELECT id FROM consent_identities WHERE tenant_id = app.tid() AND customer_id = :customer"
_BY_HASH = "SELECT id FROM consent_identities WHERE tenant_id = app.tid() AND ident_bidx = :bidx"
_ERASED = "the person was erased; nothing about them is left to ask for"


class People:
    """Finds persons, in the transaction of the caller.

    Args:
        keys: The tenants' keys.
    """

    def __init__(self, keys: TenantKeys) -> None:
        self._keys = keys

    async def subject(self, tx: AsyncConnection, tenant_id: UUID, customer: str) -> Subject:
        """A person by name; one without decisions yet gets an identity, which stays locked.

        Args:
            tx: A connection inside ``Database.tenant_transaction``.
            tenant_id: Its tenant.
            customer: A customer's identifier, or ``external:`` and the tenant's own one.

        Raises:
            ConsentRowMissing: There is no such customer.
            CustomerErased: The person was erased.
            InvalidArgument: The name is neither form.
        """
        (identity,) = await Identities(tx, tenant_id, self._keys).locked([customer], ["customer"])
        return await self.opened(tx, tenant_id, identity.id)

    async def known(self, tx: AsyncConnection, tenant_id: UUID, customer: str) -> UUID | None:
        """The identity of a person, erased ones included; None for one without. Arguments as ``subject``.

        Raises:
            InvalidArgument: The name is neither form.
        """
        external, customer_id = parse_customer(customer, "customer")
        if customer_id is not None:
            found = await tx.scalar(text(_BY_CUSTOMER), {"customer": customer_id})
        else:
            bidx = await Identities(tx, tenant_id, self._keys).index(external)
            found = await tx.scalar(text(_BY_HASH), {"bidx": bidx})
        return None if found is None else plain_uuid(found)

    async def opened(self, tx: AsyncConnection, tenant_id: UUID, identity_id: UUID) -> Subject:
        """A person by identity.

        Raises:
            ConsentRowMissing: There is no such identity.
            CustomerErased: The person was erased.
        """
        row = (await tx.execute(text(_IDENTITY), {"id": identity_id})).one_or_none()
        if row is None:
            raise ConsentRowMissing("customer")
        if row.erased_at is not None:
            raise CustomerErased(_ERASED)
        sealer = await self._keys.sealer(tx, tenant_id, IDENT_COLUMN)
        name = sealer.open(bytes(row.ident_enc), identity_id.bytes).decode("utf-8", "surrogatepass")
        customer_id = None if row.customer_id is None else plain_uuid(row.customer_id)
        return Subject(identity_id, customer_id, name)
