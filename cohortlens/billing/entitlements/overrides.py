"""What a tenant may do as it sees it, and what the operator grants beside a subscription."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.entitlements.catalogue import current_plans, features_of
from cohortlens.billing.entitlements.mails import GRANTED, values_of
from cohortlens.billing.entitlements.rows import EntitlementRows, stored_override
from cohortlens.billing.models import Override, Plan, PlanUnknown, Standing
from cohortlens.billing.notices import tell
from cohortlens.core import clock
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, go_on_for, retried
from cohortlens.core.errors import Internal, InvalidArgument, Violation
from cohortlens.core.ids import PLATFORM_TENANT_ID, TenantId
from cohortlens.core.mail import MailSealer
from cohortlens.identity.tenancy.roles import missing
from cohortlens.identity.tenancy.tenant_rows import tenant_overviews

OPERATOR = Actor("system", "operator")
"""Who grants on the command line."""
_REASON_CHARACTERS = range(10, 501)


class Overrides:
    """Shows what tenants may do, and grants beside their subscriptions.

    Args:
        db: Database as the runtime role.
        entitlements: Told when something was granted; None where nobody asks this process.
        sealer: Seals the mails to owners.
    """

    def __init__(self, db: Database, entitlements: Entitlements | None, sealer: MailSealer) -> None:
        self._db = db
        self._entitlements = entitlements
        self._sealer = sealer

    async def standing(self, ctx: RequestContext) -> Standing:
        """What the caller's tenant may do and has stored."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await EntitlementRows(tx).standing(ctx.tenant_id)
        if found is None:
            raise Internal("the tenant has no entitlement")
        return found

    async def of_tenant(self, tenant_id: UUID) -> Standing:
        """What any tenant of the installation may do and has stored; for the operator.

        Raises:
            NotFound: There is no such tenant.
        """
        async with self._db.transaction() as tx:
            found = await EntitlementRows(tx).standing(tenant_id)
        if found is None:
            raise missing("tenant")
        return found

    async def grant(
        self, by: RequestContext | Actor, tenant_id: UUID, override: Override | None, reason: str
    ) -> Standing:
        """Grant a tenant something beside its subscription, in place of what was granted before.

        It is in the audit log of the tenant and in that of the platform, and holds within 2 s.

        Args:
            by: Who grants.
            tenant_id: The tenant.
            override: What is granted; None takes back what was.
            reason: Why.

        Raises:
            InvalidArgument: No such plan or feature, a time that is over, or a reason too short or too long.
            NotFound: There is no such tenant.
        """
        if len(reason) not in _REASON_CHARACTERS:
            raise _invalid("reason", "must have 10 to 500 characters")
        if override is not None and override.expires_at is not None and override.expires_at <= clock.now():
            raise _invalid("granted.expire_time", "lies in the past; leave it out for a grant without end")
        done = await retried(lambda: self._grant(by, TenantId(tenant_id), override, reason))
        if self._entitlements is not None:
            await self._entitlements.publish()
        return done

    async def change(
        self,
        by: RequestContext | Actor,
        tenant_id: UUID,
        changed: Callable[[Override | None], Override | None],
        reason: str,
    ) -> Standing:
        """As ``grant``, with what ``changed`` makes of what is granted now."""
        before = await self.of_tenant(tenant_id)
        return await self.grant(by, tenant_id, changed(before.override), reason)

    async def _grant(
        self, by: RequestContext | Actor, tenant_id: TenantId, override: Override | None, reason: str
    ) -> Standing:
        async with self._db.tenant_transaction(tenant_id) as tx:
            if not await tenant_overviews(tx, tenant=tenant_id):
                raise missing("tenant")
            if override is not None:
                _check(override, await current_plans(tx))
            rows, trail = EntitlementRows(tx), AuditTrail(tx)
            verb = "entitlement.cleared" if override is None else "entitlement.overridden"
            details = _details(override, reason)
            await trail.append(by, f"billing.{verb}", resource="entitlement", details=details)
            # Both chains or none, and the grant is the platform's to make.
            await go_on_for(tx, PLATFORM_TENANT_ID)
            await trail.append(
                by, f"platform.{verb}", resource=f"tenants/{tenant_id}/entitlement", details=details
            )
            await rows.override(tenant_id, override)
            found = await rows.standing(tenant_id)
            if found is None:
                raise Internal("the tenant has no entitlement")
            await go_on_for(tx, tenant_id)
            await tell(tx, tenant_id, self._sealer, GRANTED, {**values_of(found), "reason": reason})
            return found


def _check(override: Override, plans: tuple[Plan, ...]) -> None:
    known = tuple(plan.plan_id for plan in plans)
    if override.plan and override.plan not in known:
        raise PlanUnknown(override.plan, known, "granted.plan")
    features = features_of(plans)
    for position, feature in enumerate(sorted(override.features)):
        if feature not in features:
            raise _invalid(
                f"granted.features[{position}]",
                f"no plan knows {feature[:40]!r}; the features are {', '.join(sorted(features))}",
            )


def _details(override: Override | None, reason: str) -> dict[str, Any]:
    if override is None:
        return {"reason": reason}
    until = "" if override.expires_at is None else override.expires_at.isoformat()
    stored = {**stored_override(override), "reason": reason}
    # Numbers as text: the log's canonical form knows no fractions.
    return {**stored, "limits": {k: str(v) for k, v in stored["limits"].items()}, "expires_at": until}


def _invalid(field: str, text: str) -> InvalidArgument:
    return InvalidArgument(f"{field}: {text}", violations=(Violation(field, text),))
