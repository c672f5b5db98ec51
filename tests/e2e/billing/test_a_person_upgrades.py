"""In a browser: the demo tenant's owner signs in, upgrades, pays on the hosted page, and cancels again.

Chromium runs without scripts: whatever works here works for everybody.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.billing.conftest import as_tenant
from tests.fixtures.chromium import chromium, person, picture
from tests.fixtures.fake_stripe import PAYS
from tests.fixtures.waiting import eventually_blocking

BOUND_S = 2.0
"""Within which new limits hold once the notification of the payment is there."""


@pytest.fixture
def demo_tenant(stack, provider, demo):
    account = json.loads((stack.data_dir / "credentials.json").read_text())["tenants"][0]
    yield from as_tenant(stack, provider, demo, account["email"])


@pytest.fixture
def account(stack):
    return json.loads((stack.data_dir / "credentials.json").read_text())["tenants"][0]


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def page(stack, account, browser):
    """The owner's browser at the page of plan and usage, signed in."""
    context = person(browser, scripts=False)
    page = context.new_page()
    page.goto(f"{stack.http}/billing")
    page.get_by_label("E-mail address").fill(account["email"])
    page.get_by_label("Password").fill(account["password"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("[data-ready=billing]")
    yield page
    assert context.complaints == []
    context.close()


def pays(page, card: str) -> None:
    page.get_by_label("Name on card").fill("Ada Lovelace")
    page.get_by_label("Test card number").fill(card)
    page.get_by_label("Expiry (MM / YY)").fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.locator("button[value=pay]").click()


def test_an_owner_upgrades_pays_and_has_the_new_limits_within_two_seconds_of_the_notification(
    page, demo_tenant, invited, provider, stack, tmp_path
):
    assert demo_tenant.entitlement["plan"] == "professional"
    picture(page, tmp_path, "before")
    provider.knob("webhooks", match="*", hold=True)
    try:
        page.get_by_role("button", name="Upgrade to Enterprise, paid by the month").click()
        assert page.url.startswith(provider.url)
        pays(page, PAYS)
        page.wait_for_selector("[data-ready=confirming]")
        assert page.url == f"{stack.http}/billing/return"
        picture(page, tmp_path, "confirming")
        # Coming back from the payment page grants nothing; the notification does.
        assert demo_tenant.entitlement["plan"] == "professional"
        provider.knob("clear")
        notified = time.monotonic()
        provider.knob("release")
        eventually_blocking(lambda: demo_tenant.entitlement["plan"] == "enterprise", BOUND_S)
        eventually_blocking(lambda: holds_enterprise(demo_tenant, invited), BOUND_S)
        assert time.monotonic() - notified < BOUND_S
    finally:
        provider.knob("clear")
        provider.knob("release")
    page.wait_for_selector("[data-ready=confirmed]")
    assert "1,000,000 customers" in page.inner_text("main")
    picture(page, tmp_path, "confirmed")
    page.get_by_role("link", name="Plan and usage").click()
    page.wait_for_selector("[data-ready=billing]")
    assert "Enterprise" in page.inner_text(".plan-name")
    assert "of 10,000,000" in page.inner_text("main")
    picture(page, tmp_path, "after")
    looked_at_another_plan(page, tmp_path)
    went_to_the_portal_and_back(page, provider)
    cancelled_at_once(page, demo_tenant, tmp_path)


def looked_at_another_plan(page, folder: Path) -> None:
    """What a change would cost, and back without it."""
    page.get_by_role("link", name="Change to Professional, paid by the year").click()
    page.wait_for_selector("[data-ready=change]")
    assert "Change at once" in page.inner_text("main")
    assert "€490.00 a year" in page.inner_text("main")
    picture(page, folder, "change")
    page.get_by_role("link", name="Keep what you have").click()
    page.wait_for_selector("[data-ready=billing]")


def went_to_the_portal_and_back(page, provider) -> None:
    page.get_by_role("button", name="Payment and invoices").click()
    page.wait_for_url(f"{provider.url}/**")
    page.go_back()
    page.wait_for_selector("[data-ready=billing]")


def cancelled_at_once(page, tenant, folder: Path) -> None:
    """Back to where the demo began, through the page."""
    page.get_by_role("link", name="Cancel the plan").click()
    page.wait_for_selector("[data-ready=cancel]")
    picture(page, folder, "cancel")
    page.get_by_role("button", name="Cancel at once").click()
    page.wait_for_selector("[data-ready=billing]")
    tenant.until(plan="professional", access="FULL", status="CANCELED")
    page.reload()
    assert "Professional" in page.inner_text(".plan-name")


def holds_enterprise(tenant, invited: list[str]) -> bool:
    """Whether calls are held to the new plan: its quota, and one user more than the old one allows."""
    [meter] = [one for one in tenant.get("/usage")["meters"] if one["meter"] == "api_calls"]
    return meter["limit"] == "10000000" and invites(tenant, invited)


def invites(tenant, invited: list[str]) -> bool:
    """Invite somebody; False where the plan allows no more users."""
    body = {"email": f"guest-{uuid4().hex[:12]}@shop.example", "role": "viewer"}
    answer = tenant.http.post("/users:invite", json=body)
    if answer.status_code == 200:
        invited.append(answer.json()["invitation"]["invitation"])
        return True
    assert "USER_QUOTA_EXCEEDED" in answer.text, answer.text
    return False


@pytest.fixture
def invited(demo_tenant):
    """Invitations up to the limit of the demo tenant's plan; taken back afterwards."""
    found: list[str] = []
    while invites(demo_tenant, found):
        assert len(found) < 10
    yield found
    for one in found:
        assert demo_tenant.http.delete(f"/invitations/{one}").status_code == 200


def test_nothing_scrolls_sideways_and_the_keyboard_reaches_every_button(stack, account, browser):
    context = person(browser, dark=True)
    page = context.new_page()
    page.goto(f"{stack.http}/billing")
    page.wait_for_selector("#email:focus")
    page.keyboard.type(account["email"])
    page.keyboard.press("Tab")
    page.keyboard.type(account["password"])
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-ready=billing]")
    for width in (320, 360, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert {"Skip to the content", "Sign out", "Upgrade to Enterprise, paid by the year"} <= reached(page)
    assert page.evaluate(UNNAMED) == 0
    assert context.complaints == []
    context.close()


UNNAMED = """
[...document.querySelectorAll('button, a, input:not([type=hidden]), progress')].filter(one =>
  !(one.innerText || one.getAttribute('aria-label') || one.getAttribute('aria-labelledby')
    || (one.labels && one.labels.length))).length
"""
NAME = "document.activeElement.getAttribute('aria-label') || document.activeElement.innerText"


def reached(page) -> set[str]:
    """What the Tab key comes by."""
    names = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        names.add(page.evaluate(NAME))
    return names
