"""Reads the access log: who looked at which customers, with what proves that nothing of it was changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.customer_refs import CUSTOMER_REF, customer_ref
from cohortlens.audit.models import RangeInvalid, instant, microseconds
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.core.tenant_keys import TenantKeyDestroyed, TenantKeys

# A search that finds little looks at no more than this at a time and is gone on with by the next page.
_LOOKED_AT_MAX = 20_000
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_IN_RANGE = (
    "FROM access_log WHERE created_at >= :since AND created_at < :until"
    " AND (created_at, id) < (:before, CAST(:before_id AS uuid)) ORDER BY created_at DESC, id DESC"
)
_ENTRIES = text(
    f"WITH looked_at AS (SELECT tenant_id, created_at, id, canonical {_IN_RANGE} LIMIT :looked_at)"  # noqa: S608
    " SELECT e.created_at, e.id, e.canonical, m.seq FROM looked_at e"
    " LEFT JOIN access_minutes m"
    " ON m.tenant_id = e.tenant_id AND m.minute = date_trunc('minute', e.created_at)"
    " CROSS JOIN LATERAL (SELECT convert_from(e.canonical, 'UTF8')::jsonb AS entry) AS read"
    " WHERE (:actor = '' OR read.entry ->> 'actor' = :actor)"
    " AND read.entry -> 'customer_refs' @> CAST(:refs AS jsonb)"
    " ORDER BY e.created_at DESC, e.id DESC LIMIT :limit"
)
_LAST_LOOKED_AT = text(f"SELECT created_at, id {_IN_RANGE} OFFSET :passed LIMIT 1")


@dataclass(frozen=True)
class AccessQuery:
    """Which entries to read.

    Attributes:
        since: Stored at or after this time; None for the oldest.
        until: Stored before this time; None for the newest.
        actor: Who called; empty for everybody.
        customer: Identifier of a customer the calls named; empty for all calls.
        customer_ref: The same by its reference; empty for all calls.
    """

    since: datetime | None = None
    until: datetime | None = None
    actor: str = ""
    customer: str = ""
    customer_ref: str = ""


@dataclass(frozen=True)
class AccessEntry:
    """An entry as it is stored.

    Attributes:
        entry_id: Identifier.
        at: When it was stored, UTC; its minute is the one that is sealed.
        canonical: The bytes that are a leaf of the tree of that minute.
        seal_seq: Row of the audit log with the root of the tree; 0 while there is none.
    """

    entry_id: UUID
    at: datetime
    canonical: bytes
    seal_seq: int

    def meaning(self) -> Mapping[str, Any]:
        """The fields of the bytes, as ``access_log`` writes them."""
        read: dict[str, Any] = json.loads(self.canonical)
        return read


@dataclass(frozen=True)
class AccessPage:
    """A part of the log.

    Attributes:
        entries: Newest first; may be none although there is a next page.
        following: Where the next page begins, a JSON value; None on the last.
    """

    entries: list[AccessEntry]
    following: tuple[int, str] | None


class AccessReading:
    """Reads the access log of a tenant.

    Args:
        db: The database.
        tenant_keys: Give the keys of customers' references.
        looked_at_max: Entries that a page looks at.
    """

    def __init__(self, db: Database, tenant_keys: TenantKeys, looked_at_max: int = _LOOKED_AT_MAX) -> None:
        self._db = db
        self._tenant_keys = tenant_keys
        self._looked_at_max = looked_at_max

    async def page(
        self, ctx: RequestContext, query: AccessQuery, after: tuple[int, str] | None, limit: int
    ) -> AccessPage:
        """A page of entries, newest first.

        Args:
            ctx: The request.
            query: Which entries.
            after: ``following`` of the page before; None for the first.
            limit: Most entries.

        Raises:
            RangeInvalid: The time range ends before it begins.
        """
        since, until = query.since or _FIRST, query.until or _LAST
        if until < since:
            raise RangeInvalid("end_time", "must not be before start_time")
        before = (_LAST, str(UUID(int=2**128 - 1))) if after is None else (instant(after[0]), after[1])
        values = {"since": since, "until": until, "before": before[0], "before_id": before[1]}
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            refs = await self._refs(tx, ctx.tenant_id, query)
            if refs is None:
                return AccessPage([], None)
            wanted = {"actor": query.actor, "refs": json.dumps(refs), "limit": limit + 1}
            looked_at = max(self._looked_at_max, limit + 1)
            rows = await tx.execute(_ENTRIES, {**values, **wanted, "looked_at": looked_at})
            entries = [_entry(row) for row in rows]
            if len(entries) > limit:
                return AccessPage(entries[:limit], _place(entries[limit - 1].at, entries[limit - 1].entry_id))
            last = (await tx.execute(_LAST_LOOKED_AT, {**values, "passed": looked_at - 1})).one_or_none()
        return AccessPage(entries, None if last is None else _place(last.created_at, last.id))

    async def _refs(self, tx: AsyncConnection, tenant_id: TenantId, query: AccessQuery) -> list[str] | None:
        """The references an entry must hold; None when none can, since their key is destroyed."""
        refs = [query.customer_ref] if query.customer_ref else []
        if query.customer:
            try:
                secret = await self._tenant_keys.mac_key(tx, tenant_id, CUSTOMER_REF)
            except TenantKeyDestroyed:
                return None
            refs.append(customer_ref(secret, query.customer))
        return refs


def _entry(row: Any) -> AccessEntry:
    return AccessEntry(plain_uuid(row.id), row.created_at, bytes(row.canonical), row.seq or 0)


def _place(at: datetime, entry_id: UUID) -> tuple[int, str]:
    return microseconds(at), str(entry_id)
