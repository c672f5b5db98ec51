"""The pages that let a person in and out: cookies, renewal, a stolen refresh token, organisations, hostile returns."""

from __future__ import annotations

import asyncio
import re
import time

import httpx
import jwt
import pyotp
import pytest

from tests.fixtures.browser import Browser
from tests.fixtures.tenants import register
from tests.integration.gateway.conftest import PASSWORD, WRONG

ACCESS, REFRESH = "cohortlens-access", "cohortlens-refresh"


@pytest.fixture
def browser(gateway):
    with Browser(f"http://127.0.0.1:{gateway.http_port}") as one:
        yield one


async def opened(browser: Browser, path: str = "/login") -> httpx.Response:
    return await asyncio.to_thread(browser.visit, browser.site + path)


async def pressed(browser: Browser, act: str, **fields) -> httpx.Response:
    return await asyncio.to_thread(lambda: browser.press(act, **fields))


async def signed_in(browser: Browser, person, password: str = PASSWORD) -> httpx.Response:
    await opened(browser)
    return await pressed(browser, "sign_in", email=person.email, password=password)


async def is_in(browser: Browser) -> bool:
    """Whether /logout offers to end a session that works: /login sends on whoever is in."""
    answer = await asyncio.to_thread(browser.http.get, browser.site + "/login")
    return answer.status_code == 303


async def test_a_person_signs_in_and_the_tokens_are_out_of_reach_of_scripts(browser, person):
    await opened(browser)
    before = browser.page
    assert 'name="form_token"' in before.text
    form = re.search(r'name="form_token" value="(\w+)"', before.text)[1]
    answer = await asyncio.to_thread(
        browser.http.post,
        browser.site + "/login?next=%2Fbilling",
        data={"form_token": form, "act": "sign_in", "email": person.email, "password": PASSWORD},
        headers={"Origin": browser.site},
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/billing")
    lines = [one for one in answer.headers.get_list("set-cookie") if "=ey" in one or REFRESH in one]
    assert len(lines) == 2
    assert all("HttpOnly" in one and "SameSite=Lax" in one and "Path=/" in one for one in lines)
    assert answer.headers["cache-control"] == "no-store"
    assert await is_in(browser)


async def test_a_wrong_password_and_an_unknown_address_look_the_same(browser, person):
    answers = []
    for email in (person.email, "nobody@north.example"):
        await opened(browser)
        answer = await pressed(browser, "sign_in", email=email, password=WRONG)
        assert (answer.status_code, ACCESS in browser.http.cookies) == (401, False)
        assert WRONG not in answer.text
        answers.append(answer.text.replace(email, ""))
    assert answers[0] == answers[1]


async def test_the_page_asks_for_the_code_of_the_authenticator_app(browser, person):
    async with httpx.AsyncClient(base_url=browser.site, timeout=20) as http:
        entered = await http.post("/api/v1/sessions", json={"email": person.email, "password": PASSWORD})
        own = {"authorization": f"Bearer {entered.json()['tokens']['accessToken']}"}
        begun = await http.post("/api/v1/users/me/totp:begin", json={"password": PASSWORD}, headers=own)
        app = pyotp.TOTP(begun.json()["secret"])
        body = {"code": app.at(time.time() - 30)}
        assert (await http.post("/api/v1/users/me/totp:confirm", json=body, headers=own)).is_success
    asked = await signed_in(browser, person)
    assert ("authenticator app" in asked.text, ACCESS in browser.http.cookies) == (True, False)
    wrong = await pressed(browser, "second_step", code="000000")
    assert (wrong.status_code, "The code is wrong." in wrong.text) == (401, True)
    await pressed(browser, "second_step", code=app.at(time.time()))
    claims = jwt.decode(browser.http.cookies[ACCESS], options={"verify_signature": False})
    assert claims["amr"] == ["pwd", "otp"]


async def test_an_expired_access_token_is_renewed_inside_the_request(browser, person, superuser):
    await signed_in(browser, person)
    first = browser.http.cookies[REFRESH]
    browser.http.cookies.delete(ACCESS)
    assert await is_in(browser)
    assert ACCESS in browser.http.cookies
    assert browser.http.cookies[REFRESH] != first
    assert await superuser.fetchval("SELECT refresh_counter FROM sessions") == 2


async def test_an_access_token_that_does_not_hold_is_renewed_too(browser, person):
    await signed_in(browser, person)
    browser.http.cookies.delete(ACCESS)
    browser.http.cookies.set(ACCESS, "not.a.token", domain="127.0.0.1")
    assert await is_in(browser)


async def test_two_tabs_that_renew_at_once_stay_signed_in(browser, person, superuser):
    await signed_in(browser, person)
    kept = {"Cookie": f"{REFRESH}={browser.http.cookies[REFRESH]}"}
    async with httpx.AsyncClient(base_url=browser.site, timeout=20) as http:
        answers = await asyncio.gather(*(http.get("/login", headers=kept) for _ in range(6)))
    assert [one.status_code for one in answers] == [303] * 6
    children = {one for answer in answers for one in answer.headers.get_list("set-cookie") if REFRESH in one}
    assert len({one.partition(";")[0] for one in children}) == 1
    assert await superuser.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 1


async def test_an_old_refresh_token_ends_the_session_and_the_page_says_so(browser, person, superuser):
    await signed_in(browser, person)
    stolen = browser.http.cookies[REFRESH]
    browser.http.cookies.delete(ACCESS)
    await opened(browser)
    await superuser.execute(
        "UPDATE sessions SET last_refreshed_at = last_refreshed_at - interval '5 minutes'"
    )
    with Browser(browser.site) as thief:
        thief.http.cookies.set(REFRESH, stolen, domain="127.0.0.1")
        answer = await opened(thief)
        assert "ended on every device" in answer.text
        assert REFRESH not in thief.http.cookies
    browser.http.cookies.delete(ACCESS)
    assert "Your session has ended" in (await opened(browser)).text
    assert (await pressed(browser, "sign_in", email=person.email, password=PASSWORD)) is not None
    assert await is_in(browser)


@pytest.mark.parametrize(
    "goal",
    [
        "//evil.example",
        "https://evil.example/billing",
        "/\\evil.example",
        "/billing@evil.example",
        "/login/../x",
    ],
)
async def test_a_return_address_of_anybody_else_is_refused(gateway, goal):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.http_port}") as http:
        answer = await http.get("/login", params={"next": goal})
    assert (answer.status_code, "URL_NOT_ALLOWED" in answer.text) == (400, True)
    assert "evil.example" not in answer.text


