"""The step that holds a call against the plan of its tenant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from cohortlens.billing.models import (
    Access,
    Entitlement,
    PlanFeatureRequired,
    Rates,
    SubscriptionInactive,
    TenantSuspended,
)
from cohortlens.core.ids import TenantId, uuid7
from gateway.interceptors.entitlement import EntitlementStep
from gateway.registry import Policy, RateClass

TENANT = TenantId(uuid7())
BASIC = Entitlement(
    TENANT, "basic", 10, Access.FULL, frozenset({"prediction"}), 10, 10, 2, Rates(5, 2, 5, 1), 1
)


@dataclass
class Known:
    """Stands for the cache: what is in memory, and what a reading would bring."""

    in_memory: Entitlement | None
    stored: Entitlement = BASIC
    readings: int = 0

    def known(self, tenant_id):
        return self.in_memory

    async def of(self, tenant_id):
        assert tenant_id == TENANT
        self.readings += 1
        return self.in_memory or self.stored


class Plans:
    async def with_feature(self, feature, rank):
        return "enterprise" if (feature, rank) == ("web3", 10) else ""


def call(policy: Policy, *, known: bool = True):
    principal = SimpleNamespace(tenant_id=TENANT) if known else None
    return SimpleNamespace(principal=principal, method=SimpleNamespace(policy=policy), entitlement=None)


async def passed(step, one) -> bool:
    reached = []

    async def proceed(inner):
        reached.append(inner)

    await step(one, proceed)
    return reached == [one]


def metered(rate_class=RateClass.READ, feature="", **more) -> Policy:
    return Policy(public=False, rate_class=rate_class, feature=feature, meter="api_calls", **more)


async def test_what_the_plan_contains_passes_from_memory_and_finds_its_entitlement_on_the_call():
    known = Known(BASIC)
    one = call(metered(RateClass.INFERENCE, "prediction"))
    assert await passed(EntitlementStep(known, Plans()), one)
    assert one.entitlement is BASIC
    assert known.readings == 0


async def test_a_tenant_that_is_not_in_memory_is_read_first():
    known = Known(None)
    one = call(metered())
    assert await passed(EntitlementStep(known, Plans()), one)
    assert (one.entitlement, known.readings) == (BASIC, 1)


@pytest.mark.parametrize(
    "one",
    [
        call(Policy(public=True, rate_class=RateClass.PUBLIC), known=False),
        call(Policy(public=False, rate_class=RateClass.WRITE)),
    ],
    ids=["nobody", "a method without meter and feature"],
)
async def test_calls_that_need_nothing_of_a_plan_pass_whatever_it_is(one):
    known = Known(replace(BASIC, access=Access.NONE))
    assert await passed(EntitlementStep(known, Plans()), one)
    assert known.readings == 0


@pytest.mark.parametrize(("feature", "better"), [("web3", "enterprise"), ("teleport", "")])
async def test_a_feature_that_is_missing_is_named_with_the_plan_that_has_it(feature, better):
    for policy in (metered(feature=feature), Policy(False, RateClass.BULK, feature=feature)):
        with pytest.raises(PlanFeatureRequired) as refused:
            await passed(EntitlementStep(Known(BASIC), Plans()), call(policy))
        assert refused.value.reason == "PLAN_FEATURE_REQUIRED"
        assert refused.value.metadata == {"feature": feature, "upgrade_to": better}
        assert better in refused.value.message


@pytest.mark.parametrize(
    ("policy", "is_open"),
    [
        (metered(RateClass.READ), True),
        (metered(RateClass.WRITE), False),
        (metered(RateClass.INFERENCE, "prediction"), False),
        (metered(RateClass.BULK), False),
        (metered(RateClass.WRITE, open_read_only=True), True),
        (metered(RateClass.BULK, open_read_only=True), True),
        (Policy(public=False, rate_class=RateClass.WRITE), True),
    ],
)
@pytest.mark.parametrize("in_memory", [True, False])
async def test_a_tenant_that_may_only_read_adds_nothing_and_runs_no_model(policy, is_open, in_memory):
    reading = replace(BASIC, access=Access.READ_ONLY)
    step = EntitlementStep(Known(reading if in_memory else None, reading), Plans())
    if is_open:
        assert await passed(step, call(policy))
        return
    with pytest.raises(SubscriptionInactive) as refused:
        await passed(step, call(policy))
    assert refused.value.reason == "SUBSCRIPTION_INACTIVE"


async def test_a_suspended_tenant_makes_no_metered_call_at_all():
    step = EntitlementStep(Known(replace(BASIC, access=Access.NONE)), Plans())
    for policy in (metered(RateClass.READ), metered(RateClass.WRITE, open_read_only=True)):
        with pytest.raises(TenantSuspended) as refused:
            await passed(step, call(policy))
        assert refused.value.reason == "TENANT_SUSPENDED"
