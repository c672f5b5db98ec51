"""BillingService: the RPCs about plans and about what a tenant may do."""

# ruff: noqa: ARG002 - the methods of a servicer are named like its RPCs and take the same arguments

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from cohortlens.billing.entitlements.catalogue import Catalogue
from cohortlens.billing.entitlements.overrides import Overrides
from cohortlens.billing.models import Entitlement, Limits, Override, Plan, Rates, Standing
from cohortlens.core.ids import parse_uuid
from cohortlens.identity.tenancy.roles import missing
from cohortlens.v1 import billing_plans_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import timestamp

_LIMITS = {
    "max_customers": "max_customers",
    "max_api_calls_per_month": "max_api_calls_per_month",
    "max_users": "max_users",
    "read_per_second": "read",
    "write_per_second": "write",
    "inference_per_second": "inference",
    "bulk_in_flight": "bulk_in_flight",
}


class BillingPlansServicer:
    """One method per RPC of ``cohortlens.v1.BillingService`` that is about plans.

    Args:
        catalogue: The plans on offer.
        overrides: What tenants may do, and what is granted to them.
    """

    def __init__(self, catalogue: Catalogue, overrides: Overrides) -> None:
        self._catalogue = catalogue
        self._overrides = overrides

    async def ListPlans(self, request: pb.ListPlansRequest, call: Call) -> pb.ListPlansResponse:
        """The plans on offer."""
        return pb.ListPlansResponse(plans=[_plan(one) for one in await self._catalogue.plans()])

    async def GetEntitlement(
        self, request: pb.GetEntitlementRequest, call: Call
    ) -> pb.GetEntitlementResponse:
        """What the caller's tenant may do."""
        found = await self._overrides.standing(call.context)
        return pb.GetEntitlementResponse(entitlement=_entitlement(found), stored=_stored(found))

    async def OverrideEntitlement(
        self, request: pb.OverrideEntitlementRequest, call: Call
    ) -> pb.OverrideEntitlementResponse:
        """Grant a tenant something beside its subscription."""
        tenant_id = parse_uuid(request.tenant)
        if tenant_id is None:
            raise missing("tenant")
        done = await self._overrides.grant(
            call.context, tenant_id, _override(request.granted, request.reason), request.reason
        )
        return pb.OverrideEntitlementResponse(entitlement=_entitlement(done), stored=_stored(done))

    async def RereadOverrideEntitlement(
        self, request: pb.OverrideEntitlementRequest, made: Mapping[str, Any], call: Call
    ) -> pb.OverrideEntitlementResponse:
        """The answer of an override, for a repeat of a call whose answer was lost."""
        tenant_id = parse_uuid(request.tenant)
        if tenant_id is None:
            raise missing("tenant")
        found = await self._overrides.of_tenant(tenant_id)
        return pb.OverrideEntitlementResponse(entitlement=_entitlement(found), stored=_stored(found))


def _plan(plan: Plan) -> pb.Plan:
    return pb.Plan(
        plan=plan.plan_id,
        version=plan.version,
        display_name=plan.display_name,
        rank=plan.rank,
        limits=_limits(plan.max_customers, plan.max_api_calls_per_month, plan.max_users, plan.rates),
        features=sorted(plan.features),
        prices=[
            pb.PlanPrice(
                interval=f"BILLING_INTERVAL_{price.interval.name}",
                currency=price.currency,
                amount_minor=price.amount_minor,
            )
            for price in plan.prices
        ],
    )


def _limits(customers: int, calls: int, users: int | None, rates: Rates) -> pb.PlanLimits:
    return pb.PlanLimits(
        max_customers=customers,
        max_api_calls_per_month=calls,
        max_users=users,
        read_per_second=rates.read,
        write_per_second=rates.write,
        inference_per_second=rates.inference,
        bulk_in_flight=rates.bulk_in_flight,
    )


def _entitlement(standing: Standing) -> pb.Entitlement:
    now: Entitlement = standing.entitlement
    return pb.Entitlement(
        plan=now.plan,
        subscribed_plan=standing.subscribed_plan,
        access=f"PLAN_ACCESS_{now.access.name}",
        limits=_limits(now.max_customers, now.max_api_calls_per_month, now.max_users, now.rates),
        features=sorted(now.features),
        version=now.version,
        granted=None if standing.override is None else _granted(standing.override),
    )


def _stored(standing: Standing) -> pb.StoredCounts:
    return pb.StoredCounts(
        customers=standing.customers,
        users=standing.users,
        near_limit=standing.near_limit,
        over_limit_since=timestamp(standing.over_limit_since),
        read_only_time=timestamp(standing.read_only_at),
        upgrade_to=standing.upgrade_to,
    )


def _granted(override: Override) -> pb.EntitlementOverride:
    limits = {name: getattr(override.limits, own) for name, own in _LIMITS.items()}
    return pb.EntitlementOverride(
        plan=override.plan,
        limits=pb.LimitOverrides(**limits) if any(one is not None for one in limits.values()) else None,
        features=sorted(override.features),
        expire_time=timestamp(override.expires_at),
    )


def _override(granted: pb.EntitlementOverride, reason: str) -> Override | None:
    """What a request grants; None when that is nothing."""
    limits = {
        own: getattr(granted.limits, name) for name, own in _LIMITS.items() if granted.limits.HasField(name)
    }
    if not (granted.plan or limits or granted.features):
        return None
    return Override(
        reason=reason,
        plan=granted.plan,
        limits=Limits(**limits),
        features=frozenset(granted.features),
        expires_at=granted.expire_time.ToDatetime(UTC) if granted.HasField("expire_time") else None,
    )
