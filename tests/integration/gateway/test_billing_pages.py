"""The pages of plan and usage: who sees what, what presses nothing, what is told where something is away."""

from __future__ import annotations

import asyncio
import dataclasses
import re

import httpx
import pytest

from cohortlens.core.config import Url
from gateway.config import GatewayConfig
from tests.fixtures.browser import Browser
from tests.integration.gateway.conftest import PASSWORD, core_config, running_gateway

POSTS = ("/billing", "/billing/change", "/billing/cancel", "/billing/return", "/logout", "/login")


@pytest.fixture
async def gateway(tmp_path, database, postgres_urls, redis_url, redis_client):
    """A gateway that knows its own address, so that payment pages could send people back to it."""
    core = core_config(tmp_path, postgres_urls.runtime, redis_url)
    core = dataclasses.replace(core, public_url=Url("http://127.0.0.1:8080"))
    async with running_gateway(core, GatewayConfig(grpc_port=0, http_port=0)) as one:
        yield one


@pytest.fixture
def site(gateway):
    return f"http://127.0.0.1:{gateway.http_port}"


@pytest.fixture
async def browser(site, person):
    """The owner's browser, signed in."""
    with Browser(site) as one:
        await asyncio.to_thread(one.visit, f"{site}/login")
        await asyncio.to_thread(lambda: one.press("sign_in", email=person.email, password=PASSWORD))
        yield one


async def opened(browser: Browser, path: str = "/billing") -> httpx.Response:
    return await asyncio.to_thread(browser.visit, browser.site + path)


async def sent(browser: Browser, path: str, origin: str = "", **data) -> httpx.Response:
    """A POST with the form token of the page that is open."""
    token = re.search(r'name="form_token" value="(\w+)"', browser.page.text)[1]
    return await asyncio.to_thread(
        browser.http.post,
        browser.site + path,
        data={"form_token": token, **data},
        headers={"Origin": origin or browser.site},
    )


async def as_role(browser: Browser, superuser, role: str) -> None:
    """Give the person another role; the next request gets a token that says so."""
    await superuser.execute("UPDATE tenant_users SET role = $1", role)
    browser.http.cookies.delete("cohortlens-access")


async def test_a_stranger_is_sent_to_sign_in_and_comes_back(site, person):
    with Browser(site) as one:
        answer = await asyncio.to_thread(one.http.get, f"{site}/billing")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fbilling")
        await opened(one)
        page = await asyncio.to_thread(lambda: one.press("sign_in", email=person.email, password=PASSWORD))
        assert (page.status_code, "Plan and usage" in page.text) == (200, True)


async def test_an_owner_sees_plan_usage_and_what_could_be_bought(browser, person):
    page = await opened(browser)
    assert page.status_code == 200
    text = page.text
    for expected in (
        person.email,
        "API calls this period",
        "Users and open invitations",
        "Professional",
        "Enterprise",
        "UTC",
        'value="checkout"',
    ):
        assert expected in text, expected
    assert page.headers["cache-control"] == "no-store"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' https://checkout.stripe.com https://billing.stripe.com;" in policy
    assert "<script" not in text
    assert "style=" not in text.replace("stylesheet", "")


async def test_the_token_is_in_no_page_and_no_address(browser):
    page = await opened(browser)
    for name in ("cohortlens-access", "cohortlens-refresh"):
        assert browser.http.cookies[name] not in page.text
        assert browser.http.cookies[name] not in str(page.url)


async def test_an_analyst_looks_on_and_is_told_who_can_act(browser, superuser):
    await as_role(browser, superuser, "analyst")
    page = await opened(browser)
    assert page.status_code == 200
    assert "owners and admins of north can change them" in page.text
    assert 'value="checkout"' not in page.text
    refused = await sent(browser, "/billing", act="checkout", plan="enterprise", interval="month")
    assert refused.status_code == 403
    assert "Owners and admins of north can change the plan. Ask one of them." in refused.text


