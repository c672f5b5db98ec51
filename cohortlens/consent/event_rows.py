"""Every statement that records decisions: events, and the states they lead to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.events import CONSENT_RECORDED, consent_key
from cohortlens.consent.models import ActType, StoredReceipt
from cohortlens.core.db import driver
from cohortlens.core.ids import plain_uuid, uuid7
from cohortlens.core.outbox import payload_text
from cohortlens.core.tracing import CURRENT

_COLUMNS = {
    "ids": "uuid",
    "identities": "uuid",
    "purposes": "text",
    "versions": "integer",
    "types": "text",
    "collected": "timestamptz",
    "expires": "timestamptz",
    "methods": "text",
    "locales": "text",
    "notices": "uuid",
    "hashes": "bytea",
    "receipts": "uuid",
    "evidence": "bytea",
}
_ARRAYS = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(_COLUMNS.values(), 1))
DECIDE = """
best AS (
  SELECT DISTINCT ON (identity_id, purpose_key) *,
         CASE type WHEN 'WITHDRAWN' THEN 3 WHEN 'REFUSED' THEN 2 ELSE 1 END AS rank
    FROM placed
   ORDER BY identity_id, purpose_key, collected_at DESC,
            CASE type WHEN 'WITHDRAWN' THEN 3 WHEN 'REFUSED' THEN 2 ELSE 1 END DESC, place DESC)
INSERT INTO user_consents AS u (tenant_id, identity_id, purpose_key, state, event_id, since, expires_at,
                                purpose_version, decided_at, decided_rank, decided_place)
SELECT app.tid(), identity_id, purpose_key, CASE type WHEN 'REAFFIRMED' THEN 'GIVEN' ELSE type END, id,
       collected_at, expires_at, purpose_version, collected_at, rank, place
  FROM best ORDER BY identity_id, purpose_key
ON CONFLICT (tenant_id, identity_id, purpose_key) DO UPDATE SET
  state = excluded.state, event_id = excluded.event_id, since = excluded.since,
  expires_at = excluded.expires_at, purpose_version = excluded.purpose_version,
  decided_at = excluded.decided_at, decided_rank = excluded.decided_rank,
  decided_place = excluded.decided_place, verifiable_credential_id = NULL, version = 0
 WHERE (excluded.decided_at, excluded.decided_rank, excluded.decided_place)
     > (u.decided_at, u.decided_rank, u.decided_place)
"""
"""The end of a statement that has ``placed`` events: the greatest of each person and purpose decides."""
# What decided before is read by this statement itself: the people are locked, so it is what decides.
_RECORD = f"""
WITH given AS (
  SELECT * FROM unnest({_ARRAYS}) WITH ORDINALITY AS g (
    id, identity_id, purpose_key, purpose_version, type, collected_at, expires_at, method, locale, notice_id,
    notice_sha256, receipt_id, evidence_enc, n)),
placed AS MATERIALIZED (
  SELECT g.*, nextval('consent_places') AS place FROM (
    SELECT given.*, u.event_id AS prev_event_id FROM given
      LEFT JOIN user_consents u ON u.tenant_id = app.tid() AND u.identity_id = given.identity_id
       AND u.purpose_key = given.purpose_key ORDER BY n) AS g),
added AS (
  INSERT INTO consent_events (tenant_id, created_at, id, place, identity_id, purpose_key, purpose_version,
    type, collected_at, expires_at, method, actor, locale, notice_id, notice_sha256, receipt_id,
    prev_event_id, request_id, evidence_enc)
  SELECT app.tid(), statement_timestamp(), id, place, identity_id, purpose_key, purpose_version, type,
         collected_at, expires_at, method, $14, locale, notice_id, notice_sha256, receipt_id,
         prev_event_id, $15, evidence_enc FROM placed),
