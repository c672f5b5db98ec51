"""The rows of pinned receipts; the only SQL that changes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.ids import plain_uuid


@dataclass(frozen=True)
class ReceiptPin:
    """What is pinned about a consent in one revision.

    Attributes:
        event_id: The consent event.
        revision: From 1; a higher one takes the place of a lower one.
        pin_id: Identifier at the sidecar.
        body: What is signed, RFC 8785 bytes.
        signed_json: The signed bytes; None until pinned.
        cid: Where they are; None until pinned.
        superseded_by: CID of the pin that took its place; None while it is the current one.
        pinned_at: When it was pinned.
    """

    event_id: UUID
    revision: int
    pin_id: UUID
    body: bytes
    signed_json: bytes | None
    cid: str | None
    superseded_by: str | None
    pinned_at: datetime | None


_COLUMNS = ", ".join(ReceiptPin.__dataclass_fields__)


class PinRows:
    """Pinned receipts of the transaction's tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def find(self, event_id: UUID, revision: int) -> ReceiptPin | None:
        """One revision."""
        rows = await self._tx.execute(
            text(f"SELECT {_COLUMNS} FROM receipt_pins WHERE event_id = :event AND revision = :revision"),  # noqa: S608 - columns of ours
            {"event": event_id, "revision": revision},
        )
        row = rows.one_or_none()
        return None if row is None else _pin(row)

    async def current(self, event_id: UUID) -> ReceiptPin | None:
        """The revision that counts; None while nothing is pinned."""
        rows = await self._tx.execute(
            text(
                f"SELECT {_COLUMNS} FROM receipt_pins WHERE event_id = :event AND cid IS NOT NULL "  # noqa: S608 - columns of ours
                "AND superseded_by IS NULL AND unpinned_at IS NULL"
            ),
            {"event": event_id},
        )
        row = rows.one_or_none()
        return None if row is None else _pin(row)

    async def record(self, event_id: UUID, revision: int, pin_id: UUID, body: bytes) -> None:
        """Store what is to be pinned, before anybody is asked to: a repeat pins the same bytes."""
        await self._tx.execute(
            text(
                "INSERT INTO receipt_pins (event_id, revision, pin_id, body) "
                "VALUES (:event, :revision, :pin, :body) ON CONFLICT DO NOTHING"
            ),
            {"event": event_id, "revision": revision, "pin": pin_id, "body": body},
        )

    async def pinned(self, event_id: UUID, revision: int, signed_json: bytes, cid: str) -> bool:
        """Store where a revision is pinned, and that lower ones are superseded; False when it was before.

        A revision that comes after a higher one is superseded at once: the highest one counts.
        """
        values = {"event": event_id, "revision": revision, "cid": cid, "json": signed_json}
        await self._tx.execute(
            text(
                "UPDATE receipt_pins SET superseded_by = :cid WHERE event_id = :event "
                "AND revision < :revision AND cid IS NOT NULL AND superseded_by IS NULL"
            ),
            {"event": event_id, "revision": revision, "cid": cid},
        )
        row = await self._tx.scalar(
            text(
                "UPDATE receipt_pins SET cid = :cid, signed_json = :json, pinned_at = clock_timestamp(), "
                "superseded_by = (SELECT h.cid FROM receipt_pins h WHERE h.event_id = :event "
                "AND h.revision > :revision AND h.cid IS NOT NULL ORDER BY h.revision LIMIT 1) "
                "WHERE event_id = :event AND revision = :revision AND cid IS NULL RETURNING 1"
            ),
            values,
        )
        return row is not None


def _pin(row: object) -> ReceiptPin:
    values = {name: getattr(row, name) for name in ReceiptPin.__dataclass_fields__}
    for name in ("event_id", "pin_id"):
        values[name] = plain_uuid(values[name])
    return ReceiptPin(**values)
