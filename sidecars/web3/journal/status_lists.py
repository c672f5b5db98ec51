"""SQL of status lists, the credentials that stand in them, and what was published of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sidecars.web3.journal.pool import JournalTransaction

REVOCATION = "revocation"


@dataclass(frozen=True, slots=True)
class ListRow:
    """A status list as it stands, without what was published of it."""

    tenant_id: UUID
    list_id: UUID
    purpose: str
    issuer_did: str
    bits: bytes
    version: int
    fill: int


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """What was published of a status list last."""

    tenant_id: UUID
    body: bytes | None
    version: int
    until: datetime | None


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """A credential that was issued, and its entry; ``document`` is None once it was revoked."""

    credential_id: UUID
    source_id: UUID
    kind: str
    kid: str
    suite: str
    document: bytes | None
    list_id: UUID
    status_index: int
    issued_at: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A list of ours for the verifier; ``bits`` is None where the version is the one that was named."""

    issuer_did: str
    purpose: str
    version: int
    bits: bytes | None


_LIST = "tenant_id, list_id, purpose, issuer_did, bits, version, fill"


async def lock_open_list(tx: JournalTransaction, tenant_id: UUID, issuer_did: str) -> ListRow | None:
    """The list that takes new entries, held until the end of the transaction."""
    row = await tx.fetchrow(
        f"SELECT {_LIST} FROM status_list WHERE tenant_id = $1 AND purpose = $2 "  # noqa: S608
        "AND issuer_did = $3 AND is_open FOR UPDATE",
        tenant_id,
        REVOCATION,
        issuer_did,
    )
    return ListRow(**row) if row else None


async def add_list(tx: JournalTransaction, row: ListRow) -> None:
    """Open a list; the one before it must be closed."""
    await tx.execute(
        f"INSERT INTO status_list ({_LIST}) VALUES ($1, $2, $3, $4, $5, $6, $7)",  # noqa: S608
        row.tenant_id,
        row.list_id,
        row.purpose,
        row.issuer_did,
        row.bits,
        row.version,
        row.fill,
    )


async def close_list(tx: JournalTransaction, tenant_id: UUID, list_id: UUID) -> None:
    """Let a list take no more entries."""
    await tx.execute(
        "UPDATE status_list SET is_open = false WHERE tenant_id = $1 AND list_id = $2", tenant_id, list_id
    )


async def taken(tx: JournalTransaction, tenant_id: UUID, list_id: UUID, indexes: Sequence[int]) -> set[int]:
    """Which of these indexes have an entry."""
    rows = await tx.fetch(
        "SELECT status_index FROM status_entry WHERE tenant_id = $1 AND list_id = $2 "
        "AND status_index = ANY($3::integer[])",
        tenant_id,
        list_id,
        list(indexes),
    )
    return {row[0] for row in rows}


async def valid_credentials(
    tx: JournalTransaction, tenant_id: UUID, kind: str, source_ids: Sequence[UUID]
) -> list[CredentialRow]:
    """The credentials of these sources that nobody revoked."""
    rows = await tx.fetch(
        "SELECT c.credential_id, c.source_id, c.kind, c.kid, c.suite, c.document, e.list_id, "
        "e.status_index, c.issued_at, c.valid_until FROM credential c JOIN status_entry e "
        "ON e.tenant_id = c.tenant_id AND e.credential_id = c.credential_id "
        "WHERE c.tenant_id = $1 AND c.kind = $2 AND c.source_id = ANY($3::uuid[]) "
        "AND e.revoked_at IS NULL AND c.document IS NOT NULL",
        tenant_id,
        kind,
        list(source_ids),
    )
    return [CredentialRow(**row) for row in rows]


async def add_credentials(
    tx: JournalTransaction, tenant_id: UUID, list_id: UUID, rows: Sequence[CredentialRow]
) -> None:
    """Store credentials and their entries in one list, and count them there."""
    await tx.execute(
        "INSERT INTO credential (tenant_id, credential_id, kind, source_id, kid, suite, document, issued_at, "
        "valid_until) SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], "
        "$7::bytea[], $8::timestamptz[], $9::timestamptz[])",
        tenant_id,
        [row.credential_id for row in rows],
        [row.kind for row in rows],
        [row.source_id for row in rows],
        [row.kid for row in rows],
        [row.suite for row in rows],
        [row.document for row in rows],
        [row.issued_at for row in rows],
        [row.valid_until for row in rows],
    )
    await tx.execute(
        "INSERT INTO status_entry (tenant_id, list_id, status_index, credential_id, purpose) "
        "SELECT $1, $2, i, c, $5 FROM unnest($3::integer[], $4::uuid[]) AS new (i, c)",
        tenant_id,
        list_id,
        [row.status_index for row in rows],
        [row.credential_id for row in rows],
        REVOCATION,
    )
    await tx.execute(
        "UPDATE status_list SET fill = fill + $3 WHERE tenant_id = $1 AND list_id = $2",
        tenant_id,
        list_id,
        len(rows),
    )


async def list_of_credential(tx: JournalTransaction, tenant_id: UUID, credential_id: UUID) -> UUID | None:
    """The list a credential stands in."""
    found: UUID | None = await tx.fetchval(
        "SELECT list_id FROM status_entry WHERE tenant_id = $1 AND credential_id = $2 AND purpose = $3",
        tenant_id,
        credential_id,
        REVOCATION,
    )
    return found


