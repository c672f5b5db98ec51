"""Every statement of the authorisation server: clients, codes, assertions that were used.

What is asked before the tenant is known goes through functions of schema ``app``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.db import locked_in_tenant
from cohortlens.core.ids import SessionId, TenantId, UserId, plain_uuid
from cohortlens.identity.oauth.models import ClientAuthentication, CodeState, Grant, OAuthClient

_SHOWN = (
    "tenant_id, id, display_name, authentication, grants, redirect_uris, scopes, any_tenant, jwks,"
    " secret_created_at, created_at"
)


class OAuthLookups:
    """What is read before a tenant is known, in any transaction.

    Args:
        tx: A connection inside a transaction.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def client(self, client_id: UUID) -> OAuthClient | None:
        """A client of an active tenant, with the hashes of its secrets."""
        row = (
            await self._tx.execute(text("SELECT * FROM app.oauth_client(:id)"), {"id": client_id})
        ).one_or_none()
        if row is None:
            return None
        secrets = tuple(bytes(one) for one in (row.secret_sha256, row.old_secret_sha256) if one is not None)
        return _client(row, publisher=row.tenant_name, tver=row.tver, secrets=secrets)

    async def code(self, sha256: bytes) -> CodeState | None:
        """A code as it is now."""
        row = (
            await self._tx.execute(text("SELECT * FROM app.oauth_code(:sha)"), {"sha": sha256})
        ).one_or_none()
        if row is None:
            return None
        return CodeState(
            TenantId(plain_uuid(row.tenant_id)),
            plain_uuid(row.client_id),
            UserId(plain_uuid(row.user_id)),
            row.redirect_uri,
            row.challenge,
            tuple(row.scopes),
            tuple(row.amr),
            row.is_over,
            None if row.session_id is None else SessionId(plain_uuid(row.session_id)),
        )

    async def memberships(self, user_id: UserId) -> list[tuple[TenantId, str, str]]:
        """Active tenants of an active user: identifier, name, the user's role; oldest membership first."""
        rows = await self._tx.execute(text("SELECT * FROM app.oauth_memberships(:user)"), {"user": user_id})
        return [(TenantId(plain_uuid(row.tenant_id)), row.display_name, row.role) for row in rows]

    async def tidy(self, keep_s: int) -> int:
        """Delete codes that ended ``keep_s`` seconds ago and assertions past their time; answers how many."""
        return int(await self._tx.scalar(text("SELECT app.oauth_tidy(:keep)"), {"keep": keep_s}) or 0)


