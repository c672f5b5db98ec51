"""Telling the payment provider how much was used: one event per tenant, meter and hour, each counted once.

The provider knows an event's identifier for a day. Within it a repeat does no harm; after it an event whose
answer was lost is not sent again: rather too little is charged than anything twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from cohortlens.billing.payments.models import MeterEvent, PaymentProviderUnavailable
from cohortlens.billing.payments.ports import PaymentProvider
from cohortlens.billing.subscriptions.export_rows import Export, ExportRows, drop_old, due_tenants
from cohortlens.billing.subscriptions.provider_keys import provider_key
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.core.telemetry import get_logger

OLDEST = timedelta(days=34)
"""The provider takes events of 35 days; a day is left for one that has to be tried again."""
FORGOTTEN = timedelta(hours=23)
_SETTLING = timedelta(minutes=10)
_HOUR = timedelta(hours=1)
_TURN_S = 60.0
_AT_ONCE = 1_000
_KEPT_DAYS = 120
_LOG = get_logger(__name__)


class MeterExport:
    """Tells usage of closed hours.

    Args:
        db: Database as the role of jobs.
        provider: Who is told.
        names: The provider's event name of each meter that is told.
        clock: Current time.
    """

    def __init__(
        self, db: Database, provider: PaymentProvider, names: Mapping[str, str], clock: Clock = now
    ) -> None:
        self._db = db
        self._provider = provider
        self._names = names
        self._clock = clock

    async def run(self) -> int:
        """Tell what is due; answers how many events were sent.

        Raises:
            Unavailable: STRIPE_UNAVAILABLE: the rest is told by the next run.
        """
        sent = 0
        for meter in self._names:
            since, until = self._bounds()
            async with self._db.transaction() as tx:
                tenants = await due_tenants(
                    tx, meter, since, until, livemode=self._provider.livemode, limit=_AT_ONCE
                )
            for tenant_id in tenants:
                sent += await self._tell(tenant_id, meter)
        async with self._db.transaction() as tx:
            await drop_old(tx, _KEPT_DAYS, _AT_ONCE)
        return sent

    async def _tell(self, tenant_id: TenantId, meter: str) -> int:
        since, until = self._bounds()
        livemode, sent = self._provider.livemode, 0
        async with self._db.tenant_transaction(tenant_id) as tx:
            await ExportRows(tx, tenant_id, meter).add(since, until, livemode=livemode)
        while True:
            async with self._db.tenant_transaction(tenant_id) as tx:
                rows = ExportRows(tx, tenant_id, meter)
                at = self._clock()
                export = await rows.take(at - OLDEST, at - FORGOTTEN, _TURN_S, livemode=livemode)
                if export is not None and export.has_lapsed:
                    await rows.end(export, "LAPSED")
            if export is None:
                return sent
            if export.has_lapsed:
                _LOG.error("usage_not_told", identifier=export.identifier, units=export.value)
                continue
            await self._send(export)
            sent += 1

    async def _send(self, export: Export) -> None:
        event = MeterEvent(
            name=self._names[export.meter],
            customer_id=export.customer_id,
            value=export.value,
            identifier=export.identifier,
            at=export.hour + _HOUR - timedelta(seconds=1),
        )
        # The identifier makes it count once; a key of its own, so that no failed answer is repeated.
        key = provider_key(export.tenant_id, "ExportUsage", uuid7(), export.identifier)
        try:
            await self._provider.send_meter_event(event, key=key)
        except CohortLensError as fault:
            is_unknown = isinstance(fault, PaymentProviderUnavailable)
            async with self._db.tenant_transaction(export.tenant_id) as tx:
                rows = ExportRows(tx, export.tenant_id, export.meter)
                await rows.give_back(export, is_unknown=is_unknown)
            raise
        async with self._db.tenant_transaction(export.tenant_id) as tx:
            await ExportRows(tx, export.tenant_id, export.meter).end(export, "SENT")

    def _bounds(self) -> tuple[datetime, datetime]:
        """From and up to which hour usage is told: hours that are over, and whose events have come in."""
        at = self._clock()
        until = (at - _SETTLING).replace(minute=0, second=0, microsecond=0)
        return (at - OLDEST).replace(minute=0, second=0, microsecond=0), until
