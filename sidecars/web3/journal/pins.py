"""SQL of pins: what is pinned, and how far each service is with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sidecars.web3.journal.pool import Journal

_PAGE_ROWS = 1000
LEASE_S = 900.0
"""Seconds for which a claimed row is nobody else's: longer than any transfer may take."""


@dataclass(frozen=True, slots=True)
class BackendRow:
    """A service's state of a pin; columns of ``web3.pin_backend``."""

    backend: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PinRow:
    """A pin; columns of ``web3.pin``.

    Attributes:
        content_sha256: Tells the same content again: SHA-256 of public content, a keyed one of sealed.
        size_bytes: Stored bytes, sealing included.
        sealed_key: Key of a sealed pin, under the KEK; None for public ones and after the pin was let go of.
        is_unpinned: Whether it was let go of; the row stays so that a late repetition cannot bring it back.
    """

    tenant_id: UUID
    pin_id: UUID
    kind: str
    cid: str
    content_sha256: bytes
    size_bytes: int
    sealed_key: bytes | None
    is_unpinned: bool = False
    backends: tuple[BackendRow, ...] = ()


@dataclass(frozen=True, slots=True)
class DuePin:
    """Work that is due at a service.

    Attributes:
        is_removal: Whether the service is to let go of it.
        attempts: Tries so far, without this one.
        age_s: Seconds since the pin was made.
    """

    tenant_id: UUID
    pin_id: UUID
    backend: str
    cid: str
    size_bytes: int
    remote_id: str
    is_removal: bool
    attempts: int
    age_s: float


_PIN = (
    "tenant_id, pin_id, kind, cid, content_sha256, size_bytes, sealed_key, "
    "unpinned_at IS NOT NULL AS is_unpinned"
)


