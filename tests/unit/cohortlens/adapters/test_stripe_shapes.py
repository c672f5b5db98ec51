"""Recorded shapes of notifications and objects: what is read of each, and what moved between versions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cohortlens.adapters.stripe_shapes import invoice_of, schedule_of, subscription_of
from cohortlens.adapters.stripe_webhooks import event_of
from cohortlens.billing.payments.event_types import EVENT_TYPES, PROVIDER_TYPES
from cohortlens.billing.payments.models import SubscriptionStatus
from cohortlens.core.errors import InvalidArgument

TENANT = "0193b0a0-0000-7000-8000-000000000002"


def event(kind: str, thing: dict, **more) -> dict:
    data = {"object": thing, **more.pop("data", {})}
    return {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "api_version": "2026-10-28.endive",
        "created": 1_763_890_000,
        "livemode": False,
        "data": data,
        **more,
    }


SUB = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "metadata": {"tenant_id": TENANT}}
INVOICE = {"id": "in_1", "object": "invoice", "customer": "cus_1", "metadata": {}}
SESSION = {
    "id": "cs_1",
    "object": "checkout.session",
    "customer": "cus_1",
    "subscription": "sub_1",
    "client_reference_id": TENANT,
    "metadata": {"tenant_id": TENANT, "plan": "professional"},
}
RECORDED = [
    (event("checkout.session.completed", {**SESSION, "payment_status": "paid"}), "cus_1", "cs_1"),
    (
        event("checkout.session.async_payment_succeeded", {**SESSION, "payment_status": "paid"}),
        "cus_1",
        "cs_1",
    ),
    (event("customer.subscription.created", SUB), "cus_1", "sub_1"),
    (event("customer.subscription.updated", {**SUB, "status": "active"}), "cus_1", "sub_1"),
    (event("customer.subscription.updated", {**SUB, "cancel_at_period_end": True}), "cus_1", "sub_1"),
    (event("customer.subscription.updated", {**SUB, "status": "past_due"}), "cus_1", "sub_1"),
    (event("customer.subscription.updated", {**SUB, "status": "paused"}), "cus_1", "sub_1"),
    (event("customer.subscription.deleted", SUB), "cus_1", "sub_1"),
    (event("customer.subscription.trial_will_end", SUB), "cus_1", "sub_1"),
    (event("invoice.paid", INVOICE), "cus_1", "in_1"),
    (event("invoice.payment_failed", INVOICE), "cus_1", "in_1"),
    (event("invoice.payment_action_required", INVOICE), "cus_1", "in_1"),
    (event("invoice.finalized", INVOICE), "cus_1", "in_1"),
    (event("invoice.voided", INVOICE), "cus_1", "in_1"),
    (event("invoice.upcoming", {"object": "invoice", "customer": "cus_1"}), "cus_1", ""),
    (event("charge.refunded", {"id": "ch_1", "object": "charge", "customer": "cus_1"}), "cus_1", "ch_1"),
    (event("charge.dispute.created", {"id": "dp_1", "object": "dispute", "charge": "ch_1"}), "", "dp_1"),
    (event("customer.deleted", {"id": "cus_1", "object": "customer"}), "cus_1", "cus_1"),
    (
        event(
            "payment_method.detached",
            {"id": "pm_1", "object": "payment_method", "customer": None},
            data={"previous_attributes": {"customer": "cus_1"}},
        ),
        "cus_1",
        "pm_1",
    ),
    (event("customer.subscription.updated", {**SUB, "customer": {"id": "cus_1"}}), "cus_1", "sub_1"),
    (event("issuing_card.created", {"id": "ic_1", "object": "issuing.card"}), "", "ic_1"),
    (
        event("customer.subscription.updated", {**SUB, "current_period_end": 1}, api_version="2024-06-20"),
        "cus_1",
        "sub_1",
    ),
]


@pytest.mark.parametrize(("shape", "customer", "thing"), RECORDED, ids=lambda one: str(one)[:40])
def test_a_recorded_notification_leads_to_its_customer_and_object(shape, customer, thing):
    found = event_of(shape)
    assert (found.customer_id, found.object_id, found.is_thin) == (customer, thing, False)
    assert (found.type, found.api_version) == (shape["type"], shape["api_version"])


def test_the_identifiers_that_are_compared_are_kept_and_nothing_else():
    found = event_of(event("checkout.session.completed", {**SESSION, "customer_email": "ada@shop.example"}))
    assert found.refs == {"subscription": "sub_1", "client_reference": TENANT, "tenant": TENANT}


def test_a_thin_event_points_at_its_object():
    found = event_of(
        {
            "id": "evt_2",
            "object": "v2.core.event",
            "type": "v1.billing.meter.error_report_triggered",
            "livemode": False,
            "created": "2026-11-23T10:00:00.123Z",
            "related_object": {"id": "mtr_1", "type": "billing.meter"},
        }
    )
    assert (found.is_thin, found.object_id) == (True, "mtr_1")
    assert found.created_at == datetime(2026, 11, 23, 10, 0, 0, 123_000, UTC)


@pytest.mark.parametrize(
    "shape", [{}, {"object": "event"}, event("", SUB), {**event("x", SUB), "created": "soon"}]
)
def test_what_is_no_event_is_refused(shape):
    with pytest.raises(InvalidArgument):
        event_of(shape)


def item(name: str, start: int, end: int) -> dict:
    price = {"id": f"price_{name}", "product": "prod_1", "recurring": {"interval": "month"}}
    return {"id": f"si_{name}", "price": price, "current_period_start": start, "current_period_end": end}


def test_the_period_is_that_of_the_item_that_ends_first():
    found = subscription_of(
        {
            **SUB,
            "status": "active",
            "created": 100,
            "billing_cycle_anchor": 100,
            "items": {"data": [item("a", 100, 900), item("b", 100, 500)]},
            "pending_update": None,
            "schedule": "sub_sched_1",
            "latest_invoice": "in_1",
        }
    )
    assert found.status is SubscriptionStatus.ACTIVE
    assert found.period_end == datetime.fromtimestamp(500, UTC)
    assert (found.schedule, found.schedule_id, found.latest_invoice) == (None, "sub_sched_1", None)


def test_an_invoice_names_its_subscription_under_its_parent():
    shape = {**INVOICE, "parent": {"subscription_details": {"subscription": "sub_1"}}, "created": 1}
    assert invoice_of(shape).subscription_id == "sub_1"
    assert invoice_of({**INVOICE, "parent": None, "created": 1}).subscription_id == ""


def test_the_planned_price_is_that_of_the_phase_after_the_current_one():
    shape = {
        "id": "sub_sched_1",
        "subscription": "sub_1",
        "status": "active",
        "current_phase": {"start_date": 100, "end_date": 200},
        "phases": [
            {"start_date": 200, "items": [{"price": "price_next"}]},
            {"start_date": 100, "items": [{"price": "price_now"}]},
        ],
    }
    found = schedule_of(shape)
    assert (found.next_price_id, found.next_at) == ("price_next", datetime.fromtimestamp(200, UTC))
    assert schedule_of({**shape, "status": "released"}).next_price_id == ""


def test_every_event_of_the_table_is_followed():
    assert len(PROVIDER_TYPES) == len(EVENT_TYPES) - 1
    families = {name.rpartition(".")[0] for name in PROVIDER_TYPES}
    assert families == {
        "checkout.session",
        "customer",
        "customer.subscription",
        "subscription_schedule",
        "invoice",
        "payment_method",
        "charge",
        "charge.dispute",
        "radar.early_fraud_warning",
        "price",
        "product",
    }
