"""The table of API keys: what its tenant does with it, and the look-up before a tenant is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.db import locked_in_tenant
from cohortlens.core.ids import TenantId, UserId, plain_uuid
from cohortlens.identity.access.revocations import Grant
from cohortlens.identity.networks import Network, networks
from cohortlens.identity.programs.api_key_text import KeyText

_COLUMNS = (
    "id, lookup, prefix, display_name, scopes, ip_allowlist::text[] AS ip_allowlist, expires_at, created_by,"
    " replaced_by, last_used_at, revoked_at, created_at"
)


@dataclass(frozen=True)
class ApiKey:
    """An API key without its secret.

    Attributes:
        key_id: The key.
        prefix: How it begins: ``cl_live_`` or ``cl_test_`` and 12 characters.
        display_name: What it is for.
        scopes: What it may do, sorted.
        ip_allowlist: From where it may be used; empty for anywhere.
        expires_at: When it ends.
        created_by: User who made it.
        replaced_by: Its successor after a rotation.
        last_used_at: Last use, to the minute.
        revoked_at: When it was revoked.
        created_at: When it was made.
    """

    key_id: UUID
    prefix: str
    display_name: str
    scopes: tuple[str, ...]
    ip_allowlist: tuple[str, ...]
    expires_at: datetime
    created_by: UserId
    replaced_by: UUID | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class KeyState:
    """What a call with a key is judged by.

    Attributes:
        key_id: The key.
        tenant_id: Its tenant.
        secret_sha256: SHA-256 of its secret.
        scopes: What it may do.
        allowed: From where it may be used; empty for anywhere.
        expires_at: When it ends.
        grant: What a change of access can take back: the key, its maker's rights, its tenant's state.
        refusal: Why it is refused for everyone; empty while it is not.
    """

    key_id: UUID
    tenant_id: TenantId
    secret_sha256: bytes
    scopes: frozenset[str]
    allowed: tuple[Network, ...]
    expires_at: datetime
    grant: Grant
    refusal: str


async def key_state(tx: AsyncConnection, lookup: str) -> KeyState | None:
    """The key that ``lookup`` names, whatever its tenant; None when there is none.

    Args:
        tx: A connection inside ``Database.transaction``.
        lookup: The 12 characters of its text.
    """
    found = (await tx.execute(text("SELECT * FROM app.auth_api_key(:lookup)"), {"lookup": lookup})).all()
    # Two keys of one name are of two tenants; neither may be taken for the other.
    return _state(found[0]) if len(found) == 1 else None


class ApiKeyRows:
    """The API keys of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: The tenant.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def lock(self) -> None:
        """Let one maker of keys of the tenant work at a time, so that the count holds."""
        await locked_in_tenant(self._tx, "api_keys")

    async def live_count(self) -> int:
        """Keys that can be used."""
        return int(
            await self._tx.scalar(
                text(
                    "SELECT count(*) FROM api_keys WHERE tenant_id = :tenant AND revoked_at IS NULL"
                    " AND expires_at > clock_timestamp()"
                ),
                {"tenant": self._tenant_id},
            )
            or 0
        )

    async def add(
        self,
        key_id: UUID,
        made: KeyText,
        *,
        display_name: str,
        scopes: Sequence[str],
        ip_allowlist: Sequence[str],
        expires_at: datetime,
        created_by: UserId,
    ) -> ApiKey:
        """Store a key."""
        return _key(
            await self._one(
                "INSERT INTO api_keys (tenant_id, id, lookup, prefix, display_name, secret_sha256, scopes,"  # noqa: S608
                " ip_allowlist, expires_at, created_by) VALUES (:tenant, :id, :lookup, :prefix, :name,"
                " :secret, :scopes, CAST(CAST(:allowed AS text[]) AS cidr[]), :expires, :maker)"
                f" RETURNING {_COLUMNS}",
                id=key_id,
                lookup=made.lookup,
                prefix=made.prefix,
                name=display_name,
                secret=made.secret_sha256,
                scopes=list(scopes),
                allowed=list(ip_allowlist),
                expires=expires_at,
                maker=created_by,
            )
        )

    async def page(self, below: UUID | None, limit: int) -> list[ApiKey]:
        """Keys older than ``below``, newest first."""
        rows = await self._tx.execute(
            text(
                f"SELECT {_COLUMNS} FROM api_keys WHERE tenant_id = :tenant"  # noqa: S608 - columns of ours
                " AND (CAST(:below AS uuid) IS NULL OR id < :below) ORDER BY id DESC LIMIT :limit"
            ),
            {"tenant": self._tenant_id, "below": below, "limit": limit},
        )
        return [_key(row) for row in rows]

    async def locked(self, key_id: UUID) -> ApiKey | None:
        """A key, kept from changing until the transaction ends."""
        row = await self._one(
            f"SELECT {_COLUMNS} FROM api_keys WHERE tenant_id = :tenant AND id = :id FOR UPDATE",  # noqa: S608
            id=key_id,
        )
        return None if row is None else _key(row)

    async def revoke(self, key_id: UUID, reason: str) -> bool:
        """End a key; False when there is none or it was revoked before."""
        row = await self._one(
            "UPDATE api_keys SET revoked_at = clock_timestamp(), revoke_reason = :reason"
            " WHERE tenant_id = :tenant AND id = :id AND revoked_at IS NULL RETURNING id",
            id=key_id,
            reason=reason,
        )
        return row is not None

    async def revoke_made_by(self, user_id: UserId, reason: str) -> list[UUID]:
        """End the keys that a user made; answers which."""
        rows = await self._tx.scalars(
            text(
                "UPDATE api_keys SET revoked_at = clock_timestamp(), revoke_reason = :reason"
                " WHERE tenant_id = :tenant AND created_by = :user AND revoked_at IS NULL RETURNING id"
            ),
            {"tenant": self._tenant_id, "user": user_id, "reason": reason},
        )
        return [plain_uuid(value) for value in rows]

    async def hand_over(self, user_id: UserId, to: UserId) -> int:
        """Make another user of the tenant answer for the keys that a user made; answers how many."""
        done = await self._tx.execute(
            text(
                "UPDATE api_keys SET created_by = :to"
                " WHERE tenant_id = :tenant AND created_by = :user AND revoked_at IS NULL"
            ),
            {"tenant": self._tenant_id, "user": user_id, "to": to},
        )
        return int(done.rowcount)

    async def replace(self, key_id: UUID, by: UUID, overlap_s: float) -> datetime:
        """Name the successor of a key and let it end after the overlap; answers when."""
        row = await self._one(
            "UPDATE api_keys SET replaced_by = :by, expires_at = least(expires_at,"
            " clock_timestamp() + make_interval(secs => CAST(:overlap AS double precision)))"
            " WHERE tenant_id = :tenant AND id = :id RETURNING expires_at",
            id=key_id,
            by=by,
            overlap=overlap_s,
        )
        ends: datetime = row.expires_at
        return ends

    async def _one(self, statement: str, **values: object) -> Any:
        done = await self._tx.execute(text(statement), {"tenant": self._tenant_id, **values})
        return done.one_or_none()


