"""Time passes as at Stripe: trials, renewals, failures, dunning, ends, planned changes."""

from __future__ import annotations

import pytest
import stripe

from tests.fixtures.fake_stripe import (
    AUTHENTICATES_EACH_TIME,
    BROWSER,
    DAY,
    DECLINED,
    PAYS,
    PAYS_ONCE,
    SETTLES_LATER,
    run_stand_in,
)

HOUR = 3600
LAST_OF_JANUARY = 1_801_353_600


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    yield from run_stand_in(tmp_path_factory.mktemp("stripe") / "data")


@pytest.fixture
def fake_stripe(shared):
    """One stand-in for all tests here: each has customers of its own."""
    yield shared
    shared.knob("clear")


def _read(fake, subscription):
    return fake.v1.subscriptions.retrieve(subscription.id, params={"expand": ["latest_invoice"]})


def _end(subscription):
    return subscription["items"].data[0].current_period_end


def _until_renewal(fake, subscription):
    fake.knob("clock", customer=subscription.customer, to=_end(_read(fake, subscription)) + HOUR)


def _with_card(fake, number, price=None):
    """A subscription that was paid on the pay page with this card."""
    customer = fake.customer(None)
    session = fake.v1.checkout.sessions.create(
        params={
            "mode": "subscription",
            "customer": customer.id,
            "line_items": [{"price": (price or fake.price()).id, "quantity": 1}],
            "success_url": "http://shop.test/done",
        }
    )
    assert fake.pay(session.url, number).status_code == 303
    return fake.v1.subscriptions.list(params={"customer": customer.id}).data[0]


def test_a_renewal_rolls_the_period_and_is_paid_an_hour_later(fake_stripe):
    subscription = fake_stripe.subscription()
    end = _end(subscription)
    fake_stripe.knob("clock", customer=subscription.customer, to=end)
    rolled = _read(fake_stripe, subscription)
    assert rolled["items"].data[0].current_period_start == end
    assert (rolled.status, rolled.latest_invoice.status) == ("active", "draft")
    fake_stripe.knob("clock", customer=subscription.customer, to=end + HOUR)
    paid = _read(fake_stripe, subscription).latest_invoice
    assert (paid.status, paid.amount_paid, paid.billing_reason) == ("paid", 2900, "subscription_cycle")
    assert fake_stripe.events(subscription.customer)[-2:] == ["invoice.paid", "invoice.payment_succeeded"]


def test_months_end_on_their_last_day_and_come_back_to_the_day_they_began(fake_stripe):
    clock = fake_stripe.v1.test_helpers.test_clocks.create(params={"frozen_time": LAST_OF_JANUARY})
    subscription = fake_stripe.subscription(customer_params={"test_clock": clock.id})
    ends = [_end(subscription)]
    for _ in range(3):
        _until_renewal(fake_stripe, subscription)
        ends.append(_end(_read(fake_stripe, subscription)))
    # 28 Feb, 31 Mar, 30 Apr, 31 May
    assert ends == [1_803_772_800, 1_806_451_200, 1_809_043_200, 1_811_721_600]


def test_a_trial_warns_three_days_before_its_end_and_then_costs(fake_stripe):
    subscription = fake_stripe.subscription(trial_period_days=14)
    assert (subscription.status, _end(subscription)) == ("trialing", subscription.trial_end)
    fake_stripe.advance(subscription.customer, 11 * DAY - 60)
    assert "customer.subscription.trial_will_end" not in fake_stripe.events(subscription.customer)
    fake_stripe.advance(subscription.customer, 120)
    assert fake_stripe.events(subscription.customer)[-1] == "customer.subscription.trial_will_end"
    _until_renewal(fake_stripe, subscription)
    after = _read(fake_stripe, subscription)
    assert (after.status, after.latest_invoice.amount_paid) == ("active", 2900)


@pytest.mark.parametrize(("choice", "status"), [("pause", "paused"), ("cancel", "canceled")])
def test_a_trial_without_a_card_ends_as_was_chosen(fake_stripe, choice, status):
    settings = {"end_behavior": {"missing_payment_method": choice}}
    subscription = fake_stripe.subscription(None, trial_period_days=7, trial_settings=settings)
    fake_stripe.advance(subscription.customer, 7 * DAY)
    assert _read(fake_stripe, subscription).status == status


