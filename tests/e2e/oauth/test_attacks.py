"""What is refused at the authorisation page, and what an attacker learns and breaks."""

import re

import httpx
import pytest

from cohortlens.cli.errors import ApiError
from cohortlens.v1 import auth_oauth_pb2 as pb
from cohortlens.v1 import auth_pb2
from tests.e2e.oauth.asking import (
    CHALLENGE,
    address,
    assert_error,
    code_of,
    exchange,
    is_taken,
    refresh,
)
from tests.e2e.oauth.conftest import LOOPBACK, SCOPES, register
from tests.fixtures.browser import parameters


def test_the_answer_names_its_issuer_and_hands_back_the_state(site):
    with site.browser() as browser:
        back = parameters(browser.consent(address(site), site.email, site.password))
    assert (back["iss"], back["state"]) == (site.address, "af0ifjsldkj")
    assert set(back) == {"code", "iss", "state"}


def test_a_code_used_twice_ends_the_session_it_opened(site):
    code = code_of(site)
    first = exchange(site, code=code)
    assert first.status_code == 200
    assert is_taken(site, first.json()["access_token"])
    assert_error(exchange(site, code=code), "invalid_grant")
    assert not is_taken(site, first.json()["access_token"])
    assert_error(refresh(site, first.json()["refresh_token"]), "invalid_grant")


@pytest.mark.parametrize(
    "change",
    [
        {"code_verifier": "w" * 43},
        {"code_verifier": CHALLENGE},
        {"redirect_uri": "http://127.0.0.1/other"},
        {"redirect_uri": "http://127.0.0.1:4711/callback"},
        {"code": "x" * 43},
    ],
)
def test_an_injected_code_is_worth_nothing_and_harms_nobody(site, change):
    code = code_of(site)
    assert_error(exchange(site, **{"code": code, **change}), "invalid_grant")
    assert exchange(site, code=code).status_code == 200


def test_a_code_without_its_verifier_is_refused(site):
    assert_error(exchange(site, code=code_of(site), code_verifier=None), "invalid_request")


def test_another_client_cannot_use_a_code_a_refresh_token_or_end_a_session(site):
    other = (site.confidential, site.secret)
    code = code_of(site)
    assert_error(exchange(site, other, code=code), "invalid_grant")
    tokens = exchange(site, code=code).json()
    assert_error(refresh(site, tokens["refresh_token"], other), "invalid_grant")
    for token in (tokens["refresh_token"], tokens["access_token"]):
        data = {"token": token}
        assert httpx.post(f"{site.address}/oauth2/revoke", data=data, auth=other).status_code == 200
        asked = httpx.post(f"{site.address}/oauth2/introspect", data=data, auth=other)
        assert asked.json() == {"active": False}
    assert is_taken(site, tokens["access_token"])
    assert refresh(site, tokens["refresh_token"]).status_code == 200


def test_a_clients_refresh_token_opens_no_session_of_the_person(site, demo):
    tokens = exchange(site, code=code_of(site)).json()
    with pytest.raises(ApiError) as refused:
        demo.public(
            demo.auth.RefreshSession, auth_pb2.RefreshSessionRequest(refresh_token=tokens["refresh_token"])
        )
    assert refused.value.reason == "TOKEN_INVALID"


def test_revoking_either_token_ends_both(site):
    for name in ("access_token", "refresh_token"):
        tokens = exchange(site, code=code_of(site)).json()
        data = {"token": tokens[name], "client_id": site.public}
        assert httpx.post(f"{site.address}/oauth2/revoke", data=data).status_code == 200
        assert not is_taken(site, tokens["access_token"])
        assert_error(refresh(site, tokens["refresh_token"]), "invalid_grant")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"scope": "customers.write"}, "invalid_scope"),
        ({"scope": 'customers.read "'}, "invalid_scope"),
    ],
)
def test_wrong_parameters_go_back_to_the_client_before_anyone_signs_in(site, change, error):
    answer = httpx.get(address(site, **change))
    back = parameters(answer.headers["location"])
    assert answer.headers["location"].startswith(LOOPBACK + "?")
    assert (back["error"], back["iss"], back["state"]) == (error, site.address, "af0ifjsldkj")


@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "https://evil.example/callback",
        "//evil.example",
        "http://127.0.0.1@evil.example/callback",
        "http://127.0.0.1:80@evil.example/callback",
        "http://127.0.0.1\\.evil.example/callback",
        "http://127.0.0.1/callback/",
        "http://127.0.0.1/callback#fragment",
        "http://127.0.0.1/callback?x=1",
        "http://127.0.0.1/callback/../evil",
        "http://127.0.0.1/callback/%2e%2e/evil",
        "http://127.0.0.1./callback",
        "http://127.1/callback",
        "http://2130706433/callback",
        "http://localhost/callback",
        "http://[::1]/callback",
        "http://127.0.0.1:99999/callback",
        "http://127.0.0.1:080/callback",
        "https://127.0.0.1/callback",
        "HTTP://127.0.0.1/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://\u0131\u0665.0.0.1/callback",
        "http://127.0.0.1/callback\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "data:text/html,x",
    ],
)
def test_an_address_that_is_not_registered_is_never_redirected_to(site, redirect_uri):
    answer = httpx.get(address(site, redirect_uri=redirect_uri))
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "AUTHORIZATION_REFUSED" in answer.text or "FIELD_INVALID" in answer.text


