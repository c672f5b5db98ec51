"""Whose decisions they are: customers, people who are to be imported yet, people who were erased.

A person is found by a keyed hash of the tenant's own identifier, so that a withdrawal of somebody who was
erased still finds its place, and nobody else finds the person.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.models import ConsentRowMissing, field_fault
from cohortlens.core.ids import parse_uuid, plain_uuid, uuid7
from cohortlens.core.tenant_keys import TenantKeys, TenantSealer

IDENTITY_INDEX = "consent-identity"
"""Purpose of the keyed hash of ``consent_identities.ident_bidx``, for ``TenantKeys.blind_index``."""
IDENT_COLUMN = "consent_identities.ident_enc"
DATA_KEY_COLUMN = "consent_identities.data_key_enc"
EVIDENCE_COLUMN = "consent_events.evidence_enc"
_EXTERNAL = "external:"
_EXTERNAL_CHARACTERS = 200
_KEY_BYTES = 32

_CUSTOMERS = text(
    "SELECT id, external_id FROM customers WHERE tenant_id = app.tid()"
    " AND (id = ANY (CAST(:ids AS uuid[])) OR external_id = ANY (CAST(:externals AS text[])))"
)
# In the order of the hashes: two calls with the same people do not wait for each other crosswise.
_LOCKED = text(
    "INSERT INTO consent_identities AS i (tenant_id, id, customer_id, ident_bidx, ident_enc)"
    " SELECT app.tid(), n.id, n.customer, n.bidx, n.enc FROM unnest(CAST(:ids AS uuid[]),"
    " CAST(:customers AS uuid[]), CAST(:bidx AS bytea[]), CAST(:enc AS bytea[]))"
    " AS n (id, customer, bidx, enc) ORDER BY n.bidx"
    " ON CONFLICT (tenant_id, ident_bidx) DO UPDATE SET customer_id ="
    " CASE WHEN i.erased_at IS NULL THEN coalesce(i.customer_id, excluded.customer_id) END"
    " RETURNING id, customer_id, ident_bidx, data_key_enc, erased_at"
)


@dataclass(frozen=True)
class Identity:
    """A person as consent knows them.

    Attributes:
        id: Identifier; stands for the person in receipts.
        customer_id: The customer; None for one who is not imported yet, or was erased.
        data_key_enc: Sealed key of the evidence; None before there is any.
        erased_at: When the person was erased; None: was not.
        external_id: The tenant's own identifier, as the request led to it.
    """

    id: UUID
    customer_id: UUID | None
    data_key_enc: bytes | None
    erased_at: datetime | None
    external_id: str = ""


class Identities:
    """The people of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: Its tenant.
        keys: The tenants' keys.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: UUID, keys: TenantKeys) -> None:
        self._tx = tx
        self._tenant_id = tenant_id
        self._keys = keys

    async def locked(self, names: Sequence[str], fields: Sequence[str]) -> list[Identity]:
        """The people of these names, made where they are new; nobody else records about them meanwhile.

        Args:
            names: A customer's identifier, or ``external:`` and the tenant's own one.
            fields: Path of each in the request.

        Raises:
            InvalidArgument: FIELD_INVALID: a name is neither form.
            NotFound: RESOURCE_NOT_FOUND: no such customer, or another tenant's.
        """
        externals, customers = await self._named(names, fields)
        index = {one: await self.index(one) for one in set(externals)}
        sealer = await self._keys.sealer(self._tx, self._tenant_id, IDENT_COLUMN)
        rows = []
        for external, hashed in index.items():
            made = uuid7()
            sealed = sealer.seal(external.encode("utf-8", "surrogatepass"), made.bytes)
            rows.append((made, customers.get(external), hashed, sealed))
        values = dict(
            zip(("ids", "customers", "bidx", "enc"), map(list, zip(*rows, strict=True)), strict=True)
        )
        found = {bytes(row.ident_bidx): row for row in await self._tx.execute(_LOCKED, values)}
        by_name = {
            external: Identity(
                plain_uuid(found[key].id),
                None if found[key].customer_id is None else plain_uuid(found[key].customer_id),
                found[key].data_key_enc,
                found[key].erased_at,
                external,
            )
            for external, key in index.items()
        }
        return [by_name[one] for one in externals]

    async def index(self, external_id: str) -> bytes:
        """The keyed hash by which a person is found; 32 bytes."""
        return await self._keys.blind_index(self._tx, self._tenant_id, IDENTITY_INDEX, external_id)

    async def evidence_sealer(self, identity: Identity) -> tuple[Identity, TenantSealer]:
        """What seals the evidence of a person; their key is made with the first of it."""
        wrapping = await self._keys.sealer(self._tx, self._tenant_id, DATA_KEY_COLUMN)
        if identity.data_key_enc is None:
            key = os.urandom(_KEY_BYTES)
            sealed = wrapping.seal(key, identity.id.bytes)
            await self._tx.execute(
                text(
                    "UPDATE consent_identities SET data_key_enc = :key"
                    " WHERE tenant_id = app.tid() AND id = :id"
                ),
                {"id": identity.id, "key": sealed},
            )
            identity = replace(identity, data_key_enc=sealed)
        else:
            key = wrapping.open(identity.data_key_enc, identity.id.bytes)
        return identity, TenantSealer(key, self._tenant_id, EVIDENCE_COLUMN)

    async def opened(
        self, identity_id: UUID, data_key_enc: bytes | None, event_id: UUID, sealed: bytes | None
    ) -> dict[str, str]:
        """The evidence of an event; empty where there is none, or the person was erased."""
        if sealed is None or data_key_enc is None:
            return {}
        wrapping = await self._keys.sealer(self._tx, self._tenant_id, DATA_KEY_COLUMN)
        key = wrapping.open(data_key_enc, identity_id.bytes)
        raw = TenantSealer(key, self._tenant_id, EVIDENCE_COLUMN).open(sealed, event_id.bytes)
        opened: dict[str, str] = json.loads(raw)
        return opened

    async def _named(
        self, names: Sequence[str], fields: Sequence[str]
    ) -> tuple[list[str], Mapping[str, UUID]]:
        ids, externals = [], []
        for name, field in zip(names, fields, strict=True):
            external, identifier = parse_customer(name, field)
            ids.append(identifier)
            externals.append(external)
        rows = await self._tx.execute(
            _CUSTOMERS,
            {"ids": [one for one in ids if one], "externals": [one for one in externals if one]},
        )
        by_id = {plain_uuid(row.id): row.external_id for row in rows}
        resolved = []
        for identifier, external, field in zip(ids, externals, fields, strict=True):
            if identifier is not None and identifier not in by_id:
                raise ConsentRowMissing(field)
            resolved.append(external if identifier is None else by_id[identifier])
        return resolved, {external: customer for customer, external in by_id.items()}


def parse_customer(name: str, field: str) -> tuple[str, UUID | None]:
    """A customer as a request names them: the tenant's own identifier, or the product's.

    Raises:
        InvalidArgument: FIELD_INVALID: it is neither.
    """
    if name.startswith(_EXTERNAL):
        external = name.removeprefix(_EXTERNAL)
        if not 1 <= len(external) <= _EXTERNAL_CHARACTERS or "\x00" in external:
            raise field_fault(field, "external: is followed by 1 to 200 characters")
        return external, None
    identifier = parse_uuid(name)
    if identifier is None:
        raise field_fault(field, "must be the identifier of a customer, or external: and your own identifier")
    return "", identifier