def test_a_paused_subscription_goes_on_from_the_day_it_is_resumed(fake_stripe):
    settings = {"end_behavior": {"missing_payment_method": "pause"}}
    subscription = fake_stripe.subscription(None, trial_period_days=7, trial_settings=settings)
    fake_stripe.advance(subscription.customer, 9 * DAY)
    card = fake_stripe.v1.payment_methods.attach("pm_card_visa", params={"customer": subscription.customer})
    fake_stripe.v1.subscriptions.update(subscription.id, params={"default_payment_method": card.id})
    resumed = fake_stripe.v1.subscriptions.resume(subscription.id)
    assert resumed.status == "active"
    assert resumed.billing_cycle_anchor >= subscription.trial_end + 2 * DAY
    assert "customer.subscription.resumed" in fake_stripe.events(subscription.customer)


@pytest.mark.parametrize(
    ("end", "status"), [("cancel", "canceled"), ("unpaid", "unpaid"), ("past_due", "past_due")]
)
def test_a_failed_renewal_is_tried_again_and_ends_as_the_account_says(fake_stripe, end, status):
    fake_stripe.knob("dunning", days=[3, 5], end=end)
    subscription = _with_card(fake_stripe, PAYS_ONCE)
    _until_renewal(fake_stripe, subscription)
    late = _read(fake_stripe, subscription)
    assert (late.status, late.latest_invoice.status) == ("past_due", "open")
    assert late.latest_invoice.next_payment_attempt == _end(subscription) + HOUR + 3 * DAY
    fake_stripe.advance(subscription.customer, 3 * DAY)
    assert _read(fake_stripe, subscription).latest_invoice.attempt_count == 2
    fake_stripe.advance(subscription.customer, 5 * DAY)
    last = _read(fake_stripe, subscription)
    assert (last.status, last.latest_invoice.attempt_count) == (status, 3)
    assert last.latest_invoice.next_payment_attempt is None
    types = fake_stripe.events(subscription.customer)
    assert types.count("invoice.payment_failed") == 3
    assert ("customer.subscription.deleted" in types) == (end == "cancel")


def test_a_late_invoice_that_is_paid_on_its_page_heals_the_subscription(fake_stripe):
    subscription = _with_card(fake_stripe, PAYS_ONCE)
    _until_renewal(fake_stripe, subscription)
    page = _read(fake_stripe, subscription).latest_invoice.hosted_invoice_url
    assert "was declined" in fake_stripe.pay(page, DECLINED).text
    assert fake_stripe.pay(page, PAYS).status_code == 303
    healed = _read(fake_stripe, subscription)
    assert (healed.status, healed.latest_invoice.status) == ("active", "paid")
    assert BROWSER.get(healed.latest_invoice.invoice_pdf).content.startswith(b"%PDF-1.4")
    _until_renewal(fake_stripe, subscription)
    assert _read(fake_stripe, subscription).status == "active", "the new card pays the next one too"


def test_a_renewal_that_needs_its_holder_asks_for_them(fake_stripe):
    subscription = _with_card(fake_stripe, AUTHENTICATES_EACH_TIME)
    _until_renewal(fake_stripe, subscription)
    types = fake_stripe.events(subscription.customer)
    assert "invoice.payment_action_required" in types
    waiting = _read(fake_stripe, subscription)
    assert waiting.status == "past_due"
    fake_stripe.pay(waiting.latest_invoice.hosted_invoice_url, AUTHENTICATES_EACH_TIME)
    assert _read(fake_stripe, subscription).status == "active"


