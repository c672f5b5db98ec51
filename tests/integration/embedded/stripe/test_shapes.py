"""Objects of the stand-in have the keys that Stripe publishes, and the traps of the newest version of its API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fixtures.fake_stripe import AUTHENTICATES, DAY

_FILE = Path(__file__).parents[3] / "fixtures" / "stripe" / "fixtures3.json"
PUBLISHED = json.loads(_FILE.read_text())["resources"]
NESTED = {
    "customer": ("invoice_settings",),
    "subscription": (
        "automatic_tax",
        "cancellation_details",
        "invoice_settings",
        "payment_settings",
        "items",
    ),
    "subscription_schedule": ("default_settings", "current_phase"),
    "invoice": ("automatic_tax", "status_transitions", "lines", "parent"),
    "price": ("recurring",),
    "payment_method": ("card", "billing_details"),
    "charge": ("billing_details", "outcome"),
    "dispute": ("evidence_details", "payment_method_details"),
    "checkout.session": ("automatic_tax", "customer_details", "custom_text", "total_details"),
    "billing.meter": ("customer_mapping", "default_aggregation", "status_transitions", "value_settings"),
}


@pytest.fixture
def world(fake_stripe):
    """One object of every kind, as the API gives it."""
    v1, price = fake_stripe.v1, fake_stripe.price(lookup_key="basic_month")
    dear = fake_stripe.price(9900, name="Professional")
    subscription = fake_stripe.subscription(price=price)
    customer = subscription.customer
    buyer = fake_stripe.customer(None)
    session = v1.checkout.sessions.create(
        params={
            "mode": "subscription",
            "customer": buyer.id,
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "http://shop.test/done",
            "cancel_url": "http://shop.test/back",
        }
    )
    assert fake_stripe.pay(session.url).status_code == 303
    schedule = v1.subscription_schedules.create(params={"from_subscription": subscription.id})
    invoice = v1.invoices.retrieve(subscription.latest_invoice, params={"expand": ["payments"]})
    [payment] = invoice.payments.data
    portal = v1.billing_portal.sessions.create(
        params={"customer": customer, "return_url": "http://shop.test"}
    )
    preview = v1.invoices.create_preview(
        params={
            "subscription": subscription.id,
            "subscription_details": {
                "items": [{"id": subscription["items"].data[0].id, "price": dear.id}],
                "proration_behavior": "always_invoice",
            },
        }
    )
    return [
        v1.customers.retrieve(customer),
        v1.products.retrieve(price.product),
        price,
        v1.subscriptions.retrieve(subscription.id),
        v1.subscription_items.retrieve(subscription["items"].data[0].id),
        v1.subscription_schedules.retrieve(schedule.id),
        v1.checkout.sessions.retrieve(session.id),
        v1.checkout.sessions.line_items.list(session.id).data[0],
        v1.invoices.retrieve(invoice.id),
        preview,
        invoice.lines.data[0],
        payment,
        v1.events.list().data[0],
        v1.webhook_endpoints.create(params={"url": "http://127.0.0.1:1/hook", "enabled_events": ["*"]}),
        v1.test_helpers.test_clocks.create(params={"frozen_time": 1_800_000_000}),
        portal,
        v1.billing_portal.configurations.retrieve(portal.configuration),
        v1.subscription_items.retrieve(subscription["items"].data[0].id).plan,
        *of_a_payment(fake_stripe, payment.payment.payment_intent),
        *of_usage(v1, customer),
    ]


def of_a_payment(fake_stripe, intent_id):
    """What belongs to a payment, part of which goes back."""
    v1 = fake_stripe.v1
    intent = v1.payment_intents.retrieve(intent_id)
    refund = v1.refunds.create(params={"payment_intent": intent.id, "amount": 100})
    dispute = fake_stripe.knob("disputes", charge=intent.latest_charge)
    return [
        intent,
        v1.charges.retrieve(intent.latest_charge),
        refund,
        v1.disputes.retrieve(dispute["id"]),
        v1.payment_methods.retrieve(intent.payment_method),
    ]


def of_usage(v1, customer):
    """What belongs to a meter."""
    meter = v1.billing.meters.create(
        params={"display_name": "Calls", "event_name": "calls", "default_aggregation": {"formula": "sum"}}
    )
    payload = {"stripe_customer_id": customer, "value": "3"}
    event = v1.billing.meter_events.create(
        params={"event_name": "calls", "payload": payload, "identifier": "i"}
    )
    now = event.timestamp // 60 * 60
    summaries = v1.billing.meters.event_summaries.list(
        meter.id, params={"customer": customer, "start_time": now - 60, "end_time": now + 60}
    )
    return [
        meter,
        event,
        v1.billing.meter_event_adjustments.create(
            params={"event_name": "calls", "type": "cancel", "cancel": {"identifier": "i"}}
        ),
        summaries.data[0],
    ]


def test_every_object_has_the_published_keys_and_no_other(world):
    seen = set()
    for thing in world:
        made = thing.to_dict()
        kind = made["object"]
        seen.add(kind)
        shown_once = {"webhook_endpoint": {"secret"}}.get(kind, set())
        assert set(made) - shown_once == set(PUBLISHED[kind]), kind
        for name in NESTED.get(kind, ()):
            assert set(made[name]) == set(PUBLISHED[kind][name]), (kind, name)
    kinds = {name for name in PUBLISHED if not name.startswith("deleted_")}
    not_made_here = {"account", "invoiceitem", "radar.early_fraud_warning", "setup_intent"}
    assert kinds - seen == not_made_here


def test_a_warning_of_fraud_has_the_published_keys(fake_stripe):
    subscription = fake_stripe.subscription()
    [charge] = fake_stripe.v1.charges.list(params={"customer": subscription.customer}).data
    made = fake_stripe.knob("fraud_warnings", charge=charge.id)
    assert set(made) == set(PUBLISHED["radar.early_fraud_warning"])


def test_what_is_deleted_says_so_in_the_published_form(fake_stripe):
    v1 = fake_stripe.v1
    product = v1.products.create(params={"name": "Gone"})
    clock = v1.test_helpers.test_clocks.create(params={"frozen_time": 1_800_000_000})
    endpoint = v1.webhook_endpoints.create(params={"url": "http://127.0.0.1:1/h", "enabled_events": ["*"]})
    customer = fake_stripe.customer(None)
    gone = [
        v1.products.delete(product.id),
        v1.test_helpers.test_clocks.delete(clock.id),
        v1.webhook_endpoints.delete(endpoint.id),
        v1.customers.delete(customer.id),
        v1.customers.retrieve(customer.id),
    ]
    for thing in gone:
        made = thing.to_dict()
        assert made["deleted"] is True
        assert set(made) == set(PUBLISHED[f"deleted_{made['object']}"])


def test_periods_stand_on_items_and_the_subscription_of_an_invoice_under_its_parent(fake_stripe):
    subscription = fake_stripe.subscription()
    assert "current_period_end" not in subscription
    item = subscription["items"].data[0]
    assert 28 * DAY <= item.current_period_end - item.current_period_start <= 31 * DAY
    invoice = fake_stripe.v1.invoices.retrieve(subscription.latest_invoice).to_dict()
    assert invoice["subscription"] is None
    assert invoice["parent"]["subscription_details"]["subscription"] == subscription.id
    assert not {"payment_intent", "charge", "paid"} & invoice.keys()
    assert invoice["status"] == "paid"
    assert invoice["status_transitions"]["paid_at"]


def test_a_session_is_open_until_it_is_paid_and_asks_before_it_takes_a_card_of_a_careful_bank(fake_stripe):
    price, customer = fake_stripe.price(), fake_stripe.customer(None)
    session = fake_stripe.v1.checkout.sessions.create(
        params={
            "mode": "subscription",
            "customer": customer.id,
            "client_reference_id": "tenant",
            "line_items": [{"price": price.id, "quantity": 2}],
            "metadata": {"plan": "basic"},
            "subscription_data": {"metadata": {"plan": "basic"}},
            "success_url": "http://shop.test/done?s={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://shop.test/back",
        }
    )
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 5800)
    refused = fake_stripe.pay(session.url, AUTHENTICATES, confirms=False)
    assert "not answered" in refused.text
    assert fake_stripe.v1.checkout.sessions.retrieve(session.id).status == "open"
    done = fake_stripe.pay(session.url, AUTHENTICATES)
    assert done.headers["location"] == f"http://shop.test/done?s={session.id}"
    paid = fake_stripe.v1.checkout.sessions.retrieve(session.id, params={"expand": ["subscription"]})
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    assert paid.subscription.metadata.to_dict() == {"plan": "basic"}
    assert paid.subscription.status == "active"
    assert fake_stripe.pay(session.url).headers["location"].endswith(session.id), "paid twice"
    assert len(fake_stripe.v1.charges.list(params={"customer": customer.id}).data) == 1
