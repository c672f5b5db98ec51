"""Where the provider may send a browser back: the list of hostile addresses, and the ordinary ones."""

from __future__ import annotations

import pytest

from cohortlens.billing.subscriptions.return_urls import RETURN_PATH, ReturnUrls
from cohortlens.core.config import read
from cohortlens.core.errors import InvalidArgument
from cohortlens.core.selling_settings import selling_faults
from cohortlens.core.settings import CoreConfig

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


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.org/",
        "app.example.org",
        "https://App.example.org",
        "https://*.example.org",
        "*",
        "https://app.example.org:443",
        "http://a@b",
        "ftp://app.example.org",
        "null",
    ],
)
def test_what_is_no_origin_stops_the_start(origin):
    faults = selling_faults(
        "eur", "", "", f"https://good.example {origin}", is_production=False, has_payments=True
    )
    assert len(faults) == 1
    assert repr(origin) in faults[0]


def test_production_returns_to_https_alone():
    assert (
        selling_faults("eur", "", "", "http://127.0.0.1:3000", is_production=False, has_payments=True) == []
    )
    assert selling_faults("eur", "", "", "http://127.0.0.1:3000", is_production=True, has_payments=True)


@pytest.mark.parametrize(
    ("currency", "trials", "meters", "named"),
    [
        ("EUR", "", "", "BILLING_CURRENCY"),
        ("euro", "", "", "BILLING_CURRENCY"),
        ("eur", "professional", "", "TRIAL_DAYS"),
        ("eur", "professional=0", "", "TRIAL_DAYS"),
        ("eur", "professional=731", "", "TRIAL_DAYS"),
        ("eur", "", "api_calls", "STRIPE_METERS"),
        ("eur", "", "tokens=x", "STRIPE_METERS"),
    ],
)
def test_settings_of_selling_that_cannot_work_are_named(currency, trials, meters, named):
    (fault,) = selling_faults(currency, trials, meters, "", is_production=False, has_payments=True)
    assert f"COHORTLENS_{named}" in fault


def test_meters_without_a_key_of_the_provider_stop_the_start():
    config = read(CoreConfig, {"COHORTLENS_STRIPE_METERS": "api_calls=calls"})
    [fault] = [one for one in config.faults() if "STRIPE_METERS" in one]
    assert "COHORTLENS_STRIPE_API_KEY" in fault
    paid = {"COHORTLENS_STRIPE_METERS": "api_calls=calls", "COHORTLENS_STRIPE_API_KEY": "sk_test_0123456789"}
    assert not [one for one in read(CoreConfig, paid).faults() if "STRIPE" in one]


def test_settings_of_selling_that_work():
    assert (
        selling_faults(
            "usd",
            "professional=14, enterprise=30",
            "api_calls=calls",
            "",
            is_production=True,
            has_payments=True,
        )
        == []
    )
