"""Whose decisions they are: customers, people who are to be imported yet, people who were erased.

A person is found by a keyed hash of the tenant's own identifier, so that a withdrawal of somebody who was
erased still finds its place, and nobody else finds the person.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.models import ConsentRowMissing, field_fault
from cohortlens.core.db import driver
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

_CUSTOMERS = "SELECT id, external_id FROM customers WHERE tenant_id = app.tid() AND id = ANY ($1::uuid[])"
# In the order of the hashes: two calls with the same people do not wait for each other crosswise.
_LOCKED = """
WITH locked AS (
  INSERT INTO consent_identities AS i (tenant_id, id, customer_id, ident_bidx, ident_enc)
  SELECT app.tid(), n.id, c.id, n.bidx, n.enc
    FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[]) AS n (id, external, bidx, enc)
    LEFT JOIN customers c ON c.tenant_id = app.tid() AND c.external_id = n.external
   ORDER BY n.bidx
  ON CONFLICT (tenant_id, ident_bidx) DO UPDATE SET customer_id =
    CASE WHEN i.erased_at IS NULL THEN coalesce(i.customer_id, excluded.customer_id) END
  RETURNING id, customer_id, ident_bidx, data_key_enc, erased_at)
SELECT l.*, {question} AS answer FROM locked l
"""


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

    Attributes:
        made_keys: Sealed keys of evidence that were made and are not stored yet, by person.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: UUID, keys: TenantKeys) -> None:
        self.made_keys: dict[UUID, bytes] = {}
        self._tx = tx
        self._tenant_id = tenant_id
        self._keys = keys

    async def locked(self, names: Sequence[str], fields: Sequence[str]) -> list[Identity]:
        """The people of these names, made where they are new; nobody else records about them meanwhile.

        Args:
            names: A customer's identifier, or ``external:`` and the tenant's own one; at least one.
            fields: Path of each in the request.

        Raises:
            InvalidArgument: FIELD_INVALID: a name is neither form.
            NotFound: RESOURCE_NOT_FOUND: no such customer, or another tenant's.
        """
        return (await self.locked_asking(names, fields, "''"))[0]

    async def locked_asking(
        self, names: Sequence[str], fields: Sequence[str], question: str
    ) -> tuple[list[Identity], str]:
        """As ``locked``, with the answer to a question that is sent along.

        Args:
            names: As ``locked``.
            fields: As ``locked``.
            question: A constant SQL expression of type text. It sees what was committed before the call, not
                what the lock waited for.
        """
        externals = await self._named(names, fields)
        secret = await self._keys.mac_key(self._tx, self._tenant_id, IDENTITY_INDEX)
        sealer = await self._keys.sealer(self._tx, self._tenant_id, IDENT_COLUMN)
        index, rows = {}, []
        for external in dict.fromkeys(externals):
            made, raw = uuid7(), external.encode("utf-8", "surrogatepass")
            index[external] = hmac.digest(secret, raw, hashlib.sha256)
            rows.append((made, external, index[external], sealer.seal(raw, made.bytes)))
        statement = _LOCKED.format(question=question)
        locked = await (await driver(self._tx)).fetch(statement, *map(list, zip(*rows, strict=True)))
        found = {row["ident_bidx"]: row for row in locked}
        by_name = {external: _identity(found[key], external) for external, key in index.items()}
        return [by_name[one] for one in externals], str(locked[0]["answer"])

    async def index(self, external_id: str) -> bytes:
        """The keyed hash by which a person is found; 32 bytes."""
        return await self._keys.blind_index(self._tx, self._tenant_id, IDENTITY_INDEX, external_id)

    async def evidence_sealer(self, identity: Identity) -> TenantSealer:
        """What seals the evidence of a person; their key is made with the first of it (``made_keys``)."""
        wrapping = await self._keys.sealer(self._tx, self._tenant_id, DATA_KEY_COLUMN)
        wrapped = self.made_keys.get(identity.id, identity.data_key_enc)
        if wrapped is None:
            key = os.urandom(_KEY_BYTES)
            self.made_keys[identity.id] = wrapping.seal(key, identity.id.bytes)
        else:
            key = wrapping.open(wrapped, identity.id.bytes)
        return TenantSealer(key, self._tenant_id, EVIDENCE_COLUMN)

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

    async def _named(self, names: Sequence[str], fields: Sequence[str]) -> list[str]:
        """The tenant's own identifiers; those of customers that are named by ours are looked up."""
        parsed = [parse_customer(name, field) for name, field in zip(names, fields, strict=True)]
        ids = [identifier for _, identifier in parsed if identifier is not None]
        by_id: dict[UUID, str] = {}
        if ids:
            rows = await (await driver(self._tx)).fetch(_CUSTOMERS, ids)
            by_id = {plain_uuid(row["id"]): row["external_id"] for row in rows}
        resolved = []
        for (external, identifier), field in zip(parsed, fields, strict=True):
            if identifier is not None and identifier not in by_id:
                raise ConsentRowMissing(field)
            resolved.append(external if identifier is None else by_id[identifier])
        return resolved


def _identity(row: Mapping[str, Any], external: str) -> Identity:
    customer = row["customer_id"]
    return Identity(
        plain_uuid(row["id"]),
        None if customer is None else plain_uuid(customer),
        row["data_key_enc"],
        row["erased_at"],
        external,
    )


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
