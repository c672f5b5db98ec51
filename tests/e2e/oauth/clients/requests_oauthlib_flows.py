"""oauthlib and requests-oauthlib as their users use them; the protocol with the test is that of authlib_flows."""

import json
import os
import sys

import requests
from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError, WebApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

# The server of the test listens on this machine only, without TLS.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"


def main() -> None:
    given = json.loads(sys.stdin.readline())
    about = requests.get(given["site"] + "/.well-known/oauth-authorization-server", timeout=10).json()
    say({"done": {**code(given, about), **own(given, about)}})


def say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def code(given, about):
    session = OAuth2Session(
        client=WebApplicationClient(given["confidential"]),
        redirect_uri=given["web_redirect_uri"],
        scope=["analytics.read", "customers.read"],
        pkce="S256",
    )
    address, _ = session.authorization_url(about["authorization_endpoint"])
    say({"visit": address})
    back = sys.stdin.readline().strip()
    basic = HTTPBasicAuth(given["confidential"], given["secret"])
    token = session.fetch_token(about["token_endpoint"], authorization_response=back, auth=basic)
    called = session.get(given["site"] + "/api/v1/customers?pageSize=1")
    first = token["refresh_token"]
    second = session.refresh_token(about["token_endpoint"], refresh_token=first, auth=basic)
    active = ask(about, basic, second["access_token"])
    ended = requests.post(
        about["revocation_endpoint"], data={"token": second["refresh_token"]}, auth=basic, timeout=10
    )
    try:
        session.refresh_token(about["token_endpoint"], refresh_token=second["refresh_token"], auth=basic)
        after = "taken"
    except InvalidGrantError as error:
        after = error.error
    return {
        "scope": " ".join(token["scope"]) if isinstance(token["scope"], list) else token["scope"],
        "called": called.status_code,
        "rotated": len({first, second["refresh_token"]}),
        "active": active,
        "revoked": ended.status_code,
        "after_revocation": after,
        "inactive": ask(about, basic, second["access_token"]),
    }


def own(given, about):
    session = OAuth2Session(client=BackendApplicationClient(given["confidential"], scope=["customers.read"]))
    token = session.fetch_token(
        about["token_endpoint"], auth=HTTPBasicAuth(given["confidential"], given["secret"])
    )
    return {"own_scope": " ".join(token["scope"]), "own_refresh": "refresh_token" in token}


def ask(about, basic, token):
    answer = requests.post(about["introspection_endpoint"], data={"token": token}, auth=basic, timeout=10)
    return answer.json()


main()
