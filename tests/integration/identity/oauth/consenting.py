"""An owner who registers clients and consents, and a client that exchanges what comes of it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

from cohortlens.core.context import RequestContext
from cohortlens.identity.oauth.models import (
    AuthorizationParameters,
    ClientAuthentication,
    ClientProof,
    Grant,
)
from cohortlens.identity.oauth.tokens import TokenRequest
from tests.integration.identity.conftest import anonymous

URI = "https://app.example/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def acting(tenant, **changes) -> RequestContext:
    """A call of the tenant's owner from the owner's own session."""
    ctx = tenant.context()
    return replace(ctx, principal=replace(ctx.caller, client_id="cohortlens", amr=("pwd",), **changes))


async def made(oauth, tenant, **changes):
    fields = {
        "display_name": "Shop dashboard",
        "authentication": ClientAuthentication.NONE,
        "grants": [Grant.AUTHORIZATION_CODE],
        "redirect_uris": [URI],
        "scopes": ["customers.read", "analytics.read"],
        "any_tenant": False,
        "jwks": "",
        **changes,
    }
    return (await oauth.clients.create(acting(tenant), **fields)).client


def asked(client, **changes) -> AuthorizationParameters:
    fields = {"redirect_uri": URI, "scope": "customers.read", "state": "s", "code_challenge": CHALLENGE}
    values = {**fields, "code_challenge_method": "S256", **changes}
    return AuthorizationParameters("code", str(client.id), **values)


async def code_of(oauth, ctx, client, tenant_id="") -> str:
    back = await oauth.authorization.decide(
        ctx, asked(client), approved=True, tenant=str(tenant_id), scopes=["customers.read"]
    )
    return dict(parse_qsl(urlsplit(back).query))["code"]


def exchange(oauth, client, code, proof=None):
    request = TokenRequest("authorization_code", code=code, redirect_uri=URI, code_verifier=VERIFIER)
    return oauth.tokens.exchange(anonymous(), proof or ClientProof(str(client.id)), request)
