"""Statements about the users of one tenant: who belongs to it, in which role, and who joins or leaves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import TenantId, UserId, plain_uuid

_ETAG_DIGITS = 16


@dataclass(frozen=True)
class Member:
    """A user of a tenant.

    Attributes:
        user_id: The user.
        email: Log-in name.
        role: Role in the tenant.
        status: ACTIVE or DISABLED.
        ver: Version of the user's rights in the tenant.
        joined_at: When the user joined.
        last_login_at: Last log-in to any tenant; None before the first.
        invited_by: The user who invited; None for nobody.
    """

    user_id: UserId
    email: str
    role: str
    status: str
    ver: int
    joined_at: datetime
    last_login_at: datetime | None
    invited_by: UserId | None

    @property
    def etag(self) -> str:
        """Version of what UpdateUser changes."""
        facts = f"{self.user_id}:{self.ver}:{self.role}:{self.status}"
        return hashlib.sha256(facts.encode()).hexdigest()[:_ETAG_DIGITS]


class Members:
    """The users of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: The tenant.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def get(self, user_id: UserId) -> Member | None:
        """A user of the tenant."""
        rows = await self._read(user=user_id, limit=1)
        return rows[0] if rows else None

    async def page(self, role: str, after: tuple[datetime, UUID] | None, limit: int) -> list[Member]:
        """Users behind a place in the order of joining.

        Args:
            role: Only with this role; all when empty.
            after: Time and user of the last one before.
            limit: Most rows.
        """
        at, user = after or (None, None)
        return await self._read(role=role or None, after=at, after_user=user, limit=limit)

    async def lock(self) -> dict[UserId, str]:
        """Lock the owners in the order of their identifiers; answers them with their role.

        Changes of rights of one tenant so happen one after another: each finds the owners that are left.
        """
        rows = await self._tx.execute(text("SELECT user_id, role FROM app.members_lock(NULL)"))
        return {UserId(plain_uuid(row.user_id)): row.role for row in rows}

    async def lock_role(self, user_id: UserId) -> str | None:
        """Lock one membership; answers its role, None when there is none."""
        role: str | None = await self._tx.scalar(
            text("SELECT role FROM app.members_lock(:user)"), {"user": user_id}
        )
        return role

    async def add(self, user_id: UserId, role: str, invited_by: UUID | None) -> bool:
        """Let a user join; False when the user is in the tenant already."""
        return bool(
            await self._tx.scalar(
                text("SELECT app.member_add(:user, :role, :by)"),
                {"user": user_id, "role": role, "by": invited_by},
            )
        )

    async def set_role(self, user_id: UserId, role: str) -> None:
        """Give a user another role; the table itself notes that older tokens are refused."""
        await self._tx.execute(
            text("SELECT app.member_set_role(:user, :role)"), {"user": user_id, "role": role}
        )

    async def remove(self, user_id: UserId) -> None:
        """End a membership with its sessions; a user left without any tenant is forgotten."""
        await self._tx.execute(text("SELECT app.member_remove(:user)"), {"user": user_id})

    async def key_scopes(self, user_id: UserId) -> set[str]:
        """Scopes of the API keys that a user answers for."""
        scopes = await self._tx.scalars(
            text(
                "SELECT DISTINCT unnest(scopes) FROM api_keys"
                " WHERE tenant_id = :tenant AND created_by = :user AND revoked_at IS NULL"
            ),
            {"tenant": self._tenant_id, "user": user_id},
        )
        return set(scopes)

    async def _read(
        self,
        *,
        limit: int,
        user: UUID | None = None,
        role: str | None = None,
        after: datetime | None = None,
        after_user: UUID | None = None,
    ) -> list[Member]:
        rows = await self._tx.execute(
            text(
                "SELECT * FROM app.members(CAST(:user AS uuid), CAST(:role AS text),"
                " CAST(:after AS timestamptz), CAST(:after_user AS uuid), :limit)"
            ),
            {"user": user, "role": role, "after": after, "after_user": after_user, "limit": limit},
        )
        return [_member(row) for row in rows]


def _member(row: Row[tuple[object, ...]]) -> Member:
    # The driver's own UUID class prints and pickles differently.
    return Member(
        UserId(plain_uuid(row.user_id)),
        row.email,
        row.role,
        row.status,
        row.ver,
        row.created_at,
        row.last_login_at,
        None if row.invited_by is None else UserId(plain_uuid(row.invited_by)),
    )
