"""Stored answers of keyed requests that name a person: found by opening them, and deleted.

An answer lives 24 hours at most. One that named an erased person could be replayed until then.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text

from cohortlens.core.db import Database
from cohortlens.core.idempotency_keys import SEALED_COLUMN
from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.core.personal_data import Rows, Subject
from cohortlens.core.tenant_keys import TenantKeys

_PAGE = 500
_ANSWERS = """
SELECT id, answer_enc FROM idempotency_keys
 WHERE tenant_id = app.tid() AND answer_enc IS NOT NULL AND id > :after ORDER BY id LIMIT :page
"""
_DELETE = "DELETE FROM idempotency_keys WHERE tenant_id = app.tid() AND id = ANY (CAST(:ids AS uuid[]))"
_FIRST = UUID(int=0)


class AnswerStore:
    """The sealed answers of a tenant.

    Args:
        db: The database.
        tenant_keys: Open them.
    """

    name = "answers"
    tables: tuple[str, ...] = ()
    is_provided = False

    def __init__(self, db: Database, tenant_keys: TenantKeys) -> None:
        self._db = db
        self._tenant_keys = tenant_keys

    async def count(self, tenant_id: TenantId, subject: Subject) -> int:
        """Answers that name the person."""
        return len(await self._naming(tenant_id, subject))

    async def export(self, tenant_id: TenantId, subject: Subject) -> dict[str, Rows]:  # noqa: ARG002
        """Nothing: an answer repeats what other stores export."""
        return {}

    async def erase(self, tenant_id: TenantId, subject: Subject) -> None:
        """Delete the keys of those answers: a repeat of such a request is made anew, and finds nobody."""
        found = await self._naming(tenant_id, subject)
        if found:
            async with self._db.tenant_transaction(tenant_id) as tx:
                await tx.execute(text(_DELETE), {"ids": found})

    async def _naming(self, tenant_id: TenantId, subject: Subject) -> list[UUID]:
        marks = _marks(subject)
        found: list[UUID] = []
        after = _FIRST
        while rows := await self._page(tenant_id, after):
            after = plain_uuid(rows[-1][0])
            found += [row_id for row_id, answer in rows if any(mark in answer for mark in marks)]
        return found

    async def _page(self, tenant_id: TenantId, after: UUID) -> list[tuple[UUID, bytes]]:
        async with self._db.tenant_transaction(tenant_id) as tx:
            sealer = await self._tenant_keys.sealer(tx, tenant_id, SEALED_COLUMN)
            rows: Any = (await tx.execute(text(_ANSWERS), {"after": after, "page": _PAGE})).all()
        return [
            (plain_uuid(row.id), sealer.open(bytes(row.answer_enc), plain_uuid(row.id).bytes)) for row in rows
        ]


def _marks(subject: Subject) -> list[bytes]:
    """What an answer that names the person holds; answers are protobuf messages, whose texts are UTF-8."""
    marks = [str(subject.identity_id).encode()]
    if subject.customer_id is not None:
        marks.append(str(subject.customer_id).encode())
    if subject.external_id:
        marks.append(subject.external_id.encode())
    return marks
