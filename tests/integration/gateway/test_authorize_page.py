"""The authorisation page as a person meets it: wrong passwords, second factor, several organisations, signing out."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx
import jwt
import pyotp
import pytest

from tests.fixtures.browser import Browser, parameters
from tests.fixtures.tenants import RegisteredTenant, register
from tests.integration.gateway.conftest import LISTED_ORIGIN, PASSWORD, WRONG

URI = "https://app.example/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
SIGNED_IN = "cohortlens-signed-in"


@dataclass
class Page:
    """The page, a person at it, and an application that sent the person there."""

    site: str
    person: RegisteredTenant
    client: str
    http: httpx.AsyncClient
    owner: dict[str, str]

    def address(self) -> str:
        asked = {"response_type": "code", "client_id": self.client, "redirect_uri": URI, "state": "s"}
        return f"{self.site}/oauth2/authorize?" + urlencode(
            {**asked, "code_challenge": CHALLENGE, "code_challenge_method": "S256"}
        )

    async def opened(self, browser: Browser) -> httpx.Response:
        return await asyncio.to_thread(browser.visit, self.address())

    async def signed_in(self, browser: Browser, password: str = PASSWORD, email: str = "") -> httpx.Response:
        if browser.page is None:
            await self.opened(browser)
        fields = {"email": email or self.person.email, "password": password}
        return await pressed(browser, "sign_in", **fields)

    async def claims(self, answer: httpx.Response) -> dict:
        """What the token says that the application gets for an answer of the page."""
        assert answer.status_code == 303, answer.text
        form = {
            "grant_type": "authorization_code",
            "code": parameters(answer.headers["location"])["code"],
            "redirect_uri": URI,
            "code_verifier": VERIFIER,
            "client_id": self.client,
        }
        # As a script of the application's own site sends it.
        issued = await self.http.post("/oauth2/token", data=form, headers={"origin": LISTED_ORIGIN})
        assert issued.headers["access-control-allow-origin"] == LISTED_ORIGIN
        return jwt.decode(issued.json()["access_token"], options={"verify_signature": False})


async def pressed(browser: Browser, act: str, **fields) -> httpx.Response:
    return await asyncio.to_thread(lambda: browser.press(act, **fields))


@pytest.fixture
async def page(gateway, person):
    site = f"http://127.0.0.1:{gateway.http_port}"
    async with httpx.AsyncClient(base_url=site, timeout=20) as http:
        entered = await http.post("/api/v1/sessions", json={"email": person.email, "password": PASSWORD})
        owner = {"authorization": f"Bearer {entered.json()['tokens']['accessToken']}"}
        body = {
            "displayName": "Shop dashboard",
            "authentication": "OAUTH_CLIENT_AUTHENTICATION_NONE",
            "grants": ["OAUTH_GRANT_AUTHORIZATION_CODE"],
            "redirectUris": [URI],
            "scopes": ["customers.read", "customers.write"],
            "anyTenant": True,
        }
        made = await http.post("/api/v1/oauthClients", json=body, headers=owner)
        assert made.status_code == 200, made.text
        yield Page(site, person, made.json()["client"]["oauthClient"], http, owner)


@pytest.fixture
def browser(page):
    with Browser(page.site) as one:
        yield one


@pytest.fixture
async def app(page):
    """The person's authenticator app, with its recovery codes."""
    begun = await page.http.post(
        "/api/v1/users/me/totp:begin", json={"password": PASSWORD}, headers=page.owner
    )
    found = pyotp.TOTP(begun.json()["secret"])
    body = {"code": found.at(time.time() - 30)}
    confirmed = await page.http.post("/api/v1/users/me/totp:confirm", json=body, headers=page.owner)
    found.recovery = confirmed.json()["recoveryCodes"]
    return found


