"""The hosted pages in a real browser without JavaScript: they say what they are, and do what they say."""

from __future__ import annotations

import re

import pytest

from tests.fixtures.chromium import chromium
from tests.fixtures.fake_stripe import AUTHENTICATES, BROWSER, DECLINED, PAYS, card_form

WARNING = "Local stand-in for Stripe. No money moves. Never enter a real card; only test cards are taken."


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser):
    """A page of somebody without JavaScript, on a small screen."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 800})
    yield context.new_page()
    context.close()


def _session(fake, price, **more):
    return fake.v1.checkout.sessions.create(
        params={
            "mode": "subscription",
            "customer": fake.customer(None).id,
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": f"{fake.url}/livez?session={{CHECKOUT_SESSION_ID}}",
            "cancel_url": f"{fake.url}/livez?back",
            **more,
        }
    )


def _fill(page, number):
    for name, value in card_form(number).items():
        page.fill(f"#{name}", value)


def _press(page, words):
    page.click(f'button:has-text("{words}")')


def _warns(page):
    return re.sub(r"\s+", " ", page.inner_text("[role=note]")) == WARNING


def test_paying_with_cards_that_fail_ask_and_pay(fake_stripe, page):
    session = _session(fake_stripe, fake_stripe.price(9900, name="Professional"))
    page.goto(session.url)
    assert _warns(page)
    assert "99.00 EUR / month" in page.inner_text("main")
    _fill(page, "4111 1111 1111 1111")
    _press(page, "Pay 99.00 EUR")
    assert "none of the test cards" in page.inner_text("[role=alert]")
    assert page.input_value("#number") == "", "no number is sent back"
    _fill(page, DECLINED)
    _press(page, "Pay 99.00 EUR")
    assert page.inner_text("[role=alert]") == "Your card was declined."
    assert fake_stripe.v1.subscriptions.list(params={"customer": session.customer}).data == []
    _fill(page, AUTHENTICATES)
    _press(page, "Pay 99.00 EUR")
    assert _warns(page)
    assert "99.00 EUR" in page.inner_text("main")
    _press(page, "Confirm")
    assert page.url == f"{fake_stripe.url}/livez?session={session.id}"


def test_the_way_back_and_a_session_that_is_over(fake_stripe, page):
    session = _session(fake_stripe, fake_stripe.price())
    page.goto(session.url)
    page.click("text=Back without paying")
    assert page.url == f"{fake_stripe.url}/livez?back"
    fake_stripe.v1.checkout.sessions.expire(session.id)
    page.goto(session.url)
    assert "has expired" in page.inner_text("main")
    assert page.query_selector("form") is None


def test_a_trial_costs_nothing_today(fake_stripe, page):
    session = _session(fake_stripe, fake_stripe.price(), subscription_data={"trial_period_days": 14})
    page.goto(session.url)
    assert "0.00 EUR" in page.inner_text("tfoot")
    assert "Free until" in page.inner_text("main")
    _fill(page, PAYS)
    _press(page, "Start trial")
    made = fake_stripe.v1.checkout.sessions.retrieve(session.id, params={"expand": ["subscription"]})
    assert (made.payment_status, made.subscription.status) == ("no_payment_required", "trialing")


def test_the_portal_changes_cancels_keeps_and_takes_a_card(fake_stripe, page):
    subscription = fake_stripe.subscription()
    dear = fake_stripe.price(9900, name="Professional")
    portal = fake_stripe.v1.billing_portal.sessions.create(params={"customer": subscription.customer})
    read = fake_stripe.v1.subscriptions.retrieve

    page.goto(portal.url)
    assert _warns(page)
    page.select_option("select", dear.id)
    _press(page, "Change plan")
    assert page.inner_text("[role=status]") == "The plan is changed."
    assert read(subscription.id)["items"].data[0].price.id == dear.id
    _press(page, "Cancel subscription")
    assert read(subscription.id).cancel_at_period_end
    assert "Ends on" in page.inner_text("main")
    _press(page, "Keep subscription")
    assert not read(subscription.id).cancel_at_period_end
    _fill(page, DECLINED)
    _press(page, "Use this test card")
    assert page.inner_text("[role=alert]") == "Your card was declined."
    _fill(page, AUTHENTICATES)
    _press(page, "Use this test card")
    _press(page, "Confirm")
    assert "ending in 3155 pays" in page.inner_text("main")
    page.reload()
    assert page.query_selector("[role=status]") is None, "a deed is told once"
    page.click("table a")
    assert "Invoice" in page.inner_text("h1")


def test_a_portal_session_shows_no_subscription_of_somebody_else(fake_stripe):
    mine, other = fake_stripe.subscription(), fake_stripe.subscription()
    portal = fake_stripe.v1.billing_portal.sessions.create(params={"customer": mine.customer})
    answer = BROWSER.post(portal.url, data={"act": "cancel", "subscription": other.id})
    assert "not possible here" in answer.text
    assert not fake_stripe.v1.subscriptions.retrieve(other.id).cancel_at_period_end
    assert other.id not in BROWSER.get(portal.url).text


def test_names_and_products_are_text_on_every_page(fake_stripe):
    price = fake_stripe.price(name="<script>alert(1)</script>")
    session = _session(fake_stripe, price)
    answer = BROWSER.get(session.url)
    assert "<script>" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
