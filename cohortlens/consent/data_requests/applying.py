"""Requests whose work is one change: a rectification, a restriction, an objection, or the end of one."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.data_requests.models import DataRequest, DataRequestType
from cohortlens.consent.models import ConsentRowMissing

_COLUMNS = {DataRequestType.RESTRICTION: "restricted_at", DataRequestType.OBJECTION: "objected_at"}
# An attribute that is corrected to nothing is removed.
_CORRECT = """
UPDATE customers SET
  country = CASE WHEN :has_country THEN nullif(:country, '') ELSE country END,
  attributes = (attributes || CAST(:changed AS jsonb)) - CAST(:removed AS text[])
 WHERE tenant_id = app.tid() AND id = :customer
"""


async def apply(tx: AsyncConnection, request: DataRequest, at: datetime) -> int:
    """Do what a request asks for; answers how many rows it changed. A second call changes nothing more.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        request: Of one of the three types.
        at: The time.

    Raises:
        ConsentRowMissing: A rectification of somebody who is no customer any more.
    """
    if request.type is DataRequestType.RECTIFICATION:
        return await _correct(tx, request)
    column = _COLUMNS[request.type]
    value = "NULL" if request.is_lifting else f"coalesce({column}, :at)"
    query = f"UPDATE consent_identities SET {column} = {value} WHERE tenant_id = app.tid() AND id = :id"  # noqa: S608
    values = {"id": request.identity_id} if request.is_lifting else {"id": request.identity_id, "at": at}
    return (await tx.execute(text(query), values)).rowcount


async def _correct(tx: AsyncConnection, request: DataRequest) -> int:
    given = dict(request.notes.corrections)
    country = given.pop("country", None)
    attributes = {name.removeprefix("attributes."): value for name, value in given.items()}
    changed = await tx.execute(
        text(_CORRECT),
        {
            "customer": request.customer_id,
            "has_country": country is not None,
            "country": country or "",
            "changed": json.dumps({name: value for name, value in attributes.items() if value}),
            "removed": [name for name, value in attributes.items() if not value],
        },
    )
    if changed.rowcount != 1:
        raise ConsentRowMissing("customer")
    return 1