async def test_signing_out_needs_a_button_and_ends_the_session(browser, person, superuser):
    await signed_in(browser, person)
    kept = dict(browser.http.cookies)
    await opened(browser, "/logout")
    assert await is_in(browser)
    page = await opened(browser, "/logout")
    token = re.search(r'name="form_token" value="(\w+)"', page.text)[1]
    ended = await asyncio.to_thread(
        browser.http.post,
        browser.site + "/logout",
        data={"form_token": token},
        headers={"Origin": browser.site},
    )
    assert (ended.status_code, ended.headers["location"]) == (303, "/login")
    assert not {ACCESS, REFRESH} & set(browser.http.cookies)
    assert await superuser.fetchval("SELECT revoke_reason FROM sessions") == "LOGOUT"
    async with httpx.AsyncClient(base_url=browser.site) as http:
        again = await http.get("/login", headers={"Cookie": f"{ACCESS}={kept[ACCESS]}"})
    assert again.status_code == 200


async def test_a_form_of_before_the_sign_in_or_of_another_session_presses_nothing(browser, person):
    await opened(browser, "/logout")
    stale = re.search(r'name="form_token" value="(\w+)"', browser.page.text)[1]
    await signed_in(browser, person)
    for origin, token in ((browser.site, stale), ("https://evil.example", None)):
        page = await opened(browser, "/logout")
        sent = token or re.search(r'name="form_token" value="(\w+)"', page.text)[1]
        answer = await asyncio.to_thread(
            browser.http.post,
            browser.site + "/logout",
            data={"form_token": sent},
            headers={"Origin": origin},
        )
        assert (answer.status_code, "FORM_REFUSED" in answer.text) == (403, True)
    assert await is_in(browser)


async def test_a_person_of_several_organisations_chooses_where_to_work(browser, person, database, superuser):
    south = await register(database, "south")
    await superuser.execute(
        "INSERT INTO tenant_users (tenant_id, user_id, role) VALUES ($1, $2, 'viewer')",
        south.tenant_id,
        person.user_id,
    )
    choice = await signed_in(browser, person)
    assert "Which of your organisations" in choice.text
    await pressed(browser, "choose", tenant=str(south.tenant_id))
    claims = jwt.decode(browser.http.cookies[ACCESS], options={"verify_signature": False})
    assert (claims["tenant_id"], claims["role"]) == (str(south.tenant_id), "viewer")
    live = "SELECT tenant_id FROM sessions WHERE revoked_at IS NULL"
    assert [row["tenant_id"] for row in await superuser.fetch(live)] == [south.tenant_id]
