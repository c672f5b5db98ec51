"""Authlib as its users use it, against a running server; run by the Python of ``.venv-oauth``, never by ours.

Reads one line of JSON, writes ``{"visit": address}`` where a person has to act and reads the address the person
is sent back to; ends with ``{"done": facts}``.
"""

import json
import sys

import httpx
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwt
from joserfc.jwk import KeySet


def main() -> None:
    given = json.loads(sys.stdin.readline())
    about = httpx.get(given["site"] + "/.well-known/oauth-authorization-server").json()
    facts = {**code(given, about), "ended_by_access": ended(given, about, "access_token")}
    facts["ended_by_refresh"] = ended(given, about, "refresh_token")
    say({"done": {**facts, **own(given, about)}})


def say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def authorized(given, about):
    """A public client with the tokens of a person."""
    client = OAuth2Client(
        given["public"],
        redirect_uri=given["redirect_uri"],
        scope="customers.read analytics.read",
        code_challenge_method="S256",
        token_endpoint_auth_method="none",
        revocation_endpoint_auth_method="none",
        token_endpoint=about["token_endpoint"],
    )
    verifier = generate_token(48)
    address, state = client.create_authorization_url(about["authorization_endpoint"], code_verifier=verifier)
    say({"visit": address})
    back = sys.stdin.readline().strip()
    return client, client.fetch_token(authorization_response=back, state=state, code_verifier=verifier)


def ended(given, about, kind):
    """What is left after a token of a person was revoked."""
    client, token = authorized(given, about)
    answer = client.revoke_token(about["revocation_endpoint"], token=token[kind], token_type_hint=kind)
    called = httpx.get(
        given["site"] + "/api/v1/customers?pageSize=1",
        headers={"Authorization": "Bearer " + token["access_token"]},
    )
    return [answer.status_code, called.status_code, refusal(client, about, token["refresh_token"])]


def code(given, about):
    client, token = authorized(given, about)
    keys = KeySet.import_key_set(httpx.get(about["jwks_uri"]).json())
    read = jwt.decode(token["access_token"], keys, algorithms=["EdDSA"])
    called = client.get(given["site"] + "/api/v1/customers?pageSize=1")
    first = token["refresh_token"]
    second = client.refresh_token(about["token_endpoint"], refresh_token=first)
    third = client.refresh_token(about["token_endpoint"], refresh_token=second["refresh_token"])
    return {
        "typ": read.header["typ"],
        "claims": read.claims,
        "scope": token["scope"],
        "called": called.status_code,
        "rotated": len({first, second["refresh_token"], third["refresh_token"]}),
        "reused": refusal(client, about, first),
        "after_reuse": refusal(client, about, third["refresh_token"]),
    }


def own(given, about):
    confidential = OAuth2Client(
        given["confidential"],
        given["secret"],
        token_endpoint_auth_method="client_secret_basic",
        token_endpoint=about["token_endpoint"],
    )
    token = confidential.fetch_token(grant_type="client_credentials", scope="customers.read")
    access = token["access_token"]
    before = confidential.introspect_token(about["introspection_endpoint"], token=access).json()
    revoked = confidential.revoke_token(
        about["revocation_endpoint"], token=access, token_type_hint="access_token"
    )
    after = confidential.introspect_token(about["introspection_endpoint"], token=access).json()
    signing = OAuth2Client(given["signing_rsa"], given["private_key"], token_endpoint=about["token_endpoint"])
    signing.register_client_auth_method(PrivateKeyJWT(about["token_endpoint"]))
    signing.token_endpoint_auth_method = "private_key_jwt"
    signed = signing.fetch_token(grant_type="client_credentials")
    return {
        "own_scope": token["scope"],
        "own_refresh": "refresh_token" in token,
        "introspected": before,
        "signed_scope": signed["scope"],
        "own_revoked": revoked.status_code,
        "own_after": after,
        "unknown_revoked": confidential.revoke_token(
            about["revocation_endpoint"], token="unknown"
        ).status_code,
    }


def refusal(client, about, refresh_token):
    try:
        client.refresh_token(about["token_endpoint"], refresh_token=refresh_token)
    except OAuthError as error:
        return error.error
    return "taken"


main()
