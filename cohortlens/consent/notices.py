"""Notices: what customers are told, published once and never changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.models import (
    ConsentRowExists,
    ConsentRowMissing,
    Notice,
    NoticeOutdated,
    Purpose,
    field_fault,
)
from cohortlens.consent.notice_rows import NoticeRows
from cohortlens.consent.purpose_rows import PurposeRows
from cohortlens.core import idempotency
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, locked_in_tenant, retried
from cohortlens.core.ids import uuid7

CONTROLLER = ("name", "address", "contact", "country", "storage_countries", "authority", "rights_url")
"""What a notice says about who answers for the processing."""


class NoticesService:
    """The use cases of notices.

    Args:
        db: Database as the runtime role.
        clock: Current time.
    """

    def __init__(self, db: Database, clock: Clock = now) -> None:
        self._db = db
        self._clock = clock

    async def publish(
        self,
        ctx: RequestContext,
        key: str,
        version: int,
        locale: str,
        content: str,
        purposes: Sequence[tuple[str, int]],
        controller: dict[str, Any],
    ) -> Notice:
        """Publish the next version, or the newest one in a further language.

        Args:
            ctx: The request.
            key: Name of the notice.
            version: 0 for the next one; the newest, to add a language.
            locale: Language, BCP 47.
            content: The text.
            purposes: Names and versions; version 0 is the one that holds now.
            controller: Value of each of ``CONTROLLER``.

        Raises:
            InvalidArgument: FIELD_INVALID: another version, or the languages tell of different purposes.
            NotFound: RESOURCE_NOT_FOUND: a purpose.
            FailedPrecondition: NOTICE_OUTDATED: a purpose has a newer version.
            AlreadyExists: RESOURCE_EXISTS: the version has the language already.
        """

        async def work() -> Notice:
            async with self._db.tenant_transaction(ctx.tenant_id) as tx:
                await locked_in_tenant(tx, "notices")
                rows = NoticeRows(tx)
                told = _told({one.key: one for one in await PurposeRows(tx).current()}, purposes)
                known = await rows.newest(key)
                chosen = _version(version, locale, told, known)
                raw = content.encode()
                made = Notice(
                    uuid7(),
                    key,
                    chosen,
                    locale,
                    content,
                    hashlib.sha256(raw).digest(),
                    controller,
                    told,
                    self._clock(),
                )
                await rows.add(made, ctx.caller.actor)
                idempotency.made(notice=str(made.id))
                details = {"version": chosen, "locale": locale, "sha256": made.sha256.hex(), "purposes": told}
                await AuditTrail(tx).append(
                    ctx, "consent.notice.published", resource=f"notices/{made.id}", details=details
                )
            return made

        return await retried(work)

    async def get(self, notice_id: UUID) -> Notice:
        """A notice, of whichever tenant.

        Raises:
            NotFound: RESOURCE_NOT_FOUND.
        """
        async with self._db.transaction() as tx:
            found = await NoticeRows(tx).public(notice_id)
        if found is None:
            raise ConsentRowMissing("notice")
        return found


def _told(current: dict[str, Purpose], purposes: Sequence[tuple[str, int]]) -> dict[str, int]:
    told: dict[str, int] = {}
    for place, (key, version) in enumerate(purposes):
        field = f"purposes[{place}]"
        if key not in current:
            raise ConsentRowMissing(field)
        if key in told:
            raise field_fault(field, "is named twice")
        if version not in (0, current[key].version):
            raise NoticeOutdated(
                f"{field}: version {current[key].version} of {key} holds; tell of that one",
                metadata={"purpose": key},
            )
        told[key] = current[key].version
    return dict(sorted(told.items()))


def _version(wanted: int, locale: str, told: dict[str, int], known: Sequence[Any]) -> int:
    newest = known[0].version if known else 0
    if wanted in (0, newest + 1):
        return newest + 1
    if wanted != newest:
        raise field_fault("version", f"is 0, {newest + 1}, or {newest} to add a language")
    if locale in {one.locale for one in known}:
        raise ConsentRowExists("locale", f"version {newest} has this language; a notice never changes")
    if known[0].purposes != told:
        raise field_fault("purposes", f"version {newest} tells of others; all its languages say the same")
    return newest
