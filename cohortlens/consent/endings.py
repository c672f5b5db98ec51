"""Consents that are over, by time or by a new version of their purpose: the job that records it.

Every reader looks at the time itself, so an end holds from the second it is due; this writes it down, and
tells those who act upon it.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import entry_of
from cohortlens.consent.event_rows import tell
from cohortlens.core.db import Database, retried
from cohortlens.core.deferred import call_at_commit
from cohortlens.core.ids import TenantId, plain_uuid

BATCH = 1000
_TENANTS = 1000
_JOB = Actor("job", "consents_ended")
# The people first, in the order that acts lock them in, then their states.
_LOCK = text("""
SELECT i.id FROM consent_identities i WHERE i.tenant_id = app.tid() AND i.id IN (
  SELECT u.identity_id FROM user_consents u
    JOIN purpose_heads h ON h.tenant_id = u.tenant_id AND h.key = u.purpose_key
   WHERE u.tenant_id = app.tid() AND u.state = 'GIVEN'
     AND (u.expires_at <= statement_timestamp() OR u.purpose_version < h.min_version) LIMIT :limit)
 ORDER BY i.ident_bidx FOR NO KEY UPDATE
""")
_END = text("""
WITH over AS (
  SELECT u.identity_id, u.purpose_key, u.purpose_version, u.event_id, u.decided_at, u.expires_at,
         CASE WHEN u.purpose_version < h.min_version THEN 'INVALIDATED' ELSE 'EXPIRED' END AS type,
         CASE WHEN u.purpose_version < h.min_version THEN p.created_at ELSE u.expires_at END AS ended_at,
         app.uuid7() AS id, nextval('consent_places') AS place
    FROM user_consents u
    JOIN purpose_heads h ON h.tenant_id = u.tenant_id AND h.key = u.purpose_key
    JOIN purposes p ON p.tenant_id = h.tenant_id AND p.key = h.key AND p.version = h.min_version
   WHERE u.tenant_id = app.tid() AND u.identity_id = ANY (CAST(:identities AS uuid[])) AND u.state = 'GIVEN'
     AND (u.expires_at <= statement_timestamp() OR u.purpose_version < h.min_version)),
added AS (
  INSERT INTO consent_events (tenant_id, created_at, id, place, identity_id, purpose_key, purpose_version,
    type, collected_at, expires_at, method, actor, prev_event_id)
  SELECT app.tid(), statement_timestamp(), id, place, identity_id, purpose_key, purpose_version, type,
         ended_at, expires_at, 'SYSTEM', 'job:consents_ended', event_id FROM over)
UPDATE user_consents u SET state = o.type, since = greatest(o.ended_at, o.decided_at), event_id = o.id,
       version = 0
  FROM over o
 WHERE u.tenant_id = app.tid() AND u.identity_id = o.identity_id AND u.purpose_key = o.purpose_key
RETURNING o.identity_id, o.id, o.purpose_key, o.type
""")


class ConsentEndings:
    """Records the end of consents.

    Args:
        db: Database as the role of jobs.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run(self) -> int:
        """Record every end that is due; answers how many. Cut off, the next run goes on."""
        async with self._db.transaction() as tx:
            found = await tx.scalars(text("SELECT app.consents_due(:limit)"), {"limit": _TENANTS})
            tenants = [TenantId(plain_uuid(one)) for one in found]
        total = 0
        for tenant_id in tenants:
            while (ended := await self._batch(tenant_id)) > 0:
                total += ended
        return total

    async def _batch(self, tenant_id: TenantId) -> int:
        async def work() -> int:
            async with self._db.tenant_transaction(tenant_id) as tx:
                people = list(await tx.scalars(_LOCK, {"limit": BATCH}))
                if not people:
                    return 0
                rows = (await tx.execute(_END, {"identities": people})).all()
                if not rows:
                    return 0
                told: list[tuple[UUID, UUID, str, str]] = [
                    (plain_uuid(row.identity_id), plain_uuid(row.id), row.purpose_key, row.type)
                    for row in rows
                ]
                await tell(tx, told)
                ended = {kind: sum(1 for one in told if one[3] == kind) for kind in {one[3] for one in told}}
                entry = entry_of(
                    _JOB, "consent.decision.ended", resource="consents", outcome="OK", details=ended
                )
                call_at_commit(tx, "app.consent_commit", entry.canonical())
            return len(told)

        return await retried(work)
