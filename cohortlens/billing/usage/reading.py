"""What a tenant used: where its meters stand, and who used how much of what, by hour or by day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.usage.leases import LeaseRows
from cohortlens.billing.usage.models import API_CALLS, MeterUsage, PeriodInvalid, UsagePlace, UsageRow
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_FIRST_YEAR, _LAST_YEAR = 2000, 2999
# What is stored and in no hour yet counts too, so that a job that is late does not make `used` late.
_USED = text(
    """
SELECT coalesce((SELECT t.used FROM usage_totals t WHERE t.tenant_id = app.tid() AND t.meter = :meter
                    AND t.period_start = :start), 0)
     + coalesce((SELECT sum(b.units) FROM usage_batches b WHERE b.tenant_id = app.tid() AND b.meter = :meter
                    AND b.period_start = :start), 0)
"""
)
# The periods that began in a month: more than one when a subscription began in it.
_BEGUN = text(
    """
SELECT u.period_start, u.period_end, u.quota, u.reserved FROM api_usage u
 WHERE u.tenant_id = app.tid() AND u.meter = :meter
   AND u.period_start >= :first AND u.period_start < :after ORDER BY u.period_start
"""
)
_WOULD_BEGIN = text(
    """
SELECT p.period_start, p.period_end, e.max_api_calls_per_month AS quota, 0 AS reserved
  FROM entitlements e,
       app.billing_period(e.anchor, CAST(:after AS timestamptz) - interval '1 microsecond') AS p
 WHERE e.tenant_id = app.tid()
"""
)
_ROWS = text(
    """
SELECT * FROM (
  SELECT date_trunc(:interval, hour, 'UTC') AS start, principal, method, sum(units) AS units,
         sum(calls) AS calls
    FROM usage_hours WHERE tenant_id = app.tid() AND meter = :meter
     AND period_start = ANY (CAST(:periods AS timestamptz[]))
   GROUP BY 1, 2, 3) AS summed
 WHERE CAST(:start AS timestamptz) IS NULL OR start < :start
    OR (start = :start AND (principal, method) > (CAST(:principal AS text), CAST(:method AS text)))
 ORDER BY start DESC, principal, method LIMIT :limit
"""
)


class _Month(NamedTuple):
    first: datetime
    after: datetime


class UsageReading:
    """Reads usage.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def meters(self, ctx: RequestContext, period: str) -> list[MeterUsage]:
        """Where the meters stand.

        Args:
            ctx: The request.
            period: The month in which the period began, such as 2026-11; empty for the running period.

        Raises:
            PeriodInvalid: It is no month.
        """
        month = _month(period)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return [await _with_used(tx, one) for one in await _periods(tx, month)]

    async def rows(
        self, ctx: RequestContext, period: str, interval: str, behind: UsagePlace | None, limit: int
    ) -> list[UsageRow]:
        """Who used how much of what, newest first.

        Args:
            ctx: The request.
            period: As for ``meters``.
            interval: ``hour`` or ``day``.
            behind: Place of the last row that is known; None for the first page.
            limit: Most rows.

        Raises:
            PeriodInvalid: It is no month.
        """
        month = _month(period)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            starts = [one.period_start for one in await _periods(tx, month)]
            found = await tx.execute(
                _ROWS,
                {
                    "interval": interval,
                    "meter": API_CALLS,
                    "periods": starts,
                    "start": behind.start if behind is not None else None,
                    "principal": behind.principal if behind is not None else "",
                    "method": behind.method if behind is not None else "",
                    "limit": limit,
                },
            )
        return [
            UsageRow(
                UsagePlace(row.start, row.principal, row.method), API_CALLS, int(row.units), int(row.calls)
            )
            for row in found
        ]


async def _periods(tx: AsyncConnection, month: _Month | None) -> Sequence[MeterUsage]:
    if month is None:
        now = await LeaseRows(tx, API_CALLS, "").current()
        return [MeterUsage(API_CALLS, now.period_start, now.period_end, 0, now.reserved, now.limit)]
    found = (await tx.execute(_BEGUN, {"meter": API_CALLS, **month._asdict()})).all()
    if not found:
        found = (await tx.execute(_WOULD_BEGIN, {"after": month.after})).all()
    return [_meter(row) for row in found]


def _meter(row: Any) -> MeterUsage:
    return MeterUsage(API_CALLS, row.period_start, row.period_end, 0, int(row.reserved), int(row.quota))


async def _with_used(tx: AsyncConnection, one: MeterUsage) -> MeterUsage:
    used = await tx.scalar(_USED, {"meter": one.meter, "start": one.period_start})
    return MeterUsage(one.meter, one.period_start, one.period_end, int(used or 0), one.reserved, one.limit)


def _month(period: str) -> _Month | None:
    if not period:
        return None
    found = _MONTH.fullmatch(period)
    if found is None or not _FIRST_YEAR <= int(found[1]) <= _LAST_YEAR:
        raise PeriodInvalid
    year, month = int(found[1]), int(found[2])
    after = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return _Month(datetime(year, month, 1, tzinfo=UTC), after)