def test_a_subscription_that_was_canceled_ends_with_its_period_unless_it_is_resumed(fake_stripe):
    subscription = fake_stripe.subscription()
    update = fake_stripe.v1.subscriptions.update
    ending = update(subscription.id, params={"cancel_at_period_end": True})
    assert (ending.cancel_at, ending.status) == (_end(subscription), "active")
    back = update(subscription.id, params={"cancel_at_period_end": False})
    assert (back.cancel_at, back.canceled_at) == (None, None)
    _until_renewal(fake_stripe, subscription)
    assert _read(fake_stripe, subscription).status == "active"
    update(subscription.id, params={"cancel_at_period_end": True})
    _until_renewal(fake_stripe, subscription)
    over = _read(fake_stripe, subscription)
    assert (over.status, over.ended_at) == ("canceled", over.cancel_at)
    assert fake_stripe.events(subscription.customer)[-1] == "customer.subscription.deleted"
    assert fake_stripe.v1.subscriptions.list(params={"customer": subscription.customer}).data == []


def test_a_first_payment_that_fails_leaves_it_incomplete_for_23_hours(fake_stripe):
    subscription = fake_stripe.subscription("pm_card_chargeCustomerFail")
    assert subscription.status == "incomplete"
    fake_stripe.advance(subscription.customer, 23 * HOUR)
    given_up = _read(fake_stripe, subscription)
    assert (given_up.status, given_up.latest_invoice.status) == ("incomplete_expired", "void")


def test_a_dearer_plan_is_paid_for_the_rest_of_the_period_at_once(fake_stripe):
    subscription = fake_stripe.subscription()
    dear = fake_stripe.price(9900, name="Professional")
    start, end = (subscription["items"].data[0][f"current_period_{name}"] for name in ("start", "end"))
    middle = (start + end) // 2
    fake_stripe.knob("clock", customer=subscription.customer, to=middle)
    change = {
        "items": [{"id": subscription["items"].data[0].id, "price": dear.id}],
        "proration_behavior": "always_invoice",
        "proration_date": middle,
    }
    preview = fake_stripe.v1.invoices.create_preview(
        params={"subscription": subscription.id, "subscription_details": change}
    )
    assert preview.amount_due == 3500
    assert _read(fake_stripe, subscription)["items"].data[0].price.unit_amount == 2900, "nothing changed yet"
    changed = fake_stripe.v1.subscriptions.update(subscription.id, params=change)
    assert changed["items"].data[0].price.id == dear.id
    paid = _read(fake_stripe, subscription).latest_invoice
    assert [line.amount for line in paid.lines.data] == [-1450, 4950]
    assert (paid.amount_paid, paid.status) == (3500, "paid")


def test_what_is_prorated_without_an_invoice_of_its_own_comes_with_the_next(fake_stripe):
    subscription = fake_stripe.subscription()
    dear = fake_stripe.price(9900)
    item = {"id": subscription["items"].data[0].id, "price": dear.id}
    now = subscription["items"].data[0].current_period_start
    fake_stripe.v1.subscriptions.update(subscription.id, params={"items": [item], "proration_date": now})
    _until_renewal(fake_stripe, subscription)
    renewal = _read(fake_stripe, subscription).latest_invoice
    assert [line.amount for line in renewal.lines.data] == [-2900, 9900, 9900]


def test_a_cheaper_plan_leaves_a_credit_that_later_invoices_use_up(fake_stripe):
    subscription = fake_stripe.subscription(price=fake_stripe.price(9900))
    cheap = fake_stripe.price(2900)
    item = subscription["items"].data[0]
    change = {
        "items": [{"id": item.id, "price": cheap.id}],
        "proration_behavior": "always_invoice",
        "proration_date": item.current_period_start,
    }
    fake_stripe.v1.subscriptions.update(subscription.id, params=change)
    assert fake_stripe.v1.customers.retrieve(subscription.customer).balance == -7000
    _until_renewal(fake_stripe, subscription)
    renewal = _read(fake_stripe, subscription).latest_invoice
    assert (renewal.total, renewal.amount_due, renewal.status) == (2900, 0, "paid")
    assert fake_stripe.v1.customers.retrieve(subscription.customer).balance == -4100


def test_another_interval_begins_a_period_of_its_own(fake_stripe):
    subscription = fake_stripe.subscription()
    year = fake_stripe.price(29000, "year")
    item = {"id": subscription["items"].data[0].id, "price": year.id}
    changed = fake_stripe.v1.subscriptions.update(subscription.id, params={"items": [item]})
    length = _end(changed) - changed["items"].data[0].current_period_start
    assert length in {365 * DAY, 366 * DAY}
    assert _read(fake_stripe, subscription).latest_invoice.amount_paid in range(26_100, 26_110)