class OAuthRows:
    """Clients, codes and assertions of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: The tenant.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def lock(self) -> None:
        """Wait until nobody else registers a client of the tenant."""
        await locked_in_tenant(self._tx, "oauth_clients")

    async def count(self) -> int:
        """Clients of the tenant."""
        return int(
            await self._tx.scalar(
                text("SELECT count(*) FROM oauth_clients WHERE tenant_id = :tenant"),
                {"tenant": self._tenant_id},
            )
            or 0
        )

    async def add(self, client: OAuthClient, secret_sha256: bytes | None, created_by: UUID) -> OAuthClient:
        """Store a client; answers it with the times of the database."""
        row = (
            await self._tx.execute(
                text(
                    "INSERT INTO oauth_clients (tenant_id, id, display_name, authentication, grants,"  # noqa: S608
                    " redirect_uris, scopes, any_tenant, jwks, secret_sha256, secret_created_at, created_by)"
                    " VALUES (:tenant, :id, :name, :authentication, :grants, :uris, :scopes, :any_tenant,"
                    " CAST(:jwks AS jsonb), CAST(:secret AS bytea),"
                    " CASE WHEN CAST(:secret AS bytea) IS NOT NULL THEN clock_timestamp() END, :maker)"
                    f" RETURNING {_SHOWN}"
                ),
                {
                    "tenant": self._tenant_id,
                    "id": client.id,
                    "name": client.display_name,
                    "authentication": client.authentication.value,
                    "grants": sorted(client.grants),
                    "uris": list(client.redirect_uris),
                    "scopes": list(client.scopes),
                    "any_tenant": client.any_tenant,
                    "jwks": None if client.jwks is None else json.dumps(client.jwks),
                    "secret": secret_sha256,
                    "maker": created_by,
                },
            )
        ).one()
        return _client(row)

    async def page(self, after: UUID | None, limit: int) -> list[OAuthClient]:
        """Clients behind ``after``, oldest first."""
        rows = await self._tx.execute(
            text(
                f"SELECT {_SHOWN} FROM oauth_clients WHERE tenant_id = :tenant"  # noqa: S608 - a constant
                " AND (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid)) ORDER BY id LIMIT :limit"
            ),
            {"tenant": self._tenant_id, "after": after, "limit": limit},
        )
        return [_client(row) for row in rows]

    async def find(self, client_id: UUID) -> OAuthClient | None:
        """A client of the tenant, locked until the transaction ends."""
        row = (
            await self._tx.execute(
                text(
                    f"SELECT {_SHOWN} FROM oauth_clients"  # noqa: S608 - a constant
                    " WHERE tenant_id = :tenant AND id = :id FOR UPDATE"
                ),
                {"tenant": self._tenant_id, "id": client_id},
            )
        ).one_or_none()
        return None if row is None else _client(row)

    async def rotate_secret(self, client_id: UUID, secret_sha256: bytes, overlap_s: float) -> None:
        """Replace the secret; the old one works for ``overlap_s`` more seconds."""
        await self._tx.execute(
            text(
                "UPDATE oauth_clients SET secret_sha256 = :secret, secret_created_at = clock_timestamp(),"
                " old_secret_sha256 = CASE WHEN CAST(:overlap AS float8) > 0 THEN secret_sha256 END,"
                " old_secret_until = CASE WHEN CAST(:overlap AS float8) > 0"
                " THEN clock_timestamp() + make_interval(secs => :overlap) END"
                " WHERE tenant_id = :tenant AND id = :id"
            ),
            {"tenant": self._tenant_id, "id": client_id, "secret": secret_sha256, "overlap": overlap_s},
        )

    async def delete(self, client_id: UUID) -> int:
        """Delete a client; answers how many sessions, of whatever tenant, ended with it."""
        values = {"tenant": self._tenant_id, "id": client_id}
        ended = await self._tx.scalar(text("SELECT app.oauth_end_client(:id)"), {"id": client_id})
        await self._tx.execute(
            text("DELETE FROM oauth_clients WHERE tenant_id = :tenant AND id = :id"), values
        )
        return int(ended or 0)

    async def add_code(
        self,
        sha256: bytes,
        *,
        client_id: UUID,
        user_id: UserId,
        redirect_uri: str,
        challenge: str,
        scopes: Sequence[str],
        amr: Sequence[str],
        life_s: int,
    ) -> None:
        """Store a code."""
        await self._tx.execute(
            text(
                "INSERT INTO oauth_codes (tenant_id, code_sha256, client_id, user_id, redirect_uri,"
                " challenge, scopes, amr, expires_at)"
                " VALUES (:tenant, :sha, :client, :user, :uri, :challenge, :scopes, :amr,"
                " clock_timestamp() + make_interval(secs => :life))"
            ),
            {
                "tenant": self._tenant_id,
                "sha": sha256,
                "client": client_id,
                "user": user_id,
                "uri": redirect_uri,
                "challenge": challenge,
                "scopes": list(scopes),
                "amr": list(amr),
                "life": life_s,
            },
        )

    async def use_code(self, sha256: bytes, session_id: SessionId) -> bool:
        """Use up a code for a session that this transaction opens; False when it is over or was used."""
        used = await self._tx.scalar(
            text(
                "UPDATE oauth_codes SET used_at = clock_timestamp(), session_id = :session"
                " WHERE tenant_id = :tenant AND code_sha256 = :sha AND used_at IS NULL"
                " AND expires_at > clock_timestamp() RETURNING true"
            ),
            {"tenant": self._tenant_id, "sha": sha256, "session": session_id},
        )
        return used is not None

    async def use_assertion(self, client_id: UUID, jti_sha256: bytes, expires_at: float) -> bool:
        """Remember an assertion until it expires; False when it was used before."""
        used = await self._tx.scalar(
            text(
                "INSERT INTO oauth_assertions (tenant_id, client_id, jti_sha256, expires_at)"
                " VALUES (:tenant, :client, :jti, to_timestamp(:ends)) ON CONFLICT DO NOTHING RETURNING true"
            ),
            {"tenant": self._tenant_id, "client": client_id, "jti": jti_sha256, "ends": expires_at},
        )
        return used is not None


def _client(row: Any, **more: Any) -> OAuthClient:
    return OAuthClient(
        tenant_id=TenantId(plain_uuid(row.tenant_id)),
        id=plain_uuid(row.id),
        display_name=row.display_name,
        authentication=ClientAuthentication(row.authentication),
        grants=frozenset(Grant(one) for one in row.grants),
        redirect_uris=tuple(row.redirect_uris),
        scopes=tuple(row.scopes),
        any_tenant=row.any_tenant,
        jwks=json.loads(row.jwks) if isinstance(row.jwks, str) else row.jwks,
        secret_created_at=row.secret_created_at,
        created_at=row.created_at,
        **more,
    )
