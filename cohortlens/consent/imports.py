"""The consent of imported customers: 50,000 at once, in the transaction of their import.

The people did nothing here, so nothing is owed to them and nothing is told through the outbox: no credential,
no reward, no pin. Their receipt is made when it is first asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import entry_of
from cohortlens.consent.event_rows import DECIDE
from cohortlens.consent.identities import IDENT_COLUMN, IDENTITY_INDEX
from cohortlens.consent.models import ActType, field_fault
from cohortlens.consent.states import expiry
from cohortlens.consent.terms import Terms, TermsReading, Wanted
from cohortlens.core.clock import Clock, now
from cohortlens.core.deferred import call_at_commit
from cohortlens.core.ids import plain_uuid, uuid7
from cohortlens.core.tenant_keys import TenantKeys, TenantSealer
from cohortlens.customers.consents import ImportedConsent, ReadCustomers

CHUNK = 5000
_PATH = "options.consent."
_IMPORTER = Actor("job", "import")
_UNLINKED = text(
    "SELECT EXISTS (SELECT FROM consent_identities"
    " WHERE tenant_id = app.tid() AND customer_id IS NULL AND erased_at IS NULL)"
)
_LINK = text(
    "UPDATE consent_identities i SET customer_id = n.customer"
    " FROM unnest(CAST(:customers AS uuid[]), CAST(:bidx AS bytea[])) AS n (customer, bidx)"
    " WHERE i.tenant_id = app.tid() AND i.ident_bidx = n.bidx"
    " AND i.customer_id IS NULL AND i.erased_at IS NULL"
)
_PEOPLE = text(
    "INSERT INTO consent_identities AS i (tenant_id, id, customer_id, ident_bidx, ident_enc)"
    " SELECT app.tid(), n.* FROM unnest(CAST(:ids AS uuid[]), CAST(:customers AS uuid[]),"
    " CAST(:bidx AS bytea[]), CAST(:enc AS bytea[])) AS n (id, customer, bidx, enc) ORDER BY n.bidx"
    " ON CONFLICT (tenant_id, ident_bidx) DO UPDATE SET customer_id ="
    " CASE WHEN i.erased_at IS NULL THEN coalesce(i.customer_id, excluded.customer_id) END"
    " RETURNING id, erased_at"
)
# The same file once more changes nothing: what was decided at that moment stays as it is.
_RECORD = text(f"""
WITH placed AS MATERIALIZED (
  SELECT app.uuid7() AS id, p.identity_id, p.receipt_id, g.purpose_key, g.purpose_version, g.expires_at,
         CAST(:collected AS timestamptz) AS collected_at, 'GIVEN' AS type, u.event_id AS prev_event_id,
         nextval('consent_places') AS place
    FROM unnest(CAST(:identities AS uuid[]), CAST(:receipts AS uuid[])) AS p (identity_id, receipt_id)
   CROSS JOIN unnest(CAST(:keys AS text[]), CAST(:versions AS integer[]), CAST(:expires AS timestamptz[]))
      AS g (purpose_key, purpose_version, expires_at)
    LEFT JOIN user_consents u ON u.tenant_id = app.tid() AND u.identity_id = p.identity_id
     AND u.purpose_key = g.purpose_key
   WHERE u.decided_at IS DISTINCT FROM :collected),
