"""The statements of the audit slice; the chain itself is written by ``trail.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.filters import Condition
from cohortlens.audit.models import COLUMNS, ChainedRow, Checkpoint

_ROW = f"seq, created_at, previous_hash, hash, canonical, {', '.join(COLUMNS)}"


@dataclass(frozen=True)
class Head:
    """Where a chain ends.

    Attributes:
        seq: Place of the last row; 0 before the first.
        hash: Its hash, 32 bytes.
    """

    seq: int
    hash: bytes


class AuditRows:
    """Reads chains and checkpoints.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def head(self) -> Head:
        """Where the chain ends."""
        row = (await self._tx.execute(text("SELECT seq, hash FROM audit_heads"))).one_or_none()
        return Head(0, bytes(32)) if row is None else Head(row.seq, bytes(row.hash))

    async def first_seq(self) -> int | None:
        """Place of the oldest row that is still there."""
        found = await self._tx.scalar(text("SELECT seq FROM audit_log ORDER BY seq LIMIT 1"))
        return None if found is None else int(found)

    async def get(self, seq: int) -> ChainedRow | None:
        """One row."""
        query = text(f"SELECT {_ROW} FROM audit_log WHERE seq = :seq")  # noqa: S608 - fixed columns
        row = (await self._tx.execute(query, {"seq": seq})).one_or_none()
        return None if row is None else _row(row)

    async def span(self, from_seq: int, to_seq: int, limit: int) -> list[ChainedRow]:
        """Rows from ``from_seq`` to ``to_seq`` in their order, at most ``limit``."""
        query = text(
            f"SELECT {_ROW} FROM audit_log WHERE seq BETWEEN :low AND :high"  # noqa: S608 - fixed columns
            " ORDER BY seq LIMIT :limit"
        )
        rows = await self._tx.execute(query, {"low": from_seq, "high": to_seq, "limit": limit})
        return [_row(row) for row in rows]

    async def page(self, condition: Condition, before: int | None, limit: int) -> list[ChainedRow]:
        """Rows that a filter lets through, newest first."""
        # The condition is built of listed columns and bound values only.
        query = text(
            f"SELECT {_ROW} FROM audit_log WHERE {condition.sql} AND seq < :before"  # noqa: S608
            " ORDER BY seq DESC LIMIT :limit"
        )
        last = 2**63 - 1 if before is None else before
        rows = await self._tx.execute(query, {**condition.values, "before": last, "limit": limit})
        return [_row(row) for row in rows]

    async def checkpoints(self, from_seq: int, to_seq: int) -> list[Checkpoint]:
        """Checkpoints at the places from ``from_seq`` to ``to_seq``, in their order."""
        rows = await self._tx.execute(
            text(
                "SELECT seq, hash, created_at, kid, signature FROM audit_checkpoints"
                " WHERE seq BETWEEN :low AND :high ORDER BY seq"
            ),
            {"low": from_seq, "high": to_seq},
        )
        return [_checkpoint(row) for row in rows]

    async def last_checkpoint(self, until: int = 2**63 - 1) -> Checkpoint | None:
        """The newest checkpoint at or before a place."""
        row = (
            await self._tx.execute(
                text(
                    "SELECT seq, hash, created_at, kid, signature FROM audit_checkpoints"
                    " WHERE seq <= :until ORDER BY seq DESC LIMIT 1"
                ),
                {"until": until},
            )
        ).one_or_none()
        return None if row is None else _checkpoint(row)

    async def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint; a place that has one keeps it."""
        await self._tx.execute(
            text(
                "INSERT INTO audit_checkpoints (tenant_id, seq, hash, created_at, kid, signature)"
                " VALUES (app.tid(), :seq, :hash, :at, :kid, :signature) ON CONFLICT DO NOTHING"
            ),
            {
                "seq": checkpoint.seq,
                "hash": checkpoint.hash,
                "at": checkpoint.at,
                "kid": checkpoint.kid,
                "signature": checkpoint.signature,
            },
        )


async def unsealed_tenants(tx: AsyncConnection) -> list[Any]:
    """Tenants whose newest row has no checkpoint."""
    return list((await tx.scalars(text("SELECT * FROM app.audit_unsealed()"))).all())


async def month_ends(tx: AsyncConnection, since: datetime, until: datetime) -> Sequence[Row[Any]]:
    """``tenant_id``, ``seq`` of each tenant's last row in a span of time that no checkpoint seals."""
    query = text("SELECT tenant_id, seq FROM app.audit_boundaries(:since, :until) WHERE NOT sealed")
    return (await tx.execute(query, {"since": since, "until": until})).all()


def _row(row: Row[Any]) -> ChainedRow:
    shown = {name: getattr(row, name) for name in COLUMNS}
    return ChainedRow(
        row.seq, row.created_at, bytes(row.previous_hash), bytes(row.hash), bytes(row.canonical), shown
    )


def _checkpoint(row: Row[Any]) -> Checkpoint:
    return Checkpoint(row.seq, bytes(row.hash), row.created_at, row.kid, bytes(row.signature))
