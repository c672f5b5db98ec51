"""A person registers, confirms the address by the mailed link, logs in, forgets the password, and is back."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

import pytest

EMAIL, PASSWORD, NEW = "ada@story.example", "a lantern under the bridge", "a heron on the old weir"


def call(stack, path, body, token=""):
    """Status and body of a POST of the JSON API."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{stack.http}/api/v1/{path}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def press(stack, link, **fields):
    """Open a page and press its button, as a browser without script does; answers the next page."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    with browser.open(link, timeout=30) as page:
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.read().decode()))
    form = urllib.parse.urlencode({**hidden, **fields}).encode()
    with browser.open(urllib.request.Request(link, form, {"Origin": stack.http}), timeout=30) as page:
        return page.read().decode()


def link(stack, path):
    """The newest mailed link, as ``cohortlens mail`` shows it."""
    stack.mailed_token(EMAIL)
    shown = json.dumps(stack.json("mail", "--to", EMAIL)["data"])
    return re.findall(rf"{re.escape(stack.http)}{path}\?token=[\w-]{{43}}", shown)[-1]


@pytest.fixture(scope="module")
def registered(stack):
    body = {"displayName": "Story", "email": EMAIL, "password": PASSWORD, "acceptTermsVersion": "2026-11"}
    assert call(stack, "tenants:register", body) == (200, {})
    return link(stack, "/auth/verify-email")


def test_the_link_of_the_mail_makes_an_account_that_logs_in(stack, registered):
    assert call(stack, "sessions", {"email": EMAIL, "password": PASSWORD})[0] == 401
    assert "confirmed" in press(stack, registered)
    status, session = call(stack, "sessions", {"email": EMAIL, "password": PASSWORD})
    assert status == 200
    assert [one["displayName"] for one in session["tenants"]] == ["Story"]


def test_a_forgotten_password_is_replaced_by_the_link_of_a_mail(stack, registered):
    assert call(stack, "auth:requestPasswordReset", {"email": EMAIL}) == (200, {})
    stack.mailed_token(EMAIL, path="/auth/reset-password")
    page = press(stack, link(stack, "/auth/reset-password"), password=NEW, again=NEW)
    assert "is changed" in page
    assert call(stack, "sessions", {"email": EMAIL, "password": PASSWORD})[0] == 401
    assert call(stack, "sessions", {"email": EMAIL, "password": NEW})[0] == 200
