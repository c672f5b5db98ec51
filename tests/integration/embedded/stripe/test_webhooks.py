"""Webhooks are signed, sent until somebody takes them, and go wrong exactly as the knobs say."""

from __future__ import annotations

import time

import pytest
import stripe

from tests.fixtures.fake_stripe import is_signed
from tests.fixtures.waiting import eventually_blocking


@pytest.fixture
def secret(fake_stripe, endpoint):
    """Secret of an endpoint that wants everything."""
    made = fake_stripe.v1.webhook_endpoints.create(params={"url": endpoint.url, "enabled_events": ["*"]})
    return made.secret


def _arrived(endpoint, count):
    eventually_blocking(lambda: len(endpoint.received) >= count, 20.0)
    time.sleep(0.2)  # whatever would come too many
    return endpoint.received


def _age(one):
    return time.time() - int(one.signature.partition(",")[0].removeprefix("t="))


def test_events_come_signed_in_order_as_the_sdk_verifies_them(fake_stripe, endpoint, secret):
    subscription = fake_stripe.subscription()
    recorded = [one.id for one in reversed(fake_stripe.v1.events.list(params={"limit": 100}).data)]
    came = _arrived(endpoint, len(recorded))
    assert [one.event["id"] for one in came] == recorded
    for one in came:
        event = stripe.Webhook.construct_event(one.body, one.signature, secret)
        assert event.api_version == "2026-10-28.endive"
        assert event.livemode is False
    last = came[-1].event
    assert last["type"] == "customer.subscription.updated"
    assert last["data"]["object"]["id"] == subscription.id
    assert last["data"]["previous_attributes"]["status"] == "incomplete"
    assert last["request"]["id"].startswith("req_")


def test_an_endpoint_gets_the_types_it_asked_for(fake_stripe, endpoint):
    wanted = ["invoice.paid", "customer.subscription.created"]
    fake_stripe.v1.webhook_endpoints.create(params={"url": endpoint.url, "enabled_events": wanted})
    fake_stripe.subscription()
    _arrived(endpoint, 2)
    assert sorted(endpoint.types()) == sorted(wanted)


def test_what_is_refused_comes_again_with_back_off_signed_anew(fake_stripe, endpoint, secret):
    fake_stripe.knob("retry", first=0.2)
    endpoint.answers = [500, 404, 302]
    fake_stripe.customer(None)
    came = _arrived(endpoint, 4)
    assert len(came) == 4
    assert len({one.event["id"] for one in came}) == 1
    assert all(is_signed(one, secret) for one in came)
    [delivery] = fake_stripe.look("deliveries")["deliveries"]
    assert (delivery["state"], delivery["tries"]) == ("delivered", 4)


def test_a_retry_can_be_asked_for_at_once(fake_stripe, endpoint, secret):
    fake_stripe.knob("retry", first=1000)
    endpoint.answers = [503]
    fake_stripe.customer(None)
    _arrived(endpoint, 1)
    fake_stripe.knob("hurry")
    assert len(_arrived(endpoint, 2)) == 2


def test_nobody_is_asked_for_ever(fake_stripe, endpoint, secret):
    fake_stripe.knob("retry", first=0.1, give_up=0.3)
    endpoint.answers = [500] * 50
    fake_stripe.customer(None)
    eventually_blocking(lambda: fake_stripe.look()["deliveries"]["failed"] == 1, 20.0)
    assert 2 <= len(endpoint.received) < 50


def test_drop_duplicate_and_delay(fake_stripe, endpoint, secret):
    fake_stripe.knob("webhooks", match="invoice.*", drop=True)
    fake_stripe.knob("webhooks", match="customer.subscription.created", times=1, duplicate=2)
    fake_stripe.knob("webhooks", match="customer.created", delay=0.5)
    fake_stripe.subscription()
    eventually_blocking(lambda: "customer.created" in endpoint.types(), 20.0)
    _arrived(endpoint, 1)
    types = endpoint.types()
    assert types[-1] == "customer.created", "it was delayed past all others"
    assert types.count("customer.subscription.created") == 3
    assert not [one for one in types if one.startswith("invoice.")]
    assert "invoice.paid" in fake_stripe.events(), "the list of events holds what was dropped"
    fake_stripe.knob("clear")
    assert fake_stripe.look()["webhooks"] == []


def test_held_events_come_in_the_order_asked_for(fake_stripe, endpoint, secret):
    fake_stripe.knob("webhooks", hold=True)
    fake_stripe.customer("pm_card_visa")
    held = [one.id for one in fake_stripe.v1.events.list().data]
    assert endpoint.received == []
    assert fake_stripe.look()["deliveries"]["held"] == 3
    order = [held[1], held[0], held[2]]
    fake_stripe.knob("release", order=order)
    assert [one.event["id"] for one in _arrived(endpoint, 3)] == order


@pytest.mark.parametrize(("offset", "age"), [(-3600, 3600), (3600, -3600)])
def test_old_and_future_signatures(fake_stripe, endpoint, secret, offset, age):
    fake_stripe.knob("webhooks", time_offset=offset)
    fake_stripe.customer(None)
    [one] = _arrived(endpoint, 1)
    assert is_signed(one, secret)
    assert abs(_age(one) - age) < 60


@pytest.mark.parametrize("knob", ["wrong_secret", "tampered"])
def test_signatures_that_never_verify(fake_stripe, endpoint, secret, knob):
    fake_stripe.knob("webhooks", **{knob: True})
    fake_stripe.customer(None)
    [one] = _arrived(endpoint, 1)
    assert not is_signed(one, secret)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(one.body, one.signature, secret)


def test_events_of_another_mode_account_version_and_shape(fake_stripe, endpoint, secret):
    fake_stripe.knob("webhooks", match="customer.created", livemode=True, account="acct_other")
    fake_stripe.knob("webhooks", match="customer.subscription.created", old_shape=True)
    fake_stripe.knob("webhooks", match="invoice.paid", old_shape=True)
    subscription = fake_stripe.subscription()
    eventually_blocking(lambda: "invoice.paid" in endpoint.types(), 20.0)
    by_type = {one.event["type"]: one.event for one in endpoint.received}
    assert by_type["customer.created"]["livemode"] is True
    assert by_type["customer.created"]["account"] == "acct_other"
    old = by_type["customer.subscription.created"]
    assert old["api_version"] == "2024-06-20"
    assert old["data"]["object"]["current_period_end"]
    assert by_type["invoice.paid"]["data"]["object"]["subscription"] == subscription.id


def test_unknown_and_thin_events_and_events_sent_again(fake_stripe, endpoint, secret):
    customer = fake_stripe.customer(None)
    first = _arrived(endpoint, 1)[0].event
    fake_stripe.knob("events", type="moon.landed", object=customer.id)
    fake_stripe.knob("events", type="v1.billing.meter.error_report_triggered", thin=True)
    fake_stripe.knob("resend", event=first["id"])
    unknown, thin, again = (one.event for one in _arrived(endpoint, 4)[1:])
    assert unknown["data"]["object"]["id"] == customer.id
    assert unknown["type"] == "moon.landed"
    assert thin["object"] == "v2.core.event"
    assert "data" not in thin
    assert again["id"] == first["id"]
    assert all(is_signed(one, secret) for one in endpoint.received)


@pytest.mark.parametrize("url", ["https://example.com/hook", "http://example.com/hook", "http://10.0.0.1/x"])
def test_webhooks_stay_on_this_machine(fake_stripe, url):
    with pytest.raises(stripe.InvalidRequestError, match="this machine"):
        fake_stripe.v1.webhook_endpoints.create(params={"url": url, "enabled_events": ["*"]})
