"""Every statement about receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.event_rows import NewEvent
from cohortlens.consent.models import ActType, Notice, Purpose, StoredReceipt
from cohortlens.consent.notice_rows import NoticeRows
from cohortlens.consent.purpose_rows import PurposeRows
from cohortlens.core.ids import plain_uuid

_TOLD = text(
    "SELECT id, identity_id, purpose_key, purpose_version, type, collected_at, expires_at, method, locale,"
    " notice_id, notice_sha256, created_at FROM consent_events"
    " WHERE tenant_id = app.tid() AND receipt_id = :id ORDER BY purpose_key"
)


@dataclass(frozen=True)
class Told:
    """What the receipt of an act that has none yet will tell.

    Attributes:
        identity_id: The person.
        events: The events of the act.
        purposes: The versions they are about, in the same order.
        notice: The notice that was shown, else the newest of the tenant.
        recorded_at: When the act was recorded.
    """

    identity_id: UUID
    events: tuple[NewEvent, ...]
    purposes: tuple[Purpose, ...]
    notice: Notice
    recorded_at: datetime


class ReceiptRows:
    """The receipts of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``; for ``standing`` inside any transaction.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def add(self, receipts: Sequence[StoredReceipt]) -> None:
        """Store receipts; one that another call has made meanwhile stays as it is."""
        await self._tx.execute(
            text(
                "INSERT INTO consent_receipts (tenant_id, id, identity_id, record, signature, kid)"
                " SELECT app.tid(), n.* FROM unnest(CAST(:ids AS uuid[]), CAST(:identities AS uuid[]),"
                " CAST(:records AS bytea[]), CAST(:signatures AS text[]), CAST(:kids AS text[])) AS n"
                " ON CONFLICT DO NOTHING"
            ),
            {
                "ids": [one.id for one in receipts],
                "identities": [one.identity_id for one in receipts],
                "records": [one.record for one in receipts],
                "signatures": [one.signature for one in receipts],
                "kids": [one.kid for one in receipts],
            },
        )

    async def get(self, receipt_id: UUID) -> StoredReceipt | None:
        """A receipt of this tenant."""
        row = (
            await self._tx.execute(
                text(
                    "SELECT id, identity_id, record, signature, kid FROM consent_receipts"
                    " WHERE tenant_id = app.tid() AND id = :id"
                ),
                {"id": receipt_id},
            )
        ).one_or_none()
        if row is None:
            return None
        return StoredReceipt(
            plain_uuid(row.id), plain_uuid(row.identity_id), bytes(row.record), row.signature, row.kid
        )

    async def told(self, receipt_id: UUID) -> Told | None:
        """What a receipt will tell that was not made yet; None when no act has it, or there is no notice."""
        rows = (await self._tx.execute(_TOLD, {"id": receipt_id})).all()
        if not rows:
            return None
        notices = NoticeRows(self._tx)
        shown = rows[0].notice_id or await notices.last()
        notice = None if shown is None else await notices.get(plain_uuid(shown))
        if notice is None:
            return None
        purposes = []
        for row in rows:
            versions = await PurposeRows(self._tx).versions(row.purpose_key, 1000)
            purposes.append(next(one for one in versions if one.version == row.purpose_version))
        events = tuple(
            NewEvent(
                plain_uuid(row.id),
                plain_uuid(row.identity_id),
                row.purpose_key,
                row.purpose_version,
                ActType(row.type),
                row.collected_at,
                row.expires_at,
                row.method,
                row.locale,
                row.notice_id,
                row.notice_sha256,
                receipt_id,
                None,
            )
            for row in rows
        )
        return Told(events[0].identity_id, events, tuple(purposes), notice, rows[0].created_at)

    async def standing(self, receipt_id: UUID, sha256: bytes) -> tuple[bool, UUID | None] | None:
        """Whether what a receipt tells of was ended since, and the receipt of a later decision.

        Args:
            receipt_id: The receipt, of whichever tenant.
            sha256: Of its record.

        Returns:
            None when there is no such receipt.
        """
        row = (
            await self._tx.execute(
                text("SELECT * FROM app.receipt_standing(:id, :sha256)"),
                {"id": receipt_id, "sha256": sha256},
            )
        ).one_or_none()
        if row is None:
            return None
        return bool(row.revoked), None if row.superseded_by is None else plain_uuid(row.superseded_by)
