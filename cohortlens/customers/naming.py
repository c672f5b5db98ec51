"""What callers call customers: by an identifier, or by ``external:`` and the one in the tenant's own data."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.core.ids import CustomerId
from cohortlens.customers.models import EXTERNAL_PREFIX, CustomerNotFound, customer_key
from cohortlens.customers.repository import CustomersRepository


async def resolved(
    tx: AsyncConnection, names: Sequence[str], fields: Sequence[str]
) -> list[tuple[CustomerId, str]]:
    """Identifier and external identifier of customers, in the order of their names.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        names: What they are called.
        fields: Where each name stands in the request.

    Raises:
        CustomerNotFound: The first that does not exist, or belongs to another tenant.
        InvalidArgument: The first that is neither form.
    """
    result = []
    for found, field in zip(await known(tx, names, fields), fields, strict=True):
        if found is None:
            raise CustomerNotFound(field)
        result.append(found)
    return result


async def known(
    tx: AsyncConnection, names: Sequence[str], fields: Sequence[str]
) -> list[tuple[CustomerId, str] | None]:
    """As ``resolved``, with None for those that do not exist or belong to another tenant."""
    keys = [_required_key(name, field) for name, field in zip(names, fields, strict=True)]
    ids = [key for key in keys if isinstance(key, UUID)]
    # PostgreSQL cannot hold a NUL in a text, so no customer has one.
    externals = [key for key in keys if isinstance(key, str) and "\0" not in key]
    repository = CustomersRepository(tx)
    by_id = await repository.by_ids(ids) if ids else {}
    by_external = await repository.by_external_ids(externals) if externals else {}
    result: list[tuple[CustomerId, str] | None] = []
    for key in keys:
        if isinstance(key, UUID):
            result.append((CustomerId(key), by_id[key]) if key in by_id else None)
        else:
            found = by_external.get(key)
            result.append(None if found is None else (CustomerId(found), key))
    return result


def _required_key(name: str, field: str) -> UUID | str:
    key = customer_key(name)
    if key is None:
        fault = f"expected a customer identifier, or {EXTERNAL_PREFIX} and the identifier in your own data"
        raise InvalidArgument(f"{field}: {fault}", violations=(Violation(field, fault),))
    return key
