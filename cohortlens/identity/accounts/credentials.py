"""What a log-in reads and writes of a person: password hash, second factor, tenants.

Users belong to no tenant, so every statement is a function of schema ``app``; see migration 0010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import PLATFORM_TENANT_ID, TenantId, UserId, plain_uuid
from cohortlens.identity.models import Membership


@dataclass(frozen=True)
class TenantOfUser:
    """A tenant as its user sees it at log-in.

    Attributes:
        membership: The user's place in it.
        display_name: Its name.
    """

    membership: Membership
    display_name: str


@dataclass(frozen=True)
class LoginAccount:
    """What a log-in reads of an address.

    Attributes:
        user_id: The user.
        password_hash: Encoded hash; None when the user has no password.
        is_usable: Whether the user may log in at all: not disabled, and the address is verified.
        totp_enc: Sealed secret of the authenticator app; None without one.
        tenants: Tenants of the user that are active, oldest membership first.
        home: Tenant whose audit log tells of the user: the oldest membership, whatever its status.
    """

    user_id: UserId
    password_hash: str | None
    is_usable: bool
    totp_enc: bytes | None
    tenants: tuple[TenantOfUser, ...]
    home: TenantId


@dataclass(frozen=True)
class UserCredentials:
    """What a logged-in person changes.

    Attributes:
        user_id: The user.
        email: Log-in name.
        password_hash: Encoded hash; None without a password.
        totp_enc: Sealed secret of the authenticator app; None without one.
        totp_pending_enc: Sealed secret that waits for its first code.
        home: The oldest tenant of the user; the platform's when there is none.
    """

    user_id: UserId
    email: str
    password_hash: str | None
    totp_enc: bytes | None
    totp_pending_enc: bytes | None
    home: TenantId


class Credentials:
    """Reads and writes credentials in any transaction.

    Args:
        tx: A connection inside a transaction.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def by_email(self, email: str) -> LoginAccount | None:
        """The account of an address in normal form; one statement, whether there is one or not."""
        rows = (await self._tx.execute(text("SELECT * FROM app.auth_login(:email)"), {"email": email})).all()
        if not rows:
            return None
        tenants = tuple(
            TenantOfUser(Membership(_tenant(row.tenant_id), row.role, row.ver, row.tver), row.tenant_name)
            for row in rows
            if row.tenant_status == "ACTIVE"
        )
        first = rows[0]
        return LoginAccount(
            _user(first.user_id),
            first.password_hash,
            first.user_status == "ACTIVE" and first.is_verified,
            _bytes(first.totp_enc),
            tenants,
            _tenant(first.tenant_id) if first.tenant_id else PLATFORM_TENANT_ID,
        )

    async def of_user(self, user_id: UserId) -> UserCredentials | None:
        """The credentials of a user who is not disabled."""
        row = (
            await self._tx.execute(text("SELECT * FROM app.auth_user(:user)"), {"user": user_id})
        ).one_or_none()
        if row is None:
            return None
        home = _tenant(row.tenant_ids[0]) if row.tenant_ids else PLATFORM_TENANT_ID
        return UserCredentials(
            user_id, row.email, row.password_hash, _bytes(row.totp_enc), _bytes(row.totp_pending_enc), home
        )

    async def logged_in(self, user_id: UserId) -> None:
        """Note the time of a log-in."""
        await self._tx.execute(text("SELECT app.auth_logged_in(:user)"), {"user": user_id})

    async def set_password(self, user_id: UserId, new_hash: str, *, expected: str | None = None) -> bool:
        """Store a password; False when the user is disabled, or has another hash than ``expected``."""
        return await self._is_done(
            "app.auth_set_password(:user, :new, :expected)", user=user_id, new=new_hash, expected=expected
        )

    async def begin_totp(self, user_id: UserId, sealed: bytes) -> bool:
        """Keep a secret until its first code; False when the user has a confirmed one."""
        return await self._is_done("app.auth_totp_begin(:user, :sealed)", user=user_id, sealed=sealed)

    async def confirm_totp(self, user_id: UserId, sealed: bytes, step: int, codes: Sequence[bytes]) -> bool:
        """Make the pending secret the one in use and replace the recovery codes; False when it changed."""
        return await self._is_done(
            "app.auth_totp_confirm(:user, :sealed, :step, CAST(:codes AS bytea[]))",
            user=user_id,
            sealed=sealed,
            step=step,
            codes=list(codes),
        )

    async def disable_totp(self, user_id: UserId) -> bool:
        """Forget secret and recovery codes; False when there is no secret."""
        return await self._is_done("app.auth_totp_disable(:user)", user=user_id)

    async def use_totp_step(self, user_id: UserId, step: int) -> bool:
        """Use up a time step and all before it; False when it is used up already."""
        return await self._is_done("app.auth_totp_use(:user, :step)", user=user_id, step=step)

    async def use_recovery_code(self, user_id: UserId, digest: bytes) -> bool:
        """Use up a recovery code; False when the user has no such code left."""
        return await self._is_done("app.auth_recovery_use(:user, :digest)", user=user_id, digest=digest)

    async def _is_done(self, call: str, **values: Any) -> bool:
        return bool(await self._tx.scalar(text(f"SELECT {call}"), values))


def _user(value: UUID) -> UserId:
    # The driver's own UUID class prints and pickles differently.
    return UserId(plain_uuid(value))


def _tenant(value: UUID) -> TenantId:
    return TenantId(plain_uuid(value))


def _bytes(value: bytes | None) -> bytes | None:
    return None if value is None else bytes(value)
