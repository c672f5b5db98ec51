"""Every statement about purposes and the activities they cover."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.models import LawfulBasis, Mechanism, Purpose

_COLUMNS = (
    "p.key, p.version, p.title, p.description, p.dpv_purpose, p.lawful_basis, p.mechanism, p.data_categories,"
    " p.recipients, p.retention_days, p.validity_days, p.requires_reconsent, p.min_version, p.activities,"
    " p.created_at"
)
_CURRENT = (
    f"SELECT {_COLUMNS} FROM purpose_heads h JOIN purposes p"  # noqa: S608 - constants
    " ON p.tenant_id = h.tenant_id AND p.key = h.key AND p.version = h.version WHERE h.tenant_id = app.tid()"
)


class PurposeRows:
    """The purposes of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def current(self) -> list[Purpose]:
        """Every purpose as it holds now, by name."""
        rows = await self._tx.execute(text(f"{_CURRENT} ORDER BY h.key"))
        return [purpose_of(row) for row in rows]

    async def versions(self, key: str, limit: int) -> list[Purpose]:
        """Versions of a purpose, the newest first."""
        rows = await self._tx.execute(
            text(
                f"SELECT {_COLUMNS} FROM purposes p WHERE p.tenant_id = app.tid() AND p.key = :key"  # noqa: S608 - constants
                " ORDER BY p.version DESC LIMIT :limit"
            ),
            {"key": key, "limit": limit},
        )
        return [purpose_of(row) for row in rows]

    async def locked(self, key: str) -> Purpose | None:
        """The purpose as it holds now; nobody else changes it until the end of the transaction."""
        # Not in one statement: what the lock waited for is seen by the next one only.
        found = await self._tx.scalar(
            text("SELECT key FROM purpose_heads WHERE tenant_id = app.tid() AND key = :key FOR UPDATE"),
            {"key": key},
        )
        if found is None:
            return None
        row = (await self._tx.execute(text(f"{_CURRENT} AND h.key = :key"), {"key": key})).one()
        return purpose_of(row)

    async def lock_all(self) -> set[str]:
        """The names of all purposes; nobody else adds or changes one until the end of the transaction."""
        await self._tx.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended('purposes' || app.tid()::text, 0))")
        )
        rows = await self._tx.scalars(text("SELECT key FROM purpose_heads WHERE tenant_id = app.tid()"))
        return set(rows)

    async def holders(self, activities: Sequence[str]) -> dict[str, str]:
        """By activity, the purpose that covers it now."""
        rows = await self._tx.execute(
            text(
                "SELECT activity, purpose_key FROM purpose_activities"
                " WHERE tenant_id = app.tid() AND activity = ANY (CAST(:activities AS text[]))"
            ),
            {"activities": list(activities)},
        )
        return {row.activity: row.purpose_key for row in rows}

    async def add(self, purpose: Purpose, actor: str) -> None:
        """Store a version and let it hold."""
        values = {
            "key": purpose.key,
            "version": purpose.version,
            "min_version": purpose.min_version,
            "mechanism": purpose.mechanism.value,
        }
        await self._tx.execute(
            text(
                "INSERT INTO purposes (tenant_id, key, version, title, description, dpv_purpose,"
                " lawful_basis, mechanism, data_categories, recipients, retention_days, validity_days,"
                " requires_reconsent, min_version, activities, created_by, created_at)"
                " VALUES (app.tid(), :key, :version, :title, :description, :dpv, :basis, :mechanism,"
                " CAST(:categories AS text[]), CAST(:recipients AS text[]), :retention, :validity,"
                " :reconsent, :min_version, CAST(:activities AS text[]), :actor, :at)"
            ),
            {
                **values,
                "title": purpose.title,
                "description": purpose.description,
                "dpv": purpose.dpv_purpose,
                "basis": purpose.lawful_basis.value,
                "categories": list(purpose.data_categories),
                "recipients": list(purpose.recipients),
                "retention": purpose.retention_days,
                "validity": purpose.validity_days,
                "reconsent": purpose.requires_reconsent,
                "activities": list(purpose.activities),
                "actor": actor,
                "at": purpose.created_at,
            },
        )
        await self._tx.execute(
            text(
                "INSERT INTO purpose_heads (tenant_id, key, version, min_version, mechanism)"
                " VALUES (app.tid(), :key, :version, :min_version, :mechanism)"
                " ON CONFLICT (tenant_id, key) DO UPDATE SET version = excluded.version,"
                " min_version = excluded.min_version, mechanism = excluded.mechanism"
            ),
            values,
        )

    async def cover(self, purpose: Purpose) -> None:
        """Let a purpose cover exactly its activities."""
        values = {"key": purpose.key, "activities": list(purpose.activities)}
        await self._tx.execute(
            text(
                "DELETE FROM purpose_activities WHERE tenant_id = app.tid() AND purpose_key = :key"
                " AND activity <> ALL (CAST(:activities AS text[]))"
            ),
            values,
        )
        await self._tx.execute(
            text(
                "INSERT INTO purpose_activities (tenant_id, activity, purpose_key)"
                " SELECT app.tid(), a, :key FROM unnest(CAST(:activities AS text[])) AS a"
                " WHERE NOT EXISTS (SELECT FROM purpose_activities o WHERE o.tenant_id = app.tid()"
                " AND o.activity = a AND o.purpose_key = :key)"
            ),
            values,
        )


def purpose_of(row: Row[tuple[object, ...]]) -> Purpose:
    """A row of ``purposes`` as the domain sees it."""
    return Purpose(
        key=row.key,
        version=row.version,
        title=row.title,
        description=row.description,
        dpv_purpose=row.dpv_purpose,
        lawful_basis=LawfulBasis(row.lawful_basis),
        mechanism=Mechanism(row.mechanism),
        data_categories=tuple(row.data_categories),
        recipients=tuple(row.recipients),
        retention_days=row.retention_days,
        validity_days=row.validity_days,
        requires_reconsent=row.requires_reconsent,
        min_version=row.min_version,
        activities=tuple(row.activities),
        created_at=row.created_at,
    )
