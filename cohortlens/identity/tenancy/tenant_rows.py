"""Statements about the tenant of a transaction, and about all tenants for the platform."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import TenantId, plain_uuid

_READ = "SELECT * FROM tenants WHERE id = :tenant"
_LOCKED = f"{_READ} FOR UPDATE"
_SETTERS = {
    "display_name": "display_name = :display_name",
    "settings": "settings = CAST(:settings AS jsonb)",
    "retention_days": "retention_days = :retention_days",
    "terms_version": "terms_version = :terms_version, terms_at = clock_timestamp()",
}


@dataclass(frozen=True)
class TenantRecord:
    """A tenant as stored.

    Attributes:
        tenant_id: The tenant.
        display_name: Its name.
        status: ACTIVE, SUSPENDED, DELETING or ERASED.
        settings: What its own programs keep here.
        retention_days: Days for which predictions are kept; 0: all.
        terms_version: Accepted version of the terms; empty until an owner has come.
        terms_at: When it was accepted.
        created_at: When the tenant was made.
        erase_at: When its data are erased; None unless it was deleted.
        row_version: Raised by each change.
    """

    tenant_id: TenantId
    display_name: str
    status: str
    settings: Mapping[str, str]
    retention_days: int
    terms_version: str
    terms_at: datetime
    created_at: datetime
    erase_at: datetime | None
    row_version: int

    @property
    def etag(self) -> str:
        """Version of what UpdateTenant changes."""
        return str(self.row_version)


@dataclass(frozen=True)
class TenantOverview:
    """What the staff of the platform see of a tenant.

    Attributes:
        tenant_id: The tenant.
        display_name: Its name.
        status: ACTIVE, SUSPENDED, DELETING or ERASED.
        users: Users it has.
        created_at: When it was made.
        erase_at: When its data are erased; None unless it was deleted.
    """

    tenant_id: TenantId
    display_name: str
    status: str
    users: int
    created_at: datetime
    erase_at: datetime | None


class TenantRows:
    """The row of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: The tenant.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def get(self, *, lock: bool = False) -> TenantRecord | None:
        """The tenant; kept from changing until the transaction ends if asked for."""
        row = (
            await self._tx.execute(
                text(_LOCKED if lock else _READ),
                {"tenant": self._tenant_id},
            )
        ).one_or_none()
        if row is None:
            return None
        return TenantRecord(
            self._tenant_id,
            row.display_name,
            row.status,
            row.settings,
            row.retention_days,
            row.terms_version,
            row.terms_at,
            row.created_at,
            row.erase_at,
            row.row_version,
        )

    async def update(self, changes: Mapping[str, Any]) -> None:
        """Change display_name, settings, retention_days, terms_version: those that ``changes`` names."""
        setters = ", ".join(_SETTERS[name] for name in changes)
        values = dict(changes)
        if "settings" in values:
            values["settings"] = json.dumps(values["settings"])
        await self._tx.execute(
            text(f"UPDATE tenants SET {setters}, row_version = row_version + 1 WHERE id = :tenant"),  # noqa: S608
            {"tenant": self._tenant_id, **values},
        )

    async def set_status(self, status: str, *, erase_in_s: int | None = None) -> None:
        """Change what may be done in the tenant; the table itself notes that older tokens are refused."""
        await self._tx.execute(
            text(
                "UPDATE tenants SET status = :status, row_version = row_version + 1, erase_at ="
                " clock_timestamp() + make_interval(secs => CAST(:erase AS double precision))"
                " WHERE id = :tenant"
            ),
            {"tenant": self._tenant_id, "status": status, "erase": erase_in_s},
        )

    async def end_sessions(self, reason: str) -> int:
        """End every session of the tenant; answers how many."""
        done = await self._tx.execute(
            text(
                "UPDATE sessions SET revoked_at = clock_timestamp(), revoke_reason = :reason"
                " WHERE tenant_id = :tenant AND revoked_at IS NULL"
            ),
            {"tenant": self._tenant_id, "reason": reason},
        )
        return int(done.rowcount)


async def tenant_overviews(
    tx: AsyncConnection,
    *,
    tenant: UUID | None = None,
    status: str = "",
    after: UUID | None = None,
    limit: int = 1,
) -> list[TenantOverview]:
    """Tenants of the installation, oldest first; never the platform's own.

    Args:
        tx: A connection inside any transaction.
        tenant: This one only.
        status: Those with this status only; all when empty.
        after: Those behind this one only.
        limit: Most rows.
    """
    rows = await tx.execute(
        text(
            "SELECT * FROM app.platform_tenants(CAST(:tenant AS uuid), CAST(:status AS text),"
            " CAST(:after AS uuid), :limit)"
        ),
        {"tenant": tenant, "status": status or None, "after": after, "limit": limit},
    )
    return [
        TenantOverview(
            TenantId(plain_uuid(row.tenant_id)),
            row.display_name,
            row.status,
            row.users,
            row.created_at,
            row.erase_at,
        )
        for row in rows
    ]