async def credentials_of_key(tx: JournalTransaction, tenant_id: UUID, kid: str) -> dict[UUID, list[UUID]]:
    """The credentials signed with a key that nobody revoked, by their list."""
    rows = await tx.fetch(
        "SELECT e.list_id, c.credential_id FROM credential c JOIN status_entry e "
        "ON e.tenant_id = c.tenant_id AND e.credential_id = c.credential_id "
        "WHERE c.tenant_id = $1 AND c.kid = $2 AND e.revoked_at IS NULL ORDER BY e.list_id",
        tenant_id,
        kid,
    )
    found: dict[UUID, list[UUID]] = {}
    for list_id, credential_id in rows:
        found.setdefault(list_id, []).append(credential_id)
    return found


async def lock_list(tx: JournalTransaction, tenant_id: UUID, list_id: UUID) -> ListRow:
    """A list, held until the end of the transaction."""
    row = await tx.fetchrow(
        f"SELECT {_LIST} FROM status_list WHERE tenant_id = $1 AND list_id = $2 FOR UPDATE",  # noqa: S608
        tenant_id,
        list_id,
    )
    return ListRow(**row)


async def revoke_entries(
    tx: JournalTransaction, tenant_id: UUID, list_id: UUID, credential_ids: Sequence[UUID], reason: str
) -> list[int]:
    """Mark entries revoked and drop the stored credentials; answers the indexes that were not marked yet."""
    rows = await tx.fetch(
        "UPDATE status_entry SET revoked_at = now(), reason_code = $4 WHERE tenant_id = $1 AND list_id = $2 "
        "AND credential_id = ANY($3::uuid[]) AND revoked_at IS NULL RETURNING status_index",
        tenant_id,
        list_id,
        list(credential_ids),
        reason,
    )
    await tx.execute(
        "UPDATE credential SET document = NULL WHERE tenant_id = $1 AND credential_id = ANY($2::uuid[])",
        tenant_id,
        list(credential_ids),
    )
    return [row[0] for row in rows]


async def set_bits(tx: JournalTransaction, tenant_id: UUID, list_id: UUID, bits: bytes) -> int:
    """Store the bits of a list as its next version, and answer which that is."""
    version: int = await tx.fetchval(
        "UPDATE status_list SET bits = $3, version = version + 1 WHERE tenant_id = $1 AND list_id = $2 "
        "RETURNING version",
        tenant_id,
        list_id,
        bits,
    )
    return version


async def due_list(
    tx: JournalTransaction, renewed_before: datetime, passed_over: Sequence[UUID]
) -> ListRow | None:
    """A list whose newest version is not public, or whose publication ends soon; locked, others skip it.

    Args:
        tx: A transaction of all tenants.
        renewed_before: A publication that ends before this is renewed.
        passed_over: Lists that were signed within the last second.
    """
    row = await tx.fetchrow(
        f"SELECT {_LIST} FROM status_list WHERE NOT list_id = ANY($2::uuid[]) AND "  # noqa: S608
        "(published_version < version OR published_until < $1) "
        "ORDER BY published_version > 0, published_at NULLS FIRST LIMIT 1 FOR UPDATE SKIP LOCKED",
        renewed_before,
        list(passed_over),
    )
    return ListRow(**row) if row else None


async def lock_any_list(tx: JournalTransaction, list_id: UUID) -> ListRow | None:
    """A list of whichever tenant, locked; needs a transaction of all tenants."""
    row = await tx.fetchrow(
        f"SELECT {_LIST} FROM status_list WHERE list_id = $1 FOR UPDATE",  # noqa: S608
        list_id,
    )
    return ListRow(**row) if row else None


async def store_published(
    tx: JournalTransaction, row: ListRow, body: bytes, at: datetime, until: datetime
) -> None:
    """Make a signed version of a list the public one."""
    await tx.execute(
        "UPDATE status_list SET published = $3, published_version = $4, published_at = $5, "
        "published_until = $6 WHERE tenant_id = $1 AND list_id = $2",
        row.tenant_id,
        row.list_id,
        body,
        row.version,
        at,
        until,
    )


async def published_list(tx: JournalTransaction, list_id: UUID) -> PublishedRow | None:
    """What is public of a list; needs a transaction of all tenants."""
    row = await tx.fetchrow(
        "SELECT tenant_id, published AS body, published_version AS version, published_until AS until "
        "FROM status_list WHERE list_id = $1",
        list_id,
    )
    return PublishedRow(**row) if row else None


async def published_at(tx: JournalTransaction, tenant_id: UUID, list_id: UUID) -> tuple[int, datetime | None]:
    """The version that is public, and since when."""
    row = await tx.fetchrow(
        "SELECT published_version, published_at FROM status_list WHERE tenant_id = $1 AND list_id = $2",
        tenant_id,
        list_id,
    )
    return row[0], row[1]


async def compared_list(tx: JournalTransaction, list_id: UUID, known_version: int) -> CheckedRow | None:
    """A list of ours, with its bits unless they are known; needs a transaction of all tenants."""
    row = await tx.fetchrow(
        "SELECT issuer_did, purpose, version, CASE WHEN version <> $2 THEN bits END AS bits "
        "FROM status_list WHERE list_id = $1",
        list_id,
        known_version,
    )
    return CheckedRow(**row) if row else None