@pytest.mark.parametrize(
    ("behavior", "price_after"), [("pending_if_incomplete", 2900), ("allow_incomplete", 9900)]
)
def test_a_change_whose_payment_fails(fake_stripe, behavior, price_after):
    subscription = _with_card(fake_stripe, PAYS_ONCE)
    dear = fake_stripe.price(9900)
    change = {
        "items": [{"id": subscription["items"].data[0].id, "price": dear.id}],
        "proration_behavior": "always_invoice",
        "payment_behavior": behavior,
    }
    changed = fake_stripe.v1.subscriptions.update(subscription.id, params=change)
    assert changed["items"].data[0].price.unit_amount == price_after
    assert changed.status == ("active" if behavior == "pending_if_incomplete" else "past_due")
    assert (changed.pending_update is not None) == (behavior == "pending_if_incomplete")
    fake_stripe.pay(_read(fake_stripe, subscription).latest_invoice.hosted_invoice_url)
    healed = _read(fake_stripe, subscription)
    assert (healed.status, healed.pending_update) == ("active", None)
    assert healed["items"].data[0].price.unit_amount == 9900


def test_a_change_that_must_be_paid_or_nothing_changes(fake_stripe):
    subscription = _with_card(fake_stripe, PAYS_ONCE)
    change = {
        "items": [{"id": subscription["items"].data[0].id, "price": fake_stripe.price(9900).id}],
        "proration_behavior": "always_invoice",
        "payment_behavior": "error_if_incomplete",
    }
    with pytest.raises(stripe.CardError) as caught:
        fake_stripe.v1.subscriptions.update(subscription.id, params=change)
    assert caught.value.code == "card_declined"
    after = _read(fake_stripe, subscription)
    assert (after.status, after.pending_update) == ("active", None)
    assert after["items"].data[0].price.unit_amount == 2900
    assert len(fake_stripe.v1.invoices.list(params={"customer": subscription.customer}).data) == 1


def test_a_change_that_is_not_paid_within_23_hours_is_given_up(fake_stripe):
    subscription = _with_card(fake_stripe, PAYS_ONCE)
    change = {
        "items": [{"id": subscription["items"].data[0].id, "price": fake_stripe.price(9900).id}],
        "proration_behavior": "always_invoice",
        "payment_behavior": "pending_if_incomplete",
    }
    fake_stripe.v1.subscriptions.update(subscription.id, params=change)
    fake_stripe.advance(subscription.customer, 23 * HOUR)
    given_up = _read(fake_stripe, subscription)
    assert (given_up.pending_update, given_up.latest_invoice.status) == (None, "void")
    assert "customer.subscription.pending_update_expired" in fake_stripe.events(subscription.customer)


def test_a_planned_change_comes_with_the_renewal_at_the_new_price(fake_stripe):
    dear = fake_stripe.price(9900)
    subscription, cheap = fake_stripe.subscription(price=dear), fake_stripe.price(2900)
    schedules = fake_stripe.v1.subscription_schedules
    held = schedules.create(params={"from_subscription": subscription.id})
    bounds = {name: held.current_phase[name] for name in ("start_date", "end_date")}
    phases = [
        {"items": [{"price": dear.id, "quantity": 1}], **bounds},
        {
            "items": [{"price": cheap.id, "quantity": 1}],
            "duration": {"interval": "month", "interval_count": 1},
            "proration_behavior": "none",
        },
    ]
    schedules.update(
        held.id, params={"phases": phases, "end_behavior": "release", "proration_behavior": "none"}
    )
    assert _read(fake_stripe, subscription).schedule == held.id
    _until_renewal(fake_stripe, subscription)
    renewed = _read(fake_stripe, subscription)
    assert [line.amount for line in renewed.latest_invoice.lines.data] == [2900]
    assert renewed["items"].data[0].price.id == cheap.id
    _until_renewal(fake_stripe, subscription)
    assert schedules.retrieve(held.id).status == "released"
    again = _read(fake_stripe, subscription)
    assert (again.schedule, again.latest_invoice.amount_paid) == (None, 2900)


