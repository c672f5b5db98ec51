"""The tables of service accounts: what their tenant does with them, and the look-up without a tenant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.db import locked_in_tenant
from cohortlens.core.ids import TenantId, UserId, plain_uuid
from cohortlens.identity.access.revocations import Grant
from cohortlens.identity.programs.keys import ProgramKey, stored_keys

_COLUMNS = (
    "a.id, a.display_name, a.scopes, a.audiences, a.san, a.created_by, a.created_at, a.last_used_at,"
    " coalesce((SELECT jsonb_object_agg(k.kid, k.public_jwk || jsonb_build_object('alg', k.alg))"
    " FROM service_account_keys k WHERE k.tenant_id = a.tenant_id AND k.account_id = a.id), '{}')::text"
    " AS keys"
)


@dataclass(frozen=True)
class ServiceAccountRow:
    """A service account as lists show it.

    Attributes:
        account_id: The account.
        display_name: What it is.
        scopes: What it may do, sorted.
        audiences: Values of ``aud`` it may ask for.
        certificate_name: Name in its certificate; empty for none.
        keys: Its public keys, by ``kid``.
        created_by: User who made it.
        created_at: When it was made.
        last_used_at: Last use, to the minute.
    """

    account_id: UUID
    display_name: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    certificate_name: str
    keys: tuple[ProgramKey, ...]
    created_by: UserId
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class AccountState:
    """What a program that claims to be an account is judged by.

    Attributes:
        account_id: The account.
        tenant_id: Its tenant.
        scopes: What it may do.
        audiences: Values of ``aud`` it may ask for.
        keys: Its public keys, by ``kid``.
        grant: What a change of access can take back: the account and its tenant's state.
        active: Whether its tenant is active.
    """

    account_id: UUID
    tenant_id: TenantId
    scopes: frozenset[str]
    audiences: tuple[str, ...]
    keys: dict[str, ProgramKey]
    grant: Grant
    active: bool


async def account_state(
    tx: AsyncConnection, *, account_id: UUID | None = None, names: Sequence[str] = ()
) -> AccountState | None:
    """The living account with an identifier, or with one of the names of a certificate.

    Args:
        tx: A connection inside ``Database.transaction``.
        account_id: The account.
        names: Names of a certificate; None is answered when they name more than one account.
    """
    found = (
        await tx.execute(
            text(
                "SELECT tenant_id, id, scopes, audiences, tenant_status, tver, public_keys::text AS keys"
                " FROM app.auth_service_account(CAST(:id AS uuid), CAST(:names AS text[]))"
            ),
            {"id": account_id, "names": list(names)},
        )
    ).all()
    if len(found) != 1:
        return None
    [row] = found
    identifier, tenant_id = plain_uuid(row.id), TenantId(plain_uuid(row.tenant_id))
    return AccountState(
        account_id=identifier,
        tenant_id=tenant_id,
        scopes=frozenset(row.scopes),
        audiences=tuple(row.audiences),
        keys=stored_keys(json.loads(row.keys)),
        grant=Grant(tenant_id, identifier, None, 0, row.tver),
        active=row.tenant_status == "ACTIVE",
    )


class ServiceAccountRows:
    """The service accounts of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: The tenant.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def lock(self) -> None:
        """Let one maker of accounts of the tenant work at a time, so that the count holds."""
        await locked_in_tenant(self._tx, "service_accounts")

    async def live_count(self) -> int:
        """Accounts there are."""
        return int(
            (
                await self._one(
                    "SELECT count(*) AS n FROM service_accounts"
                    " WHERE tenant_id = :tenant AND revoked_at IS NULL"
                )
            ).n
        )

    async def add(
        self,
        account_id: UUID,
        *,
        display_name: str,
        scopes: Sequence[str],
        audiences: Sequence[str],
        certificate_name: str,
        created_by: UserId,
    ) -> bool:
        """Store an account; False when another one of the tenant bears the name of the certificate."""
        row = await self._one(
            "INSERT INTO service_accounts (tenant_id, id, display_name, scopes, audiences, san, created_by)"
            " VALUES (:tenant, :id, :name, :scopes, :audiences, nullif(:san, ''), :maker)"
            " ON CONFLICT DO NOTHING RETURNING id",
            id=account_id,
            name=display_name,
            scopes=list(scopes),
            audiences=list(audiences),
            san=certificate_name,
            maker=created_by,
        )
        return row is not None

    async def page(self, below: UUID | None, limit: int) -> list[ServiceAccountRow]:
        """Living accounts older than ``below``, newest first."""
        rows = await self._tx.execute(
            text(
                f"SELECT {_COLUMNS} FROM service_accounts a"  # noqa: S608 - columns of ours
                " WHERE a.tenant_id = :tenant AND a.revoked_at IS NULL"
                " AND (CAST(:below AS uuid) IS NULL OR a.id < :below) ORDER BY a.id DESC LIMIT :limit"
            ),
            {"tenant": self._tenant_id, "below": below, "limit": limit},
        )
        return [_account(row) for row in rows]

    async def locked(self, account_id: UUID) -> ServiceAccountRow | None:
        """A living account, kept from changing until the transaction ends."""
        row = await self._one(
            f"SELECT {_COLUMNS} FROM service_accounts a"  # noqa: S608 - columns of ours
            " WHERE a.tenant_id = :tenant AND a.id = :id AND a.revoked_at IS NULL FOR UPDATE",
            id=account_id,
        )
        return None if row is None else _account(row)

    async def end(self, account_id: UUID) -> bool:
        """End an account; False when there is none."""
        row = await self._one(
            "UPDATE service_accounts SET revoked_at = clock_timestamp()"
            " WHERE tenant_id = :tenant AND id = :id AND revoked_at IS NULL RETURNING id",
            id=account_id,
        )
        return row is not None

    async def add_key(self, account_id: UUID, key: ProgramKey) -> bool:
        """Store a public key; False when the account has one of that identifier."""
        row = await self._one(
            "INSERT INTO service_account_keys (tenant_id, account_id, kid, alg, public_jwk)"
            " VALUES (:tenant, :id, :kid, :alg, CAST(:jwk AS jsonb)) ON CONFLICT DO NOTHING RETURNING kid",
            id=account_id,
            kid=key.kid,
            alg=key.alg,
            jwk=json.dumps(dict(key.jwk)),
        )
        return row is not None

    async def remove_key(self, account_id: UUID, kid: str) -> bool:
        """Remove a public key; False when the account has no such key."""
        row = await self._one(
            "DELETE FROM service_account_keys WHERE tenant_id = :tenant AND account_id = :id AND kid = :kid"
            " RETURNING kid",
            id=account_id,
            kid=kid,
        )
        return row is not None

    async def use_assertion(self, account_id: UUID, jti_sha256: bytes, expires_at: datetime) -> bool:
        """Note that an assertion was used; False when it was used before, on whatever process."""
        row = await self._one(
            "INSERT INTO client_assertions (tenant_id, account_id, jti_sha256, expires_at)"
            " VALUES (:tenant, :id, :jti, :expires) ON CONFLICT DO NOTHING RETURNING account_id",
            id=account_id,
            jti=jti_sha256,
            expires=expires_at,
        )
        return row is not None

    async def _one(self, statement: str, **values: object) -> Any:
        done = await self._tx.execute(text(statement), {"tenant": self._tenant_id, **values})
        return done.one_or_none()


def _account(row: Any) -> ServiceAccountRow:
    keys = stored_keys(json.loads(row.keys))
    return ServiceAccountRow(
        account_id=plain_uuid(row.id),
        display_name=row.display_name,
        scopes=tuple(row.scopes),
        audiences=tuple(row.audiences),
        certificate_name=row.san or "",
        keys=tuple(keys[kid] for kid in sorted(keys)),
        created_by=UserId(plain_uuid(row.created_by)),
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )
