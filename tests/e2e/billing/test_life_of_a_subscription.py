"""What becomes of a tenant's access in the life of a subscription, each step as the payment provider tells it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.e2e.billing.conftest import WITHIN_S
from tests.fixtures.fake_stripe import DECLINED, PAYS, PAYS_ONCE
from tests.fixtures.waiting import eventually_blocking

DAY = 86_400


def test_a_cancelled_plan_runs_to_its_end_then_the_free_one_is_left(tenant):
    tenant.subscribe("professional", PAYS)
    tenant.post("/subscription:cancel")
    eventually_blocking(lambda: tenant.subscription.get("cancelAtPeriodEnd"), WITHIN_S)
    assert (tenant.entitlement["plan"], tenant.entitlement["access"]) == (
        "professional",
        "PLAN_ACCESS_FULL",
    )
    tenant.post("/subscription:resume")
    eventually_blocking(lambda: not tenant.subscription.get("cancelAtPeriodEnd"), WITHIN_S)
    tenant.post("/subscription:cancel", atPeriodEnd=True)
    eventually_blocking(lambda: tenant.subscription.get("cancelAtPeriodEnd"), WITHIN_S)
    tenant.pass_to(tenant.subscription["currentPeriodEnd"])
    tenant.until(plan="basic", access="FULL", status="CANCELED")
    assert tenant.may_write() == "yes"


def test_a_plan_cancelled_at_once_is_over_at_once_and_can_be_bought_again(tenant):
    tenant.subscribe("enterprise", PAYS)
    tenant.post("/subscription:cancel", atPeriodEnd=False)
    tenant.until(plan="basic", access="FULL", status="CANCELED")
    tenant.subscribe("professional", PAYS)
    assert tenant.subscription["status"] == "SUBSCRIPTION_STATUS_ACTIVE"


def test_a_failed_payment_leaves_everything_for_the_grace_then_reading_until_it_is_paid(tenant):
    tenant.subscribe("enterprise", PAYS_ONCE)
    tenant.pass_to(tenant.subscription["currentPeriodEnd"])
    tenant.until(plan="enterprise", access="FULL", status="PAST_DUE")
    assert tenant.may_write() == "yes"
    ends = datetime.fromisoformat(tenant.subscription["graceEndTime"])
    # The provider tells of nothing more: the end of the grace needs no event.
    tenant.until(plan="enterprise", access="READ_ONLY", status="PAST_DUE")
    assert datetime.now(UTC) >= ends
    eventually_blocking(lambda: tenant.may_write() == "SUBSCRIPTION_INACTIVE", WITHIN_S)
    assert tenant.http.get("/customers").status_code == 200
    eventually_blocking(lambda: tenant.mails("only read"), WITHIN_S)
    assert len(tenant.mails("payment did not go through")) == 1
    tenant.provider.advance(tenant.customer, 4 * DAY)
    eventually_blocking(lambda: len(tenant.mails("payment did not go through")) == 2, WITHIN_S)
    tenant.use_card("pm_card_visa")
    tenant.provider.v1.invoices.pay(tenant.paid_for.latest_invoice)
    tenant.until(plan="enterprise", access="FULL", status="ACTIVE")
    eventually_blocking(lambda: tenant.may_write() == "yes", WITHIN_S)
    assert "graceEndTime" not in tenant.subscription
    # One mail for each attempt that failed, and one that only reading is left, also after the second attempt.
    assert len(tenant.mails("only read")) == 1


def test_a_declined_card_buys_nothing(tenant):
    page = tenant.post("/subscription:checkout", plan="professional")["url"]
    answer = tenant.provider.pay(page, DECLINED)
    assert "declined" in answer.text
    assert (tenant.entitlement["plan"], tenant.entitlement["access"]) == ("basic", "PLAN_ACCESS_FULL")


@pytest.mark.parametrize("has_card", [True, False], ids=["with a card", "without a card"])
def test_a_trial_goes_on_with_a_card_and_is_overdue_without(tenant, has_card):
    tenant.subscribe("professional", PAYS)
    tenant.until(plan="professional", access="FULL", status="TRIALING")
    ends = tenant.subscription["trialEnd"]
    if not has_card:
        for method in tenant.provider.v1.customers.payment_methods.list(tenant.customer).data:
            tenant.provider.v1.payment_methods.detach(method.id)
    tenant.pass_to(ends, -2 * DAY)
    eventually_blocking(lambda: tenant.mails("trial"), WITHIN_S)
    tenant.pass_to(ends)
    if has_card:
        tenant.until(plan="professional", access="FULL", status="ACTIVE")
    else:
        tenant.until(plan="professional", status="PAST_DUE")
    assert len(tenant.mails("trial")) == 1


def test_a_refund_is_noted_and_takes_nothing_a_lost_dispute_suspends(tenant):
    tenant.subscribe("enterprise", PAYS)
    charge = last_charge(tenant)
    tenant.provider.v1.refunds.create(params={"charge": charge.id, "amount": 100})
    won = tenant.provider.knob("disputes", charge=charge.id)
    tenant.provider.knob("disputes", dispute=won["id"], status="won")
    eventually_blocking(lambda: noted(tenant, "refund") == 1, WITHIN_S)
    eventually_blocking(lambda: noted(tenant, "dispute") == 2, WITHIN_S)
    assert (tenant.entitlement["plan"], tenant.entitlement["access"]) == ("enterprise", "PLAN_ACCESS_FULL")
    assert tenant.may_write() == "yes"
    tenant.pass_to(tenant.subscription["currentPeriodEnd"])
    eventually_blocking(lambda: last_charge(tenant).id != charge.id, WITHIN_S)
    lost = tenant.provider.knob("disputes", charge=last_charge(tenant).id)
    tenant.provider.knob("disputes", dispute=lost["id"], status="lost")
    eventually_blocking(lambda: tenant.http.get("/customers").status_code != 200, WITHIN_S)
    login = {"email": tenant.email, "password": "three blind mice ran 42"}
    answer = tenant.http.post("/sessions", json=login, headers={"Authorization": ""})
    assert "TENANT_SUSPENDED" in answer.text


def last_charge(tenant):
    """The newest charge of the tenant's customer."""
    return tenant.provider.v1.charges.list(params={"customer": tenant.customer}).data[0]


def noted(tenant, word: str) -> int:
    """How often the audit log speaks of something."""
    events = tenant.get("/auditEvents?pageSize=100")["events"]
    return sum(word in one["action"] for one in events)
