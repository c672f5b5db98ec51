"""The pages behind mailed links, as a browser without script uses them."""

from __future__ import annotations

import asyncio
import http.client
import re
from contextlib import closing
from urllib.parse import quote, urlencode

import grpc
import pytest

from cohortlens.identity.mails import RESET_PATH, VERIFY_PATH
from cohortlens.v1 import auth_pb2, auth_pb2_grpc

BOUND_S = 20.0
PASSWORD = "three blind mice ran 42"
EMAIL = "a@east.example"
NEW = "a heron on the old weir"


class Browser:
    """Keeps cookies and sends the forms it was shown."""

    def __init__(self, port: int) -> None:
        self.port, self.cookies = port, {}

    def _ask(self, verb, path, body=None, headers=None):
        sent = {"cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()), **(headers or {})}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=BOUND_S)) as connection:
            connection.request(verb, path, body, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
            for value in answer.headers.get_all("set-cookie") or ():
                name, _, rest = value.partition("=")
                self.cookies[name] = rest.partition(";")[0]
            return answer.status, text, answer.headers

    async def get(self, path):
        return await asyncio.to_thread(self._ask, "GET", path)

    async def send(self, path, page, headers=None, **fields):
        """Press the button of a page, its hidden fields included."""
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
        origin = {"origin": f"http://127.0.0.1:{self.port}"}
        kind = {"content-type": "application/x-www-form-urlencoded"}
        body = urlencode({**hidden, **fields})
        return await asyncio.to_thread(self._ask, "POST", path, body, {**kind, **origin, **(headers or {})})


@pytest.fixture
def browser(gateway):
    return Browser(gateway.http_port)


@pytest.fixture
async def auth(channel):
    return auth_pb2_grpc.AuthServiceStub(channel)


async def register(auth, mailbox):
    wanted = auth_pb2.RegisterTenantRequest(
        display_name="East", email=EMAIL, password=PASSWORD, accept_terms_version="2026-01"
    )
    await auth.RegisterTenant(wanted, timeout=BOUND_S)
    return f"{VERIFY_PATH}?token={(await mailbox.newest(EMAIL)).values['token']}"


async def log_in(auth, password):
    request = auth_pb2.CreateSessionRequest(email=EMAIL, password=password)
    return await auth.CreateSession(request, timeout=BOUND_S)


async def test_a_link_is_looked_at_any_number_of_times_and_the_button_works_once(
    browser,
    auth,
    mailbox,
    superuser,
):
    link = await register(auth, mailbox)
    for _ in range(3):
        status, page, headers = await browser.get(link)
        assert status == 200
        assert headers["cache-control"] == "no-store"
        assert "script-src" not in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'")
    assert await superuser.fetchval("SELECT count(*) FROM users") == 0
    status, done, _ = await browser.send(link, page)
    assert (status, "confirmed" in done) == (200, True)
    assert (await log_in(auth, PASSWORD)).tokens.access_token
    # The page kept no session.
    assert await superuser.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 1
    status, again, _ = await browser.send(link, page)
    assert (status, "works no more" in again) == (401, True)


async def test_a_button_of_another_site_does_nothing(browser, auth, mailbox, superuser):
    link = await register(auth, mailbox)
    _, page, _ = await browser.get(link)
    status, _, _ = await browser.send(link, page, headers={"origin": "https://evil.example"})
    assert status == 403
    status, _, _ = await browser.send(link, page, form_token="0" * 64)
    assert status == 403
    assert await superuser.fetchval("SELECT count(*) FROM users") == 0


async def test_a_forgotten_password_is_replaced_by_link(browser, auth, mailbox):
    link = await register(auth, mailbox)
    _, page, _ = await browser.get(link)
    await browser.send(link, page)
    _, page, _ = await browser.get(RESET_PATH)
    _, told, _ = await browser.send(RESET_PATH, page, email=EMAIL)
    _, told_nobody, _ = await browser.send(RESET_PATH, page, email="nobody@east.example")
    assert told == told_nobody
    link = f"{RESET_PATH}?token={(await mailbox.newest(EMAIL)).values['token']}"
    _, page, _ = await browser.get(link)
    for fields, fault in (
        ({"password": NEW, "again": NEW + "x"}, "differ"),
        ({"password": "short", "again": "short"}, "12 characters"),
    ):
        status, refused, _ = await browser.send(link, page, **fields)
        assert (status, fault in refused) == (400, True)
    status, done, _ = await browser.send(link, page, password=NEW, again=NEW)
    assert (status, "is changed" in done) == (200, True)
    with pytest.raises(grpc.aio.AioRpcError):
        await log_in(auth, PASSWORD)
    assert (await log_in(auth, NEW)).tokens.access_token
    status, over, _ = await browser.send(link, page, password=NEW, again=NEW)
    assert (status, "works no more" in over) == (401, True)


async def test_whatever_stands_in_a_link_is_shown_escaped(browser):
    lure = '"><script>alert(1)</script>'
    for path in (VERIFY_PATH, RESET_PATH):
        status, page, _ = await browser.get(f"{path}?token={quote(lure)}")
        assert status == 200
        assert "<script" not in page
        status, _, _ = await browser.send(path, page, password=NEW, again=NEW)
        assert status in {400, 401}
    status, page, _ = await browser.get(VERIFY_PATH)
    assert (status, "not complete" in page) == (400, True)
