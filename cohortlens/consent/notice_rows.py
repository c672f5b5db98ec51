"""Every statement about notices."""

from __future__ import annotations

import json
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.models import Notice
from cohortlens.core.ids import plain_uuid

_COLUMNS = "n.id, n.key, n.version, n.locale, n.content, n.sha256, n.controller, n.created_at"
_PURPOSES = (
    "(SELECT jsonb_agg(jsonb_build_object('key', p.purpose_key, 'version', p.purpose_version)"
    " ORDER BY p.purpose_key) FROM notice_purposes p WHERE p.tenant_id = n.tenant_id AND p.notice_id = n.id)"
    " AS purposes"
)
_END = (
    "(SELECT min(m.created_at) FROM notices m WHERE m.tenant_id = n.tenant_id AND m.key = n.key"
    " AND m.version = n.version + 1) AS ends_at"
)


class NoticeRows:
    """The notices of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``; for ``public`` inside any transaction.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def newest(self, key: str) -> list[Notice]:
        """All languages of the newest version of a notice; none when there is no such notice."""
        rows = await self._tx.execute(
            text(
                f"SELECT {_COLUMNS}, {_PURPOSES} FROM notices n WHERE n.tenant_id = app.tid()"  # noqa: S608
                " AND n.key = :key AND n.version = (SELECT max(m.version) FROM notices m"
                " WHERE m.tenant_id = app.tid() AND m.key = :key) ORDER BY n.locale"
            ),
            {"key": key},
        )
        return [notice_of(row) for row in rows]

    async def last(self) -> UUID | None:
        """The notice that was published last, of whatever name; None before the first."""
        found = await self._tx.scalar(
            text(
                "SELECT id FROM notices WHERE tenant_id = app.tid() ORDER BY created_at DESC, id DESC LIMIT 1"
            )
        )
        return None if found is None else plain_uuid(found)

    async def get(self, notice_id: UUID) -> Notice | None:
        """A notice of this tenant."""
        found = await self.get_with_end(notice_id)
        return None if found is None else found[0]

    async def get_with_end(self, notice_id: UUID) -> tuple[Notice, datetime | None] | None:
        """A notice of this tenant, and when its next version took its place; None: it holds."""
        row = (
            await self._tx.execute(
                text(
                    f"SELECT {_COLUMNS}, {_PURPOSES}, {_END} FROM notices n"  # noqa: S608 - constants
                    " WHERE n.tenant_id = app.tid() AND n.id = :id"
                ),
                {"id": notice_id},
            )
        ).one_or_none()
        return None if row is None else (notice_of(row), row.ends_at)

    async def public(self, notice_id: UUID) -> Notice | None:
        """A notice, of whichever tenant."""
        found = await self._tx.execute(text("SELECT * FROM app.notice(:id)"), {"id": notice_id})
        row = found.one_or_none()
        return None if row is None else notice_of(row)

    async def add(self, notice: Notice, actor: str) -> None:
        """Store a notice."""
        await self._tx.execute(
            text(
                "INSERT INTO notices (tenant_id, id, key, version, locale, content, sha256, controller,"
                " created_by, created_at) VALUES (app.tid(), :id, :key, :version, :locale, :content, :sha256,"
                " CAST(:controller AS jsonb), :actor, :at)"
            ),
            {
                "id": notice.id,
                "key": notice.key,
                "version": notice.version,
                "locale": notice.locale,
                "content": notice.content,
                "sha256": notice.sha256,
                "controller": json.dumps(notice.controller),
                "actor": actor,
                "at": notice.created_at,
            },
        )
        await self._tx.execute(
            text(
                "INSERT INTO notice_purposes (tenant_id, notice_id, purpose_key, purpose_version)"
                " SELECT app.tid(), :id, n.key, n.version"
                " FROM unnest(CAST(:keys AS text[]), CAST(:versions AS integer[])) AS n (key, version)"
            ),
            {"id": notice.id, "keys": list(notice.purposes), "versions": list(notice.purposes.values())},
        )


def notice_of(row: Row[tuple[object, ...]]) -> Notice:
    """A row of ``notices`` with its purposes as the domain sees it."""
    return Notice(
        plain_uuid(row.id),
        row.key,
        row.version,
        row.locale,
        row.content,
        bytes(row.sha256),
        row.controller,
        {one["key"]: one["version"] for one in row.purposes or []},
        row.created_at,
    )