async def test_a_viewer_is_told_who_sees_it(browser, superuser):
    await as_role(browser, superuser, "viewer")
    page = await opened(browser)
    assert page.status_code == 403
    assert "Owners, admins and analysts of north can see plan and usage." in page.text
    assert "API calls" not in page.text


@pytest.mark.parametrize("path", POSTS)
async def test_no_form_of_another_site_or_without_its_token_does_anything(browser, path):
    await opened(browser)
    foreign = await sent(browser, path, origin="https://evil.example", act="portal")
    bare = await asyncio.to_thread(
        browser.http.post, browser.site + path, data={"act": "portal"}, headers={"Origin": browser.site}
    )
    for answer in (foreign, bare):
        assert (answer.status_code, "FORM_REFUSED" in answer.text) == (403, True)


async def test_without_a_payment_provider_the_page_says_so_and_still_shows_the_plan(browser):
    await opened(browser)
    answer = await sent(
        browser,
        "/billing",
        act="checkout",
        plan="enterprise",
        interval="month",
        request_id="7d9f2b0e-7a53-4f0e-9c1a-3a0f8d1e2b4c",
    )
    assert (answer.status_code, "STRIPE_UNAVAILABLE" in answer.text) == (503, True)
    assert "cohortlens-awaits" not in browser.http.cookies
    assert (await opened(browser)).status_code == 200


async def test_a_button_nobody_made_and_a_value_nobody_offered_are_told_by_name(browser):
    await opened(browser)
    for data, name in (
        ({"act": "burn"}, "Act:"),
        ({"act": "checkout", "plan": "enterprise", "interval": "decade"}, "Interval:"),
        ({"act": "checkout", "plan": "enterprise", "interval": "month", "request_id": "x"}, "request_id"),
    ):
        answer = await sent(browser, "/billing", **data)
        assert (answer.status_code, name.lower() in answer.text.lower()) == (400, True)


async def test_the_page_to_come_back_to_believes_no_address_and_waits_for_what_was_asked(browser, person):
    straight = await asyncio.to_thread(
        browser.http.get, browser.site + "/billing/return?plan=enterprise&success=1"
    )
    assert (straight.status_code, straight.headers["location"]) == (303, "/billing")
    browser.http.cookies.set("cohortlens-awaits", "enterprise.1700000000", domain="127.0.0.1")
    waiting = await opened(browser, "/billing/return?session_id=cs_x&plan=basic")
    assert 'data-ready="confirming"' in waiting.text
    assert '<meta http-equiv="refresh"' in waiting.text
    browser.http.cookies.delete("cohortlens-awaits")
    browser.http.cookies.set("cohortlens-awaits", "<script>.1", domain="127.0.0.1")
    assert 'data-ready="billing"' in (await opened(browser, "/billing/return")).text


async def test_a_read_only_tenant_is_told_what_still_works(browser, superuser, person):
    await superuser.execute("UPDATE entitlements SET access = 'READ_ONLY', version = version + 1")
    page = await opened(browser)
    assert page.status_code == 200
    assert 'role="alert"' in page.text
    assert "Reading, exporting, deleting and paying still work" in page.text


async def test_somebody_over_the_limit_is_told_by_how_much_and_until_when(browser, superuser, person):
    await superuser.execute(
        "UPDATE entitlements SET over_limit_since = clock_timestamp() - interval '3 days'"
        " WHERE tenant_id = $1",
        person.tenant_id,
    )
    page = await opened(browser)
    assert "Over the limits of the plan" in page.text
    assert re.search(r"From \d+ \w+ 20\d\d, \d\d:\d\d UTC you can only read", page.text)


async def test_what_a_page_asks_is_seen_by_the_chain_like_any_other_call(browser, superuser, person):
    await opened(browser)
    await superuser.execute("UPDATE tenants SET display_name = '<script>alert(1)</script>'")
    page = await opened(browser)
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


async def test_somebody_on_the_free_plan_may_reload_the_page_in_impatience(browser):
    pages = await asyncio.gather(*(opened(browser) for _ in range(12)))
    assert {page.status_code for page in pages} == {200}
    assert not any("cannot be shown" in page.text for page in pages)