added AS (
  INSERT INTO consent_events (tenant_id, created_at, id, place, identity_id, purpose_key, purpose_version,
    type, collected_at, expires_at, method, actor, locale, notice_id, notice_sha256, receipt_id,
    prev_event_id, request_id)
  SELECT app.tid(), statement_timestamp(), id, place, identity_id, purpose_key, purpose_version, type,
         collected_at, expires_at, 'IMPORT', 'job:import', :locale, :notice, :sha256, receipt_id,
         prev_event_id, :import_id FROM placed),
{DECIDE}
""")  # noqa: S608 - constants


class ConsentImports:
    """Records the consent of imported customers.

    Args:
        tenant_keys: The tenants' keys.
        clock: Current time.
    """

    def __init__(self, tenant_keys: TenantKeys, clock: Clock = now) -> None:
        self._tenant_keys = tenant_keys
        self._clock = clock

    async def check(self, tx: AsyncConnection, consent: ImportedConsent) -> None:
        """Refuse a consent that could not be recorded; see ``ConsentAtImport``."""
        if not consent.purposes:
            raise field_fault(f"{_PATH}purposes", "name at least one")
        if consent.collected_at > self._clock():
            raise field_fault(f"{_PATH}collect_time", "lies ahead")
        await self._terms(tx, consent)

    async def imported(
        self,
        tx: AsyncConnection,
        tenant_id: UUID,
        import_id: UUID,
        customers: ReadCustomers,
        consent: ImportedConsent | None,
    ) -> None:
        """Link people who are customers now, and record the consent of the file; see ``ConsentAtImport``."""
        if consent is None and not await tx.scalar(_UNLINKED):
            return
        of_file = await customers()
        secret = await self._tenant_keys.mac_key(tx, tenant_id, IDENTITY_INDEX)
        if consent is None:
            await tx.execute(_LINK, await asyncio.to_thread(_indexed, of_file, secret))
            return
        if not of_file:
            return
        terms = await self._terms(tx, consent)
        sealer = await self._tenant_keys.sealer(tx, tenant_id, IDENT_COLUMN)
        people = 0
        for start in range(0, len(of_file), CHUNK):
            chunk = of_file[start : start + CHUNK]
            rows = await asyncio.to_thread(_sealed, chunk, secret, sealer)
            found = await tx.execute(_PEOPLE, rows)
            known = [plain_uuid(row.id) for row in found if row.erased_at is None]
            people += len(known)
            await tx.execute(_RECORD, _events(known, terms, consent, import_id))
        assert terms.notice is not None
        details = {
            "customers": people,
            "purposes": {one.key: one.version for one in terms.purposes},
            "notice_sha256": terms.notice.sha256.hex(),
            "collected_at": consent.collected_at.isoformat(),
        }
        entry = entry_of(
            _IMPORTER,
            "consent.decision.imported",
            resource=f"imports/{import_id}",
            outcome="OK",
            details=details,
        )
        call_at_commit(tx, "app.consent_commit", entry.canonical())

    async def _terms(self, tx: AsyncConnection, consent: ImportedConsent) -> Terms:
        wanted = Wanted(ActType.GIVEN, consent.purposes, consent.notice, consent.collected_at, _PATH)
        (terms,) = await TermsReading(tx).of([wanted])
        return terms


def _indexed(customers: Sequence[tuple[UUID, str]], secret: bytes) -> dict[str, list[object]]:
    """Customers with the keyed hash by which their identities are found; nothing is opened for that."""
    raw = [external.encode("utf-8", "surrogatepass") for _customer, external in customers]
    return {
        "customers": [customer for customer, _external in customers],
        "bidx": [hmac.digest(secret, one, hashlib.sha256) for one in raw],
    }


def _sealed(
    customers: Sequence[tuple[UUID, str]], secret: bytes, sealer: TenantSealer
) -> dict[str, list[object]]:
    made = [uuid7() for _ in customers]
    sealed = [
        sealer.seal(external.encode("utf-8", "surrogatepass"), one.bytes)
        for one, (_customer, external) in zip(made, customers, strict=True)
    ]
    return {**_indexed(customers, secret), "ids": [*made], "enc": [*sealed]}


def _events(
    people: Sequence[UUID], terms: Terms, consent: ImportedConsent, import_id: UUID
) -> dict[str, object]:
    assert terms.notice is not None
    ends: list[datetime | None] = [expiry(consent.collected_at, one.validity_days) for one in terms.purposes]
    return {
        "identities": list(people),
        "receipts": [uuid7() for _ in people],
        "keys": [one.key for one in terms.purposes],
        "versions": [one.version for one in terms.purposes],
        "expires": ends,
        "collected": consent.collected_at,
        "locale": consent.locale or terms.notice.locale,
        "notice": terms.notice.id,
        "sha256": terms.notice.sha256,
        "import_id": str(import_id),
    }
