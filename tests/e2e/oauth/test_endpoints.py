"""What the token endpoint and its neighbours take and refuse."""

import base64
from urllib.parse import urlencode, urlsplit

import grpc
import httpx
import pytest

from cohortlens.v1 import auth_oauth_pb2 as pb
from cohortlens.v1 import auth_pb2_grpc
from tests.e2e.oauth.asking import (
    address,
    assert_error,
    code_of,
    exchange,
    is_taken,
    refresh,
)
from tests.e2e.oauth.conftest import CODE, OWN, WEB, register


@pytest.mark.parametrize(
    "auth",
    [("{confidential}", "wrong"), ("{confidential}", ""), ("{public}", "x"), ("{signing}", "x"), ("a", "b")],
)
def test_a_client_that_does_not_prove_itself_is_refused_alike(site, auth):
    named = (auth[0].format(**vars(site)), auth[1])
    answer = exchange(site, named, grant_type="client_credentials")
    assert_error(answer, "invalid_client", 401)
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_a_confidential_client_is_not_taken_for_its_name(site):
    assert_error(exchange(site, client_id=site.confidential, code="x"), "invalid_client", 401)


def test_a_secret_belongs_in_the_header_only(site):
    url = f"{site.address}/oauth2/token"
    body = {"grant_type": "client_credentials", "client_id": site.confidential, "client_secret": site.secret}
    assert_error(httpx.post(url, data=body), "invalid_request")
    assert_error(httpx.post(f"{url}?{urlencode(body)}", data={"grant_type": "x"}), "invalid_request")


def test_a_parameter_sent_twice_is_refused(site):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = f"grant_type=authorization_code&grant_type=refresh_token&client_id={site.public}"
    assert_error(httpx.post(f"{site.address}/oauth2/token", content=body, headers=form), "invalid_request")
    twice = address(site) + "&redirect_uri=https%3A%2F%2Fevil.example"
    assert httpx.get(twice).status_code == 400


@pytest.mark.parametrize("path", ["token", "revoke", "introspect"])
def test_an_endpoint_takes_forms_by_post_only(site, path):
    url = f"{site.address}/oauth2/{path}"
    for answer in (httpx.get(url), httpx.put(url), httpx.delete(url)):
        assert answer.status_code == 405
        assert answer.headers["allow"] == "OPTIONS, POST"
    assert_error(httpx.post(url, json={"grant_type": "client_credentials"}), "invalid_request")
    assert_error(httpx.post(url, data={"token": "x" * 70_000}), "invalid_request", 413)
    assert_error(httpx.post(url, data={f"p{n}": "1" for n in range(300)}), "invalid_request")


def test_the_page_takes_get_and_post_only(site):
    answer = httpx.delete(address(site))
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert httpx.post(address(site), json={}).status_code == 415


def test_an_unknown_grant_is_refused(site):
    assert_error(exchange(site, grant_type="password"), "unsupported_grant_type")
    assert_error(exchange(site, grant_type=None), "invalid_request")


def test_wrong_passwords_on_the_page_are_counted_with_those_elsewhere(site, stack):
    with site.browser() as browser:
        browser.visit(address(site))
        answers = [
            browser.press("sign_in", email="nobody@corner-shop.example", password="wrong wrong wrong")
            for _ in range(6)
        ]
        login = {"email": "nobody@corner-shop.example", "password": "wrong wrong wrong"}
        elsewhere = httpx.post(f"{site.address}/api/v1/sessions", json=login)
    assert answers[0].status_code == 401
    assert [answers[-1].status_code, elsewhere.status_code] == [429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_the_key_set_and_the_metadata_may_be_cached_and_asked_whether_they_changed(site):
    for path in ("jwks.json", "oauth-authorization-server"):
        first = httpx.get(f"{site.address}/.well-known/{path}")
        assert first.headers["cache-control"] == "public, max-age=600"
        again = httpx.get(
            f"{site.address}/.well-known/{path}", headers={"If-None-Match": first.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")


def test_a_deleted_client_loses_everything(site, demo):
    fields = {"authentication": pb.OAUTH_CLIENT_AUTHENTICATION_SECRET_BASIC, "redirect_uris": [WEB]}
    made = register(demo, grants=[CODE, OWN], **fields)
    basic = (made.client.oauth_client, made.client_secret)
    code = code_of(site, client_id=basic[0], redirect_uri=WEB)
    tokens = exchange(site, basic, code=code, redirect_uri=WEB).json()
    own = exchange(site, basic, grant_type="client_credentials").json()
    assert is_taken(site, tokens["access_token"])
    assert is_taken(site, own["access_token"])
    demo.call(demo.auth.DeleteOAuthClient, pb.DeleteOAuthClientRequest(oauth_client=basic[0]))
    assert not is_taken(site, tokens["access_token"])
    assert not is_taken(site, own["access_token"])
    assert_error(refresh(site, tokens["refresh_token"], basic), "invalid_client", 401)


def test_the_old_secret_works_for_the_overlap_only(site, demo):
    fields = {"authentication": pb.OAUTH_CLIENT_AUTHENTICATION_SECRET_BASIC, "grants": [OWN]}
    made = register(demo, **fields)
    name = made.client.oauth_client
    request = pb.RotateOAuthClientSecretRequest(oauth_client=name)
    request.overlap.seconds = 3600
    second = demo.call(demo.auth.RotateOAuthClientSecret, request).client_secret
    for secret in (made.client_secret, second):
        assert exchange(site, (name, secret), grant_type="client_credentials").status_code == 200
    request.overlap.seconds = 0
    third = demo.call(demo.auth.RotateOAuthClientSecret, request).client_secret
    for secret in (made.client_secret, second):
        assert_error(exchange(site, (name, secret), grant_type="client_credentials"), "invalid_client", 401)
    assert exchange(site, (name, third), grant_type="client_credentials").status_code == 200


def test_the_destination_on_the_consent_page_is_the_one_that_gets_the_code(site):
    asked = address(site, client_id=site.confidential, redirect_uri=WEB)
    with site.browser() as browser:
        browser.visit(asked)
        page = browser.press("sign_in", email=site.email, password=site.password)
        assert urlsplit(WEB).netloc in page.text
        assert site.email in page.text
        back = browser.press("approve").headers["location"]
    assert back.startswith(WEB + "&code=")


def test_the_same_endpoints_answer_over_grpc(site, stack):
    basic = base64.b64encode(f"{site.confidential}:{site.secret}".encode()).decode()
    proof = (("authorization", f"Basic {basic}"),)
    with grpc.insecure_channel(stack.grpc) as channel:
        auth = auth_pb2_grpc.AuthServiceStub(channel)
        asked = pb.ExchangeTokenRequest(grant_type="client_credentials", scope="customers.read")
        issued = auth.ExchangeToken(asked, metadata=proof, timeout=10)
        assert (issued.scope, issued.HasField("refresh_token")) == ("customers.read", False)
        token = pb.IntrospectTokenRequest(token=issued.access_token)
        assert auth.IntrospectToken(token, metadata=proof, timeout=10).active
        assert auth.GetMetadata(pb.GetMetadataRequest(), timeout=10).issuer == site.address
        with pytest.raises(grpc.RpcError) as refused:
            auth.ExchangeToken(asked, timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
