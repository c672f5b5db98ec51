"""What the consent slice itself holds of a person: who they are, what they decided, what they asked for.

An erasure keeps the decisions, which prove that the processing was lawful (GDPR article 17(3)(e)), and takes
away whatever leads from them to the person: the identifier, the key of the evidence, notes, files, links.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.data_requests.files import ExportFolder
from cohortlens.consent.data_requests.rows import DataRequestRows
from cohortlens.consent.identities import Identities
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.core.personal_data import IDENTITY, PersonalTable, Rows, Subject, TableStore
from cohortlens.core.tenant_keys import TenantKeys

_SEALED = frozenset({"ident_bidx", "ident_enc", "data_key_enc"})
_TABLES = (
    PersonalTable("consent_links", IDENTITY, frozenset({"secret_sha256", "token_sha256"})),
    PersonalTable("legal_holds", IDENTITY, frozenset({"reason_enc"})),
    PersonalTable("data_requests", IDENTITY, frozenset({"subject_enc", "notes_enc"})),
    PersonalTable("consent_receipts", IDENTITY, decoded={"record": lambda record: record.decode()}),
    PersonalTable(
        "user_consents", IDENTITY, frozenset({"decided_at", "decided_rank", "decided_place", "version"})
    ),
    PersonalTable("consent_events", IDENTITY, frozenset({"evidence_enc", "place"})),
    PersonalTable("consent_identities", "id", _SEALED),
)
_LEFT = """
SELECT (SELECT count(*) FROM consent_links WHERE tenant_id = app.tid() AND identity_id = :id)
     + (SELECT count(*) FROM consent_identities
         WHERE tenant_id = app.tid() AND id = :id AND erased_at IS NULL)
     + (SELECT count(*) FROM data_requests WHERE tenant_id = app.tid() AND identity_id = :id
           AND subject_enc IS NOT NULL AND NOT (type = 'ERASURE' AND ended_at IS NULL))
"""
_DATA_KEY = "SELECT data_key_enc FROM consent_identities WHERE tenant_id = app.tid() AND id = :id"
_EVIDENCE = """
SELECT id, evidence_enc FROM consent_events
 WHERE tenant_id = app.tid() AND identity_id = :id AND evidence_enc IS NOT NULL
"""
_ERASE = """
UPDATE consent_identities SET erased_at = coalesce(erased_at, :at), ident_enc = NULL, data_key_enc = NULL,
  customer_id = NULL
 WHERE tenant_id = app.tid() AND id = :id
"""


class IdentityStore(TableStore):
    """The tables of the consent slice, and the files of exports.

    Args:
        db: The database.
        keys: Open notes of data requests.
        root: Folder of the artifact store.
        clock: Current time.
    """

    def __init__(self, db: Database, keys: TenantKeys, root: Path, clock: Clock = now) -> None:
        super().__init__(db, "consent", _TABLES, is_provided=True)
        self._keys = keys
        self._root = root
        self._clock = clock

    async def count(self, tenant_id: TenantId, subject: Subject) -> int:
        """What still leads to the person: the identity, links, files and notes of requests."""
        async with self.db.tenant_transaction(tenant_id) as tx:
            return int(await tx.scalar(text(_LEFT), {"id": subject.identity_id}) or 0)

    async def export(self, tenant_id: TenantId, subject: Subject) -> dict[str, Rows]:
        """Decisions, receipts and requests of the person, with what staff noted about the requests."""
        named = Subject(subject.identity_id, subject.identity_id, subject.external_id)
        found = await super().export(tenant_id, named)
        for row in found["consent_identities"]:
            row["external_id"] = subject.external_id
        async with self.db.tenant_transaction(tenant_id) as tx:
            await self._add_evidence(tx, tenant_id, subject, found["consent_events"])
            rows = await DataRequestRows.of(tx, tenant_id, self._keys)
            for shown in found["data_requests"]:
                request = await rows.get(UUID(shown["id"]))
                if request is not None:
                    shown["verification"] = request.notes.verification
                    shown["reason"] = request.notes.reason
                    shown["corrections"] = dict(request.notes.corrections)
        return found

    async def erase(self, tenant_id: TenantId, subject: Subject) -> None:
        """Take the name from the identity, and remove links, notes and files of requests that ended."""
        async with self.db.tenant_transaction(tenant_id) as tx:
            for table in ("consent_links", "legal_holds"):
                query = f"DELETE FROM {table} WHERE tenant_id = app.tid() AND identity_id = :id"  # noqa: S608
                await tx.execute(text(query), {"id": subject.identity_id})
            rows = await DataRequestRows.of(tx, tenant_id, self._keys)
            requests = await rows.scrub(subject.identity_id, self._clock())
            await tx.execute(text(_ERASE), {"id": subject.identity_id, "at": self._clock()})
        for request_id in requests:
            await asyncio.to_thread(ExportFolder(self._root, tenant_id, request_id).remove)

    async def _add_evidence(
        self, tx: AsyncConnection, tenant_id: TenantId, subject: Subject, events: Rows
    ) -> None:
        identities = Identities(tx, tenant_id, self._keys)
        key = await tx.scalar(text(_DATA_KEY), {"id": subject.identity_id})
        sealed = await tx.execute(text(_EVIDENCE), {"id": subject.identity_id})
        opened = {
            str(row.id): await identities.opened(
                subject.identity_id, key, plain_uuid(row.id), bytes(row.evidence_enc)
            )
            for row in sealed
        }
        for event in events:
            event["evidence"] = opened.get(event["id"], {})