told AS (
  INSERT INTO outbox (id, topic, key, payload)
  SELECT app.uuid7(), $16, $17 || identity_id, jsonb_strip_nulls(jsonb_build_object(
         'event_id', id, 'identity_id', identity_id, 'purpose', purpose_key, 'type', type,
         'traceparent', nullif($25::text, '')))
    FROM placed ORDER BY place),
receipts AS (
  INSERT INTO consent_receipts (tenant_id, id, identity_id, record, signature, kid)
  SELECT app.tid(), r.* FROM unnest($18::uuid[], $19::uuid[], $20::bytea[], $21::text[], $22::text[]) AS r),
keys AS (
  UPDATE consent_identities i SET data_key_enc = k.key FROM unnest($23::uuid[], $24::bytea[]) AS k (id, key)
   WHERE i.tenant_id = app.tid() AND i.id = k.id),
{DECIDE}
RETURNING u.event_id, u.state = 'GIVEN' AND (u.expires_at <= statement_timestamp() OR u.purpose_version < (
  SELECT h.min_version FROM purpose_heads h WHERE h.tenant_id = u.tenant_id AND h.key = u.purpose_key)
  ) IS TRUE AS is_over
"""  # noqa: S608 - constants
STATE_NOW = (
    "CASE WHEN u.state = 'GIVEN' AND u.purpose_version < h.min_version THEN 'INVALIDATED'"
    " WHEN u.state = 'GIVEN' AND u.expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE u.state END"
)
"""The state of a row ``u`` of ``user_consents`` with its purpose ``h``, looking at time and versions."""
_STANDING = text(
    f"SELECT u.identity_id, u.purpose_key, {STATE_NOW} AS state, u.event_id, u.expires_at, u.purpose_version,"  # noqa: S608
    f" CASE {STATE_NOW} WHEN 'EXPIRED' THEN u.expires_at WHEN 'INVALIDATED' THEN greatest(u.since,"
    " (SELECT p.created_at FROM purposes p WHERE p.tenant_id = h.tenant_id AND p.key = h.key"
    " AND p.version = h.min_version)) ELSE u.since END AS since,"
    " u.decided_at, u.version, e.receipt_id, coalesce(n.version, 0) AS notice_version FROM user_consents u"
    " JOIN purpose_heads h ON h.tenant_id = u.tenant_id AND h.key = u.purpose_key"
    " LEFT JOIN consent_events e ON e.tenant_id = u.tenant_id AND e.id = u.event_id"
    " LEFT JOIN notices n ON n.tenant_id = e.tenant_id AND n.id = e.notice_id"
    " WHERE u.tenant_id = app.tid() AND u.identity_id = ANY (CAST(:identities AS uuid[]))"
)


@dataclass(frozen=True)
class NewEvent:
    """A decision about one purpose, to be recorded.

    Attributes:
        id: Identifier of the event.
        identity_id: Who.
        purpose_key: About what.
        purpose_version: In which version.
        type: What was decided.
        collected_at: When it was made.
        expires_at: When the consent ends by itself; None: it does not.
        method: How it was collected.
        locale: Language of the notice; empty for none.
        notice_id: The notice that was shown; None for none.
        notice_sha256: Of its text.
        receipt_id: Receipt of the act; None for none.
        evidence_enc: Sealed evidence; None for none.
    """

    id: UUID
    identity_id: UUID
    purpose_key: str
    purpose_version: int
    type: ActType
    collected_at: datetime
    expires_at: datetime | None
    method: str
    locale: str
    notice_id: UUID | None
    notice_sha256: bytes | None
    receipt_id: UUID | None
    evidence_enc: bytes | None


@dataclass(frozen=True)
class StoredState:
    """A row of ``user_consents``, with the receipt and the notice of the event that decides.

    Attributes:
        identity_id: Who.
        purpose_key: About what.
        state: The state, with time and versions taken into account.
        event_id: The event that decides.
        since: Since when.
        expires_at: When it ends by itself; None: it does not.
        purpose_version: Version that was decided about.
        decided_at: When the decision was made.
        version: Version of the tenant's consents that it came with; 0 before the commit.
        receipt_id: Receipt of the act; None for none.
        notice_version: Version of the notice; 0 for none.
    """

    identity_id: UUID
    purpose_key: str
    state: str
    event_id: UUID
    since: datetime
    expires_at: datetime | None
    purpose_version: int
    decided_at: datetime
    version: int
    receipt_id: UUID | None
    notice_version: int


class EventRows:
    """The decisions of one tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def standing(self, identities: Iterable[UUID]) -> dict[tuple[UUID, str], StoredState]:
        """How people stand, by person and purpose."""
        rows = await self._tx.execute(_STANDING, {"identities": list(set(identities))})
        found = [stored_state(row) for row in rows]
        return {(one.identity_id, one.purpose_key): one for one in found}

    async def record(
        self,
        events: Sequence[NewEvent],
        receipts: Sequence[StoredReceipt],
        keys: Mapping[UUID, bytes],
        actor: str,
        request_id: str,
    ) -> frozenset[UUID]:
        """Store events in their order, the states they lead to and the receipts; tell of each by the outbox.

        The people have to be locked (``Identities.locked``).

        Args:
            events: What was decided.
            receipts: The receipts of it.
            keys: Sealed keys of evidence to store, by person (``Identities.made_keys``).
            actor: Who recorded it.
            request_id: In which request.

        Returns:
            The events that decide now, and say how the person stands: those that are over already, by time or
            by a newer version, are not among them.
        """
        columns: Sequence[list[object]] = [
            [one.id for one in events],
            [one.identity_id for one in events],
            [one.purpose_key for one in events],
            [one.purpose_version for one in events],
            [one.type.value for one in events],
            [one.collected_at for one in events],
            [one.expires_at for one in events],
            [one.method for one in events],
            [one.locale for one in events],
            [one.notice_id for one in events],
            [one.notice_sha256 for one in events],
            [one.receipt_id for one in events],
            [one.evidence_enc for one in events],
        ]
        made: Sequence[list[object]] = [
            [one.id for one in receipts],
            [one.identity_id for one in receipts],
            [one.record for one in receipts],
            [one.signature for one in receipts],
            [one.kid for one in receipts],
            list(keys),
            list(keys.values()),
        ]
        told = (actor, request_id, CONSENT_RECORDED, consent_key(""))
        rows = await (await driver(self._tx)).fetch(_RECORD, *columns, *told, *made, CURRENT.get())
        return frozenset(plain_uuid(row["event_id"]) for row in rows if not row["is_over"])


