"""What a client, or somebody who would like to be one, asks of the server."""

import base64
import hashlib
from urllib.parse import urlencode

import httpx

from cohortlens.v1 import auth_oauth_pb2 as pb
from tests.e2e.oauth.conftest import LOOPBACK
from tests.fixtures.browser import parameters

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def address(site, **changes):
    """The address a client sends a person to; a parameter that is None is left out."""
    asked = {
        "response_type": "code",
        "client_id": site.public,
        "redirect_uri": LOOPBACK,
        "scope": "customers.read",
        "state": "af0ifjsldkj",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    sent = {name: value for name, value in asked.items() if value is not None}
    return f"{site.address}/oauth2/authorize?{urlencode(sent)}"


def code_of(site, **changes):
    """A code for everything asked for, without the page: attempts to sign in are counted."""
    asked = parameters(address(site, **changes))
    request = pb.DecideAuthorizationRequest(
        parameters=pb.AuthorizationParameters(**asked), approved=True, scopes=asked["scope"].split()
    )
    return parameters(site.demo.call(site.demo.auth.DecideAuthorization, request).redirect_uri)["code"]


def exchange(site, auth=None, **changes):
    """The token endpoint's answer."""
    sent = {
        "grant_type": "authorization_code",
        "redirect_uri": LOOPBACK,
        "code_verifier": VERIFIER,
        "client_id": site.public if auth is None else None,
        **changes,
    }
    data = {name: value for name, value in sent.items() if value is not None}
    return httpx.post(f"{site.address}/oauth2/token", data=data, auth=auth, timeout=30)


def refresh(site, token, auth=None, **changes):
    given = {
        "grant_type": "refresh_token",
        "refresh_token": token,
        "redirect_uri": None,
        "code_verifier": None,
    }
    return exchange(site, auth, **given, **changes)


def assert_error(answer, code, status=400):
    assert (answer.status_code, answer.json()["error"]) == (status, code), answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"error", "error_description"}


def is_taken(site, access_token):
    headers = {"Authorization": f"Bearer {access_token}"}
    return httpx.get(f"{site.address}/api/v1/customers?pageSize=1", headers=headers).status_code == 200
