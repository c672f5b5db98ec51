"""Where codes may go."""

import pytest

from cohortlens.core.errors import InvalidArgument
from cohortlens.identity.oauth.redirects import (
    check_redirect_uri,
    form_target,
    is_registered,
    with_parameters,
)

HOSTILE = [
    "", "/callback", "//evil.example", "\\evil.example", "https:evil.example", "https:///evil.example",
    "https://", "https://evil", "https://user@evil.example/", "https://a:b@evil.example/",
    "https://good.example\\@evil.example/", "https://good.example\\.evil.example/", "https://evil.example#x",
    "https://evil.example/#", "https://*.evil.example/", "https://evil.example/*#", "https://EVIL.example/",
    "https://\u0430pp.example/", "https://app\u3002example/", "https://app.example/\u00fc", "https://app.example/ x",
    "https://app.example/\n", "https://app.example/../x", "https://app.example/./x", "https://app.example/%2e%2e/x",
    "https://app.example//evil.example", "https://app.example/%zz", "https://app.example:0/",
    "https://app.example:99999/", "https://app.example:80:80/", "https://app.example:/", "https://[::1]/",
    "https://app.example/?code=1", "https://app.example/?a=1&state=2", "https://app.example/?iss=x",
    "http://app.example/", "http://127.0.0.2/", "http://127.1/", "http://0x7f.1/", "http://[::ffff:127.0.0.1]/",
    "http://127.0.0.1@evil.example/", "http://localhost.evil.example/", "javascript:alert(1)", "data:text/html,x",
    "file:///etc/passwd", "myapp:/callback", "com.example.app://callback", "com.example.app:callback",
    "https://app.example/" + "x" * 2048,
]  # fmt: skip
TAKEN = [
    "https://app.example/callback",
    "https://app.example",
    "https://app.example:8443/a/b?from=x&to=y",
    "https://xn--pp-7ka.example/",
    "http://127.0.0.1/callback",
    "http://127.0.0.1:4711/callback",
    "http://[::1]:4711/",
    "http://localhost:3000/callback",
]
OWN_SCHEME = "com.example.app:/callback"


@pytest.mark.parametrize("uri", HOSTILE)
@pytest.mark.parametrize("is_public", [True, False])
def test_a_hostile_address_cannot_be_registered(uri, is_public):
    with pytest.raises(InvalidArgument) as refused:
        check_redirect_uri(uri, "redirect_uris[0]", is_public=is_public)
    assert refused.value.reason == "URL_NOT_ALLOWED"
    assert refused.value.violations[0].field == "redirect_uris[0]"


@pytest.mark.parametrize("uri", TAKEN)
@pytest.mark.parametrize("is_public", [True, False])
def test_a_plain_address_can_be_registered(uri, is_public):
    check_redirect_uri(uri, "redirect_uris[0]", is_public=is_public)


def test_a_scheme_of_its_own_is_for_public_clients():
    check_redirect_uri(OWN_SCHEME, "x", is_public=True)
    with pytest.raises(InvalidArgument):
        check_redirect_uri(OWN_SCHEME, "x", is_public=False)


@pytest.mark.parametrize("uri", [one for one in HOSTILE if one])
def test_a_hostile_address_matches_nothing(uri):
    assert not is_registered(uri, (*TAKEN, OWN_SCHEME), is_public=True)


def test_only_a_public_client_on_an_address_of_the_machine_may_change_the_port():
    registered = ("http://127.0.0.1/callback", "http://localhost/callback", "https://app.example/callback")
    assert is_registered("http://127.0.0.1:4711/callback", registered, is_public=True)
    assert not is_registered("http://127.0.0.1:4711/callback", registered, is_public=False)
    assert not is_registered("http://127.0.0.1:4711/other", registered, is_public=True)
    assert not is_registered("http://[::1]:4711/callback", registered, is_public=True)
    assert not is_registered("http://localhost:4711/callback", registered, is_public=True)
    assert not is_registered("https://app.example:444/callback", registered, is_public=True)


def test_the_answer_keeps_what_stood_in_the_address():
    answer = with_parameters(
        "https://app.example/cb?from=x", {"code": "a b", "state": "", "iss": "https://i"}
    )
    assert answer == "https://app.example/cb?from=x&code=a+b&iss=https%3A%2F%2Fi"
    assert with_parameters(OWN_SCHEME, {"code": "c"}) == "com.example.app:/callback?code=c"


def test_a_form_may_lead_to_the_origin_or_scheme_of_the_address():
    assert form_target("https://app.example:8443/cb?x=1") == "https://app.example:8443"
    assert form_target(OWN_SCHEME) == "com.example.app:"
