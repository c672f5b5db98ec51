"""What a tenant has that another plan does not allow. A change of plan deletes nothing; more is refused."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.subscriptions.models import PlanWarning
from cohortlens.core.ids import TenantId

_QUERY = text(
    "SELECT p.max_customers, p.max_users, p.features, coalesce(o.features, '{}') AS had,"
    " coalesce(u.customers, 0) AS customers, coalesce(u.users, 0) AS users"
    " FROM current_plans p LEFT JOIN current_plans o ON o.id = :before"
    " LEFT JOIN tenant_usage u ON u.tenant_id = :tenant WHERE p.id = :plan"
)


async def plan_warnings(
    tx: AsyncConnection, tenant_id: TenantId, plan: str, before: str
) -> tuple[PlanWarning, ...]:
    """What the tenant would have over a plan's limits.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        tenant_id: The tenant.
        plan: Plan to change to.
        before: Plan it has; empty for none.
    """
    row = (await tx.execute(_QUERY, {"tenant": tenant_id, "plan": plan, "before": before})).one()
    warnings = []
    for reason, thing, used, limit in (
        ("customers_over", "customers", row.customers, row.max_customers),
        ("users_over", "users", row.users, row.max_users),
    ):
        if limit is not None and used > limit:
            message = (
                f"the plan allows {limit} {thing} and the tenant has {used}: none is deleted, "
                "but no more can be added"
            )
            warnings.append(PlanWarning(reason, message, used=used, limit=limit))
    if lost := tuple(sorted(set(row.had) - set(row.features))):
        warnings.append(PlanWarning("features_lost", f"the plan lacks {', '.join(lost)}", features=lost))
    return tuple(warnings)
