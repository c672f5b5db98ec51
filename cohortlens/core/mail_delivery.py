"""Sends the mails of the queue: open the seal, render, hand over, delete the content."""

from __future__ import annotations

import json
from uuid import UUID

from sqlalchemy import text

from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId
from cohortlens.core.mail import Mailer, MailSealer, MailTemplates, checked_address, seal_context

KEEP_S = 30 * 86_400


class MailDelivery:
    """What the handler of ``mail.requested`` does; safe to repeat, as a mail keeps its Message-ID.

    Args:
        db: Database as the runtime role.
        sealer: Opens what ``MailQueue`` sealed.
        templates: All registered templates.
        mailer: Carries the mails.
    """

    def __init__(self, db: Database, sealer: MailSealer, templates: MailTemplates, mailer: Mailer) -> None:
        self._db = db
        self._sealer = sealer
        self._templates = templates
        self._mailer = mailer

    async def send(self, tenant_id: TenantId, mail_id: UUID) -> None:
        """Send a queued or failed mail and delete its content; one that is sent or purged is left alone.

        Raises:
            MailRefused: The server will never take it.
            Unavailable: MAIL_UNAVAILABLE: try again later.
            LookupError: Its template is not registered.
            SealBroken: Its row was altered.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            query = text("SELECT template, locale, sealed FROM mails WHERE id = :id AND sealed IS NOT NULL")
            row = (await tx.execute(query, {"id": mail_id})).one_or_none()
        if row is None:
            return
        content = json.loads(self._sealer.open(row.sealed, seal_context(tenant_id, mail_id)))
        letter = self._templates.render(row.template, row.locale, content["values"])
        await self._mailer.send(letter.mail(mail_id, checked_address(content["to"])))
        await self._end(tenant_id, mail_id, "SENT")

    async def give_up(self, tenant_id: TenantId, mail_id: UUID) -> None:
        """Mark a mail that no attempt could send; its content stays until it is retried or purged."""
        await self._end(tenant_id, mail_id, "FAILED")

    async def ping(self) -> None:
        """Raise Unavailable (MAIL_UNAVAILABLE) unless mails can be handed over now."""
        await self._mailer.ping()

    async def _end(self, tenant_id: TenantId, mail_id: UUID, state: str) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            await tx.execute(
                text(
                    "UPDATE mails SET state = CAST(:state AS text), ended_at = clock_timestamp(), "
                    "sealed = CASE WHEN CAST(:state AS text) = 'SENT' THEN NULL ELSE sealed END "
                    "WHERE id = :id AND state <> 'SENT'"
                ),
                {"id": mail_id, "state": state},
            )


async def purge_mails(db: Database, keep_s: int = KEEP_S) -> int:
    """Delete the rows of mails older than ``keep_s`` seconds, sent or not; answers how many."""
    async with db.transaction() as tx:
        return int(await tx.scalar(text("SELECT app.mails_purge(:keep)"), {"keep": keep_s}) or 0)
