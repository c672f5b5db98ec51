"""The table of exported usage: what of each hour was told to the provider, or is to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.db import locked_in_tenant
from cohortlens.core.ids import TenantId, plain_uuid

_DUE = text("SELECT tenant_id, customer_id FROM app.meter_exports_due(:meter, :live, :since, :until, :limit)")
_ADD = text("""
INSERT INTO meter_exports (tenant_id, meter, hour, seq, value, stripe_customer_id, livemode)
SELECT :tenant, :meter, u.hour, coalesce(t.seq, 0) + 1, u.units - coalesce(t.told, 0), p.stripe_customer_id,
       p.livemode
  FROM billing_profiles p
  JOIN (SELECT hour, sum(units) AS units FROM usage_hours WHERE tenant_id = :tenant AND meter = :meter
          AND hour >= :since AND hour < :until GROUP BY hour) AS u
    ON u.hour >= date_trunc('hour', p.created_at, 'UTC')
  LEFT JOIN (SELECT hour, max(seq) AS seq, sum(value) AS told FROM meter_exports
              WHERE tenant_id = :tenant AND meter = :meter AND hour >= :since GROUP BY hour) AS t
    ON t.hour = u.hour
 WHERE p.tenant_id = :tenant AND p.livemode = :live AND u.units > coalesce(t.told, 0)
""")
_NEXT = text("""
SELECT hour, seq, value, stripe_customer_id, first_tried_at,
       (hour < :oldest OR first_tried_at < :forgotten) AS lapsed
  FROM meter_exports WHERE tenant_id = :tenant AND meter = :meter AND state = 'PENDING' AND livemode = :live
   AND NOT EXISTS (SELECT FROM meter_exports o WHERE o.tenant_id = :tenant AND o.meter = :meter
                      AND o.state = 'PENDING' AND o.sending_until > clock_timestamp())
 ORDER BY hour, seq LIMIT 1
""")
_ONE = " WHERE tenant_id = :tenant AND meter = :meter AND hour = :hour AND seq = :seq AND state = 'PENDING'"


@dataclass(frozen=True)
class Export:
    """Usage of one hour that is told in one event.

    Attributes:
        tenant_id: Whose.
        meter: Of which meter.
        hour: Begin of the hour.
        seq: More than 1 for what became known after the hour was told.
        value: Units.
        customer_id: The provider's customer.
        has_lapsed: Whether it may no longer be told: too old, or the provider may have it already.
    """

    tenant_id: TenantId
    meter: str
    hour: datetime
    seq: int
    value: int
    customer_id: str
    has_lapsed: bool

    @property
    def identifier(self) -> str:
        """What the provider knows it by."""
        return f"{self.tenant_id}:{self.meter}:{self.hour:%Y-%m-%dT%H}:{self.seq}"


async def due_tenants(
    tx: AsyncConnection, meter: str, since: datetime, until: datetime, *, livemode: bool, limit: int
) -> list[TenantId]:
    """Tenants with usage that was not told; inside ``Database.transaction``, as the role of jobs."""
    values = {"meter": meter, "live": livemode, "since": since, "until": until, "limit": limit}
    return [TenantId(plain_uuid(row.tenant_id)) for row in await tx.execute(_DUE, values)]


async def drop_old(tx: AsyncConnection, kept_days: int, limit: int) -> int:
    """Drop what ended long ago; as ``due_tenants``."""
    values = {"days": kept_days, "limit": limit}
    return int(await tx.scalar(text("SELECT app.meter_exports_tidy(:days, :limit)"), values) or 0)


class ExportRows:
    """The exported usage of one tenant and meter.

    Args:
        tx: A connection inside ``Database.tenant_transaction``, as the role of jobs.
        tenant_id: The tenant.
        meter: The meter.
    """

    def __init__(self, tx: AsyncConnection, tenant_id: TenantId, meter: str) -> None:
        self._tx = tx
        self._tenant_id = tenant_id
        self._own = {"tenant": tenant_id, "meter": meter}
        self._meter = meter

    async def add(self, since: datetime, until: datetime, *, livemode: bool) -> None:
        """Store what is to be told of the hours between two moments."""
        await locked_in_tenant(self._tx, "meter_exports")
        await self._tx.execute(_ADD, {**self._own, "since": since, "until": until, "live": livemode})

    async def take(
        self, oldest: datetime, forgotten: datetime, seconds: float, *, livemode: bool
    ) -> Export | None:
        """The next event to send, for this process alone; None when there is none or another one sends.

        Args:
            oldest: Hours before it are not taken by the provider any more.
            forgotten: What was first tried before it may not be tried again.
            seconds: How long it is this process's.
            livemode: Of which mode.
        """
        await locked_in_tenant(self._tx, "meter_exports")
        bounds = {**self._own, "oldest": oldest, "forgotten": forgotten, "live": livemode}
        row = (await self._tx.execute(_NEXT, bounds)).one_or_none()
        if row is None:
            return None
        export = Export(
            self._tenant_id,
            self._meter,
            row.hour,
            row.seq,
            row.value,
            row.stripe_customer_id,
            bool(row.lapsed),
        )
        await self._set(
            export,
            "first_tried_at = coalesce(first_tried_at, clock_timestamp()),"
            " sending_until = clock_timestamp() + make_interval(secs => CAST(:seconds AS double precision))",
            seconds=seconds,
        )
        return export

    async def end(self, export: Export, state: str) -> None:
        """Note that an event was sent, or lapsed."""
        await self._set(
            export,
            "state = :state, ended_at = clock_timestamp(), sending_until = NULL",
            state=state,
        )

    async def give_back(self, export: Export, *, is_unknown: bool) -> None:
        """Let an event be tried again, for a day if the provider may have taken it."""
        forgets = "" if is_unknown else ", first_tried_at = NULL"
        await self._set(export, f"sending_until = NULL{forgets}")

    async def _set(self, export: Export, changes: str, **values: Any) -> None:
        given = {**self._own, "hour": export.hour, "seq": export.seq, **values}
        await self._tx.execute(text(f"UPDATE meter_exports SET {changes}{_ONE}"), given)  # noqa: S608