async def test_a_wrong_password_is_told_on_the_page_as_for_an_unknown_address(page, browser, superuser):
    answers = []
    for email in (page.person.email, "nobody@north.example"):
        answer = await page.signed_in(browser, WRONG, email)
        assert answer.status_code == 401
        assert 'role="alert"' in answer.text
        assert f'value="{email}"' in answer.text
        assert WRONG not in answer.text
        assert SIGNED_IN not in browser.http.cookies
        answers.append(answer.text.replace(email, ""))
    assert answers[0] == answers[1]
    assert "Allow" in (await page.signed_in(browser)).text
    opened = await superuser.fetchval("SELECT count(*) FROM sessions WHERE device_name = 'Sign-in page'")
    assert opened == 1


async def test_who_guesses_on_the_page_is_told_how_long_to_wait(page, browser):
    answers = [await page.signed_in(browser, WRONG) for _ in range(6)]
    assert [one.status_code for one in answers] == [401] * 5 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 12
    right = await page.signed_in(browser)
    assert (right.status_code, SIGNED_IN in browser.http.cookies) == (429, False)


async def test_a_second_factor_is_asked_for_on_the_page_and_stands_in_the_token(page, app, browser):
    asked = await page.signed_in(browser)
    assert "Confirm that it is you" in asked.text
    assert SIGNED_IN not in browser.http.cookies
    wrong = await pressed(browser, "second_step", code="000000")
    assert (wrong.status_code, "The code is wrong." in wrong.text) == (401, True)
    assert SIGNED_IN not in browser.http.cookies
    consent = await pressed(browser, "second_step", code=app.at(time.time()))
    assert (consent.status_code, page.person.email in consent.text) == (200, True)
    claims = await page.claims(await pressed(browser, "approve"))
    assert claims["amr"] == ["pwd", "otp"]


async def test_a_recovery_code_stands_in_for_the_app_once(page, app, browser):
    for is_first in (True, False):
        await page.opened(browser)
        await page.signed_in(browser)
        answer = await pressed(browser, "second_step", code=app.recovery[0])
        assert ("Allow" in answer.text) is is_first
        if is_first:
            assert (await page.claims(await pressed(browser, "approve")))["amr"] == ["pwd", "otp"]


async def test_an_address_that_was_guessed_at_is_asked_for_a_mailed_code_on_the_page(
    page, browser, redis_client, mailbox
):
    await page.signed_in(browser, WRONG)
    [count] = [one async for one in redis_client.scan_iter("*login-email*")]
    await redis_client.set(count, 60, keepttl=True)
    asked = await page.signed_in(browser)
    assert "We have mailed you a code." in asked.text
    wrong = await pressed(browser, "second_step", code="000000")
    assert wrong.status_code == 401
    assert "We have mailed you a code." in wrong.text
    mailed = (await mailbox.newest(page.person.email)).values["code"]
    await pressed(browser, "second_step", code=mailed)
    assert (await page.claims(await pressed(browser, "approve")))["amr"] == ["pwd", "mca"]


async def test_after_five_wrong_codes_the_page_begins_again(page, app, browser):
    await page.signed_in(browser)
    answers = [await pressed(browser, "second_step", code="000000") for _ in range(5)]
    assert [(one.status_code, "The code is wrong." in one.text) for one in answers] == [(401, True)] * 5
    last = await pressed(browser, "second_step", code=app.at(time.time()))
    assert (last.status_code, "Password" in last.text) == (401, True)
    assert SIGNED_IN not in browser.http.cookies


async def test_a_forged_second_step_opens_nothing(page, app, browser):
    await page.signed_in(browser)
    answer = await pressed(browser, "second_step", code=app.at(time.time()), mfa_token="x" * 43)
    assert (answer.status_code, "Password" in answer.text) == (401, True)
    assert SIGNED_IN not in browser.http.cookies