def _key(row: Any) -> ApiKey:
    return ApiKey(
        key_id=plain_uuid(row.id),
        prefix=row.prefix + row.lookup,
        display_name=row.display_name,
        scopes=tuple(row.scopes),
        ip_allowlist=tuple(row.ip_allowlist),
        expires_at=row.expires_at,
        created_by=UserId(plain_uuid(row.created_by)),
        replaced_by=None if row.replaced_by is None else plain_uuid(row.replaced_by),
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        created_at=row.created_at,
    )


def _state(row: Row[Any]) -> KeyState:
    refusal = ""
    if row.revoked:
        refusal = "REVOKED"
    elif row.tenant_status != "ACTIVE":
        refusal = "TENANT_INACTIVE"
    elif row.creator_status != "ACTIVE":
        refusal = "MAKER_INACTIVE"
    key_id, tenant_id = plain_uuid(row.id), TenantId(plain_uuid(row.tenant_id))
    return KeyState(
        key_id=key_id,
        tenant_id=tenant_id,
        secret_sha256=bytes(row.secret_sha256),
        scopes=frozenset(row.scopes),
        allowed=networks(row.ip_allowlist, "ip_allowlist"),
        expires_at=row.expires_at,
        grant=Grant(tenant_id, key_id, plain_uuid(row.created_by), row.ver or 0, row.tver),
        refusal=refusal,
    )