@pytest.mark.parametrize("client_id", [None, "", "unknown", "0193b0a0-0000-7000-8000-000000000009"])
def test_an_unknown_client_is_answered_by_a_page(site, client_id):
    answer = httpx.get(address(site, client_id=client_id))
    assert (answer.status_code, "location" in answer.headers) == (400, False)


def test_a_public_client_may_use_any_port_of_the_users_machine_and_a_confidential_one_may_not(site, demo):
    assert httpx.get(address(site, redirect_uri="http://127.0.0.1:53124/callback")).status_code == 200
    fields = {"authentication": pb.OAUTH_CLIENT_AUTHENTICATION_SECRET_BASIC, "redirect_uris": [LOOPBACK]}
    confidential = register(demo, **fields).client.oauth_client
    refused = httpx.get(address(site, client_id=confidential, redirect_uri="http://127.0.0.1:53124/callback"))
    assert refused.status_code == 400


def test_the_page_cannot_be_framed_scripted_or_kept(site):
    answer = httpx.get(address(site))
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "form-action 'self' http://127.0.0.1;" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script|\son\w+=|https?://", answer.text)


@pytest.mark.parametrize("spoilt", ["token", "origin", "null origin", "no origin", "cookie"])
def test_a_form_that_another_site_sends_is_refused(site, spoilt):
    with site.browser() as browser:
        browser.visit(address(site))
        browser.press("sign_in", email=site.email, password=site.password)
        token = re.search(r'name="form_token" value="([0-9a-f]+)"', browser.page.text)[1]
        headers = {"Origin": site.address}
        if spoilt in {"origin", "null origin"}:
            headers["Origin"] = "https://evil.example" if spoilt == "origin" else "null"
        if spoilt == "no origin":
            headers = {}
        if spoilt == "cookie":
            browser.http.cookies.delete("cohortlens-form")
        data = {
            "form_token": "0" * 64 if spoilt == "token" else token,
            "act": "approve",
            "tenant": site.tenant,
        }
        answer = browser.http.post(
            str(browser.page.url), data={**data, "scope": "customers.read"}, headers=headers
        )
    assert (answer.status_code, "location" in answer.headers) == (403, False)
    assert "FORM_REFUSED" in answer.text


def test_a_refusal_goes_back_to_the_client_and_ends_the_sign_in(site):
    with site.browser() as browser:
        browser.visit(address(site))
        browser.press("sign_in", email=site.email, password=site.password)
        answer = browser.press("refuse")
        assert parameters(answer.headers["location"])["error"] == "access_denied"
        assert "Password" in browser.visit(address(site)).text


def test_a_person_can_grant_less_and_a_form_cannot_grant_more(site):
    with site.browser() as browser:
        browser.visit(address(site, scope="customers.read analytics.read"))
        browser.press("sign_in", email=site.email, password=site.password)
        assert browser.press("approve", scopes=["customers.read", "customers.write"]).status_code == 400
        browser.visit(address(site, scope="customers.read analytics.read"))
        code = parameters(browser.press("approve", scopes=["customers.read"]).headers["location"])["code"]
    tokens = exchange(site, code=code).json()
    assert tokens["scope"] == "customers.read"
    assert_error(refresh(site, tokens["refresh_token"], scope="analytics.read"), "invalid_scope")
    assert refresh(site, tokens["refresh_token"], scope="customers.read").json()["scope"] == "customers.read"


def test_a_token_of_a_client_reaches_only_what_was_granted(site):
    tokens = exchange(site, code=code_of(site)).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    get = httpx.get(f"{site.address}/api/v1/modelVersions", headers=headers)
    assert get.status_code in {403, 404}
    asked = {
        "responseType": "code",
        "clientId": site.public,
        "redirectUri": LOOPBACK,
        "codeChallenge": CHALLENGE,
        "codeChallengeMethod": "S256",
    }
    more = {"parameters": asked, "approved": True, "scopes": ["analytics.read"]}
    for path, body in (
        ("authorizations:decide", more),
        ("authorizations:review", {"parameters": asked}),
        ("sessions:switchTenant", {"tenant": site.tenant}),
    ):
        answer = httpx.post(f"{site.address}/api/v1/{path}", json=body, headers=headers)
        assert answer.status_code == 403, answer.text
        assert "FIRST_PARTY_ONLY" in answer.text
    assert httpx.get(f"{site.address}/api/v1/users/me", headers=headers).status_code == 200


def test_a_client_gets_no_more_for_itself_than_it_was_registered_for(site):
    basic = (site.confidential, site.secret)
    own = {"grant_type": "client_credentials", "redirect_uri": None, "code_verifier": None}
    assert exchange(site, basic, **own).json()["scope"] == " ".join(SCOPES)
    assert_error(exchange(site, basic, **own, scope="customers.write"), "invalid_scope")
    assert_error(exchange(site, basic, **own, scope="internal.introspect"), "invalid_scope")
    assert_error(exchange(site, **own), "unauthorized_client")