async def tell(tx: AsyncConnection, events: Sequence[tuple[UUID, UUID, str, str]]) -> None:
    """Tell of events through the outbox.

    Args:
        tx: The transaction that stored them.
        events: Person, event, purpose and type of each.
    """
    await tx.execute(
        text(
            "INSERT INTO outbox (id, topic, key, payload) SELECT n.id, :topic, n.key, n.payload"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:payloads AS jsonb[]))"
            " WITH ORDINALITY AS n (id, key, payload, place) ORDER BY n.place"
        ),
        {
            "topic": CONSENT_RECORDED,
            "ids": [uuid7() for _ in events],
            "keys": [consent_key(identity) for identity, _, _, _ in events],
            "payloads": [
                payload_text(
                    {"event_id": str(event), "identity_id": str(identity), "purpose": purpose, "type": kind}
                )
                for identity, event, purpose, kind in events
            ],
        },
    )


def stored_state(row: Row[tuple[object, ...]]) -> StoredState:
    """A row of states as the domain sees it."""
    return StoredState(
        plain_uuid(row.identity_id),
        row.purpose_key,
        row.state,
        plain_uuid(row.event_id),
        row.since,
        row.expires_at,
        row.purpose_version,
        row.decided_at,
        row.version,
        None if row.receipt_id is None else plain_uuid(row.receipt_id),
        row.notice_version,
    )
