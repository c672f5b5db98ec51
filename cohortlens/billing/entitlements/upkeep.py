"""What jobs do for entitlements: changes are heard of, owners are told, grants lapse, counts must hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.entitlements.mails import LIMIT_NEAR, LIMIT_PASSED, LIMIT_READ_ONLY, values_of
from cohortlens.billing.entitlements.rows import EntitlementRows
from cohortlens.billing.models import Access
from cohortlens.billing.notices import tell
from cohortlens.core.counting import Gauge
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId
from cohortlens.core.mail import MailSealer
from cohortlens.core.telemetry import REGISTRY, get_logger

_DIFFERENT = Gauge(
    "customer_counts_wrong", "Tenants whose count of customers is not what is stored", (), registry=REGISTRY
)
_LOG = get_logger(__name__)


class EntitlementUpkeep:
    """What jobs do for entitlements; each act may run at any time and in several processes.

    Args:
        db: Database as the role of jobs.
        entitlements: Tells the other processes.
        sealer: Seals mails.
    """

    def __init__(self, db: Database, entitlements: Entitlements, sealer: MailSealer) -> None:
        self._db = db
        self._entitlements = entitlements
        self._sealer = sealer

    async def changed(self, tenant_id: TenantId, change: Mapping[str, Any]) -> None:
        """After a change of what a tenant may do: every process hears of it, and owners of a passed limit."""
        await self._entitlements.publish()
        template = ""
        if change["is_over"]:
            template = LIMIT_PASSED
        elif change["by_limit"] and (change["access"], change["was_access"]) == ("READ_ONLY", "FULL"):
            template = LIMIT_READ_ONLY
        if not template:
            return
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = EntitlementRows(tx)
            found = await rows.standing(tenant_id)
            # What is over by now is not told any more, and a repetition of the event tells nothing again.
            if found is None or found.over_limit_since is None:
                return
            if template == LIMIT_READ_ONLY and found.entitlement.access is not Access.READ_ONLY:
                return
            if await rows.note(tenant_id, int(change["version"])):
                await tell(tx, tenant_id, self._sealer, template, values_of(found))

    async def used(self, tenant_id: TenantId) -> None:
        """After the counts of a tenant came near a limit, or back below it."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = EntitlementRows(tx)
            await rows.settle(tenant_id)
            found = await rows.standing(tenant_id)
            if found is None or not found.near_limit or found.over_limit_since is not None:
                return
            if await rows.note(tenant_id):
                await tell(tx, tenant_id, self._sealer, LIMIT_NEAR, values_of(found))

    async def settle_due(self) -> int:
        """Let grants lapse, and limits that were passed for 30 days take effect; answers how many tenants."""
        async with self._db.transaction() as tx:
            return await EntitlementRows(tx).settle_due()

    async def check_counts(self) -> int:
        """Count the customers of every tenant and raise the alarm where the count is wrong; answers where."""
        async with self._db.transaction() as tx:
            found = await EntitlementRows(tx).differences()
        _DIFFERENT.labels().set(len(found))
        for tenant_id, counted, stored in found:
            _LOG.error("customer_count_wrong", tenant_id=str(tenant_id), counted=counted, stored=stored)
        return len(found)
