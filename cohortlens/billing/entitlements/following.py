"""What follows from a change of what a tenant may do or has stored: others hear of it, owners are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.entitlements.mails import LIMIT_NEAR, LIMIT_PASSED, LIMIT_READ_ONLY
from cohortlens.billing.entitlements.rows import EntitlementRows
from cohortlens.billing.models import Access, Standing
from cohortlens.core.counting import Gauge
from cohortlens.core.db import Database
from cohortlens.core.ids import TenantId
from cohortlens.core.mail import MailQueue, MailSealer
from cohortlens.core.telemetry import REGISTRY, get_logger
from cohortlens.identity.tenancy.members import Members
from cohortlens.identity.tenancy.tenant_rows import TenantRows

_TOLD_MAX = 100
_DIFFERENT = Gauge(
    "customer_counts_wrong", "Tenants whose count of customers is not what is stored", (), registry=REGISTRY
)
_LOG = get_logger(__name__)


class Following:
    """The work of jobs on entitlements.

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
                await tell_owners(tx, tenant_id, self._sealer, template, found)

    async def used(self, tenant_id: TenantId) -> None:
        """After the counts of a tenant came near a limit, or back below it."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = EntitlementRows(tx)
            await rows.settle(tenant_id)
            found = await rows.standing(tenant_id)
            if found is None or not found.near_limit or found.over_limit_since is not None:
                return
            if await rows.note(tenant_id):
                await tell_owners(tx, tenant_id, self._sealer, LIMIT_NEAR, found)

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


async def tell_owners(
    tx: AsyncConnection,
    tenant_id: TenantId,
    sealer: MailSealer,
    template: str,
    standing: Standing,
    **values: str,
) -> None:
    """Queue a mail to the owners of the transaction's tenant.

    Args:
        tx: A connection inside ``Database.tenant_transaction`` of the tenant.
        tenant_id: The tenant.
        sealer: Seals the mail.
        template: One of ``entitlements.mails``.
        standing: What the tenant may do and has stored.
        values: What the template needs beside it.
    """
    tenant = await TenantRows(tx, tenant_id).get()
    now = standing.entitlement
    told = {
        "name": "" if tenant is None else tenant.display_name,
        "plan": now.plan,
        "customers": f"{standing.customers:,}",
        "max_customers": f"{now.max_customers:,}",
        "users": f"{standing.users:,}",
        "max_users": "∞" if now.max_users is None else f"{now.max_users:,}",
        "read_only_on": "" if standing.read_only_at is None else f"{standing.read_only_at:%Y-%m-%d}",
        **values,
    }
    queue = MailQueue(tx, sealer)
    for owner in await Members(tx, tenant_id).page("owner", None, _TOLD_MAX):
        await queue.put(owner.email, template, told)
