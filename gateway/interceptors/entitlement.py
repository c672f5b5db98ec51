"""Refuses a call that the plan of its tenant does not contain, or that the tenant may not make now.

The entitlement is in memory, under 2 s old, so the common call passes without waiting for anything.
"""

from __future__ import annotations

from collections.abc import Awaitable

from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.entitlements.catalogue import Catalogue
from cohortlens.billing.models import (
    Access,
    Entitlement,
    PlanFeatureRequired,
    SubscriptionInactive,
    TenantSuspended,
)
from cohortlens.billing.usage.models import QuotaBackendUnavailable, QuotaExceeded
from cohortlens.core.ids import TenantId
from gateway.interceptors.chain import Call, Proceed
from gateway.registry import Policy, RateClass

_CHANGING = (RateClass.WRITE, RateClass.INFERENCE, RateClass.BULK)


class EntitlementStep:
    """Puts the tenant's entitlement on the call and holds the call against it.

    Methods without meter and feature (logging in, billing, audit) stay open whatever was paid: a tenant must
    be able to see where it stands, to pay, and to leave.

    Args:
        entitlements: What each tenant may do.
        catalogue: Names the plan that contains what is missing.
    """

    def __init__(self, entitlements: Entitlements, catalogue: Catalogue) -> None:
        self._entitlements = entitlements
        self._known = entitlements.known
        self._catalogue = catalogue

    def __call__(self, call: Call, proceed: Proceed, /) -> Awaitable[None]:
        """Run the rest if the tenant may make the call.

        Raises:
            PlanFeatureRequired: The plan does not contain what the method needs.
            SubscriptionInactive: The tenant may only read.
            TenantSuspended: The tenant may do nothing that is metered.
        """
        principal, policy = call.principal, call.method.policy
        if principal is None or not (policy.meter or policy.feature):
            return proceed(call)
        # Not a coroutine of its own: what is in memory is looked at before anything is awaited.
        found = self._known(principal.tenant_id)
        if found is not None and found.access is Access.FULL and _contains(found, policy):
            call.entitlement = found
            return proceed(call)
        return self._asked(call, proceed, principal.tenant_id)

    async def _asked(self, call: Call, proceed: Proceed, tenant_id: TenantId) -> None:
        policy = call.method.policy
        found = call.entitlement = await self._entitlements.of(tenant_id)
        if policy.meter and found.access is not Access.FULL:
            _check_access(found, policy)
        if not _contains(found, policy):
            better = await self._catalogue.with_feature(policy.feature, found.rank)
            raise PlanFeatureRequired(policy.feature, better)
        await proceed(call)


def plan_reasons(policy: Policy) -> list[str]:
    """Reasons by which the plan of a tenant can refuse a method, for the reference."""
    found = [PlanFeatureRequired.reason] if policy.feature else []
    if policy.meter:
        found += [TenantSuspended.reason, QuotaExceeded.reason, QuotaBackendUnavailable.reason]
        if policy.rate_class in _CHANGING and not policy.open_read_only:
            found.append(SubscriptionInactive.reason)
    return found


def _contains(entitlement: Entitlement, policy: Policy) -> bool:
    return not policy.feature or policy.feature in entitlement.features


def _check_access(entitlement: Entitlement, policy: Policy) -> None:
    if entitlement.access is Access.NONE:
        raise TenantSuspended(
            "the tenant may not use the installation now; see GET /api/v1/entitlement, or ask the operator"
        )
    if policy.rate_class in _CHANGING and not policy.open_read_only:
        raise SubscriptionInactive(
            "the tenant may only read, export and delete now: a payment is missing, or more is stored than "
            "the plan allows; see GET /api/v1/entitlement, and pay, upgrade, or delete customers"
        )
