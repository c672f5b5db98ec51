"""SQL of issuers and their keys. Private keys lie here sealed; they are opened in ``credentials`` alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sidecars.web3.journal.pool import JournalTransaction


@dataclass(frozen=True, slots=True)
class IssuerRow:
    """An issuer; columns of ``web3.issuer``."""

    tenant_id: UUID
    issuer_id: UUID
    sealed_pairwise: bytes


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key of an issuer; columns of ``web3.issuer_key``."""

    tenant_id: UUID
    kid: str
    did: str
    public_key: bytes
    sealed_private: bytes
    state: str
    not_before: datetime
    not_after: datetime | None


_ISSUER = "tenant_id, issuer_id, sealed_pairwise"
_KEY = "tenant_id, kid, did, public_key, sealed_private, state, not_before, not_after"


async def lock_issuer(tx: JournalTransaction, tenant_id: UUID) -> IssuerRow | None:
    """The issuer of a tenant, held until the end of the transaction: keys of one tenant change one by one."""
    row = await tx.fetchrow(
        f"SELECT {_ISSUER} FROM issuer WHERE tenant_id = $1 FOR UPDATE",  # noqa: S608
        tenant_id,
    )
    return IssuerRow(**row) if row else None


async def add_issuer(tx: JournalTransaction, row: IssuerRow) -> IssuerRow:
    """Make the issuer of a tenant, unless another call just did; answers the one that is there, locked."""
    await tx.execute(
        f"INSERT INTO issuer ({_ISSUER}) VALUES ($1, $2, $3) ON CONFLICT (tenant_id) DO NOTHING",  # noqa: S608
        row.tenant_id,
        row.issuer_id,
        row.sealed_pairwise,
    )
    made = await lock_issuer(tx, row.tenant_id)
    assert made is not None
    return made


async def issuer_of(tx: JournalTransaction, issuer_id: UUID) -> IssuerRow | None:
    """The issuer with a public identifier; needs a transaction of all tenants."""
    row = await tx.fetchrow(f"SELECT {_ISSUER} FROM issuer WHERE issuer_id = $1", issuer_id)  # noqa: S608
    return IssuerRow(**row) if row else None


async def keys_of(tx: JournalTransaction, tenant_id: UUID) -> list[KeyRow]:
    """The keys of a tenant's issuer, newest first, the active one before all."""
    rows = await tx.fetch(
        f"SELECT {_KEY} FROM issuer_key WHERE tenant_id = $1 "  # noqa: S608
        "ORDER BY (state = 'ACTIVE') DESC, not_before DESC, kid",
        tenant_id,
    )
    return [KeyRow(**row) for row in rows]


async def active_key(tx: JournalTransaction, tenant_id: UUID) -> KeyRow | None:
    """The key that a tenant signs with now."""
    row = await tx.fetchrow(
        f"SELECT {_KEY} FROM issuer_key WHERE tenant_id = $1 AND state = 'ACTIVE'",  # noqa: S608
        tenant_id,
    )
    return KeyRow(**row) if row else None


async def newest_key(tx: JournalTransaction, tenant_id: UUID, did: str) -> KeyRow | None:
    """The newest key of one DID of a tenant, in use or not."""
    row = await tx.fetchrow(
        f"SELECT {_KEY} FROM issuer_key WHERE tenant_id = $1 AND did = $2 "  # noqa: S608
        "ORDER BY (state = 'ACTIVE') DESC, not_before DESC LIMIT 1",
        tenant_id,
        did,
    )
    return KeyRow(**row) if row else None


async def key_named(tx: JournalTransaction, did: str, kid: str) -> KeyRow | None:
    """A key of any issuer of ours; needs a transaction of all tenants."""
    row = await tx.fetchrow(
        f"SELECT {_KEY} FROM issuer_key WHERE did = $1 AND kid = $2",  # noqa: S608
        did,
        kid,
    )
    return KeyRow(**row) if row else None


async def add_key(tx: JournalTransaction, row: KeyRow) -> None:
    """Store a key."""
    await tx.execute(
        f"INSERT INTO issuer_key ({_KEY}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",  # noqa: S608
        row.tenant_id,
        row.kid,
        row.did,
        row.public_key,
        row.sealed_private,
        row.state,
        row.not_before,
        row.not_after,
    )


async def end_key(tx: JournalTransaction, tenant_id: UUID, kid: str, state: str, at: datetime) -> None:
    """Take a key out of use as RETIRED or COMPROMISED."""
    await tx.execute(
        "UPDATE issuer_key SET state = $3, not_after = $4 WHERE tenant_id = $1 AND kid = $2",
        tenant_id,
        kid,
        state,
        at,
    )


async def sealed_secrets(tx: JournalTransaction) -> list[tuple[str, UUID, str, bytes]]:
    """Every sealed secret of issuers: kind (``key``, ``pairwise``), tenant, kid ("" for pairwise), bytes."""
    rows = await tx.fetch(
        "SELECT 'key', tenant_id, kid, sealed_private FROM issuer_key "
        "UNION ALL SELECT 'pairwise', tenant_id, '', sealed_pairwise FROM issuer"
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


async def reseal(tx: JournalTransaction, kind: str, tenant_id: UUID, kid: str, sealed: bytes) -> None:
    """Store a secret sealed under another key."""
    if kind == "key":
        await tx.execute(
            "UPDATE issuer_key SET sealed_private = $3 WHERE tenant_id = $1 AND kid = $2",
            tenant_id,
            kid,
            sealed,
        )
    else:
        await tx.execute("UPDATE issuer SET sealed_pairwise = $2 WHERE tenant_id = $1", tenant_id, sealed)
