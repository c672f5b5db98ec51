"""Every statement about sessions; what comes before the tenant is known goes through functions of ``app``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import SessionId, TenantId, UserId, plain_uuid
from cohortlens.identity.models import Membership, SessionState


@dataclass(frozen=True)
class NewSession:
    """A session to store.

    Attributes:
        session_id: Its identifier.
        user_id: Its user.
        device_name: How lists show it.
        user_agent: As the caller's program named itself.
        address_prefix: Network of the caller, truncated.
        amr: How the user proved who it is.
        client_id: OAuth client it is for.
        scopes: What of the role's scopes the client was given; None for all of them.
        refresh_key_enc: Sealed key of its refresh tokens.
    """

    session_id: SessionId
    user_id: UserId
    device_name: str
    user_agent: str
    address_prefix: str
    amr: tuple[str, ...]
    client_id: str
    scopes: frozenset[str] | None
    refresh_key_enc: bytes


@dataclass(frozen=True)
class SessionRow:
    """A session as its user sees it.

    Attributes:
        session_id: Its identifier.
        device_name: Name of the device.
        user_agent: As the caller's program named itself.
        address_prefix: Network it was opened from, truncated.
        amr: How the user proved who it is.
        client_id: OAuth client it is for.
        created_at: When it was opened.
        last_refreshed_at: When it was renewed last.
        expires_at: When it ends if it is not renewed.
    """

    session_id: SessionId
    device_name: str
    user_agent: str
    address_prefix: str
    amr: tuple[str, ...]
    client_id: str
    created_at: datetime
    last_refreshed_at: datetime
    expires_at: datetime


class SessionLookups:
    """Sessions across tenants, in any transaction.

    Args:
        tx: A connection inside a transaction.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def state(self, session_id: SessionId) -> SessionState | None:
        """The session with its user, membership and tenant as they are now."""
        row = (
            await self._tx.execute(text("SELECT * FROM app.auth_session(:id)"), {"id": session_id})
        ).one_or_none()
        return None if row is None else _state(session_id, row)

    async def membership(self, tenant_id: TenantId, user_id: UserId) -> Membership | None:
        """The user in the tenant, held until the end of the transaction; None unless all are active."""
        row = (
            await self._tx.execute(
                text("SELECT * FROM app.auth_membership(:tenant, :user)"),
                {"tenant": tenant_id, "user": user_id},
            )
        ).one_or_none()
        return None if row is None else Membership(tenant_id, row.role, row.ver, row.tver)

    async def email(self, user_id: UserId) -> str | None:
        """Address of an active user."""
        email = await self._tx.scalar(text("SELECT email FROM app.auth_user(:user)"), {"user": user_id})
        return None if email is None else str(email)

    async def mark_used(self, generations: Mapping[SessionId, int]) -> None:
        """Raise ``used_gen`` of sessions to the newest generation of which an access token was seen."""
        await self._tx.execute(
            text("SELECT app.auth_mark_used(CAST(:ids AS uuid[]), CAST(:generations AS bigint[]))"),
            {"ids": list(generations), "generations": list(generations.values())},
        )


