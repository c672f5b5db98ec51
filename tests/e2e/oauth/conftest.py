"""Clients of the demo tenant, its owner's account, and a browser."""

import json
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from cohortlens.cli.client import Client
from cohortlens.v1 import auth_oauth_pb2 as pb
from cohortlens.v1 import auth_pb2
from tests.fixtures.browser import Browser

LOOPBACK = "http://127.0.0.1/callback"
WEB = "https://app.example/callback?from=cohortlens"
SCOPES = ("analytics.read", "customers.read")
CODE, OWN = pb.OAUTH_GRANT_AUTHORIZATION_CODE, pb.OAUTH_GRANT_CLIENT_CREDENTIALS


@dataclass(frozen=True)
class Site:
    """The server, an account, and clients of each kind."""

    address: str
    email: str
    password: str
    public: str
    confidential: str
    secret: str
    signing: str
    key: Ed25519PrivateKey
    tenant: str
    signing_rsa: str
    rsa_key: RSAPrivateKey
    demo: Client

    def browser(self) -> Browser:
        return Browser(self.address)


def register(demo, **fields):
    """Register a client of the demo tenant; answers the whole reply."""
    values = {"display_name": "Shop dashboard", "scopes": SCOPES, "grants": [CODE], **fields}
    return demo.call(demo.auth.CreateOAuthClient, pb.CreateOAuthClientRequest(**values))


@pytest.fixture(scope="session")
def site(stack, demo):
    key = Ed25519PrivateKey.generate()
    rsa_key = generate_private_key(65537, 2048)
    rsa_jwk = json.loads(RSAAlgorithm.to_jwk(rsa_key.public_key()))
    jwk = json.loads(OKPAlgorithm.to_jwk(key.public_key())) | {"kid": "k1"}
    account = json.loads((stack.data_dir / "credentials.json").read_text())["tenants"][0]
    public = register(demo, authentication=pb.OAUTH_CLIENT_AUTHENTICATION_NONE, redirect_uris=[LOOPBACK])
    confidential = register(
        demo,
        authentication=pb.OAUTH_CLIENT_AUTHENTICATION_SECRET_BASIC,
        redirect_uris=[WEB],
        grants=[CODE, OWN],
    )
    signing_rsa = register(
        demo,
        authentication=pb.OAUTH_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT,
        grants=[OWN],
        jwks=json.dumps({"keys": [{k: v for k, v in rsa_jwk.items() if isinstance(v, str)}]}),
    )
    signing = register(
        demo,
        authentication=pb.OAUTH_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT,
        grants=[OWN],
        jwks=json.dumps({"keys": [jwk]}),
    )
    return Site(
        stack.http,
        account["email"],
        account["password"],
        public.client.oauth_client,
        confidential.client.oauth_client,
        confidential.client_secret,
        signing.client.oauth_client,
        key,
        demo.call(demo.auth.GetMe, auth_pb2.GetMeRequest()).tenant,
        signing_rsa.client.oauth_client,
        rsa_key,
        demo,
    )


@pytest.fixture(scope="session")
def given(site):
    """What a client script is told."""
    pem = site.rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "site": site.address,
        "public": site.public,
        "redirect_uri": "http://127.0.0.1:53124/callback",
        "confidential": site.confidential,
        "secret": site.secret,
        "web_redirect_uri": WEB,
        "signing": site.signing,
        "signing_rsa": site.signing_rsa,
        "private_key": pem,
        "private_jwk": json.loads(OKPAlgorithm.to_jwk(site.key)),
        "kid": "k1",
        "alg": "EdDSA",
    }