class PinRows:
    """Pins in the journal; each method is a transaction of its own.

    Args:
        journal: The journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def find(self, tenant_id: UUID, pin_id: UUID) -> PinRow | None:
        """A pin with the states of its services."""
        async with self._journal.transaction(tenant_id) as tx:
            return await _find(tx, tenant_id, pin_id)

    async def by_cid(self, tenant_id: UUID, cid: str) -> PinRow | None:
        """The tenant's newest pin of a CID."""
        async with self._journal.transaction(tenant_id) as tx:
            pin_id = await tx.fetchval(
                "SELECT pin_id FROM pin WHERE tenant_id = $1 AND cid = $2 AND unpinned_at IS NULL "
                "ORDER BY created_at DESC LIMIT 1",
                tenant_id,
                cid,
            )
            return None if pin_id is None else await _find(tx, tenant_id, pin_id)

    async def insert(self, row: PinRow, services: Sequence[str]) -> bool:
        """Store a pin, due at its services; False where its identifier is taken."""
        async with self._journal.transaction(row.tenant_id) as tx:
            made = await tx.execute(
                "INSERT INTO pin (tenant_id, pin_id, kind, cid, content_sha256, size_bytes, sealed_key) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                row.tenant_id,
                row.pin_id,
                row.kind,
                row.cid,
                row.content_sha256,
                row.size_bytes,
                row.sealed_key,
            )
            if made and services:
                await tx.execute(
                    "INSERT INTO pin_backend (tenant_id, pin_id, backend, state) "
                    "SELECT $1, $2, unnest($3::text[]), 'PENDING'",
                    row.tenant_id,
                    row.pin_id,
                    list(services),
                )
            return bool(made)

    async def unpin(self, tenant_id: UUID, pin_id: UUID) -> PinRow | None:
        """Let go of a pin: its key is destroyed, its services are to remove it; the pin as it was."""
        async with self._journal.transaction(tenant_id) as tx:
            await tx.execute(
                "SELECT 1 FROM pin WHERE tenant_id = $1 AND pin_id = $2 FOR UPDATE", tenant_id, pin_id
            )
            row = await _find(tx, tenant_id, pin_id)
            if row is None or row.is_unpinned:
                return row
            await tx.execute(
                "UPDATE pin SET unpinned_at = now(), sealed_key = NULL WHERE tenant_id = $1 AND pin_id = $2",
                tenant_id,
                pin_id,
            )
            await tx.execute(
                "UPDATE pin_backend SET state = 'REMOVING', attempts = 0, reason = NULL, "
                "next_at = now(), changed_at = now() "
                "WHERE tenant_id = $1 AND pin_id = $2 AND state <> 'REMOVED'",
                tenant_id,
                pin_id,
            )
            return row

    async def claim(self, services: Sequence[str], limit: int) -> list[DuePin]:
        """Work that is due at these services, for nobody else until the lease ends."""
        async with self._journal.transaction(None) as tx:
            rows = await tx.fetch(
                "UPDATE pin_backend b SET next_at = now() + make_interval(secs => $3), "
                "attempts = b.attempts + 1 FROM ("
                "  SELECT tenant_id, pin_id, backend FROM pin_backend "
                "  WHERE state IN ('PENDING', 'REMOVING') AND next_at <= now() AND backend = ANY($1) "
                "  ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED) d, pin p "
                "WHERE (b.tenant_id, b.pin_id, b.backend) = (d.tenant_id, d.pin_id, d.backend) "
                "AND (p.tenant_id, p.pin_id) = (b.tenant_id, b.pin_id) "
                "RETURNING b.tenant_id, b.pin_id, b.backend, p.cid, p.size_bytes, "
                "coalesce(b.remote_id, '') AS remote_id, b.state = 'REMOVING' AS is_removal, "
                "b.attempts - 1 AS attempts, extract(epoch FROM now() - p.created_at)::float8 AS age_s",
                list(services),
                limit,
                LEASE_S,
            )
        return [DuePin(**row) for row in rows]

    async def settle(
        self, due: DuePin, state: str, *, reason: str, remote_id: str, next_in_s: float = 0.0
    ) -> bool:
        """Store how a try ended; False where the pin was let go of meanwhile, which needs its own work."""
        async with self._journal.transaction(None) as tx:
            before = "REMOVING" if due.is_removal else "PENDING"
            settled = await tx.execute(
                "UPDATE pin_backend SET state = $4, reason = nullif($5, ''), remote_id = nullif($6, ''), "
                "next_at = now() + make_interval(secs => $7), changed_at = now() "
                "WHERE (tenant_id, pin_id, backend) = ($1, $2, $3) AND state = $8",
                due.tenant_id,
                due.pin_id,
                due.backend,
                state,
                reason,
                remote_id,
                next_in_s,
                before,
            )
            if not settled and not due.is_removal:
                # Let go of while it was being sent: a removal may have come too early and comes again.
                await tx.execute(
                    "UPDATE pin_backend SET state = 'REMOVING', next_at = now(), "
                    "remote_id = coalesce(nullif($4, ''), remote_id) "
                    "WHERE (tenant_id, pin_id, backend) = ($1, $2, $3)",
                    due.tenant_id,
                    due.pin_id,
                    due.backend,
                    remote_id,
                )
            return bool(settled)

    async def is_kept_elsewhere(self, due: DuePin) -> bool:
        """Whether another pin, of any tenant, has the same content kept at the same service."""
        async with self._journal.transaction(None) as tx:
            found: bool = await tx.fetchval(
                "SELECT EXISTS (SELECT 1 FROM pin p JOIN pin_backend b USING (tenant_id, pin_id) "
                "WHERE p.cid = $1 AND p.unpinned_at IS NULL AND b.backend = $2 "
                "AND b.state IN ('PENDING', 'PINNED'))",
                due.cid,
                due.backend,
            )
            return found

    async def retry_denied(self, services: Sequence[str], within_s: float) -> int:
        """Let refused credentials be tried again, once at each start: settings may be right now."""
        async with self._journal.transaction(None) as tx:
            return await tx.execute(
                "UPDATE pin_backend b SET state = 'PENDING', next_at = now(), attempts = 0 FROM pin p "
                "WHERE (p.tenant_id, p.pin_id) = (b.tenant_id, b.pin_id) AND b.state = 'FAILED' "
                "AND b.reason = 'PIN_BACKEND_DENIED' AND b.backend = ANY($1) "
                "AND p.created_at > now() - make_interval(secs => $2)",
                list(services),
                within_s,
            )

    async def reseal(self, resealed: Callable[[UUID, UUID, bytes], bytes]) -> int:
        """Go through all sealed keys once; how many were sealed anew.

        Args:
            resealed: Tenant, pin and sealed key to the key under the current KEK, the same bytes where they
                are under it already; raises what stops the start.
        """
        changed, last = 0, (UUID(int=0), UUID(int=0))
        while True:
            async with self._journal.transaction(None) as tx:
                rows = await tx.fetch(
                    "SELECT tenant_id, pin_id, sealed_key FROM pin WHERE sealed_key IS NOT NULL "
                    "AND (tenant_id, pin_id) > ($1, $2) ORDER BY tenant_id, pin_id LIMIT $3",
                    *last,
                    _PAGE_ROWS,
                )
                for tenant_id, pin_id, sealed_key in rows:
                    fresh = resealed(tenant_id, pin_id, sealed_key)
                    if fresh != sealed_key:
                        # Only over what was read: a pin that was let go of meanwhile stays without a key.
                        changed += await tx.execute(
                            "UPDATE pin SET sealed_key = $4 "
                            "WHERE (tenant_id, pin_id, sealed_key) = ($1, $2, $3)",
                            tenant_id,
                            pin_id,
                            sealed_key,
                            fresh,
                        )
            if len(rows) < _PAGE_ROWS:
                return changed
            last = (rows[-1]["tenant_id"], rows[-1]["pin_id"])

    async def waiting(self) -> dict[str, int]:
        """How many pins wait or failed, by ``service:state``."""
        async with self._journal.transaction(None) as tx:
            rows = await tx.fetch(
                "SELECT backend || ':' || state AS what, count(*) AS n FROM pin_backend "
                "WHERE state IN ('PENDING', 'REMOVING', 'FAILED') GROUP BY 1"
            )
        return {row["what"]: row["n"] for row in rows}


async def _find(tx: Any, tenant_id: UUID, pin_id: UUID) -> PinRow | None:
    row = await tx.fetchrow(
        f"SELECT {_PIN} FROM pin WHERE tenant_id = $1 AND pin_id = $2",  # noqa: S608
        tenant_id,
        pin_id,
    )
    if row is None:
        return None
    states = await tx.fetch(
        "SELECT backend, state, coalesce(reason, '') AS reason FROM pin_backend "
        "WHERE tenant_id = $1 AND pin_id = $2 ORDER BY backend",
        tenant_id,
        pin_id,
    )
    return PinRow(**row, backends=tuple(BackendRow(**state) for state in states))
