"""SQL of the quota: grants, what comes back, and what one piece of work costs.

The row of ``api_usage`` is the only truth about a period. Whatever changes ``reserved`` changes a lease in
the same statement, so that ``reserved`` is always the sum of ``granted - returned``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.usage.models import Grant
from cohortlens.core.errors import Internal

LEASE_S = 60

_ENTITLED = """WITH e AS (
  SELECT e.tenant_id, e.plan_id, e.access, e.version, e.max_api_calls_per_month AS quota, p.period_start,
         p.period_end
    FROM entitlements e, app.billing_period(e.anchor, now()) AS p WHERE e.tenant_id = app.tid())
"""


def _query(sql: str) -> TextClause:
    return text(sql.replace("ENTITLED", _ENTITLED))


# The first INSERT bounds itself too, or the first call of a period could pass the limit; the last grant is a
# partial one, so that the limit is reached exactly.
_GRANT = _query(
    """
ENTITLED, g AS (
  INSERT INTO api_usage AS u (tenant_id, meter, period_start, period_end, quota, reserved, last_grant)
  SELECT tenant_id, :meter, period_start, period_end, quota, least(CAST(:units AS bigint), quota),
         least(CAST(:units AS bigint), quota)
    FROM e WHERE access <> 'NONE' AND quota > 0
  ON CONFLICT (tenant_id, meter, period_start) DO UPDATE SET quota = EXCLUDED.quota,
    last_grant = least(CAST(:units AS bigint), EXCLUDED.quota - u.reserved),
    reserved = u.reserved + least(CAST(:units AS bigint), EXCLUDED.quota - u.reserved)
   WHERE u.reserved < EXCLUDED.quota
  RETURNING tenant_id, meter, period_start, period_end, reserved, last_grant),
l AS (
  INSERT INTO quota_leases (tenant_id, id, meter, period_start, process_id, granted, state, expires_at)
  SELECT tenant_id, :lease, meter, period_start, :process, last_grant, 'OPEN',
         least(now() + make_interval(secs => :life), period_end) FROM g
  RETURNING id, granted, extract(epoch FROM expires_at - now()) AS ttl_s)
SELECT e.*, l.id AS lease_id, l.granted, l.ttl_s, g.reserved,
       (SELECT u.reserved FROM api_usage u WHERE u.tenant_id = e.tenant_id AND u.meter = :meter
           AND u.period_start = e.period_start) AS reserved_before
  FROM e LEFT JOIN l ON true LEFT JOIN g ON true
"""
)
# All or nothing, and once: the lease's identifier names the work.
_CHARGE = _query(
    """
ENTITLED, g AS (
  INSERT INTO api_usage AS u (tenant_id, meter, period_start, period_end, quota, reserved, last_grant)
  SELECT tenant_id, :meter, period_start, period_end, quota, CAST(:units AS bigint), CAST(:units AS bigint)
    FROM e WHERE access <> 'NONE' AND (quota >= CAST(:units AS bigint) OR :beyond)
  ON CONFLICT (tenant_id, meter, period_start) DO UPDATE SET quota = EXCLUDED.quota,
    last_grant = CAST(:units AS bigint), reserved = u.reserved + CAST(:units AS bigint)
   WHERE u.reserved + CAST(:units AS bigint) <= EXCLUDED.quota OR :beyond
  RETURNING tenant_id, meter, period_start, period_end, reserved, last_grant),
l AS (
  INSERT INTO quota_leases (tenant_id, id, meter, period_start, process_id, granted, state, expires_at)
  SELECT tenant_id, :lease, meter, period_start, :process, last_grant, 'CHARGED', now() FROM g
  RETURNING id, granted, 0 AS ttl_s)
SELECT e.*, l.id AS lease_id, l.granted, l.ttl_s, g.reserved,
       (SELECT u.reserved FROM api_usage u WHERE u.tenant_id = e.tenant_id AND u.meter = :meter
           AND u.period_start = e.period_start) AS reserved_before
  FROM e LEFT JOIN l ON true LEFT JOIN g ON true
"""
)
_PERIOD = _query(
    """
ENTITLED SELECT e.*, NULL AS lease_id, u.reserved AS reserved_before FROM e LEFT JOIN api_usage u
  ON u.tenant_id = e.tenant_id AND u.meter = :meter AND u.period_start = e.period_start
"""
)
# Absolute figures, so that a return whose outcome is unknown can simply be sent again.
_GIVE_BACK = text(
    """
WITH given AS (
  SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:returned AS bigint[]), CAST(:closed AS boolean[]))
    AS given (id, returned, closed)),