class Sessions:
    """The sessions of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: The tenant.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def add(self, new: NewSession) -> None:
        """Store a session whose first refresh token has number 1."""
        await self._tx.execute(
            text(
                "INSERT INTO sessions (tenant_id, id, user_id, device_name, user_agent, address_prefix, amr,"
                " client_id, scopes, refresh_key_enc) VALUES (:tenant, :id, :user, :device, :agent, :address,"
                " CAST(:amr AS text[]), :client, CAST(:scopes AS text[]), :key)"
            ),
            {
                "tenant": self._tenant_id,
                "id": new.session_id,
                "user": new.user_id,
                "device": new.device_name,
                "agent": new.user_agent,
                "address": new.address_prefix,
                "amr": list(new.amr),
                "client": new.client_id,
                "scopes": None if new.scopes is None else sorted(new.scopes),
                "key": new.refresh_key_enc,
            },
        )

    async def rotate(self, session_id: SessionId, presented: int) -> int | None:
        """Number of the child of token ``presented``; None when it is not the newest or the session ended."""
        counter = await self._tx.scalar(
            text(
                "UPDATE sessions SET refresh_counter = refresh_counter + 1,"
                " last_refreshed_at = clock_timestamp(),"
                " idle_expires_at = clock_timestamp() + interval '14 days'"
                " WHERE tenant_id = :tenant AND id = :id AND refresh_counter = :presented"
                " AND revoked_at IS NULL AND clock_timestamp() < least(idle_expires_at, absolute_expires_at)"
                " RETURNING refresh_counter"
            ),
            {"tenant": self._tenant_id, "id": session_id, "presented": presented},
        )
        return None if counter is None else int(counter)

    async def note_replay(self, session_id: SessionId, counter: int) -> bool:
        """Whether this is the first time that token ``counter`` is given out again."""
        noted = await self._tx.scalar(
            text(
                "UPDATE sessions SET replayed_gen = :counter"
                " WHERE tenant_id = :tenant AND id = :id AND replayed_gen < :counter RETURNING id"
            ),
            {"tenant": self._tenant_id, "id": session_id, "counter": counter},
        )
        return noted is not None

    async def revoke(self, session_id: SessionId, reason: str, *, user_id: UserId | None = None) -> bool:
        """End a session, of one user if given; False when there is no such session or it had ended."""
        ended = await self._tx.scalar(
            text(
                "UPDATE sessions SET revoked_at = clock_timestamp(), revoke_reason = :reason"
                " WHERE tenant_id = :tenant AND id = :id AND revoked_at IS NULL"
                " AND user_id = coalesce(CAST(:user AS uuid), user_id) RETURNING id"
            ),
            {"tenant": self._tenant_id, "id": session_id, "reason": reason, "user": user_id},
        )
        return ended is not None

    async def exists(self, session_id: SessionId, user_id: UserId) -> bool:
        """Whether the user has, or had, such a session."""
        found = await self._tx.scalar(
            text("SELECT 1 FROM sessions WHERE tenant_id = :tenant AND id = :id AND user_id = :user"),
            {"tenant": self._tenant_id, "id": session_id, "user": user_id},
        )
        return found is not None

    async def of_user(
        self, user_id: UserId, *, after: SessionId | None = None, limit: int = 1000
    ) -> list[SessionRow]:
        """The sessions of a user that can still be renewed, newest first.

        Args:
            user_id: The user.
            after: Answer those opened before this one.
            limit: At most so many.
        """
        rows = await self._tx.execute(
            text(
                "SELECT id, device_name, user_agent, address_prefix, amr, client_id, created_at,"
                " last_refreshed_at, least(idle_expires_at, absolute_expires_at) AS expires_at FROM sessions"
                " WHERE tenant_id = :tenant AND user_id = :user AND revoked_at IS NULL"
                " AND clock_timestamp() < least(idle_expires_at, absolute_expires_at)"
                " AND (CAST(:after AS uuid) IS NULL OR id < CAST(:after AS uuid))"
                " ORDER BY id DESC LIMIT :limit"
            ),
            {"tenant": self._tenant_id, "user": user_id, "after": after, "limit": limit},
        )
        return [
            SessionRow(
                SessionId(plain_uuid(row.id)),
                row.device_name,
                row.user_agent,
                row.address_prefix,
                tuple(row.amr),
                row.client_id,
                row.created_at,
                row.last_refreshed_at,
                row.expires_at,
            )
            for row in rows
        ]

    async def device_name(self, session_id: SessionId) -> str:
        """Name of a session's device; empty when there is no such session."""
        name = await self._tx.scalar(
            text("SELECT device_name FROM sessions WHERE tenant_id = :tenant AND id = :id"),
            {"tenant": self._tenant_id, "id": session_id},
        )
        return str(name or "")

    async def has_user(self, user_id: UserId) -> bool:
        """Whether the user belongs to the tenant."""
        found = await self._tx.scalar(
            text("SELECT 1 FROM tenant_users WHERE tenant_id = :tenant AND user_id = :user"),
            {"tenant": self._tenant_id, "user": user_id},
        )
        return found is not None


def _state(session_id: SessionId, row: Row[tuple[object, ...]]) -> SessionState:
    tenant_id = TenantId(plain_uuid(row.tenant_id))
    membership = None if row.role is None else Membership(tenant_id, row.role, row.ver, row.tver)
    return SessionState(
        session_id=session_id,
        tenant_id=tenant_id,
        user_id=UserId(plain_uuid(row.user_id)),
        refresh_counter=row.refresh_counter,
        refresh_key_enc=bytes(row.refresh_key_enc),
        used_gen=row.used_gen,
        refreshed_age_s=float(row.refreshed_age_s),
        expires_in_s=float(row.expires_in_s),
        revoked=row.revoked,
        usable=membership is not None and row.user_status == "ACTIVE" and row.tenant_status == "ACTIVE",
        membership=membership,
        amr=tuple(row.amr),
        client_id=row.client_id,
        scopes=None if row.scopes is None else frozenset(row.scopes),
    )
