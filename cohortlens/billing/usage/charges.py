"""What one piece of durable work costs of the month's quota: charged before it is done, once, and given back.

The charge has an identifier that follows from the work. So a process that died behind the charge finds it
made, and one that died before it makes it; a lease of units could not tell the two apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.models import TenantSuspended
from cohortlens.billing.usage.events import append
from cohortlens.billing.usage.leases import GiveBack, LeaseRows
from cohortlens.billing.usage.models import API_CALLS, QuotaExceeded, UsageEvent, units_of
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database, retried
from cohortlens.core.ids import TenantId


class Work(NamedTuple):
    """A piece of durable work.

    Attributes:
        owner: What it belongs to, such as a batch.
        part: Number of the part, such as a slice.
        rows: Rows of the part.
    """

    owner: UUID
    part: int
    rows: int


class WorkCharges:
    """Charges durable work.

    Args:
        db: The database.
        process_id: Names this process.
        clock: The time.
    """

    def __init__(self, db: Database, process_id: str, clock: Clock = now) -> None:
        self._db = db
        self._process_id = process_id
        self._clock = clock

    async def charge(self, tenant_id: TenantId, work: Work) -> None:
        """Charge a part, unless it was charged before.

        Raises:
            QuotaExceeded: The month has too few units left; nothing was charged.
            TenantSuspended: The tenant may not call at all.
        """
        await retried(lambda: self._charged(tenant_id, work))

    async def give_back(self, tenant_id: TenantId, works: Sequence[Work]) -> None:
        """Give back what parts cost that were charged and not done; safe to repeat."""
        if not works:
            return
        back = [GiveBack(_charge_id(one), units_of(one.rows), is_closed=True) for one in works]
        async with self._db.tenant_transaction(tenant_id) as tx:
            await LeaseRows(tx, API_CALLS, self._process_id).give_back(back)

    async def note(self, tx: AsyncConnection, tenant_id: TenantId, work: Work, method: str) -> None:
        """Store the usage of a part in the transaction that says that it is done.

        Args:
            tx: A transaction of the tenant.
            tenant_id: The tenant.
            work: The part.
            method: The RPC that asked for the work.
        """
        period_start = await LeaseRows(tx, API_CALLS, self._process_id).charged_in(_charge_id(work))
        # Work that began before work was charged has none.
        if period_start is not None:
            await append(tx, [_event(tenant_id, work, method, period_start, self._clock())])

    async def _charged(self, tenant_id: TenantId, work: Work) -> None:
        charge_id, units = _charge_id(work), units_of(work.rows)
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = LeaseRows(tx, API_CALLS, self._process_id)
            if await rows.charged_in(charge_id) is not None:
                return
            grant = await rows.charge(charge_id, units)
            if not grant.has_access:
                raise TenantSuspended("this organisation may not use the service now")
            if grant.lease_id is None:
                more = await rows.upgrade_to(grant)
                raise QuotaExceeded(API_CALLS, grant.reserved, grant.limit, grant.period_end, more, units)


def _charge_id(work: Work) -> UUID:
    return uuid5(work.owner, f"charge-{work.part}")


def _event(tenant_id: TenantId, work: Work, method: str, period_start: datetime, at: datetime) -> UsageEvent:
    return UsageEvent(
        tenant_id,
        API_CALLS,
        period_start,
        int(at.timestamp() * 1_000_000),
        method,
        f"job:{work.owner}",
        units_of(work.rows),
        0,
        "OK",
        f"{work.owner}-{work.part}",
    )
