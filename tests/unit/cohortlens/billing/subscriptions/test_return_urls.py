"""Where the provider may send a browser back: the list of hostile addresses, and the ordinary ones."""

from __future__ import annotations

import pytest

from cohortlens.billing.subscriptions.return_urls import RETURN_PATH, ReturnUrls
from cohortlens.core.errors import InvalidArgument

URLS = ReturnUrls("https://app.example.org/", ["https://shop.example.org", "http://127.0.0.1:3000"])
HOSTILE = [
    "//evil.test/",
    "///evil.test/",
    "/billing",
    "billing",
    "https:app.example.org/",
    "https:/app.example.org/",
    "https:///app.example.org/",
    "https://evil.test/",
    "https://evil.test/https://app.example.org/",
    "https://app.example.org@evil.test/",
    "https://user@app.example.org/",
    "https://user:password@app.example.org/",
    "https://@app.example.org/",
    "https://app.example.org\\@evil.test/",
    "https://app.example.org\\.evil.test/",
    "https:\\\\app.example.org/",
    "https://evil.test\\app.example.org/",
    "\\\\evil.test/",
    "https://app.example.org//evil.test/",
    "https://app.example.org.evil.test/",
    "https://app.example.orgevil.test/",
    "https://evil-app.example.org/",
    "https://app.example.org.",
    "https://app.example.org./billing",
    "https://app.example.org:444/",
    "https://app.example.org:443/",
    "https://app.example.org:/",
    "https://app.example.org:0443/",
    "http://app.example.org/",
    "https://127.0.0.1:3000/",
    "http://127.0.0.1:3001/",
    "http://127.0.0.1/",
    "https://\u0430pp.example.org/",
    "https://app.ex\u0430mple.org/",
    "https://app\u3002example.org/",
    "https://app\uff0eexample.org/",
    "https://xn--pp-7kc.example.org/",
    "https://\uff41pp.example.org/",
    "HTTPS://app.example.org/",
    "https://APP.example.org/",
    "javascript:alert(1)",
    "javascript://app.example.org/%0aalert(1)",
    "data:text/html,x",
    "ftp://app.example.org/",
    "file:///etc/passwd",
    "com.example.app:/billing",
    "https://app.example.org/#fragment",
    "https://app.example.org/billing#",
    "https://app.example.org/\r\nSet-Cookie: a=b",
    "https://app.example.org/\n",
    "https://app.example.org/\x00",
    "https://app.example.org/\x7f",
    "https://app.example.org/a b",
    " https://app.example.org/",
    "https://app.example.org/ ",
    "\thttps://app.example.org/",
    "https://app.example.org/\u202e",
    "https://app.example.org/%",
    "https://app.example.org/%zz",
    "https://app.example.org/../admin",
    "https://app.example.org/a/%2e%2E/b",
    "https://app.example.org/./",
    "https://app.example.org/<script>",
    'https://app.example.org/"',
    "https://app.example.org/{CHECKOUT_SESSION_ID}",
    "https://[::1]/",
    "https://2130706433/",
    "https://*.example.org/",
    "https://app.example.org?@evil.test/\\",
    "https://app.example.org/" + "a" * 2048,
]


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_address_is_refused(url):
    with pytest.raises(InvalidArgument) as refused:
        URLS.checked(url, "success_url")
    assert refused.value.reason == "URL_NOT_ALLOWED"
    assert [one.field for one in refused.value.violations] == ["success_url"]
    assert "evil" not in refused.value.message


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.org",
        "https://app.example.org/",
        "https://app.example.org/billing/return",
        "https://app.example.org?from=checkout",
        "https://shop.example.org/plan?next=https://evil.test/&x=%2F%2Fevil",
        "http://127.0.0.1:3000/billing",
    ],
)
def test_an_address_of_an_allowed_origin_is_taken_as_it_is(url):
    assert URLS.checked(url, "success_url") == url


def test_nothing_given_is_our_own_page():
    assert URLS.checked("", "cancel_url") == "https://app.example.org/billing"
    assert URLS.checked("", "success_url", RETURN_PATH) == "https://app.example.org/billing/return"


def test_an_installation_that_does_not_know_its_address_asks_for_one():
    with pytest.raises(InvalidArgument, match="COHORTLENS_PUBLIC_URL"):
        ReturnUrls("").checked("", "cancel_url")


@pytest.mark.parametrize(
    "public", ["https://App.Example.org", "https://app.example.org:443/", "https://app.example.org/x"]
)
def test_the_own_origin_is_read_from_the_public_address(public):
    assert ReturnUrls(public).checked("https://app.example.org/billing", "return_url")