held AS (
  SELECT q.tenant_id, q.id, q.meter, q.period_start, q.returned AS before, g.closed,
         greatest(q.returned, least(g.returned, q.granted)) AS after
    FROM quota_leases q JOIN given g ON g.id = q.id
   WHERE q.tenant_id = app.tid() AND q.state <> 'FORFEITED' ORDER BY q.id FOR UPDATE OF q),
changed AS (
  UPDATE quota_leases q SET returned = h.after,
         state = CASE WHEN q.state = 'OPEN' AND h.closed THEN 'RETURNED' ELSE q.state END
    FROM held h WHERE q.tenant_id = h.tenant_id AND q.id = h.id),
counted AS (
  UPDATE api_usage u SET reserved = u.reserved - s.units
    FROM (SELECT tenant_id, meter, period_start, sum(after - before) AS units FROM held GROUP BY 1, 2, 3) s
   WHERE u.tenant_id = s.tenant_id AND u.meter = s.meter AND u.period_start = s.period_start AND s.units > 0)
SELECT id FROM held
"""
)
_CHARGED_IN = text("SELECT period_start FROM quota_leases WHERE tenant_id = app.tid() AND id = :id")
_UPGRADE = text(
    """
SELECT id FROM current_plans WHERE max_api_calls_per_month > :limit
   AND rank > coalesce((SELECT max(rank) FROM plans WHERE id = :plan), 0) ORDER BY rank LIMIT 1
"""
)


class GiveBack(NamedTuple):
    """What goes back of one lease.

    Attributes:
        lease_id: The lease.
        returned: Units that went back of it so far, these included.
        is_closed: Whether nothing more of it will be spent.
    """

    lease_id: UUID
    returned: int
    is_closed: bool


class LeaseRows:
    """The quota's tables in one transaction of the tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        meter: The meter.
        process_id: Names the process in its leases.
    """

    def __init__(self, tx: AsyncConnection, meter: str, process_id: str) -> None:
        self._tx = tx
        self._meter = meter
        self._process_id = process_id

    async def grant(self, lease_id: UUID, units: int) -> Grant:
        """Lease up to ``units`` units to this process.

        Raises:
            Internal: The tenant has no entitlement.
        """
        return await self._asked(_GRANT, lease=lease_id, units=units, life=LEASE_S)

    async def charge(self, lease_id: UUID, units: int, *, beyond: bool = False) -> Grant:
        """Reserve exactly ``units`` units for one piece of work, or nothing.

        Args:
            lease_id: Names the work; ``charged_in`` knows it afterwards.
            units: Units.
            beyond: Whether the limit may be passed, for what was used while the database was away.
        """
        return await self._asked(_CHARGE, lease=lease_id, units=units, beyond=beyond)

    async def charged_in(self, lease_id: UUID) -> datetime | None:
        """Begin of the period in which the work was charged; None when it was not."""
        found: datetime | None = await self._tx.scalar(_CHARGED_IN, {"id": lease_id})
        return found

    async def current(self) -> Grant:
        """The running period as it stands, without a grant."""
        row = (await self._tx.execute(_PERIOD, {"meter": self._meter})).one_or_none()
        return _grant(row)

    async def give_back(self, leases: Sequence[GiveBack]) -> set[UUID]:
        """Take units back from leases; safe to repeat. Answers those that the database knew."""
        rows = await self._tx.execute(
            _GIVE_BACK,
            {
                "ids": [one.lease_id for one in leases],
                "returned": [one.returned for one in leases],
                "closed": [one.is_closed for one in leases],
            },
        )
        return {UUID(int=row.id.int) for row in rows}

    async def upgrade_to(self, grant: Grant) -> str:
        """The smallest plan above the tenant's that gives more than it has; empty when none does."""
        return str(await self._tx.scalar(_UPGRADE, {"limit": grant.limit, "plan": grant.plan}) or "")

    async def _asked(self, query: TextClause, **values: Any) -> Grant:
        given = {"meter": self._meter, "process": self._process_id, **values}
        return _grant((await self._tx.execute(query, given)).one_or_none())


def _grant(row: Any) -> Grant:
    if row is None:
        raise Internal("a tenant without an entitlement asked for units of its quota")
    granted = row.lease_id is not None
    return Grant(
        lease_id=UUID(int=row.lease_id.int) if granted else None,
        granted=int(row.granted) if granted else 0,
        ttl_s=float(row.ttl_s) if granted else 0.0,
        period_start=row.period_start,
        period_end=row.period_end,
        reserved=int((row.reserved if granted else row.reserved_before) or 0),
        limit=int(row.quota),
        version=int(row.version),
        plan=str(row.plan_id),
        has_access=row.access != "NONE",
    )
