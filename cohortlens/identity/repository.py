"""Every statement about accounts, through functions of schema ``app``: the tenant is not known yet."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import TenantId, UserId


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

    async def profile(self, tenant_id: TenantId, user_id: UserId) -> Row[Any] | None:
        """Name of the tenant, and registration, address, status and last log-in of its user."""
        found = await self._tx.execute(
            text("SELECT * FROM app.auth_me(:tenant, :user)"), {"tenant": tenant_id, "user": user_id}
        )
        return found.one_or_none()