@pytest.fixture
async def south(page, database, superuser):
    """Another organisation, where the person only looks on."""
    tenant = await register(database, "south")
    await superuser.execute(
        "INSERT INTO tenant_users (tenant_id, user_id, role) VALUES ($1, $2, 'viewer')",
        tenant.tenant_id,
        page.person.user_id,
    )
    return tenant


async def test_a_person_of_several_organisations_chooses_the_one_the_application_acts_for(
    page, south, browser, database
):
    stranger = await register(database, "stranger")
    choice = await page.signed_in(browser)
    assert "Choose an organisation" in choice.text
    assert [one in choice.text for one in ("north", "south", "stranger")] == [True, True, False]
    consent = await pressed(browser, "choose", tenant=str(south.tenant_id))
    assert "south" in consent.text
    assert ("customers.read" in consent.text, "customers.write" in consent.text) == (True, False)
    for tenant, scopes, status in (
        (str(stranger.tenant_id), ["customers.read"], 404),
        (str(south.tenant_id), ["customers.write"], 400),
    ):
        refused = await asyncio.to_thread(post, browser, consent, tenant, scopes)
        assert (refused.status_code, "location" in refused.headers) == (status, False)
    claims = await page.claims(await pressed(browser, "approve"))
    assert (claims["tenant_id"], claims["role"]) == (str(south.tenant_id), "viewer")
    assert claims["scope"] == "customers.read"


def post(browser, consent, tenant, scopes):
    """What the form of a page sends when somebody writes other values into it."""
    token = consent.text.partition('name="form_token" value="')[2][:64]
    data = {"form_token": token, "act": "approve", "tenant": tenant, "scope": scopes}
    return browser.http.post(str(consent.url), data=data, headers={"Origin": browser.site})


async def test_an_organisation_that_is_none_of_the_persons_leads_back_to_the_choice(page, south, browser):
    await page.signed_in(browser)
    answer = await pressed(browser, "choose", tenant="0193b0a0-0000-7000-8000-000000000009")
    assert (answer.status_code, "Choose an organisation" in answer.text) == (200, True)


async def test_signing_out_ends_the_sign_in_here_and_for_whoever_kept_its_cookie(page, browser, superuser):
    await page.signed_in(browser)
    kept = browser.http.cookies[SIGNED_IN]
    answer = await pressed(browser, "sign_out")
    assert (answer.status_code, "Password" in answer.text) == (200, True)
    assert SIGNED_IN not in browser.http.cookies
    assert page.person.email not in answer.text
    reason = "SELECT revoke_reason FROM sessions WHERE device_name = 'Sign-in page'"
    assert await superuser.fetchval(reason) == "LOGOUT"
    assert "Password" in (await page.opened(browser)).text
    browser.http.cookies.set(SIGNED_IN, kept, domain="127.0.0.1")
    again = await page.opened(browser)
    assert "Your sign-in has ended" in again.text
    someone = await page.signed_in(browser)
    assert "Allow" in someone.text


async def test_a_decision_of_a_sign_in_that_was_ended_elsewhere_is_none(page, browser, superuser):
    await page.signed_in(browser)
    session = await superuser.fetchval("SELECT id FROM sessions WHERE device_name = 'Sign-in page'")
    ended = await page.http.delete(f"/api/v1/sessions/{session}", headers=page.owner)
    assert ended.status_code == 200, ended.text
    answer = await pressed(browser, "approve")
    assert (answer.status_code, "Your sign-in has ended" in answer.text) == (200, True)
    assert await superuser.fetchval("SELECT count(*) FROM oauth_codes") == 0


async def test_no_script_of_another_site_reads_the_page_listed_or_not(page):
    asks = {"access-control-request-method": "GET", "access-control-request-headers": "content-type"}
    for origin in (LISTED_ORIGIN, "https://evil.example"):
        for verb, extra in (("GET", {}), ("OPTIONS", asks)):
            answer = await page.http.request(verb, page.address(), headers={"origin": origin, **extra})
            assert not [name for name in answer.headers if name.startswith("access-control")]