def test_a_planned_change_that_is_released_never_comes(fake_stripe):
    subscription, cheap = fake_stripe.subscription(price=fake_stripe.price(9900)), fake_stripe.price(2900)
    schedules = fake_stripe.v1.subscription_schedules
    held = schedules.create(params={"from_subscription": subscription.id})
    phase = held.phases[0]
    schedules.update(
        held.id,
        params={
            "phases": [
                {"items": [{"price": phase["items"][0].price}], "end_date": phase.end_date},
                {"items": [{"price": cheap.id}], "iterations": 1},
            ]
        },
    )
    released = schedules.release(held.id)
    assert (released.status, released.released_subscription) == ("released", subscription.id)
    _until_renewal(fake_stripe, subscription)
    assert _read(fake_stripe, subscription)["items"].data[0].price.unit_amount == 9900


def test_used_units_are_billed_when_their_period_ends(fake_stripe):
    meter = fake_stripe.v1.billing.meters.create(
        params={"display_name": "Calls", "event_name": "calls", "default_aggregation": {"formula": "sum"}}
    )
    metered = fake_stripe.price(2, recurring={"usage_type": "metered", "meter": meter.id})
    subscription = fake_stripe.subscription(price=metered)
    payload = {"stripe_customer_id": subscription.customer, "value": "150"}
    fake_stripe.v1.billing.meter_events.create(params={"event_name": "calls", "payload": payload})
    _until_renewal(fake_stripe, subscription)
    assert _read(fake_stripe, subscription).latest_invoice.amount_paid == 300


def test_a_deleted_customer_takes_its_subscriptions_along(fake_stripe):
    subscription = fake_stripe.subscription()
    fake_stripe.v1.customers.delete(subscription.customer)
    assert fake_stripe.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        fake_stripe.v1.subscriptions.list(params={"customer": subscription.customer})
    assert caught.value.code == "resource_missing"


@pytest.mark.parametrize(("paid", "status"), [(True, "active"), (False, "past_due")])
def test_money_that_settles_later_is_told_of_when_it_comes_or_fails(fake_stripe, paid, status):
    subscription = _with_card(fake_stripe, SETTLES_LATER)
    [session] = fake_stripe.v1.checkout.sessions.list(params={"customer": subscription.customer}).data
    assert (session.status, session.payment_status, subscription.status) == ("complete", "unpaid", "active")
    assert _read(fake_stripe, subscription).latest_invoice.status == "open"
    fake_stripe.knob("settlements", session=session.id, paid=paid)
    after = _read(fake_stripe, subscription)
    assert (after.status, after.latest_invoice.status) == (status, "paid" if paid else "open")
    told = "checkout.session.async_payment_" + ("succeeded" if paid else "failed")
    assert fake_stripe.events(subscription.customer)[-1] == told


def test_refunds_and_disputes_follow_a_charge(fake_stripe):
    subscription = fake_stripe.subscription()
    [charge] = fake_stripe.v1.charges.list(params={"customer": subscription.customer}).data
    fake_stripe.v1.refunds.create(params={"charge": charge.id, "amount": 900})
    assert fake_stripe.v1.charges.retrieve(charge.id).refunded is False
    fake_stripe.v1.refunds.create(params={"charge": charge.id, "reason": "requested_by_customer"})
    whole = fake_stripe.v1.charges.retrieve(charge.id)
    assert (whole.refunded, whole.amount_refunded) == (True, 2900)
    with pytest.raises(stripe.InvalidRequestError, match="already been refunded"):
        fake_stripe.v1.refunds.create(params={"charge": charge.id})
    dispute = fake_stripe.knob("disputes", charge=charge.id)
    fake_stripe.knob("disputes", dispute=dispute["id"], status="lost")
    assert fake_stripe.v1.disputes.retrieve(dispute["id"]).status == "lost"
    types = fake_stripe.events()
    assert types.count("charge.refunded") == 2
    assert types[-1] == "charge.dispute.closed"
