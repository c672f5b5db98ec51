"""Every statement about accounts, through functions of schema ``app``: the tenant is not known yet."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import TenantId, UserId
from cohortlens.identity.models import LoginAccount, Membership


class Accounts:
    """Users, tenants and memberships, in a transaction without a tenant.

    Args:
        tx: A connection inside ``Database.transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def register(
        self, tenant_id: TenantId, user_id: UserId, *, name: str, email: str, password_hash: str, terms: str
    ) -> bool:
        """Store a tenant and its owner; False, and nothing stored, when the address has an account."""
        made = await self._tx.scalar(
            text("SELECT app.auth_register(:tenant, :user, :name, :email, :hash, :terms)"),
            {
                "tenant": tenant_id,
                "user": user_id,
                "name": name,
                "email": email,
                "hash": password_hash,
                "terms": terms,
            },
        )
        return bool(made)

    async def by_email(self, email: str) -> LoginAccount | None:
        """The account of an address in normal form."""
        rows = (await self._tx.execute(text("SELECT * FROM app.auth_login(:email)"), {"email": email})).all()
        if not rows:
            return None
        memberships = tuple(
            Membership(TenantId(_uuid(row.tenant_id)), row.role, row.ver, row.tver)
            for row in rows
            if row.tenant_status == "ACTIVE"
        )
        first = rows[0]
        return LoginAccount(
            UserId(_uuid(first.user_id)), first.password_hash, first.user_status == "ACTIVE", memberships
        )

    async def logged_in(self, user_id: UserId, old_hash: str, new_hash: str) -> None:
        """Note a log-in; replaces the hash unless it changed meanwhile."""
        await self._tx.execute(
            text("SELECT app.auth_logged_in(:user, :old, :new)"),
            {"user": user_id, "old": old_hash, "new": new_hash},
        )

    async def profile(self, tenant_id: TenantId, user_id: UserId) -> tuple[str, datetime] | None:
        """Display name of the tenant and registration time of its user."""
        row = (
            await self._tx.execute(
                text("SELECT * FROM app.auth_me(:tenant, :user)"), {"tenant": tenant_id, "user": user_id}
            )
        ).one_or_none()
        return None if row is None else (row.tenant_display_name, row.created_at)


def _uuid(value: UUID) -> UUID:
    # The driver's own UUID class prints and pickles differently.
    return UUID(int=value.int)
