"""Every statement of identity: accounts, sessions and signing keys.

What is asked before the tenant is known (log-in, refresh, revocation) goes through functions of schema
``app``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import SessionId, TenantId, UserId
from cohortlens.identity.models import LoginAccount, Membership, SessionState

_KEYS_LOCK = 0x434C4B59


@dataclass(frozen=True)
class KeyRow:
    """A signing key as stored.

    Attributes:
        kid: Its identifier.
        state: NEXT, ACTIVE or RETIRING.
        public_key: Public half, 32 bytes.
        private_enc: Sealed private half.
    """

    kid: str
    state: str
    public_key: bytes
    private_enc: bytes


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

    async def is_dead(self, session_id: SessionId) -> bool:
        """Whether the session was revoked or never was."""
        return bool(await self._tx.scalar(text("SELECT app.auth_session_dead(:id)"), {"id": session_id}))

    async def revoked_since(self, seconds: int) -> list[SessionId]:
        """Sessions revoked within the last ``seconds``."""
        ids = await self._tx.scalars(text("SELECT app.auth_revoked_since(:seconds)"), {"seconds": seconds})
        return [SessionId(_uuid(value)) for value in ids]

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

    async def add(self, session_id: SessionId, user_id: UserId, device_name: str, key_enc: bytes) -> None:
        """Store a session whose first refresh token has number 1."""
        await self._tx.execute(
            text(
                "INSERT INTO sessions (tenant_id, id, user_id, device_name, refresh_key_enc) "
                "VALUES (:tenant, :id, :user, :device, :key)"
            ),
            {
                "tenant": self._tenant_id,
                "id": session_id,
                "user": user_id,
                "device": device_name,
                "key": key_enc,
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


class SigningKeyRows:
    """The signing keys of access tokens.

    Args:
        tx: A connection inside ``Database.transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def lock(self) -> None:
        """Wait until no other process changes the keys; released with the transaction."""
        await self._tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _KEYS_LOCK})

    async def live(self) -> list[KeyRow]:
        """Keys that verify or will."""
        rows = await self._tx.execute(
            text(
                "SELECT kid, state, public_key, private_enc FROM signing_keys WHERE key_set = 'access' AND"
                " (state IN ('NEXT', 'ACTIVE') OR state = 'RETIRING' AND retire_at > clock_timestamp())"
                " ORDER BY created_at, kid"
            )
        )
        return [KeyRow(row.kid, row.state, bytes(row.public_key), bytes(row.private_enc)) for row in rows]

    async def add(self, kid: str, public_key: bytes, private_enc: bytes, state: str) -> None:
        """Store a key."""
        await self._tx.execute(
            text(
                "INSERT INTO signing_keys (kid, key_set, public_key, private_enc, state)"
                " VALUES (:kid, 'access', :public, :private, :state)"
            ),
            {"kid": kid, "public": public_key, "private": private_enc, "state": state},
        )

    async def promote(self, min_age_s: int, retiring_s: int) -> str | None:
        """Make NEXT the ACTIVE key if it is old enough and let the old one retire; answers its identifier."""
        kid = await self._tx.scalar(
            text(
                "SELECT kid FROM signing_keys WHERE key_set = 'access' AND state = 'NEXT'"
                " AND created_at <= clock_timestamp() - make_interval(secs => :age) FOR UPDATE"
            ),
            {"age": min_age_s},
        )
        if kid is None:
            return None
        await self._tx.execute(
            text(
                "UPDATE signing_keys SET state = 'RETIRED'"
                " WHERE state = 'RETIRING' AND retire_at <= clock_timestamp()"
            )
        )
        await self._tx.execute(
            text(
                "UPDATE signing_keys SET state = 'RETIRING',"
                " retire_at = clock_timestamp() + make_interval(secs => :life)"
                " WHERE key_set = 'access' AND state = 'ACTIVE'"
            ),
            {"life": retiring_s},
        )
        await self._tx.execute(
            text("UPDATE signing_keys SET state = 'ACTIVE' WHERE kid = :kid"), {"kid": kid}
        )
        return str(kid)


def _uuid(value: UUID) -> UUID:
    # The driver's own UUID class prints and pickles differently.
    return UUID(int=value.int)


def _state(session_id: SessionId, row: Row[tuple[object, ...]]) -> SessionState:
    tenant_id = TenantId(_uuid(row.tenant_id))
    membership = None if row.role is None else Membership(tenant_id, row.role, row.ver, row.tver)
    return SessionState(
        session_id=session_id,
        tenant_id=tenant_id,
        user_id=UserId(_uuid(row.user_id)),
        refresh_counter=row.refresh_counter,
        refresh_key_enc=bytes(row.refresh_key_enc),
        used_gen=row.used_gen,
        refreshed_age_s=float(row.refreshed_age_s),
        expires_in_s=float(row.expires_in_s),
        revoked=row.revoked,
        usable=membership is not None and row.user_status == "ACTIVE" and row.tenant_status == "ACTIVE",
        membership=membership,
    )
